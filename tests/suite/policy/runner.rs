//! Tests of policies: what they expect is compared, and what they exercise is counted.

use std::time::Duration;

use attestree::core::policy::Bundle;
use attestree::policy::test::{Kind, Report, TestOutcome, run};
use attestree::policy::{Diagnostic, compile};

use super::rego::bundle;

const DOCUMENT: &str = r#"
apiVersion: attestree/v1
kind: Policy
metadata: {name: shop}
classes:
  authentication:
    match: {act: {glob: "auth.*"}}
    require: [actor.id]
    retention: {total: 400d}
  payment:
    match: {act: {prefix: "pay."}}
redact:
  - {path: "ctx.password", action: drop}
  - {path: "actor.email", action: commit}
  - {detect: card, action: mask}
alerts:
  - {name: brute-force, match: {class: authentication, out: failure}, count: 2, within: 60s}
"#;

const MODULE: &str = r#"package shop
deny contains "too-much" if {
	input.ctx.amount > 100
}

warn contains "never" if {
	input.ctx.never
}

alert contains "large" if input.ctx.amount > 50
"#;

const TESTS: &str = r#"
tests:
  - name: a login without a user is quarantined
    event: {act: auth.login}
    expect: {verdict: quarantine, rules: [authentication/actor.id], class: authentication, retention: 400d}
  - name: passwords do not stay
    event: {act: auth.login, actor: {id: u, email: a@b.c}, ctx: {password: x, card: "4111 1111 1111 1111"}}
    expect:
      verdict: accept
      redacted: {ctx.password: drop, /actor/email: commit, ctx.card: mask}
      absent: [ctx.password]
  - name: two failures are an alert
    events:
      - {event: {act: auth.login, actor: {id: u}, out: failure}, at: "2026-11-21T00:00:00Z"}
      - {event: {act: auth.login, actor: {id: u}, out: failure}, at: "2026-11-21T00:00:09Z"}
    expect: {verdict: accept, alerts: [brute-force]}
  - name: what is too much is told
    event: {act: pay.card, ctx: {amount: 500}}
    expect: {verdict: quarantine, rules: [rego/shop/too-much]}
  - name: what is large calls
    event: {act: pay.card, ctx: {amount: 60}}
    expect: {verdict: accept, alerts: [rego/shop/large]}
  - name: two failures are told, however they are written
    event: {act: auth.login, actor: {id: v}, out: failure}
    times: 2
    after: 30s
    expect: {alerts: [brute-force]}
  - name: what lies too far apart is none
    events:
      - {event: {act: auth.login, actor: {id: w}, out: failure}, at: "2026-11-21T00:00:00Z"}
      - {event: {act: auth.login, actor: {id: w}, out: failure}, times: 3, after: 90s}
    expect: {alerts: []}
  - name: no JSON is no event
    raw: "{"
    expect: {verdict: malformed}
  - name: wrong in every way
    event: {act: pay.card, ctx: {amount: 60}}
    expect:
      verdict: reject
      rules: [other]
      class: other
      retention: 1d
      redacted: {ctx.amount: drop}
      absent: [ctx.amount]
      alerts: []
      suppressed: true
  - name: not now
    skip: true
    event: {act: x}
    expect: {verdict: reject}
"#;

const REGO_TESTS: &str = r#"package shop_test
import data.shop

test_too_much if "too-much" in shop.deny with input as {"ctx": {"amount": 500}}

test_fails if {
	print("amount is", 5)
	count(shop.deny) == 7 with input as {"ctx": {"amount": 5}}
}

todo_test_later if false
"#;

fn files() -> Bundle {
    bundle(&[
        ("policy.yaml", DOCUMENT),
        ("rego/shop.rego", MODULE),
        ("tests/login.yaml", TESTS),
        ("tests/shop_test.rego", REGO_TESTS),
    ])
}

fn report(bundle: &Bundle, is_meant: impl Fn(&str) -> bool) -> Result<Report, Vec<Diagnostic>> {
    let compiled = match compile(bundle) {
        Ok(compiled) => compiled,
        Err(found) => panic!("{found:?}"),
    };
    run(bundle, &compiled, is_meant, || Duration::ZERO)
}

#[test]
fn what_is_expected_is_compared() {
    let report = report(&files(), |_| true).unwrap();
    for result in &report.results {
        let wanted = match result.name.as_str() {
            "wrong in every way" | "data.shop_test.test_fails" => TestOutcome::Fail,
            "not now" | "data.shop_test.todo_test_later" => TestOutcome::Skip,
            _ => TestOutcome::Pass,
        };
        assert_eq!(result.outcome, wanted, "{}: {}", result.name, result.message);
        assert!(result.line > 0 && !result.file.is_empty());
    }
    assert_eq!(report.results.len(), 13);
    let of = |name: &str| report.results.iter().find(|result| result.name == name).unwrap();
    let told = "verdict: expected reject, found accept []\n\
                rules: expected [other], found []\n\
                class: expected other, found payment\n\
                suppressed: expected true, found false\n\
                /ctx/amount: expected drop, found nothing\n\
                /ctx/amount: expected absent, found a value\n\
                alerts: expected [], found [rego/shop/large]\n\
                retention: expected 1d, found for ever";
    assert_eq!(of("wrong in every way").message, told);
    assert!(of("data.shop_test.test_fails").message.contains("amount is 5"));
    assert_eq!(of("a login without a user is quarantined").line, 3);
}

#[test]
fn coverage_names_what_no_test_has_exercised() {
    let full = report(&files(), |_| true).unwrap().coverage;
    let times = |kind, name: &str| {
        let part = full.parts.iter().find(|part| part.kind == kind && part.name == name);
        part.unwrap_or_else(|| panic!("{name} is not there: {:?}", full.parts)).times
    };
    assert!(times(Kind::Class, "authentication") > 2 && times(Kind::Class, "payment") > 1);
    assert_eq!(times(Kind::Rule, "authentication/actor.id"), 1);
    assert_eq!((times(Kind::Treatment, "/ctx/password"), times(Kind::Detector, "card")), (1, 1));
    let lines = &full.lines["rego/shop.rego"];
    assert!(lines.covered.contains(&3) && lines.missed.contains(&6), "{lines:?}");
    assert!(!full.lines.contains_key("tests/shop_test.rego"));
    assert!(full.percent() > 50.0 && full.percent() < 100.0);
    assert!(full.reaches(50.0) && !full.reaches(100.0));
    let none = report(&files(), |_| false).unwrap();
    assert!(none.results.is_empty() && none.coverage.parts.iter().all(|part| part.times == 0));
}

#[test]
fn only_tests_whose_names_pass_are_run() {
    let report = report(&files(), |name| name.contains("too_much") || name.contains("alert"));
    let names: Vec<String> = report.unwrap().results.into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["two failures are an alert", "data.shop_test.test_too_much"]);
}

#[test]
fn tests_that_can_not_be_read_are_told_with_their_place() {
    for (test, line) in [
        ("- name: x\n  event: {}\n  expect: {verdikt: accept}\n", 3),
        ("- name: x\n  expect: {verdict: accept}\n", 1),
        ("- event: {}\n  expect: {verdict: accept}\n", 1),
        ("- name: x\n  event: {}\n", 1),
        ("- name: x\n  event: {}\n  expect: {retention: soon}\n", 3),
        ("- name: x\n  event: {act: 1e300}\n  expect: {verdict: accept}\n", 2),
        ("- name: x\n  at: tomorrow\n  event: {}\n  expect: {verdict: accept}\n", 2),
        ("- name: x\n  event: {}\n  times: 0\n  expect: {}\n", 3),
        ("- name: x\n  event: {}\n  times: 10001\n  expect: {}\n", 3),
        ("- name: x\n  event: {}\n  after: soon\n  expect: {}\n", 3),
        ("- name: [\n", 1),
    ] {
        let files = [("policy.yaml", DOCUMENT), ("tests/a.yaml", test)];
        let found = report(&bundle(&files), |_| true).expect_err(test);
        assert_eq!((found[0].file.as_str(), found[0].line), ("tests/a.yaml", line), "{found:?}");
    }
    let files = [("policy.yaml", DOCUMENT), ("tests/a_test.rego", "package a\ntest_x if")];
    assert_eq!(report(&bundle(&files), |_| true).unwrap_err()[0].file, "tests/a_test.rego");
}
