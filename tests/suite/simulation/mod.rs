//! A log, five witnesses, a monitor and an auditor in one process, under a virtual clock and one seed.
//!
//! The log's operator is honest, or lies in every way that [`lie`] knows. Two of the witnesses
//! collude: they cosign whatever he has signed. Messages are late, lost, doubled and overtaken;
//! links are cut; witnesses, monitor and log crash, witnesses also between a write and its answer.
//! What decides is the code that ships: `core`'s tree, notes, rules of witnesses, trust policies,
//! receipts and evidence. The laws, checked as each thing happens:
//!
//! 1. Quorums never cosign two checkpoints that can't both be true, and no client is given two
//!    entries at one index under a quorum.
//! 2. An honest witness never cosigns two histories, nor a smaller tree after a larger one.
//! 3. If honest parties hold checkpoints that can't both be true, and tell each other, then somebody has
//!    evidence; but a log that never answers again is only called unresponsive, unless two roots of
//!    one size are among them.
//! 4. All evidence convicts under [`Evidence::judge`](attestree::core::evidence::Evidence::judge), and
//!    rightly so. An honest log is never convicted, and is trusted again once the trouble is over.
//!
//! # How large a quorum has to be
//!
//! Two quorums of `q` among `n` witnesses have at least `2q - n` members in common. At least one of
//! these must be honest, so with `c` colluders `2q - n > c`: for `n = 5` and `c = 2` that is `q = 4`.
//! Three of five would not do: one honest witness and the two colluders cosign one history, another
//! honest one and the same two the other. What 4 costs is that two who refuse to sign stop the
//! quorum; they can't forge it.
//!
//! `ATTESTREE_SIMULATION_SEED` is the seed of the first run, those of the others follow it;
//! `ATTESTREE_SIMULATION_RUNS` is the number of runs of each test.

mod auditor;
mod history;
mod law;
mod lie;
mod monitor;
mod network;
mod operator;
mod witness;
mod world;

use std::hash::{BuildHasher as _, RandomState};

use law::Broken;
use lie::LIES;
use witness::Flaw;
use world::{Setup, Tally, World};

/// An honest log and two witnesses who would not mind if it were not.
const HONEST: Setup = Setup { lying: false, colluders: 2, quorum: 4, flaw: None, gossip: true };

/// A lying log.
const LYING: Setup = Setup { lying: true, ..HONEST };

/// Most runs until a world that has to break a law has broken it.
const PATIENCE: u64 = 2_000;

/// Lines of the story of a run that are told when a law is broken.
const STORY_LINES: usize = 40;

/// Reads one of the numbers that tune these tests.
#[expect(clippy::disallowed_methods, reason = "the tests' own settings, not the server's")]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(format!("ATTESTREE_SIMULATION_{name}")).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("ATTESTREE_SIMULATION_{name} is a number: {text}")))
}

/// Returns the seeds of a test's runs, and prints the first.
fn seeds(test: &str, runs: u64) -> impl Iterator<Item = u64> {
    let first = setting("SEED").unwrap_or_else(|| RandomState::new().hash_one(test));
    let runs = setting("RUNS").unwrap_or(runs);
    eprintln!("{test}: {runs} runs from ATTESTREE_SIMULATION_SEED={first}");
    (0..runs).map(move |run| first.wrapping_add(run))
}

/// Runs worlds in which the laws hold; returns what happened in all of them.
fn obey(test: &str, setup: Setup, runs: u64) -> Tally {
    let mut tally = Tally::new();
    for seed in seeds(test, runs) {
        let mut world = World::new(seed, setup, false);
        if let Err(broken) = world.run() {
            let mut world = World::new(seed, setup, true);
            assert_eq!(world.run(), Err(broken.clone()), "the same seed tells the same story");
            let story = world.story.unwrap_or_default();
            let end = story.len().saturating_sub(STORY_LINES);
            panic!(
                "{test}: {broken:?}\n{}\nATTESTREE_SIMULATION_SEED={seed} \
                 ATTESTREE_SIMULATION_RUNS=1 repeats it",
                story[end..].join("\n")
            );
        }
        for (what, times) in world.tally {
            *tally.entry(what).or_default() += times;
        }
    }
    eprintln!("{test}: {tally:#?}");
    tally
}

/// Runs worlds until one breaks a law, which must be one that is expected.
fn break_law(test: &str, setup: Setup, is_expected: impl Fn(&Broken) -> bool) {
    let broken = seeds(test, PATIENCE).find_map(|seed| World::new(seed, setup, false).run().err());
    let broken = broken.expect("a world that is wrong breaks a law");
    assert!(is_expected(&broken), "another law is broken: {broken:?}");
}

/// Asserts that each of these happened, unless so few runs were asked for that it need not.
fn assert_happened<'w>(tally: &Tally, whats: impl IntoIterator<Item = &'w str>) {
    if setting("RUNS").is_none() {
        for what in whats {
            assert!(tally.contains_key(what), "{what:?} happens: {tally:#?}");
        }
    }
}

#[test]
fn honest_log_is_trusted_and_never_convicted() {
    let tally = obey("honest log", HONEST, 400);
    assert!(!tally.contains_key("run with contradictions"), "{tally:#?}");
    let troubles = ["partition", "restart of the log", "crash between acceptance and answer"];
    assert_happened(&tally, troubles);
}

#[test]
fn lying_log_never_gets_a_quorum_for_two_histories_and_is_convicted() {
    let tally = obey("lying log", LYING, 1_600);
    assert_happened(&tally, LIES.map(|lie| format!("{lie:?}")).iter().map(String::as_str));
    assert_happened(
        &tally,
        [
            "partition",
            "crash between acceptance and answer",
            "run with a quorum",
            "run with contradictions",
            "run with evidence",
            "run with a silent log",
            "run with a frozen witness",
            "run with receipts of a quorum",
            "evidence of a witness",
        ],
    );
}

#[test]
fn three_of_five_are_too_few_beside_two_colluders() {
    let setup = Setup { quorum: 3, ..LYING };
    break_law("three of five", setup, |broken| matches!(broken, Broken::TwoHistories(..)));
}

#[test]
fn four_of_five_are_too_few_beside_three_colluders() {
    let setup = Setup { colluders: 3, ..LYING };
    break_law("three colluders", setup, |broken| matches!(broken, Broken::TwoHistories(..)));
}

#[test]
fn witness_that_answers_before_it_writes_is_caught() {
    let setup = Setup { flaw: Some(Flaw::AnswersFirst), ..LYING };
    break_law("answers first", setup, |broken| {
        matches!(broken, Broken::TwoFaced(..) | Broken::WentBack(..))
    });
}

#[test]
fn witness_that_judges_two_requests_at_once_is_caught() {
    let setup = Setup { flaw: Some(Flaw::JudgesTogether), ..LYING };
    break_law("judges together", setup, |broken| {
        matches!(broken, Broken::TwoFaced(..) | Broken::WentBack(..))
    });
}

#[test]
fn lies_go_unnoticed_where_nobody_compares() {
    let setup = Setup { gossip: false, ..LYING };
    break_law("no gossip", setup, |broken| matches!(broken, Broken::Unnoticed(..)));
}

#[test]
fn one_seed_tells_one_story() {
    let story = |seed| {
        let mut world = World::new(seed, LYING, true);
        world.run().expect("the laws hold");
        world.story.expect("the story was asked for")
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}
