//! `AdminService`: what only the operator of the machine may ask for.
//!
//! It is served on a Unix socket of mode 0600, never on the network.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tonic::{Request, Response, service::Routes};

use super::{Answered, checkpoint::describe, policy, status::Denial};
use crate::{
    core::{
        origin::Origin,
        record::{ApprovalRule, POLICY_BYTES_MAX},
    },
    pipeline::{CreateError, Log},
    proto::{self, Identity, LogKind, admin_service_server::AdminServiceServer},
    service::{Desk, look},
    store::LogIdentity,
};

/// Most bytes of a request: the largest bundle, and 64 KiB for approvals and names.
const REQUEST_BYTES_MAX: usize = POLICY_BYTES_MAX + (64 << 10);

/// Why an operator's call was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The log can't be created.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A file can't be read or written.
    #[error("{0:#}")]
    Files(Box<dyn core::error::Error + Send + Sync>),
}

impl OperatorError {
    /// Wraps the error of a file.
    pub fn from_files(error: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> Self {
        Self::Files(error.into())
    }
}

/// What the operator's calls need beyond the desk: keys are made where files are.
pub trait Operator: Send + Sync + 'static {
    /// Makes a key and a log that uses it, and opens the log: an audit log, if there is a rule that its
    /// first policy has to meet. Blocks.
    fn create_log(
        &self,
        origin: Origin,
        identity: LogIdentity,
        rule: Option<ApprovalRule>,
    ) -> Result<Arc<Log>, OperatorError>;

    /// Copies the database to a new directory. Blocks.
    fn backup(&self, destination: &Path) -> Result<(), OperatorError>;
}

/// `AdminService`, method by method.
#[derive(Clone)]
pub struct Admin {
    desk: Desk,
    operator: Arc<dyn Operator>,
}

impl Admin {
    /// Returns the routes of the administrator's socket.
    pub fn routes(desk: Desk, operator: Arc<dyn Operator>) -> Routes {
        let admin = AdminServiceServer::new(Self { desk, operator })
            .max_decoding_message_size(REQUEST_BYTES_MAX);
        Routes::new(admin).prepare()
    }
}

/// Reads what a log is to hold: of an audit log, the rule that its first policy has to meet.
fn parse_kind(
    kind: LogKind,
    rule: Option<proto::ApprovalRule>,
) -> Result<Option<ApprovalRule>, Denial> {
    match (kind, rule) {
        (LogKind::Opaque, None) => Ok(None),
        (LogKind::Opaque, Some(_)) => {
            Err(Denial::field("rule", "an opaque log has no policy, and no rule for one"))
        }
        (LogKind::Audit, None) => Ok(Some(ApprovalRule::NOBODY)),
        (LogKind::Audit, Some(rule)) => policy::parse_rule(&rule).map(Some),
        (LogKind::Unspecified, _) => {
            Err(Denial::field("kind", "say which: LOG_KIND_OPAQUE or LOG_KIND_AUDIT"))
        }
    }
}

#[tonic::async_trait]
impl proto::admin_service_server::AdminService for Admin {
    async fn create_log(
        &self,
        request: Request<proto::CreateLogRequest>,
    ) -> Answered<proto::CreateLogResponse> {
        let request = request.into_inner();
        let origin = Origin::parse(&request.origin)
            .map_err(|error| Denial::field("origin", error.to_string()))?;
        let rule = parse_kind(request.kind(), request.rule)?;
        let identity = match Identity::try_from(request.identity) {
            Ok(Identity::Unspecified | Identity::None) => LogIdentity::None,
            Ok(Identity::EntryHash) => LogIdentity::EntryHash,
            Err(_unknown) => {
                return Err(Denial::field("identity", "no such Identity; use 0 to 2").into());
            }
        };
        if rule.is_some() && identity != LogIdentity::None {
            let message = "no two records of an audit log are equal; use IDENTITY_NONE";
            return Err(Denial::field("identity", message).into());
        }
        let operator = Arc::clone(&self.operator);
        let log = look::blocking(move || operator.create_log(origin, identity, rule))
            .await?
            .map_err(|error| Denial::not_operated(&error))?;
        Ok(Response::new(proto::CreateLogResponse { log: Some(describe(&log)) }))
    }

    async fn apply_policy(
        &self,
        request: Request<proto::ApplyPolicyRequest>,
    ) -> Answered<proto::ApplyPolicyResponse> {
        policy::apply(&self.desk, request.into_inner()).await
    }

    async fn get_policy(
        &self,
        request: Request<proto::GetPolicyRequest>,
    ) -> Answered<proto::GetPolicyResponse> {
        policy::get(&self.desk, &request.into_inner())
    }

    async fn confirm_clock(
        &self,
        request: Request<proto::ConfirmClockRequest>,
    ) -> Answered<proto::ConfirmClockResponse> {
        policy::confirm_clock(&self.desk, &request.into_inner())
    }

    async fn backup(
        &self,
        request: Request<proto::BackupRequest>,
    ) -> Answered<proto::BackupResponse> {
        let destination = PathBuf::from(request.into_inner().destination);
        if !destination.is_absolute() {
            return Err(Denial::field("destination", "the server needs an absolute path").into());
        }
        if !destination.parent().is_some_and(Path::is_dir) {
            return Err(Denial::field(
                "destination",
                "its parent directory does not exist; create it",
            )
            .into());
        }
        if destination.exists() {
            return Err(Denial::field(
                "destination",
                "it exists already; name a directory to create",
            )
            .into());
        }
        // The copy holds at least what is published now.
        let logs = self.desk.pipeline.logs().iter().map(|log| describe(log)).collect();
        let operator = Arc::clone(&self.operator);
        look::blocking(move || operator.backup(&destination))
            .await?
            .map_err(|error| Denial::not_operated(&error))?;
        Ok(Response::new(proto::BackupResponse { logs }))
    }
}
