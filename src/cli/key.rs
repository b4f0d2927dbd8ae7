//! `attestree key`: signing keys as files.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use zeroize::Zeroizing;

use super::exit::wrong_usage;
use super::output::{self, Output};
use super::remote::key_name;
use crate::core::note::{KeyName, SigningKey, VerifierKey};
use crate::core::record::ApproverKey;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a signing key and print its verifier key
    #[command(after_help = "\
The file holds the private key, readable by its owner only, in the form of Go's note package.

Example:
  attestree key generate example.com/log -o example.skey
  attestree init --origin example.com/log --key-file example.skey")]
    Generate {
        /// Name of the key: for a log, its origin
        #[arg(value_parser = key_name)]
        name: KeyName,
        /// File to create
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Print the verifier key of a signing key
    #[command(after_help = "\
Example:
  attestree key show attestree-data/signing/0.skey
  attestree key show alice.skey --approver       for `approvals: {keys: [...]}` of a policy")]
    Show {
        /// The file of a signing key, or of a verifier key to check
        file: PathBuf,
        /// Print the public key alone, as policies name those who approve them
        #[arg(long)]
        approver: bool,
    },
}

/// A verifier key, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) vkey: String,
}

impl From<&VerifierKey> for Shown {
    fn from(key: &VerifierKey) -> Self {
        Self {
            name: key.name().as_str().to_owned(),
            id: output::hex(&key.id()),
            vkey: key.to_string(),
        }
    }
}

/// Makes or shows a key.
pub(super) fn run(args: Args, output: Output) -> anyhow::Result<()> {
    let key = match args.what {
        What::Generate { name, output } => generate(name, &output)?,
        What::Show { file, approver: false } => show(&file)?,
        What::Show { file, approver: true } => return approver(&show(&file)?),
    };
    output.print(&Shown::from(&key), &key)
}

/// Prints a key as policies name it.
fn approver(key: &VerifierKey) -> anyhow::Result<()> {
    let approver = ApproverKey::new(*key.public_bytes());
    Output::line(approver.context("read the public key")?)
}

/// Makes a key and writes it to a new file.
fn generate(name: KeyName, path: &Path) -> anyhow::Result<VerifierKey> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).context("ask the system for randomness")?;
    let key = SigningKey::from_seed(name, &seed);

    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).with_context(|| format!("create {}", path.display()))?;
    let text = Zeroizing::new(format!("{}\n", key.format().as_str()));
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("write {}", path.display()))?;
    Ok(key.verifier_key().clone())
}

/// Reads a signing key from a file.
pub(super) fn signing(path: &Path) -> anyhow::Result<SigningKey> {
    let bytes = Zeroizing::new(output::read(path)?);
    let text = core::str::from_utf8(&bytes).map(str::trim_end);
    let text = text.with_context(|| format!("read {} as text", path.display()))?;
    SigningKey::parse(text).with_context(|| format!("parse the signing key {}", path.display()))
}

/// Reads a key from a file; of a signing key only its public half leaves this function.
fn show(path: &Path) -> anyhow::Result<VerifierKey> {
    let bytes = Zeroizing::new(output::read(path)?);
    let text = core::str::from_utf8(&bytes).map(str::trim_end);
    let text = text.with_context(|| format!("read {} as text", path.display()))?;
    if text.starts_with("PRIVATE+KEY+") {
        let key = SigningKey::parse(text)
            .with_context(|| format!("parse the signing key {}", path.display()))?;
        return Ok(key.verifier_key().clone());
    }
    VerifierKey::parse(text).map_err(|error| {
        wrong_usage(format!(
            "{} holds neither a signing nor a verifier key: {error}",
            path.display()
        ))
    })
}
