//! `attestree policy check`: whether a policy is right, and whether infrastructure keeps it.

use std::path::PathBuf;

use anyhow::Context as _;

use super::super::exit::{self, Exit};
use super::super::output::{self, Output};
use super::generate::Choice;
use super::report::Report;
use super::{Show, load};
use crate::cli::clock::now;
use crate::policy::document::Date;
use crate::policy::framework::Framework;
use crate::policy::minimum::minimums;
use crate::policy::{Severity, lint};

/// Most bytes of an input: plans of large stacks are long.
const INPUT_BYTES_MAX: usize = 64 << 20;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at names, types, conditions that can't hold, classes that another takes everything from, rules about
classes that are not there, Rego modules, whether a child only tightens its parents, and whether the review
of 'metadata: {review_by: ...}' is overdue by the clock of this machine.

Exit codes:
  0 nothing wrong   1 errors   2 with --fail-on-warn: warnings

Examples:
  attestree policy check policy
  attestree policy check policy --fail-on-warn
  attestree policy check policy --framework pci-dss,soc2
  attestree policy check policy --format sarif > policy.sarif
  terraform show -json plan.out > plan.json && attestree policy check --input plan.json")]
pub(super) struct Args {
    /// The policy: a directory or a file [default: the working directory, unless there is --input]
    policy: Option<PathBuf>,
    /// Environment whose overlay env/NAME.yaml is applied [default: none, or the only one there is]
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// Infrastructure to hold against logging duties: Terraform plan, `CloudFormation`, Pulumi preview,
    /// Kubernetes audit policy or OpenTelemetry collector
    #[arg(long, value_name = "FILE")]
    input: Vec<PathBuf>,
    /// Exit with 2 where there are warnings
    #[arg(long)]
    fail_on_warn: bool,
    /// The day that the date of review is held against, as 2027-01-31 [default: today]
    #[arg(long, value_name = "DATE", value_parser = date)]
    today: Option<Date>,
    /// Framework whose minimums the policy has to meet: classes, their fields, outcomes and retention
    #[arg(long = "framework", value_name = "NAME", value_enum, value_delimiter = ',')]
    frameworks: Vec<Choice>,
    #[command(flatten)]
    show: Show,
}

/// Reads a day.
fn date(text: &str) -> Result<Date, String> {
    Date::parse(text).ok_or_else(|| "write a day as 2027-01-31".to_owned())
}

/// Returns the day by the clock of this machine, in UTC.
fn today() -> anyhow::Result<Date> {
    let now = now()?.to_string();
    let day = now.split('T').next().and_then(Date::parse);
    day.context("read the day of the clock")
}

/// Checks.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    let mut report = Report { verb: "check", ..Report::default() };
    if let Some(policy) = policy(args) {
        let bundle = load::read(&policy, args.env.as_deref())?;
        let today = args.today.map_or_else(today, Ok)?;
        report = load::report("check", &policy, &bundle);
        match crate::policy::compile(&bundle) {
            Ok(compiled) => {
                report.findings = compiled.warnings;
                report.findings.extend(lint::lint(&compiled.document, Some(today)));
                let frameworks: Vec<Framework> =
                    args.frameworks.iter().map(|one| one.framework()).collect();
                report.findings.extend(minimums(&compiled.document, &frameworks));
            }
            Err(findings) => report.findings = findings,
        }
    }
    for input in &args.input {
        infrastructure(input, &mut report)?;
    }
    report.findings.sort_by(|one, other| {
        (&one.file, one.line, one.column).cmp(&(&other.file, other.line, other.column))
    });
    if report.findings.is_empty() && args.show.is_text(output) {
        Output::line("nothing wrong")?;
    } else {
        args.show.print(&report, output)?;
    }
    let worst = report.findings.iter().map(|finding| finding.severity).max();
    match worst {
        Some(Severity::Error) => Err(exit::quietly(Exit::Failed)),
        Some(Severity::Warning) if args.fail_on_warn => Err(exit::quietly(Exit::Different)),
        _ => Ok(()),
    }
}

/// Returns the policy to check, if there is one.
fn policy(args: &Args) -> Option<PathBuf> {
    let default = args.input.is_empty().then(|| PathBuf::from("."));
    args.policy.clone().or(default)
}

/// Checks one input.
fn infrastructure(path: &std::path::Path, report: &mut Report) -> anyhow::Result<()> {
    let bytes = output::read_at_most(path, INPUT_BYTES_MAX)?;
    let name = path.display().to_string();
    match crate::policy::infra::check(&name, &bytes) {
        Ok(findings) => report.findings.extend(findings),
        Err(finding) => report.findings.push(finding),
    }
    report.sources.insert(name, String::from_utf8_lossy(&bytes).into_owned());
    Ok(())
}
