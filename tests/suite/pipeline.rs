//! The write path as a submitter sees it: indices, identities, atomic batches, limits and stops.

use std::sync::{Arc, Mutex, mpsc};

use attestree::{
    core::{
        number::{LeafIndex, LogNumber},
        origin::Origin,
        record::ApprovalRule,
    },
    pipeline::{Failure, Ledger, OpenError, Outcome, Refusal, Stopped},
    store::{Durable, LogIdentity, LogRows, LogState, Store, StoreError},
};

use crate::world::{World, block_on, check_log, entries, keyed, leaf};

fn at(index: u64) -> LeafIndex {
    LeafIndex::new(index).unwrap()
}

fn sequenced(index: u64) -> Outcome {
    Outcome::Sequenced { index: at(index) }
}

fn duplicate(index: u64) -> Outcome {
    Outcome::Duplicate { index: at(index) }
}

#[test]
fn an_answer_covers_its_entries_and_survives_a_restart() {
    let world = World::with_logs(1, LogIdentity::None);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    check_log(&pipeline, &log, 0);
    let first = block_on(pipeline.submit(&log, entries(&["a", "b"])).unwrap()).unwrap();
    assert_eq!(first.outcomes, [sequenced(0), sequenced(1)]);
    assert_eq!(first.leaf_hashes, [leaf("a"), leaf("b")]);
    assert_eq!(first.published.head().size.get(), 2);
    // Equal bytes are another entry where no identity says otherwise.
    let second = block_on(pipeline.submit(&log, entries(&["a"])).unwrap()).unwrap();
    assert_eq!(second.outcomes, [sequenced(2)]);
    check_log(&pipeline, &log, 3);
    let note = log.published().checkpoint.clone();
    assert_eq!(pipeline.stop(), Stopped::Clean);
    drop((pipeline, log));

    let pipeline = world.open();
    let log = pipeline.log("log.example/0").unwrap();
    assert_eq!(log.published().checkpoint.note(), note.note(), "the same head is signed alike");
    check_log(&pipeline, &log, 3);
    pipeline.stop();
}

#[test]
fn every_batch_size_around_a_tile_leaves_a_whole_log() {
    let world = World::with_logs(1, LogIdentity::None);
    let mut size = 0;
    for batch in [1, 254, 1, 1, 255, 256, 257, 3, 1_000, 4_096] {
        let pipeline = world.open();
        let log = pipeline.log("").unwrap();
        let texts: Vec<String> = (0..batch).map(|n| format!("entry {n} after {size}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let answer = block_on(pipeline.submit(&log, entries(&texts)).unwrap()).unwrap();
        assert_eq!(answer.outcomes.first(), Some(&sequenced(size)));
        size += batch;
        check_log(&pipeline, &log, size);
        assert_eq!(pipeline.stop(), Stopped::Clean);
    }
}

#[test]
fn a_repeated_key_gets_the_first_index_in_the_batch_in_flight_and_after_a_restart() {
    let world = World::with_logs(1, LogIdentity::None);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    let tickets = [
        pipeline.submit(&log, keyed(&[("k", "a"), ("l", "b"), ("k", "a")])).unwrap(),
        pipeline.submit(&log, keyed(&[("k", "a")])).unwrap(),
    ];
    let [first, second] = tickets.map(|ticket| block_on(ticket).unwrap());
    assert_eq!(first.outcomes, [sequenced(0), sequenced(1), duplicate(0)]);
    assert_eq!(second.outcomes, [duplicate(0)]);
    assert!(second.published.head().size.get() >= 2);
    pipeline.stop();
    drop((pipeline, log));

    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    let again = block_on(pipeline.submit(&log, keyed(&[("l", "b"), ("m", "c")])).unwrap()).unwrap();
    assert_eq!(again.outcomes, [duplicate(1), sequenced(2)]);
    check_log(&pipeline, &log, 3);
    pipeline.stop();
}

#[test]
fn a_key_used_for_another_entry_refuses_an_atomic_batch_whole() {
    let world = World::with_logs(1, LogIdentity::None);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    block_on(pipeline.submit(&log, keyed(&[("k", "a")])).unwrap()).unwrap();
    let failure = block_on(pipeline.submit(&log, keyed(&[("new", "x"), ("k", "b")])).unwrap());
    assert_eq!(failure.unwrap_err(), Failure::Conflict { position: 1, first: at(0) });
    // Nothing of the refused batch is left, its new key included.
    let answer = block_on(pipeline.submit(&log, keyed(&[("new", "y")])).unwrap()).unwrap();
    assert_eq!(answer.outcomes, [sequenced(1)]);
    // Inside one batch as well.
    let failure = block_on(pipeline.submit(&log, keyed(&[("p", "1"), ("p", "2")])).unwrap());
    assert_eq!(failure.unwrap_err(), Failure::Conflict { position: 1, first: at(2) });
    let mut single = keyed(&[("p", "3"), ("k", "other"), ("q", "4")]);
    single.atomic = false;
    let answer = block_on(pipeline.submit(&log, single).unwrap()).unwrap();
    assert_eq!(answer.outcomes, [sequenced(2), Outcome::Conflict { first: at(0) }, sequenced(3)]);
    check_log(&pipeline, &log, 4);
    pipeline.stop();
}

#[test]
fn keys_of_different_principals_never_meet() {
    let world = World::with_logs(1, LogIdentity::None);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    let mut theirs = keyed(&[("k", "theirs")]);
    theirs.principal = "alice".into();
    let ours = pipeline.submit(&log, keyed(&[("k", "ours")])).unwrap();
    let theirs = pipeline.submit(&log, theirs).unwrap();
    assert_eq!(block_on(ours).unwrap().outcomes, [sequenced(0)]);
    assert_eq!(block_on(theirs).unwrap().outcomes, [sequenced(1)]);
    pipeline.stop();
}

#[test]
fn entry_hash_identity_gives_equal_bytes_one_leaf_and_remembers_their_keys() {
    let world = World::with_logs(1, LogIdentity::EntryHash);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    let first = block_on(pipeline.submit(&log, entries(&["a", "b", "a"])).unwrap()).unwrap();
    assert_eq!(first.outcomes, [sequenced(0), sequenced(1), duplicate(0)]);
    // A batch of duplicates alone adds no leaf, but its new key is kept.
    let known = block_on(pipeline.submit(&log, keyed(&[("k", "b")])).unwrap()).unwrap();
    assert_eq!(known.outcomes, [duplicate(1)]);
    pipeline.stop();
    drop((pipeline, log));

    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    let failure = block_on(pipeline.submit(&log, keyed(&[("k", "c")])).unwrap());
    assert_eq!(failure.unwrap_err(), Failure::Conflict { position: 0, first: at(1) });
    let again = block_on(pipeline.submit(&log, entries(&["b"])).unwrap()).unwrap();
    assert_eq!(again.outcomes, [duplicate(1)]);
    check_log(&pipeline, &log, 2);
    pipeline.stop();
}

#[test]
fn an_identity_older_than_the_window_is_forgotten() {
    let mut world = World::with_logs(1, LogIdentity::None);
    world.limits.identity_window = Some(2);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    for (key, index) in [("a", 0), ("b", 1), ("c", 2)] {
        let answer = block_on(pipeline.submit(&log, keyed(&[(key, key)])).unwrap()).unwrap();
        assert_eq!(answer.outcomes, [sequenced(index)]);
    }
    let answer =
        block_on(pipeline.submit(&log, keyed(&[("b", "b"), ("a", "a")])).unwrap()).unwrap();
    assert_eq!(answer.outcomes, [duplicate(1), sequenced(3)]);
    pipeline.stop();
}

#[test]
fn a_thousand_logs_with_one_entry_each_are_all_answered() {
    let world = World::with_logs(200, LogIdentity::None);
    let pipeline = world.open();
    let tickets: Vec<_> = pipeline
        .logs()
        .iter()
        .flat_map(|log| ["x", "y"].map(|text| pipeline.submit(log, entries(&[text])).unwrap()))
        .collect();
    for (position, ticket) in (0_u64..).zip(tickets) {
        assert_eq!(block_on(ticket).unwrap().outcomes, [sequenced(position % 2)]);
    }
    for log in pipeline.logs() {
        check_log(&pipeline, &log, 2);
    }
    assert_eq!(pipeline.stop(), Stopped::Clean);
}

#[test]
fn a_noisy_log_leaves_room_for_the_others() {
    let mut world = World::with_logs(2, LogIdentity::None);
    world.limits.pool_entries = 8;
    world.limits.log_percent = 50;
    let pipeline = world.open();
    let logs = pipeline.logs();
    let mut tickets = Vec::new();
    let full = (0..100_000).find_map(|_| match pipeline.submit(&logs[0], entries(&["noise"])) {
        Ok(ticket) => {
            tickets.push(ticket);
            None
        }
        Err(refusal) => Some(refusal),
    });
    assert_eq!(full, Some(Refusal::LogFull), "four entries wait and the fifth is refused");
    tickets.push(pipeline.submit(&logs[1], entries(&["quiet"])).unwrap());
    for ticket in tickets {
        block_on(ticket).unwrap();
    }
    assert_eq!(pipeline.waiting(), (0, 0), "all room came back");
    pipeline.stop();
}

#[test]
fn what_no_log_can_keep_is_refused_at_once() {
    let world = World::with_logs(1, LogIdentity::None);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    let refused = |submission| pipeline.submit(&log, submission).unwrap_err();
    assert_eq!(refused(entries(&[])), Refusal::Empty);
    assert!(matches!(refused(entries(&["a", ""])), Refusal::Entry { position: 1, .. }));
    let long = "x".repeat(65_536);
    assert!(matches!(refused(entries(&[&long])), Refusal::Entry { position: 0, .. }));
    let key = "k".repeat(257);
    assert_eq!(refused(keyed(&[(&key, "a")])), Refusal::KeyLength { position: 0, bytes: 257 });
    assert_eq!(refused(keyed(&[("", "a")])), Refusal::KeyLength { position: 0, bytes: 0 });
    assert_eq!(refused(entries(&vec!["a"; 4_097])), Refusal::TooMany { entries: 4_097 });
    let large = "x".repeat(65_535);
    assert!(matches!(refused(entries(&vec![large.as_str(); 300])), Refusal::TooLarge { .. }));
    assert_eq!(pipeline.log("nowhere.example/x").unwrap_err(), Refusal::UnknownLog);
    pipeline.report_free_space(0);
    check_log(&pipeline, &log, 0);
    pipeline.stop();
    assert_eq!(refused(entries(&["late"])), Refusal::ShuttingDown);
}

#[test]
fn too_little_space_refuses_entries_and_keeps_serving_reads() {
    let mut world = World::with_logs(1, LogIdentity::None);
    world.limits.free_bytes_min = 1_000;
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    block_on(pipeline.submit(&log, entries(&["a"])).unwrap()).unwrap();
    pipeline.report_free_space(999);
    assert_eq!(pipeline.submit(&log, entries(&["b"])).unwrap_err(), Refusal::NoSpace);
    check_log(&pipeline, &log, 1);
    pipeline.report_free_space(1_000);
    block_on(pipeline.submit(&log, entries(&["b"])).unwrap()).unwrap();
    pipeline.stop();
}

#[test]
fn stopping_answers_everything_that_was_admitted() {
    let world = World::with_logs(3, LogIdentity::None);
    let pipeline = world.open();
    let logs = pipeline.logs();
    let tickets: Vec<_> = (0..300)
        .map(|n| pipeline.submit(&logs[n % 3], entries(&["last words"])).unwrap())
        .collect();
    assert_eq!(pipeline.stop(), Stopped::Clean);
    for ticket in tickets {
        block_on(ticket).unwrap();
    }
    for log in &logs {
        check_log(&pipeline, log, 100);
    }
}

/// A ledger that takes a step for each commit, and panics when there are no more.
struct Stepping {
    store: Store,
    steps: Mutex<mpsc::Receiver<()>>,
    entries: mpsc::Sender<u64>,
}

impl Ledger for Stepping {
    fn commit(&self, rows: &[&LogRows]) -> Result<Vec<Durable>, StoreError> {
        let entries = rows.iter().map(|rows| rows.head.head.size.get() - rows.from.get()).sum();
        self.entries.send(entries).unwrap();
        self.steps.lock().unwrap().recv().expect("the test allows another commit");
        self.store.commit(rows)
    }

    fn halt(&self, log: LogNumber, reason: &str) -> Result<(), StoreError> {
        self.store.halt(log, reason)
    }
}

#[test]
fn what_arrives_during_a_commit_is_the_next_one_and_a_panic_in_it_strands_nobody() {
    let world = World::with_logs(1, LogIdentity::None);
    let (step, steps) = mpsc::channel();
    let (counted, commits) = mpsc::channel();
    let pipeline = world.try_open(|store| {
        Box::new(Stepping { store: store.clone(), steps: Mutex::new(steps), entries: counted })
    });
    let pipeline = pipeline.unwrap();
    let log = pipeline.log("").unwrap();
    let submit = |bytes: &[&str]| pipeline.submit(&log, entries(bytes)).unwrap();

    let first = submit(&["a"]);
    assert_eq!(commits.recv().unwrap(), 1, "an idle log commits one entry at once");
    let others = [submit(&["b"]), submit(&["c", "d"]), submit(&["e"])];
    step.send(()).unwrap();
    block_on(first).unwrap();
    assert_eq!(commits.recv().unwrap(), 4, "whatever waited is one commit");
    let late = submit(&["f"]);
    step.send(()).unwrap();
    for ticket in others {
        block_on(ticket).unwrap();
    }
    check_log(&pipeline, &log, 5);

    assert_eq!(commits.recv().unwrap(), 1);
    let last = submit(&["g"]);
    drop(step);
    assert_eq!(block_on(late).unwrap_err(), Failure::Uncertain);
    assert_eq!(block_on(last).unwrap_err(), Failure::Uncertain);
    assert_eq!(pipeline.stop(), Stopped::Poisoned);
}

#[test]
fn a_log_created_while_serving_takes_entries_and_is_there_after_a_restart() {
    let world = World::with_logs(1, LogIdentity::None);
    let pipeline = world.open();
    let (row, key) = world.row(pipeline.store(), "log.example/late", LogIdentity::EntryHash);
    let log = pipeline.create_log(&row, key, &ApprovalRule::NOBODY).unwrap();
    block_on(pipeline.submit(&log, entries(&["a", "a"])).unwrap()).unwrap();
    check_log(&pipeline, &log, 1);
    let (mut again, key) = world.row(pipeline.store(), "log.example/other", LogIdentity::None);
    again.origin = Origin::parse("elsewhere.example/late").unwrap();
    assert!(
        pipeline.create_log(&again, key, &ApprovalRule::NOBODY).is_err(),
        "both would be served under /late"
    );
    pipeline.stop();
    drop((pipeline, log));

    let pipeline = world.open();
    check_log(&pipeline, &pipeline.log("log.example/late").unwrap(), 1);
    pipeline.stop();
}

#[test]
fn a_clock_behind_the_newest_entry_opens_nothing() {
    let world = World::with_logs(1, LogIdentity::None);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    block_on(pipeline.submit(&log, entries(&["a"])).unwrap()).unwrap();
    pipeline.stop();
    drop((pipeline, log));
    world.clock.back(1_001);
    let refused = world.try_open(|store| Box::new(store.clone())).err().unwrap();
    assert!(matches!(refused, OpenError::ClockBehind { behind_ms: 1_001, .. }), "{refused}");
}

#[test]
fn a_closed_log_whose_data_is_lost_keeps_no_other_from_starting() {
    let world = World::with_logs(2, LogIdentity::None);
    let copy = world.dir.path().join("copy");
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    block_on(pipeline.submit(&log, entries(&["a"])).unwrap()).unwrap();
    pipeline.store().backup(&copy).unwrap();
    block_on(pipeline.submit(&log, entries(&["b"])).unwrap()).unwrap();
    pipeline.stop();
    drop((pipeline, log));

    // The older copy takes the place of the data; the watermark stays.
    let database = world.dir.path().join("db");
    std::fs::remove_dir_all(&database).unwrap();
    std::fs::rename(copy, database).unwrap();
    let refused = world.try_open(|store| Box::new(store.clone())).err().unwrap();
    assert!(matches!(refused, OpenError::Recover(_)), "{refused}");

    let store = world.store();
    store.set_log_state(LogNumber(0), LogState::Closed).unwrap();
    drop(store);
    let pipeline = world.open();
    assert_eq!(pipeline.log("log.example/0").unwrap_err(), Refusal::Halted);
    assert_eq!(pipeline.log("").unwrap_err(), Refusal::Halted, "no other log becomes the default");
    let other = pipeline.log("log.example/1").unwrap();
    block_on(pipeline.submit(&other, entries(&["c"])).unwrap()).unwrap();
    check_log(&pipeline, &other, 1);
    pipeline.stop();
}

#[test]
fn a_closed_log_is_read_and_takes_nothing() {
    let world = World::with_logs(1, LogIdentity::None);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    block_on(pipeline.submit(&log, entries(&["a"])).unwrap()).unwrap();
    pipeline.stop();
    drop((pipeline, log));
    let store = world.store();
    store.set_log_state(LogNumber(0), LogState::Closed).unwrap();
    drop(store);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    assert_eq!(pipeline.submit(&log, entries(&["b"])).unwrap_err(), Refusal::Closed);
    check_log(&pipeline, &log, 1);
    pipeline.stop();
}

#[test]
fn watchers_see_the_newest_head_and_slow_ones_skip() {
    let world = World::with_logs(1, LogIdentity::None);
    let pipeline = world.open();
    let log = pipeline.log("").unwrap();
    let mut slow = log.watch();
    assert_eq!(slow.borrow_and_update().head().size.get(), 0);
    for _ in 0..10 {
        block_on(pipeline.submit(&log, entries(&["a"])).unwrap()).unwrap();
    }
    assert!(slow.has_changed().unwrap());
    assert_eq!(slow.borrow_and_update().head().size.get(), 10);
    assert!(Arc::ptr_eq(&log.published(), &*slow.borrow()));
    pipeline.stop();
}
