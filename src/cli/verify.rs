//! `attestree verify`: a receipt, offline.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use zeroize::Zeroizing;

use super::exit::{unverified, wrong_usage};
use super::output::{self, Output, base64};
use super::remote::Remote;
use crate::core::receipt::{Receipt, ReceiptError, VerifiedReceipt};
use crate::core::record::{Disclosed, Path as RecordPath, Record};
use crate::core::trust::TrustPolicy;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Talks to nobody. Verifies the checkpoint's signatures under the trust policy, and that the entry's
bytes are in the tree that was signed. Exit code 2 means that this is not so.

A trust policy (c2sp.org/tlog-policy) holds the log's key, which has to come from somebody you trust:
  log example.com/log+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k
  quorum none

An audit record shows a commitment in the place of a sensitive field. With --disclosure, fields that were
disclosed (`attestree disclose`: path, salt and value, one JSON object a line) are verified against it.

Examples:
  attestree verify 7.tlog-proof --entry 7.entry --trust trust.policy
  attestree verify 7.tlog-proof --entry 7.entry --disclosure email.json --trust trust.policy
  printf 'the line' | attestree verify 7.tlog-proof --entry - --trust trust.policy")]
pub(super) struct Args {
    /// The receipt, a .tlog-proof file
    receipt: PathBuf,
    /// File with exactly the entry's bytes; `-` is standard input
    #[arg(long, value_name = "FILE")]
    entry: PathBuf,
    /// Take the file as one line of text: without its final newline
    #[arg(long)]
    line: bool,
    /// File with disclosed fields of the record, verified against their commitments
    #[arg(long, value_name = "FILE")]
    disclosure: Option<PathBuf>,
}

/// What verified, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    origin: String,
    index: u64,
    leaf_hash: String,
    tree_size: u64,
    root: String,
    witnesses: Vec<Witness>,
    /// Paths of the fields whose disclosure verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disclosed: Vec<String>,
}

/// A witness that cosigned.
#[derive(Debug, Serialize)]
struct Witness {
    name: String,
    time: u64,
}

/// Verifies the receipt.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let trust = remote.policy()?.ok_or_else(|| {
        wrong_usage("say whom to believe with --trust FILE; see `attestree verify --help`")
    })?;
    let bytes = output::read(&args.receipt)?;
    let receipt = Receipt::parse(&bytes)
        .map_err(|error| unverified(format!("{}: {error}", args.receipt.display())))?;
    let entry = output::read(&args.entry)?;
    let entry = if args.line { without_newline(&entry) } else { &entry };
    let verified =
        receipt.verify(entry, &trust).map_err(|error| refuse(&error, &receipt, entry, &trust))?;
    let disclosed = match &args.disclosure {
        Some(path) => verify_fields(entry, path)?,
        None => Vec::new(),
    };
    show(&verified, &disclosed, &args.receipt, output)
}

/// Verifies disclosed fields against the record; returns where they stand.
fn verify_fields(entry: &[u8], path: &Path) -> anyhow::Result<Vec<RecordPath>> {
    let record = Record::parse(entry)
        .map_err(|error| unverified(format!("the entry is no audit record: {error}")))?;
    let bytes = Zeroizing::new(output::read(path)?);
    let read = |text: &[u8]| Disclosed::parse(text);
    // One object may be written over several lines; several stand each on a line of its own.
    let fields = match read(&bytes) {
        Ok(field) => vec![field],
        Err(error) => {
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let fields: Option<Vec<_>> = lines.map(|line| read(line).ok()).collect();
            let fields = fields.filter(|fields| fields.len() > 1);
            fields.ok_or_else(|| wrong_usage(format!("{}: {error}", path.display())))?
        }
    };
    let verify = |field: &Disclosed| {
        let place = &field.opening().path;
        let verified = field.verify(&record);
        verified.map_err(|error| unverified(format!("{}: {error}", place.as_str())))?;
        Ok(place.clone())
    };
    fields.iter().map(verify).collect()
}

/// Says why the receipt proves nothing, and what to try where the file's newline is to blame.
fn refuse(
    error: &ReceiptError,
    receipt: &Receipt,
    entry: &[u8],
    trust: &TrustPolicy,
) -> anyhow::Error {
    let line = without_newline(entry);
    if line.len() < entry.len() && receipt.verify(line, trust).is_ok() {
        return unverified(format!(
            "{error}; without its final newline the file does verify: pass --line if it is one line"
        ));
    }
    unverified(error.to_string())
}

fn without_newline(entry: &[u8]) -> &[u8] {
    entry.strip_suffix(b"\n").unwrap_or(entry)
}

/// Reports what verified.
fn show(
    verified: &VerifiedReceipt,
    disclosed: &[RecordPath],
    path: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let head = verified.head();
    let witnesses = verified.trusted.witnesses.iter();
    let shown = Shown {
        origin: verified.origin().to_string(),
        index: verified.index.get(),
        leaf_hash: base64(&verified.leaf),
        tree_size: head.size.get(),
        root: base64(&head.root),
        witnesses: witnesses
            .map(|(name, time)| Witness { name: name.clone(), time: time.get() })
            .collect(),
        disclosed: disclosed.iter().map(|path| path.as_str().to_owned()).collect(),
    };
    let names: Vec<&str> = shown.witnesses.iter().map(|witness| &*witness.name).collect();
    let by = match names.len() {
        0 => "the log".to_owned(),
        1 => format!("the log and 1 witness ({})", names.join(", ")),
        count => format!("the log and {count} witnesses ({})", names.join(", ")),
    };
    let fields = match shown.disclosed.is_empty() {
        true => String::new(),
        false => format!("; its fields {} are as disclosed", shown.disclosed.join(", ")),
    };
    let text = format!(
        "verified: the entry is number {} of {}, in the tree of {} signed by {by}{fields}",
        shown.index,
        shown.origin,
        output::entries(shown.tree_size)
    );
    output.print(&shown, text).with_context(|| format!("report on {}", path.display()))
}
