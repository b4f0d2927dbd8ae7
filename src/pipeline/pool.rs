//! The room for what was admitted and is not yet answered.
//!
//! The pool is a set of counters, not a container: a submission reserves room before it is handed
//! to the sequencer and gives it back when it is answered. So the memory that waiting submissions
//! hold is bounded, and a full pool is known to the submitter at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most entries that are admitted and not yet answered, over all logs.
    pub pool_entries: u64,
    /// Most bytes of entries that are admitted and not yet answered, over all logs.
    pub pool_bytes: u64,
    /// The part of the pool, in percent, that one log may fill.
    pub log_percent: u64,
    /// Free bytes of the data directory's file system below which nothing is accepted.
    pub free_bytes_min: u64,
    /// Entries after which an identity is forgotten; `None` keeps it for ever.
    pub identity_window: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Sixteen commits at the limit: enough that the sequencer never waits for a
            // submitter, and answered in about a tenth of a second at full speed.
            pool_entries: 65_536,
            // Four of the largest atomic batches, or 64 KiB entries for 16 full commits.
            pool_bytes: 64 * 1024 * 1024,
            // One noisy log leaves a quarter of the pool to the others.
            log_percent: 75,
            // RocksDB needs room for the WAL (64 MiB), flushes and compactions; a gibibyte is
            // several times that.
            free_bytes_min: 1024 * 1024 * 1024,
            identity_window: None,
        }
    }
}

/// What one reservation holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Counters of reserved room.
#[derive(Debug, Default)]
pub(super) struct Usage {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Usage {
    /// Adds `room` if both sums stay within `limit`. An empty usage takes anything, so that the
    /// largest legal batch is never refused for ever by a small limit.
    fn reserve(&self, room: Room, limit: Room) -> bool {
        let entries = self.entries.fetch_add(room.entries, Ordering::AcqRel);
        let bytes = self.bytes.fetch_add(room.bytes, Ordering::AcqRel);
        let fits = entries + room.entries <= limit.entries && bytes + room.bytes <= limit.bytes;
        if fits || (entries == 0 && bytes == 0) {
            return true;
        }
        self.release(room);
        false
    }

    fn release(&self, room: Room) {
        self.entries.fetch_sub(room.entries, Ordering::AcqRel);
        self.bytes.fetch_sub(room.bytes, Ordering::AcqRel);
    }

    /// Returns the entries that are reserved.
    pub(super) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Acquire)
    }

    /// Returns the bytes that are reserved.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

/// Which limit left no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// The pool of all logs is full.
    Pool,
    /// The log used its own part of the pool.
    Log,
}

/// Room in the pool; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    pool: Arc<Usage>,
    log: Arc<Usage>,
    room: Room,
}

impl Permit {
    /// Reserves room for a submission to one log.
    pub(super) fn reserve(
        pool: &Arc<Usage>,
        log: &Arc<Usage>,
        room: Room,
        limits: &Limits,
    ) -> Result<Self, NoRoom> {
        let all = Room { entries: limits.pool_entries, bytes: limits.pool_bytes };
        let part = Room {
            entries: all.entries * limits.log_percent / 100,
            bytes: all.bytes / 100 * limits.log_percent,
        };
        if !log.reserve(room, part) {
            return Err(NoRoom::Log);
        }
        if !pool.reserve(room, all) {
            log.release(room);
            return Err(NoRoom::Pool);
        }
        Ok(Self { pool: Arc::clone(pool), log: Arc::clone(log), room })
    }

    /// Returns what is reserved.
    pub(super) fn room(&self) -> Room {
        self.room
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.pool.release(self.room);
        self.log.release(self.room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_when_the_permit_goes() {
        let pool = Arc::new(Usage::default());
        let log = Arc::new(Usage::default());
        let limits =
            Limits { pool_entries: 10, pool_bytes: 1_000, log_percent: 50, ..Limits::default() };
        let room = Room { entries: 3, bytes: 10 };
        let first = Permit::reserve(&pool, &log, room, &limits).unwrap();
        assert_eq!(Permit::reserve(&pool, &log, room, &limits).unwrap_err(), NoRoom::Log);
        let other = Arc::new(Usage::default());
        let second =
            Permit::reserve(&pool, &other, Room { entries: 5, bytes: 10 }, &limits).unwrap();
        let third = Arc::new(Usage::default());
        assert_eq!(Permit::reserve(&pool, &third, room, &limits).unwrap_err(), NoRoom::Pool);
        assert_eq!((pool.entries(), log.entries(), third.entries()), (8, 3, 0));
        drop((first, second));
        assert_eq!((pool.entries(), pool.bytes(), log.entries()), (0, 0, 0));
    }

    #[test]
    fn an_empty_pool_takes_what_is_larger_than_itself() {
        let usage = Arc::new(Usage::default());
        let limits = Limits { pool_entries: 2, pool_bytes: 10, ..Limits::default() };
        let large = Room { entries: 100, bytes: 100 };
        let permit = Permit::reserve(&usage, &Arc::new(Usage::default()), large, &limits).unwrap();
        assert_eq!(permit.room(), large);
        assert!(Permit::reserve(&usage, &Arc::new(Usage::default()), large, &limits).is_err());
    }
}
