//! The published JSON Schema: a validator written by others takes every document that we take, and refuses what
//! we refuse, as far as a schema can say it.
//!
//! The interpreter is found as in `interop.rs`; without it the tests say that they are skipped.

use std::path::Path;

use attestree::policy::framework::{Framework, generate};
use attestree::policy::write::write;
use attestree::policy::{SCHEMA, compile};
use serde_json::{Value, json};

use super::rego::bundle;
use crate::python::{ask, python};

/// Documents, each without its first two lines, that are wrong in one way.
const WRONG: &[&str] = &[
    "clases: {}",
    "metadata: {nmae: x}",
    "metadata: {review_by: soon}",
    "metadata: [x]",
    "classes: [a]",
    "classes: {a: {mtach: {action: x}}}",
    "classes: {a: {require: {actor.id: txt}}}",
    "classes: {a: {level: loud}}",
    "classes: {a: {log: {sucess: true}}}",
    "classes: {a: {enforce: quarantin}}",
    "classes: {a: {retention: {hot: 90d, cold: 1d}}}",
    "classes: {a: {match: {action: {prefx: a}}}}",
    "rules: [{require: [actor.id]}]",
    "rules: [{name: r, wen: {action: x}, require: [actor.id]}]",
    "redact: [{path: ctx.a, action: hide}]",
    "redact: [{path: ctx.a, detect: card, action: drop}]",
    "redact: [{action: drop}]",
    "redact: [{detect: karte, action: drop}]",
    "redact: [{path: ctx.a, action: mask, keep_last: -1}]",
    "suppress: [{name: s, classes: [a], evry: 1h}]",
    "alerts: [{match: {outcome: failure}}]",
    "alerts: [{name: a, cuont: 5}]",
    "sources: [{seq: required}]",
    "sources: [{match: {service: a}, seq: maybe}]",
    "access: [{role: r, can: [fly]}]",
    "access: [{can: [query]}]",
    "hold: [{name: h}]",
    "enforce: {on_violation: maybe}",
    "approvals: {keys: [], threshold: -1}",
    "approvals: {keyz: []}",
    "enrich: [{name: e, form: actor.id, map: {a: b}}]",
    "extends: 5",
    "rego: [{packge: p}]",
];

/// Reads YAML as JSON.
fn read(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn native(rest: &str) -> String {
    format!("apiVersion: attestree/v1\nkind: Policy\n{rest}\n")
}

/// Holds documents against the schema; returns what is wrong with each.
fn judge(python: &Path, documents: &[Value]) -> Vec<Option<String>> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let question = json!({"schema": schema, "documents": documents});
    serde_json::from_str(&ask(python, "schema.py", &question)).unwrap()
}

#[test]
fn every_document_that_we_publish_or_write_is_valid() {
    let Some(python) = python("the schema", "jsonschema") else { return };
    let mut texts = vec![include_str!("../../../src/cli/policy/starter/policy.yaml").to_owned()];
    let page = include_str!("../../../src/manual/policy.md");
    let examples = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    texts.extend(examples.filter(|text| text.contains("attestree/v1")).map(str::to_owned));
    assert_eq!(texts.len(), 2, "the manual has one policy, whole");
    for first in Framework::ALL {
        texts.extend(
            Framework::ALL.map(|second| write(&generate("x", Some("y"), &[first, second]))),
        );
    }
    // What is written of what was read is another way to say it, and has to be one that the schema knows.
    for text in texts.clone().iter().take(2) {
        let compiled = compile(&bundle(&[("policy.yaml", text)]));
        texts.push(write(&compiled.unwrap_or_else(|found| panic!("{found:?}")).document));
    }
    let documents: Vec<Value> = texts.iter().map(|text| read(text)).collect();
    for (text, wrong) in texts.iter().zip(judge(&python, &documents)) {
        assert_eq!(wrong, None, "{text}");
    }
}

#[test]
fn what_we_refuse_for_its_form_the_schema_refuses() {
    for rest in WRONG {
        let Err(found) = compile(&bundle(&[("policy.yaml", &native(rest))])) else {
            panic!("{rest} compiles")
        };
        assert!(!found.is_empty(), "{rest}");
    }
    let Some(python) = python("the schema", "jsonschema") else { return };
    let wrong: Vec<String> = WRONG.iter().map(|rest| native(rest)).collect();
    let mut documents: Vec<Value> = wrong.iter().map(|text| read(text)).collect();
    documents.extend([
        json!({}),
        json!({"apiVersion": "attestree/v2", "kind": "Policy"}),
        json!([]),
    ]);
    let judged = judge(&python, &documents);
    let passed = documents.iter().zip(&judged).filter(|(_, wrong)| wrong.is_none());
    let passed: Vec<String> = passed.map(|(document, _)| document.to_string()).collect();
    assert!(passed.is_empty(), "the schema takes\n{}", passed.join("\n"));
}
