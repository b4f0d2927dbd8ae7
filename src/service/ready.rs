//! Whether the server takes submissions, and why not.

use std::sync::Arc;

use tokio::sync::watch;

/// Why a server takes no submissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It stops.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// A write failed; the process exits.
    #[error("a write failed or its result is not known; the server stops and has to be restarted")]
    Fatal,
    /// The file system is nearly full.
    #[error("the data directory is short of free space; reads are served, entries are refused")]
    NoSpace,
    /// The default log waits for its witnesses.
    #[error("the default log takes no entries until enough of its witnesses have been heard")]
    Waiting,
    /// The default log halted itself.
    #[error("the default log halted itself because a check failed; its operator has to act")]
    Halted,
}

/// The shared answer to "may I submit?".
#[derive(Clone, Debug)]
pub struct Ready {
    state: Arc<watch::Sender<Option<NotReady>>>,
}

impl Default for Ready {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::new(None)) }
    }
}

impl Ready {
    /// Sets why the server takes no submissions; `None` if it takes them.
    pub fn set(&self, reason: Option<NotReady>) {
        self.state.send_if_modified(|state| {
            let changed = *state != reason;
            *state = reason;
            changed
        });
    }

    /// Returns why the server takes no submissions; `None` if it takes them.
    pub fn reason(&self) -> Option<NotReady> {
        *self.state.borrow()
    }

    /// Returns a receiver that sees each change.
    pub fn watch(&self) -> watch::Receiver<Option<NotReady>> {
        self.state.subscribe()
    }
}
