//! Counts by group: as many of the groups of an alert as fit, each in its slot.

use std::collections::BTreeMap;

use super::watching::Count;
use super::window::{Span, Window};
use crate::core::record::Timestamp;

/// What tells the groups of an alert apart: the beginning of a hash of the values by which it counts.
pub type Group = [u8; GROUP_BYTES];

/// Bytes of a group.
pub(super) const GROUP_BYTES: usize = 16;

/// Most groups of one alert that are counted apart. Each takes a row of about 64 bytes and 16 for each event that
/// is remembered, which is used again.
const GROUPS_MAX: usize = 1_024;

/// The groups of one alert.
///
/// # Invariants
///
/// - `places` has the slot of each group that is in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    slots: Vec<Option<(Group, Window)>>,
    places: BTreeMap<Group, u16>,
}

impl Groups {
    /// Counts an event of a group; returns its slot, what was reached, and what the one counted that had to go
    /// for it.
    pub(super) fn count(
        &mut self,
        group: Group,
        span: Span,
        at: Timestamp,
    ) -> (u16, Option<Count>, Option<Window>) {
        let (slot, dropped) = self.place(group);
        let window = self.slots.get_mut(usize::from(slot)).and_then(Option::as_mut);
        let reached = window.and_then(|(_, window)| {
            window.add(span, at);
            window.reach(span, at)
        });
        if reached.is_some() {
            self.free(slot);
        }
        (slot, reached, dropped)
    }

    /// Returns the slot of a group, which gets one if it has none, and what the one counted that had to go
    /// for it: the one whose last event is the longest ago.
    fn place(&mut self, group: Group) -> (u16, Option<Window>) {
        if let Some(slot) = self.places.get(&group) {
            return (*slot, None);
        }
        let free = self.slots.iter().position(Option::is_none);
        let next = (self.slots.len() < GROUPS_MAX).then_some(self.slots.len());
        let (slot, dropped) = free.or(next).map_or_else(
            || {
                let last = |slot: &(usize, &Option<(Group, Window)>)| {
                    slot.1.as_ref().and_then(|(_, window)| window.last())
                };
                let oldest = self.slots.iter().enumerate().min_by_key(last);
                let slot = oldest.map_or(0, |(slot, _)| number(slot));
                (slot, self.free(slot))
            },
            |slot| (number(slot), None),
        );
        self.put(slot, group, Window::default());
        (slot, dropped)
    }

    /// Empties a slot; returns what it has counted.
    fn free(&mut self, slot: u16) -> Option<Window> {
        let (group, window) = self.slots.get_mut(usize::from(slot))?.take()?;
        self.places.remove(&group);
        Some(window)
    }

    /// Returns what is in a slot.
    pub(super) fn get(&self, slot: u16) -> Option<&(Group, Window)> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// Returns the slots that are taken.
    pub(super) fn taken(&self) -> impl Iterator<Item = u16> {
        self.places.values().copied()
    }

    /// Puts a group in a slot; `None` if there is no such slot.
    pub(super) fn put(&mut self, slot: u16, group: Group, window: Window) -> Option<()> {
        let position = usize::from(slot);
        if position >= GROUPS_MAX {
            return None;
        }
        if position >= self.slots.len() {
            self.slots.resize(position + 1, None);
        }
        *self.slots.get_mut(position)? = Some((group, window));
        self.places.insert(group, slot);
        Some(())
    }
}

/// Returns the number of a slot.
fn number(position: usize) -> u16 {
    u16::try_from(position).expect("slots are few")
}
