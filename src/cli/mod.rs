//! The command line: one file a verb.
//!
//! Every verb talks the public protocol through [`crate::client`] and verifies what it gets; those
//! that touch a data directory ask [`crate::server`] to. A verb prints its result on standard
//! output, as text for people or with `--json` as one JSON value a line; everything else goes to
//! standard error. The exit code says what happened: see [`exit::Exit`].

#[cfg(feature = "server")]
mod alert;
mod append;
mod checkpoint;
mod clock;
mod completions;
#[cfg(feature = "server")]
mod demo;
#[cfg(feature = "server")]
mod dev;
#[cfg(feature = "server")]
mod disclose;
mod entries;
mod entry;
pub mod exit;
mod fsck;
#[cfg(feature = "server")]
mod init;
mod keep;
mod key;
#[cfg(feature = "server")]
mod keys;
#[cfg(feature = "server")]
mod load;
mod log;
mod logs;
mod man;
mod monitor;
mod output;
mod policy;
mod prove;
mod receipt;
mod remote;
#[cfg(feature = "server")]
mod restore_tail;
#[cfg(feature = "server")]
mod serve;
mod ship;
mod token;
mod upgrade;
mod verify;
mod verify_evidence;
#[cfg(feature = "server")]
mod witness;

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser, Subcommand};

use exit::Exit;
use output::Output;
use remote::Remote;

/// Shown below the list of verbs.
const EXAMPLES: &str = "\
Examples:
  attestree init --origin example.com/log      create a log in ./attestree-data
  attestree serve                              serve it on 127.0.0.1:6962
  attestree append /var/log/dpkg.log           append each line, verify the receipts
  attestree receipt 7 -o 7.tlog-proof          keep the receipt of entry 7
  attestree logs --policy > trust.policy       keep the log's key
  attestree entry 7 | attestree verify 7.tlog-proof --entry - --trust trust.policy
  attestree fsck                               re-derive everything from the entries

Exit codes:
  0 done   1 failed   2 verification failed, or policies differ   3 rejected by a policy   64 wrong usage";

/// An audit log that proves itself.
#[derive(Debug, Parser)]
#[command(name = "attestree", version, about, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    /// Print JSON, one value a line
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a log in a data directory
    #[cfg(feature = "server")]
    Init(init::Args),
    /// Serve the logs of a data directory
    #[cfg(feature = "server")]
    Serve(Box<serve::Args>),
    /// Watch logs as a witness: cosign what only grows, and never forget
    #[cfg(feature = "server")]
    Witness(Box<witness::Args>),
    /// Append entries and verify the proofs that come back
    Append(append::Args),
    /// Follow files, and send their lines to a source of a server
    Ship(ship::Args),
    /// Print the newest signed checkpoint
    Checkpoint(checkpoint::Args),
    /// Print one entry, after proving that the log holds it
    Entry(entry::Args),
    /// Prove that an entry is in the log, or that the log was only appended to
    Prove(prove::Args),
    /// Get the receipt of an entry: a file that proves it offline, for ever
    Receipt(receipt::Args),
    /// Verify a receipt offline
    Verify(verify::Args),
    /// Judge evidence against a log offline
    VerifyEvidence(verify_evidence::Args),
    /// Re-derive every tile, hash and root of a log from its entries
    Fsck(fsck::Args),
    /// Read every entry of a log, compare every checkpoint, and write evidence of a lie
    Monitor(monitor::Args),
    /// List the server's logs and their keys
    Logs(logs::Args),
    /// Administer the logs of a running server on this machine
    Log(log::Args),
    /// Make and look at signing keys
    Key(key::Args),
    /// Make a token for a sender of a foreign protocol
    Token(token::Args),
    /// Write, test, compare and apply policies
    Policy(policy::Args),
    /// Try whether alerts reach those who are told of them
    #[cfg(feature = "server")]
    Alert(alert::Args),
    /// Look at the keys of audit logs, wrap them anew, destroy them
    #[cfg(feature = "server")]
    Keys(keys::Args),
    /// Open committed fields of an audit record, each alone
    #[cfg(feature = "server")]
    Disclose(disclose::Args),
    /// Copy the logs of a running server
    #[cfg(feature = "server")]
    Backup(serve::BackupArgs),
    /// Close a log for ever
    #[cfg(feature = "server")]
    Close(serve::CloseArgs),
    /// Remove the one batch whose check failed, after an operator looked into why
    #[cfg(feature = "server")]
    DropUnsigned(serve::DropUnsignedArgs),
    /// Bring a restored backup up to what was signed, from a copy of the tiles
    #[cfg(feature = "server")]
    RestoreTail(restore_tail::Args),
    /// Measure a server: entries a second and time to receipt
    #[cfg(feature = "server")]
    Load(load::Args),
    /// Run a log and three witnesses, to try things out
    #[cfg(feature = "server")]
    Dev(dev::Args),
    /// Take the tour: a log, a receipt, an operator who cheats, and a policy
    #[cfg(feature = "server")]
    Demo(demo::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Write the manual pages
    Man(man::Args),
}

/// Runs the command line and says how it went. Errors are printed here and nowhere else.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(refusal) => return exit::usage(&refusal),
    };
    let output = Output::new(cli.json);
    let remote = cli.remote.resolved();
    match dispatch(cli.verb, &remote, output) {
        Ok(()) => Exit::Done,
        Err(error) => exit::report(&error, keep::evidence_of(&error, remote.evidence.as_deref())),
    }
}

/// Calls the verb.
fn dispatch(verb: Verb, remote: &Remote, output: Output) -> anyhow::Result<()> {
    match verb {
        #[cfg(feature = "server")]
        Verb::Init(args) => init::run(args, output),
        #[cfg(feature = "server")]
        Verb::Serve(args) => serve::run(*args, output),
        #[cfg(feature = "server")]
        Verb::Witness(args) => witness::run(*args, output),
        Verb::Append(args) => append::run(args, remote, output),
        Verb::Ship(args) => ship::run(args, remote, output),
        Verb::Checkpoint(args) => checkpoint::run(&args, remote, output),
        Verb::Entry(args) => entry::run(&args, remote, output),
        Verb::Prove(args) => prove::run(&args, remote, output),
        Verb::Receipt(args) => receipt::run(&args, remote, output),
        Verb::Verify(args) => verify::run(&args, remote, output),
        Verb::VerifyEvidence(args) => verify_evidence::run(&args, remote, output),
        Verb::Fsck(args) => fsck::run(&args, remote, output),
        Verb::Monitor(args) => monitor::run(&args, remote, output),
        Verb::Logs(args) => logs::run(&args, remote, output),
        Verb::Log(args) => log::run(args, output),
        Verb::Key(args) => key::run(args, output),
        Verb::Token(args) => token::run(&args, output),
        Verb::Policy(args) => policy::run(args, remote, output),
        #[cfg(feature = "server")]
        Verb::Alert(args) => alert::run(args, output),
        #[cfg(feature = "server")]
        Verb::Keys(args) => keys::run(args, remote, output),
        #[cfg(feature = "server")]
        Verb::Disclose(args) => disclose::run(&args, remote),
        #[cfg(feature = "server")]
        Verb::Backup(args) => serve::backup(&args, output),
        #[cfg(feature = "server")]
        Verb::Close(args) => serve::close(&args, remote, output),
        #[cfg(feature = "server")]
        Verb::DropUnsigned(args) => serve::drop_unsigned(&args, remote, output),
        #[cfg(feature = "server")]
        Verb::RestoreTail(args) => restore_tail::run(&args, remote, output),
        #[cfg(feature = "server")]
        Verb::Load(args) => load::run(&args, remote, output),
        #[cfg(feature = "server")]
        Verb::Dev(args) => dev::run(args, output),
        #[cfg(feature = "server")]
        Verb::Demo(args) => demo::run(&args, output),
        Verb::Completions(args) => completions::run(&args, &mut Cli::command()),
        Verb::Man(args) => man::run(&args, Cli::command()),
    }
}
