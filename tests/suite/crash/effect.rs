//! Each effect of a cycle fails, in both forms: nothing was done, and it was done all the same.
//!
//! | effect | not done | done |
//! |---|---|---|
//! | commit | [`a_commit_that_fails_is_not_there`] | [`a_commit_that_fails_may_be_there`] |
//! | check | [`a_log_whose_roots_differ_halts_alone`] | [`a_flipped_bit_is_never_signed`] |
//! | halt | [`a_halt_that_fails_poisons`] | as a halt that succeeds |
//! | raise | [`a_head_that_is_not_raised_is_not_signed`] | [`a_head_that_was_raised_is_signed_after_a_crash`] |
//!
//! Signing and publishing touch nothing outside the process; the kills of [`super::kill`] cut them.

use std::{
    fs::{self, File},
    io::Write as _,
    os::fd::AsRawFd as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use attestree::{
    core::{
        hash::TreeHash,
        number::LogNumber,
        tree::{Edge, SecondRoot, TreeHead},
    },
    pipeline::{Failure, Ledger, LogStatus, OpenError, Outcome, Pipeline, Refusal, Stopped},
    store::{Durable, LogIdentity, LogRows, RecoverError, Store, StoreError, Watermark},
};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::process::PATIENCE;
use crate::world::{World, block_on, check_log, entries, keyed};

/// What a test does to the commits that pass.
type Commit = dyn Fn(&Store, &[&LogRows]) -> Result<Vec<Durable>, StoreError> + Send + Sync;

/// A ledger that does what it is told once it is armed, and commits before.
#[derive(Clone)]
struct Faulty {
    store: Store,
    armed: Arc<AtomicBool>,
    commit: Arc<Commit>,
    halt_fails: bool,
}

impl Faulty {
    fn new(
        store: &Store,
        commit: impl Fn(&Store, &[&LogRows]) -> Result<Vec<Durable>, StoreError> + Send + Sync + 'static,
    ) -> Self {
        let armed = Arc::new(AtomicBool::new(false));
        Self { store: store.clone(), armed, commit: Arc::new(commit), halt_fails: false }
    }
}

impl Ledger for Faulty {
    fn commit(&self, rows: &[&LogRows]) -> Result<Vec<Durable>, StoreError> {
        if self.armed.load(Ordering::Acquire) {
            (self.commit)(&self.store, rows)
        } else {
            self.store.commit(rows)
        }
    }

    fn halt(&self, log: LogNumber, reason: &str) -> Result<(), StoreError> {
        if self.halt_fails { Err(StoreError::Poisoned) } else { self.store.halt(log, reason) }
    }
}

/// A running write path whose commits fail on demand.
struct Armed {
    pipeline: Pipeline,
    ledger: Faulty,
}

impl Armed {
    /// Opens a world over a ledger that `make` makes.
    fn open(world: &World, make: impl FnOnce(&Store) -> Faulty) -> Self {
        let kept = Mutex::new(None);
        let pipeline = world.try_open(|store| {
            let ledger = make(store);
            *kept.lock().unwrap() = Some(ledger.clone());
            Box::new(ledger)
        });
        Self { pipeline: pipeline.unwrap(), ledger: kept.into_inner().unwrap().unwrap() }
    }

    /// Lets the next commits fail.
    fn arm(&self) {
        self.ledger.armed.store(true, Ordering::Release);
    }

    /// Ends as a poisoned server ends, and lets go of the store.
    fn end(self) {
        wait_for_the_end(&self.pipeline);
        let log = self.pipeline.logs().remove(0);
        let late = self.pipeline.submit(&log, entries(&["too late"])).unwrap_err();
        assert_eq!(late, Refusal::ShuttingDown, "nothing is taken any more");
        assert_eq!(self.pipeline.stop(), Stopped::Poisoned);
    }
}

/// Waits until the process is told to end, which is a moment after its submitters are.
fn wait_for_the_end(pipeline: &Pipeline) {
    let mut fatal = pipeline.fatal();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let told =
        async { tokio::time::timeout(PATIENCE, fatal.wait_for(|fatal| *fatal)).await.is_ok() };
    assert!(runtime.block_on(told), "the process is told to end");
}

/// Appends to the default log and returns the outcome of the first entry.
fn append(pipeline: &Pipeline, key: &str, entry: &str) -> Result<Outcome, Failure> {
    let log = pipeline.log("").unwrap();
    block_on(pipeline.submit(&log, keyed(&[(key, entry)])).unwrap())
        .map(|answer| answer.outcomes[0])
}

/// Fills a tile and a bit, so that the next batches touch stored tiles as well.
fn fill(pipeline: &Pipeline, size: usize) {
    let texts: Vec<String> = (0..size).map(|number| format!("entry {number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for log in pipeline.logs() {
        block_on(pipeline.submit(&log, entries(&texts)).unwrap()).unwrap();
    }
}

/// Checks every log of a world and ends it in order.
fn check_and_stop(pipeline: Pipeline, size: u64) {
    for log in pipeline.logs() {
        check_log(&pipeline, &log, size);
    }
    assert_eq!(pipeline.stop(), Stopped::Clean);
}

/// Returns the watermark's file, byte by byte.
fn watermark(world: &World) -> Vec<u8> {
    fs::read(world.dir.path().join("watermark")).unwrap()
}

/// Returns the rows with one bit flipped somewhere.
fn flipped(rows: &LogRows, what: &str) -> LogRows {
    let mut rows = rows.clone();
    let head = |hash: TreeHash| {
        let mut bytes = *hash.as_bytes();
        bytes[7] ^= 0x20;
        TreeHash::from_bytes(bytes)
    };
    match what {
        "an entry's byte" => *rows.segments.last_mut().unwrap().1.last_mut().unwrap() ^= 0x01,
        "an entry's length" => rows.segments[0].1[1] ^= 0x01,
        "a leaf hash" => rows.tiles[0].1[32 * 100 + 5] ^= 0x80,
        "a node of a tile" => rows.tiles[0].1[8_192 + 32 * 20] ^= 0x04,
        "a tile's root" => *rows.tiles[0].1.last_mut().unwrap() ^= 0x40,
        "the root" => rows.head.head.root = head(rows.head.head.root),
        what => panic!("no such place: {what}"),
    }
    rows
}

/// The places where a bit may flip between the entries and the head.
const PLACES: [&str; 6] = [
    "an entry's byte",
    "an entry's length",
    "a leaf hash",
    "a node of a tile",
    "a tile's root",
    "the root",
];

#[test]
fn a_commit_that_fails_is_not_there() {
    let world = World::with_logs(1, LogIdentity::None);
    let armed = Armed::open(&world, |store| Faulty::new(store, |_, _| Err(StoreError::Poisoned)));
    fill(&armed.pipeline, 300);
    let before = watermark(&world);
    armed.arm();
    assert_eq!(append(&armed.pipeline, "key", "lost"), Err(Failure::Uncertain));
    assert_eq!(armed.pipeline.log("").unwrap().published().head().size.get(), 300, "not published");
    armed.end();
    assert_eq!(watermark(&world), before, "nothing was signed");

    let pipeline = world.open();
    let again = append(&pipeline, "key", "lost").unwrap();
    assert!(matches!(again, Outcome::Sequenced { index } if index.get() == 300), "{again:?}");
    check_and_stop(pipeline, 301);
}

#[test]
fn a_commit_that_fails_may_be_there() {
    for raised in [false, true] {
        let world = World::with_logs(1, LogIdentity::None);
        let armed = Armed::open(&world, |store| {
            Faulty::new(store, |store, rows| {
                store.commit(rows).unwrap();
                Err(StoreError::Poisoned)
            })
        });
        fill(&armed.pipeline, 300);
        armed.arm();
        assert_eq!(append(&armed.pipeline, "key", "there"), Err(Failure::Uncertain));
        assert_eq!(
            armed.pipeline.log("").unwrap().published().head().size.get(),
            300,
            "not published"
        );
        armed.end();
        if raised {
            raise_to_head(&world);
        }

        let pipeline = world.open();
        assert_eq!(
            pipeline.log("").unwrap().published().head().size.get(),
            301,
            "taken up and signed"
        );
        let again = append(&pipeline, "key", "there").unwrap();
        assert!(matches!(again, Outcome::Duplicate { index } if index.get() == 300), "{again:?}");
        check_and_stop(pipeline, 301);
    }
}

/// Raises the watermark to the stored head, as a process does that dies before it signs.
fn raise_to_head(world: &World) {
    let store = world.store();
    let row = store.head(LogNumber(0)).unwrap().unwrap();
    let watermark = Watermark::open(&world.dir.path().join("watermark")).unwrap();
    let key_hash = watermark.get(LogNumber(0)).unwrap().unwrap().key_hash;
    watermark.raise(LogNumber(0), row.head, key_hash).unwrap();
}

#[test]
fn a_head_that_was_raised_is_signed_after_a_crash() {
    let world = World::with_logs(1, LogIdentity::None);
    let pipeline = world.open();
    fill(&pipeline, 257);
    assert_eq!(pipeline.stop(), Stopped::Clean);
    drop(pipeline);
    raise_to_head(&world);
    check_and_stop(world.open(), 257);
}

#[test]
fn a_head_that_is_not_raised_is_not_signed() {
    let world = World::with_logs(2, LogIdentity::None);
    let path = world.dir.path().join("watermark");
    let pipeline = world.open();
    fill(&pipeline, 300);
    assert_eq!(pipeline.stop(), Stopped::Clean);
    drop(pipeline);

    // A file in memory can be sealed against writes while it is open.
    let before = watermark(&world);
    let memory =
        memfd_create("watermark", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    let mut memory = File::from(memory);
    memory.write_all(&before).unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(format!("/proc/self/fd/{}", memory.as_raw_fd()), &path).unwrap();
    let pipeline = world.open();
    let opened = watermark(&world);
    fcntl_add_seals(&memory, SealFlags::WRITE).unwrap();
    assert_eq!(append(&pipeline, "key", "there"), Err(Failure::Uncertain));
    assert_eq!(pipeline.log("").unwrap().published().head().size.get(), 300, "not signed");
    wait_for_the_end(&pipeline);
    assert_eq!(pipeline.stop(), Stopped::Poisoned);
    drop(pipeline);
    assert_eq!(watermark(&world), opened, "the watermark stands");

    // The next process finds the batch committed, raises and signs it.
    fs::remove_file(&path).unwrap();
    fs::write(&path, opened).unwrap();
    let pipeline = world.open();
    let again = append(&pipeline, "key", "there").unwrap();
    assert!(matches!(again, Outcome::Duplicate { index } if index.get() == 300), "{again:?}");
    check_log(&pipeline, &pipeline.log("").unwrap(), 301);
    check_log(&pipeline, &pipeline.log("log.example/1").unwrap(), 300);
    assert_eq!(pipeline.stop(), Stopped::Clean);
}

#[test]
fn a_log_whose_roots_differ_halts_alone() {
    let world = World::with_logs(2, LogIdentity::None);
    let armed = Armed::open(&world, |store| {
        Faulty::new(store, |store, rows| {
            let (first, others): (Vec<&LogRows>, Vec<&LogRows>) =
                rows.iter().partition(|rows| rows.log == LogNumber(0));
            let bad: Vec<LogRows> = first.iter().map(|rows| flipped(rows, "the root")).collect();
            store.commit(&bad.iter().chain(others).collect::<Vec<_>>())
        })
    });
    fill(&armed.pipeline, 300);
    let before = watermark(&world);
    armed.arm();
    assert_eq!(append(&armed.pipeline, "key", "never signed"), Err(Failure::Halted));
    let (first, second) = (armed.pipeline.logs().remove(0), armed.pipeline.logs().remove(1));
    assert_eq!((first.status(), second.status()), (LogStatus::Halted, LogStatus::Open));
    assert_eq!(first.published().head().size.get(), 300, "the last good head is read on");
    let refusal = armed.pipeline.submit(&first, entries(&["refused"])).unwrap_err();
    assert_eq!(refusal, Refusal::Halted);
    assert_eq!(watermark(&world), before, "nothing was signed");
    block_on(armed.pipeline.submit(&second, entries(&["goes on"])).unwrap()).unwrap();
    check_log(&armed.pipeline, &second, 301);
    assert_eq!(armed.pipeline.stop(), Stopped::Clean, "a halted log does not poison the others");
    drop((armed, first, second));

    // A restart leaves it out, and goes on with the other.
    let pipeline = world.open();
    assert_eq!(pipeline.log("").unwrap_err(), Refusal::Halted);
    check_log(&pipeline, &pipeline.log("log.example/1").unwrap(), 301);
    assert_eq!(pipeline.stop(), Stopped::Clean);
    drop(pipeline);

    // The way out.
    let marks = Watermark::open(&world.dir.path().join("watermark")).unwrap();
    let signed = marks.get(LogNumber(0)).unwrap().unwrap().head;
    drop(marks);
    let store = world.store();
    store.drop_unsigned(LogNumber(1), signed).unwrap_err();
    let dropped = store.drop_unsigned(LogNumber(0), signed).unwrap();
    assert_eq!((dropped.head, dropped.size.get()), (signed, 301));
    drop(store);
    let pipeline = world.open();
    let again = append(&pipeline, "key", "signed at last").unwrap();
    assert!(matches!(again, Outcome::Sequenced { index } if index.get() == 300), "{again:?}");
    check_and_stop(pipeline, 301);
}

#[test]
fn a_halt_that_fails_poisons() {
    let world = World::with_logs(1, LogIdentity::None);
    let armed = Armed::open(&world, |store| {
        let ledger = Faulty::new(store, |store, rows| {
            let bad: Vec<LogRows> = rows.iter().map(|rows| flipped(rows, "the root")).collect();
            store.commit(&bad.iter().collect::<Vec<_>>())
        });
        Faulty { halt_fails: true, ..ledger }
    });
    fill(&armed.pipeline, 300);
    let before = watermark(&world);
    armed.arm();
    append(&armed.pipeline, "key", "never signed").unwrap_err();
    armed.end();
    assert_eq!(watermark(&world), before, "nothing was signed");
    let refused = world.try_open(|store| Box::new(store.clone())).err().unwrap();
    assert!(matches!(refused, OpenError::Recover(RecoverError::Inconsistent { .. })), "{refused}");
    assert_eq!(watermark(&world), before, "nothing was signed");
}

#[test]
fn a_flipped_bit_is_never_signed() {
    for place in PLACES {
        // The process dies between the commit and the check.
        let world = World::with_logs(1, LogIdentity::None);
        let armed = Armed::open(&world, |store| {
            Faulty::new(store, move |store, rows| {
                let bad: Vec<LogRows> = rows.iter().map(|rows| flipped(rows, place)).collect();
                store.commit(&bad.iter().collect::<Vec<_>>()).unwrap();
                Err(StoreError::Poisoned)
            })
        });
        fill(&armed.pipeline, 200);
        let before = watermark(&world);
        armed.arm();
        let log = armed.pipeline.log("").unwrap();
        let texts: Vec<String> = (0..100).map(|number| format!("more {number}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let answer = block_on(armed.pipeline.submit(&log, entries(&texts)).unwrap());
        assert_eq!(answer.unwrap_err(), Failure::Uncertain);
        drop(log);
        armed.end();

        let refused = world.try_open(|store| Box::new(store.clone())).err();
        let refused = refused.unwrap_or_else(|| panic!("a log is opened with a flip in {place}"));
        assert!(refused.to_string().contains("good copy"), "the way out is named: {refused}");
        assert_eq!(watermark(&world), before, "nothing was signed with a flip in {place}");
    }
}

#[test]
fn the_second_computation_sees_every_flipped_bit() {
    let texts: Vec<String> = (0..700).map(|number| format!("entry {number}")).collect();
    let leaves: Vec<TreeHash> = texts.iter().map(|text| TreeHash::leaf(text.as_bytes())).collect();
    let integration = Edge::empty().append(&leaves);
    let claimed = integration.edge.head();
    let entries = texts.iter().map(String::as_bytes);
    let now = attestree::core::number::UnixMillis(1);
    let rows =
        LogRows::encode(LogNumber(0), now, TreeHead::empty(), entries, &integration, Vec::new());
    let check = |rows: &LogRows| {
        let segments = rows.segments.iter().map(|(_, bytes)| bytes.as_slice());
        let tiles = rows.tiles.iter().map(|(id, bytes)| (*id, bytes.as_slice()));
        SecondRoot::empty().check(segments, tiles, rows.head.head).map(|(second, _)| second.head())
    };
    assert_eq!(check(&rows).unwrap(), claimed);
    for place in PLACES {
        check(&flipped(&rows, place)).map(|_| panic!("a flip in {place} passes")).unwrap_err();
    }
    // Every byte of a tile, and of a segment.
    for at in 0..rows.tiles[0].1.len() {
        let mut bad = rows.clone();
        bad.tiles[0].1[at] ^= 1 << (at % 8);
        if at % 97 == 0 || at > 8_192 {
            check(&bad).map(|_| panic!("byte {at} of a tile passes")).unwrap_err();
        }
    }
    for at in 0..rows.segments[2].1.len() {
        let mut bad = rows.clone();
        bad.segments[2].1[at] ^= 1 << (at % 8);
        if at % 7 == 0 {
            check(&bad).map(|_| panic!("byte {at} of a segment passes")).unwrap_err();
        }
    }
}
