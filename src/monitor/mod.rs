//! The monitor: one who reads every entry of a log, and every checkpoint that anybody remembers.
//!
//! It follows each log through its tiles, as any C2SP log serves them; hashes every entry and compares
//! it with the signed tree; compares each checkpoint with all that it has seen and with those that the
//! policy's witnesses remember; and writes evidence where two can't both be true. What it has seen
//! survives a crash, and is verified again before it is used.
//!
//! # Invariants
//!
//! - Guilty is said only with evidence on disk that convicts under the trust policy.
//! - A log that is convicted is followed no further, also after a start.
//! - What a peer controls is bounded: bytes of each answer, bundles on their way, checkpoints that wait.
//!
//! # Out of scope
//!
//! - What entries say, other than those of audit logs: [`crate::core::chain`] has the rules of their records.
//! - Terminals, and which logs and witnesses there are: [`crate::cli`].

mod event;
mod follow;
mod gossip;
mod hook;
mod read;
mod records;
mod state;

pub use event::{Event, Finding, Kind};
pub use gossip::Witness;
pub use hook::{HOOK_TIMEOUT, Hook, HookError};
pub use read::{Look, Tally};
pub use state::StateError;

use core::time::Duration;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{TileClient, trust_listed};
use crate::core::trust::TrustPolicy;
use follow::Follower;

/// What is monitored, and how.
#[derive(Debug)]
pub struct Settings {
    /// Whose checkpoints are believed.
    pub policy: TrustPolicy,
    /// The witnesses that are asked.
    pub witnesses: Vec<Witness>,
    /// Directory of what is remembered.
    pub state: PathBuf,
    /// Directory for evidence.
    pub evidence: PathBuf,
    /// Whether every log is an audit log, also one that does not begin as one.
    pub audit: bool,
    /// Whether to go on until every log is convicted.
    pub follow: bool,
    /// How long to wait between two looks at a log.
    pub interval: Duration,
    /// What to run on each finding.
    pub hook: Option<Hook>,
}

/// Why a monitor can't go on.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The directory can't be made or locked.
    #[error("the state directory {} can't be used", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another monitor works in the directory.
    #[error("another monitor uses the state directory {}: give each its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// What is kept can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Evidence can't be written.
    #[error("evidence can't be written to {}", path.display())]
    Evidence {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Monitors logs, and returns the worst that was found.
///
/// Every log has a task of its own; the first that can't go on ends all of them.
pub async fn run(
    settings: Settings,
    logs: Vec<TileClient>,
    events: mpsc::Sender<Event>,
) -> Result<Option<Kind>, MonitorError> {
    let _lock = lock(&settings.state)?;
    let keys: Vec<_> = settings.policy.logs().iter().map(|log| log.key.clone()).collect();
    let (settings, keys) = (Arc::new(settings), Arc::new(trust_listed(&keys)));
    let mut following = JoinSet::new();
    for tiles in logs {
        let follower = Follower::new(settings.clone(), keys.clone(), tiles, events.clone());
        following.spawn(follower.run());
    }
    let mut worst = None;
    while let Some(ended) = following.join_next().await {
        let found = ended.expect("a follower does not panic")?;
        worst = worst.into_iter().chain(found).min();
    }
    Ok(worst)
}

/// Makes the state directory and keeps other monitors out of it.
fn lock(dir: &Path) -> Result<File, MonitorError> {
    let failed = |source| MonitorError::Directory { path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let file = File::create(dir.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(MonitorError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Joins an error and its causes; what a message has said already is not repeated.
fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
