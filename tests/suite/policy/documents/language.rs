//! The native form: what each part of it does to an event.

use attestree::core::policy::Trigger as Watched;
use attestree::core::record::Verdict;
use attestree::policy::{Date, Period};

use super::{admitted, broken, policy, shown};

/// Returns whether a login with this context is of the class that a match describes.
fn fits(condition: &str, event: &str) -> bool {
    let compiled = policy(&format!("classes:\n  found:\n    match: {condition}\n"));
    shown(&compiled, event).contains("\"class\":\"found\"")
}

const EVENT: &str = r#"{"act":"auth.login","out":"failure","seq":7,"actor":{"id":"u_1","roles":["admin","ops"]},
"ctx":{"mfa":false,"attempt":3,"ratio":0.5,"source":{"ip":"10.1.2.3"},"path":"/v1/login"}}"#;

#[test]
fn every_test_holds_where_it_should() {
    let cases = [
        ("{action: auth.login}", true),
        ("{action: auth}", false),
        ("{action: 'auth.*'}", true),
        ("{action: {eq: 'auth.*'}}", false),
        ("{action: [a, auth.login]}", true),
        ("{action: {in: [a, b]}}", false),
        ("{action: {prefix: auth.}}", true),
        ("{action: {suffix: .login}}", true),
        ("{action: {suffix: .logout}}", false),
        ("{action: {glob: 'a*.l*n'}}", true),
        ("{action: {regex: '^auth\\.(login|logout)$'}}", true),
        ("{action: {regex: '^auth$'}}", false),
        ("{action: {prefix: auth., suffix: .logout}}", false),
        ("{outcome: failure, actor.id: u_1}", true),
        ("{outcome: success, actor.id: u_1}", false),
        ("{actor.roles: admin}", true),
        ("{actor.roles: {any_of: [root, ops]}}", true),
        ("{actor.roles: root}", false),
        ("{actor.roles: {not: {in: [root, ops]}}}", false),
        ("{ctx.mfa: false}", true),
        ("{mfa: true}", false),
        ("{ctx.attempt: 3}", true),
        ("{attempt: {range: {min: 3}}}", true),
        ("{attempt: {range: {min: 1, max: 2}}}", false),
        ("{ratio: {range: {min: 0.25, max: 0.5}}}", true),
        ("{source.ip: {cidr: 10.0.0.0/8}}", true),
        ("{source.ip: {cidr: [192.0.2.0/24, 10.1.2.3]}}", true),
        ("{source.ip: {cidr: '2001:db8::/32'}}", false),
        ("{source: 'payments-*'}", true),
        ("{source: billing}", false),
        ("{/ctx/path: /v1/login}", true),
        ("{missing: {exists: false}}", true),
        ("{missing: {exists: true}}", false),
        ("{missing: {not: x}}", true),
        ("{not: {outcome: success}}", true),
        ("{any: [{outcome: success}, {actor.roles: ops}]}", true),
        ("{all: [{outcome: success}, {actor.roles: ops}]}", false),
        ("[{outcome: success}, {seq: 7}]", true),
        ("{any: [{not: {all: [{seq: 7}, {out: failure}]}}]}", false),
    ];
    for (condition, holds) in cases {
        assert_eq!(fits(condition, EVENT), holds, "{condition}");
    }
}

#[test]
fn required_fields_are_rules_of_their_own() {
    let compiled = policy(
        "classes:
  authentication:
    match: {action: 'auth.*'}
    require: [actor.id, outcome, {field: source.ip, type: address}]
  deployment:
    match: {action: 'deploy.*'}
    require: {resource.id: text, ctx.approval: object}
    enforce: reject
rules:
  - {name: night, classes: [deployment], when: {ctx.night: true}, require: [ctx.reason], enforce: warn}
",
    );
    let (_, verdict, rules) =
        admitted(&compiled, r#"{"act":"auth.login","ctx":{"source":{"ip":"x"}}}"#);
    assert_eq!(verdict, Some(Verdict::Quarantine));
    assert_eq!(
        rules,
        ["authentication/actor.id", "authentication/outcome", "authentication/source.ip"]
    );
    let (_, verdict, rules) = admitted(&compiled, r#"{"act":"deploy.start","ctx":{"night":true}}"#);
    assert_eq!(verdict, None);
    assert_eq!(rules, ["deployment/approval", "deployment/resource.id", "night"]);
    let event = r#"{"act":"deploy.start","resource":{"id":"a"},"ctx":{"night":true,"approval":{"by":"b"}}}"#;
    let (_, verdict, rules) = admitted(&compiled, event);
    assert_eq!((verdict, rules), (Some(Verdict::Warn), vec!["night".to_owned()]));
}

#[test]
fn what_is_redacted_is_not_in_the_record() {
    let compiled = policy(
        "redact:
  - {path: request.headers.authorization, action: drop}
  - {path: actor.email, action: commit, subject: actor.id}
  - {path: phone, action: token, epoch: 30d}
  - {detect: pan, action: mask, keep_last: 4}
",
    );
    let text = shown(
        &compiled,
        r#"{"actor":{"id":"u","email":"a@example.com"},"ctx":{"phone":"+15550100","note":"4111111111111111",
        "request":{"headers":{"authorization":"Bearer x","host":"h"}}}}"#,
    );
    assert!(
        text.contains(r#""email":{"$c":""#) && text.contains(r#""phone":{"$t":"685."#),
        "{text}"
    );
    assert!(
        text.contains(r#""note":"***1111""#) && text.contains(r#""headers":{"host":"h"}"#),
        "{text}"
    );
}

#[test]
fn what_follows_from_an_event_is_added_to_it() {
    let compiled = policy(
        "enrich:
  - {name: team, from: actor.id, map: {u_1: payments, u_2: billing}, default: unknown}
  - {name: zone, from: source.ip, cidr: {10.0.0.0/8: office, 10.1.0.0/16: datacentre}}
  - {headers: request.headers, allow: [Host, User-Agent]}
classes:
  inside:
    match: {enriched.zone: [office, datacentre]}
",
    );
    let event = |id: &str, ip: &str| {
        format!(
            r#"{{"actor":{{"id":"{id}"}},"ctx":{{"source":{{"ip":"{ip}"}},"request":{{"headers":{{"HOST":"h","Cookie":"secret"}}}}}}}}"#
        )
    };
    let text = shown(&compiled, &event("u_1", "10.1.2.3"));
    assert!(
        text.contains(
            r#""enriched":{"headers":{"host":"h"},"team":"payments","zone":"datacentre"}"#
        ),
        "{text}"
    );
    assert!(text.contains(r#""class":"inside""#) && !text.contains("secret"), "{text}");
    assert!(text.contains(r#"["/ctx/request/headers","drop"]"#), "{text}");
    let text = shown(&compiled, &event("u_9", "192.0.2.1"));
    assert!(text.contains(r#""team":"unknown""#) && !text.contains("zone"), "{text}");
}

#[test]
fn a_level_decides_which_bodies_are_recorded() {
    let event = |class: &str| {
        format!(
            r#"{{"class":"{class}","ctx":{{"request":{{"body":{{"a":1}},"id":"r"}},"response":{{"body":[2],"code":200}}}}}}"#
        )
    };
    let compiled = policy(
        "classes:\n  a: {level: metadata}\n  b: {level: request}\n  c: {level: full}\n  d:\n",
    );
    let cases = [("a", false, false), ("b", true, false), ("c", true, true), ("d", true, true)];
    for (class, request, response) in cases {
        let text = shown(&compiled, &event(class));
        assert_eq!(text.contains(r#""body":{"a":1}"#), request, "{text}");
        assert_eq!(text.contains(r#""body":[2]"#), response, "{text}");
        assert!(text.contains(r#""id":"r""#) && text.contains(r#""code":200"#), "{text}");
    }
}

#[test]
fn unknown_classes_and_sources_without_numbers_are_found() {
    let compiled = policy(
        "classes: {known: {}}
enforce: {on_violation: warn, unknown_class: quarantine}
sources: [{match: {service: 'payments-*'}, seq: required, expect: {every: 1h}}]
",
    );
    assert_eq!(broken(&compiled, r#"{"class":"known","seq":1}"#), Vec::<String>::new());
    assert_eq!(broken(&compiled, r#"{"class":"other","seq":1}"#), ["class/unknown"]);
    assert_eq!(broken(&compiled, r#"{"class":"known"}"#), ["source-1/seq"]);
    let [source] = compiled.document.sources.as_slice() else { panic!("one source") };
    assert_eq!(source.expect, Some(Period { seconds: 3_600 }));
}

#[test]
fn what_later_parts_use_is_kept() {
    let compiled = policy(
        "metadata: {name: payments, owner: sec-eng, review_by: 2027-06-01, description: All of it}
classes:
  authentication:
    retention: {hot: 90d, total: 400d}
    index: [actor.id, action, [actor.id, action]]
retention: 6_years
suppress:
  - {name: health, match: {action: health.check}, every: 5m}
alerts:
  - {name: brute-force, classes: [authentication], match: {outcome: failure}, group_by: [actor.id], count: 5, within: 60s, to: [soc]}
  - {name: silence, absent_for: P1D}
access: [{role: auditor, can: [query, disclose], classes: ['*'], fields: {deny: [request.body]}}]
hold: [{name: case-7, reason: litigation, classes: [authentication], until: 2028-01-01}]
",
    );
    let document = &compiled.document;
    assert_eq!(document.name, "payments");
    assert_eq!(document.review_by, Some(Date { year: 2027, month: 6, day: 1 }));
    assert_eq!(document.retention.total, Period::parse("2190d"));
    assert_eq!(document.classes[0].retention.unwrap().hot, Period::parse("90d"));
    assert_eq!(document.classes[0].indexes.len(), 3);
    assert_eq!(document.suppressions[0].window, Period { seconds: 300 });
    assert_eq!((document.alerts.len(), document.access.len(), document.holds.len()), (2, 1, 1));
    assert_eq!(document.access[0].deny[0].as_str(), "/ctx/request/body");
}

#[test]
fn lengths_of_time_are_written_in_many_ways() {
    let day = 86_400;
    let cases = [
        ("90_days", Some(90 * day)),
        ("90d", Some(90 * day)),
        ("6_years", Some(6 * 365 * day)),
        ("P90D", Some(90 * day)),
        ("PT15M", Some(900)),
        ("P1Y6M", Some(545 * day)),
        ("P1DT12H", Some(day + 43_200)),
        ("1 week", Some(7 * day)),
        ("60s", Some(60)),
        ("0d", None),
        ("d", None),
        ("P", None),
        ("PT", None),
        ("P1D1Y", None),
        ("1.5h", None),
        ("-1d", None),
        ("99999999999999999999d", None),
        ("2000y", None),
    ];
    for (text, seconds) in cases {
        assert_eq!(Period::parse(text).map(|period| period.seconds), seconds, "{text}");
    }
    for seconds in [1, 60, 61, 3_600, day, 90 * day, day + 1] {
        let period = Period { seconds };
        assert_eq!(Period::parse(&period.to_string()), Some(period));
    }
}

#[test]
fn custom_rules_stand_behind_what_the_document_says_of_them() {
    let files = |rego: &str| {
        let module = "package team.night\n\nimport rego.v1\n\ndeny contains msg if {\n  input.ctx.night\n  msg := \"no\"\n}\n";
        let document = super::native(&format!("classes: {{a: {{}}, b: {{}}}}\n{rego}"));
        let bundle = super::bundle(&[("policy.yaml", &document), ("rego/night.rego", module)]);
        attestree::policy::compile(&bundle)
    };
    let guarded = "rego: [{file: night.rego, classes: [a], when: {ctx.zone: eu}, enforce: warn}]\n";
    let compiled = files(guarded).unwrap_or_else(|found| panic!("{found:#?}"));
    let verdict = |event: &str| admitted(&compiled, event).1;
    let asked = r#"{"class":"a","ctx":{"night":true,"zone":"eu"}}"#;
    assert_eq!(verdict(asked), Some(Verdict::Warn));
    assert_eq!(verdict(&asked.replace("\"a\"", "\"b\"")), Some(Verdict::Accept));
    assert_eq!(verdict(&asked.replace("eu", "us")), Some(Verdict::Accept));
    for wrong in ["rego: [other.rego]\n", "rego: [night.rego, {package: team.night}]\n"] {
        let Err(found) = files(wrong) else { panic!("{wrong}") };
        assert_eq!((found[0].code, found[0].line), ("policy/rego", 4));
    }
}

#[test]
fn what_is_watched_is_handed_to_who_counts() {
    let compiled = policy(
        "classes:
  a: {match: {action: a}, log: {success: false}}
  b: {match: {action: b}, level: none}
  c: {match: {action: c}}
suppress: [{name: health, match: {action: [x, y], source: p}, every: 5m}]
alerts:
  - {name: brute-force, match: {class: c, outcome: failure}, count: 5, within: 60s, to: soc}
  - {name: silence, classes: [c], absent_for: 1d}
sources: [{match: {service: payments-7}, seq: required, expect: {every: 1h}}, {match: {service: 'x-*'}, expect: {every: 5m}}]
",
    );
    let watch = &compiled.watch;
    assert_eq!(watch.required, ["c"]);
    let rules: Vec<&str> = watch.suppressions.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(rules, ["a/success", "b/unlogged", "health"]);
    assert_eq!(watch.suppressions[0].select.classes, ["a"]);
    assert_eq!(watch.suppressions[0].select.when.len(), 1);
    assert_eq!(watch.suppressions[2].select.when.len(), 2);
    assert_eq!(watch.suppressions[2].every_seconds, 300);
    let rules: Vec<&str> = watch.alerts.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(rules, ["policy/violation", "brute-force", "silence"]);
    assert_eq!(watch.alerts[1].to, ["soc"]);
    assert_eq!(watch.alerts[2].select.classes, ["c"]);
    assert_eq!(watch.alerts[2].trigger, Watched::Absence { seconds: 86_400 });
    let [source, pods] = watch.sources.as_slice() else { panic!("{:?}", watch.sources) };
    assert!(source.numbered && source.heartbeat_seconds == Some(3_600));
    assert_eq!(
        (pods.rule.as_str(), pods.names("x-1"), pods.is_about("x-1")),
        ("source-2", false, true)
    );
    assert!(compiled.warnings.is_empty());
    // What no record shows can't be watched.
    for what in [
        "suppress: [{name: s, match: {ctx.pin: '1'}}]",
        "alerts: [{name: s, match: [{not: {ctx.pin: '1'}}]}]",
    ] {
        let text = format!("redact: [{{path: ctx.pin, action: commit}}]\n{what}\n");
        assert_eq!(super::findings(&super::native(&text))[0].code, "policy/redacted", "{what}");
    }
}

#[test]
fn tokens_are_of_the_epoch_that_is_stated() {
    let text = "redact:
  - {path: ctx.month, action: token}
  - {path: ctx.week, action: token, epoch: 7d}
  - {detect: email, action: token, epoch: 1d}
";
    let record = shown(&policy(text), r#"{"ctx":{"month":1,"week":1,"mail":"a@example.com"}}"#);
    for token in [r#""month":{"$t":"685."#, r#""week":{"$t":"2935."#, r#""mail":{"$t":"20550."#] {
        assert!(record.contains(token), "{token} {record}");
    }
}
