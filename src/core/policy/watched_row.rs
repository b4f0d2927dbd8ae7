//! What is watched as rows: they are written with what they count, and read when a log is opened.
//!
//! # Rows
//!
//! | kind | rest of the key | content |
//! |---|---|---|
//! | 2 | source | u64 next number, then u64 from and u64 to of each range that is missing |
//! | 3 | rule of a suppression | u64 count, u64 time of the first, u64 of the last |
//! | 5 | rule of a silence | u64 time of the last event, u8 whether the alert was given |
//! | 7 | u16 slot, rule about sources | u64 time of the last event, u8 whether the alert was given, the source; without one the slot is free |
//! | 8 | rule of a threshold | u64 mark and u64 count, for each mark that counts |
//! | 9 | u16 slot, rule of a threshold by groups | 16 bytes of the group, then as 8; without marks the slot is free |
//!
//! The slot 65,535 of kind 7 has the time at which there was no room for a source, and 1 if that was told.
//! Kinds 4 and 6 were counts of thresholds whose windows did not slide. They are passed over: what they
//! counted is counted anew.

use super::group::GROUP_BYTES;
use super::roll::{FULL, Listened};
use super::watching::{Count, Numbers, Silence, Slotted, Watching};
use super::window::Window;
use crate::core::record::Timestamp;

/// Kind of the rows of sources' numbers.
pub(super) const NUMBERS: u8 = 2;

/// Kind of the rows of suppressions.
pub(super) const SUPPRESSED: u8 = 3;

/// Kind of the rows of silences.
pub(super) const SILENCE: u8 = 5;

/// Kind of the rows of sources that are listened for.
const SOURCE: u8 = 7;

/// Kind of the rows of thresholds.
pub(super) const WINDOW: u8 = 8;

/// Kind of the rows of groups.
const GROUP: u8 = 9;

/// Kinds that are written no more.
const FORMER: [u8; 2] = [4, 6];

/// A row of the state: kind, rest of the key, content.
pub type WatchRow = (u8, Vec<u8>, Vec<u8>);

impl Watching {
    /// Returns the rows that have changed since they were last taken.
    pub fn take_rows(&mut self) -> Vec<WatchRow> {
        let changed = core::mem::take(&mut self.changed);
        let slots = core::mem::take(&mut self.changed_slots);
        let slots = slots.iter().map(|(of, rule, slot)| match of {
            Slotted::Group => (GROUP, slot_key(*slot, rule), self.group(rule, *slot)),
            Slotted::Source => (SOURCE, slot_key(*slot, rule), self.listened(rule, *slot)),
        });
        changed.into_iter().map(|(kind, name)| self.row(kind, name)).chain(slots).collect()
    }

    /// Returns the content of the slot of a group.
    fn group(&self, rule: &str, slot: u16) -> Vec<u8> {
        let taken = self.groups.get(rule).and_then(|groups| groups.get(slot));
        let free = || [0; GROUP_BYTES].to_vec();
        taken.map_or_else(free, |(group, window)| [group.as_slice(), &window.encode()].concat())
    }

    /// Returns the content of the slot of a source.
    fn listened(&self, rule: &str, slot: u16) -> Vec<u8> {
        let roll = self.rolls.get(rule);
        if slot == FULL {
            let full = roll.and_then(|roll| roll.full);
            return silence(Silence { since: full.unwrap_or_default(), told: full.is_some() });
        }
        let free = || silence(Silence { since: Timestamp::default(), told: false });
        roll.and_then(|roll| roll.get(slot)).map_or_else(free, |one| {
            [silence(one.silence).as_slice(), one.source.as_bytes()].concat()
        })
    }

    /// Returns a row as it is now.
    fn row(&self, kind: u8, name: String) -> WatchRow {
        let content = match kind {
            NUMBERS => {
                let of = self.numbers.get(&name).cloned().unwrap_or_default();
                let missing = of.missing.into_iter().flat_map(|(from, to)| [from, to]);
                numbers(core::iter::once(of.next).chain(missing))
            }
            SUPPRESSED => {
                let count = self.suppressed.get(&name).copied().unwrap_or_default();
                numbers([count.events, count.from.micros(), count.to.micros()])
            }
            WINDOW => self.windows.get(&name).map_or_else(Vec::new, Window::encode),
            _ => self.silences.get(&name).copied().map_or_else(Vec::new, silence),
        };
        (kind, name.into_bytes(), content)
    }

    /// Takes a row that was kept; `None` if it has not its form.
    pub fn restore(&mut self, kind: u8, rest: &[u8], content: &[u8]) -> Option<()> {
        match kind {
            GROUP => return self.restore_group(rest, content),
            SOURCE => return self.restore_listened(rest, content),
            kind if FORMER.contains(&kind) => return Some(()),
            _ => {}
        }
        let name = str::from_utf8(rest).ok()?.to_owned();
        match kind {
            NUMBERS => {
                let (values, []) = content.as_chunks::<8>() else { return None };
                let mut values = values.iter().map(|value| u64::from_be_bytes(*value));
                let next = values.next()?;
                let mut missing = Vec::new();
                while let Some(from) = values.next() {
                    missing.push((from, values.next()?));
                }
                self.numbers.insert(name, Numbers { next, missing });
            }
            SUPPRESSED => {
                let (values, []) = content.as_chunks::<8>() else { return None };
                let [events, from, to] = values else { return None };
                let (events, from, to) = (u64::from_be_bytes(*events), time(*from)?, time(*to)?);
                if events > 0 {
                    self.suppressed.insert(name, Count { events, from, to });
                }
            }
            WINDOW => {
                let window = Window::decode(content)?;
                if window.last().is_some() {
                    self.windows.insert(name, window);
                }
            }
            SILENCE => {
                let (silence, []) = parse_silence(content)? else { return None };
                self.silences.insert(name, silence);
            }
            _ => return None,
        }
        Some(())
    }

    /// Takes the row of the slot of a group.
    fn restore_group(&mut self, rest: &[u8], content: &[u8]) -> Option<()> {
        let (slot, rule) = parse_slot_key(rest)?;
        let (group, marks) = content.split_first_chunk::<GROUP_BYTES>()?;
        let window = Window::decode(marks)?;
        if window.last().is_none() {
            return Some(());
        }
        self.groups.entry(rule).or_default().put(slot, *group, window)
    }

    /// Takes the row of the slot of a source.
    fn restore_listened(&mut self, rest: &[u8], content: &[u8]) -> Option<()> {
        let (slot, rule) = parse_slot_key(rest)?;
        let (silence, source) = parse_silence(content)?;
        let source = str::from_utf8(source).ok()?.to_owned();
        let roll = self.rolls.entry(rule).or_default();
        match (slot, source.is_empty()) {
            (FULL, true) => roll.full = silence.told.then_some(silence.since),
            (_, true) => {}
            // Whether the rule names it is known when the policy is.
            (_, false) => roll.set(slot, Some(Listened { source, silence, named: false }))?,
        }
        Some(())
    }
}

/// Encodes numbers one after another.
fn numbers(values: impl IntoIterator<Item = u64>) -> Vec<u8> {
    values.into_iter().flat_map(u64::to_be_bytes).collect()
}

/// Encodes how long something has been silent.
fn silence(silence: Silence) -> Vec<u8> {
    let mut content = numbers([silence.since.micros()]);
    content.push(silence.told.into());
    content
}

/// Takes how long something has been silent, and what follows.
fn parse_silence(content: &[u8]) -> Option<(Silence, &[u8])> {
    let (since, rest) = content.split_first_chunk()?;
    let (told @ (0 | 1), rest) = rest.split_first()? else { return None };
    Some((Silence { since: time(*since)?, told: *told == 1 }, rest))
}

/// Takes a time.
fn time(bytes: [u8; 8]) -> Option<Timestamp> {
    Timestamp::from_micros(u64::from_be_bytes(bytes))
}

/// Returns the rest of the key of a slot.
fn slot_key(slot: u16, rule: &str) -> Vec<u8> {
    [slot.to_be_bytes().as_slice(), rule.as_bytes()].concat()
}

/// Takes the rest of the key of a slot.
fn parse_slot_key(rest: &[u8]) -> Option<(u16, String)> {
    let (slot, rule) = rest.split_first_chunk()?;
    Some((u16::from_be_bytes(*slot), str::from_utf8(rule).ok()?.to_owned()))
}
