//! A program of the operator's that is run on each finding.

use core::time::Duration;
use std::ffi::OsString;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::event::Finding;

/// How long a hook may usually run before it is killed: sending a message takes seconds, and the next
/// finding waits for it.
pub const HOOK_TIMEOUT: Duration = Duration::from_mins(1);

/// What to run on each finding.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// How long it may run before it is killed.
    pub patience: Duration,
}

/// Why a hook has not done its work.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It can't be started, or not be waited for.
    #[error("the hook {program:?} can't be run")]
    Io {
        /// The program.
        program: OsString,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It ended with another exit code than 0.
    #[error("the hook {program:?} failed: {status}")]
    Failed {
        /// The program.
        program: OsString,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// It took too long and was killed.
    #[error("the hook {program:?} took longer than {} seconds and was killed", .patience.as_secs())]
    Slow {
        /// The program.
        program: OsString,
        /// How long it had.
        patience: Duration,
    },
}

impl Hook {
    /// Runs the program for a finding: JSON on its standard input, and the same in its environment.
    ///
    /// The finding's words may be a stranger's, so that no shell ever reads them.
    pub async fn run(&self, finding: &Finding) -> Result<(), HookError> {
        let program = || self.program.clone();
        let failed = |source| HookError::Io { program: program(), source };
        let json = serde_json::to_string(finding).expect("strings are JSON");
        let kind = serde_json::to_value(finding.kind).expect("a word is JSON");
        let evidence = finding.evidence.clone().unwrap_or_default();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env("ATTESTREE_KIND", kind.as_str().unwrap_or_default())
            .env("ATTESTREE_ORIGIN", &finding.origin)
            .env("ATTESTREE_SOURCE", &finding.source)
            .env("ATTESTREE_REASON", finding.reason.replace('\0', ""))
            .env("ATTESTREE_EVIDENCE", evidence)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut input = child.stdin.take().expect("the standard input is piped");
        let run = async {
            // A hook that does not read has closed the pipe, which is its right.
            let _closed = input.write_all(format!("{json}\n").as_bytes()).await;
            drop(input);
            child.wait().await
        };
        let patience = self.patience;
        let status = match timeout(patience, run).await {
            Err(_) => return Err(HookError::Slow { program: program(), patience }),
            Ok(status) => status.map_err(failed)?,
        };
        if status.success() {
            Ok(())
        } else {
            Err(HookError::Failed { program: program(), status })
        }
    }
}
