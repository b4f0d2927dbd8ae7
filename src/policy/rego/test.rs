//! Rules that test rules: `test_` in modules whose names end with `_test.rego`, as `opa test` has them.

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use super::assemble::{Take, assemble, is_test};
use super::{Covering, budget, place, step, walk};
use crate::core::policy::Bundle;
use crate::policy::Diagnostic;

/// Longest that one test may take: a hundred events' worth.
const TEST_TIME_MAX: Duration = Duration::from_secs(10);

/// The Rego tests of a bundle, with the rules that they test.
#[derive(Debug)]
pub struct Tests {
    engine: Engine,
    rules: Vec<TestRule>,
}

/// A rule that tests others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestRule {
    /// Its name with that of its package, as `data.attestree.card.test_numbers`.
    pub name: String,
    /// Where it stands.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// Whether its name says that it is not to be run: it begins with `todo_test_`.
    pub is_skipped: bool,
}

/// Which lines of a module were evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineCoverage {
    /// Lines that were, from 1.
    pub covered: BTreeSet<usize>,
    /// Lines that could have been.
    pub missed: BTreeSet<usize>,
}

impl Tests {
    /// Loads the tests of a bundle; `None` if it has none.
    pub fn load(bundle: &Bundle) -> Result<Option<Self>, Vec<Diagnostic>> {
        let Some(assembled) = assemble(bundle, Take::PolicyAndTests)? else { return Ok(None) };
        let mut engine = assembled.engine;
        let mut rules = BTreeSet::new();
        for module in engine.get_modules() {
            let file = module.package.span.source.file();
            if !is_test(file) {
                continue;
            }
            let names = super::lint::package(module);
            let package = names.iter().fold("data".to_owned(), |path, name| step(&path, name));
            for rule in &module.policy {
                let head = walk::head(rule);
                let Some(name) =
                    walk::reference(head).and_then(|head| head.names.into_iter().next())
                else {
                    continue;
                };
                let is_skipped = name.starts_with("todo_test_");
                if is_skipped || name.starts_with("test_") {
                    let line = usize::try_from(head.span().line).unwrap_or(0);
                    let name = step(&package, &name);
                    rules.insert(TestRule { name, file: file.clone(), line, is_skipped });
                }
            }
        }
        engine.set_enable_coverage(true);
        let rules: Vec<TestRule> = rules.into_iter().collect();
        Ok((!rules.is_empty()).then_some(Self { engine, rules }))
    }

    /// Returns the tests by name.
    pub fn rules(&self) -> &[TestRule] {
        &self.rules
    }

    /// Runs one test; says why it fails, with what it printed.
    pub fn run(&mut self, test: &TestRule) -> Result<(), String> {
        let check_interval = NonZeroU32::MIN.saturating_add(15);
        let config = ExecutionTimerConfig { limit: TEST_TIME_MAX, check_interval };
        self.engine.set_execution_timer_config(config);
        budget::begin();
        self.engine.set_input(Value::new_object());
        let engine = &mut self.engine;
        let said = catch_unwind(AssertUnwindSafe(|| engine.eval_rule(test.name.clone())));
        let printed = self.engine.take_prints().unwrap_or_default();
        let verdict = match said {
            Ok(Ok(Value::Bool(true))) => return Ok(()),
            Ok(Ok(Value::Undefined)) => "it does not hold".to_owned(),
            Ok(Ok(value)) => format!("it is {value}, not true"),
            Ok(Err(error)) => {
                let found = place::of_message(&test.file, "rego/evaluation", &format!("{error:#}"));
                format!("{} ({}:{})", found.message, found.file, found.line)
            }
            Err(_) => "the engine panicked".to_owned(),
        };
        Err(printed.into_iter().fold(verdict, |text, line| text + "\n" + &line))
    }

    /// Returns which lines of the policy were evaluated; of the tests themselves nothing is said.
    pub fn coverage(self) -> BTreeMap<String, LineCoverage> {
        coverage(&self.engine)
    }
}

impl Covering<'_> {
    /// Returns which lines were evaluated.
    pub fn coverage(self) -> BTreeMap<String, LineCoverage> {
        coverage(&self.into_engine())
    }
}

/// Returns what an engine has noted of the modules that are no tests.
fn coverage(engine: &Engine) -> BTreeMap<String, LineCoverage> {
    let lines = |lines: BTreeSet<u32>| {
        lines.into_iter().filter_map(|line| usize::try_from(line).ok()).collect()
    };
    let files = engine.get_coverage_report().map(|report| report.files).unwrap_or_default();
    files
        .into_iter()
        .filter(|file| !is_test(&file.path))
        .map(|file| {
            let coverage =
                LineCoverage { covered: lines(file.covered), missed: lines(file.not_covered) };
            (file.path, coverage)
        })
        .collect()
}

impl LineCoverage {
    /// Takes what another run has covered.
    pub fn merge(&mut self, other: Self) {
        self.covered.extend(other.covered);
        self.missed.extend(other.missed);
        self.missed.retain(|line| !self.covered.contains(line));
    }
}
