//! What a policy states, as data: the one form that every way of writing a policy comes to.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::condition::Condition;
use super::detect::Detector;
use crate::core::record::{EPOCH_DAYS, Path};

/// Everything that a policy states about events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    /// The classes, by which rules speak of events.
    pub classes: Vec<Class>,
    /// What events must have.
    pub rules: Vec<Rule>,
    /// What is not shown of events: places, which don't overlap, and then what is recognised in the rest.
    pub treatments: Vec<Treatment>,
    /// What becomes of an event that names a class which is not among the above.
    pub unknown_class: Option<Enforcement>,
    /// What the server adds to events, before anything is taken out of them.
    pub enrichments: Vec<Enrichment>,
    /// What events of a class don't show.
    pub trims: Vec<Trim>,
}

/// A class of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name, which an event without a class gets.
    pub name: String,
    /// What holds of its events, besides of those that name it.
    pub when: Vec<Condition>,
}

/// What events must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, which a record shows that breaks it.
    pub name: String,
    /// The classes that it is about; all events if there are none.
    pub classes: Vec<String>,
    /// What else holds of the events that it is about.
    pub when: Vec<Condition>,
    /// What they must have.
    pub require: Vec<Requirement>,
    /// What becomes of those that don't.
    pub otherwise: Enforcement,
}

/// What becomes of an event that breaks a rule. The stricter is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Enforcement {
    /// It is recorded, with the name of the rule.
    Warn,
    /// It is recorded as a commitment, with the name of the rule.
    Quarantine,
    /// It is refused, and leaves no trace in the log.
    Reject,
}

/// A field that an event must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Where.
    pub path: Path,
    /// What it must be.
    pub field: FieldType,
}

/// What a field must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// Anything, a commitment or token too.
    Any,
    /// A text that is not empty.
    Text,
    /// A number.
    Number,
    /// A number without decimals.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A time as in `ot`.
    Time,
    /// An address of the internet protocol.
    Address,
    /// An array with at least one element.
    Array,
    /// An object with at least one member.
    Object,
}

/// What is done to values before anything is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// Which values.
    pub target: Target,
    /// What is done.
    pub action: Action,
}

/// Which values of `actor`, `resource` and `ctx` are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Those at a place; a step `*` stands for every member or element.
    Path(Path),
    /// Those in which something is recognised.
    Detected(Detector),
}

/// What is done to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is left out.
    Drop,
    /// Stars stand in the place of its text, or of what was recognised in it, and these last characters.
    Mask {
        /// How many characters stay.
        keep_last: usize,
    },
    /// A commitment stands in its place.
    Commit {
        /// Where the event names the subject whose key seals it.
        subject: Option<Path>,
    },
    /// A token stands in its place.
    Token {
        /// How many days an epoch of its key has.
        days: u32,
    },
}

impl Action {
    /// A token of an epoch as long as it is unless a policy says otherwise.
    pub const TOKEN: Self = Self::Token { days: EPOCH_DAYS };
}

/// What the server adds to an event, as a member of `ctx.enriched`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrichment {
    /// The name of the member.
    pub name: String,
    /// What is looked at.
    pub from: Path,
    /// How the member follows from it. Where nothing does, nothing is added.
    pub lookup: Lookup,
}

/// How one value follows from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// By a table of texts, and what stands for all others.
    Table {
        /// The texts.
        entries: BTreeMap<String, String>,
        /// What stands for others.
        otherwise: Option<String>,
    },
    /// The label of the smallest network that has the address.
    Networks(Vec<(IpNet, String)>),
    /// Those members of an object that have one of these names in lower case, under which they are added.
    Members(BTreeSet<String>),
}

/// What events of a class don't show, once it is known that they are of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trim {
    /// The class.
    pub class: String,
    /// What is left out.
    pub paths: Vec<Path>,
}
