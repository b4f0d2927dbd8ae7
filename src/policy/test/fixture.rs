//! Tests as they are written in `tests/*.yaml`.

use std::collections::BTreeMap;

use crate::core::policy::Bundle;
use crate::core::record::json::{Number, Object, Value};
use crate::core::record::{Path, Timestamp};
use crate::policy::document::Period;
use crate::policy::finding::{Fields, Findings, list};
use crate::policy::node::{Node, Span, Tree};
use crate::policy::{Diagnostic, Severity};

/// The members of a test.
const TEST: &[&str] =
    &["name", "event", "events", "raw", "at", "after", "times", "source", "skip", "expect"];
/// The members of an event with more about it.
const STEP: &[&str] = &["event", "raw", "at", "after", "times", "source"];
/// The members of what is expected.
const EXPECT: &[&str] =
    &["verdict", "rules", "redacted", "absent", "alerts", "retention", "class", "suppressed"];

/// Most events of one test: enough for any threshold that is meant for people.
const STEPS_MAX: usize = 10_000;

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
    /// Whether it says when its events come, or from whom.
    pub(super) is_staged: bool,
    pub(super) steps: Vec<Step>,
    pub(super) expect: Expect,
}

/// An event that comes in.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) bytes: Vec<u8>,
    pub(super) source: Option<String>,
    pub(super) at: Timestamp,
    /// Seconds since the event before it.
    pub(super) after: u64,
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
        match load_file(path, content) {
            Ok(read) => fixtures.extend(read),
            Err(wrong) => found.extend(wrong),
        }
    }
    if found.is_empty() { Ok(fixtures) } else { Err(found) }
}

/// Reads the tests of one file.
pub(super) fn load_file(path: &str, content: &[u8]) -> Result<Vec<Fixture>, Vec<Diagnostic>> {
    let mut fixtures = Vec::new();
    let mut reader = Reader { findings: Findings::new(path.to_owned()), file: path };
    match str::from_utf8(content) {
        Ok(text) => reader.read(text, &mut fixtures),
        Err(_) => reader.error(Span::default(), "this is not UTF-8"),
    }
    let found = reader.findings.into_found();
    if found.iter().any(|one| one.severity == Severity::Error) { Err(found) } else { Ok(fixtures) }
}

/// The events of a test so far, and when the last of them came.
struct Queue {
    at: Timestamp,
    steps: Vec<Step>,
}

impl Queue {
    /// Lets another one come, so many seconds later.
    fn push(&mut self, bytes: Vec<u8>, source: Option<String>, after: u64) {
        let micros =
            after.checked_mul(1_000_000).and_then(|wait| self.at.micros().checked_add(wait));
        self.at = micros.and_then(Timestamp::from_micros).unwrap_or(self.at);
        self.steps.push(Step { bytes, source, at: self.at, after });
    }
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
        let mut queue = Queue { at: self.at(&fields).unwrap_or(first), steps: Vec::new() };
        let source = self.source(&fields);
        let mut is_staged = fields.get("at").is_some() || source.is_some();
        for event in fields.get("events").map_or(&[][..], list) {
            is_staged |= self.step(event, source.as_ref(), &mut queue);
        }
        if let Some(bytes) = self.bytes(&fields) {
            self.repeat(&fields, bytes, source, &mut queue);
        }
        let steps = queue.steps;
        if steps.is_empty() {
            self.error(node.span, "a test needs an 'event', 'events' or 'raw'");
            return None;
        }
        let skip = fields.get("skip");
        let is_skipped = skip.and_then(|node| self.findings.truth(node, "'skip'")).unwrap_or(false);
        let expect = fields.need("expect", "a test", &mut self.findings)?;
        let expect = self.expect(expect)?;
        let (file, line) = (self.file.to_owned(), node.span.line);
        Some(Fixture { name, file, line, is_skipped, is_staged, steps, expect })
    }

    /// Takes one of several events: as it is, or with more about it. Returns whether that is staged.
    fn step(&mut self, node: &Node, source: Option<&String>, queue: &mut Queue) -> bool {
        if node.get("event").is_none() && node.get("raw").is_none() {
            if let Some(event) = self.json(node) {
                queue.push(event.format().into_bytes(), source.cloned(), 0);
            }
            return false;
        }
        let Some(fields) = self.findings.fields(node, "an event of a test", STEP) else {
            return false;
        };
        let at = self.at(&fields);
        let own = self.source(&fields);
        let is_staged = at.is_some() || own.is_some();
        queue.at = at.unwrap_or(queue.at);
        if let Some(bytes) = self.bytes(&fields) {
            self.repeat(&fields, bytes, own.or_else(|| source.cloned()), queue);
        }
        is_staged
    }

    /// Takes an event as often as it says, each so long after the one before it.
    fn repeat(
        &mut self,
        fields: &Fields<'_>,
        bytes: Vec<u8>,
        source: Option<String>,
        queue: &mut Queue,
    ) {
        let after = fields.get("after").map_or(Some(0), |node| {
            let period = self.findings.text(node, "'after'").and_then(Period::parse);
            if period.is_none() {
                self.error(node.span, "'after' is a length of time as 5s");
            }
            period.map(|period| period.seconds)
        });
        let times = fields.get("times").map_or(Some(1), |node| {
            let times = self.findings.count(node, "'times'")?;
            let room = STEPS_MAX.saturating_sub(queue.steps.len());
            let times = usize::try_from(times).ok().filter(|times| (1..=room).contains(times));
            if times.is_none() {
                self.error(node.span, "a test has 1 to 10,000 events");
            }
            times
        });
        for _ in 0..times.unwrap_or(0) {
            queue.push(bytes.clone(), source.clone(), after.unwrap_or(0));
        }
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
