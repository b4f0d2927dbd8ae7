//! How the process ends, and what it says when that is not well.

use std::io::{self, Write as _};
use std::process::{ExitCode, Termination};

use crate::client::ClientError;
#[cfg(feature = "server")]
use crate::server::{config::ConfigError, witness::config::WitnessConfigError};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for was done.
    Done,
    /// It was not: a file, the network or the server stood in the way.
    Failed,
    /// What was to be verified is false. Something is wrong with a log, a receipt or a server.
    Unverified,
    /// Two things that were compared differ: a policy and another, or what is and what should be.
    Different,
    /// A log's policy rejects something that was submitted; what it does not reject is in the log.
    Rejected,
    /// The command line is wrong, or what a server is configured with. The number is `EX_USAGE` of `sysexits.h`.
    Usage,
}

impl Exit {
    /// Returns the process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Unverified | Self::Different => 2,
            Self::Rejected => 3,
            Self::Usage => 64,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.code().into()
    }
}

/// An error that decides the exit code by itself.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Fault {
    exit: Exit,
    message: String,
}

/// Makes the error for a command line that can't be carried out.
pub(super) fn wrong_usage(message: impl Into<String>) -> anyhow::Error {
    Fault { exit: Exit::Usage, message: message.into() }.into()
}

/// Makes the error for something that did not verify.
pub(super) fn unverified(message: impl Into<String>) -> anyhow::Error {
    Fault { exit: Exit::Unverified, message: message.into() }.into()
}

/// Makes the error for an outcome that was printed already, as a report is: the exit code alone is left to say.
pub(super) fn quietly(exit: Exit) -> anyhow::Error {
    Fault { exit, message: String::new() }.into()
}

/// Makes the error for events that are not in the log because of what they are.
pub(super) fn rejected(events: u64) -> anyhow::Error {
    let message = match events {
        1 => "1 event is not in the log; correct it and send it again".to_owned(),
        events => format!("{events} events are not in the log; correct them and send them again"),
    };
    Fault { exit: Exit::Rejected, message }.into()
}

/// Prints what clap has to say: help and versions are no errors.
pub(super) fn usage(refusal: &clap::Error) -> Exit {
    let exit = if refusal.use_stderr() { Exit::Usage } else { Exit::Done };
    // Nobody is left to hear that the stream is closed.
    let _closed = refusal.print();
    exit
}

/// Prints an error, once, with what there is to add, and chooses the exit code.
pub(super) fn report(error: &anyhow::Error, addition: Option<String>) -> Exit {
    // The reader of standard output went away, as `head` does: it has what it wanted.
    if error.chain().any(is_broken_pipe) {
        return Exit::Done;
    }
    let message = message(error);
    if message.is_empty() {
        return error.chain().find_map(exit_of).unwrap_or(Exit::Failed);
    }
    // Nobody is left to hear that the stream is closed.
    let addition = addition.map_or_else(String::new, |addition| format!("; {addition}"));
    let _closed = writeln!(anstream::stderr(), "attestree: {message}{addition}");
    error.chain().find_map(exit_of).unwrap_or(Exit::Failed)
}

/// Joins an error and its causes; what a message has already said of its cause is not repeated.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.ends_with(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

fn is_broken_pipe(cause: &(dyn core::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Returns the exit code of a server's wrong setting, if it is one. A file that can't be read is no mistake in it.
#[cfg(feature = "server")]
fn exit_of_setting(cause: &(dyn core::error::Error + 'static)) -> Option<Exit> {
    let setting = match cause.downcast_ref::<WitnessConfigError>() {
        Some(WitnessConfigError::Key(error)) => error,
        Some(_) => return Some(Exit::Usage),
        None => cause.downcast_ref::<ConfigError>()?,
    };
    Some(if matches!(setting, ConfigError::Read { .. }) { Exit::Failed } else { Exit::Usage })
}

/// Returns the exit code that a cause decides, if it does.
fn exit_of(cause: &(dyn core::error::Error + 'static)) -> Option<Exit> {
    if let Some(fault) = cause.downcast_ref::<Fault>() {
        return Some(fault.exit);
    }
    #[cfg(feature = "server")]
    if let Some(exit) = exit_of_setting(cause) {
        return Some(exit);
    }
    match cause.downcast_ref::<ClientError>()? {
        ClientError::Untrue(_) => Some(Exit::Unverified),
        ClientError::Address { .. } | ClientError::WhichLog { .. } => Some(Exit::Usage),
        ClientError::Certificates { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Refused(_)
        | ClientError::Unshown { .. }
        | ClientError::Http { .. }
        | ClientError::TooLong { .. }
        | ClientError::UnknownLog { .. }
        | ClientError::NoPolicies { .. }
        | ClientError::Ask(_) => Some(Exit::Failed),
    }
}
