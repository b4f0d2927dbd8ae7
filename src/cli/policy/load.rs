//! A policy from the disk, compiled, or the report that says why not.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::super::exit::{self, Exit};
use super::super::output::Output;
use super::report::Report;
use super::{Show, files};
use crate::core::policy::Bundle;
use crate::policy::{self, Compiled};

/// Which policy.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// The policy: a directory, a file, or its encoded form
    #[arg(default_value = ".")]
    pub(super) policy: PathBuf,
    /// Environment whose overlay env/NAME.yaml is applied [default: none, or the only one there is]
    #[arg(long, value_name = "NAME")]
    pub(super) env: Option<String>,
}

/// A policy that is ready, and its files.
pub(super) struct Loaded {
    pub(super) bundle: Bundle,
    pub(super) compiled: Compiled,
}

/// Starts a report about a policy.
pub(super) fn report(verb: &'static str, path: &Path, bundle: &Bundle) -> Report {
    // The one file of a policy that is a file stands beside it, not in it.
    let root = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let root = root.display().to_string();
    Report { verb, root, sources: files::texts(bundle), ..Report::default() }
}

/// Reads the files of a policy, for one environment if there is one.
pub(super) fn read(path: &Path, env: Option<&str>) -> anyhow::Result<Bundle> {
    environment(files::read(path)?, path, env)
}

/// Takes the files of one environment, if there is one.
pub(super) fn environment(
    bundle: Bundle,
    path: &Path,
    env: Option<&str>,
) -> anyhow::Result<Bundle> {
    let Some(name) = env else { return Ok(bundle) };
    let known = policy::environments(&bundle);
    ensure!(
        known.contains(&name),
        "{} has no env/{name}.yaml; it has overlays for: {}",
        path.display(),
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    );
    policy::environment(&bundle, name).with_context(|| format!("take the files of {name}"))
}

/// Reads and compiles a policy. What is wrong with it is printed, and the error is silent.
pub(super) fn load(
    verb: &'static str,
    path: &Path,
    env: Option<&str>,
    show: Show,
    output: Output,
) -> anyhow::Result<Loaded> {
    compile(verb, path, read(path, env)?, show, output)
}

/// Compiles a policy that was read. What is wrong with it is printed, and the error is silent.
pub(super) fn compile(
    verb: &'static str,
    path: &Path,
    bundle: Bundle,
    show: Show,
    output: Output,
) -> anyhow::Result<Loaded> {
    match policy::compile(&bundle) {
        Ok(compiled) => Ok(Loaded { bundle, compiled }),
        Err(findings) => {
            let report = Report { findings, ..report(verb, path, &bundle) };
            show.print(&report, output)?;
            Err(exit::quietly(Exit::Failed))
        }
    }
}
