//! `attestree policy`: policies as code, one file a verb.
//!
//! Exit codes are those of the whole program, and 2 where what was compared differs, so that a pipeline
//! can tell "changed" from "broken": 0 nothing to do, 1 an error, 2 changes, drift or findings to look at.

mod apply;
mod approve;
mod check;
mod diff;
mod disclosures;
mod docs;
mod drift;
mod explain;
mod files;
mod fmt;
mod generate;
mod git;
mod import;
mod init;
mod load;
mod operator;
mod plan;
mod replay;
mod report;
mod simulate;
mod test;

use serde::Serialize;

use super::output::Output;
use super::remote::Remote;
#[cfg(feature = "server")]
pub(super) use init::STARTER;
use report::{Format, Report};

/// Shown below the list of verbs.
const EXAMPLES: &str = "\
A policy is a directory in git: policy.yaml, tests/*.yaml, and where needed rego/*.rego, data.json and
env/NAME.yaml. Its digest is over its YAML, JSON and Rego files; whatever else lies there is no part of it.

Exit codes:
  0 nothing to say   1 an error   2 changes, drift or warnings   64 wrong usage";

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do with policies.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write a policy to begin with, and tests of it
    Init(init::Args),
    /// Lay the files out in one canonical way
    Fmt(fmt::Args),
    /// Find what is wrong with a policy, or with infrastructure that has to keep it
    Check(check::Args),
    /// Run the tests of a policy
    Test(test::Args),
    /// Say how much of a policy its tests exercise
    Coverage(test::CoverageArgs),
    /// Say what a change of a policy means, and call a weakening a weakening
    Diff(diff::Args),
    /// Say what applying a policy would change in a log, and write that down
    Plan(plan::Args),
    /// Approve a plan with a key
    Approve(approve::Args),
    /// Put a policy into force in a log of the server on this machine
    Apply(apply::Args),
    /// Compare a policy with the one in force, and with those that sources report
    Drift(drift::Args),
    /// Come to the verdicts of a log's records again
    Replay(replay::Args),
    /// Fire scenarios at a server, and see that its log holds what they expect
    Simulate(simulate::Args),
    /// Say why an event gets its verdict, rule by rule
    Explain(explain::Args),
    /// Describe a policy for people, as Markdown
    Docs(docs::Args),
    /// Write a policy of another form in ours
    Import(import::Args),
    /// Write a policy that supports frameworks, or one that sample events fit
    Generate(generate::Args),
}

/// How a report is shown.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Show {
    /// How to write what was found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Show {
    /// Returns whether people are to read it.
    fn is_text(self, output: Output) -> bool {
        self.format == Format::Text && !output.is_json()
    }

    /// Returns whether it is to be JSON.
    fn is_json(self, output: Output) -> bool {
        self.format == Format::Json || output.is_json()
    }

    /// Prints what a verb found: in its own words for people, as it is for programs, and as a report for
    /// everything else.
    fn tell(
        self,
        found: &impl Serialize,
        text: impl FnOnce() -> String,
        report: impl FnOnce() -> Report,
        output: Output,
    ) -> anyhow::Result<()> {
        match self.format {
            _ if self.is_json(output) => Output::new(true).print(found, ""),
            Format::Text => Output::line(text()),
            _ => self.print(&report(), output),
        }
    }

    /// Prints a report.
    fn print(self, report: &Report, output: Output) -> anyhow::Result<()> {
        let format = if output.is_json() { Format::Json } else { self.format };
        Output::line(report.format(format))
    }
}

/// Carries the verb out.
pub(super) fn run(args: Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    match args.verb {
        Verb::Init(args) => init::run(&args, output),
        Verb::Fmt(args) => fmt::run(&args, output),
        Verb::Check(args) => check::run(&args, output),
        Verb::Test(args) => test::run(&args, output),
        Verb::Coverage(args) => test::coverage(&args, output),
        Verb::Diff(args) => diff::run(&args, output),
        Verb::Plan(args) => plan::run(&args, remote, output),
        Verb::Approve(args) => approve::run(&args, output),
        Verb::Apply(args) => apply::run(&args, remote, output),
        Verb::Drift(args) => drift::run(&args, remote, output),
        Verb::Replay(args) => replay::run(&args, remote, output),
        Verb::Simulate(args) => simulate::run(&args, remote, output),
        Verb::Explain(args) => explain::run(&args, output),
        Verb::Docs(args) => docs::run(&args, output),
        Verb::Import(args) => import::run(&args, output),
        Verb::Generate(args) => generate::run(&args, output),
    }
}
