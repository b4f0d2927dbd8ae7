//! What a policy wants watched over time: sources, noise, and what calls for attention.
//!
//! Plain data. What follows of it, event by event, is [`super::Watching`].

use super::group::Group;
use crate::core::hash::TreeHash;
use crate::core::record::json::Value;
use crate::core::record::{Path, RecordedEvent, Token, Verdict};

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
    /// One of the classes that it is of is one of these.
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
    /// Who is told: names, which the server's configuration gives an address. No record shows them: whoever has
    /// the policy finds them by the rule.
    pub to: Vec<String>,
}

/// When an alert fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At each event.
    Match,
    /// When so many events have come within so many seconds, of those that have the same values at some
    /// places; it counts anew from there.
    Threshold {
        /// How many.
        count: u64,
        /// Within how long.
        seconds: u64,
        /// The places; none if all events count together.
        by: Vec<Path>,
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
    /// Every class that it names or fits.
    pub classes: Vec<String>,
    /// Its action.
    pub action: Option<String>,
    /// Its outcome.
    pub outcome: Option<String>,
    /// Its number at its source.
    pub seq: Option<u64>,
    /// The verdict.
    pub verdict: Verdict,
    /// Its groups, each with the position of the alert that counts by them.
    pub groups: Vec<(usize, Group)>,
    /// The custom rules by which somebody has to be told of it.
    pub alerts: Vec<String>,
}

impl Watch {
    /// Returns whether there is nothing to watch.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.suppressions.is_empty() && self.alerts.is_empty()
    }

    /// Returns the groups of an event, by what its record shows.
    fn groups(&self, event: &RecordedEvent<'_>) -> Vec<(usize, Group)> {
        let by = self.alerts.iter().enumerate().filter_map(|(position, alert)| {
            let Trigger::Threshold { by, .. } = &alert.trigger else { return None };
            (!by.is_empty()).then_some((position, by))
        });
        by.map(|(position, by)| (position, group(event, by))).collect()
    }

    /// Returns the position of the suppression that counts an event instead of recording it.
    ///
    /// An event is recorded if one of its classes wants it to be: naming a class that is counted evades none
    /// of the others, nor does fitting it.
    pub fn suppresses(&self, seen: &Seen) -> Option<usize> {
        let required = seen.classes.iter().any(|class| self.required.contains(class));
        // A number that is missing from the log would look like one that was lost.
        let numbered = seen.seq.is_some()
            && self
                .sources
                .iter()
                .any(|watched| watched.numbered && Some(&watched.source) == seen.source.as_ref());
        if required || numbered || !seen.alerts.is_empty() || seen.verdict != Verdict::Accept {
            return None;
        }
        let counts = |suppression: &&Suppression| suppression.select.selects(seen);
        let is_counted = |class: &String| {
            let mut counting = self.suppressions.iter().filter(counts);
            counting.any(|Suppression { select, .. }| {
                select.classes.is_empty() || select.classes.contains(class)
            })
        };
        let first = self.suppressions.iter().position(|suppression| counts(&suppression))?;
        seen.classes.iter().all(is_counted).then_some(first)
    }
}

impl Seen {
    /// Looks at the record of an event that is of these classes, and of the one that the record shows.
    pub fn of(watch: &Watch, event: &RecordedEvent<'_>, mut classes: Vec<String>) -> Self {
        let text = |name| event.content().get(name).and_then(Value::as_str).map(str::to_owned);
        let class = text("class");
        classes.extend(class.clone().filter(|class| !classes.contains(class)));
        Self {
            source: event.source().map(str::to_owned),
            class,
            classes,
            action: text("act"),
            outcome: text("out"),
            seq: event.content().get("seq").and_then(Value::as_natural),
            verdict: event.verdict(),
            groups: watch.groups(event),
            alerts: Vec::new(),
        }
    }
}

impl Selector {
    /// Returns whether an event passes.
    pub fn selects(&self, seen: &Seen) -> bool {
        let passes = |wanted: &[String], value: &Option<String>| {
            wanted.is_empty() || value.as_ref().is_some_and(|value| wanted.contains(value))
        };
        let is_of = |class: &String| self.classes.contains(class);
        (self.classes.is_empty() || seen.classes.iter().any(is_of))
            && passes(&self.sources, &seen.source)
            && passes(&self.actions, &seen.action)
            && passes(&self.outcomes, &seen.outcome)
            && (self.verdicts.is_empty() || self.verdicts.contains(&seen.verdict))
    }
}

/// Returns the group of an event by the values at some places: texts, numbers, truths and tokens. All those
/// count together at whose place there is something else, or a commitment, which differs each time.
fn group(event: &RecordedEvent<'_>, by: &[Path]) -> Group {
    let value = |path: &Path| {
        if path.as_str() == "/source" {
            return event.source().map_or(Value::Null, |source| source.to_owned().into());
        }
        match path.find(event.content()) {
            Some(Value::Array(_)) | None => Value::Null,
            Some(value @ Value::Object(_)) if Token::from_value(value).is_none() => Value::Null,
            Some(value) => value.clone().into_owned(),
        }
    };
    let values = Value::Array(by.iter().map(value).collect()).format();
    let hash = TreeHash::digest(values.as_bytes());
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}
