//! What follows of events over time: numbers that are missing, counts, silences.
//!
//! A pure state machine: the write path shows it each event and the time, and records what it says. Its
//! state is a set of small rows, which are written with what they count.
//!
//! # Rows
//!
//! | kind | rest of the key | content |
//! |---|---|---|
//! | 2 | source | u64 next number, then u64 from and u64 to of each range that is missing |
//! | 3 | rule of a suppression | u64 count, u64 time of the first, u64 of the last |
//! | 4 | rule of a threshold | the same |
//! | 5 | rule of a silence | u64 time of the last event, u8 whether the alert was given |
//! | 6 | u16 slot, rule of a threshold by groups | as 3, then 16 bytes of the group; zeros if it is free |

use std::collections::{BTreeMap, BTreeSet};

use super::group::{GROUP_BYTES, Group, Groups};
use super::watch::{Seen, Trigger, Watch};
use crate::core::record::{AlertCause, SourceNumber, System, Tally, Timestamp};

/// Kind of the rows of sources.
const NUMBERS: u8 = 2;

/// Kind of the rows of suppressions.
const SUPPRESSED: u8 = 3;

/// Kind of the rows of thresholds.
const THRESHOLD: u8 = 4;

/// Kind of the rows of silences.
const SILENCE: u8 = 5;

/// Kind of the rows of groups.
const GROUP: u8 = 6;

/// Most ranges of missing numbers that are remembered of a source. A number of an older one that comes after
/// all is recorded as a conflict.
const MISSING_MAX: usize = 64;

/// A row of the state: kind, rest of the key, content.
pub type WatchRow = (u8, Vec<u8>, Vec<u8>);

/// The numbers of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Numbers {
    /// The number that is due.
    next: u64,
    /// Ranges `[from, to)` below it that did not come, in order.
    missing: Vec<(u64, u64)>,
}

/// Events that were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    events: u64,
    from: Timestamp,
    pub(super) to: Timestamp,
}

/// How long something has been silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Silence {
    since: Timestamp,
    told: bool,
}

/// Everything that is remembered of the events of one log.
///
/// # Invariants
///
/// - `changed` and `changed_groups` name every row that differs from what was last taken or restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watching {
    numbers: BTreeMap<String, Numbers>,
    suppressed: BTreeMap<String, Count>,
    /// Of a threshold by groups, those that were dropped, together.
    thresholds: BTreeMap<String, Count>,
    groups: BTreeMap<String, Groups>,
    silences: BTreeMap<String, Silence>,
    changed: BTreeSet<(u8, String)>,
    changed_groups: BTreeSet<(String, u16)>,
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

    /// Counts an event in the window that it belongs to: the last one, or a new one that begins with it.
    fn add_within(&mut self, seconds: u64, at: Timestamp) {
        if self.events > 0 && self.is_over(seconds, at) {
            *self = Self::default();
        }
        self.add(at);
    }

    /// Takes in what was counted apart.
    fn join(&mut self, other: Self) {
        let Self { events, from, to } = *self;
        *self = if events == 0 {
            other
        } else {
            Self { events: events + other.events, from: from.min(other.from), to: to.max(other.to) }
        };
    }

    /// Returns what was counted, and begins anew, if it is enough.
    fn reach(&mut self, wanted: u64) -> Option<Self> {
        (self.events >= wanted).then(|| core::mem::take(self))
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

/// What is silent, and for how long it may be: the rule, its source if there is one, and seconds.
fn silences(watch: &Watch) -> impl Iterator<Item = (&str, Option<&String>, u64)> {
    let sources = watch.sources.iter().filter_map(|watched| {
        Some((watched.rule.as_str(), Some(&watched.source), watched.heartbeat_seconds?))
    });
    let alerts = watch.alerts.iter().filter_map(|alert| match alert.trigger {
        Trigger::Absence { seconds } => Some((alert.rule.as_str(), None, seconds)),
        Trigger::Match | Trigger::Threshold { .. } => None,
    });
    sources.chain(alerts)
}

impl Watching {
    /// Begins to watch for what a policy wants: silences that are new begin at this time.
    pub fn begin(&mut self, watch: &Watch, now: Timestamp) {
        for (rule, _, _) in silences(watch) {
            if !self.silences.contains_key(rule) {
                self.hear(rule, now);
            }
        }
    }

    /// Ends what was counted under a policy: returns what has to be recorded of it.
    pub fn end(&mut self) -> Vec<System> {
        for rule in self.thresholds.keys() {
            self.changed.insert((THRESHOLD, rule.clone()));
        }
        self.thresholds.clear();
        for (rule, groups) in core::mem::take(&mut self.groups) {
            self.changed_groups.extend(groups.taken().map(|slot| (rule.clone(), slot)));
        }
        let rules: Vec<String> = self.suppressed.keys().cloned().collect();
        rules.iter().filter_map(|rule| self.tell_suppressed(rule)).collect()
    }

    /// Takes an event that was recorded; returns what has to be recorded because of it.
    pub fn observe(&mut self, watch: &Watch, seen: &Seen, at: Timestamp) -> Vec<System> {
        let mut said = Vec::new();
        for watched in &watch.sources {
            if Some(&watched.source) != seen.source.as_ref() {
                continue;
            }
            if let Some(seq) = seen.seq.filter(|_| watched.numbered) {
                // A source begins with whatever number comes first.
                let first = || Numbers { next: seq, missing: Vec::new() };
                let numbers = self.numbers.entry(watched.source.clone()).or_insert_with(first);
                said.extend(numbers.take(&watched.source, seq));
                self.changed.insert((NUMBERS, watched.source.clone()));
            }
            if watched.heartbeat_seconds.is_some() {
                self.hear(&watched.rule, at);
            }
        }
        for (position, alert) in watch.alerts.iter().enumerate() {
            if !alert.select.selects(seen) {
                continue;
            }
            let rule = &alert.rule;
            match alert.trigger {
                Trigger::Match => said.push(matched(rule, seen, at)),
                Trigger::Threshold { count, seconds, .. } => {
                    let group = seen.groups.iter().find(|(alert, _)| *alert == position);
                    said.extend(match group {
                        Some((_, group)) => self.count_group(rule, *group, count, seconds, at),
                        None => self.count(rule, count, seconds, at),
                    });
                }
                Trigger::Absence { .. } => self.hear(rule, at),
            }
        }
        said.extend(seen.alerts.iter().map(|rule| matched(rule, seen, at)));
        said
    }

    /// Counts an event that is not recorded, because of the suppression at this position.
    pub fn suppress(&mut self, watch: &Watch, position: usize, seen: &Seen, at: Timestamp) {
        let Some(suppression) = watch.suppressions.get(position) else { return };
        self.suppressed.entry(suppression.rule.clone()).or_default().add(at);
        self.changed.insert((SUPPRESSED, suppression.rule.clone()));
        // Whoever sends what is not recorded is not silent.
        for watched in &watch.sources {
            if watched.heartbeat_seconds.is_some() && Some(&watched.source) == seen.source.as_ref()
            {
                self.hear(&watched.rule, at);
            }
        }
        for alert in &watch.alerts {
            if matches!(alert.trigger, Trigger::Absence { .. }) && alert.select.selects(seen) {
                self.hear(&alert.rule, at);
            }
        }
    }

    /// Returns whether time alone has made something worth recording.
    pub fn is_due(&self, watch: &Watch, now: Timestamp) -> bool {
        self.due_suppressions(watch, now).next().is_some()
            || self.due_silences(watch, now).next().is_some()
    }

    /// Returns what time alone has made worth recording.
    pub fn tick(&mut self, watch: &Watch, now: Timestamp) -> Vec<System> {
        let due: Vec<String> = self.due_suppressions(watch, now).map(str::to_owned).collect();
        let mut said: Vec<System> =
            due.iter().filter_map(|rule| self.tell_suppressed(rule)).collect();
        let due: Vec<(String, Option<String>, Timestamp)> = self
            .due_silences(watch, now)
            .map(|(rule, source, since)| (rule.to_owned(), source.cloned(), since))
            .collect();
        for (rule, source, from) in due {
            self.silences.insert(rule.clone(), Silence { since: from, told: true });
            self.changed.insert((SILENCE, rule.clone()));
            let tally = Tally { rule, count: 0, from, to: now, source, class: None };
            said.push(System::Alert(AlertCause::Absence, tally));
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

    fn due_silences<'w>(
        &self,
        watch: &'w Watch,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'w str, Option<&'w String>, Timestamp)> {
        silences(watch).filter_map(move |(rule, source, seconds)| {
            let silence = self.silences.get(rule).filter(|silence| !silence.told)?;
            passed(silence.since, seconds, now).then_some((rule, source, silence.since))
        })
    }

    /// Takes the count of a suppression, if it has counted anything.
    fn tell_suppressed(&mut self, rule: &str) -> Option<System> {
        let count = self.suppressed.remove(rule).filter(|count| count.events > 0)?;
        self.changed.insert((SUPPRESSED, rule.to_owned()));
        Some(System::Suppressed(count.tally(rule)))
    }

    /// Counts towards a threshold.
    ///
    /// The window begins with an event and ends when it is over or the alert is given, so that a burst over
    /// the border of two windows may be twice as large as the threshold before it is noticed.
    fn count(&mut self, rule: &str, wanted: u64, seconds: u64, at: Timestamp) -> Option<System> {
        let count = self.thresholds.entry(rule.to_owned()).or_default();
        count.add_within(seconds, at);
        let reached = count.reach(wanted);
        self.changed.insert((THRESHOLD, rule.to_owned()));
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
        wanted: u64,
        seconds: u64,
        at: Timestamp,
    ) -> Option<System> {
        let groups = self.groups.entry(rule.to_owned()).or_default();
        let (slot, dropped) = groups.place(group);
        self.changed_groups.insert((rule.to_owned(), slot));
        let count = groups.count(slot)?;
        count.add_within(seconds, at);
        let mut reached = count.reach(wanted);
        if reached.is_some() {
            groups.free(slot);
        }
        if let Some(dropped) = dropped.filter(|dropped| !dropped.is_over(seconds, at)) {
            let rest = self.thresholds.entry(rule.to_owned()).or_default();
            if rest.is_over(seconds, at) {
                *rest = Count::default();
            }
            rest.join(dropped);
            if reached.is_none() {
                reached = rest.reach(wanted);
            }
            self.changed.insert((THRESHOLD, rule.to_owned()));
        }
        reached.map(|count| System::Alert(AlertCause::Threshold, count.tally(rule)))
    }

    /// Notes that something is not silent.
    fn hear(&mut self, rule: &str, at: Timestamp) {
        self.silences.insert(rule.to_owned(), Silence { since: at, told: false });
        self.changed.insert((SILENCE, rule.to_owned()));
    }

    /// Returns the rows that have changed since they were last taken.
    pub fn take_rows(&mut self) -> Vec<WatchRow> {
        let changed = core::mem::take(&mut self.changed);
        let groups = core::mem::take(&mut self.changed_groups);
        let groups = groups.iter().map(|(rule, slot)| self.group_row(rule, *slot));
        changed.into_iter().map(|(kind, name)| self.row(kind, name)).chain(groups).collect()
    }

    /// Returns the row of a slot as it is now.
    fn group_row(&self, rule: &str, slot: u16) -> WatchRow {
        let taken = self.groups.get(rule).and_then(|groups| groups.get(slot));
        let (group, Count { events, from, to }) = taken.unwrap_or_default();
        let content = [numbers([events, from.micros(), to.micros()]), group.to_vec()].concat();
        (GROUP, [slot.to_be_bytes().as_slice(), rule.as_bytes()].concat(), content)
    }

    /// Takes the row of a slot that was kept.
    fn restore_group(&mut self, rest: &[u8], content: &[u8]) -> Option<()> {
        let (slot, rule) = rest.split_first_chunk()?;
        let rule = str::from_utf8(rule).ok()?.to_owned();
        let (counted, group) = content.split_last_chunk::<GROUP_BYTES>()?;
        let (values, []) = counted.as_chunks::<8>() else { return None };
        let [events, from, to] = values else { return None };
        let time = |bytes: &[u8; 8]| Timestamp::from_micros(u64::from_be_bytes(*bytes));
        let count = Count { events: u64::from_be_bytes(*events), from: time(from)?, to: time(to)? };
        if count.events == 0 {
            return Some(());
        }
        self.groups.entry(rule).or_default().put(u16::from_be_bytes(*slot), *group, count)
    }

    /// Returns a row as it is now.
    fn row(&self, kind: u8, name: String) -> WatchRow {
        let count = |count: Option<&Count>| {
            let Count { events, from, to } = count.copied().unwrap_or_default();
            numbers([events, from.micros(), to.micros()])
        };
        let content = match kind {
            NUMBERS => {
                let of = self.numbers.get(&name).cloned().unwrap_or_default();
                let missing = of.missing.into_iter().flat_map(|(from, to)| [from, to]);
                numbers(core::iter::once(of.next).chain(missing))
            }
            SUPPRESSED => count(self.suppressed.get(&name)),
            THRESHOLD => count(self.thresholds.get(&name)),
            _ => self.silences.get(&name).map_or_else(Vec::new, |silence| {
                let mut content = numbers([silence.since.micros()]);
                content.push(silence.told.into());
                content
            }),
        };
        (kind, name.into_bytes(), content)
    }

    /// Takes a row that was kept; `None` if it has not its form.
    pub fn restore(&mut self, kind: u8, rest: &[u8], content: &[u8]) -> Option<()> {
        if kind == GROUP {
            return self.restore_group(rest, content);
        }
        let name = str::from_utf8(rest).ok()?.to_owned();
        let (values, tail) = content.as_chunks::<8>();
        let mut values = values.iter().map(|value| u64::from_be_bytes(*value));
        let mut next = || values.next();
        match kind {
            NUMBERS => {
                let due = next()?;
                let mut missing = Vec::new();
                while let Some(from) = next() {
                    missing.push((from, next()?));
                }
                self.numbers.insert(name, Numbers { next: due, missing });
            }
            SUPPRESSED | THRESHOLD => {
                let (events, from, to) = (next()?, next()?, next()?);
                let (from, to) = (Timestamp::from_micros(from)?, Timestamp::from_micros(to)?);
                let counts =
                    if kind == SUPPRESSED { &mut self.suppressed } else { &mut self.thresholds };
                if events > 0 {
                    counts.insert(name, Count { events, from, to });
                }
            }
            SILENCE => {
                let since = Timestamp::from_micros(next()?)?;
                let [told @ (0 | 1)] = tail else { return None };
                self.silences.insert(name, Silence { since, told: *told == 1 });
            }
            _ => return None,
        }
        (kind == SILENCE || tail.is_empty()).then_some(())
    }
}

/// Encodes numbers one after another.
fn numbers(values: impl IntoIterator<Item = u64>) -> Vec<u8> {
    values.into_iter().flat_map(u64::to_be_bytes).collect()
}
