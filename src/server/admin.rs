//! The administrator's socket: who can open it is the operator.

use core::time::Duration;
use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixListener as StdListener,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};
use axum::Router;
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::{Config, backup, files, init, listener::Connections, random::Random, vault::Ring};
use crate::{
    core::{origin::Origin, record::ApprovalRule},
    pipeline::{Clock, Log, Pipeline, next_log},
    service::{
        Desk,
        grpc::{Admin, Operator, OperatorError},
    },
    store::{LogIdentity, LogKind},
};

/// What the operator's calls work on.
pub(super) struct Host {
    data: PathBuf,
    pipeline: Pipeline,
    clock: Arc<dyn Clock>,
    ring: Arc<Ring>,
    /// Held while a log is made, so that two never get the same number.
    random: Mutex<Random>,
}

impl Host {
    /// Takes what the calls need of a running server.
    pub(super) fn new(
        config: &Config,
        pipeline: Pipeline,
        clock: Arc<dyn Clock>,
        ring: Arc<Ring>,
        random: Random,
    ) -> Self {
        Self { data: config.data.clone(), pipeline, clock, ring, random: Mutex::new(random) }
    }
}

impl Operator for Host {
    fn create_log(
        &self,
        origin: Origin,
        identity: LogIdentity,
        rule: Option<ApprovalRule>,
    ) -> Result<Arc<Log>, OperatorError> {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let number = next_log(self.pipeline.store(), &origin)?;
        let key = init::new_key(&origin, random.key_seed()).map_err(OperatorError::from_files)?;
        let key = files::keep_key(&self.data, number, key).map_err(OperatorError::from_files)?;
        let kind = init::kind_of(rule.as_ref(), identity).map_err(OperatorError::from_files)?;
        if kind == LogKind::Audit {
            self.ring.ensure().map_err(OperatorError::from_files)?;
        }
        let row = init::row(number, origin, kind, identity, &key, self.clock.now())
            .map_err(OperatorError::from_files)?;
        let rule = rule.unwrap_or(ApprovalRule::NOBODY);
        let log = self.pipeline.create_log(&row, key, &rule)?;
        tracing::info!(origin = log.origin(), "a log was created");
        Ok(log)
    }

    fn backup(&self, destination: &Path) -> Result<(), OperatorError> {
        backup::copy(self.pipeline.store(), destination).map_err(OperatorError::from_files)?;
        tracing::info!("a backup was made");
        Ok(())
    }
}

/// The bound socket; its file is removed when it is dropped.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Binds the socket in the data directory.
    ///
    /// The database is open by then, so a socket that is there already belonged to a process that
    /// died. Nobody ever finds the socket without its mode: it is bound under another name, in a
    /// directory that only its owner can enter, and renamed.
    pub(super) fn bind(data: &Path) -> anyhow::Result<Self> {
        let meta = fs::metadata(data).with_context(|| format!("read {}", data.display()))?;
        let mode = meta.mode() & 0o777;
        ensure!(
            mode & 0o022 == 0,
            "{} has mode {mode:04o}, so others can put files into it; run: chmod 700 {}",
            data.display(),
            data.display(),
        );
        let path = files::socket(data);
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", fresh.display()));
            }
            _ => {}
        }
        let listener = StdListener::bind(&fresh).with_context(|| {
            format!("bind the socket {} (a socket's path has at most 107 bytes)", fresh.display())
        })?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&fresh, &path))
            .with_context(|| format!("put the socket at {}", path.display()))?;
        listener.set_nonblocking(true).context("use the socket")?;
        let listener = UnixListener::from_std(listener).context("use the socket")?;
        Ok(Self { listener, path })
    }

    /// Serves the operator until the server closes.
    pub(super) async fn serve(self, desk: Desk, operator: Arc<dyn Operator>, patience: Duration) {
        let closing = desk.closing.clone();
        self.serve_routes(Admin::routes(desk, operator).into_axum_router(), closing, patience)
            .await;
    }

    /// Serves these routes until `closing`.
    pub(super) async fn serve_routes(
        self,
        routes: Router,
        closing: CancellationToken,
        patience: Duration,
    ) {
        let connections = Connections::new(closing.clone());
        let accept = async {
            loop {
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let (serving, service) =
                            (connections.clone(), TowerToHyperService::new(routes.clone()));
                        connections.tasks.spawn(async move { serving.run(stream, service).await });
                    }
                    Err(error) => {
                        tracing::error!(error = %error, "the administrator's socket stopped");
                        return;
                    }
                }
            }
        };
        closing.run_until_cancelled(accept).await;
        connections.finish(patience).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(error = %error, "the administrator's socket could not be removed");
        }
    }
}
