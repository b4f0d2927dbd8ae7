//! What senders would drop if it were refused: it is recorded whatever it holds, and other content under a key
//! that is taken is followed by a `conflict` record.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use attestree::{
    core::{
        policy::{Selector, Suppression, Watch},
        record::{ApprovalRule, Record, Verdict},
    },
    pipeline::{Applying, Failure, Namespace, NewEntry, Outcome, Refusal, Submission},
};
use bytes::Bytes;
use proptest::prelude::*;

use super::{
    append::statements,
    crash,
    site::{Gate, Line, Site, Stated, apply, check, events, states, submit},
    watch::exact,
};
use crate::world::block_on;

/// Events of a source, some with keys.
fn of(source: &str, items: &[(Option<&str>, &str)]) -> Submission {
    let owned = |text: &str| Bytes::from(text.to_owned());
    let entry = |(key, text): &(Option<&str>, &str)| NewEntry::new(owned(text), key.map(owned));
    Submission {
        entries: items.iter().map(entry).collect(),
        source: Some(source.to_owned()),
        atomic: false,
        kept: true,
        namespace: Namespace::Source,
        ..events(&[])
    }
}

fn sequenced(outcome: Outcome) -> u64 {
    let Outcome::Sequenced { index } = outcome else { panic!("{outcome:?} is nothing new") };
    index.get()
}

fn duplicate(outcome: Outcome) -> u64 {
    let Outcome::Duplicate { index } = outcome else { panic!("{outcome:?} is no duplicate") };
    index.get()
}

/// The conflicts that a log tells of keys: source, first entry, later entry.
fn conflicts(lines: &[Line]) -> Vec<(String, u64, u64)> {
    let told = lines.iter().filter(|line| line.kind == "conflict");
    let number = |line: &Line, at| line.at(at).unwrap().parse().unwrap();
    told.map(|line| {
        (line.at("/source").unwrap(), number(line, "/ctx/first"), number(line, "/ctx/index"))
    })
    .collect()
}

#[test]
fn what_a_policy_rejects_and_what_is_no_json_is_quarantined() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    apply(&pipeline, &log, &site.state("one", states(statements())));
    let texts = [r#"{"class":"deploy"}"#, "<34>no json", r#"{"act":"a","act":"b"}"#, "{}"];
    let items: Vec<_> = texts.iter().map(|text| (None, *text)).collect();
    let answer = submit(&pipeline, &log, of("k8s", &items));
    let verdicts: Vec<_> = answer.records.iter().flatten().map(|record| record.verdict).collect();
    let expected = [Verdict::Quarantine, Verdict::Quarantine, Verdict::Quarantine, Verdict::Accept];
    assert_eq!(verdicts, expected);
    let lines = check(&pipeline, &log);
    let at = |from_end: usize, path| lines[lines.len() - from_end].at(path);
    assert_eq!(at(4, "/vr/0").as_deref(), Some("deploy/ticket"));
    assert_eq!(at(4, "/class"), None, "nothing of it is shown");
    for unparsed in [3, 2] {
        assert_eq!(at(unparsed, "/vr/0").as_deref(), Some("record/unparsed"));
        assert_eq!(at(unparsed, "/class").as_deref(), Some("unparsed"));
    }
    assert_eq!(at(1, "/source").as_deref(), Some("k8s"));
    // Whoever submits for himself is told.
    let refusal = pipeline.submit(&log, events(&[texts[0]])).unwrap_err();
    assert!(matches!(refusal, Refusal::Rejected { .. }));
    pipeline.stop();
}

#[test]
fn a_policy_that_came_meanwhile_rejects_nothing_of_a_source() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let (pipeline, gate) = Gate::open(&site);
    let log = pipeline.log("").unwrap();
    submit(&pipeline, &log, events(&["{}"]));
    gate.shut();
    let first = pipeline.submit(&log, events(&["{}"])).unwrap();
    gate.reached();
    let bundle = site.state("one", states(statements()));
    let applied = pipeline.apply_policy(&log, &bundle, Applying::default()).unwrap();
    // Both were admitted while nothing governed.
    let deploy = r#"{"class":"deploy"}"#;
    let kept = pipeline.submit(&log, of("k8s", &[(Some("a"), deploy), (None, "no json")])).unwrap();
    let plain = pipeline.submit(&log, events(&[deploy])).unwrap();
    gate.release();
    block_on(first).unwrap();
    block_on(applied).unwrap();
    assert!(matches!(block_on(plain).unwrap_err(), Failure::Rejected { position: 0, .. }));
    let answer = block_on(kept).unwrap();
    let verdicts: Vec<_> = answer.records.iter().flatten().map(|record| record.verdict).collect();
    assert_eq!(verdicts, [Verdict::Quarantine, Verdict::Quarantine]);
    let recorded = answer.records[0].as_ref().unwrap();
    assert_eq!(Record::parse(&recorded.entry).unwrap().policy(), Some(bundle.digest()));
    check(&pipeline, &log);
    pipeline.stop();
}

#[test]
fn another_event_under_a_key_is_recorded_and_a_conflict_is_told_once() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let (a, b, c) = (r#"{"act":"a"}"#, r#"{"act":"b"}"#, r#"{"act":"c"}"#);
    let first = sequenced(submit(&pipeline, &log, of("one", &[(Some("k"), a)])).outcomes[0]);
    // In one submission: the known one, another, its repeat, and a third that is no JSON.
    let batch = of("one", &[(Some("k"), a), (Some("k"), b), (Some("k"), b), (Some("k"), "c")]);
    let answer = submit(&pipeline, &log, batch);
    assert_eq!(duplicate(answer.outcomes[0]), first);
    let second = sequenced(answer.outcomes[1]);
    assert_eq!(duplicate(answer.outcomes[2]), second);
    let third = sequenced(answer.outcomes[3]);
    assert_eq!(third, second + 1, "the records of a submission stand together");
    let told = |position: usize| answer.records[position].as_ref().unwrap().conflicts_with;
    assert_eq!([told(1), told(3)].map(|first| first.unwrap().get()), [first, first]);
    pipeline.stop();
    drop((pipeline, log));

    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let again = of("one", &[(Some("k"), "c"), (Some("k"), b), (Some("k"), a), (Some("j"), b)]);
    let answer = submit(&pipeline, &log, again);
    let outcomes = [0, 1, 2].map(|position| duplicate(answer.outcomes[position]));
    assert_eq!(outcomes, [third, second, first]);
    assert!(answer.records[3].as_ref().unwrap().conflicts_with.is_none());
    // Of another source, and of a principal that is called like this one, the key is another.
    let other = submit(&pipeline, &log, of("two", &[(Some("k"), c)]));
    sequenced(other.outcomes[0]);
    let mut principal = of("one", &[(Some("k"), c)]);
    (principal.kept, principal.namespace) = (false, Namespace::Principal);
    principal.principal = Bytes::from_static(b"one");
    sequenced(submit(&pipeline, &log, principal).outcomes[0]);
    let lines = check(&pipeline, &log);
    let one = || "one".to_owned();
    assert_eq!(conflicts(&lines), [(one(), first, second), (one(), first, third)]);
    pipeline.stop();
}

#[test]
fn what_is_suppressed_under_a_key_that_is_taken_is_counted_once_and_tells_no_conflict() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let select = Selector { when: vec![exact("/act", "read")], ..Selector::default() };
    let quiet = Suppression { rule: "quiet/read".to_owned(), select, every_seconds: 60 };
    let required = vec!["login".to_owned()];
    let watch = Watch { suppressions: vec![quiet], required, ..Watch::default() };
    let next = site.state("next", states(statements()));
    apply(&pipeline, &log, &site.state("one", Stated { watch, ..states(statements()) }));
    let first = submit(&pipeline, &log, of("one", &[(Some("k"), "{}")]));
    let first = sequenced(first.outcomes[0]);
    for _ in 0..2 {
        let read = of("one", &[(Some("k"), r#"{"act":"read"}"#), (Some("k"), "{}")]);
        let answer = submit(&pipeline, &log, read);
        assert_eq!(answer.outcomes[0], Outcome::Suppressed);
        assert_eq!(duplicate(answer.outcomes[1]), first);
    }
    apply(&pipeline, &log, &next);
    let lines = check(&pipeline, &log);
    let told: Vec<_> = lines.iter().filter(|line| line.kind == "suppressed").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].at("/ctx/count").as_deref(), Some("1"));
    assert_eq!(conflicts(&lines), []);
    pipeline.stop();
}

#[test]
fn keys_of_a_source_are_as_long_as_its_protocol_lets_them_be() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let long = "k".repeat(100_000);
    let first = submit(&pipeline, &log, of("one", &[(Some(&long), "{}")]));
    let again = submit(&pipeline, &log, of("one", &[(Some(&long), "{}")]));
    assert_eq!(duplicate(again.outcomes[0]), sequenced(first.outcomes[0]));
    let empty = pipeline.submit(&log, of("one", &[(Some(""), "{}")])).unwrap_err();
    assert!(matches!(empty, Refusal::KeyLength { position: 0, bytes: 0 }));
    pipeline.stop();
}

#[test]
fn a_conflict_is_there_with_its_event_or_neither_is() {
    for written in [false, true] {
        let site = Site::new(&ApprovalRule::NOBODY);
        let (pipeline, armed) = crash::open(&site, written);
        let log = pipeline.log("").unwrap();
        let first = submit(&pipeline, &log, of("one", &[(Some("k"), "{}")]));
        let first = sequenced(first.outcomes[0]);
        armed.store(true, Ordering::SeqCst);
        let other = || of("one", &[(Some("k"), "other")]);
        let failure = block_on(pipeline.submit(&log, other()).unwrap()).unwrap_err();
        assert_eq!(failure, Failure::Uncertain);
        pipeline.stop();
        drop((pipeline, log));
        let pipeline = site.open();
        let log = pipeline.log("").unwrap();
        let outcome = submit(&pipeline, &log, other()).outcomes[0];
        let index = if written { duplicate(outcome) } else { sequenced(outcome) };
        let lines = check(&pipeline, &log);
        assert_eq!(conflicts(&lines), [("one".to_owned(), first, index)], "written: {written}");
        pipeline.stop();
    }
}

/// What a sender does.
#[derive(Clone, Debug)]
enum Step {
    /// Sends these: a source, and of each event its key and content.
    Send(usize, Vec<(Option<usize>, usize)>),
    /// The server starts again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let item = (proptest::option::weighted(0.9, 0..3_usize), 0..4_usize);
    let send = (0..2_usize, proptest::collection::vec(item, 1..6));
    prop_oneof![
        8 => send.prop_map(|(source, items)| Step::Send(source, items)),
        1 => Just(Step::Reopen),
    ]
}

/// What a log has to know of the keys of its sources.
#[derive(Default)]
struct Model {
    /// Where each content under a key of a source is.
    places: BTreeMap<(usize, usize, usize), u64>,
    /// Where the first content of each key is.
    first: BTreeMap<(usize, usize), u64>,
    conflicts: Vec<(String, u64, u64)>,
}

const SOURCES: [&str; 2] = ["one", "two"];
const KEYS: [&str; 3] = ["a", "ab", "b"];
const CONTENTS: [&str; 4] = ["{}", r#"{"act":"x"}"#, "no json", r#"{"class":"deploy"}"#];

impl Model {
    /// Takes what became of an item.
    fn take(&mut self, source: usize, key: Option<usize>, content: usize, outcome: Outcome) {
        let Some(key) = key else {
            sequenced(outcome);
            return;
        };
        if let Some(place) = self.places.get(&(source, key, content)) {
            assert_eq!(duplicate(outcome), *place);
            return;
        }
        let index = sequenced(outcome);
        self.places.insert((source, key, content), index);
        match self.first.get(&(source, key)) {
            Some(first) => self.conflicts.push((SOURCES[source].to_owned(), *first, index)),
            None => {
                self.first.insert((source, key), index);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_content_under_every_key_is_recorded_once(
        steps in proptest::collection::vec(step(), 1..24),
    ) {
        let site = Site::new(&ApprovalRule::NOBODY);
        let mut pipeline = site.open();
        let mut log = pipeline.log("").unwrap();
        apply(&pipeline, &log, &site.state("one", states(statements())));
        let mut model = Model::default();
        for step in &steps {
            match step {
                Step::Send(source, items) => {
                    let texts: Vec<_> = items
                        .iter()
                        .map(|(key, content)| (key.map(|key| KEYS[key]), CONTENTS[*content]))
                        .collect();
                    let answer = submit(&pipeline, &log, of(SOURCES[*source], &texts));
                    for ((key, content), outcome) in items.iter().zip(answer.outcomes) {
                        model.take(*source, *key, *content, outcome);
                    }
                }
                Step::Reopen => {
                    pipeline.stop();
                    drop((pipeline, log));
                    pipeline = site.open();
                    log = pipeline.log("").unwrap();
                }
            }
        }
        let lines = check(&pipeline, &log);
        prop_assert_eq!(conflicts(&lines), model.conflicts);
        pipeline.stop();
    }
}
