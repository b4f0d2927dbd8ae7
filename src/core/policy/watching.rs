//! What follows of events over time: numbers that are missing, counts, silences.
//!
//! A pure state machine: the write path shows it each event and the time, and records what it says. Its
//! state is a set of small rows, which are written with what they count.
//!
//! The rows are described where they are made: `watched_row.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Group, Groups};
use super::roll::{FULL, LISTENED_MAX, Roll};
use super::watch::{Alert, Seen, Trigger, Watch, WatchedSource};
use super::watched_row::{NUMBERS, SILENCE, SUPPRESSED, WINDOW};
use super::window::{Span, Window};
use crate::core::record::{AlertCause, SourceNumber, System, Tally, Timestamp};

/// Most ranges of missing numbers that are remembered of a source. A number of an older one that comes after
/// all is recorded as a conflict.
const MISSING_MAX: usize = 64;

/// Most sources whose numbers are followed because of a pattern. Each takes a row for ever: if it were forgotten,
/// what it lost until it came again would be as well.
const NUMBERED_MAX: usize = 4_096;

/// The numbers of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The number that is due.
    pub(super) next: u64,
    /// Ranges `[from, to)` below it that did not come, in order.
    pub(super) missing: Vec<(u64, u64)>,
}

/// Events that were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) events: u64,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// How long something has been silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) since: Timestamp,
    pub(super) told: bool,
}

/// Everything that is remembered of the events of one log.
///
/// # Invariants
///
/// - `changed` and `changed_slots` name every row that differs from what was last taken or restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watching {
    pub(super) numbers: BTreeMap<String, Numbers>,
    pub(super) suppressed: BTreeMap<String, Count>,
    /// Of a threshold by groups, those that were dropped, together.
    pub(super) windows: BTreeMap<String, Window>,
    pub(super) groups: BTreeMap<String, Groups>,
    /// Of alerts.
    pub(super) silences: BTreeMap<String, Silence>,
    /// Of rules about sources.
    pub(super) rolls: BTreeMap<String, Roll>,
    /// Kind and name.
    pub(super) changed: BTreeSet<(u8, String)>,
    /// Kind, rule and slot.
    pub(super) changed_slots: BTreeSet<(Slotted, String, u16)>,
}

/// What is in slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slotted {
    Group,
    Source,
}

impl Numbers {
    /// Takes a number; returns what has to be said about it.
    fn take(&mut self, source: &str, seq: u64) -> Option<System> {
        let source = source.to_owned();
        if seq == self.next {
            self.next += 1;
            return None;
        }
        if seq > self.next {
            let from = core::mem::replace(&mut self.next, seq + 1);
            if self.missing.len() == MISSING_MAX {
                self.missing.remove(0);
            }
            self.missing.push((from, seq));
            return Some(System::Gap { source, from, to: seq });
        }
        let number = SourceNumber { source, seq };
        let range = self.missing.iter().position(|(from, to)| (*from..*to).contains(&seq));
        let Some((position, (from, to))) =
            range.and_then(|position| Some((position, *self.missing.get(position)?)))
        else {
            return Some(System::Conflict(number));
        };
        let rest = [(from, seq), (seq + 1, to)].into_iter().filter(|(from, to)| from < to);
        self.missing.splice(position..=position, rest);
        Some(System::Late(number))
    }
}

impl Count {
    fn add(&mut self, at: Timestamp) {
        if self.events == 0 {
            self.from = at;
        }
        self.events += 1;
        self.to = at;
    }

    fn tally(self, rule: &str) -> Tally {
        let Self { events: count, from, to } = self;
        Tally { rule: rule.to_owned(), count, from, to, source: None, class: None }
    }

    /// Returns whether so many seconds have passed since the first.
    fn is_over(self, seconds: u64, now: Timestamp) -> bool {
        passed(self.from, seconds, now)
    }
}

impl Silence {
    /// Returns since when it lasts, if that is so many seconds and has not been told.
    fn due(self, seconds: u64, now: Timestamp) -> Option<Timestamp> {
        (!self.told && passed(self.since, seconds, now)).then_some(self.since)
    }
}

/// Returns the alert about one event.
fn matched(rule: &str, seen: &Seen, at: Timestamp) -> System {
    let (source, class) = (seen.source.clone(), seen.class.clone());
    let once = Count { events: 1, from: at, to: at };
    System::Alert(AlertCause::Match, Tally { source, class, ..once.tally(rule) })
}

/// Returns whether so many seconds have passed.
fn passed(since: Timestamp, seconds: u64, now: Timestamp) -> bool {
    now.micros().saturating_sub(since.micros()) >= seconds.saturating_mul(1_000_000)
}

/// The alerts about silence, each with its seconds.
fn absences(watch: &Watch) -> impl Iterator<Item = (&str, u64)> {
    watch.alerts.iter().filter_map(|alert| match alert.trigger {
        Trigger::Absence { seconds } => Some((alert.rule.as_str(), seconds)),
        Trigger::Match | Trigger::Threshold { .. } => None,
    })
}

/// The rules about sources that have to be heard of, each with its seconds.
fn heartbeats(watch: &Watch) -> impl Iterator<Item = (&WatchedSource, u64)> {
    watch.sources.iter().filter_map(|watched| Some((watched, watched.heartbeat_seconds?)))
}

impl Watching {
    /// Begins to watch for what a policy wants: silences that are new begin at this time.
    pub fn begin(&mut self, watch: &Watch, now: Timestamp) {
        for (rule, _) in absences(watch) {
            if !self.silences.contains_key(rule) {
                self.hear(rule, now);
            }
        }
        let moved = self.leave(watch);
        for (watched, _) in heartbeats(watch) {
            let silent = moved.iter().filter(|(source, _)| watched.is_about(source));
            for (source, silence) in silent {
                self.listen(watched, source, *silence);
            }
            for source in watched.named() {
                let known = self.rolls.get(&watched.rule).and_then(|roll| roll.silence(source));
                self.listen(watched, source, known.unwrap_or(Silence { since: now, told: false }));
            }
        }
    }

    /// Leaves the sources that their rule is not about any more; returns them. Another may be.
    fn leave(&mut self, watch: &Watch) -> Vec<(String, Silence)> {
        let mut left = Vec::new();
        for (rule, roll) in &mut self.rolls {
            let is_about = |source: &str| {
                let mut rules = heartbeats(watch).filter(|(watched, _)| watched.rule == *rule);
                rules.any(|(watched, _)| watched.is_about(source))
            };
            let gone: Vec<u16> = roll
                .listened()
                .filter(|(_, one)| !is_about(&one.source))
                .map(|(slot, _)| slot)
                .collect();
            for slot in gone {
                left.extend(roll.get(slot).map(|one| (one.source.clone(), one.silence)));
                roll.set(slot, None);
                self.changed_slots.insert((Slotted::Source, rule.clone(), slot));
            }
        }
        left
    }

    /// Ends what was counted under a policy: returns what has to be recorded of it.
    pub fn end(&mut self) -> Vec<System> {
        self.changed.extend(self.windows.keys().map(|rule| (WINDOW, rule.clone())));
        self.windows.clear();
        for (rule, groups) in core::mem::take(&mut self.groups) {
            let slots = groups.taken().map(|slot| (Slotted::Group, rule.clone(), slot));
            self.changed_slots.extend(slots);
        }
        for (rule, roll) in &mut self.rolls {
            if roll.full.take().is_some() {
                self.changed_slots.insert((Slotted::Source, rule.clone(), FULL));
            }
        }
        let rules: Vec<String> = self.suppressed.keys().cloned().collect();
        rules.iter().filter_map(|rule| self.tell_suppressed(rule)).collect()
    }

    /// Takes an event that was recorded; returns what has to be recorded because of it.
    pub fn observe(&mut self, watch: &Watch, seen: &Seen, at: Timestamp) -> Vec<System> {
        let mut said = Vec::new();
        if let Some(source) = &seen.source {
            said.extend(seen.seq.and_then(|seq| self.number(watch, source, seq, at)));
            said.extend(self.hear_source(watch, source, at));
        }
        for (position, group) in &seen.about {
            let Some(alert) = watch.alerts.get(*position) else { continue };
            let rule = &alert.rule;
            match (&alert.trigger, group) {
                (Trigger::Match, _) => said.push(matched(rule, seen, at)),
                (Trigger::Threshold { count, seconds, .. }, None) => {
                    said.extend(self.count(rule, Span::new(*count, *seconds), at));
                }
                (Trigger::Threshold { count, seconds, .. }, Some(group)) => {
                    let span = Span::new(*count, *seconds);
                    said.extend(self.count_group(rule, *group, span, at));
                }
                (Trigger::Absence { .. }, _) => self.hear(rule, at),
            }
        }
        said.extend(seen.alerts.iter().map(|rule| matched(rule, seen, at)));
        said
    }

    /// Takes the number of an event, if its source has to number them.
    fn number(&mut self, watch: &Watch, source: &str, seq: u64, at: Timestamp) -> Option<System> {
        let of = || watch.sources.iter().filter(|one| one.numbered && one.is_about(source));
        let watched = of().next()?;
        if !self.numbers.contains_key(source) {
            if self.numbers.len() >= NUMBERED_MAX && !of().any(|one| one.names(source)) {
                return self.tell_full(&watched.rule, source, NUMBERED_MAX, at);
            }
            // A source begins with whatever number comes first.
            let first = Numbers { next: seq, missing: Vec::new() };
            self.numbers.insert(source.to_owned(), first);
        }
        self.changed.insert((NUMBERS, source.to_owned()));
        self.numbers.get_mut(source)?.take(source, seq)
    }

    /// Notes that a source was heard of, by every rule that listens for it.
    fn hear_source(&mut self, watch: &Watch, source: &str, at: Timestamp) -> Vec<System> {
        let mut said = Vec::new();
        for (watched, _) in heartbeats(watch).filter(|(watched, _)| watched.is_about(source)) {
            if !self.listen(watched, source, Silence { since: at, told: false }) {
                said.extend(self.tell_full(&watched.rule, source, LISTENED_MAX, at));
            }
        }
        said
    }

    /// Takes down how long a source has been silent; returns whether there was room for it.
    fn listen(&mut self, watched: &WatchedSource, source: &str, silence: Silence) -> bool {
        let roll = self.rolls.entry(watched.rule.clone()).or_default();
        let is_known = roll.silence(source) == Some(silence);
        let slot = roll.put(source, silence, watched.names(source));
        if let Some(slot) = slot.filter(|_| !is_known) {
            self.changed_slots.insert((Slotted::Source, watched.rule.clone(), slot));
        }
        slot.is_some()
    }

    /// Says, once in a policy's time, that there are more sources of a rule than can be watched.
    fn tell_full(
        &mut self,
        rule: &str,
        source: &str,
        most: usize,
        at: Timestamp,
    ) -> Option<System> {
        let roll = self.rolls.entry(rule.to_owned()).or_default();
        if roll.full.is_some() {
            return None;
        }
        roll.full = Some(at);
        self.changed_slots.insert((Slotted::Source, rule.to_owned(), FULL));
        let count = Count { events: most as u64 + 1, from: at, to: at };
        let tally = Tally { source: Some(source.to_owned()), ..count.tally(rule) };
        Some(System::Alert(AlertCause::Threshold, tally))
    }

    /// Counts an event that is not recorded, because of the suppression at this position.
    pub fn suppress(&mut self, watch: &Watch, position: usize, seen: &Seen, at: Timestamp) {
        let Some(suppression) = watch.suppressions.get(position) else { return };
        self.suppressed.entry(suppression.rule.clone()).or_default().add(at);
        self.changed.insert((SUPPRESSED, suppression.rule.clone()));
        // Whoever sends what is not recorded is not silent. For whom there is no room, an event that is
        // recorded tells.
        if let Some(source) = &seen.source {
            for (watched, _) in heartbeats(watch).filter(|(watched, _)| watched.is_about(source)) {
                self.listen(watched, source, Silence { since: at, told: false });
            }
        }
        for (position, _) in &seen.about {
            let alert = watch.alerts.get(*position);
            let silent = |alert: &&Alert| matches!(alert.trigger, Trigger::Absence { .. });
            if let Some(alert) = alert.filter(silent) {
                self.hear(&alert.rule, at);
            }
        }
    }

    /// Returns the most records that time alone makes at once.
    pub fn timed_max(&self, watch: &Watch) -> u64 {
        let sources: usize = self.rolls.values().map(|roll| roll.listened().count()).sum();
        (watch.suppressions.len() + watch.alerts.len() + sources) as u64
    }

    /// Returns whether time alone has made something worth recording.
    pub fn is_due(&self, watch: &Watch, now: Timestamp) -> bool {
        self.due_suppressions(watch, now).next().is_some()
            || self.due_silences(watch, now).next().is_some()
            || self.due_sources(watch, now).next().is_some()
    }

    /// Returns what time alone has made worth recording.
    pub fn tick(&mut self, watch: &Watch, now: Timestamp) -> Vec<System> {
        let due: Vec<String> = self.due_suppressions(watch, now).map(str::to_owned).collect();
        let mut said: Vec<System> =
            due.iter().filter_map(|rule| self.tell_suppressed(rule)).collect();
        let absent = |rule, from, source| {
            let tally = Tally { rule, count: 0, from, to: now, source, class: None };
            System::Alert(AlertCause::Absence, tally)
        };
        let due: Vec<(String, Timestamp)> = self.due_silences(watch, now).collect();
        for (rule, since) in due {
            self.silences.insert(rule.clone(), Silence { since, told: true });
            self.changed.insert((SILENCE, rule.clone()));
            said.push(absent(rule, since, None));
        }
        let due: Vec<_> = self
            .due_sources(watch, now)
            .map(|(watched, source, since)| (watched, source.to_owned(), since))
            .collect();
        for (watched, source, since) in due {
            self.listen(watched, &source, Silence { since, told: true });
            said.push(absent(watched.rule.clone(), since, Some(source)));
        }
        said
    }

    fn due_suppressions<'w>(
        &self,
        watch: &'w Watch,
        now: Timestamp,
    ) -> impl Iterator<Item = &'w str> {
        watch.suppressions.iter().filter_map(move |suppression| {
            let count = self.suppressed.get(&suppression.rule)?;
            count.is_over(suppression.every_seconds, now).then_some(suppression.rule.as_str())
        })
    }

    fn due_silences(
        &self,
        watch: &Watch,
        now: Timestamp,
    ) -> impl Iterator<Item = (String, Timestamp)> {
        absences(watch).filter_map(move |(rule, seconds)| {
            let since = self.silences.get(rule)?.due(seconds, now)?;
            Some((rule.to_owned(), since))
        })
    }

    fn due_sources<'w>(
        &self,
        watch: &'w Watch,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'w WatchedSource, &str, Timestamp)> {
        heartbeats(watch).flat_map(move |(watched, seconds)| {
            let listened = self.rolls.get(&watched.rule).into_iter().flat_map(Roll::listened);
            listened.filter_map(move |(_, one)| {
                Some((watched, one.source.as_str(), one.silence.due(seconds, now)?))
            })
        })
    }

    /// Takes the count of a suppression, if it has counted anything.
    fn tell_suppressed(&mut self, rule: &str) -> Option<System> {
        let count = self.suppressed.remove(rule).filter(|count| count.events > 0)?;
        self.changed.insert((SUPPRESSED, rule.to_owned()));
        Some(System::Suppressed(count.tally(rule)))
    }

    /// Counts towards a threshold.
    fn count(&mut self, rule: &str, span: Span, at: Timestamp) -> Option<System> {
        let window = self.windows.entry(rule.to_owned()).or_default();
        window.add(span, at);
        let reached = window.reach(span, at);
        self.changed.insert((WINDOW, rule.to_owned()));
        reached.map(|count| System::Alert(AlertCause::Threshold, count.tally(rule)))
    }

    /// Counts towards the threshold of a group.
    ///
    /// Where there are more groups in a window than are remembered, those that had to go count together, so
    /// that a flood of other groups hides none.
    fn count_group(
        &mut self,
        rule: &str,
        group: Group,
        span: Span,
        at: Timestamp,
    ) -> impl Iterator<Item = System> {
        let groups = self.groups.entry(rule.to_owned()).or_default();
        let (slot, reached, dropped) = groups.count(group, span, at);
        self.changed_slots.insert((Slotted::Group, rule.to_owned(), slot));
        let together = dropped.and_then(|dropped| {
            let rest = self.windows.entry(rule.to_owned()).or_default();
            rest.join(span, &dropped, at);
            self.changed.insert((WINDOW, rule.to_owned()));
            rest.reach(span, at)
        });
        let alert = |count: Count| System::Alert(AlertCause::Threshold, count.tally(rule));
        reached.into_iter().chain(together).map(alert).collect::<Vec<_>>().into_iter()
    }

    /// Notes that something is not silent.
    fn hear(&mut self, rule: &str, at: Timestamp) {
        self.silences.insert(rule.to_owned(), Silence { since: at, told: false });
        self.changed.insert((SILENCE, rule.to_owned()));
    }
}
