//! Tests of policies: events with what is expected of them, and rules in Rego that test rules.
//!
//! ```yaml
//! tests:
//!   - name: a login without a user is quarantined
//!     event: {act: auth.login, out: failure}
//!     at: 2026-11-21T00:14:00Z
//!     expect: {verdict: quarantine, rules: [authentication]}
//! ```
//!
//! Salts and token keys are counted up, so that a test comes out the same every time.

mod check;
mod coverage;
mod expect;
mod fixture;
mod scenario;

use core::time::Duration;
use std::collections::BTreeMap;

use self::check::Trial;
pub use self::coverage::{Coverage, Covered, Kind};
pub use self::scenario::{Became, Scenario, Shot};
use super::compiled::{Compiled, rules};
use super::rego::{Covering, LineCoverage, Tests};
use super::{Diagnostic, Document};
use crate::core::policy::{Bundle, Custom, NoCustom};

/// What became of the tests of a bundle.
#[derive(Debug)]
pub struct Report {
    /// The tests in the order of their files.
    pub results: Vec<TestResult>,
    /// What of the policy they have exercised.
    pub coverage: Coverage,
}

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What became of it.
    pub outcome: TestOutcome,
    /// What is wrong, a line each; nothing of a test that passed.
    pub message: String,
    /// How long it took.
    pub duration: Duration,
}

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestOutcome {
    /// All is as expected.
    Pass,
    /// Something is not.
    Fail,
    /// It was not run, because it says so itself.
    Skip,
}

/// Runs the tests of a bundle whose names pass.
///
/// `now` is a clock of the caller's, for how long each took. Fails if the tests can't be read.
pub fn run(
    bundle: &Bundle,
    compiled: &Compiled,
    is_meant: impl Fn(&str) -> bool,
    now: impl Fn() -> Duration,
) -> Result<Report, Vec<Diagnostic>> {
    let fixtures = fixture::load(bundle)?;
    let rules = rules(bundle, &compiled.document)?;
    let covering = rules.as_ref().map(Covering::new);
    let custom: &dyn Custom = match &covering {
        Some(covering) => covering,
        None => &NoCustom,
    };
    let mut coverage = Coverage::begin(&compiled.document, rules.as_ref());
    let mut results = Vec::new();
    for fixture in fixtures.iter().filter(|fixture| is_meant(&fixture.name)) {
        let begun = now();
        let outcome = if fixture.is_skipped { TestOutcome::Skip } else { TestOutcome::Pass };
        let mut wrong = Vec::new();
        if !fixture.is_skipped {
            wrong = Trial::new(compiled, custom).run(fixture, &mut coverage);
        }
        results.push(TestResult {
            name: fixture.name.clone(),
            file: fixture.file.clone(),
            line: fixture.line,
            outcome: if wrong.is_empty() { outcome } else { TestOutcome::Fail },
            message: wrong.join("\n"),
            duration: now().saturating_sub(begun),
        });
    }
    let mut lines = covering.map(Covering::coverage).unwrap_or_default();
    run_rego(bundle, &is_meant, &now, &mut results, &mut lines)?;
    coverage.lines = lines;
    Ok(Report { results, coverage })
}

/// Runs the tests in Rego.
fn run_rego(
    bundle: &Bundle,
    is_meant: &impl Fn(&str) -> bool,
    now: &impl Fn() -> Duration,
    results: &mut Vec<TestResult>,
    lines: &mut BTreeMap<String, LineCoverage>,
) -> Result<(), Vec<Diagnostic>> {
    let Some(mut tests) = Tests::load(bundle)? else { return Ok(()) };
    for rule in tests.rules().to_vec() {
        if !is_meant(&rule.name) {
            continue;
        }
        let begun = now();
        let (outcome, message) = match () {
            () if rule.is_skipped => (TestOutcome::Skip, String::new()),
            () => match tests.run(&rule) {
                Ok(()) => (TestOutcome::Pass, String::new()),
                Err(message) => (TestOutcome::Fail, message),
            },
        };
        let duration = now().saturating_sub(begun);
        let (name, file, line) = (rule.name, rule.file, rule.line);
        results.push(TestResult { name, file, line, outcome, message, duration });
    }
    for (file, other) in tests.coverage() {
        lines.entry(file).or_default().merge(other);
    }
    Ok(())
}

/// Returns how long events of a class are kept, as the document has it.
fn retention(document: &Document, class: Option<&str>) -> Option<u64> {
    let own = document.classes.iter().find(|known| Some(known.name.as_str()) == class);
    let retention = own.and_then(|class| class.retention).unwrap_or(document.retention);
    retention.total.map(|period| period.seconds)
}
