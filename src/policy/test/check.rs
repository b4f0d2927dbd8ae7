//! One test: its events are admitted in order, and the last is compared with what is expected.

use std::collections::BTreeSet;

use super::coverage::Coverage;
use super::expect::{Outcome, class_of, compare};
use super::fixture::{Fixture, Step};
use crate::core::number::UnixMillis;
use crate::core::policy::{Admission, Arrival, Custom, Materials, Seen, Watching, admit};
use crate::core::record::{Body, Path, Record, RecordId, Salt, Secret, System, Timestamp};
use crate::policy::compiled::Compiled;

/// A run of one test.
pub(super) struct Trial<'c> {
    compiled: &'c Compiled,
    custom: &'c dyn Custom,
    watching: Watching,
    alerts: BTreeSet<String>,
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
        compare(&self.compiled.document, &fixture.expect, &last, &self.alerts)
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
        let class = class_of(&self.compiled.policy, &step.bytes, step.source.as_deref());
        let mut outcome = Outcome::of_class(class);
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

    /// Takes what a record shows, and what follows of it.
    fn take(&mut self, record: &Record<'_>, seen: &Seen, at: Timestamp, outcome: &mut Outcome) {
        let Body::Event(event) = record.body() else { return };
        outcome.take(record, event);
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
}
