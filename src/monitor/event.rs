//! What a monitor has to tell.

use std::path::PathBuf;

use serde::Serialize;

use super::read::Tally;

/// One thing that a monitor has to tell; as JSON an object whose member `event` names the kind.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// What was kept of a log was found, and its signatures hold.
    Resumed {
        /// The log.
        origin: String,
        /// Everything below was read before.
        size: u64,
    },
    /// The log shows a checkpoint that continues all that were seen.
    Checkpoint {
        /// The log.
        origin: String,
        /// Its size.
        size: u64,
        /// Its root, in base64.
        root: String,
        /// Whether the policy's quorum of witnesses has cosigned it; absent if the policy wants none.
        #[serde(skip_serializing_if = "Option::is_none")]
        quorum: Option<bool>,
    },
    /// Entries were read, hashed and compared.
    Progress {
        /// The log.
        origin: String,
        /// Entries from the beginning of the log.
        read: u64,
        /// Entries that the signed tree has.
        size: u64,
    },
    /// All entries of the signed tree were read, hashed and compared.
    Read {
        /// The log.
        origin: String,
        /// Size of the tree.
        size: u64,
        /// Its root, in base64.
        root: String,
        /// Entries that were read since the monitor started.
        entries: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Something is wrong.
    Finding(Finding),
    /// Something was wrong, and is no more.
    Recovered {
        /// The log.
        origin: String,
        /// Who it was about.
        source: String,
    },
    /// The hook has not done its work.
    Hook {
        /// Why.
        reason: String,
    },
}

/// Something that is wrong with a log, or with a witness of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The log; its address where it has shown no checkpoint yet.
    pub origin: String,
    /// How bad it is.
    pub kind: Kind,
    /// Who showed it: `log`, `entries`, `records RULE`, or `witness NAME`.
    pub source: String,
    /// What was found, in a sentence.
    pub reason: String,
    /// The evidence, where there is some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<PathBuf>,
}

/// How bad a finding is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The log's key has signed two histories: there is evidence. The log is followed no further.
    Guilty,
    /// Two checkpoints contradict each other under two keys of the log: evidence that convicts
    /// neither.
    Inconclusive,
    /// What is served is not what was signed.
    Untrue,
    /// The log shows a smaller tree than it has signed.
    Rollback,
    /// The log has signed records that break the rules of audit logs.
    Invalid,
    /// Nobody answers, or what was asked for is not there.
    Unresponsive,
}

impl Kind {
    /// Returns whether something is wrong, and not only absent.
    pub const fn is_misbehaviour(self) -> bool {
        !matches!(self, Self::Unresponsive)
    }
}

impl Event {
    /// Makes the event for a tree that was read to its end.
    pub(super) fn read(origin: &str, size: u64, root: String, tally: &Tally) -> Self {
        let Tally { entries, bytes } = *tally;
        Self::Read { origin: origin.to_owned(), size, root, entries, bytes }
    }
}
