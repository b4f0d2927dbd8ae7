//! `attestree policy generate`: a policy from what frameworks ask for.

use std::path::PathBuf;

use anyhow::ensure;

use super::super::output::{self, Output};
use crate::policy::framework::{Framework, generate};
use crate::policy::write::write;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes a policy with the classes of events, the fields and the retention that the frameworks ask for, where
they ask for any; where several do, the strictest. Which control asks for what stands beside it. What a
framework leaves to you, as SOC 2 leaves retention, keeps a customary value and is marked so.

A policy can support a control; whether you comply is for an assessor to say.

Examples:
  attestree policy generate pci-dss > policy/policy.yaml
  attestree policy generate soc2 hipaa --name payments -o policy/policy.yaml")]
pub(super) struct Args {
    /// The frameworks
    #[arg(required = true, value_enum)]
    frameworks: Vec<Choice>,
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
enum Choice {
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
    const fn framework(self) -> Framework {
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
    let is_file = path != std::path::Path::new("-");
    ensure!(!is_file || !path.exists(), "{} is there already; choose another file", path.display());
    let frameworks: Vec<Framework> = args.frameworks.iter().map(|one| one.framework()).collect();
    let document = generate(&args.name, args.owner.as_deref(), &frameworks);
    let text = write(&document);
    if output.is_json() {
        let line = serde_json::json!({"policy": text}).to_string();
        return output::write(path, format!("{line}\n").as_bytes());
    }
    output::write(path, text.as_bytes())
}
