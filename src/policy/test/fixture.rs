//! Tests as they are written in `tests/*.yaml`.

use std::collections::BTreeMap;

use crate::core::policy::Bundle;
use crate::core::record::json::{Number, Object, Value};
use crate::core::record::{Path, Timestamp};
use crate::policy::document::Period;
use crate::policy::finding::{Fields, Findings, list};
use crate::policy::node::{Node, Span, Tree};
use crate::policy::{Diagnostic, Severity};

/// The members of a test, of an event with more about it, and of what is expected.
const TEST: &[&str] = &["name", "event", "events", "raw", "at", "source", "skip", "expect"];
const STEP: &[&str] = &["event", "raw", "at", "source"];
const EXPECT: &[&str] =
    &["verdict", "rules", "redacted", "absent", "alerts", "retention", "class", "suppressed"];

/// What a test can expect of the verdict.
const VERDICTS: &[(&str, &str)] = &[
    ("accept", "accept"),
    ("warn", "warn"),
    ("quarantine", "quarantine"),
    ("error", "error"),
    ("reject", "reject"),
    ("malformed", "malformed"),
];

/// What a test can expect of a place.
const ACTIONS: &[(&str, &str)] = &[
    ("drop", "drop"),
    ("mask", "mask"),
    ("token", "token"),
    ("commit", "commit"),
    ("spill", "spill"),
];

/// A test.
pub(super) struct Fixture {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) is_skipped: bool,
    pub(super) steps: Vec<Step>,
    pub(super) expect: Expect,
}

/// An event that comes in.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) bytes: Vec<u8>,
    pub(super) source: Option<String>,
    pub(super) at: Timestamp,
}

/// What is expected of the last event, and of the alerts that all of them raise. What is not named is not looked at.
#[derive(Default)]
pub(super) struct Expect {
    pub(super) verdict: Option<&'static str>,
    pub(super) rules: Option<Vec<String>>,
    pub(super) redacted: BTreeMap<Path, &'static str>,
    pub(super) absent: Vec<Path>,
    pub(super) alerts: Option<Vec<String>>,
    pub(super) retention: Option<Period>,
    pub(super) class: Option<String>,
    pub(super) suppressed: Option<bool>,
}

/// Reads the tests of a bundle.
pub(super) fn load(bundle: &Bundle) -> Result<Vec<Fixture>, Vec<Diagnostic>> {
    let mut fixtures = Vec::new();
    let mut found = Vec::new();
    for (path, content) in bundle.files() {
        let is_document = [".yaml", ".yml", ".json"].iter().any(|suffix| path.ends_with(suffix));
        let is_data = path.rsplit('/').next().is_some_and(|name| name.starts_with("data."));
        if !path.starts_with("tests/") || !is_document || is_data {
            continue;
        }
        let mut reader = Reader { findings: Findings::new(path.clone()), file: path };
        match str::from_utf8(content) {
            Ok(text) => reader.read(text, &mut fixtures),
            Err(_) => reader.error(Span::default(), "this is not UTF-8"),
        }
        found.extend(reader.findings.into_found());
    }
    if found.iter().any(|one| one.severity == Severity::Error) { Err(found) } else { Ok(fixtures) }
}

/// Reads one file.
struct Reader<'f> {
    findings: Findings,
    file: &'f str,
}

impl Reader<'_> {
    fn error(&mut self, span: Span, message: &str) {
        self.findings.error(span, "test/form", message, None);
    }

    /// Reads the tests of the file.
    fn read(&mut self, text: &str, fixtures: &mut Vec<Fixture>) {
        let documents = match Node::read(text) {
            Ok(documents) => documents,
            Err(error) => return self.error(error.span, &error.message),
        };
        for document in &documents {
            // A file is a map with a list, the list alone, or one test.
            let tests = document.get("tests").unwrap_or(document);
            for test in list(tests) {
                fixtures.extend(self.test(test));
            }
        }
    }

    /// Reads a test.
    fn test(&mut self, node: &Node) -> Option<Fixture> {
        let fields = self.findings.fields(node, "a test", TEST)?;
        let name = self.findings.needed_text(&fields, "name", "a test")?.to_owned();
        let first = Timestamp::parse("2026-01-01T00:00:00.000000Z").expect("a time");
        let at = self.at(&fields).unwrap_or(first);
        let source = self.source(&fields);
        let mut steps = Vec::new();
        for event in fields.get("events").map_or(&[][..], list) {
            steps.extend(self.step(event, at, source.as_ref()));
        }
        if let Some(bytes) = self.bytes(&fields) {
            steps.push(Step { bytes, source, at });
        }
        if steps.is_empty() {
            self.error(node.span, "a test needs an 'event', 'events' or 'raw'");
            return None;
        }
        let skip = fields.get("skip");
        let is_skipped = skip.and_then(|node| self.findings.truth(node, "'skip'")).unwrap_or(false);
        let expect = fields.need("expect", "a test", &mut self.findings)?;
        let expect = self.expect(expect)?;
        let (file, line) = (self.file.to_owned(), node.span.line);
        Some(Fixture { name, file, line, is_skipped, steps, expect })
    }

    /// Takes one of several events: as it is, or with a time and source of its own.
    fn step(&mut self, node: &Node, at: Timestamp, source: Option<&String>) -> Option<Step> {
        if node.get("event").is_none() && node.get("raw").is_none() {
            let bytes = self.json(node)?.format().into_bytes();
            return Some(Step { bytes, source: source.cloned(), at });
        }
        let fields = self.findings.fields(node, "an event with a time", STEP)?;
        let source = self.source(&fields).or_else(|| source.cloned());
        let at = self.at(&fields).unwrap_or(at);
        Some(Step { bytes: self.bytes(&fields)?, source, at })
    }

    fn bytes(&mut self, fields: &Fields<'_>) -> Option<Vec<u8>> {
        match (fields.get("event"), fields.get("raw")) {
            (Some(event), None) => Some(self.json(event)?.format().into_bytes()),
            (None, Some(raw)) => Some(self.findings.text(raw, "'raw'")?.as_bytes().to_vec()),
            _ => None,
        }
    }

    fn source(&mut self, fields: &Fields<'_>) -> Option<String> {
        Some(self.findings.text(fields.get("source")?, "'source'")?.to_owned())
    }

    fn at(&mut self, fields: &Fields<'_>) -> Option<Timestamp> {
        let node = fields.get("at")?;
        let text = self.findings.text(node, "'at'")?;
        let time = Timestamp::parse_occurred(text);
        if time.is_none() {
            self.error(node.span, "'at' is a time as 2026-11-21T00:14:00Z");
        }
        time
    }

    /// Reads what is expected.
    fn expect(&mut self, node: &Node) -> Option<Expect> {
        let fields = self.findings.fields(node, "'expect'", EXPECT)?;
        let mut expect = Expect::default();
        if let Some(node) = fields.get("verdict") {
            expect.verdict = self.findings.word(node, "'verdict'", VERDICTS);
        }
        expect.rules = fields.get("rules").map(|node| self.texts(node, "'rules'"));
        expect.alerts = fields.get("alerts").map(|node| self.texts(node, "'alerts'"));
        for node in fields.get("absent").map_or(&[][..], list) {
            expect.absent.extend(self.findings.field(node, "'absent'"));
        }
        if let Some(node) = fields.get("redacted") {
            for (key, action) in self.findings.map(node, "'redacted'").unwrap_or_default() {
                let path = self.findings.field_name(&key.name, key.span);
                let action = self.findings.word(action, "what is done", ACTIONS);
                expect.redacted.extend(path.zip(action));
            }
        }
        if let Some(node) = fields.get("retention") {
            expect.retention = self.findings.text(node, "'retention'").and_then(Period::parse);
            if expect.retention.is_none() {
                self.error(node.span, "'retention' is a length of time as 400d");
            }
        }
        if let Some(node) = fields.get("class") {
            expect.class = self.findings.text(node, "'class'").map(str::to_owned);
        }
        if let Some(node) = fields.get("suppressed") {
            expect.suppressed = self.findings.truth(node, "'suppressed'");
        }
        Some(expect)
    }

    fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        let texts = list(node).iter();
        let mut texts: Vec<String> =
            texts.filter_map(|node| self.findings.text(node, what).map(str::to_owned)).collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    /// Returns what is written as JSON.
    fn json(&mut self, node: &Node) -> Option<Value<'static>> {
        let number = match &node.value {
            Tree::Null => return Some(Value::Null),
            Tree::Boolean(is) => return Some(Value::Bool(*is)),
            Tree::Text(text) => return Some(text.clone().into()),
            Tree::List(nodes) => {
                let values = nodes.iter().map(|node| self.json(node));
                return Some(Value::Array(values.collect::<Option<_>>()?));
            }
            Tree::Map(members) => {
                let mut object = Object::new();
                for (key, node) in members {
                    object.insert(key.name.clone(), self.json(node)?);
                }
                return Some(object.into());
            }
            Tree::Integer(number) => Number::from_integer(*number),
            Tree::Float(number) => Number::new(*number),
        };
        if number.is_none() {
            self.error(node.span, "no event can have this number");
        }
        number.map(Value::from)
    }
}
