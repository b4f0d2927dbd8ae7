//! One test: its events are admitted in order, and the last is compared with what is expected.

use std::collections::{BTreeMap, BTreeSet};

use super::coverage::Coverage;
use super::fixture::{Expect, Fixture, Step};
use super::retention;
use crate::core::number::UnixMillis;
use crate::core::policy::{
    Admission, Arrival, Custom, Materials, NoCustom, Seen, Watching, admit, judge,
};
use crate::core::record::json::{Object, Value};
use crate::core::record::{
    Body, Path, Record, RecordId, Salt, Secret, Submission, System, Timestamp,
};
use crate::policy::compiled::Compiled;
use crate::policy::document::Period;

/// The alert about every violation, which tests need not expect.
const VIOLATION: &str = "policy/violation";

/// A run of one test.
pub(super) struct Trial<'c> {
    compiled: &'c Compiled,
    custom: &'c dyn Custom,
    watching: Watching,
    alerts: BTreeSet<String>,
}

/// What became of an event.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) verdict: &'static str,
    pub(super) rules: Vec<String>,
    pub(super) class: Option<String>,
    /// What was done at places, commitments as well.
    pub(super) done: BTreeMap<Path, &'static str>,
    content: Object<'static>,
    suppressed: bool,
}

/// Salts and keys by counting.
#[derive(Default)]
pub(super) struct Counted(u64);

impl Materials for Counted {
    fn salt(&mut self) -> Salt {
        self.0 += 1;
        Salt::new([self.0.to_be_bytes(); 4].concat().try_into().expect("4 times 8 are 32 bytes"))
    }

    fn token_key(&mut self, path: &Path, _days: u32) -> (Secret, u32) {
        let byte = path.as_str().bytes().fold(0, u8::wrapping_add);
        (Secret::new([byte; 32]), 0)
    }
}

impl<'c> Trial<'c> {
    /// Begins with nothing seen.
    pub(super) fn new(compiled: &'c Compiled, custom: &'c dyn Custom) -> Self {
        let (watching, alerts) = (Watching::default(), BTreeSet::new());
        Self { compiled, custom, watching, alerts }
    }

    /// Returns what is not as expected.
    pub(super) fn run(mut self, fixture: &Fixture, coverage: &mut Coverage) -> Vec<String> {
        let mut last = Outcome::default();
        if let Some(first) = fixture.steps.first() {
            self.watching.begin(&self.compiled.watch, first.at);
        }
        for step in &fixture.steps {
            let said = self.watching.tick(&self.compiled.watch, step.at);
            self.note(said);
            last = self.admit(step);
            coverage.note(step, &last);
        }
        self.compare(&fixture.expect, &last)
    }

    /// Admits an event; returns what became of it.
    fn admit(&mut self, step: &Step) -> Outcome {
        let arrival = Arrival {
            bytes: &step.bytes,
            source: step.source.as_deref(),
            class: None,
            kept: false,
            id: RecordId::new(UnixMillis(0), [0; 10]),
            now: step.at,
        };
        let mut materials = Counted::default();
        let mut outcome = Outcome { class: self.class_of(step), ..Outcome::default() };
        match admit(&self.compiled.policy, &arrival, &mut materials, self.custom) {
            Err(_) => outcome.verdict = "malformed",
            Ok(Admission::Refused(rules)) => {
                (outcome.verdict, outcome.rules) = ("reject", rules);
            }
            Ok(Admission::Recorded(admitted)) => {
                let entry = admitted.draft.stamp(step.at);
                let record = Record::parse(&entry).expect("admission makes records");
                let (classes, alerts) = (admitted.classes, admitted.alerts);
                let Body::Event(event) = record.body() else { return outcome };
                let seen = Seen { alerts, ..Seen::of(&self.compiled.watch, event, classes) };
                self.take(&record, &seen, step.at, &mut outcome);
            }
        }
        outcome
    }

    /// Returns the class of an event as it was submitted, which a quarantined one does not show.
    fn class_of(&self, step: &Step) -> Option<String> {
        let event = Submission::parse(&step.bytes).ok()?.event().ok()?;
        let claimed = event.members().get("class").and_then(Value::as_str).map(str::to_owned);
        let policy = &self.compiled.policy;
        let judgement = judge(policy, event.members(), step.source.as_deref(), &NoCustom);
        claimed.or_else(|| judgement.class.map(str::to_owned))
    }

    /// Takes what a record shows, and what follows of it.
    fn take(&mut self, record: &Record<'_>, seen: &Seen, at: Timestamp, outcome: &mut Outcome) {
        let Body::Event(event) = record.body() else { return };
        outcome.verdict = event.verdict().as_str();
        outcome.rules = event.rules().to_vec();
        if event.verdict().shows_content() {
            let text = |name: &str| event.content().get(name).and_then(Value::as_str);
            outcome.class = text("class").map(str::to_owned);
            let done = event.redactions().iter();
            outcome.done = done.map(|done| (done.path.clone(), done.action.as_str())).collect();
            for (path, _) in record.commitments() {
                outcome.done.entry(path).or_insert("commit");
            }
            if let Value::Object(content) = Value::from(event.content().clone()).into_owned() {
                outcome.content = content;
            }
        }
        let watch = &self.compiled.watch;
        if let Some(position) = watch.suppresses(seen) {
            self.watching.suppress(watch, position, seen, at);
            outcome.suppressed = true;
            return;
        }
        let said = self.watching.observe(watch, seen, at);
        self.note(said);
    }

    /// Notes the alerts among what would be recorded.
    fn note(&mut self, said: Vec<System>) {
        for system in said {
            if let System::Alert(_, tally) = system {
                self.alerts.insert(tally.rule);
            }
        }
    }

    /// Compares what became of the last event with what is expected.
    fn compare(&self, expect: &Expect, last: &Outcome) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut differ = |what: &str, wanted: String, found: String| {
            if wanted != found {
                wrong.push(format!("{what}: expected {wanted}, found {found}"));
            }
        };
        if let Some(verdict) = expect.verdict {
            let found = format!("{} {}", last.verdict, named(&last.rules));
            let found = if verdict == last.verdict { verdict.to_owned() } else { found };
            differ("verdict", verdict.to_owned(), found);
        }
        if let Some(rules) = &expect.rules {
            differ("rules", named(rules), named(&last.rules));
        }
        if let Some(class) = &expect.class {
            differ("class", class.clone(), last.class.clone().unwrap_or("none".to_owned()));
        }
        if let Some(suppressed) = expect.suppressed {
            differ("suppressed", suppressed.to_string(), last.suppressed.to_string());
        }
        for (path, action) in &expect.redacted {
            let found = last.done.get(path).copied().unwrap_or("nothing");
            differ(path.as_str(), (*action).to_owned(), found.to_owned());
        }
        for path in &expect.absent {
            let found = path.find(&last.content).map_or("absent", |_| "a value");
            differ(path.as_str(), "absent".to_owned(), found.to_owned());
        }
        if let Some(alerts) = &expect.alerts {
            let found = self.alerts.iter();
            let found: Vec<String> =
                found.filter(|name| *name != VIOLATION || alerts.contains(name)).cloned().collect();
            differ("alerts", named(alerts), named(&found));
        }
        if let Some(period) = &expect.retention {
            let found = retention(&self.compiled.document, last.class.as_deref());
            let found =
                found.map_or("for ever".to_owned(), |seconds| Period { seconds }.to_string());
            differ("retention", period.to_string(), found);
        }
        wrong
    }
}

fn named(names: &[String]) -> String {
    format!("[{}]", names.join(", "))
}
