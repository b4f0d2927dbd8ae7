//! Tests whose events are sent to a server that has the policy in force, and are read back from its log.
//!
//! # Out of scope
//!
//! - Sending and reading: `attestree policy simulate`.

use core::time::Duration;
use std::collections::BTreeSet;

use super::expect::{Outcome, class_of, compare};
use super::fixture::{self, Fixture};
use crate::core::record::{Body, Record};
use crate::policy::{Compiled, Diagnostic};

/// What stands in a scenario for something that is new in each run, so that what an earlier one has counted
/// counts for nothing.
const RUN: &str = "${run}";

/// A test that is fired at a server.
pub struct Scenario(Fixture);

/// What the server did with an event.
#[derive(Clone, Debug)]
pub enum Became<'r> {
    /// It stands in the log.
    Recorded(&'r Record<'r>),
    /// It was counted.
    Suppressed,
    /// It was refused, for these rules.
    Rejected(Vec<String>),
    /// It is no event.
    Malformed,
}

/// An event of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shot {
    /// How long to wait before it.
    pub after: Duration,
    /// What is sent.
    pub bytes: Vec<u8>,
}

impl Scenario {
    /// Reads the scenarios of a file.
    pub fn load(file: &str, content: &[u8]) -> Result<Vec<Self>, Vec<Diagnostic>> {
        Ok(fixture::load_file(file, content)?.into_iter().map(Self).collect())
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the line on which it begins.
    pub const fn line(&self) -> usize {
        self.0.line
    }

    /// Returns why it can't be fired, if it can't.
    pub const fn skipped(&self) -> Option<&'static str> {
        match (self.0.is_skipped, self.0.is_staged) {
            (true, _) => Some("it says so"),
            (_, true) => Some("it says when or from whom its events come, which a server decides"),
            _ => None,
        }
    }

    /// Returns its events in order; `run` is what each `${run}` becomes, letters and digits.
    pub fn shots(&self, run: &str) -> impl Iterator<Item = Shot> {
        self.0.steps.iter().map(move |step| {
            // What is no UTF-8 can't stand in a scenario.
            let text = String::from_utf8_lossy(&step.bytes).replace(RUN, run);
            Shot { after: Duration::from_secs(step.after), bytes: text.into_bytes() }
        })
    }

    /// Returns the alerts that it has to raise.
    pub fn alerts(&self) -> &[String] {
        self.0.expect.alerts.as_deref().unwrap_or_default()
    }

    /// Returns what is not as expected of the last event, and of the alerts that all of them raised.
    pub fn compare(
        &self,
        compiled: &Compiled,
        last: &Shot,
        became: &Became<'_>,
        alerts: &BTreeSet<String>,
    ) -> Vec<String> {
        let event = match became {
            Became::Recorded(record) => match record.body() {
                Body::Event(event) => Some((record, event)),
                Body::System(_) => None,
            },
            _ => None,
        };
        let source = event.and_then(|(_, event)| event.source());
        let mut outcome = Outcome::of_class(class_of(&compiled.policy, &last.bytes, source));
        match became {
            Became::Recorded(_) => {
                event.into_iter().for_each(|(record, event)| outcome.take(record, event));
            }
            Became::Suppressed => outcome.suppressed = true,
            Became::Rejected(rules) => {
                (outcome.verdict, outcome.rules) = ("reject", rules.clone());
            }
            Became::Malformed => outcome.verdict = "malformed",
        }
        compare(&compiled.document, &self.0.expect, &outcome, alerts)
    }
}
