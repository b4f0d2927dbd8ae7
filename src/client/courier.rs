//! What a witness brings to others: cosignatures to a log, and alarms to a webhook.

use core::time::Duration;

use bytes::Bytes;
use tonic::{Code, transport::Channel};

use super::{ClientError, Server};
use crate::core::note::NoteSignature;
use crate::core::origin::Origin;
use crate::core::tree::TreeHead;
use crate::proto::{AddCosignatureRequest, log_service_client::LogServiceClient};

/// Waits between the tries of one alarm; half an hour in all.
const HOOK_WAITS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(20),
];

/// How long one try may take.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// The gRPC service of a server that logs are on. Cheap to clone; it connects when it is needed.
#[derive(Clone, Debug)]
pub struct Courier {
    url: String,
    log: LogServiceClient<Channel>,
}

impl Courier {
    /// Takes the server at the root of a log's address.
    pub fn new(server: &Server) -> Result<Self, ClientError> {
        let root = server.root();
        let log = LogServiceClient::new(root.channel_when_needed()?);
        Ok(Self { url: root.url().to_owned(), log })
    }

    /// Delivers a cosignature of a log's checkpoint; returns how many lines were taken.
    ///
    /// None is taken by a log that does not know this call, or has no witnesses: it can only be read.
    pub async fn deliver(
        &self,
        origin: &Origin,
        head: TreeHead,
        line: &NoteSignature,
    ) -> Result<u32, ClientError> {
        let request = AddCosignatureRequest {
            log: origin.to_string(),
            tree_size: head.size.get(),
            root_hash: Bytes::copy_from_slice(head.root.as_bytes()),
            signatures: format!("{line}\n").into(),
        };
        match self.log.clone().add_cosignature(request).await {
            Ok(answer) => Ok(answer.into_inner().accepted),
            Err(status)
                if matches!(status.code(), Code::Unimplemented | Code::FailedPrecondition) =>
            {
                Ok(0)
            }
            Err(status) => Err(ClientError::from_status(&self.url, status)),
        }
    }
}

/// An address that is told of alarms.
#[derive(Clone, Debug)]
pub struct Hook {
    http: reqwest::Client,
    url: String,
}

impl Hook {
    /// Takes the whole address.
    pub fn new(server: &Server) -> Result<Self, ClientError> {
        Ok(Self { http: server.http()?, url: server.url().to_owned() })
    }

    /// Posts JSON until it is taken, seven times at most.
    pub async fn post(&self, body: String) -> Result<(), ClientError> {
        let mut waits = HOOK_WAITS.into_iter();
        loop {
            let error = match self.post_once(body.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let Some(wait) = waits.next() else { return Err(error) };
            tokio::time::sleep(wait).await;
        }
    }

    async fn post_once(&self, body: String) -> Result<(), ClientError> {
        let request = self.http.post(&self.url).timeout(HOOK_TIMEOUT).body(body);
        let answer = request.header("content-type", "application/json").send().await;
        let answer = answer.map_err(|source| ClientError::Unreachable {
            url: self.url.clone(),
            source: Box::new(source.without_url()),
        })?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(ClientError::Http { url: self.url.clone(), status: status.as_u16() }),
        }
    }
}
