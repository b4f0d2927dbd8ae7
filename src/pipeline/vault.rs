//! Where the secrets of audit logs come from: keys of subjects, of tokens and of identities.
//!
//! Declared here by the one who needs them. The write path asks for them and never keeps them longer
//! than one batch, so that what is destroyed in the vault is gone.

use std::sync::Arc;

use tokio::sync::watch;

use crate::core::{
    number::LogNumber,
    origin::Origin,
    record::{Path, Secret},
};

/// Keeps the secrets of audit logs. Each is made when it is first asked for.
pub trait Vault: Send + Sync {
    /// Returns the keys of subjects, in their order.
    ///
    /// Those that are made by one call are durable, by one synced write, before it returns: whatever is
    /// sealed under them is committed after that.
    fn subject_keys(
        &self,
        log: LogNumber,
        origin: &Origin,
        subjects: &[&str],
    ) -> Result<Vec<Secret>, VaultError>;

    /// Returns the key of a subject if it can be had without waiting for the disk.
    ///
    /// What is sealed early, on many threads, does not hold up the one that commits.
    fn known_subject_key(
        &self,
        _log: LogNumber,
        _origin: &Origin,
        _subject: &str,
    ) -> Option<Secret> {
        None
    }

    /// Returns the key of the tokens of a place in an epoch.
    fn token_key(&self, log: LogNumber, path: &Path, epoch: u32) -> Result<Secret, VaultError>;

    /// Returns the secret under which submissions of a log are recognised.
    fn identity_secret(&self, log: LogNumber) -> Result<Secret, VaultError>;
}

/// The vault can't give a secret. Nothing that needs it may be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keys of the log's fields can't be had: {reason}")]
pub struct VaultError {
    /// Why, in the words of the vault; it names no subject.
    pub reason: String,
    /// Whether a write of the vault failed. What it holds is known to its disk alone, so it makes nothing any
    /// more, and the process has to be started again.
    pub poisoned: bool,
}

/// A vault whose failed write ends the process, as one of the log's own does.
pub(super) struct Attended {
    vault: Arc<dyn Vault>,
    fatal: watch::Sender<bool>,
}

impl Attended {
    /// Attends to a vault.
    pub(super) const fn new(vault: Arc<dyn Vault>, fatal: watch::Sender<bool>) -> Self {
        Self { vault, fatal }
    }

    /// Passes an answer on.
    fn told<T>(&self, answer: Result<T, VaultError>) -> Result<T, VaultError> {
        if let Err(error) = &answer
            && error.poisoned
            && !self.fatal.send_replace(true)
        {
            tracing::error!(error = %error, "the key store is poisoned; nothing more is taken");
        }
        answer
    }
}

impl Vault for Attended {
    fn subject_keys(
        &self,
        log: LogNumber,
        origin: &Origin,
        subjects: &[&str],
    ) -> Result<Vec<Secret>, VaultError> {
        self.told(self.vault.subject_keys(log, origin, subjects))
    }

    fn known_subject_key(&self, log: LogNumber, origin: &Origin, subject: &str) -> Option<Secret> {
        self.vault.known_subject_key(log, origin, subject)
    }

    fn token_key(&self, log: LogNumber, path: &Path, epoch: u32) -> Result<Secret, VaultError> {
        self.told(self.vault.token_key(log, path, epoch))
    }

    fn identity_secret(&self, log: LogNumber) -> Result<Secret, VaultError> {
        self.told(self.vault.identity_secret(log))
    }
}
