//! The channels on which senders of Splunk HEC ask whether what they sent is safe.
//!
//! A number is given only when its request is in the log for good, so every number that was given is
//! acknowledged, whenever it is asked for. A channel that is forgotten, or a server that starts again, knows no
//! numbers: its sender then sends again, which costs a repeat and loses nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Most channels of a source; then the one that was used the longest ago is forgotten. A sender has one or two.
const CHANNELS_MAX: usize = 1_024;

/// Most bytes of a channel's name, which is a GUID: with [`CHANNELS_MAX`], 128 KiB a source.
const NAME_BYTES_MAX: usize = 128;

/// The channels of one source.
#[derive(Debug, Default)]
pub(in crate::service) struct Channels {
    open: Mutex<Open>,
}

/// The channels that are known.
#[derive(Debug, Default)]
struct Open {
    channels: HashMap<String, Channel>,
    /// Counts uses, to tell which was the longest ago.
    uses: u64,
}

/// One channel.
#[derive(Debug)]
struct Channel {
    /// The number that is given next.
    next: u64,
    /// The use of it that was the last.
    used: u64,
}

impl Channels {
    /// Gives the next number of a channel to a request that is in the log; none to one with an impossible name.
    pub(in crate::service) fn give(&self, name: &str) -> Option<u64> {
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
            return None;
        }
        let mut open = self.open();
        open.uses += 1;
        let used = open.uses;
        if open.channels.len() == CHANNELS_MAX && !open.channels.contains_key(name) {
            let oldest = open.channels.iter().min_by_key(|(_, channel)| channel.used);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|oldest| open.channels.remove(&oldest));
        }
        let channel = open.channels.entry(name.to_owned()).or_insert(Channel { next: 0, used });
        channel.used = used;
        let given = channel.next;
        channel.next += 1;
        Some(given)
    }

    /// Returns how many numbers a channel has given: those below are acknowledged.
    pub(in crate::service) fn given(&self, name: &str) -> u64 {
        self.open().channels.get(name).map_or(0, |channel| channel.next)
    }

    /// Nothing that could panic is done while it is locked.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_count_apart_and_the_oldest_is_forgotten() {
        let channels = Channels::default();
        assert_eq!((channels.give("a"), channels.give("a"), channels.give("b")), {
            (Some(0), Some(1), Some(0))
        });
        assert_eq!((channels.given("a"), channels.given("b"), channels.given("c")), (2, 1, 0));
        assert_eq!((channels.give(""), channels.give(&"x".repeat(129))), (None, None));
        for number in 0..CHANNELS_MAX - 1 {
            channels.give(&number.to_string());
            channels.give("b");
        }
        assert_eq!(channels.given("a"), 0, "forgotten");
        assert_eq!(usize::try_from(channels.given("b")), Ok(CHANNELS_MAX));
    }
}
