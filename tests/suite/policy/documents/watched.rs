//! What documents say about noise and alerts, event by event.

use attestree::core::policy::Watching;
use attestree::core::record::{AlertCause, System, Timestamp, Verdict};
use attestree::policy::compile;

use super::{bundle, native, policy, seen};

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

#[test]
fn events_are_grouped_by_what_their_records_show() {
    let compiled = policy(
        "redact:
  - {path: actor.email, action: commit}
  - {path: actor.phone, action: token}
alerts:
  - {name: id, group_by: [actor.id, source], count: 5, within: 60s}
  - {name: phone, group_by: [actor.phone], count: 5, within: 60s}
  - {name: email, group_by: [actor.email], count: 5, within: 60s}
  - {name: all, count: 5, within: 60s}
",
    );
    let codes: Vec<_> = compiled.warnings.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["policy/group-by"]);
    assert!(compiled.warnings[0].message.contains("'email' counts by 'actor.email'"));
    let groups = |actor: &str| {
        let seen = seen(&compiled, &format!(r#"{{"actor":{{{actor}}}}}"#));
        let [(1, Some(id)), (2, Some(phone)), (3, Some(email)), (4, None)] = seen.about[..] else {
            panic!("{seen:?}")
        };
        [id, phone, email]
    };
    let [none, no_phone, no_email] = groups("");
    assert!(no_phone == no_email && none != no_email, "it has a source");
    let one = groups(r#""id":"a","email":"x","phone":"1""#);
    let [id, phone, email] = groups(r#""id":"b","email":"x","phone":"1""#);
    assert!(id != one[0] && phone == one[1] && phone != no_phone && email == no_email);
    assert_eq!(groups(r#""id":{"a":1}"#)[0], none);
    assert_ne!(groups(r#""id":7"#)[0], groups(r#""id":"7""#)[0]);
}

#[test]
fn an_alert_of_a_custom_rule_is_a_record_and_its_event_is_not_counted_only() {
    let document = native(
        "redact: [{path: actor.email, action: commit}]
suppress: [{name: all, match: {source: payments-7}, every: 5m}]
rego: [{package: shop.tell, needs: [actor.email]}]
",
    );
    let rego = "package shop.tell
alert contains \"vault\" if { input.source == \"payments-7\"; input.act == \"vault.open\" }
alert contains \"root\" if startswith(input.actor.email, \"root@\")
";
    let files = [("policy.yaml", document.as_str()), ("rego/tell.rego", rego)];
    let compiled = compile(&bundle(&files)).unwrap_or_else(|found| panic!("{found:#?}"));
    let cases: [(&str, &[&str]); 3] = [
        (r#"{"act":"vault.open"}"#, &["rego/shop.tell/vault"]),
        (
            r#"{"act":"vault.open","actor":{"email":"root@a"}}"#,
            &["rego/shop.tell/root", "rego/shop.tell/vault"],
        ),
        (r#"{"act":"vault.close","actor":{"email":"joe@a"}}"#, &[]),
    ];
    for (event, wanted) in cases {
        let seen = seen(&compiled, event);
        assert_eq!(compiled.watch.suppresses(&seen).is_none(), !wanted.is_empty(), "{event}");
        let said =
            Watching::default().observe(&compiled.watch, &seen, Timestamp::from_micros(7).unwrap());
        let rules: Vec<String> = said
            .into_iter()
            .map(|system| match system {
                System::Alert(AlertCause::Match, tally) => tally.rule,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(rules, wanted, "{event}");
    }
}

#[test]
fn alerts_look_at_whatever_the_record_shows() {
    let compiled = policy(
        "classes:
  login: {match: {action: 'auth.*'}}
  admin: {match: {actor.roles: admin}}
redact: [{path: actor.email, action: mask}, {path: ctx.pin, action: commit}]
alerts:
  - {name: glob, match: {action: 'auth.*'}}
  - {name: prefix, match: {resource.path: {prefix: /etc/}}}
  - {name: network, match: {source.ip: {cidr: [10.0.0.0/8, '2001:db8::/32']}}}
  - {name: number, match: {ctx.attempt: {range: {min: 3}}}}
  - {name: either, match: [{action: x}, {ctx.night: true}]}
  - {name: neither, match: {not: {any: [{action: x}, {class: login}]}}}
  - {name: classes, match: {class: 'ad*', any: [{class: login}, {action: y}]}}
  - {name: there, match: {ctx.pin: {exists: true}, actor.email: {exists: true}}}
  - {name: source, match: {source: {suffix: '-7'}, action: z}}
",
    );
    let about = |event: &str| -> Vec<&str> {
        let seen = seen(&compiled, event);
        seen.about.iter().map(|(at, _)| compiled.watch.alerts[*at].rule.as_str()).collect()
    };
    let cases: [(&str, &[&str]); 10] = [
        (r#"{"act":"auth.login"}"#, &["glob"]),
        (r#"{"act":"x","resource":{"path":"/etc/passwd"}}"#, &["prefix", "either"]),
        (r#"{"act":"x","ctx":{"source":{"ip":"10.9.8.7"}}}"#, &["network", "either"]),
        (r#"{"act":"x","ctx":{"source":{"ip":"2001:db8::1"}}}"#, &["network", "either"]),
        (r#"{"act":"x","ctx":{"attempt":3}}"#, &["number", "either"]),
        (r#"{"act":"auth.logout","ctx":{"night":true}}"#, &["glob", "either"]),
        (r#"{"act":"b"}"#, &["neither"]),
        // Of every class that it is of, and not only of the one that the record shows.
        (r#"{"act":"auth.login","actor":{"roles":["admin"]}}"#, &["glob", "classes"]),
        (
            r#"{"act":"x","ctx":{"pin":"1234"},"actor":{"email":"a@b.example"}}"#,
            &["either", "there"],
        ),
        (r#"{"act":"z"}"#, &["neither", "source"]),
    ];
    for (event, wanted) in cases {
        assert_eq!(about(event), wanted, "{event}");
    }
}

#[test]
fn noise_is_what_conditions_say_of_each_class_alone() {
    let compiled = policy(
        "classes:
  a: {match: {ctx.a: true}, required: false}
  b: {match: {ctx.b: true}, required: false}
  c: {match: {ctx.c: true}}
suppress:
  - {name: probes, match: {ctx.from: {cidr: 127.0.0.0/8}, not: {class: b}}}
  - {name: either, match: {act: {prefix: ping}, any: [{class: a}, {class: b}]}}
",
    );
    let cases = [
        (r#"{"ctx":{"from":"127.0.0.1"}}"#, Some("probes")),
        (r#"{"ctx":{"from":"127.0.0.1","a":true}}"#, Some("probes")),
        (r#"{"ctx":{"from":"127.0.0.1","a":true,"b":true}}"#, None),
        (r#"{"ctx":{"from":"127.0.0.1","c":true}}"#, None),
        (r#"{"ctx":{"from":"10.0.0.1","a":true}}"#, None),
        (r#"{"act":"ping","ctx":{"b":true}}"#, Some("either")),
        (r#"{"act":"ping","ctx":{"a":true,"b":true}}"#, Some("either")),
        (r#"{"act":"ping"}"#, None),
    ];
    for (event, wanted) in cases {
        let counted = compiled.watch.suppresses(&seen(&compiled, event));
        let rule = counted.map(|at| compiled.watch.suppressions[at].rule.as_str());
        assert_eq!(rule, wanted, "{event}");
    }
}

#[test]
fn what_nothing_is_about_is_not_looked_at() {
    let quiet = policy("classes:\n  a: {match: {action: a}}\n");
    assert!(!quiet.watch.concerns(Verdict::Accept) && !quiet.watch.concerns(Verdict::Warn));
    assert!(quiet.watch.concerns(Verdict::Quarantine), "it raises an alert");
    let alert = policy("alerts: [{name: x, match: {action: x}}]\n");
    assert!(alert.watch.concerns(Verdict::Accept));
    let noise = policy("suppress: [{name: x, match: {action: x}}]\n");
    assert!(noise.watch.concerns(Verdict::Accept) && !noise.watch.concerns(Verdict::Warn));
}
