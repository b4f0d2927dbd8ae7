//! SIGKILL under a storm of events.

use std::thread;

use super::{
    book::Book,
    check::{check, check_disk, check_state, send_again},
    place::{Access, with_log},
    writer::{Writer, storm},
};
use crate::crash::{
    kill::spin,
    process::{PATIENCE, was_killed},
    random::Random,
    runtime, setting,
};

/// Rounds of a run without a setting: some five seconds on two cores.
const KILLS: u64 = 10;

/// Answers of a round before the kill, at most.
const ROUND_ANSWERS_MAX: u64 = 400;

/// Longest time, in microseconds, between the last awaited answer and the kill: several cycles of the write
/// path.
const KILL_MICROS_MAX: u64 = 5_000;

#[test]
fn no_event_that_was_acknowledged_is_lost_by_kills() {
    let random = &mut Random::seeded("kill under events");
    let runtime = runtime();
    let access = Access::new();
    let (site, log) = with_log();
    let book = Book::new(&log);
    let mut server = access.serve(&site);
    let source = runtime.block_on(async {
        let mut writer = Writer::new(&access.connect(&site, &server).await.unwrap(), &book);
        let source = writer.source().await;
        writer.script(&source).await.unwrap();
        source
    });
    for _ in 0..setting("KILLS").unwrap_or(KILLS) {
        let door = runtime.block_on(access.connect(&site, &server)).unwrap();
        let (goal, delay) = (1 + random.below(ROUND_ANSWERS_MAX), random.below(KILL_MICROS_MAX));
        let goal = *book.progress().borrow() + goal;
        let mut storm_random = random.fork();
        thread::scope(|scope| {
            let storm =
                scope.spawn(|| runtime.block_on(storm(&door, &book, &source, &mut storm_random)));
            let reached = runtime.block_on(async {
                let mut progress = book.progress();
                let reached = progress.wait_for(|count| *count >= goal);
                tokio::time::timeout(PATIENCE, reached).await.is_ok()
            });
            assert!(reached, "the server stopped answering; it said: {}", server.stderr());
            spin(delay);
            let status = server.kill();
            assert!(was_killed(status), "the server was there until it was killed: {status}");
            storm.join().unwrap();
        });

        check_disk(&site, &book.ledger(), random);
        server = access.serve(&site);
        runtime.block_on(async {
            let door = access.connect(&site, &server).await.unwrap();
            check(&door, &book).await;
            send_again(&door, &book, random).await;
            check_state(&door, &book, &source).await;
        });
    }
    assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
    check_disk(&site, &book.ledger(), random);
    println!("kill under events: {} answers in all", book.progress().borrow().to_owned());
}
