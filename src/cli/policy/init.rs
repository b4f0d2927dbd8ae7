//! `attestree policy init`: a policy to begin with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::super::output::{self, Output};

/// The files of the policy, by their paths.
pub(in crate::cli) const STARTER: &[(&str, &str)] = &[
    ("policy.yaml", include_str!("starter/policy.yaml")),
    ("tests/authentication.yaml", include_str!("starter/tests/authentication.yaml")),
    ("tests/change.yaml", include_str!("starter/tests/change.yaml")),
    ("tests/scenarios/attack.yaml", include_str!("starter/tests/scenarios/attack.yaml")),
];

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes a policy that covers log-ins, rights, configuration, deployments and data access, takes secrets out,
and raises two alerts, with tests of it, and scenarios of attacks to fire at a server that goes by it. Nothing
that is there is overwritten.

Examples:
  attestree policy init policy
  attestree policy test policy
  attestree policy simulate policy/tests/scenarios/attack.yaml")]
pub(super) struct Args {
    /// Directory to write to; made if it is not there
    #[arg(value_name = "DIR", default_value = "policy")]
    dir: PathBuf,
}

/// What was written, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    dir: String,
    files: Vec<&'static str>,
}

/// Writes the files.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    for (path, _) in STARTER {
        let path = args.dir.join(path);
        ensure!(!path.exists(), "{} is there already; choose another directory", path.display());
    }
    for (path, text) in STARTER {
        let path = args.dir.join(path);
        let parent = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        output::write(&path, text.as_bytes())?;
    }
    let dir = args.dir.display().to_string();
    let files: Vec<&str> = STARTER.iter().map(|(path, _)| *path).collect();
    let text = format!("wrote {}\ntest it with: attestree policy test {dir}", listed(&dir, &files));
    output.print(&Shown { dir, files }, text)
}

fn listed(dir: &str, files: &[&str]) -> String {
    files.iter().map(|file| format!("{dir}/{file}")).collect::<Vec<_>>().join(", ")
}
