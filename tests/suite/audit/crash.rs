//! Commits that fail, in both forms, and starts after them: all of a batch is there or nothing.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use attestree::{
    core::{
        number::LogNumber,
        policy::{Condition, Glob, Selector, Suppression, Test, Watch, WatchedSource},
        record::{ApprovalRule, Path},
    },
    pipeline::{Applying, Failure, Ledger, Outcome, Pipeline},
    store::{Durable, LogRows, Store, StoreError},
};

use super::{
    append::statements,
    site::{Line, Site, Stated, apply, check, events, events_of, source, states, submit},
};
use crate::world::block_on;

/// A ledger that fails once it is armed: before the write, or after it.
#[derive(Clone)]
struct Faulty {
    store: Store,
    armed: Arc<AtomicBool>,
    written: bool,
}

impl Ledger for Faulty {
    fn commit(&self, rows: &[&LogRows]) -> Result<Vec<Durable>, StoreError> {
        if !self.armed.load(Ordering::SeqCst) {
            return self.store.commit(rows);
        }
        if self.written {
            self.store.commit(rows)?;
        }
        Err(StoreError::Poisoned)
    }

    fn halt(&self, log: LogNumber, reason: &str) -> Result<(), StoreError> {
        self.store.halt(log, reason)
    }
}

/// Opens a site over a ledger that can be armed.
pub fn open(site: &Site, written: bool) -> (Pipeline, Arc<AtomicBool>) {
    let armed = Arc::new(AtomicBool::new(false));
    let kept = Mutex::new(Some(Arc::clone(&armed)));
    let pipeline = site.try_open(|store| {
        let armed = kept.lock().unwrap().take().unwrap();
        Box::new(Faulty { store: store.clone(), armed, written })
    });
    (pipeline.unwrap(), armed)
}

fn of_kind<'l>(lines: &'l [Line], kind: &str) -> Vec<&'l Line> {
    lines.iter().filter(|line| line.kind == kind).collect()
}

#[test]
fn a_log_whose_genesis_failed_gets_one_at_the_next_start() {
    for written in [false, true] {
        let site = Site::new(&ApprovalRule::NOBODY);
        let armed = Arc::new(AtomicBool::new(true));
        let pipeline = site
            .try_open(|store| Box::new(Faulty { store: store.clone(), armed, written }))
            .unwrap();
        let mut fatal = pipeline.fatal();
        block_on(fatal.wait_for(|fatal| *fatal)).unwrap();
        pipeline.stop();
        drop(pipeline);
        let pipeline = site.open();
        let log = pipeline.log("").unwrap();
        submit(&pipeline, &log, events(&["{}"]));
        let lines = check(&pipeline, &log);
        assert_eq!(lines.len(), 2, "one genesis, and the event");
        pipeline.stop();
    }
}

#[test]
fn a_policy_whose_commit_fails_is_there_whole_or_not_at_all() {
    for written in [false, true] {
        let site = Site::new(&ApprovalRule::NOBODY);
        let (pipeline, armed) = open(&site, written);
        let log = pipeline.log("").unwrap();
        let one = site.state("one", states(statements()));
        let two = site.state(&"two".repeat(40_000), states(statements()));
        apply(&pipeline, &log, &one);
        armed.store(true, Ordering::SeqCst);
        let failure = block_on(pipeline.apply_policy(&log, &two, Applying::default()).unwrap());
        assert_eq!(failure.unwrap_err(), Failure::Uncertain);
        assert_eq!(
            pipeline.active_policy(&log).unwrap().0,
            one.digest(),
            "nothing else was signed"
        );
        pipeline.stop();
        drop((pipeline, log));
        let pipeline = site.open();
        let log = pipeline.log("").unwrap();
        let expected = if written { &two } else { &one };
        assert_eq!(pipeline.active_policy(&log).unwrap().0, expected.digest());
        let answer = submit(&pipeline, &log, events(&["{}"]));
        assert!(matches!(answer.outcomes[0], Outcome::Sequenced { .. }));
        let lines = check(&pipeline, &log);
        assert_eq!(of_kind(&lines, "policy").len(), 1 + usize::from(written));
        assert_eq!(lines.last().unwrap().policy, Some(expected.digest()));
        pipeline.stop();
    }
}

/// Reads are counted, and a source is numbered.
fn watched() -> Stated {
    let numbered = WatchedSource {
        sources: vec![Glob::new(&source(1))],
        rule: "source/one".to_owned(),
        numbered: true,
        heartbeat_seconds: None,
    };
    let read = Test::Exact("read".to_owned());
    let when = vec![Condition::field(Path::parse("/act").unwrap(), read)];
    let select = Selector { when, ..Selector::default() };
    let counted = Suppression { rule: "quiet/read".to_owned(), select, every_seconds: 60 };
    let watch = Watch {
        sources: vec![numbered],
        suppressions: vec![counted],
        required: vec!["login".to_owned()],
        ..Watch::default()
    };
    Stated { watch, ..states(statements()) }
}

#[test]
fn counts_and_numbers_are_exact_after_a_crash() {
    for written in [false, true] {
        let site = Site::new(&ApprovalRule::NOBODY);
        let (pipeline, armed) = open(&site, written);
        let log = pipeline.log("").unwrap();
        apply(&pipeline, &log, &site.state("watched", watched()));
        let read = r#"{"act":"read"}"#;
        for _ in 0..5 {
            let answer = submit(&pipeline, &log, events(&[read, read]));
            assert_eq!(answer.outcomes, [Outcome::Suppressed, Outcome::Suppressed]);
        }
        submit(&pipeline, &log, events_of(1, &[r#"{"seq":7}"#, r#"{"seq":8}"#]));
        armed.store(true, Ordering::SeqCst);
        let texts = [read, read, read];
        let failure = block_on(pipeline.submit(&log, events(&texts)).unwrap()).unwrap_err();
        assert_eq!(failure, Failure::Uncertain);
        pipeline.stop();
        drop((pipeline, log));
        let pipeline = site.open();
        let log = pipeline.log("").unwrap();
        // Nothing was lost: the next number is the next. And twelve seconds more do not end the minute.
        site.clock.pass(12_000);
        submit(&pipeline, &log, events_of(1, &[r#"{"seq":9}"#]));
        assert!(of_kind(&check(&pipeline, &log), "suppressed").is_empty());
        site.clock.pass(49_000);
        pipeline.look_at_clock().unwrap();
        submit(&pipeline, &log, events_of(1, &[r#"{"seq":10}"#]));
        let lines = check(&pipeline, &log);
        let told = of_kind(&lines, "suppressed");
        assert_eq!(told.len(), 1);
        let expected = if written { "13" } else { "10" };
        assert_eq!(told[0].at("/ctx/count").as_deref(), Some(expected));
        assert_eq!(told[0].at("/ctx/rule").as_deref(), Some("quiet/read"));
        assert!(of_kind(&lines, "gap").is_empty() && of_kind(&lines, "conflict").is_empty());
        pipeline.stop();
    }
}
