//! A policy from the disk, compiled, or the report that says why not.

use std::path::Path;

use super::super::exit::{self, Exit};
use super::super::output::Output;
use super::report::Report;
use super::{Show, files};
use crate::core::policy::Bundle;
use crate::policy::{self, Compiled};

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

/// Reads and compiles a policy. What is wrong with it is printed, and the error is silent.
pub(super) fn load(
    verb: &'static str,
    path: &Path,
    show: Show,
    output: Output,
) -> anyhow::Result<Loaded> {
    let bundle = files::read(path)?;
    match policy::compile(&bundle) {
        Ok(compiled) => Ok(Loaded { bundle, compiled }),
        Err(findings) => {
            let report = Report { findings, ..report(verb, path, &bundle) };
            show.print(&report, output)?;
            Err(exit::quietly(Exit::Failed))
        }
    }
}
