//! `attestree policy test` and `policy coverage`: whether a policy does what its tests say.

use serde::Serialize;

use super::super::exit::{self, Exit};
use super::super::output::Output;
use super::Show;
use super::load::{self, Which, load};
use super::report::{Case, Outcome, Report};
use crate::policy::fixture::{self, Coverage};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A test in tests/*.yaml is an event, and what has to become of it:
  - name: a login is accepted
    event: {act: auth.login, out: success, actor: {id: alice}}
    expect: {verdict: accept, class: authentication, redacted: {actor.email: commit}}
'events' stands for several; 'expect' may also have rules, absent, alerts and retention.

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
    /// Say how much of the policy the tests came by
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
Runs the tests and lists the classes, rules and redacted fields that no event of theirs came by.

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
    let percent = coverage.percent();
    if (args.coverage || args.threshold.is_some()) && args.show.is_text(output) {
        Output::line(format!("coverage: {percent} %"))?;
    }
    let is_low = args.threshold.is_some_and(|threshold| percent < threshold.into());
    if report.tally().failed > 0 || is_low {
        return Err(exit::quietly(Exit::Failed));
    }
    Ok(())
}

/// Measures the tests.
pub(super) fn coverage(args: &CoverageArgs, output: Output) -> anyhow::Result<()> {
    let (report, coverage) = tried("coverage", &args.which, None, args.show, output)?;
    let of = |wanted: bool| -> Vec<String> {
        let parts = coverage.parts.iter().filter(|(_, covered)| **covered == wanted);
        parts.map(|(name, _)| name.clone()).collect()
    };
    let shown = Shown { percent: coverage.percent(), covered: of(true), missed: of(false) };
    if args.show.is_json(output) {
        Output::new(true).print(&shown, "")?;
    } else {
        let missed = shown.missed.iter().map(|name| format!("missed  {name}\n"));
        let all = coverage.parts.len();
        let parts = format!("{} % of {all} classes, rules and redactions", shown.percent);
        Output::line(missed.collect::<String>() + &parts)?;
    }
    let failed = report.tally().failed > 0;
    if failed || shown.percent < args.threshold.into() {
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
    let fixtures = match fixture::read(&loaded.bundle) {
        Ok(fixtures) => fixtures,
        Err(findings) => {
            show.print(&Report { findings, ..report }, output)?;
            return Err(exit::quietly(Exit::Failed));
        }
    };
    let mut coverage = Coverage::of(&loaded.compiled);
    let asked = |name: &str| only.is_none_or(|only| name.contains(only));
    for fixture in fixtures.iter().filter(|fixture| asked(&fixture.name)) {
        let outcome = match fixture.is_skipped {
            true => Outcome::Skipped("it says so".to_owned()),
            false => Outcome::of(fixture.run(&loaded.compiled, &mut coverage)),
        };
        let (file, name) = (fixture.file.clone(), fixture.name.clone());
        report.cases.push(Case { file, line: fixture.line, name, outcome });
    }
    anyhow::ensure!(
        !report.cases.is_empty(),
        "{} has no such tests; write them to tests/*.yaml, as `attestree policy test --help` shows",
        which.policy.display()
    );
    Ok((report, coverage))
}
