//! `attestree verify-evidence`: whether a log is convicted, offline.

use std::path::PathBuf;

use serde::Serialize;

use super::exit::{unverified, wrong_usage};
use super::output::{self, Output, base64};
use super::remote::Remote;
use crate::core::evidence::{EVIDENCE_BYTES_MAX, Evidence, Judgement};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Talks to nobody, and believes neither whoever wrote the file nor whoever passed it on. Says one of:

  guilty        the log's key has signed two checkpoints that can't both be true
  inconclusive  nothing in the file is shown to be false, and it convicts nobody
  forged        a signature or a proof in the file does not hold, so it says nothing of the log

Exit code 0 means guilty: the file proves what it is for. 2 means that it does not: inconclusive,
forged, or no evidence at all. 1 means that a file can't be read, 64 that no policy is given.

The trust policy has to hold the log's vkey, from somebody you trust; its quorum is of no concern.

Examples:
  attestree verify-evidence example.com_log-7-0123456789abcdef.evidence --trust trust.policy
  attestree verify-evidence FILE --trust trust.policy --json | jq -r .verdict")]
pub(super) struct Args {
    /// The evidence; `-` is standard input
    evidence: PathBuf,
}

/// The verdict, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    verdict: &'static str,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// The key that signed both.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Witnesses of the policy that cosigned both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    witnesses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checkpoints: Vec<Head>,
}

/// One of the two checkpoints, as JSON.
#[derive(Debug, Serialize)]
struct Head {
    size: u64,
    root: String,
}

/// Judges the evidence.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let trust = remote.policy()?.ok_or_else(|| {
        wrong_usage("say whom to believe with --trust FILE; see `attestree verify-evidence --help`")
    })?;
    let bytes = output::read_at_most(&args.evidence, EVIDENCE_BYTES_MAX)?;
    let path = args.evidence.display();
    let parsed = match Evidence::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = format!("{path}: this is no evidence: {error}");
            print(&Shown::new("malformed", &error, None), String::new(), output)?;
            return Err(unverified(error));
        }
    };
    match parsed.judge(&trust) {
        Judgement::Guilty { key, contradiction, witnesses } => {
            let origin = parsed.origin();
            let both = match witnesses.join(", ") {
                none if none.is_empty() => none,
                names => format!(" Cosigned both, against their own promise: {names}."),
            };
            let text = format!(
                "guilty: the log {origin} {contradiction}. Both checkpoints carry the signature of \
                 {key}, and a log that only appends never signs such a pair.{both}"
            );
            let mut shown = Shown::new("guilty", &contradiction.to_string(), Some(&parsed));
            (shown.key, shown.witnesses) = (Some(key.to_string()), witnesses);
            print(&shown, text, output)
        }
        Judgement::Inconclusive { reason } => {
            let shown = Shown::new("inconclusive", &reason.to_string(), Some(&parsed));
            print(&shown, String::new(), output)?;
            Err(unverified(format!("inconclusive: {reason}; this convicts nobody")))
        }
        Judgement::Forged { reason } => {
            let shown = Shown::new("forged", &reason.to_string(), Some(&parsed));
            print(&shown, String::new(), output)?;
            let text = "the file was changed or made up, and says nothing of the log";
            Err(unverified(format!("forged: {reason}; {text}")))
        }
    }
}

impl Shown {
    /// Takes a verdict, without what only a conviction has.
    fn new(verdict: &'static str, reason: &str, evidence: Option<&Evidence>) -> Self {
        let heads = evidence.map(Evidence::heads).into_iter().flatten();
        Self {
            verdict,
            reason: reason.to_owned(),
            origin: evidence.map(|evidence| evidence.origin().to_string()),
            key: None,
            witnesses: Vec::new(),
            checkpoints: heads
                .map(|head| Head { size: head.size.get(), root: base64(&head.root) })
                .collect(),
        }
    }
}

/// Prints the verdict; a text that is empty goes to standard error instead, with the exit code.
fn print(shown: &Shown, text: String, output: Output) -> anyhow::Result<()> {
    if output.is_json() || !text.is_empty() { output.print(shown, text) } else { Ok(()) }
}
