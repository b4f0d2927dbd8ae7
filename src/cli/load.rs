//! load
use super::{output::Output, remote::Remote};
/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}
pub(super) fn run(_args: Args, _remote: &Remote, _output: Output) -> anyhow::Result<()> {
    Ok(())
}
