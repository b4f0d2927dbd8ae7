//! `attestree policy test` and `policy coverage`: whether a policy does what its tests say.

use core::time::Duration;

use serde::Serialize;

use super::super::exit::{self, Exit};
use super::super::output::{Output, count};
use super::Show;
use super::load::{self, Which, load};
use super::report::{Case, Outcome, Report, error, note};
use crate::policy;
use crate::policy::test::{Coverage, TestOutcome, TestResult};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A test in tests/*.yaml is an event, and what has to become of it:
  - name: a login is accepted
    event: {act: auth.login, out: success, actor: {id: alice}}
    expect: {verdict: accept, class: authentication, redacted: {actor.email: commit}}
'events' stands for several, of which the last is compared; 'expect' may also have rules, absent, alerts,
retention and suppressed. 'times' repeats an event and 'after' waits before each; 'at' and 'source' say when
and from whom it comes. `attestree policy simulate` sends the same to a server. Rules in tests/*_test.rego whose names begin with test_ are run as `opa test` does.

Exit codes:
  0 all passed   1 a test failed, or the policy can't be read, or too little is covered

Examples:
  attestree policy test policy
  attestree policy test policy --run login
  attestree policy test policy --format junit > policy.xml
  attestree policy test policy --coverage --threshold 80")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Run only tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    run: Option<String>,
    /// Say how much of the policy the tests exercise
    #[arg(long)]
    coverage: bool,
    /// Fail below this many percent of coverage
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    threshold: Option<u8>,
    #[command(flatten)]
    show: Show,
}

/// The options of `policy coverage`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs the tests and lists the classes of which they have no event, the rules that none of their events
breaks, the redactions and detectors that none of them needs, and the lines of Rego that none
evaluates.

Exit codes:
  0 at least the threshold   1 below it, or a test failed

Example:
  attestree policy coverage policy --threshold 80")]
pub(super) struct CoverageArgs {
    #[command(flatten)]
    which: Which,
    /// Fail below this many percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    threshold: u8,
    #[command(flatten)]
    show: Show,
}

/// Coverage, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    percent: usize,
    covered: Vec<String>,
    missed: Vec<String>,
}

/// Runs the tests.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    let (report, coverage) = tried("test", &args.which, args.run.as_deref(), args.show, output)?;
    args.show.print(&report, output)?;
    let covered = percent(&coverage);
    if (args.coverage || args.threshold.is_some()) && args.show.is_text(output) {
        Output::line(format!("coverage: {covered} %"))?;
    }
    let is_low = args.threshold.is_some_and(|threshold| covered < threshold.into());
    if report.tally().failed > 0 || is_low {
        return Err(exit::quietly(Exit::Failed));
    }
    Ok(())
}

/// Measures the tests.
pub(super) fn coverage(args: &CoverageArgs, output: Output) -> anyhow::Result<()> {
    let (report, coverage) = tried("coverage", &args.which, None, args.show, output)?;
    let of = |wanted: bool| -> Vec<String> {
        let parts = coverage.parts.iter().filter(|part| (part.times > 0) == wanted);
        let parts = parts.map(|part| format!("{} {}", part.kind.as_str(), part.name));
        let lines = coverage.lines.iter().flat_map(|(file, lines)| {
            let lines = if wanted { &lines.covered } else { &lines.missed };
            lines.iter().map(move |line| format!("line {file}:{line}"))
        });
        parts.chain(lines).collect()
    };
    let shown = Shown { percent: percent(&coverage), covered: of(true), missed: of(false) };
    let failed = report.tally().failed;
    let what = match coverage.lines.is_empty() {
        true => "classes, rules, redactions and detectors",
        false => "classes, rules, redactions, detectors and lines of Rego",
    };
    let sum = format!("{} % of {} {what}", shown.percent, coverage.count().0);
    let is_low = shown.percent < args.threshold.into();
    let text = || {
        let missed = shown.missed.iter().map(|name| format!("missed  {name}"));
        let failed = u64::try_from(failed).unwrap_or(u64::MAX);
        let failed = Some(count(failed, "test failed", "tests failed")).filter(|_| failed > 0);
        missed.chain(failed).chain([sum.clone()]).collect::<Vec<_>>().join("\n")
    };
    let findings = || {
        let missed = shown.missed.iter();
        let missed = missed.map(|name| note("policy/not-covered", format!("no test needs {name}")));
        let sum = match is_low {
            true => error("policy/coverage", format!("{sum}; {} % are wanted", args.threshold)),
            false => note("policy/coverage", sum.clone()),
        };
        Report { findings: missed.chain([sum]).collect(), ..report.clone() }
    };
    args.show.tell(&shown, text, findings, output)?;
    if failed > 0 || is_low {
        return Err(exit::quietly(Exit::Failed));
    }
    Ok(())
}

/// Runs the tests of a policy.
fn tried(
    verb: &'static str,
    which: &Which,
    only: Option<&str>,
    show: Show,
    output: Output,
) -> anyhow::Result<(Report, Coverage)> {
    let loaded = load(verb, &which.policy, which.env.as_deref(), show, output)?;
    let mut report = load::report(verb, &which.policy, &loaded.bundle);
    let asked = |name: &str| only.is_none_or(|only| name.contains(only));
    // No form of a report says how long a test took, so that the same tests give the same report.
    let run = policy::test::run(&loaded.bundle, &loaded.compiled, asked, || Duration::ZERO);
    let tested = match run {
        Ok(tested) => tested,
        Err(findings) => {
            show.print(&Report { findings, ..report }, output)?;
            return Err(exit::quietly(Exit::Failed));
        }
    };
    report.cases = tested.results.into_iter().map(case).collect();
    anyhow::ensure!(
        !report.cases.is_empty(),
        "{} has no such tests; write them to tests/*.yaml, as `attestree policy test --help` shows",
        which.policy.display()
    );
    Ok((report, tested.coverage))
}

/// Makes a case of a test.
fn case(result: TestResult) -> Case {
    let outcome = match result.outcome {
        TestOutcome::Pass => Outcome::Passed,
        TestOutcome::Fail => Outcome::Failed(result.message.lines().map(str::to_owned).collect()),
        TestOutcome::Skip => Outcome::Skipped("it says so".to_owned()),
    };
    Case { file: result.file, line: result.line, name: result.name, outcome }
}

/// Returns how many parts of a policy its tests exercised, of a hundred; a policy without parts is covered.
fn percent(coverage: &Coverage) -> usize {
    let (all, covered) = coverage.count();
    (covered * 100).checked_div(all).unwrap_or(100)
}
