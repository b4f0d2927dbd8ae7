//! `attestree completions`: what the Tab key knows.

use clap_complete::{Shell, generate};

use super::output::Output;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  attestree completions bash > /etc/bash_completion.d/attestree
  attestree completions zsh > ~/.zfunc/_attestree
  attestree completions fish > ~/.config/fish/completions/attestree.fish")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &Args, command: &mut clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(args.shell, command, "attestree", &mut script);
    Output::bytes(&script)
}
