//! Who is listened for: the sources of one rule, each in its slot.
//!
//! Those that the rule names are listened for from the beginning, those that it has a pattern for from when
//! they have come once.

use std::collections::BTreeMap;

use super::watching::Silence;
use crate::core::record::Timestamp;

/// Most sources that one rule is listening for because of a pattern: each takes a row of about 150 bytes.
pub(super) const LISTENED_MAX: usize = 1_024;

/// The slot of what is no source: that there was no room has been told.
pub(super) const FULL: u16 = u16::MAX;

/// The sources of one rule.
///
/// # Invariants
///
/// - `places` has the slot of each source that is in one.
/// - No slot is [`FULL`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roll {
    slots: Vec<Option<Listened>>,
    places: BTreeMap<String, u16>,
    /// When there was no room for a source, since the policy took force.
    pub(super) full: Option<Timestamp>,
}

/// A source that is listened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listened {
    pub(super) source: String,
    pub(super) silence: Silence,
    /// Whether the rule names it, and has no mere pattern for it.
    pub(super) named: bool,
}

impl Roll {
    /// Takes down how long a source has been silent; returns its slot, unless there is no room for it.
    ///
    /// Room is made by whoever has been silent for the longest time of those about whom that was told: when it
    /// comes again it is listened for again, as if it had not gone.
    pub(super) fn put(&mut self, source: &str, silence: Silence, named: bool) -> Option<u16> {
        if let Some(slot) = self.places.get(source).copied() {
            let known = self.slots.get_mut(usize::from(slot))?.as_mut()?;
            (known.silence, known.named) = (silence, named);
            return Some(slot);
        }
        let slot = self.room(named)?;
        self.set(slot, Some(Listened { source: source.to_owned(), silence, named }))?;
        Some(slot)
    }

    /// Returns a slot for one more.
    fn room(&self, named: bool) -> Option<u16> {
        let patterned = self.listened().filter(|(_, one)| !one.named).count();
        if named || patterned < LISTENED_MAX {
            let free = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
            return u16::try_from(free).ok().filter(|slot| *slot < FULL);
        }
        let gone = self.listened().filter(|(_, one)| one.silence.told && !one.named);
        gone.min_by_key(|(_, one)| one.silence.since).map(|(slot, _)| slot)
    }

    /// Puts something in a slot, or empties it; `None` if there is no such slot.
    pub(super) fn set(&mut self, slot: u16, listened: Option<Listened>) -> Option<()> {
        if slot == FULL {
            return None;
        }
        let position = usize::from(slot);
        if position >= self.slots.len() {
            self.slots.resize(position + 1, None);
        }
        let place = self.slots.get_mut(position)?;
        if let Some(gone) = place.take() {
            self.places.remove(&gone.source);
        }
        if let Some(listened) = listened {
            self.places.insert(listened.source.clone(), slot);
            *place = Some(listened);
        }
        Some(())
    }

    /// Returns what is in a slot.
    pub(super) fn get(&self, slot: u16) -> Option<&Listened> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// Returns how long a source has been silent, if it is listened for.
    pub(super) fn silence(&self, source: &str) -> Option<Silence> {
        self.get(*self.places.get(source)?).map(|one| one.silence)
    }

    /// Returns everyone who is listened for, with the slots.
    pub(super) fn listened(&self) -> impl Iterator<Item = (u16, &Listened)> {
        (0..=FULL).zip(&self.slots).filter_map(|(slot, one)| Some((slot, one.as_ref()?)))
    }
}
