//! What a policy wants watched over time: sources, noise, and what calls for attention.
//!
//! Plain data. What follows of it, event by event, is [`super::Watching`].

use super::condition::{Condition, Glob};
use super::group::Group;
use crate::core::hash::TreeHash;
use crate::core::record::json::{Object, Value};
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

/// Sources whose numbers or silence matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedSource {
    /// The sources, as records name them. Those that are like a pattern are watched once they have come.
    pub sources: Vec<Glob>,
    /// The rule's name, which the alert about their silence shows.
    pub rule: String,
    /// Whether each numbers its events without gaps by `seq`.
    pub numbered: bool,
    /// The silence in seconds of each after which an alert is recorded.
    pub heartbeat_seconds: Option<u64>,
}

/// Which events something is about: those that pass every test. A test without values passes all events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// One of the classes that it is of is one of these.
    pub classes: Vec<String>,
    /// The verdict is one of these.
    pub verdicts: Vec<Verdict>,
    /// All of these hold of what its record shows. A test of `/class` holds if it does of one of its classes.
    pub when: Vec<Condition>,
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
    /// When so many events have come that are no more than so many seconds apart, of those that have the same
    /// values at some places; it counts anew from there.
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
    /// Its number at its source.
    pub seq: Option<u64>,
    /// The positions of the alerts that are about it, each with its group if that counts by groups.
    pub about: Vec<(usize, Option<Group>)>,
    /// The position of the suppression that would count it instead of recording it.
    pub counted: Option<usize>,
    /// The custom rules by which somebody has to be told of it.
    pub alerts: Vec<String>,
}

/// What is looked at: an event as its record shows it, whether that was read or is being made.
#[derive(Clone, Copy)]
struct Shown<'e, 'a> {
    verdict: Verdict,
    source: Option<&'e str>,
    members: &'e Object<'a>,
    /// Classes that it is of.
    classes: &'e [String],
}

impl Alert {
    /// Returns the alert about every event that is quarantined, or could not be decided about: each policy has
    /// it, and so has a log without one.
    pub fn violation() -> Self {
        let verdicts = vec![Verdict::Quarantine, Verdict::Error];
        Self {
            rule: "policy/violation".to_owned(),
            select: Selector { verdicts, ..Selector::default() },
            trigger: Trigger::Match,
            to: Vec::new(),
        }
    }
}

impl Watch {
    /// Returns whether there is nothing to watch.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.suppressions.is_empty() && self.alerts.is_empty()
    }

    /// Returns whether an event of a verdict may have to be looked at: what nothing is about costs nothing.
    pub fn concerns(&self, verdict: Verdict) -> bool {
        !self.sources.is_empty()
            || (verdict == Verdict::Accept && !self.suppressions.is_empty())
            || self.alerts.iter().any(|alert| alert.select.admits(verdict))
    }

    /// Returns which alerts are about an event, each with its group.
    fn about(&self, shown: Shown<'_, '_>) -> Vec<(usize, Option<Group>)> {
        let about = self.alerts.iter().enumerate().filter(|(_, alert)| alert.select.selects(shown));
        about.map(|(position, alert)| (position, alert.trigger.group(shown))).collect()
    }

    /// Returns the position of the suppression that counts what is shown.
    ///
    /// An event is recorded if one of its classes wants it to be: naming a class that is counted evades none
    /// of the others, nor does fitting it. So it has to be counted as well if it were of any of them alone.
    fn counted(&self, shown: Shown<'_, '_>) -> Option<usize> {
        let mut classes = shown.classes.iter();
        if shown.verdict != Verdict::Accept || classes.any(|class| self.required.contains(class)) {
            return None;
        }
        let counts =
            |shown| self.suppressions.iter().position(|counting| counting.select.selects(shown));
        let first = counts(shown)?;
        let mut alone = shown.classes.iter().map(core::slice::from_ref);
        alone.all(|classes| counts(Shown { classes, ..shown }).is_some()).then_some(first)
    }

    /// Returns the position of the suppression that counts an event instead of recording it.
    pub fn suppresses(&self, seen: &Seen) -> Option<usize> {
        // A number that is missing from the log would look like one that was lost.
        let numbered = seen.seq.is_some()
            && seen.source.as_ref().is_some_and(|source| {
                self.sources.iter().any(|watched| watched.numbered && watched.is_about(source))
            });
        seen.counted.filter(|_| !numbered && seen.alerts.is_empty())
    }
}

impl WatchedSource {
    /// Returns whether a source is one of these.
    pub fn is_about(&self, source: &str) -> bool {
        self.sources.iter().any(|glob| glob.matches(source))
    }

    /// Returns whether a source is named, and not merely like a pattern.
    pub fn names(&self, source: &str) -> bool {
        self.named().any(|name| name == source)
    }

    /// Returns the sources that are named.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(Glob::exact)
    }
}

impl Seen {
    /// Looks at the record of an event that is of these classes, and of the one that the record shows.
    pub fn of(watch: &Watch, event: &RecordedEvent<'_>, classes: Vec<String>) -> Self {
        Self::at(watch, event.verdict(), event.source(), event.content(), classes)
    }

    /// Looks at what the record of an event shows: its members without the server's own, and its source.
    pub(super) fn at(
        watch: &Watch,
        verdict: Verdict,
        source: Option<&str>,
        members: &Object<'_>,
        mut classes: Vec<String>,
    ) -> Self {
        let class = members.get("class").and_then(Value::as_str).map(str::to_owned);
        classes.extend(class.clone().filter(|class| !classes.contains(class)));
        let shown = Shown { verdict, source, members, classes: &classes };
        Self {
            about: watch.about(shown),
            counted: watch.counted(shown),
            source: source.map(str::to_owned),
            class,
            seq: members.get("seq").and_then(Value::as_natural),
            alerts: Vec::new(),
        }
    }
}

impl Shown<'_, '_> {
    /// Returns whether a condition holds.
    fn holds(self, condition: &Condition) -> bool {
        match condition {
            Condition::Field { path, test } => match path.as_str() {
                "/class" => self.classes.iter().any(|class| test.holds(class)),
                "/source" => self.source.is_some_and(|source| test.holds(source)),
                _ => path.find(self.members).is_some_and(|value| test.passes(value)),
            },
            Condition::All(conditions) => conditions.iter().all(|one| self.holds(one)),
            Condition::Any(conditions) => conditions.iter().any(|one| self.holds(one)),
            Condition::Not(condition) => !self.holds(condition),
        }
    }
}

impl Selector {
    /// Returns whether events of a verdict may pass.
    fn admits(&self, verdict: Verdict) -> bool {
        self.verdicts.is_empty() || self.verdicts.contains(&verdict)
    }

    /// Returns whether what is shown passes: the cheapest tests first.
    fn selects(&self, shown: Shown<'_, '_>) -> bool {
        let is_of = |class: &String| self.classes.contains(class);
        self.admits(shown.verdict)
            && (self.classes.is_empty() || shown.classes.iter().any(is_of))
            && self.when.iter().all(|condition| shown.holds(condition))
    }
}

impl Trigger {
    /// Returns the group of an event, of a threshold by groups.
    fn group(&self, shown: Shown<'_, '_>) -> Option<Group> {
        match self {
            Self::Threshold { by, .. } if !by.is_empty() => Some(group(shown, by)),
            Self::Match | Self::Threshold { .. } | Self::Absence { .. } => None,
        }
    }
}

/// Returns the group of an event by the values at some places: texts, numbers, truths and tokens. All those
/// count together at whose place there is something else, or a commitment, which differs each time.
fn group(shown: Shown<'_, '_>, by: &[Path]) -> Group {
    let value = |path: &Path| {
        if path.as_str() == "/source" {
            return shown.source.map_or(Value::Null, |source| source.to_owned().into());
        }
        match path.find(shown.members) {
            Some(Value::Array(_)) | None => Value::Null,
            Some(value @ Value::Object(_)) if Token::from_value(value).is_none() => Value::Null,
            Some(value) => value.clone().into_owned(),
        }
    };
    let values = Value::Array(by.iter().map(value).collect()).format();
    let hash = TreeHash::digest(values.as_bytes());
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}
