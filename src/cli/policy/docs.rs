//! `attestree policy docs`: what a policy says, for people, as Markdown.

use std::path::PathBuf;

use super::super::output::{self, Output};
use super::Show;
use super::load::{Which, load};
use crate::policy::describe;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The same policy gives the same text, so it can be kept in git and compared. Its first lines hold the
policy's digest, which records of the log name.

Example:
  attestree policy docs policy -o POLICY.md")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    show: Show,
}

/// Describes a policy.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    let loaded = load("docs", &args.which.policy, args.which.env.as_deref(), args.show, output)?;
    let digest = loaded.bundle.digest();
    let text = describe::describe(&loaded.compiled.document, digest);
    if args.show.is_json(output) {
        let value = serde_json::json!({"digest": digest.to_string(), "markdown": text});
        return output::write(&args.output, format!("{value}\n").as_bytes());
    }
    output::write(&args.output, text.as_bytes())
}
