//! `attestree policy`: policies as code, one file a verb.
//!
//! Exit codes are those of the whole program, and 2 where what was compared differs, so that a pipeline
//! can tell "changed" from "broken": 0 nothing to do, 1 an error, 2 changes, drift or findings to look at.

mod files;
mod fmt;
mod report;

use super::output::Output;
use super::remote::Remote;
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
    /// Lay the files out in one canonical way
    Fmt(fmt::Args),
}

/// How a report is shown.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Show {
    /// How to write what was found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Show {
    /// Prints a report.
    fn print(self, report: &Report, output: Output) -> anyhow::Result<()> {
        let format = if output.is_json() { Format::Json } else { self.format };
        Output::line(report.format(format))
    }
}

/// Carries the verb out.
pub(super) fn run(args: Args, _remote: &Remote, output: Output) -> anyhow::Result<()> {
    match args.verb {
        Verb::Fmt(args) => fmt::run(&args, output),
    }
}
