//! `attestree policy import`: a policy in another form, written in ours.

use std::io::Write as _;
use std::path::PathBuf;

use super::super::output::{self, Output};
use super::Show;
use super::load::load;
use crate::policy::write::write;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Takes `audit_configs:` and `logging_policy:`, also with flattened indentation, and audit.k8s.io/v1 policies
of Kubernetes. The policy that is written says the same, class by class.

Examples:
  attestree policy import audit-policy.yaml -o policy/policy.yaml
  attestree policy import article.yaml | less")]
pub(super) struct Args {
    /// The file to read
    file: PathBuf,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    show: Show,
}

/// Writes the policy.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    let loaded = load("import", &args.file, None, args.show, output)?;
    for warning in &loaded.compiled.warnings {
        // Nobody is left to hear that the stream is closed.
        let _closed = writeln!(anstream::stderr(), "{warning}");
    }
    let text = write(&loaded.compiled.document);
    if args.show.is_json(output) {
        let line = serde_json::json!({"policy": text}).to_string();
        return output::write(&args.output, format!("{line}\n").as_bytes());
    }
    output::write(&args.output, text.as_bytes())
}
