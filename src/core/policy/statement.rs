//! What a policy states, as data: the one form that every way of writing a policy comes to.

use core::fmt;

use super::detect::Detector;
use crate::core::record::Path;

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

/// Something that holds of an event or not, by what its record shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What is looked at.
    pub path: Path,
    /// What has to hold of it.
    pub test: Test,
}

/// What has to hold of a value. All but [`Test::Present`] hold of texts alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The value is there.
    Present,
    /// It is this text.
    Exact(String),
    /// It is one of these texts.
    OneOf(Vec<String>),
    /// It begins with this text.
    Prefix(String),
    /// It is like this pattern.
    Glob(Glob),
}

/// A pattern in which `*` stands for any text, also none.
///
/// The pieces between the stars are searched one after another, each as far left as it can be, so that a
/// match takes one pass over the text however many stars there are.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    pieces: Vec<String>,
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
    Token,
}

impl Test {
    /// Returns whether a text passes.
    pub fn holds(&self, text: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(wanted) => text == wanted,
            Self::OneOf(wanted) => wanted.iter().any(|wanted| text == wanted),
            Self::Prefix(wanted) => text.starts_with(wanted),
            Self::Glob(glob) => glob.matches(text),
        }
    }
}

impl Glob {
    /// Takes a pattern.
    pub fn new(pattern: &str) -> Self {
        Self { pieces: pattern.split('*').map(str::to_owned).collect() }
    }

    /// Returns whether a whole text is like the pattern.
    pub fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.pieces.first().is_some_and(|only| only == text);
        };
        let Some(rest) =
            text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()))
        else {
            return false;
        };
        let mut rest = rest;
        for piece in middle {
            let Some((_, after)) = rest.split_once(piece.as_str()) else { return false };
            rest = after;
        }
        true
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.pieces.join("*"), f)
    }
}
