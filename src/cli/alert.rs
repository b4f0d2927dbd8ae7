//! `attestree alert`: do messages arrive?

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::exit::{Exit, quietly};
use super::output::Output;
use crate::server::{self, Flags};

/// The verbs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with the delivery of alerts.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Send a test message to those who are told of alerts
    Test(TestArgs),
}

/// The options of `test`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sends one message to each sink under [[alerts]] of the server's configuration file, as the server would send
an alert, and says what came back. The message says that it is a test. The server need not run, nothing is
recorded, and what the server has delivered stays as it is.

Exit code 1 means that a sink has not taken its message.

Examples:
  attestree alert test --config /etc/attestree.toml
  attestree alert test --config /etc/attestree.toml --sink oncall --json")]
struct TestArgs {
    /// Configuration file of the server
    #[arg(long, env = "ATTESTREE_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Send to this sink alone
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
}

/// What came of a message, as JSON.
#[derive(Debug, Serialize)]
struct Sent<'a> {
    sink: &'a str,
    taken: bool,
    said: &'a str,
    elapsed_ms: u64,
}

/// Calls the verb.
pub(super) fn run(args: Args, output: Output) -> anyhow::Result<()> {
    let Verb::Test(args) = args.verb;
    let flags = Flags { config: Some(args.config), ..Flags::default() };
    let tests = server::test_alerts(&flags.read()?, args.sink.as_deref())?;
    for test in &tests {
        let (taken, said) = match &test.said {
            Ok(said) => (true, said),
            Err(failure) => (false, failure),
        };
        let (sink, elapsed_ms) = (test.sink.as_str(), test.millis);
        let word = if taken { "taken" } else { "not taken" };
        let text = format!("{sink}: {word} after {elapsed_ms} ms: {said}");
        output.print(&Sent { sink, taken, said, elapsed_ms }, text)?;
    }
    if tests.iter().all(|test| test.said.is_ok()) { Ok(()) } else { Err(quietly(Exit::Failed)) }
}
