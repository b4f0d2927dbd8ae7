//! Replay: what admission recorded comes out the same, and nothing else does.

use attestree::core::number::UnixMillis;
use attestree::core::policy::{Admission, Arrival, Bundle, admit};
use attestree::core::record::{
    Body, Engine, Opening, Path, Record, RecordId, Salt, Timestamp, UNPARSED, Verdict,
};
use attestree::policy::replay::{
    Again, ENGINE_NAME, ENGINE_VERSION, Reason, Replay, Unknown, replay,
};
use attestree::policy::{Compiled, compile};
use proptest::prelude::*;

use super::rego::{Fixed, bundle};

const DOCUMENT: &str = r#"
apiVersion: attestree/v1
kind: Policy
metadata: {name: shop}
classes:
  authentication:
    match: {act: {glob: "auth.*"}}
    require: [actor.id, out]
  payment:
    match: {act: {prefix: "pay."}}
    require: [ctx.amount]
    enforce: warn
redact:
  - {path: "actor.email", action: commit, subject: actor.id}
  - {path: "ctx.phone", action: mask}
  - {path: "ctx.token", action: drop}
rego:
  - {package: shop.amount, enforce: warn}
  - {package: shop.mail, needs: [actor.email], enforce: warn}
"#;

const AMOUNT: &str = r#"package shop.amount
deny contains "too-much" if input.ctx.amount > data.limits.amount
mask contains "/ctx/secret" if input.ctx.secret
"#;

const MAIL: &str = r#"package shop.mail
deny contains "foreign" if not endswith(input.actor.email, "@shop.example")
"#;

fn files() -> Bundle {
    bundle(&[
        ("policy.yaml", DOCUMENT),
        ("rego/amount.rego", AMOUNT),
        ("rego/mail.rego", MAIL),
        ("limits/data.json", r#"{"amount":100}"#),
    ])
}

fn engine() -> Engine {
    Engine { name: ENGINE_NAME.to_owned(), version: ENGINE_VERSION.to_owned() }
}

/// Admits an event; returns the entry and what opens its commitments, unless it is refused.
fn recorded(compiled: &Compiled, text: &str) -> Option<(Vec<u8>, Vec<Opening>)> {
    let arrival = Arrival {
        bytes: text.as_bytes(),
        source: Some("CN=shop"),
        class: None,
        kept: false,
        id: RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]),
        now: Timestamp::from_micros(1_795_000_000_000_000).unwrap(),
    };
    match admit(&compiled.policy, &arrival, &mut Fixed, &*compiled.custom).ok()? {
        Admission::Recorded(admitted) => {
            let openings = admitted.kept.into_iter().map(|kept| kept.opening).collect();
            let at = Timestamp::from_micros(1_795_000_000_000_001).unwrap();
            Some((admitted.draft.stamp(at), openings))
        }
        Admission::Refused(_) => None,
    }
}

/// Replays an entry; `None` if it is no record.
fn again(compiled: &Compiled, entry: &[u8], openings: &[Opening]) -> Option<Replay> {
    let record = Record::parse(entry).ok()?;
    Some(replay(&compiled.policy, &*compiled.custom, &engine(), &record, openings))
}

fn compiled() -> Compiled {
    match compile(&files()) {
        Ok(compiled) => compiled,
        Err(found) => panic!("{found:?}"),
    }
}

const LOGIN: &str = r#"{"act":"auth.login","actor":{"email":"a@shop.example","id":"u"},"ctx":{"amount":5,"phone":"555","secret":"s"},"out":"failure"}"#;

#[test]
fn what_is_missing_makes_it_undetermined() {
    let compiled = compiled();
    let (entry, openings) = recorded(&compiled, LOGIN).unwrap();
    assert_eq!(again(&compiled, &entry, &openings), Some(Replay::Same));
    let missing = vec![Path::parse("/actor/email").unwrap()];
    let undetermined = Replay::Undetermined(Unknown::Values(missing.clone()));
    assert_eq!(again(&compiled, &entry, &[]), Some(undetermined));
    let forged = Opening { salt: Salt::new([1; 32]), ..openings[0].clone() };
    let refused = Replay::NotReplayable(Reason::Disclosure(missing[0].clone()));
    assert_eq!(again(&compiled, &entry, &[forged]), Some(refused));
}

#[test]
fn rules_about_the_class_see_the_one_that_an_event_got() {
    let document = r#"
apiVersion: attestree/v1
kind: Policy
classes:
  authentication: {match: {act: {glob: "auth.*"}}}
  payment: {match: {act: {prefix: "pay."}}}
rules:
  - {name: stated, require: [class], enforce: warn}
  - {name: login, when: {class: authentication}, require: [actor.id], enforce: warn}
  - {name: other, when: {not: {class: {in: [authentication, payment]}}}, require: [ctx.reason], enforce: warn}
rego: [{package: shop.class, enforce: warn}]
"#;
    let rego = "package shop.class\ndeny contains \"pays\" if input.class == \"payment\"\n";
    let compiled =
        compile(&bundle(&[("policy.yaml", document), ("rego/class.rego", rego)])).unwrap();
    let cases: [(&str, &[&str]); 5] = [
        (r#"{"act":"auth.login"}"#, &["login"]),
        (r#"{"act":"auth.login","class":"payment"}"#, &["rego/shop.class/pays"]),
        (r#"{"act":"pay.out"}"#, &["rego/shop.class/pays"]),
        (r#"{"class":"authentication"}"#, &["login"]),
        (r#"{"act":"a"}"#, &["other", "stated"]),
    ];
    for (event, rules) in cases {
        let (entry, openings) = recorded(&compiled, event).unwrap();
        let record = Record::parse(&entry).unwrap();
        let Body::Event(shown) = record.body() else { panic!("an event") };
        assert_eq!(shown.rules(), rules, "{event}");
        assert_eq!(again(&compiled, &entry, &openings), Some(Replay::Same), "{event}");
    }
}

#[test]
fn a_quarantined_event_takes_its_submission() {
    let compiled = compiled();
    let (entry, openings) = recorded(&compiled, r#"{"act":"auth.login","out":"failure"}"#).unwrap();
    assert_eq!(again(&compiled, &entry, &openings), Some(Replay::Same));
    let undetermined = Some(Replay::Undetermined(Unknown::Submission));
    assert_eq!(again(&compiled, &entry, &[]), undetermined);
    let forged = String::from_utf8(entry).unwrap().replace("authentication", "payment");
    assert!(matches!(again(&compiled, forged.as_bytes(), &openings), Some(Replay::Different(_))));
}

#[test]
fn what_was_spilled_is_needed_and_suffices() {
    let compiled = compiled();
    let long = "x".repeat(70_000);
    let text = format!(
        r#"{{"act":"auth.login","actor":{{"email":"a@shop.example","id":"u"}},"ctx":{{"long":"{long}"}},"out":"failure"}}"#
    );
    let (entry, openings) = recorded(&compiled, &text).unwrap();
    assert_eq!(openings.len(), 2);
    assert_eq!(again(&compiled, &entry, &openings), Some(Replay::Same));
    let mail: Vec<Opening> =
        openings.into_iter().filter(|opening| opening.path.as_str() == "/actor/email").collect();
    let long = vec![Path::parse("/ctx/long").unwrap()];
    let undetermined = Replay::Undetermined(Unknown::Values(long));
    assert_eq!(again(&compiled, &entry, &mail), Some(undetermined));
}

#[test]
fn other_engines_and_policies_are_not_replayed() {
    let compiled = compiled();
    let (entry, openings) = recorded(&compiled, LOGIN).unwrap();
    let record = Record::parse(&entry).unwrap();
    let other = Engine { version: "0.0.9".to_owned(), ..engine() };
    let reason = replay(&compiled.policy, &*compiled.custom, &other, &record, &openings);
    assert_eq!(reason, Replay::NotReplayable(Reason::OtherEngine(other)));
    let text = DOCUMENT.replace("[ctx.amount]", "[ctx.sum]");
    let Ok(changed) = compile(&bundle(&[
        ("policy.yaml", &text),
        ("rego/amount.rego", AMOUNT),
        ("rego/mail.rego", MAIL),
    ])) else {
        panic!("it compiles")
    };
    let reason = again(&changed, &entry, &openings);
    assert_eq!(reason, Some(Replay::NotReplayable(Reason::OtherPolicy)));
}

#[test]
fn what_was_rejected_and_kept_is_replayed_by_the_name_of_its_source() {
    let document = r#"
apiVersion: attestree/v1
kind: Policy
metadata: {name: shop}
classes:
  payment:
    match: {act: {prefix: "pay."}}
    require: [ctx.amount]
    enforce: reject
"#;
    let compiled = compile(&bundle(&[("policy.yaml", document)])).unwrap();
    let rejected = r#"{"act":"pay.card"}"#;
    let admitted = |source, kept| {
        let arrival = Arrival {
            bytes: rejected.as_bytes(),
            source,
            class: None,
            kept,
            id: RecordId::new(UnixMillis(1), [7; 10]),
            now: Timestamp::from_micros(5).unwrap(),
        };
        admit(&compiled.policy, &arrival, &mut Fixed, &*compiled.custom).unwrap()
    };
    let Admission::Refused(rules) = admitted(Some("k8s"), false) else { panic!("it is rejected") };
    let fingerprint = format!("sha256:{}", "ab".repeat(32));
    for (source, expected) in [
        (Some("k8s"), Replay::Same),
        // Of whoever submits for himself nothing is kept that is rejected: there is no such record.
        (Some(&*fingerprint), different(rules.clone())),
        (None, different(rules.clone())),
    ] {
        let Admission::Recorded(kept) = admitted(source, true) else { panic!("it is kept") };
        assert_eq!(kept.verdict, Verdict::Quarantine);
        let openings = vec![kept.kept[0].opening.clone()];
        let entry = kept.draft.stamp(Timestamp::from_micros(5).unwrap());
        assert_eq!(again(&compiled, &entry, &openings), Some(expected), "{source:?}");
    }
}

fn different(rules: Vec<String>) -> Replay {
    Replay::Different(Again { verdict: None, rules, class: None })
}

#[test]
fn unparsed_bytes_are_replayed_as_such() {
    let compiled = compiled();
    let arrival = Arrival {
        bytes: b"<34>Oct 11 no json",
        source: None,
        class: Some(UNPARSED),
        kept: false,
        id: RecordId::new(UnixMillis(1), [7; 10]),
        now: Timestamp::from_micros(5).unwrap(),
    };
    let Ok(Admission::Recorded(admitted)) =
        admit(&compiled.policy, &arrival, &mut Fixed, &*compiled.custom)
    else {
        panic!("not recorded")
    };
    let openings = vec![admitted.kept[0].opening.clone()];
    let entry = admitted.draft.stamp(Timestamp::from_micros(5).unwrap());
    assert_eq!(again(&compiled, &entry, &openings), Some(Replay::Same));
}

/// An event that means something to the policy.
fn events() -> impl Strategy<Value = String> {
    let act = prop_oneof![Just("auth.login"), Just("pay.card"), Just("read")];
    let email = prop_oneof![Just("a@shop.example"), Just("b@elsewhere.example")];
    let has = || any::<[bool; 6]>();
    (act, email, 0..300, has()).prop_map(|(act, email, amount, has)| {
        let [mail, id, sum, phone, secret, out] = has;
        let part = |is: bool, text: String| is.then_some(text);
        let actor: Vec<String> =
            [part(mail, format!(r#""email":"{email}""#)), part(id, r#""id":"u""#.to_owned())]
                .into_iter()
                .flatten()
                .collect();
        let ctx: Vec<String> = [
            part(sum, format!(r#""amount":{amount}"#)),
            part(phone, r#""phone":"5551234""#.to_owned()),
            part(secret, r#""secret":"s""#.to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let out = if out { r#","out":"failure""# } else { "" };
        let (actor, ctx) = (actor.join(","), ctx.join(","));
        format!(r#"{{"act":"{act}","actor":{{{actor}}},"ctx":{{{ctx}}}{out}}}"#)
    })
}

proptest! {
    /// Whatever admission recorded replays as the same.
    #[test]
    fn what_was_admitted_replays_as_the_same(text in events()) {
        let compiled = compiled();
        let (entry, openings) = recorded(&compiled, &text).expect("nothing is refused");
        prop_assert_eq!(again(&compiled, &entry, &openings), Some(Replay::Same));
    }

    /// A record whose verdict or rules were changed is different, or none.
    #[test]
    fn no_other_verdict_replays_as_the_same(text in events(), verdict in 0..4_usize, rule in 0..6_usize) {
        let compiled = compiled();
        let (entry, openings) = recorded(&compiled, &text).expect("nothing is refused");
        let text = String::from_utf8(entry.clone()).unwrap();
        let record = Record::parse(&entry).unwrap();
        let Body::Event(event) = record.body() else { panic!("no event") };
        let verdicts = ["accept", "warn", "quarantine", "error"];
        let rules = ["", "rego/shop.amount/too-much", "rego/shop.mail/foreign", "payment", "other", "authentication"];
        let old = format!(r#""vd":"{}""#, event.verdict().as_str());
        let new = format!(r#""vd":"{}""#, verdicts[verdict]);
        let mut changed = text.replace(&old, &new);
        let start = changed.find(r#","vr":["#).unwrap_or(changed.len() - 1);
        changed.truncate(start);
        if !rules[rule].is_empty() {
            changed.push_str(&format!(r#","vr":["{}"]"#, rules[rule]));
        }
        changed.push('}');
        let replayed = again(&compiled, changed.as_bytes(), &openings);
        if changed == text {
            prop_assert_eq!(replayed, Some(Replay::Same));
        } else {
            prop_assert_ne!(replayed, Some(Replay::Same), "{}", changed);
        }
    }
}
