//! The way into the sequencer: a channel whose receiver says what it wants to be woken for.
//!
//! A thread that is woken costs more than an entry that is hashed. While a batch is being committed a
//! submission changes nothing that the sequencer would do, so it waits here, and the end of the commit
//! wakes the sequencer once for all of them. With an ordinary channel each of them did: 64 unary
//! callers spent half of their time on it (`attestree load`, `benches/README.md`).
//!
//! # Invariants
//!
//! - `entries` is the sum over the submissions in `events`.
//! - `wanted` is set exactly while the receiver sleeps; whoever takes it wakes the receiver.
//! - After `closed`, nothing is taken in.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::sequence::Event;

/// What both ends share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ready: Condvar,
}

/// What was sent and not yet received.
#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    entries: u64,
    /// Whether `events` holds anything but submissions.
    news: bool,
    /// With how many waiting entries the sleeping receiver wants to be woken.
    wanted: Option<u64>,
    closed: bool,
}

/// The end that sends. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Inlet(Arc<Shared>);

/// The end that receives. Dropping it drops what was not received.
#[derive(Debug)]
pub(super) struct Inbox(Arc<Shared>);

/// The receiver is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

/// Makes a channel.
pub(super) fn inbox() -> (Inlet, Inbox) {
    let shared = Arc::new(Shared::default());
    (Inlet(Arc::clone(&shared)), Inbox(shared))
}

impl Shared {
    /// Takes the lock. Nothing between locking and unlocking can panic half-way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns whether a receiver that wants `entries` has something to do.
    fn serves(&self, entries: u64) -> bool {
        self.news || (self.entries > 0 && self.entries >= entries)
    }
}

impl Inlet {
    /// Sends an event, and wakes the receiver if it wants to be.
    pub(super) fn send(&self, event: Event) -> Result<(), Closed> {
        let mut state = self.0.lock();
        if state.closed {
            // Dropping a submission answers it, and that may run code of the submitter.
            drop(state);
            return Err(Closed);
        }
        match &event {
            Event::Submit(group) => state.entries += group.permit.room().entries,
            Event::Open(_)
            | Event::Halt(..)
            | Event::Apply(..)
            | Event::Confirm(_)
            | Event::Tick
            | Event::Done(_)
            | Event::Poisoned
            | Event::Stop => state.news = true,
        }
        state.events.push(event);
        let wakes = state.wanted.is_some_and(|wanted| state.serves(wanted));
        if wakes {
            state.wanted = None;
        }
        drop(state);
        if wakes {
            self.0.ready.notify_one();
        }
        Ok(())
    }
}

impl Inbox {
    /// Waits for at least `entries` entries, or for anything that is not a submission; then moves all
    /// that was sent to the end of `events`, in its order.
    pub(super) fn receive(&mut self, entries: u64, events: &mut Vec<Event>) {
        let mut state = self.0.lock();
        while !state.serves(entries) {
            state.wanted = Some(entries);
            state = self.0.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.wanted = None;
        state.entries = 0;
        state.news = false;
        events.append(&mut state.events);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        let dropped = core::mem::take(&mut state.events);
        drop(state);
        drop(dropped);
    }
}
