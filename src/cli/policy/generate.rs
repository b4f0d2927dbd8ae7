//! `attestree policy generate`: a policy from what frameworks ask for, or from events that were seen.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::super::output::{self, Output};
use crate::core::policy::Bundle;
use crate::policy;
use crate::policy::framework::{Framework, generate};
use crate::policy::infer::{Inferred, Samples, examples};
use crate::policy::write::write;

/// Most bytes of sample events: what they say is known long before.
const SAMPLES_BYTES_MAX: usize = 256 << 20;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes a policy with the classes of events, the fields and the retention that the frameworks ask for, where
they ask for any; where several do, the strictest. Which control asks for what stands beside it. What a
framework leaves to you, as SOC 2 leaves retention, keeps a customary value and is marked so.

A policy can support a control; whether you comply is for an assessor to say.

With --from it is made from sample events, one JSON object a line: a class for each that they name, or for each
beginning of their actions (`auth.` of `auth.login`), with the fields that all its events have and their types;
fields named for secrets are dropped, those that hold nothing but e-mail addresses are committed, and what
detectors recognise is masked or dropped; sources all of whose events are numbered have to number them. Nothing
of the samples is taken over but names. What it can't know is said on standard error: read it, and the policy.
--tests writes an event of each class, with made-up values, as a test of the policy.

Examples:
  attestree policy generate pci-dss > policy/policy.yaml
  attestree policy generate soc2 hipaa --name payments -o policy/policy.yaml
  attestree policy generate --from events.ndjson -o policy/policy.yaml --tests policy/tests/samples.json
  tail -n 10000 app.log | attestree policy generate --from - > policy.yaml")]
pub(super) struct Args {
    /// The frameworks
    #[arg(required_unless_present = "from", conflicts_with = "from", value_enum)]
    frameworks: Vec<Choice>,
    /// Sample events, one a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// File to create with tests of the policy from samples, as tests/samples.json
    #[arg(long, value_name = "FILE", requires = "from")]
    tests: Option<PathBuf>,
    /// Name of the policy
    #[arg(long, default_value = "baseline")]
    name: String,
    /// Who answers for it
    #[arg(long)]
    owner: Option<String>,
    /// File to create [default: standard output]
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

/// A framework on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Choice {
    /// AICPA trust services criteria 2017
    Soc2,
    /// ISO/IEC 27001:2022 Annex A
    Iso27001,
    /// HIPAA security rule, 45 CFR 164
    Hipaa,
    /// PCI DSS 4.0.1 requirement 10
    PciDss,
    /// GDPR
    Gdpr,
    /// NIST SP 800-53 revision 5, family AU
    #[value(name = "nist-800-53")]
    Nist80053,
}

impl Choice {
    /// Returns the framework.
    pub(super) const fn framework(self) -> Framework {
        match self {
            Self::Soc2 => Framework::Soc2,
            Self::Iso27001 => Framework::Iso27001,
            Self::Hipaa => Framework::Hipaa,
            Self::PciDss => Framework::PciDss,
            Self::Gdpr => Framework::Gdpr,
            Self::Nist80053 => Framework::Nist80053,
        }
    }
}

/// Writes the policy.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    let path = &args.output;
    for path in [path].into_iter().chain(&args.tests) {
        let is_file = path != Path::new("-");
        ensure!(
            !is_file || !path.exists(),
            "{} is there already; choose another file",
            path.display()
        );
    }
    let text = match &args.from {
        Some(from) => from_samples(args, from)?,
        None => {
            let frameworks: Vec<Framework> =
                args.frameworks.iter().map(|one| one.framework()).collect();
            write(&generate(&args.name, args.owner.as_deref(), &frameworks))
        }
    };
    if output.is_json() {
        let line = serde_json::json!({"policy": text}).to_string();
        return output::write(path, format!("{line}\n").as_bytes());
    }
    output::write(path, text.as_bytes())
}

/// Makes a policy from sample events, and writes its tests.
fn from_samples(args: &Args, from: &Path) -> anyhow::Result<String> {
    let bytes = output::read_at_most(from, SAMPLES_BYTES_MAX)?;
    let mut samples = Samples::default();
    let mut count = 0;
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            samples.take(line).with_context(|| format!("line {}", number + 1))?;
            count += 1;
        }
    }
    ensure!(count > 0, "{} holds no events", from.display());
    let inferred = samples.infer(&args.name, args.owner.as_deref());
    let text = write(&inferred.document);
    check(&text)?;
    for note in &inferred.notes {
        // Nobody is left to hear that the stream is closed.
        let _closed = writeln!(anstream::stderr(), "attestree: {note}");
    }
    if let Some(parent) = args.output.parent() {
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    if let Some(path) = &args.tests {
        write_tests(path, &inferred)?;
    }
    Ok(text)
}

/// Makes sure that what was made can be applied.
fn check(text: &str) -> anyhow::Result<()> {
    let bundle = Bundle::new([("policy.yaml".to_owned(), text.as_bytes().to_vec())]);
    let bundle = bundle.context("put the policy together")?;
    if let Err(found) = policy::compile(&bundle) {
        let first = found.first().map_or_else(String::new, ToString::to_string);
        anyhow::bail!("no policy can be made from these events: {first}");
    }
    Ok(())
}

/// Writes an event of each class, and what becomes of it.
fn write_tests(path: &Path, inferred: &Inferred) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    let mut text = serde_json::to_string_pretty(&examples(inferred)).context("write JSON")?;
    text.push('\n');
    output::write(path, text.as_bytes())
}
