//! Sources, noise and alerts: what follows of events over time is in the log.

use attestree::{
    core::{
        policy::{
            Alert, Condition, Glob, Selector, Suppression, Test, Trigger, Watch, WatchedSource,
        },
        record::{ApprovalRule, Path, Verdict},
    },
    pipeline::Outcome,
};

use super::{
    append::statements,
    site::{Line, Site, Stated, apply, check, events, events_of, source, states, submit},
};

/// The system's records of a kind, shortly.
fn told(lines: &[Line], kind: &str, at: &[&str]) -> Vec<Vec<String>> {
    lines
        .iter()
        .filter(|line| line.kind == kind)
        .map(|line| at.iter().map(|path| line.at(path).unwrap_or_default()).collect())
        .collect()
}

/// The condition that a text stands at a place.
pub(super) fn exact(path: &str, text: &str) -> Condition {
    Condition::field(Path::parse(path).unwrap(), Test::Exact(text.to_owned()))
}

fn watched(watch: Watch) -> Stated {
    Stated { watch, ..states(statements()) }
}

#[test]
fn numbers_of_a_source_that_are_missing_late_or_there_twice_are_records() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let of = |principal, numbered| WatchedSource {
        sources: vec![Glob::new(&source(principal))],
        rule: format!("source/{principal}"),
        numbered,
        heartbeat_seconds: None,
    };
    let watch = Watch { sources: vec![of(1, true), of(2, false)], ..Watch::default() };
    apply(&pipeline, &log, &site.state("watched", watched(watch)));
    let send = |principal, numbers: &[u64]| {
        for number in numbers {
            submit(&pipeline, &log, events_of(principal, &[&format!(r#"{{"seq":{number}}}"#)]));
        }
    };
    send(2, &[9, 3, 3]);
    submit(&pipeline, &log, events(&[r#"{"seq":5}"#]));
    send(1, &[41, 42, 50, 45, 45, 42]);
    // The records of one submission stand together, and what follows of them comes after.
    let answer = submit(&pipeline, &log, events_of(1, &[r#"{"seq":60}"#, r#"{"seq":61}"#]));
    let [Outcome::Sequenced { index: a }, Outcome::Sequenced { index: b }] = answer.outcomes[..]
    else {
        panic!("both are new")
    };
    assert_eq!(a.get() + 1, b.get());
    // A number that came with what is quarantined has come.
    submit(&pipeline, &log, events_of(1, &[r#"{"seq":62,"class":"login"}"#]));
    send(1, &[63]);
    let lines = check(&pipeline, &log);
    let one = source(1);
    assert_eq!(
        told(&lines, "gap", &["/source", "/ctx/from", "/ctx/to"]),
        [[one.as_str(), "43", "50"], [one.as_str(), "51", "60"]]
    );
    assert_eq!(told(&lines, "late", &["/source", "/seq"]), [[one.as_str(), "45"]]);
    assert_eq!(
        told(&lines, "conflict", &["/source", "/seq"]),
        [[one.as_str(), "45"], [one.as_str(), "42"]]
    );
    pipeline.stop();
}

#[test]
fn silence_is_a_record_once_and_again_after_a_sign_of_life() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let heard = WatchedSource {
        sources: vec![Glob::new(&source(1))],
        rule: "source/one".to_owned(),
        numbered: false,
        heartbeat_seconds: Some(30),
    };
    let select = Selector { classes: vec!["backup".to_owned()], ..Selector::default() };
    let trigger = Trigger::Absence { seconds: 100 };
    let backup = Alert { rule: "backup/none".to_owned(), select, trigger, to: Vec::new() };
    let watch = Watch { sources: vec![heard], alerts: vec![backup], ..Watch::default() };
    apply(&pipeline, &log, &site.state("watched", watched(watch)));
    let pass = |seconds: u64| {
        site.clock.pass(seconds * 1_000);
        pipeline.look_at_clock().unwrap();
        submit(&pipeline, &log, events(&["{}"]));
    };
    pass(29);
    pass(2);
    pass(60);
    submit(&pipeline, &log, events_of(1, &["{}"]));
    pass(10);
    pass(19);
    pass(2);
    let lines = check(&pipeline, &log);
    let alerts = told(&lines, "alert", &["/ctx/rule", "/ctx/kind", "/ctx/count", "/source"]);
    let one = source(1);
    assert_eq!(
        alerts,
        [
            ["source/one", "absence", "0", one.as_str()],
            ["backup/none", "absence", "0", ""],
            ["source/one", "absence", "0", one.as_str()],
        ]
    );
    pipeline.stop();
}

#[test]
fn alerts_on_a_match_and_on_a_threshold_follow_their_events() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let hidden = Selector { verdicts: vec![Verdict::Quarantine], ..Selector::default() };
    let failed = Selector { when: vec![exact("/out", "failure")], ..Selector::default() };
    let alert = |rule: &str, select, trigger| Alert {
        rule: rule.to_owned(),
        select,
        trigger,
        to: Vec::new(),
    };
    let watch = Watch {
        alerts: vec![
            alert("alert/hidden", hidden, Trigger::Match),
            alert(
                "alert/failures",
                failed,
                Trigger::Threshold { count: 3, seconds: 10, by: Vec::new() },
            ),
        ],
        ..Watch::default()
    };
    apply(&pipeline, &log, &site.state("watched", watched(watch)));
    submit(&pipeline, &log, events(&[r#"{"class":"login"}"#]));
    let fail = |millis| {
        site.clock.pass(millis);
        submit(&pipeline, &log, events(&[r#"{"out":"failure"}"#]));
    };
    // Two in one window, then three in the next; the fourth begins another.
    [0, 1_000, 10_000, 1_000, 1_000, 1_000].into_iter().for_each(fail);
    let lines = check(&pipeline, &log);
    let alerts = told(&lines, "alert", &["/ctx/rule", "/ctx/kind", "/ctx/count"]);
    assert_eq!(alerts, [["alert/hidden", "match", "1"], ["alert/failures", "threshold", "3"]]);
    pipeline.stop();
}

#[test]
fn noise_is_counted_and_never_of_a_required_class_or_one_that_breaks_a_rule() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let all = Suppression {
        rule: "quiet/all".to_owned(),
        select: Selector::default(),
        every_seconds: 3_600,
    };
    let required = vec!["deploy".to_owned()];
    let watch = Watch { suppressions: vec![all], required, ..Watch::default() };
    let noisy = site.state("noisy", watched(watch));
    apply(&pipeline, &log, &noisy);
    let deploy = r#"{"class":"deploy","ctx":{"ticket":"T-1"}}"#;
    let answer = submit(
        &pipeline,
        &log,
        events(&[r#"{"act":"a"}"#, deploy, r#"{"class":"noise"}"#, r#"{"class":"login"}"#, deploy]),
    );
    let kept: Vec<bool> =
        answer.outcomes.iter().map(|outcome| *outcome != Outcome::Suppressed).collect();
    assert_eq!(kept, [false, true, false, true, true]);
    assert_eq!(answer.records.iter().flatten().count(), 3);
    // A policy that ends tells what it has counted, before the next one governs.
    let next = site.state("next", states(statements()));
    apply(&pipeline, &log, &next);
    let lines = check(&pipeline, &log);
    let suppressed: Vec<&Line> = lines.iter().filter(|line| line.kind == "suppressed").collect();
    assert_eq!(suppressed.len(), 1);
    assert_eq!(suppressed[0].at("/ctx/count").as_deref(), Some("2"));
    assert_eq!(suppressed[0].policy, Some(noisy.digest()));
    pipeline.stop();
}

#[test]
fn what_is_sent_again_under_its_key_is_counted_once() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let mut pipeline = site.open();
    let mut log = pipeline.log("").unwrap();
    let all = Suppression {
        rule: "quiet/all".to_owned(),
        select: Selector::default(),
        every_seconds: 3_600,
    };
    let required = vec!["deploy".to_owned()];
    let watch = Watch { suppressions: vec![all], required, ..Watch::default() };
    apply(&pipeline, &log, &site.state("noisy", watched(watch)));
    let keyed = |pairs: &[(&'static str, &str)]| {
        let mut submission = events(&pairs.iter().map(|(_, text)| *text).collect::<Vec<_>>());
        for (entry, (key, _)) in submission.entries.iter_mut().zip(pairs) {
            entry.key = Some((*key).into());
        }
        submission
    };
    let read = r#"{"act":"read"}"#;
    let write = r#"{"act":"write"}"#;
    // Twice in one batch, then in the next, then after the log was opened again: one count. The same key with
    // other content is another event.
    let twice = submit(&pipeline, &log, keyed(&[("k", read), ("k", read), ("other", read)]));
    assert_eq!(twice.outcomes, [Outcome::Suppressed; 3]);
    let again = submit(&pipeline, &log, keyed(&[("k", read), ("k", write), ("k", write)]));
    assert_eq!(again.outcomes, [Outcome::Suppressed; 3]);
    pipeline.stop();
    drop((pipeline, log));
    pipeline = site.open();
    log = pipeline.log("").unwrap();
    let again = submit(&pipeline, &log, keyed(&[("k", read), ("k", write)]));
    assert_eq!(again.outcomes, [Outcome::Suppressed; 2]);
    // The key is free for what is recorded, and then leads there.
    let deploy = r#"{"class":"deploy","ctx":{"ticket":"T-1"}}"#;
    let kept = submit(&pipeline, &log, keyed(&[("k", deploy)]));
    let [Outcome::Sequenced { index }] = kept.outcomes[..] else { panic!("{:?}", kept.outcomes) };
    let again = submit(&pipeline, &log, keyed(&[("k", deploy)]));
    assert_eq!(again.outcomes, [Outcome::Duplicate { index }]);
    // Without a key nothing tells a repeat from another event.
    submit(&pipeline, &log, events(&[read, read]));
    apply(&pipeline, &log, &site.state("next", states(statements())));
    let lines = check(&pipeline, &log);
    assert_eq!(told(&lines, "suppressed", &["/ctx/count"]), [["5"]]);
    pipeline.stop();
}

#[test]
fn failures_of_one_actor_within_a_minute_raise_an_alert_wherever_the_minute_begins() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let mut pipeline = site.open();
    let mut log = pipeline.log("").unwrap();
    let select = Selector { when: vec![exact("/out", "failure")], ..Selector::default() };
    let by = vec![Path::parse("/actor/id").unwrap()];
    let trigger = Trigger::Threshold { count: 5, seconds: 60, by };
    let alert = Alert { rule: "brute-force".to_owned(), select, trigger, to: Vec::new() };
    let watch = Watch { alerts: vec![alert], ..Watch::default() };
    apply(&pipeline, &log, &site.state("watched", watched(watch)));
    let failure = |actor: &str| format!(r#"{{"actor":{{"id":"{actor}"}},"out":"failure"}}"#);
    let success = r#"{"actor":{"id":"a"},"out":"success"}"#.to_owned();
    // Two of `a`, and half a minute later two more, over the border of what began with the first.
    for (seconds, texts) in [
        (0, vec![failure("a"), failure("b"), success.clone()]),
        (40, vec![failure("a"), success, failure("a")]),
        (30, vec![failure("b"), failure("a"), failure("c")]),
    ] {
        site.clock.pass(seconds * 1_000);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        submit(&pipeline, &log, events(&texts));
        pipeline.stop();
        drop((pipeline, log));
        pipeline = site.open();
        log = pipeline.log("").unwrap();
        assert!(told(&check(&pipeline, &log), "alert", &["/ctx/rule"]).is_empty());
    }
    // The fourth and the fifth that are no more than a minute apart, in one submission.
    site.clock.pass(20_000);
    submit(&pipeline, &log, events(&[&failure("b"), &failure("a"), &failure("a")]));
    site.clock.pass(1_000);
    submit(&pipeline, &log, events(&[&failure("a")]));
    let lines = check(&pipeline, &log);
    let alerts = told(&lines, "alert", &["/ctx/rule", "/ctx/kind", "/ctx/count"]);
    assert_eq!(alerts, [["brute-force", "threshold", "5"]]);
    pipeline.stop();
}

#[test]
fn each_source_of_a_pattern_that_has_come_is_missed_when_it_is_silent() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let mut pipeline = site.open();
    let mut log = pipeline.log("").unwrap();
    let all = WatchedSource {
        sources: vec![Glob::new("sha256:*")],
        rule: "source-1".to_owned(),
        numbered: true,
        heartbeat_seconds: Some(30),
    };
    let watch = Watch { sources: vec![all], ..Watch::default() };
    apply(&pipeline, &log, &site.state("watched", watched(watch)));
    submit(&pipeline, &log, events_of(1, &[r#"{"seq":1}"#]));
    submit(&pipeline, &log, events_of(2, &[r#"{"seq":1}"#]));
    pipeline.stop();
    drop((pipeline, log));
    pipeline = site.open();
    log = pipeline.log("").unwrap();
    site.clock.pass(29_000);
    submit(&pipeline, &log, events_of(2, &[r#"{"seq":3}"#]));
    site.clock.pass(2_000);
    pipeline.look_at_clock().unwrap();
    submit(&pipeline, &log, events(&["{}"]));
    let lines = check(&pipeline, &log);
    let (one, two) = (source(1), source(2));
    let alerts = told(&lines, "alert", &["/ctx/rule", "/ctx/kind", "/source"]);
    assert_eq!(alerts, [["source-1", "absence", one.as_str()]]);
    let gaps = told(&lines, "gap", &["/source", "/ctx/from", "/ctx/to"]);
    assert_eq!(gaps, [[two.as_str(), "2", "3"]]);
    pipeline.stop();
}
