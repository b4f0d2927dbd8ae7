//! `attestree man`: the manual pages.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use super::output::Output;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  attestree man | man -l -
  attestree man -o /usr/local/share/man/man1")]
pub(super) struct Args {
    /// Directory to write one page a verb to; without it the first page goes to standard output
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Writes the pages.
pub(super) fn run(args: &Args, command: clap::Command) -> anyhow::Result<()> {
    let Some(dir) = &args.output else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).context("make the page")?;
        return Output::bytes(&page);
    };
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    clap_mangen::generate_to(command, dir)
        .with_context(|| format!("write manual pages to {}", dir.display()))
}
