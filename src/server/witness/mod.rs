//! The witness as a process: its files, its sockets, and its end.
//!
//! ```text
//! DIR/                 0700
//!   witness.skey       0600, the key
//!   journal            0600, what was cosigned
//!   evidence/          what convicts logs
//!   admin.sock         0600, while the witness runs
//! DIR.watermark        outside, so that it is not restored together with DIR
//! ```

pub mod config;
mod files;

use core::{net::SocketAddr, time::Duration};
use std::{collections::HashMap, fs, sync::Arc, thread::JoinHandle};

use anyhow::{Context as _, bail};
use hyper_util::service::TowerToHyperService;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    config::{Config, Flags, RawConfig},
    files::{Init, give_orders, init},
};
use super::{
    admin, announce, clock::SystemClock, cpu, ending::Ending, listener::Listener, random::Random,
    telemetry, tls,
};
pub use crate::witness::{LogStatus, Order, Status};
use crate::{
    client::{Courier, Hook, Server, TileClient, server::Tls},
    core::number::UnixMillis,
    pipeline,
    witness::{
        Clock, Parts, Witness, http,
        poll::{POLLS_MAX, Route},
    },
};

/// Threads for writing evidence, which may wait for the disk.
const BLOCKING_THREADS_MAX: usize = 4;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        pipeline::Clock::now(self)
    }

    fn monotonic(&self) -> Duration {
        pipeline::Clock::monotonic(self)
    }
}

/// Runs a witness until it is told to stop. The first line on standard output is its address, on demand as JSON.
pub fn run(flags: Flags, as_json: bool) -> anyhow::Result<()> {
    let config = flags.read()?;
    telemetry::start(config.telemetry);
    tracing::info!("the effective configuration:\n{config}");
    let has_tls = config.listener.tls.is_some();
    let running = start(config)?;
    running.wait(|| announce(has_tls, running.address(), as_json))?;
    if running.stop() {
        return Ok(());
    }
    bail!(
        "the witness stopped because a write failed or its result is not known; start it again, and it takes up \
         what the disk holds"
    )
}

/// A running witness. Dropping it stops it without waiting for anyone.
#[derive(Debug)]
pub struct Running {
    runtime: Option<Runtime>,
    tasks: TaskTracker,
    address: SocketAddr,
    witness: Arc<Witness>,
    keeper: Option<JoinHandle<()>>,
    closing: CancellationToken,
}

/// Starts a witness: reads what it remembers, then opens the sockets.
pub fn start(config: Config) -> anyhow::Result<Running> {
    cpu::check(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())?;
    let mut random = Random::from_system().context("seed the random generator")?;
    let key = files::read_key(&config.data)?;
    let (journal, records) = files::open_journal(&config.data, &config.watermark, &key)?;
    let parts = Parts {
        key,
        journal,
        records,
        logs: config.logs.clone(),
        config: config.witness.clone(),
        clock: Arc::new(SystemClock::start()),
        seed: random.key_seed(),
    };
    let (witness, keeper) = Witness::start(parts)?;
    let witness = Arc::new(witness);
    let runtime = Builder::new_multi_thread()
        .worker_threads(config.worker_threads)
        .thread_name("witness")
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
    let opened = runtime.block_on(open_sockets(&config, &witness, &tasks, &closing, &mut random));
    let address = config.listener.address;
    let runtime = Some(runtime);
    let mut running = Running { runtime, tasks, address, witness, keeper: Some(keeper), closing };
    match opened {
        Ok(address) => {
            running.address = address;
            Ok(running)
        }
        Err(error) => {
            running.stop();
            Err(error)
        }
    }
}

/// Opens the port and the operator's socket, and begins to read the logs.
async fn open_sockets(
    config: &Config,
    witness: &Arc<Witness>,
    tasks: &TaskTracker,
    closing: &CancellationToken,
    random: &mut Random,
) -> anyhow::Result<SocketAddr> {
    let listener = Listener::bind(&config.listener).await?;
    let address = listener.address().context("read the address that was bound")?;
    let socket = admin::Socket::bind(&config.data)?;
    let routes = routes(witness, &tls::client(config.logs_ca.as_deref())?)?;
    let hook = config.witness.webhook.as_deref().map(|url| Hook::new(&Server::parse(url)?));
    let hook = hook.transpose()?;

    let router = http::router(Arc::clone(witness));
    let counted = Arc::clone(witness);
    let front = move |peer, _principal| {
        let service = TowerToHyperService::new(http::connection(&router, peer));
        (service, counted.metrics().connected())
    };
    tasks.spawn(listener.serve(front, None, closing.clone()));
    let operator = http::operator_router(Arc::clone(witness));
    tasks.spawn(socket.serve_routes(operator, closing.clone(), config.listener.shutdown));
    let turns = Arc::new(Semaphore::new(POLLS_MAX));
    for route in routes {
        tasks.spawn(Arc::clone(witness).poll(
            route,
            config.poll,
            random.key_seed(),
            Arc::clone(&turns),
            closing.clone(),
        ));
    }
    if let Some(hook) = hook {
        let (witness, closing) = (Arc::clone(witness), closing.clone());
        tasks.spawn(async move { witness.send_alarms(&hook, &closing).await });
    }
    Ok(address)
}

/// Returns how each log that has an address is read. Logs share connections, whatever their number.
fn routes(witness: &Witness, tls: &Tls) -> anyhow::Result<Vec<Route>> {
    let (mut tiles, mut couriers) = (None::<TileClient>, HashMap::<String, Courier>::new());
    let mut routes = Vec::new();
    for (position, log) in witness.book().logs().iter().enumerate() {
        let Some(url) = log.url() else { continue };
        let server = Server::parse(url)?.with_tls(tls.clone());
        let tiles = match &tiles {
            Some(tiles) => tiles.with_server(&server),
            None => tiles.insert(TileClient::new(&server)?).clone(),
        };
        let root = server.root().url().to_owned();
        let courier = match couriers.get(&root) {
            Some(courier) => courier.clone(),
            None => couriers.entry(root).or_insert(Courier::new(&server)?).clone(),
        };
        routes.push(Route { position, tiles, courier });
    }
    Ok(routes)
}

impl Running {
    /// Returns the address that the witness listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the witness.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Waits for SIGTERM, SIGINT or a failed write; from before `listening` is called, which says that it runs.
    pub fn wait(&self, listening: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let runtime = self.runtime.as_ref().expect("a witness runs until it is stopped");
        runtime.block_on(async {
            let mut ending = Ending::listen()?;
            listening()?;
            let mut fatal = self.witness.fatal();
            tokio::select! {
                () = ending.come() => {}
                _ = fatal.wait_for(|fatal| *fatal) => {
                    tracing::error!("a write failed or its result is not known: the witness stops");
                }
            }
            Ok(())
        })
    }

    /// Stops the witness: no connection and no poll is begun any more, open requests finish, the writer
    /// ends last. Returns whether every write has succeeded. Blocks; must not be called from asynchronous code.
    pub fn stop(mut self) -> bool {
        let runtime = self.runtime.take().expect("a witness is stopped once");
        self.closing.cancel();
        self.tasks.close();
        runtime.block_on(self.tasks.wait());
        runtime.shutdown_background();
        let clean = !*self.witness.fatal().borrow();
        let keeper = self.keeper.take();
        // The writer ends when nobody can ask it any more.
        drop(self);
        let joined = keeper.is_none_or(|keeper| keeper.join().is_ok());
        clean && joined
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.closing.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
