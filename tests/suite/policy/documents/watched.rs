//! What documents say about noise and alerts, event by event.

use super::{policy, seen};

#[test]
fn no_event_of_a_class_that_wants_it_is_counted_only_whatever_it_names() {
    let compiled = policy(
        "classes:
  login: {match: {action: 'auth.*'}}
  failures: {match: {action: 'job.*'}, log: {success: false}}
  health: {match: {action: {suffix: .check}}, level: none}
suppress: [{name: probes, match: {source: payments-7, outcome: unknown}, every: 5m}]
",
    );
    let suppresses = |event: &str| {
        let position = compiled.watch.suppresses(&seen(&compiled, event))?;
        Some(compiled.watch.suppressions[position].rule.as_str())
    };
    let cases = [
        (r#"{"class":"health"}"#, Some("health/unlogged")),
        (r#"{"act":"a.check","out":"failure"}"#, Some("health/unlogged")),
        // It is of a required class, whatever it names and whatever else it fits.
        (r#"{"act":"auth.login","class":"health"}"#, None),
        (r#"{"act":"auth.check"}"#, None),
        (r#"{"act":"a.check","class":"login"}"#, None),
        (r#"{"act":"auth.login","out":"unknown","class":"health"}"#, None),
        (r#"{"act":"a","out":"unknown"}"#, Some("probes")),
        // Its failures are recorded, and an event that is of two classes is one if either wants it.
        (r#"{"act":"job.run","out":"failure","class":"health"}"#, None),
        (r#"{"act":"job.run","out":"success","class":"health"}"#, Some("failures/success")),
        (r#"{"act":"job.check","out":"success"}"#, Some("failures/success")),
        (r#"{"act":"job.check","out":"failure"}"#, None),
        (r#"{"act":"a.check","class":"strange"}"#, None),
    ];
    for (event, wanted) in cases {
        assert_eq!(suppresses(event), wanted, "{event}");
    }
}
