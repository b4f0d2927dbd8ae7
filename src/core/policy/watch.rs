//! What a policy wants watched over time: sources, noise, and what calls for attention.
//!
//! Plain data. What follows of it, event by event, is [`super::Watching`].

use crate::core::record::Verdict;

/// Everything that a policy wants watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// The sources whose numbers or silence matter.
    pub sources: Vec<WatchedSource>,
    /// Events that are counted instead of recorded.
    pub suppressions: Vec<Suppression>,
    /// What calls for attention.
    pub alerts: Vec<Alert>,
    /// Classes of which every event is recorded, whatever a suppression says.
    pub required: Vec<String>,
}

/// A source whose numbers or silence matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedSource {
    /// The source, as records name it.
    pub source: String,
    /// The rule's name, which the alert about its silence shows.
    pub rule: String,
    /// Whether its events are numbered without gaps by `seq`.
    pub numbered: bool,
    /// The silence in seconds after which an alert is recorded.
    pub heartbeat_seconds: Option<u64>,
}

/// Which events something is about: those that pass every test. A test without values passes all events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The class is one of these.
    pub classes: Vec<String>,
    /// The source is one of these.
    pub sources: Vec<String>,
    /// The action is one of these.
    pub actions: Vec<String>,
    /// The outcome is one of these.
    pub outcomes: Vec<String>,
    /// The verdict is one of these.
    pub verdicts: Vec<Verdict>,
}

/// Events that are counted instead of recorded: only those that nothing objects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// The rule's name, which the `suppressed` record shows.
    pub rule: String,
    /// Which events.
    pub select: Selector,
    /// How long is counted before the count is recorded, in seconds.
    pub every_seconds: u64,
}

/// Something that calls for attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The rule's name, which the `alert` record shows.
    pub rule: String,
    /// Which events it is about.
    pub select: Selector,
    /// When it fires.
    pub trigger: Trigger,
}

/// When an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At each event.
    Match,
    /// When so many events have come within so many seconds; it counts anew from there.
    Threshold {
        /// How many.
        count: u64,
        /// Within how long.
        seconds: u64,
    },
    /// When no event has come for so many seconds; it fires once, until one comes.
    Absence {
        /// How long.
        seconds: u64,
    },
}

/// What is seen of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The authenticated principal that submitted it.
    pub source: Option<String>,
    /// Its class, as far as the record shows it.
    pub class: Option<String>,
    /// Its action.
    pub action: Option<String>,
    /// Its outcome.
    pub outcome: Option<String>,
    /// Its number at its source.
    pub seq: Option<u64>,
    /// The verdict.
    pub verdict: Verdict,
}

impl Watch {
    /// Returns whether there is nothing to watch.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.suppressions.is_empty() && self.alerts.is_empty()
    }

    /// Returns the position of the suppression that counts an event instead of recording it.
    pub fn suppresses(&self, seen: &Seen) -> Option<usize> {
        let required = seen.class.as_ref().is_some_and(|class| self.required.contains(class));
        // A number that is missing from the log would look like one that was lost.
        let numbered = seen.seq.is_some()
            && self
                .sources
                .iter()
                .any(|watched| watched.numbered && Some(&watched.source) == seen.source.as_ref());
        if required || numbered || seen.verdict != Verdict::Accept {
            return None;
        }
        self.suppressions.iter().position(|suppression| suppression.select.selects(seen))
    }
}

impl Selector {
    /// Returns whether an event passes.
    pub fn selects(&self, seen: &Seen) -> bool {
        let passes = |wanted: &[String], value: &Option<String>| {
            wanted.is_empty() || value.as_ref().is_some_and(|value| wanted.contains(value))
        };
        passes(&self.classes, &seen.class)
            && passes(&self.sources, &seen.source)
            && passes(&self.actions, &seen.action)
            && passes(&self.outcomes, &seen.outcome)
            && (self.verdicts.is_empty() || self.verdicts.contains(&seen.verdict))
    }
}
