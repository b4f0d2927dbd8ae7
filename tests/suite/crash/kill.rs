//! SIGKILL at random moments.

use std::{hint::spin_loop, thread, time::Duration};

use super::{
    audit::{check_logs, send_again},
    ledger::Book,
    load::storm,
    process::{PATIENCE, was_killed},
    random::Random,
    runtime, setting,
    site::{HASHED, Site},
};

/// Rounds of a run without a setting: some 25 seconds on two cores.
const KILLS: u64 = 12;

/// Entries that a round acknowledges at most before the kill.
const ROUND_ENTRIES_MAX: u64 = 1_500;

/// Longest time, in microseconds, between the last awaited acknowledgement and the kill: several
/// cycles of the write path, so that the kill meets each of its stages.
const KILL_MICROS_MAX: u64 = 5_000;

/// Longest time, in microseconds, that a start which is to be killed gets: a whole recovery.
const START_MICROS_MAX: u64 = 60_000;

/// Passes time without sleeping: the kill has to be precise to the microsecond.
pub(crate) fn spin(micros: u64) {
    let clock = std::time::Instant::now();
    while clock.elapsed() < Duration::from_micros(micros) {
        spin_loop();
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_renumbered_by_kills() {
    let random = &mut Random::seeded("kill");
    let runtime = runtime();
    let (site, logs) = Site::with_logs();
    let book = Book::new(&logs);
    for round in 0..setting("KILLS").unwrap_or(KILLS) {
        if random.chance(30) {
            let mut starting = site.spawn(&[], None);
            spin(random.below(START_MICROS_MAX));
            starting.kill();
        }
        let mut server = site.serve();
        let goal = 1 + random.below(ROUND_ENTRIES_MAX);
        let delay = random.below(KILL_MICROS_MAX);
        let mut load_random = random.fork();
        let before = *book.progress().borrow();
        let url = server.url();
        thread::scope(|scope| {
            let storm = scope.spawn(|| runtime.block_on(storm(&url, &book, &mut load_random)));
            let reached = runtime.block_on(async {
                let mut progress = book.progress();
                let goal = progress.wait_for(|count| *count >= before + goal);
                tokio::time::timeout(PATIENCE, goal).await.is_ok()
            });
            assert!(reached, "the server stopped answering; it said: {}", server.stderr());
            spin(delay);
            let status = server.kill();
            assert!(was_killed(status), "the server was there until it was killed: {status}");
            storm.join().unwrap();
        });

        site.fsck();
        let mut server = site.serve();
        let url = server.url();
        runtime.block_on(async {
            check_logs(&url, &book.ledger(), random).await;
            send_again(&url, &book, HASHED, random).await;
            check_logs(&url, &book.ledger(), random).await;
        });
        // Every second round goes on with what the kill left, without an orderly end between.
        let status = if round % 2 == 0 { server.stop() } else { server.kill() };
        assert!(round % 2 == 1 || status.success(), "an orderly end is a success: {status}");
    }
    println!("kill: {} entries acknowledged in all", book.progress().borrow().to_owned());
}
