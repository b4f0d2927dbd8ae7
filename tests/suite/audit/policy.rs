//! Changes of policy: approved, in the log, and in force from their index on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use attestree::{
    core::{
        policy::{Action, Bundle, Enforcement, Statements, Target, Treatment},
        record::{Approval, ApprovalRule, ApproverKey, PolicyDigest, Statement, Timestamp},
    },
    pipeline::{Applying, Failure, Outcome, PolicyRefusal, Stopped},
};
use ed25519_dalek::{Signer as _, SigningKey};

use super::{
    append::{path, statements},
    site::{Gate, ORIGIN, Site, Stated, apply, check, events, states, submit},
};
use crate::world::block_on;

/// The key of an approver.
fn approver(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> ApproverKey {
    ApproverKey::new(approver(seed).verifying_key().to_bytes()).unwrap()
}

/// Approves a change until a time.
fn approve(seed: u8, old: PolicyDigest, new: PolicyDigest, expires: u64) -> Approval {
    let origin = attestree::core::origin::Origin::parse(ORIGIN).unwrap();
    let expires = Timestamp::from_micros(expires).unwrap();
    let statement = Statement { origin: &origin, old, new, expires };
    let signature = approver(seed).sign(&statement.bytes()).to_bytes();
    Approval { key: public(seed), expires, signature }
}

/// Long after everything that a test does.
const LATER: u64 = 1_900_000_000_000_000;

#[test]
fn the_rule_in_force_approves_the_next_policy_and_not_its_own() {
    let rule = ApprovalRule::new(vec![public(1), public(2), public(3)], 2).unwrap();
    let site = Site::new(&rule);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let next = ApprovalRule::new(vec![public(9)], 1).unwrap();
    let one = site.state("one", Stated { rule: next, ..states(statements()) });
    let two = site.state("two", states(Statements::default()));
    let none = PolicyDigest::NONE;
    let asks = |bundle: &Bundle, approvals: Vec<Approval>| {
        block_on(
            pipeline
                .apply_policy(
                    &log,
                    bundle,
                    Applying { approvals, who: Some("CN=ops"), ..Applying::default() },
                )
                .unwrap(),
        )
    };
    let by = |seed, old, new: &Bundle, expires| approve(seed, old, new.digest(), expires);
    let first = by(1, none, &one, LATER);
    let refused = [
        vec![],
        vec![first.clone()],
        vec![first.clone(), first.clone()],
        vec![first.clone(), by(9, none, &one, LATER)],
        vec![first.clone(), by(2, one.digest(), &one, LATER)],
        vec![first.clone(), by(2, none, &two, LATER)],
        vec![first.clone(), by(2, none, &one, 1_780_000_000_000_000)],
    ];
    for approvals in refused {
        assert_eq!(asks(&one, approvals).unwrap_err(), Failure::Unapproved { threshold: 2 });
    }
    assert_eq!(check(&pipeline, &log).len(), 1, "nothing of them is in the log");
    asks(&one, vec![by(3, none, &one, LATER), first]).unwrap();
    // Of the active one, nobody but its own rule's approvers count.
    let old = one.digest();
    let both = vec![by(1, old, &two, LATER), by(2, old, &two, LATER)];
    assert_eq!(asks(&two, both).unwrap_err(), Failure::Unapproved { threshold: 1 });
    assert_eq!(
        asks(&one, vec![by(9, old, &one, LATER)]).unwrap_err(),
        Failure::PolicyActive { index: pipeline.active_policy(&log).unwrap().1 }
    );
    assert_eq!(pipeline.stop(), Stopped::Clean);
    drop((pipeline, log));
    // The rule is that of the log's records, also after a start.
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let failure =
        block_on(pipeline.apply_policy(&log, &two, Applying::default()).unwrap()).unwrap_err();
    assert_eq!(failure, Failure::Unapproved { threshold: 1 });
    let approvals = vec![by(9, old, &two, LATER)];
    block_on(
        pipeline.apply_policy(&log, &two, Applying { approvals, ..Applying::default() }).unwrap(),
    )
    .unwrap();
    let lines = check(&pipeline, &log);
    let kinds: Vec<&str> = lines.iter().map(|line| line.kind.as_str()).collect();
    assert_eq!(kinds, ["genesis", "policy-part", "policy", "policy-part", "policy"]);
    assert_eq!(lines[2].at("/source").as_deref(), Some("CN=ops"));
    pipeline.stop();
}

#[test]
fn a_bundle_that_does_not_compile_is_refused_with_what_is_wrong() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let unknown = Bundle::new([("policy.yaml".to_owned(), b"unknown".to_vec())]).unwrap();
    let refusal = pipeline.apply_policy(&log, &unknown, Applying::default()).unwrap_err();
    assert!(matches!(&refusal, PolicyRefusal::Uncompiled { findings } if findings.len() == 1));
    assert!(refusal.to_string().contains("policy.yaml:1"), "{refusal}");
    pipeline.stop();
}

#[test]
fn a_large_policy_stands_in_parts_and_is_found_again_without_its_row() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let name = "x".repeat(900_000);
    let bundle = site.state(&name, states(statements()));
    let index = apply(&pipeline, &log, &bundle);
    assert_eq!(index, 23);
    submit(&pipeline, &log, events(&["{}", r#"{"class":"login"}"#]));
    pipeline.stop();
    drop((pipeline, log));
    let db = crate::store_world::raw(&site.dir.path().join("db"));
    for (key, _) in crate::store_world::rows(&db, "source") {
        db.delete_cf(db.cf_handle("source").unwrap(), key).unwrap();
    }
    drop(db);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let active = pipeline.active_policy(&log).unwrap();
    assert_eq!((active.0, active.1.get()), (bundle.digest(), 23));
    let answer = submit(&pipeline, &log, events(&[r#"{"class":"login"}"#]));
    assert!(!answer.records[0].as_ref().unwrap().verdict.shows_content());
    check(&pipeline, &log);
    pipeline.stop();
}

/// A policy that masks a member of its own name, so that every record shows under which it was judged.
fn masking(name: &str) -> Statements {
    let action = Action::Mask { keep_last: 0 };
    let target = Target::Path(path(&format!("/ctx/{name}")));
    Statements { treatments: vec![Treatment { target, action }], ..Statements::default() }
}

#[test]
fn a_policy_switches_at_its_index_under_load_and_what_was_admitted_before_is_judged_again() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    let names = ["p0", "p1", "p2", "p3", "p4", "p5"];
    let bundles = names.map(|name| site.state(name, states(masking(name))));
    let running = Arc::new(AtomicBool::new(true));
    let text = r#"{"ctx":{"p0":"v","p1":"v","p2":"v","p3":"v","p4":"v","p5":"v"}}"#;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (pipeline, log, running) =
                (pipeline.clone(), Arc::clone(&log), Arc::clone(&running));
            std::thread::spawn(move || {
                let mut count = 0;
                while running.load(Ordering::SeqCst) {
                    let tickets: Vec<_> = (0..8)
                        .map(|_| pipeline.submit(&log, events(&[text, text])).unwrap())
                        .collect();
                    for ticket in tickets {
                        let answer = block_on(ticket).unwrap();
                        let [Outcome::Sequenced { index: a }, Outcome::Sequenced { index: b }] =
                            answer.outcomes[..]
                        else {
                            panic!("both are new")
                        };
                        assert_eq!(a.get() + 1, b.get(), "a submission's records stand together");
                        count += 2;
                    }
                }
                count
            })
        })
        .collect();
    let mut switches = Vec::new();
    for bundle in &bundles {
        switches.push((apply(&pipeline, &log, bundle), bundle.digest()));
        for _ in 0..20 {
            submit(&pipeline, &log, events(&[text]));
        }
    }
    running.store(false, Ordering::SeqCst);
    let submitted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let lines = check(&pipeline, &log);
    let events = lines.iter().filter(|line| line.kind == "event").count();
    assert_eq!(events, submitted + 120);
    for (index, line) in lines.iter().enumerate() {
        let governing = switches.iter().rev().find(|(at, _)| *at < index as u64);
        assert_eq!(line.policy, governing.map(|(_, digest)| *digest), "record {index}");
        if line.kind == "event" {
            // Its content is what that policy makes of it, not only its label.
            let masked: Vec<&str> = names
                .into_iter()
                .filter(|name| line.at(&format!("/ctx/{name}")).unwrap() == "***")
                .collect();
            let expected =
                switches.iter().position(|(at, _)| governing.is_some_and(|g| g.0 == *at));
            assert_eq!(masked, expected.map(|at| names[at]).into_iter().collect::<Vec<_>>());
        }
    }
    pipeline.stop();
}

#[test]
fn what_was_admitted_under_an_older_policy_is_judged_again_with_another_id() {
    let site = Site::new(&ApprovalRule::NOBODY);
    let (pipeline, gate) = Gate::open(&site);
    let log = pipeline.log("").unwrap();
    submit(&pipeline, &log, events(&["{}"]));
    let mut strict = statements();
    strict.unknown_class = Some(Enforcement::Reject);
    let bundle = site.state("strict", states(strict));
    gate.shut();
    let first = pipeline.submit(&log, events(&["{}"])).unwrap();
    gate.reached();
    // All of this waits for the commit on its way, and is in one batch after it: the policy first.
    let kept = pipeline.submit(&log, events(&[r#"{"ctx":{"secret":"s"}}"#])).unwrap();
    let rejected = pipeline.submit(&log, events(&["{}", r#"{"class":"unheard-of"}"#])).unwrap();
    let change = pipeline.apply_policy(&log, &bundle, Applying::default()).unwrap();
    gate.release();
    block_on(first).unwrap();
    let Outcome::Sequenced { index: switch } = block_on(change).unwrap().outcomes[0] else {
        panic!("a policy is a record")
    };
    let failure = block_on(rejected).unwrap_err();
    assert_eq!(failure, Failure::Rejected { position: 1, rules: vec!["class/unknown".to_owned()] });
    let kept = block_on(kept).unwrap();
    assert!(matches!(kept.outcomes[0], Outcome::Sequenced { index } if index > switch));
    let lines = check(&pipeline, &log);
    let last = lines.last().unwrap();
    assert_eq!(last.policy, Some(bundle.digest()));
    assert!(
        !last.text.contains(r#""s""#),
        "what the newer policy commits is committed: {}",
        last.text
    );
    assert_eq!(kept.records[0].as_ref().unwrap().openings.len(), 1);
    pipeline.stop();
}
