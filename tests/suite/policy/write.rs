//! Documents written as YAML are read as what they were, and laid out as they should be.

use attestree::core::policy::Bundle;
use attestree::policy::document::Place;
use attestree::policy::framework::{Framework, generate};
use attestree::policy::{Document, compile, diff, format, write};

/// Everything that a document can say.
const WHOLE: &str = r#"
apiVersion: attestree/v1
kind: Policy
metadata: {name: "whole thing", description: "a: b # c", owner: "yes", review_by: 2027-06-30}
classes:
  login:
    description: who comes in
    match: {action: {glob: "auth.*"}, all: [{actor.roles: {any_of: [admin, "12"]}}], not: {ctx.bot: true}}
    require: {actor.id: text, source.ip: address, ctx.n: any}
    enforce: reject
    retention: {hot: 90d, warm: 100d, archive: 200d, total: 6_years}
    index: [actor.id, [actor.id, action]]
  noise:
    match: {any: [{action: ping}, {ctx.size: {range: {min: 1, max: 2.5}}}, {ctx.id: {regex: "^a{2}$"}}]}
    required: false
    log: {success: false}
    level: metadata
  address:
    match: {source.ip: {cidr: [10.0.0.0/8, "::1/128"]}, ctx.a: {exists: false}, ctx.b: {prefix: "x", suffix: "y"}}
    require: [actor.id, /ctx/a~1b]
rules:
  - {name: extra/rule, classes: [login], when: {outcome: failure}, require: [ctx.reason], enforce: warn}
redact:
  - {path: request.headers.cookie, action: drop}
  - {path: actor.email, action: commit, subject: actor.id}
  - {path: session.id, action: token, epoch: 7d}
  - {detect: card, action: mask, keep_last: 4}
enrich:
  - {name: zone, from: source.address, cidr: {10.0.0.0/8: inside, "::/0": "out side"}}
  - {name: team, from: actor.team, map: {a: "1", "b c": two}, default: none}
suppress:
  - {name: noise/pings, classes: [noise], match: {outcome: success}, every: 10m}
retention: {hot: 30d, total: 400d}
hold:
  - {name: hold/case, reason: "a \"court\"", classes: ["log*"], match: {actor.id: bob}, until: 2028-01-01}
access:
  - {role: auditor, members: ["a-*"], can: [query, disclose], classes: ["*"], fields: {allow: [actor.id], deny: [request.body]}}
alerts:
  - {name: alert/each, match: {outcome: failure}, to: [soc]}
  - {name: alert/many, classes: [login], group_by: [actor.id, action], count: 5, within: 60s, to: [soc, "on call"]}
  - {name: alert/none, classes: [login], absent_for: 1d}
sources:
  - {match: {service: ["pay-*"]}, seq: required, expect: {every: 1h}}
enforce: {on_violation: quarantine, unknown_class: reject}
"#;

/// Reads a document of one file.
fn document(text: &str) -> Document {
    let bundle = Bundle::new([("policy.yaml".to_owned(), text.as_bytes().to_vec())]).unwrap();
    match compile(&bundle) {
        Ok(compiled) => compiled.document,
        Err(findings) => panic!("{findings:?}\n{text}"),
    }
}

/// Forgets where everything stands.
fn placeless(mut document: Document) -> Document {
    document.metadata = Place::default();
    document.classes.iter_mut().for_each(|one| one.place = Place::default());
    document.rules.iter_mut().for_each(|one| one.place = Place::default());
    document.redactions.iter_mut().for_each(|one| one.place = Place::default());
    document.suppressions.iter_mut().for_each(|one| one.place = Place::default());
    document.holds.iter_mut().for_each(|one| one.place = Place::default());
    document.access.iter_mut().for_each(|one| one.place = Place::default());
    document.alerts.iter_mut().for_each(|one| one.place = Place::default());
    document.sources.iter_mut().for_each(|one| one.place = Place::default());
    document
}

/// Returns what changes besides words.
fn worded(old: &Document, new: &Document) -> Vec<diff::Change> {
    let mut changes = diff::diff(old, new);
    changes.retain(|change| change.direction != diff::Direction::Neutral);
    changes
}

#[test]
fn what_is_written_says_the_same() {
    let old = document(WHOLE);
    let text = write::write(&old);
    let new = document(&text);
    assert_eq!(worded(&old, &new), [], "{text}");
    // Written again it is the same text: nothing drifts from one import to the next.
    assert_eq!(write::write(&new), text);
    assert_eq!(placeless(document(&write::write(&new))), placeless(new));
}

#[test]
fn what_is_written_is_laid_out() {
    let text = write::write(&document(WHOLE));
    assert_eq!(format::yaml(&text).unwrap(), text);
}

#[test]
fn every_framework_makes_a_policy_that_compiles() {
    for count in 1..=Framework::ALL.len() {
        for frameworks in Framework::ALL.windows(count) {
            let generated = generate("base", Some("security"), frameworks);
            let text = write::write(&generated);
            assert_eq!(worded(&generated, &document(&text)), [], "{frameworks:?}\n{text}");
            assert_eq!(format::yaml(&text).unwrap(), text);
        }
    }
}

#[test]
fn more_frameworks_never_ask_for_less() {
    for one in Framework::ALL {
        let (alone, all) = (generate("b", None, &[one]), generate("b", None, &Framework::ALL));
        let changes = diff::diff(&alone, &all);
        assert!(
            changes.iter().all(|change| !change.direction.may_weaken()),
            "{one:?}: {changes:?}"
        );
    }
}
