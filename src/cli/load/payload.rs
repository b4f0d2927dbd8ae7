//! Entries to append, made before the measurement.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Bytes of the pool: larger than any cache that would make hashing look faster than it is, and
/// with a window at each byte enough for 16 million different entries.
const POOL_BYTES: usize = 16 << 20;

/// Windows into a pool of random bytes: an entry costs a reference count and no copy.
#[derive(Debug)]
pub(super) struct Payload {
    pool: Bytes,
    /// Audit events, where those are appended; the pool is their filler then.
    events: Vec<Bytes>,
    size: usize,
    next: AtomicU64,
}

/// How many different events there are: each is a text of its own, and a cache holds none of them for long.
const EVENTS: usize = 4_096;

/// Least bytes of an event: its members, without filler.
pub(super) const EVENT_BYTES_MIN: usize = 256;

impl Payload {
    /// Makes a pool for entries of `size` bytes. The same seed gives the same entries.
    pub(super) fn new(seed: u64, size: usize) -> Self {
        let mut pool = vec![0; POOL_BYTES + size];
        ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut pool);
        Self { pool: pool.into(), events: Vec::new(), size, next: AtomicU64::new(0) }
    }

    /// Makes events of `size` bytes: logins of many people, with three members that a policy may commit.
    pub(super) fn events(seed: u64, size: usize) -> Self {
        let payload = Self::new(seed, size);
        let events = (0..EVENTS).map(|number| event(number, &payload.pool, size)).collect();
        Self { events, ..payload }
    }

    /// Returns the bytes of an entry.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// Takes the numbers of the next `count` entries; returns the first.
    pub(super) fn reserve(&self, count: usize) -> u64 {
        self.next.fetch_add(u64::try_from(count).expect("a usize fits in 64 bits"), Relaxed)
    }

    /// Returns the entry with a number: the same each time.
    pub(super) fn entry(&self, number: u64) -> Bytes {
        if !self.events.is_empty() {
            let events = u64::try_from(self.events.len()).expect("there are few events");
            let position = usize::try_from(number % events).expect("below their number");
            return self.events.get(position).cloned().unwrap_or_default();
        }
        // An odd step visits each of the 2^24 offsets once before it comes back to the first.
        let step = u64::try_from(self.size | 1).expect("an entry has 65,535 bytes at most");
        let pool = u64::try_from(POOL_BYTES).expect("the pool has 16 MiB");
        let offset = usize::try_from(number.wrapping_mul(step) % pool).expect("below the pool");
        self.pool.slice(offset..offset + self.size)
    }
}

/// Makes one event of `size` bytes, at least [`EVENT_BYTES_MIN`].
fn event(number: usize, pool: &[u8], size: usize) -> Bytes {
    let head = format!(
        r#"{{"act":"auth.login","actor":{{"email":"u{number}@example.com","id":"u_{number}","name":"User {number}"}},"#
    );
    let context = format!(
        r#""ctx":{{"address":"10.0.{}.{}","reason":"load","filler":""#,
        number / 256 % 256,
        number % 256
    );
    let tail = format!(r#""}},"out":"success","seq":{number}}}"#);
    let filler = size.saturating_sub(head.len() + context.len() + tail.len());
    let random = pool.iter().skip(number).take(filler);
    let filler: String = random.map(|byte| char::from(b'a' + byte % 26)).collect();
    Bytes::from([head, context, filler, tail].concat())
}
