//! `attestree log`: administers a running server on this machine, through its socket.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;
use tonic::transport::Endpoint;

use super::exit::wrong_usage;
use super::output::Output;
use super::remote::{block_on, origin};
use crate::client::ClientError;
use crate::core::origin::Origin;
use crate::proto::{self, CreateLogRequest, admin_service_client::AdminServiceClient};

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Create a further log with a key of its own and open it at once
    #[command(after_help = "\
The server has to run. Stopped, `attestree init --data DIR --origin ORIGIN` does the same.

Example:
  attestree log create example.com/audit --data attestree-data")]
    Create {
        /// Origin of the new log: a host name and a path, without a scheme
        #[arg(value_parser = origin)]
        origin: Origin,
        /// Data directory of the running server
        #[arg(long, env = "ATTESTREE_DATA", value_name = "DIR", default_value = "attestree-data")]
        data: PathBuf,
        /// What makes two submissions the same entry when they have no idempotency key
        #[arg(long, value_enum, default_value_t = Identity::None)]
        identity: Identity,
    },
}

/// What makes two submissions the same entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Identity {
    /// Nothing: equal bytes are appended again
    None,
    /// The leaf hash: equal bytes get the first index, and entries can be found by hash
    EntryHash,
}

/// The created log, as JSON.
#[derive(Debug, Serialize)]
struct Created {
    origin: String,
    vkeys: Vec<String>,
}

/// Connects to the administrator's socket of a data directory.
pub(super) async fn admin(
    data: &std::path::Path,
) -> anyhow::Result<(AdminServiceClient<tonic::transport::Channel>, String)> {
    let socket = data.join("admin.sock");
    let url = format!("unix:{}", socket.display());
    let endpoint = Endpoint::from_shared(url.clone())
        .map_err(|_| wrong_usage(format!("{} can't be a socket's path", socket.display())))?;
    let channel = endpoint.connect().await.with_context(|| {
        format!("connect to {}; is a server running on this data directory?", socket.display())
    })?;
    Ok((AdminServiceClient::new(channel), url))
}

/// Carries the command out.
pub(super) fn run(args: Args, output: Output) -> anyhow::Result<()> {
    let What::Create { origin, data, identity } = args.what;
    let identity = match identity {
        Identity::None => proto::Identity::None,
        Identity::EntryHash => proto::Identity::EntryHash,
    };
    let log = block_on(async {
        let (mut admin, url) = admin(&data).await?;
        let request = CreateLogRequest {
            origin: origin.to_string(),
            kind: proto::LogKind::Opaque.into(),
            identity: identity.into(),
        };
        let answer = admin.create_log(request).await;
        let answer = answer.map_err(|status| ClientError::from_status(&url, status))?;
        answer.into_inner().log.context("the server's answer holds no log")
    })?;
    let created = Created { origin: log.origin, vkeys: log.vkeys };
    let text = created.vkeys.join("\n");
    output.print(&created, text)
}
