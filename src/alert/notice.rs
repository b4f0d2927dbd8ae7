//! What people are told of an alert: what its record shows, and how to prove that the record is there.

use super::text::line;
use crate::{
    core::{
        hash::TreeHash,
        number::UnixMillis,
        origin::Origin,
        record::{AlertCause, Timestamp},
    },
    pipeline::RecordedAlert,
};

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One event.
    Match,
    /// Too many.
    Threshold,
    /// None, where some are expected.
    Absence,
    /// Nothing: an operator tries whether messages arrive.
    Test,
}

/// An alert on its way to people. It holds nothing of the events but what the alert's record shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The log.
    pub origin: Origin,
    /// Index of the record.
    pub index: u64,
    /// The hash of the record's leaf.
    pub leaf_hash: TreeHash,
    /// When it was recorded.
    pub at: Timestamp,
    /// What it is about.
    pub kind: Kind,
    /// The rule that fired.
    pub rule: String,
    /// How many events it counted.
    pub count: u64,
    /// When the first of them came, or the silence began.
    pub from: Timestamp,
    /// When the last of them came, or the silence was noticed.
    pub to: Timestamp,
    /// Their source, if they have one in common.
    pub source: Option<String>,
    /// Their class, if they have one in common.
    pub class: Option<String>,
    /// The digest of the policy that says so.
    pub policy: Option<String>,
}

/// How much something matters, in the order of syslog: the smaller number matters more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Somebody has to act at once.
    Critical,
    /// Something goes wrong.
    Error,
    /// Somebody has to look.
    Warning,
    /// Nobody has to do anything.
    Notice,
}

impl Kind {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Threshold => "threshold",
            Self::Absence => "absence",
            Self::Test => "test",
        }
    }

    /// Returns how much it matters. Silence matters most: it is what somebody who has cut off a source
    /// leaves behind, and nothing else will come of that source.
    pub(super) const fn severity(self) -> Severity {
        match self {
            Self::Absence => Severity::Critical,
            Self::Threshold => Severity::Error,
            Self::Match => Severity::Warning,
            Self::Test => Severity::Notice,
        }
    }
}

impl Notice {
    /// Makes the notice of a record.
    pub fn of(origin: &Origin, alert: &RecordedAlert) -> Self {
        let kind = match alert.cause {
            AlertCause::Match => Kind::Match,
            AlertCause::Threshold => Kind::Threshold,
            AlertCause::Absence => Kind::Absence,
        };
        let tally = &alert.tally;
        Self {
            origin: origin.clone(),
            index: alert.index.get(),
            leaf_hash: alert.leaf_hash,
            at: alert.at,
            kind,
            rule: tally.rule.clone(),
            count: tally.count,
            from: tally.from,
            to: tally.to,
            source: tally.source.clone(),
            class: tally.class.clone(),
            policy: alert.policy.map(|policy| policy.to_string()),
        }
    }

    /// Makes a notice that tells of nothing, for trying whether notices arrive. Its origin is no log's.
    pub fn test(sink: &str, now: UnixMillis) -> Self {
        let at = Timestamp::from_micros(now.0.saturating_mul(1_000)).unwrap_or_default();
        Self {
            origin: Origin::parse("test.invalid").expect("the name is an origin"),
            // So that each test is another message to receivers that drop what they know.
            index: now.0,
            leaf_hash: TreeHash::from_bytes([0; 32]),
            at,
            kind: Kind::Test,
            rule: format!("test/{sink}"),
            count: 0,
            from: at,
            to: at,
            source: None,
            class: None,
            policy: None,
        }
    }

    /// Returns what names the alert everywhere and for ever, so that a repeat is recognised.
    pub(super) fn id(&self) -> String {
        format!("{}#{}", self.origin, self.index)
    }

    /// Says in a line what happened, with names as `name` writes them.
    pub(super) fn summary(&self, name: impl Fn(&str) -> String) -> String {
        let (rule, origin) = (name(&line(&self.rule)), name(self.origin.as_str()));
        let of = |what: &Option<String>, word: &str| {
            what.as_ref().map_or_else(String::new, |what| format!(" {word} {}", name(&line(what))))
        };
        let of = format!("{}{}", of(&self.class, "of class"), of(&self.source, "from"));
        match self.kind {
            Kind::Match => format!("{rule}: an event{of} in {origin} calls for attention"),
            Kind::Threshold => {
                let seconds = self.to.micros().saturating_sub(self.from.micros());
                let seconds = seconds.div_ceil(1_000_000).max(1);
                format!("{rule}: {} events{of} within {seconds} s in {origin}", self.count)
            }
            Kind::Absence => format!("{rule}: no event{of} in {origin} since {}", self.from),
            Kind::Test => format!("{rule}: this is a test; nothing has happened"),
        }
    }

    /// Says how to prove that the record is in the log.
    pub(super) fn proof(&self) -> Option<String> {
        let command = format!("attestree receipt {} --log {}", self.index, self.origin);
        (self.kind != Kind::Test).then_some(command)
    }

    /// Returns names and values for people to read, in order.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("Log", self.origin.to_string()),
            ("Index", self.index.to_string()),
            ("Rule", line(&self.rule)),
            ("Kind", self.kind.as_str().to_owned()),
            ("Events", self.count.to_string()),
            ("From", self.from.to_string()),
            ("To", self.to.to_string()),
            ("Recorded", self.at.to_string()),
        ];
        let known = [("Source", &self.source), ("Class", &self.class), ("Policy", &self.policy)];
        for (name, value) in known {
            facts.extend(value.as_ref().map(|value| (name, line(value))));
        }
        facts.push(("Leaf hash", self.leaf_hash.to_base64()));
        facts.extend(self.proof().map(|proof| ("Proof", proof)));
        facts
    }
}
