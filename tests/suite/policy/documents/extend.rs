//! Policies that extend others: what tightens is taken, and what weakens is found.

use std::fmt::Write as _;

use attestree::core::policy::Bundle;
use attestree::policy::{Compiled, Diagnostic, compile};

use super::{broken, bundle, native, shown};

const PARENT: &str = "metadata: {name: org}
classes:
  authentication:
    match: {action: {prefix: auth.}}
    require: [actor.id, outcome]
    retention: {hot: 90d, total: 400d}
    log: {success: true, failure: true}
  noise: {match: {action: ping}, required: false}
redact: [{path: password, action: drop}]
access: [{role: auditor, can: [query], classes: [authentication], fields: {deny: [request.body]}}]
enforce: {unknown_class: warn}
retention: 1y
approvals: {keys: [], threshold: 0}
";

/// Compiles a child of the parent above.
fn child(rest: &str) -> Result<Compiled, Vec<Diagnostic>> {
    let parent = native(PARENT);
    let digest = bundle(&[("policy.yaml", &parent)]).digest();
    let hex = digest.as_bytes().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let own = native(&format!("metadata: {{name: team}}\nextends: ['org@sha256:{hex}']\n{rest}"));
    compile(&bundle(&[("policy.yaml", &own), ("parents/org/policy.yaml", &parent)]))
}

#[test]
fn what_tightens_is_taken() {
    for rest in [
        "",
        "classes: {own: {match: {action: x}}}\n",
        "classes: {authentication: {require: [source.ip, {field: actor.id, type: text}]}}\n",
        "classes: {authentication: {match: {action: {prefix: au}}}}\n",
        "classes: {authentication: {match: {any: [{action: {prefix: auth.}}, {action: login}]}}}\n",
        "classes: {authentication: {enforce: reject, retention: {hot: 91d}}}\n",
        "classes: {own: {level: none}}\nsuppress: [{name: s, classes: [own]}]\n",
        "redact: [{path: phone, action: token}, {detect: email, action: mask}]\n",
        "access: [{role: auditor, can: [query], classes: [authentication], fields: {deny: [request.body, phone]}}]\n",
        "access: [{role: own, can: [query], classes: [own]}]\nclasses: {own: {}}\n",
        "enforce: {unknown_class: quarantine}\nretention: 6y\n",
        "rules: [{name: r, require: [actor.id]}]\nalerts: [{name: a, match: {outcome: failure}}]\n",
    ] {
        let compiled = child(rest).unwrap_or_else(|found| panic!("{rest}{found:#?}"));
        assert_eq!(compiled.document.name, "team");
        let event = r#"{"act":"auth.x","out":"success","actor":{"id":"u"},"ctx":{"password":"p","source":{"ip":"::1"}}}"#;
        if !rest.contains("reject") {
            let text = shown(&compiled, event);
            assert!(text.contains("authentication") && !text.contains(r#""password":"#), "{text}");
        }
    }
}

#[test]
fn what_weakens_is_found() {
    for (rest, word) in [
        ("classes: {authentication: {match: {action: auth.login}}}\n", "narrower"),
        ("classes: {authentication: {match: {action: {regex: '^auth'}}}}\n", "narrower"),
        (
            "classes: {authentication: {match: {action: {prefix: auth.}, outcome: failure}}}\n",
            "narrower",
        ),
        ("classes: {authentication: {enforce: warn}}\n", "less consequence"),
        ("classes: {authentication: {retention: {hot: 89d, total: 400d}}}\n", "hot is shorter"),
        ("classes: {authentication: {retention: {hot: 90d, total: 399d}}}\n", "total is shorter"),
        ("classes: {authentication: {retention: 500d}}\n", "hot is shorter"),
        ("classes: {authentication: {log: {success: false}}}\n", "what succeeds"),
        ("classes: {authentication: {level: metadata}}\n", "less detail"),
        ("classes: {authentication: {required: false}}\n", "not required"),
        ("enforce: {on_violation: warn}\n", "less consequence"),
        ("enforce: {unknown_class: accept}\n", "unknown class"),
        ("retention: 364d\n", "default retention"),
        ("redact: [{path: actor.id, action: commit}]\n", "would be redacted"),
        ("redact: [{path: actor, action: commit}]\n", "would be redacted"),
        ("redact: [{path: actor.*, action: token}]\n", "would be redacted"),
        ("suppress: [{name: s, classes: [noise]}]\n", "would suppress"),
        ("suppress: [{name: s, match: {action: x}}]\n", "would suppress"),
        (
            "access: [{role: auditor, can: [query, disclose], classes: [authentication], fields: {deny: [request.body]}}]\n",
            "may do or see more",
        ),
        (
            "access: [{role: auditor, can: [query], classes: ['*'], fields: {deny: [request.body]}}]\n",
            "may do or see more",
        ),
        (
            "access: [{role: auditor, can: [query], classes: [authentication]}]\n",
            "may do or see more",
        ),
        (
            "access: [{role: own, can: [query], classes: ['*']}]\n",
            "more than the classes that are new",
        ),
    ] {
        let Err(found) = child(rest) else { panic!("{rest} weakens") };
        assert!(
            found.iter().any(|one| one.code == "policy/weakening" && one.message.contains(word)),
            "{rest}{found:#?}"
        );
        assert!(found.iter().all(|one| one.line > 0), "{rest}{found:#?}");
    }
}

#[test]
fn a_parent_is_the_one_that_is_named() {
    let error = |bundle: &Bundle| match compile(bundle) {
        Ok(_) => panic!("it has no parent"),
        Err(found) => (found[0].code, found[0].help.clone().unwrap_or_default()),
    };
    let own = native(&format!("extends: 'org@sha256:{}'\n", "00".repeat(32)));
    let (code, help) = error(&bundle(&[("policy.yaml", &own)]));
    assert_eq!((code, help.contains("copy")), ("policy/parent", true));
    let files = [("policy.yaml", own.as_str()), ("parents/org/policy.yaml", "x: 1\n")];
    let (code, help) = error(&bundle(&files));
    assert_eq!((code, help.contains("sha256:")), ("policy/parent", true));
    let two = native(&format!("extends: ['a@sha256:{0}', 'b@sha256:{0}']\n", "00".repeat(32)));
    assert_eq!(error(&bundle(&[("policy.yaml", &two)])).0, "policy/parent");
}

/// Rules of the parent, which see a limit of the parent's data.
const PARENT_RULES: &str = "package org.limit
deny contains \"too-much\" if input.ctx.amount > data.limits.amount
";

/// Compiles a child of a parent that has rules of its own.
fn custom(own: &str, files: &[(&str, &str)]) -> Result<Compiled, Vec<Diagnostic>> {
    let parent = [
        (
            "policy.yaml",
            native(
                "metadata: {name: org}\nrego: [{package: org.limit, classes: [payment]}]\nclasses: {payment: {match: {action: pay}}}\n",
            ),
        ),
        ("rego/limit.rego", PARENT_RULES.to_owned()),
        ("limits/data.json", r#"{"amount":100}"#.to_owned()),
    ];
    let texts: Vec<(&str, &str)> = parent.iter().map(|(path, text)| (*path, &**text)).collect();
    let digest = bundle(&texts).digest();
    let hex = digest.as_bytes().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let own = native(&format!("metadata: {{name: team}}\nextends: ['org@sha256:{hex}']\n{own}"));
    let inside: Vec<(String, &str)> =
        parent.iter().map(|(path, text)| (format!("parents/org/{path}"), &**text)).collect();
    let mut all: Vec<(&str, &str)> = inside.iter().map(|(path, text)| (&**path, *text)).collect();
    all.push(("policy.yaml", &own));
    all.extend(files);
    compile(&bundle(&all))
}

#[test]
fn custom_rules_are_inherited_and_stand_apart() {
    let own = "package team.hours\nwarn contains \"late\" if input.ctx.hour > data.limits.hour\n";
    // The child's data of the same place are its own rules' alone.
    let files = [("rego/hours.rego", own), ("limits/data.json", r#"{"amount":900,"hour":18}"#)];
    let both = custom("", &files).unwrap_or_else(|found| panic!("{found:#?}"));
    let alone = custom("", &[]).unwrap_or_else(|found| panic!("{found:#?}"));
    let too_much = r#"{"act":"pay","ctx":{"amount":500,"hour":20}}"#;
    assert_eq!(broken(&both, too_much), ["rego/org.limit/too-much", "rego/team.hours/late"]);
    assert_eq!(broken(&alone, too_much), ["rego/org.limit/too-much"]);
    let late = r#"{"act":"pay","ctx":{"amount":5,"hour":20}}"#;
    let text = shown(&both, late);
    assert!(text.contains(r#""vd":"warn","vr":["rego/team.hours/late"]"#), "{text}");
    assert!(shown(&alone, late).contains(r#""vd":"accept""#));
    // The parent's guard holds, and the child's consequences if they are stricter.
    assert!(shown(&both, r#"{"act":"x","ctx":{"amount":500}}"#).contains(r#""vd":"accept""#));
    let places = both.document.rego.iter().map(|module| module.place.file.as_str());
    assert_eq!(places.collect::<Vec<_>>(), ["parents/org/policy.yaml"]);
}

#[test]
fn what_would_change_the_rules_of_a_parent_is_found() {
    let rule = "package team\ndeny contains \"x\" if input.ctx.x\n";
    let cases: &[(&str, &[(&str, &str)], &str)] = &[
        ("", &[("rego/a.rego", "package org.limit\ndeny if false\n")], "is the parent's; rename"),
        (
            "",
            &[("rego/a.rego", "package team\nmask contains \"/ctx/amount\" if true\n")],
            "hide nothing",
        ),
        ("redact: [{path: amount, action: drop}]\n", &[], "would not see"),
        ("redact: [{detect: card, action: mask}]\n", &[], "would not see"),
        ("enrich: [{name: a, from: actor.id, map: {a: b}}]\n", &[], "what is added"),
        (
            "rego: [{package: team, needs: [actor.email]}]\n",
            &[("rego/a.rego", rule)],
            "show it to the rules",
        ),
    ];
    for (own, files, word) in cases {
        let Err(found) = custom(own, files) else { panic!("{own}{files:?} changes them") };
        let is_it = |one: &Diagnostic| one.code == "policy/weakening" && one.message.contains(word);
        assert!(found.iter().any(is_it), "{own}{files:?}{found:#?}");
        assert!(found.iter().all(|one| one.line > 0), "{found:#?}");
    }
    // A guard names what is there.
    let Err(found) = custom("rego: [{package: org.limit, enforce: warn}]\n", &[]) else {
        panic!("the parent's guard was replaced")
    };
    assert!(found.iter().any(|one| one.code == "policy/rego"), "{found:#?}");
    let Err(found) = custom("", &[("parents/org/rego/more.rego", rule)]) else {
        panic!("the parent is another one")
    };
    assert_eq!(found[0].code, "policy/parent");
}
