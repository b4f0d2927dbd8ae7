//! What the log's policy said about the events of one run.

use core::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;

use crate::client::{Recorded, Refused};
use crate::core::record::Verdict;

/// Most objections that are listed one by one. Who sends thousands of faulty events needs the number of
/// them, and a few examples.
const OBJECTIONS_MAX: usize = 100;

/// One event that the policy objects to, as JSON.
#[derive(Debug, Serialize)]
struct Objection {
    /// Number of its line, from 1.
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    verdict: &'static str,
    rules: Vec<String>,
}

/// What was said about all events, as JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct Verdicts {
    accepted: u64,
    warned: u64,
    quarantined: u64,
    errors: u64,
    /// Events that the policy has counted instead of recorded.
    pub(super) suppressed: u64,
    /// Events that are not in the log: the policy rejects them.
    pub(super) rejected: u64,
    /// Events that are not in the log: they are no JSON objects.
    pub(super) malformed: u64,
    objections: Vec<Objection>,
}

impl Verdicts {
    /// Counts an event that was recorded, and says what the policy objects to.
    pub(super) fn recorded(&mut self, line: u64, index: u64, recorded: &Recorded) {
        let echo = &recorded.echo;
        match echo.verdict {
            Verdict::Accept => {
                self.accepted += 1;
                return;
            }
            Verdict::Warn => self.warned += 1,
            Verdict::Quarantine => self.quarantined += 1,
            Verdict::Error => self.errors += 1,
        }
        let verdict = echo.verdict.as_str();
        let rules = echo.rules.join(", ");
        let what = match echo.verdict {
            Verdict::Accept | Verdict::Warn => "was recorded with a warning",
            Verdict::Quarantine => "was quarantined: the log shows nothing of it",
            Verdict::Error => "could not be judged: the log shows nothing of it",
        };
        let said = format!("line {line} {what} (index {index}, rules: {rules})");
        self.object(
            said,
            Objection { line, index: Some(index), verdict, rules: echo.rules.clone() },
        );
    }

    /// Counts an event that was refused because of what it is; returns whether that is why.
    pub(super) fn refused(&mut self, line: u64, refused: &Refused) -> bool {
        let (verdict, counter) = match refused.reason.as_str() {
            "POLICY" => ("reject", &mut self.rejected),
            "MALFORMED" => ("malformed", &mut self.malformed),
            _ => return false,
        };
        *counter += 1;
        let rules = refused.details.get("rules").map(String::as_str).unwrap_or_default();
        let rules = rules.split_whitespace().map(str::to_owned).collect();
        let said = format!("line {line} is not in the log: {}", refused.message);
        self.object(said, Objection { line, index: None, verdict, rules });
        true
    }

    /// Says what the policy objects to, as long as there is little to say.
    fn object(&mut self, said: String, objection: Objection) {
        if self.objections.len() < OBJECTIONS_MAX {
            // Nobody is left to hear that the stream is closed.
            let _closed = writeln!(anstream::stderr(), "attestree: {said}");
            self.objections.push(objection);
        }
    }

    /// Returns how many events are not in the log.
    pub(super) const fn lost(&self) -> u64 {
        self.rejected + self.malformed
    }

    /// Sums up what was said, to be put behind what was appended; empty where everything was accepted.
    pub(super) fn summary(&self) -> String {
        let counts = [
            (self.warned, "with warnings"),
            (self.quarantined, "quarantined"),
            (self.errors, "not judged"),
            (self.suppressed, "counted only"),
            (self.rejected, "rejected"),
            (self.malformed, "malformed"),
        ];
        let mut text = String::new();
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(text, "; {count} {what}").expect("a string takes what it is given");
        }
        text
    }
}
