//! What becomes of events: records, disclosures, refusals.

use std::sync::atomic::Ordering;

use attestree::{
    core::{
        number::LogNumber,
        policy::{
            Action, Class, Enforcement, FieldType, Requirement, Rule, Statements, Target, Treatment,
        },
        record::{ApprovalRule, Path, Place, Record, RecordId, Secret, Verdict},
    },
    pipeline::{Failure, LogStatus, NewEntry, Outcome, Refusal, Stopped},
};
use bytes::Bytes;

use super::site::{Site, apply, check, events, events_of, source, states, submit};
use crate::world::{block_on, entries};

/// A path.
pub fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

/// Logins need an actor, deployments are refused without a ticket, secrets are committed.
pub fn statements() -> Statements {
    let rule = |name: &str, class: &str, field: &str, otherwise| Rule {
        name: name.to_owned(),
        classes: vec![class.to_owned()],
        when: Vec::new(),
        require: vec![Requirement { path: path(field), field: FieldType::Text }],
        otherwise,
    };
    let class = |name: &str| Class { name: name.to_owned(), when: Vec::new() };
    let commit = |place: &str, subject: Option<&str>| Treatment {
        target: Target::Path(path(place)),
        action: Action::Commit { subject: subject.map(path) },
    };
    Statements {
        classes: vec![class("login"), class("deploy"), class("noise")],
        rules: vec![
            rule("login/actor", "login", "/actor/name", Enforcement::Quarantine),
            rule("deploy/ticket", "deploy", "/ctx/ticket", Enforcement::Reject),
        ],
        treatments: vec![
            commit("/ctx/secret", None),
            commit("/actor/mail", Some("/actor/name")),
            Treatment { target: Target::Path(path("/ctx/session")), action: Action::TOKEN },
        ],
        ..Statements::default()
    }
}

#[test]
fn the_first_record_is_genesis_before_anything_is_submitted_and_stays() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    assert_eq!(pipeline.active_policy(&log), None);
    let answer = submit(&pipeline, &log, events(&[r#"{"act":"a"}"#]));
    assert!(matches!(answer.outcomes[0], Outcome::Sequenced { index } if index.get() == 1));
    let lines = check(&pipeline, &log);
    assert_eq!((lines[0].kind.as_str(), lines[0].policy), ("genesis", None));
    // While there is no policy, nothing governs.
    assert_eq!((lines[1].at("/act").as_deref(), lines[1].policy), (Some("a"), None));
    assert_eq!(pipeline.stop(), Stopped::Clean);
    drop((pipeline, log));
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    submit(&pipeline, &log, events(&["{}"]));
    assert_eq!(check(&pipeline, &log).len(), 3);
    pipeline.stop();
}

#[test]
fn an_event_is_redacted_recorded_and_opened_again() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    apply(&pipeline, &log, &site.state("one", states(statements())));
    for slow in [true, false] {
        site.safe.slow.store(slow, Ordering::SeqCst);
        let text = r#"{"ctx":{"secret":[1,"two"],"session":"s1"},"class":"login","actor":{"name":"ann","mail":"ann@example"}}"#;
        let answer = submit(&pipeline, &log, events_of(7, &[text]));
        let recorded = answer.records[0].as_ref().unwrap();
        assert_eq!(recorded.verdict, Verdict::Accept);
        let record = Record::parse(&recorded.entry).unwrap();
        let Outcome::Sequenced { index } = answer.outcomes[0] else { panic!("it is new") };
        assert_eq!(
            pipeline.store().entry(log.number(), index).unwrap().unwrap(),
            attestree::store::Entry::Bytes(recorded.entry.clone())
        );
        let text = String::from_utf8(recorded.entry.to_vec()).unwrap();
        assert!(!text.contains("two") && !text.contains("ann@") && !text.contains("s1"), "{text}");
        assert!(text.contains(&source(7)), "{text}");
        let opened: Vec<(&str, &[u8])> = recorded
            .openings
            .iter()
            .map(|opening| {
                record.verify_disclosure(&opening.path, &opening.salt, &opening.value).unwrap();
                (opening.path.as_str(), opening.value.as_slice())
            })
            .collect();
        let expected: [(&str, &[u8]); 2] =
            [("/actor/mail", b"\"ann@example\""), ("/ctx/secret", b"[1,\"two\"]")];
        assert_eq!(opened, expected);
    }
    // The keys of the subjects were got by the batch once, in one call, and were at hand later.
    assert_eq!(site.safe.asked.load(Ordering::SeqCst), 1);
    let names = site.safe.names();
    assert!(names.contains(&"subject/ann".to_owned()), "{names:?}");
    assert!(names.contains(&"class/login/2026-05".to_owned()), "{names:?}");
    check(&pipeline, &log);
    pipeline.stop();
}

#[test]
fn what_breaks_a_rule_is_quarantined_or_rejected() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    apply(&pipeline, &log, &site.state("one", states(statements())));
    let bad = r#"{"class":"login","ctx":{"canary":"tweet"}}"#;
    let answer = submit(&pipeline, &log, events(&[bad]));
    let recorded = answer.records[0].as_ref().unwrap();
    assert_eq!(recorded.verdict, Verdict::Quarantine);
    assert!(!String::from_utf8_lossy(&recorded.entry).contains("tweet"));
    let record = Record::parse(&recorded.entry).unwrap();
    let opening = &recorded.openings[0];
    assert_eq!(record.verify_raw(&opening.salt, &opening.value).unwrap(), bad.as_bytes());
    let size = log.published().head().size;
    let rejected = pipeline.submit(&log, events(&["{}", r#"{"class":"deploy"}"#])).unwrap_err();
    assert_eq!(
        rejected,
        Refusal::Rejected { position: 1, rules: vec!["deploy/ticket".to_owned()] }
    );
    let Refusal::Malformed { position: 1, offset: 6, line: 2, column: 3, .. } =
        pipeline.submit(&log, events(&["{}", "{\"a\n :}"])).unwrap_err()
    else {
        // A control character in a string is what is wrong here.
        let refusal = pipeline.submit(&log, events(&["{}", "{\n\"a\":}"])).unwrap_err();
        assert!(
            matches!(
                refusal,
                Refusal::Malformed { position: 1, offset: 6, line: 2, column: 5, .. }
            ),
            "{refusal:?}"
        );
        assert_eq!(log.published().head().size, size, "nothing of them is in the log");
        check(&pipeline, &log);
        pipeline.stop();
        return;
    };
    panic!("a line feed in a string is not taken");
}

#[test]
fn only_events_go_to_an_audit_log_and_only_up_to_their_limit() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    assert_eq!(pipeline.submit(&log, entries(&["raw"])).unwrap_err(), Refusal::AuditLog);
    let large = format!(r#"{{"ctx":{{"a":"{}"}}}}"#, "x".repeat((1 << 20) - 18));
    assert_eq!(large.len(), (1 << 20) - 2);
    let answer = submit(&pipeline, &log, events(&[&large]));
    let recorded = answer.records[0].as_ref().unwrap();
    assert!(recorded.entry.len() < 1_000, "what does not fit is spilled");
    assert_eq!(recorded.openings[0].path.as_str(), "/ctx/a");
    let long = format!("{large}   ");
    let refused = pipeline.submit(&log, events(&["{}", &long])).unwrap_err();
    assert_eq!(refused, Refusal::EventLength { position: 1, bytes: (1 << 20) + 1 });
    let mut unparsed = events(&["<34>Oct 11 22:14:15 su: failed"]);
    unparsed.entries[0].class = Some("unparsed");
    let answer = submit(&pipeline, &log, unparsed);
    assert_eq!(answer.records[0].as_ref().unwrap().verdict, Verdict::Quarantine);
    check(&pipeline, &log);
    pipeline.stop();
}

/// An event with an idempotency key.
fn keyed(key: &str, text: &str) -> attestree::pipeline::Submission {
    let bytes = Bytes::from(text.to_owned());
    let entry = NewEntry::new(bytes, Some(Bytes::from(key.to_owned())));
    attestree::pipeline::Submission { entries: vec![entry], ..events(&[]) }
}

#[test]
fn a_repeated_key_finds_its_record_and_another_content_conflicts() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    submit(&pipeline, &log, keyed("k", r#"{"act":"a"}"#));
    for _ in 0..2 {
        let again = submit(&pipeline, &log, keyed("k", r#"{"act":"a"}"#));
        assert!(matches!(again.outcomes[0], Outcome::Duplicate { index } if index.get() == 1));
        assert!(again.records[0].is_none());
    }
    let other = block_on(pipeline.submit(&log, keyed("k", r#"{"act":"b"}"#)).unwrap()).unwrap_err();
    assert!(matches!(other, Failure::Conflict { position: 0, first } if first.get() == 1));
    assert_eq!(pipeline.stop(), Stopped::Clean);
    drop((pipeline, log));
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let again = submit(&pipeline, &log, keyed("k", r#"{"act":"a"}"#));
    assert!(matches!(again.outcomes[0], Outcome::Duplicate { index } if index.get() == 1));
    assert_eq!(check(&pipeline, &log).len(), 2);
    pipeline.stop();
}

#[test]
fn without_keys_nothing_is_recorded_and_the_log_goes_on() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    apply(&pipeline, &log, &site.state("one", states(statements())));
    site.safe.shut.store(true, Ordering::SeqCst);
    let secret = r#"{"ctx":{"secret":1}}"#;
    let failure = block_on(pipeline.submit(&log, events(&[secret])).unwrap()).unwrap_err();
    assert!(matches!(failure, Failure::Vault(_)));
    let refusal = pipeline.submit(&log, events(&[r#"{"ctx":{"session":"s"}}"#])).unwrap_err();
    assert!(matches!(refusal, Refusal::Vault(_)));
    submit(&pipeline, &log, events(&["{}"]));
    site.safe.shut.store(false, Ordering::SeqCst);
    submit(&pipeline, &log, events(&[secret]));
    check(&pipeline, &log);
    pipeline.stop();
}

#[test]
fn a_vault_whose_write_failed_ends_the_write_path() {
    for admitted in [true, false] {
        let site = Site::new(&ApprovalRule::NOBODY);
        let pipeline = site.open();
        let log = pipeline.log("").unwrap();
        apply(&pipeline, &log, &site.state("one", states(statements())));
        site.safe.poisoned.store(true, Ordering::SeqCst);
        site.safe.shut.store(true, Ordering::SeqCst);
        // The key of a field is asked for by the batch, and the one of a token at admission.
        let event = if admitted { r#"{"ctx":{"secret":1}}"# } else { r#"{"ctx":{"session":"s"}}"# };
        match pipeline.submit(&log, events(&[event])) {
            Ok(ticket) => assert!(matches!(block_on(ticket), Err(Failure::Vault(_)))),
            Err(refusal) => assert!(!admitted && matches!(refusal, Refusal::Vault(_))),
        }
        let mut fatal = pipeline.fatal();
        block_on(fatal.wait_for(|fatal| *fatal)).unwrap();
        let refusal = pipeline.submit(&log, events(&["{}"])).unwrap_err();
        assert_eq!(refusal, Refusal::ShuttingDown);
        assert_eq!(pipeline.stop(), Stopped::Poisoned);
    }
}

#[test]
fn a_clock_that_can_not_be_trusted_stops_the_log_until_it_is_confirmed() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    submit(&pipeline, &log, events(&["{}"]));
    for jump in [2_000, 120_000] {
        site.clock.back(jump);
        let failure = block_on(pipeline.submit(&log, events(&["{}"])).unwrap()).unwrap_err();
        assert_eq!(failure, Failure::ClockDoubted);
        assert_eq!(log.status(), LogStatus::ClockDoubted);
        assert_eq!(pipeline.submit(&log, events(&["{}"])).unwrap_err(), Refusal::ClockDoubted);
        pipeline.confirm_clock(&log).unwrap();
        assert_eq!(log.status(), LogStatus::Open);
        submit(&pipeline, &log, events(&["{}"]));
    }
    site.clock.pass(200_000);
    submit(&pipeline, &log, events(&["{}"]));
    assert_eq!(check(&pipeline, &log).len(), 5);
    pipeline.stop();
}

#[test]
fn a_sealed_row_opens_under_the_key_of_its_subject_alone() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    apply(&pipeline, &log, &site.state("one", states(statements())));
    let answer = submit(&pipeline, &log, events(&[r#"{"ctx":{"secret":"s"}}"#]));
    let Outcome::Sequenced { index } = answer.outcomes[0] else { panic!("it is new") };
    let id = check(&pipeline, &log).last().unwrap().at("/id").unwrap();
    let origin = log.row().origin.clone();
    let place = Place { origin: &origin, id: RecordId::parse(&id).unwrap(), field: 0 };
    let row_key = place.row_key(LogNumber(0), index);
    pipeline.stop();
    drop((pipeline, log));
    let db = crate::store_world::raw(&site.dir.path().join("db"));
    let row = crate::store_world::rows(&db, "disclosure");
    assert_eq!(row.len(), 1);
    assert_eq!(row[0].0, row_key);
    let names = site.safe.names();
    let opens = (0..names.len() as u8)
        .filter(|key| place.open(&Secret::new([*key; 32]), &row[0].1).is_ok())
        .count();
    assert_eq!(opens, 1, "{names:?}");
}
