//! What a bundle comes to: what the core decides with, and all that its documents say besides.

use super::document::Document;
use crate::core::policy::{Custom, Policy};
use crate::core::record::ApprovalRule;

/// A policy that is ready.
pub struct Compiled {
    /// What decides about events.
    pub policy: Policy,
    /// What the documents say.
    pub document: Document,
    /// Who has to approve the next policy.
    pub approvals: ApprovalRule,
    /// The rules that the core does not decide.
    pub custom: Box<dyn Custom + Send + Sync>,
}
