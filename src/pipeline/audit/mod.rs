//! The write path of audit logs: events in, records out.
//!
//! ```text
//! bytes -judge-> Judged -(judged again under a newer policy)-> stamped record + disclosures -> Cycle
//! ```
//!
//! # Invariants
//!
//! - `at` rises strictly from record to record, and is at most a second ahead of the clock unless an
//!   operator has said so.
//! - A record is judged by the policy that governs its index: the last `policy` record below it. What was
//!   admitted under another one is judged again, with another id.
//! - A sealed opening is written with its record, under a key that was durable before.
//! - The feed of a log has the index of every alert that was said since the log was opened, as far as it reaches.
//! - What is counted (numbers of sources, suppressed events, silences) is written with what it counts.
//!
//! # Out of scope
//!
//! - What a policy says: [`crate::core::policy`]. What its documents mean: whoever is the [`Governor`].
//! - Keeping keys: whoever is the [`Vault`].
//!
//! [`Vault`]: super::Vault

mod change;
mod feed;
mod finding;
mod handle;
mod judge;
mod lane;
mod open;
mod stamp;

pub(super) use self::{
    change::Change,
    handle::Audited,
    judge::{Event, Judged, Unjudged, judge},
    lane::{AuditLane, Written},
    open::take_up,
};
pub use self::{
    change::{Applying, PolicyRefusal},
    finding::{AlertLog, AlertReadError, AlertsRead, RecordedAlert},
    open::{AuditError, first_rule},
};

use std::sync::Arc;

use tokio::sync::watch;

use super::vault::{Attended, Vault};
use crate::core::{
    policy::{Bundle, Custom, Policy, Watch},
    record::ApprovalRule,
};

/// Makes files of a policy ready to decide.
pub trait Governor: Send + Sync {
    /// Compiles a bundle. An error says, line by line, what is wrong with it.
    fn compile(&self, bundle: &Bundle) -> Result<Governed, Vec<String>>;
}

/// What a bundle comes to.
#[derive(Clone)]
pub struct Governed {
    /// What it says about events.
    pub policy: Arc<Policy>,
    /// What it says in another language.
    pub custom: Arc<dyn Custom + Send + Sync>,
    /// Who has to approve the next one.
    pub rule: ApprovalRule,
    /// What it wants watched.
    pub watch: Watch,
}

/// Where random bytes come from. Called by many threads.
pub trait Entropy: Send + Sync {
    /// Fills bytes from a good source of randomness.
    fn fill(&self, bytes: &mut [u8]);
}

/// What the write path of audit logs is made of besides that of opaque ones.
#[derive(Clone)]
pub struct AuditParts {
    /// Compiles policies.
    pub governor: Arc<dyn Governor>,
    /// Keeps secrets.
    pub vault: Arc<dyn Vault>,
    /// Where salts and ids come from.
    pub entropy: Arc<dyn Entropy>,
}

impl AuditParts {
    /// Returns the parts with a vault whose failed write is told to `fatal`.
    pub(super) fn attended(self, fatal: &watch::Sender<bool>) -> Self {
        let vault = Arc::new(Attended::new(self.vault, fatal.clone()));
        Self { vault, ..self }
    }
}
