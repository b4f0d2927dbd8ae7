//! The whole intermediate form of a policy: what every way of writing one comes to.
//!
//! What is enforced when an event comes in is in it as the core's own types. What later parts use, such as
//! retention, access and indexes, is checked and kept.

use core::fmt;

use crate::core::policy::{Condition, Enforcement, Enrichment, Glob, Requirement, Rule, Treatment};
use crate::core::record::{ApprovalRule, Path, PolicyDigest};

/// Everything that the documents of a bundle say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// When it has to be looked at again.
    pub review_by: Option<Date>,
    /// Where that is stated, or else whose policy this is.
    pub metadata: Place,
    /// The policies that it may only tighten.
    pub extends: Vec<Parent>,
    /// The classes, in the order in which their conditions are tried.
    pub classes: Vec<Class>,
    /// Rules besides those that the classes state.
    pub rules: Vec<StatedRule>,
    /// What becomes of an event that breaks what a class states, unless that says otherwise.
    pub on_violation: Option<Enforcement>,
    /// What becomes of an event that names a class which is not among the above.
    pub unknown_class: Option<Enforcement>,
    /// What is taken out of events.
    pub redactions: Vec<Redaction>,
    /// What is added to them.
    pub enrichments: Vec<Enrichment>,
    /// What is counted instead of recorded one by one.
    pub suppressions: Vec<Suppression>,
    /// How long events are kept whose class says nothing.
    pub retention: Retention,
    /// What must not be deleted, whatever the retention.
    pub holds: Vec<Hold>,
    /// Who may do what.
    pub access: Vec<Role>,
    /// What raises an alert.
    pub alerts: Vec<Alert>,
    /// What is expected of sources.
    pub sources: Vec<Source>,
    /// Modules of custom rules, each with what an event must be for them to run.
    pub rego: Vec<RegoModule>,
    /// Who has to approve the next policy; nobody if this is absent.
    pub approvals: Option<ApprovalRule>,
}

/// Where in the files of a bundle something stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, relative to the bundle.
    pub file: String,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// How many characters.
    pub length: usize,
}

/// A day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// The year.
    pub year: u16,
    /// The month, from 1.
    pub month: u8,
    /// The day, from 1.
    pub day: u8,
}

/// A length of time in whole seconds. A month has 30 days here, and a year 365.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// The seconds.
    pub seconds: u64,
}

/// A policy that is extended, and stands in the bundle under `parents/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its name.
    pub name: String,
    /// The digest of its files.
    pub digest: PolicyDigest,
    /// Where it is named.
    pub place: Place,
}

/// A class of events, and what is stated of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What holds of its events, besides of those that name it.
    pub when: Vec<Condition>,
    /// What they must have.
    pub require: Vec<Requirement>,
    /// Whether each of them has to be in the log, so that nothing may suppress it.
    pub required: bool,
    /// Which outcomes are recorded.
    pub log: Logging,
    /// How much of them is recorded.
    pub level: Level,
    /// What becomes of those that break what is stated here.
    pub otherwise: Option<Enforcement>,
    /// How long they are kept.
    pub retention: Option<Retention>,
    /// By which fields they are looked up.
    pub indexes: Vec<Vec<Path>>,
    /// Where it is stated.
    pub place: Place,
}

/// A rule besides those that the classes state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedRule {
    /// The rule.
    pub rule: Rule,
    /// Where it is stated.
    pub place: Place,
}

/// Which outcomes of a class are recorded. What is not is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logging {
    /// What succeeded.
    pub success: bool,
    /// What failed.
    pub failure: bool,
}

/// How much of an event is recorded. The more detailed is the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing: it is counted.
    None,
    /// All but the bodies of request and response.
    Metadata,
    /// All but the body of the response.
    Request,
    /// Everything.
    #[default]
    Full,
}

/// What is taken out of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    /// What, and how.
    pub treatment: Treatment,
    /// How many days an epoch of tokens has.
    pub epoch_days: Option<u64>,
    /// Where it is stated.
    pub place: Place,
}

/// What is counted instead of recorded one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// The name, which the record of the count shows.
    pub name: String,
    /// The classes that it is about; all events if there are none.
    pub classes: Vec<String>,
    /// What else holds of the events.
    pub when: Vec<Condition>,
    /// How often the count is recorded.
    pub window: Period,
    /// Where it is stated.
    pub place: Place,
}

/// How long events are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// How long at hand.
    pub hot: Option<Period>,
    /// How long, from the beginning, where reading takes longer.
    pub warm: Option<Period>,
    /// How long, from the beginning, in an archive.
    pub archive: Option<Period>,
    /// How long at all. For ever if this is absent.
    pub total: Option<Period>,
}

/// Something that must not be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// The classes; a glob each.
    pub classes: Vec<Glob>,
    /// What else holds of the events.
    pub when: Vec<Condition>,
    /// Until when. Until it is lifted if this is absent.
    pub until: Option<Date>,
    /// Where it is stated.
    pub place: Place,
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The name.
    pub name: String,
    /// The principals that have it; a glob each.
    pub members: Vec<Glob>,
    /// What they may do.
    pub can: Vec<Permission>,
    /// Of which classes; a glob each.
    pub classes: Vec<Glob>,
    /// The only fields that they see, if there are any.
    pub allow: Vec<Path>,
    /// Fields that they don't see.
    pub deny: Vec<Path>,
    /// Where it is stated.
    pub place: Place,
}

/// Something that a role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Append events.
    Append,
    /// Ask for events.
    Query,
    /// See what is committed.
    Disclose,
    /// Take copies out.
    Export,
    /// Apply a policy.
    Apply,
    /// Approve a policy, or an erasure.
    Approve,
    /// Destroy what can be disclosed.
    Erase,
    /// Set and lift holds.
    Hold,
}

/// Something that raises an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The name.
    pub name: String,
    /// The classes that it is about; all events if there are none.
    pub classes: Vec<String>,
    /// What else holds of the events.
    pub when: Vec<Condition>,
    /// What of them raises it.
    pub trigger: Trigger,
    /// Who is told: names, which the server's configuration gives an address.
    pub to: Vec<String>,
    /// Where it is stated.
    pub place: Place,
}

/// What of events raises an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Each of them.
    Match,
    /// So many within a time, of those that have the same values at these places.
    Threshold {
        /// How many.
        count: u64,
        /// Within which time.
        within: Period,
        /// What they have in common.
        by: Vec<Path>,
    },
    /// None of them for a time.
    Absence {
        /// For how long.
        within: Period,
    },
}

/// What is expected of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The sources; a glob each.
    pub sources: Vec<Glob>,
    /// Whether their events have to be numbered.
    pub numbered: bool,
    /// Within which time each of them has to be heard of.
    pub expect: Option<Period>,
    /// Where it is stated.
    pub place: Place,
}

/// What is said about custom rules in Rego.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegoModule {
    /// The file, as `rego/card.rego`, or the package, as `attestree.card`.
    pub subject: String,
    /// The classes whose events are judged; all if there are none.
    pub classes: Vec<String>,
    /// What else has to hold of an event for the rules to be asked.
    pub when: Vec<Condition>,
    /// What becomes of an event that breaks one, unless the default says otherwise.
    pub otherwise: Option<Enforcement>,
    /// Committed values that the rules see.
    pub needs: Vec<Path>,
    /// Where it is named.
    pub place: Place,
}

impl Default for Logging {
    fn default() -> Self {
        Self { success: true, failure: true }
    }
}

impl Class {
    /// Returns a class of which nothing is stated but that all of its events are recorded.
    pub fn new(name: &str, place: Place) -> Self {
        Self {
            name: name.to_owned(),
            description: None,
            when: Vec::new(),
            require: Vec::new(),
            required: true,
            log: Logging::default(),
            level: Level::default(),
            otherwise: None,
            retention: None,
            indexes: Vec::new(),
            place,
        }
    }
}

impl Level {
    /// Returns the name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Metadata => "metadata",
            Self::Request => "request",
            Self::Full => "full",
        }
    }
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 8] = [
        Self::Append,
        Self::Query,
        Self::Disclose,
        Self::Export,
        Self::Apply,
        Self::Approve,
        Self::Erase,
        Self::Hold,
    ];

    /// Returns the name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Query => "query",
            Self::Disclose => "disclose",
            Self::Export => "export",
            Self::Apply => "apply",
            Self::Approve => "approve",
            Self::Erase => "erase",
            Self::Hold => "hold",
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day } = self;
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for Period {
    /// Writes the largest unit that the length is a whole number of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
        let whole = units.iter().find(|(unit, _)| self.seconds.is_multiple_of(*unit));
        match whole.filter(|_| self.seconds > 0) {
            Some((unit, name)) => write!(f, "{}{name}", self.seconds / unit),
            None => write!(f, "{}s", self.seconds),
        }
    }
}
