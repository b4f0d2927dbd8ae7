//! Tests of a policy: events, and what has to become of them.
//!
//! ```yaml
//! - name: a login is accepted
//!   event: {act: auth.login, out: success, actor: {id: alice}}
//!   source: shop
//!   expect:
//!     verdict: accept            # accept, warn, quarantine, error or reject
//!     class: authentication
//!     rules: []                  # exactly these
//!     redacted: {actor.email: commit}
//!     absent: [request.headers.cookie]
//!     alerts: [alert/brute-force]
//!     retention: 400d            # how long at all
//! ```
//!
//! `events` stands for several, which come one after the other: what is expected holds of each of them, and
//! alerts count them together. What is not mentioned is not tested.

use std::collections::{BTreeMap, BTreeSet};

use super::compiled::Compiled;
use super::document::{Period, Trigger};
use super::explain::{Explanation, explain};
use super::field::{format_field, parse_field};
use super::node::{Node, Tree};
use super::{Diagnostic, Severity};
use crate::core::policy::Bundle;
use crate::core::record::json::Value;
use crate::core::record::{Body, Path, Record};

/// The members of a test.
const TEST: &[&str] = &["name", "event", "events", "source", "skip", "expect"];

/// What can be expected.
const EXPECT: &[&str] = &["verdict", "class", "rules", "redacted", "absent", "alerts", "retention"];

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixture {
    /// The file.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// Its name.
    pub name: String,
    events: Vec<Vec<u8>>,
    /// Whether it says of itself that it is not to be run.
    pub is_skipped: bool,
    source: Option<String>,
    expect: Node,
}

/// What was looked at by tests: the classes that events were of, and the rules that were about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Names of classes and rules with whether a test came by.
    pub parts: BTreeMap<String, bool>,
}

/// Reads the tests of a bundle: `tests/*.yaml`.
pub fn read(bundle: &Bundle) -> Result<Vec<Fixture>, Vec<Diagnostic>> {
    let (mut fixtures, mut found) = (Vec::new(), Vec::new());
    let is_test = |path: &str| {
        path.starts_with("tests/")
            && [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end))
    };
    for (path, content) in bundle.files().iter().filter(|(path, _)| is_test(path)) {
        let text = String::from_utf8_lossy(content);
        match Node::read(&text) {
            Ok(documents) => {
                for node in
                    documents.iter().map(|node| node.get("tests").unwrap_or(node)).flat_map(items)
                {
                    match fixture(path, node) {
                        Ok(fixture) => fixtures.push(fixture),
                        Err(finding) => found.push(finding),
                    }
                }
            }
            Err(error) => {
                let mut finding = finding(path, &Node { value: Tree::Null, span: error.span }, "");
                finding.message = error.message;
                found.push(finding);
            }
        }
    }
    if found.is_empty() { Ok(fixtures) } else { Err(found) }
}

/// Returns the elements of a list, or the one thing that is no list.
fn items(node: &Node) -> &[Node] {
    match &node.value {
        Tree::List(nodes) => nodes,
        Tree::Null => &[],
        _ => core::slice::from_ref(node),
    }
}

fn finding(file: &str, node: &Node, message: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: "policy/test-form",
        message: message.to_owned(),
        help: Some(format!("a test has {}; 'expect' has {}", TEST.join(", "), EXPECT.join(", "))),
        file: file.to_owned(),
        line: node.span.line,
        column: node.span.column,
        length: node.span.length,
    }
}

/// Reads one test.
fn fixture(file: &str, node: &Node) -> Result<Fixture, Diagnostic> {
    known(file, node, TEST)?;
    let name = node.get("name").and_then(Node::as_str);
    let name = name.ok_or_else(|| finding(file, node, "the test has no name"))?;
    let expect =
        node.get("expect").ok_or_else(|| finding(file, node, "the test expects nothing"))?;
    known(file, expect, EXPECT)?;
    let events = match (node.get("event"), node.get("events")) {
        (Some(event), None) => core::slice::from_ref(event),
        (None, Some(events)) => items(events),
        _ => return Err(finding(file, node, "the test needs an 'event', or 'events'")),
    };
    let events: Vec<Vec<u8>> =
        events.iter().map(|event| json(event).to_string().into_bytes()).collect();
    if events.is_empty() {
        return Err(finding(file, node, "the test has no events"));
    }
    let source = node.get("source").and_then(Node::as_str).map(str::to_owned);
    let line = node.span.line;
    Ok(Fixture {
        file: file.to_owned(),
        line,
        name: name.to_owned(),
        events,
        is_skipped: node.get("skip").is_some_and(|skip| skip.value == Tree::Boolean(true)),
        source,
        expect: expect.clone(),
    })
}

/// Checks that a map has no other members.
fn known(file: &str, node: &Node, names: &[&str]) -> Result<(), Diagnostic> {
    let Tree::Map(members) = &node.value else {
        return Err(finding(file, node, "a map is needed here"));
    };
    match members.iter().find(|(key, _)| !names.contains(&key.name.as_str())) {
        None => Ok(()),
        Some((key, value)) => {
            let at = Node { value: value.value.clone(), span: key.span };
            Err(finding(file, &at, &format!("'{}' is not known here", key.name)))
        }
    }
}

/// Returns a value as JSON.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Tree::Null => serde_json::Value::Null,
        Tree::Boolean(truth) => (*truth).into(),
        Tree::Integer(number) => (*number).into(),
        Tree::Float(number) => (*number).into(),
        Tree::Text(text) => text.clone().into(),
        Tree::List(nodes) => nodes.iter().map(json).collect(),
        Tree::Map(members) => {
            members.iter().map(|(key, node)| (key.name.clone(), json(node))).collect()
        }
    }
}

impl Fixture {
    /// Runs the test; returns everything that is not as expected, and notes what it came by.
    pub fn run(&self, compiled: &Compiled, coverage: &mut Coverage) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut explanations = Vec::new();
        for event in &self.events {
            match explain(compiled, event, self.source.as_deref()) {
                Ok(explanation) => {
                    coverage.note(&explanation);
                    self.compare(compiled, &explanation, &mut wrong);
                    explanations.push(explanation);
                }
                Err(error) => wrong.push(format!("the event can't be read: {error}")),
            }
        }
        if let Some(node) = self.expect.get("alerts") {
            let wanted = texts(node);
            equal("alerts", &wanted, &raised(compiled, &explanations), &mut wrong);
        }
        wrong.dedup();
        wrong
    }

    /// Compares what became of one event with what is expected.
    fn compare(&self, compiled: &Compiled, explanation: &Explanation, wrong: &mut Vec<String>) {
        let expected = |name| self.expect.get(name);
        if let Some(wanted) = expected("verdict").and_then(Node::as_str)
            && wanted != explanation.verdict
        {
            let because = match explanation.rules.as_slice() {
                [] => String::new(),
                rules => format!(", because of {}", rules.join(", ")),
            };
            wrong.push(format!("verdict: expected {wanted}, got {}{because}", explanation.verdict));
        }
        let class = class(explanation);
        if let Some(wanted) = expected("class").and_then(Node::as_str)
            && class != Some(wanted)
        {
            wrong.push(format!("class: expected {wanted}, got {}", class.unwrap_or("none")));
        }
        if let Some(node) = expected("rules") {
            equal("rules", &texts(node), &explanation.rules.iter().cloned().collect(), wrong);
        }
        if let Some(Tree::Map(members)) = expected("redacted").map(|node| &node.value) {
            for (key, node) in members {
                let hidden = explanation.redacted.iter().find(|one| is_at(&one.path, &key.name));
                let (wanted, found) =
                    (node.as_str().unwrap_or(""), hidden.map_or("shown", |one| one.action));
                if wanted != found {
                    wrong.push(format!("{}: expected {wanted}, got {found}", key.name));
                }
            }
        }
        for name in expected("absent").map(texts).unwrap_or_default() {
            if shows(explanation, &name) {
                wrong.push(format!("{name}: expected to be absent, and it is shown"));
            }
        }
        if let Some(wanted) = expected("retention").and_then(Node::as_str) {
            let own = compiled.document.classes.iter().find(|one| class == Some(&one.name));
            let kept =
                own.and_then(|one| one.retention).unwrap_or(compiled.document.retention).total;
            if Period::parse(wanted) != kept {
                let kept = kept.map_or_else(|| "for ever".to_owned(), |period| period.to_string());
                wrong.push(format!("retention: expected {wanted}, got {kept}"));
            }
        }
    }
}

/// Returns the class that a record would show.
fn class(explanation: &Explanation) -> Option<&str> {
    let entry = explanation.entry.as_deref()?;
    let record = Record::parse(entry).expect("an admitted draft is a record");
    let Body::Event(event) = record.body() else { return None };
    let name = event.content().get("class")?.as_str()?;
    explanation.classes.iter().map(|class| class.name.as_str()).find(|known| *known == name)
}

fn is_at(path: &Path, name: &str) -> bool {
    parse_field(name).as_ref() == Some(path)
}

/// Returns whether the record shows a value at a place.
fn shows(explanation: &Explanation, name: &str) -> bool {
    let (Some(entry), Some(path)) = (&explanation.entry, parse_field(name)) else { return false };
    let record = Record::parse(entry).expect("an admitted draft is a record");
    let Body::Event(event) = record.body() else { return false };
    path.find(event.content()).is_some()
}

/// Returns the alerts that events raise which come at one time.
fn raised(compiled: &Compiled, explanations: &[Explanation]) -> BTreeSet<String> {
    let raises = |alert: &&super::document::Alert| {
        let about = explanations.iter().filter(|one| one.alerts.contains(&alert.name));
        match &alert.trigger {
            Trigger::Match => about.count() > 0,
            Trigger::Threshold { count, by, .. } => {
                let mut groups: BTreeMap<Vec<String>, u64> = BTreeMap::new();
                for one in about {
                    *groups.entry(group(one, by)).or_default() += 1;
                }
                groups.values().any(|found| found >= count)
            }
            // Silence takes time, which a test does not have.
            Trigger::Absence { .. } => false,
        }
    };
    compiled.document.alerts.iter().filter(raises).map(|alert| alert.name.clone()).collect()
}

/// Returns the values that events which are counted together have in common.
fn group(explanation: &Explanation, by: &[Path]) -> Vec<String> {
    let Some(entry) = &explanation.entry else { return Vec::new() };
    let record = Record::parse(entry).expect("an admitted draft is a record");
    let Body::Event(event) = record.body() else { return Vec::new() };
    let value = |path: &Path| path.find(event.content()).map_or_else(String::new, Value::format);
    by.iter().map(value).collect()
}

fn texts(node: &Node) -> BTreeSet<String> {
    items(node).iter().filter_map(Node::as_str).map(str::to_owned).collect()
}

fn equal(what: &str, wanted: &BTreeSet<String>, found: &BTreeSet<String>, wrong: &mut Vec<String>) {
    if wanted != found {
        let list = |names: &BTreeSet<String>| match names.is_empty() {
            true => "none".to_owned(),
            false => names.iter().cloned().collect::<Vec<_>>().join(", "),
        };
        wrong.push(format!("{what}: expected {}, got {}", list(wanted), list(found)));
    }
}

impl Coverage {
    /// Starts with the classes and rules of a policy, by which no test came yet.
    pub fn of(compiled: &Compiled) -> Self {
        let (statements, _) = compiled.document.statements();
        let classes = statements.classes.iter().map(|class| format!("class {}", class.name));
        let rules = statements.rules.iter().map(|rule| format!("rule {}", rule.name));
        let redactions =
            compiled.document.redactions.iter().filter_map(|one| match &one.treatment.target {
                crate::core::policy::Target::Path(path) => {
                    Some(format!("redaction {}", format_field(path)))
                }
                crate::core::policy::Target::Detected(_) => None,
            });
        Self { parts: classes.chain(rules).chain(redactions).map(|name| (name, false)).collect() }
    }

    /// Notes what an event came by.
    fn note(&mut self, explanation: &Explanation) {
        let classes = explanation.classes.iter().map(|class| format!("class {}", class.name));
        let rules = explanation.checks.iter().map(|check| format!("rule {}", check.rule));
        let hidden = explanation.redacted.iter();
        let redactions = hidden.map(|one| format!("redaction {}", format_field(&one.path)));
        for name in classes.chain(rules).chain(redactions) {
            if let Some(covered) = self.parts.get_mut(&name) {
                *covered = true;
            }
        }
    }

    /// Returns how many parts were come by, of a hundred; a policy without parts is covered.
    pub fn percent(&self) -> usize {
        let covered = self.parts.values().filter(|covered| **covered).count();
        (covered * 100).checked_div(self.parts.len()).unwrap_or(100)
    }
}
