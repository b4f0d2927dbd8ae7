//! A server from start to stop.

use core::{net::SocketAddr, time::Duration};
use std::{
    fs,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, ensure};
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Config, admin, alert,
    clock::SystemClock,
    cosigning, cpu,
    ending::{Ending, Hangup},
    files,
    governor::Documents,
    listener::Listener,
    random::Random,
    source,
    syslog::Syslog,
    vault::{Ring, SharedRandom},
    watch,
};
use crate::{
    alert::AlertMeter,
    pipeline::{
        Answerer, AuditParts, Clock, Log, LogStatus, Meter, Parts, Pipeline, Stopped, Vault,
        WitnessMeter, WitnessPlan,
    },
    service::{Desk, Front, Metrics, NotReady, Ready, Receiving, Sending},
    store::{LogState, Store, TileReader, Watermark},
};

/// Threads for reads that may wait for the disk. Each holds up to three times 16 MiB while it reads a
/// bundle of the longest entries; four of them keep a disk busy.
const BLOCKING_THREADS_MAX: usize = 4;

/// How long a stopped server waits for what still reads its database: much longer than any read takes.
const LEAVING: Duration = Duration::from_secs(5);

/// How often it is looked whether logs sign: the witnesses take longer than that to answer.
const LOOK: Duration = Duration::from_millis(5);

/// A running server. Dropping it stops it without waiting for anyone.
pub struct Running {
    runtime: Option<Runtime>,
    tasks: TaskTracker,
    address: SocketAddr,
    desk: Desk,
    /// Where the tokens of sources are read again.
    sources: Vec<source::Config>,
}

/// Starts a server: every check that stands before the first signature, then the sockets.
pub fn start(config: Config) -> anyhow::Result<Running> {
    start_by(config, Arc::new(SystemClock::start()))
}

/// Starts a server that goes by a clock of the caller's, as tests do that set it.
pub fn start_by(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Running> {
    cpu::check(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())?;
    let sources = source::read(&config.sources)?;
    let meter = Meter::default();
    let runtime = Builder::new_multi_thread()
        .worker_threads(config.worker_threads)
        .thread_name("service")
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let handle = runtime.handle().clone();
    // On the runtime itself, so that answers to one connection share its writes.
    let answerer: Answerer = Box::new(move |answers| drop(handle.spawn(answers.send_in_turns())));
    let plan = cosigning::plan(&config.witnesses)?;
    let (pipeline, ring) = open(&config, &clock, &meter, answerer, plan.clone())?;
    let (witnesses, alerts) = (WitnessMeter::default(), AlertMeter::default());
    let metrics = Metrics::new(&meter, &witnesses).with(|registry| alerts.register(registry));
    let metrics = Arc::new(metrics);
    let receiving = Receiving::new(config.listener.receive_bytes_max);
    let logs = pipeline.store().logs()?;
    let sources = sources.serve(&logs, metrics.sources(), &receiving);
    let sources = sources.inspect_err(|_| {
        pipeline.stop();
    })?;
    let desk = Desk {
        metrics,
        pipeline,
        ready: Ready::default(),
        receiving,
        sources: Arc::new(sources),
        sending: Sending::new(config.listener.send_bytes_max),
        closing: CancellationToken::new(),
    };
    let tasks = TaskTracker::new();
    let started = runtime.block_on(async {
        if let Some(plan) = &plan {
            ask_witnesses(&config, plan, &desk, witnesses, &tasks)?;
        }
        let pipeline = desk.pipeline.clone();
        if let Some(deliveries) = alert::deliveries(&config, pipeline, alerts)? {
            tasks.spawn(desk.closing.clone().run_until_cancelled_owned(deliveries.run()));
        }
        open_sockets(&config, &desk, &clock, ring, &tasks).await
    });
    let sources = config.sources.clone();
    let running = |address| Running { runtime: Some(runtime), tasks, address, desk, sources };
    match started {
        Ok(address) => Ok(running(address)),
        Err(error) => {
            running(config.listener.address).stop();
            Err(error)
        }
    }
}

/// Opens the database, the watermark, the keys and with them the write path.
fn open(
    config: &Config,
    clock: &Arc<dyn Clock>,
    meter: &Meter,
    answerer: Answerer,
    witnesses: Option<WitnessPlan>,
) -> anyhow::Result<(Pipeline, Arc<Ring>)> {
    let store = Store::open(&files::database(&config.data), &config.store)?;
    let watermark = Watermark::open(&config.watermark)?;
    let mut keys = Vec::new();
    for row in store.logs()? {
        // A halted log is not opened; its key may be needed elsewhere by then. A closed log whose key is lost is
        // left out, as one is whose data is lost.
        let lost = row.state == LogState::Closed && !files::has_key(&config.data, row.number)?;
        if store.halted(row.number)?.is_none() && !lost {
            keys.push((row.number, files::read_key(&config.data, row.number)?));
        }
    }
    ensure!(
        !store.logs()?.is_empty(),
        "there is no log in {}; create one with `attestree init`",
        config.data.display()
    );
    let mut random = Random::from_system().context("seed the random generator")?;
    let ring = Arc::new(Ring::open(config, &store, random.fork())?);
    let vault: Arc<dyn Vault> = Arc::clone(&ring) as _;
    let entropy = Arc::new(SharedRandom(Mutex::new(random)));
    let audit = AuditParts { governor: Arc::new(Documents), vault, entropy };
    let pipeline = Pipeline::open(Parts {
        ledger: Box::new(store.clone()),
        reader: TileReader::new(store.clone(), config.tile_cache_bytes),
        store,
        watermark,
        keys,
        clock: Arc::clone(clock),
        limits: config.limits,
        meter: meter.clone(),
        answerer,
        witnesses,
        audit: Some(audit),
    })?;
    Ok((pipeline, ring))
}

/// Starts to hear and to ask the witnesses of the logs, until the server closes.
fn ask_witnesses(
    config: &Config,
    plan: &WitnessPlan,
    desk: &Desk,
    meter: WitnessMeter,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    let mut random = Random::from_system().context("seed the random generator")?;
    let (witnesses, evidence) = (&config.witnesses, files::evidence(&config.data));
    let pipeline = desk.pipeline.clone();
    let cosigners = cosigning::cosigners(plan, witnesses, evidence, pipeline, meter, &mut random)?;
    tasks.spawn(desk.closing.clone().run_until_cancelled_owned(cosigners.run()));
    Ok(())
}

/// Opens the port and the administrator's socket, and serves both.
async fn open_sockets(
    config: &Config,
    desk: &Desk,
    clock: &Arc<dyn Clock>,
    ring: Arc<Ring>,
    tasks: &TaskTracker,
) -> anyhow::Result<SocketAddr> {
    let listener = Listener::bind(&config.listener).await?;
    let address = listener.address().context("read the address that was bound")?;
    let random = Random::from_system().context("seed the random generator")?;
    let pipeline = desk.pipeline.clone();
    let host = admin::Host::new(config, pipeline, Arc::clone(clock), ring, random);
    let socket = admin::Socket::bind(&config.data)?;

    let front = Front::new(desk);
    watch::look(&desk.pipeline, &desk.ready, &config.data);
    tasks.spawn(
        desk.closing
            .clone()
            .run_until_cancelled_owned(watch::run(desk.clone(), config.data.clone())),
    );
    let metrics = Arc::clone(&desk.metrics);
    let front = move |_peer, principal| (front.connection(principal), metrics.connected());
    tasks.spawn(listener.serve(front, Syslog::of(desk), desk.closing.clone()));
    tasks.spawn(socket.serve(desk.clone(), Arc::new(host), config.listener.shutdown));
    Ok(address)
}

impl Running {
    /// Returns the address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the write path and the logs.
    pub fn pipeline(&self) -> &Pipeline {
        &self.desk.pipeline
    }

    /// Waits until each log takes entries and, where it has witnesses, has a first checkpoint that
    /// meets the quorum, for at most so long. Returns whether all have. Blocks; must not be called
    /// from asynchronous code.
    pub fn wait_until_signing(&self, patience: Duration) -> bool {
        let runtime = self.runtime.as_ref().expect("a server runs until it is stopped");
        let pipeline = &self.desk.pipeline;
        let lacks_quorum = |log: &Log| {
            log.witnessed().is_some_and(|witnessed| witnessed.candidates().cosigned().is_none())
        };
        let waits = |log: &Log| log.status() == LogStatus::Waiting || lacks_quorum(log);
        let heard = async {
            while pipeline.logs().iter().any(|log| waits(log)) {
                sleep(LOOK).await;
            }
        };
        runtime.block_on(async { timeout(patience, heard).await.is_ok() })
    }

    /// Waits for SIGTERM, SIGINT or a failed write; from before `listening` is called, which says that it runs.
    pub fn wait(&self, listening: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let runtime = self.runtime.as_ref().expect("a server runs until it is stopped");
        runtime.block_on(async {
            let mut ending = Ending::listen()?;
            // Where there is nothing to read again, a terminal that is closed ends the server as before.
            let hangup = self.sources.iter().any(source::Config::has_tokens);
            let hangup = hangup.then(Hangup::listen).transpose()?;
            listening()?;
            let mut fatal = self.desk.pipeline.fatal();
            tokio::select! {
                () = ending.come() => {}
                () = self.renew(hangup) => {}
                _ = fatal.wait_for(|fatal| *fatal) => {
                    tracing::error!("a write failed or its result is not known: the server stops");
                }
            }
            Ok(())
        })
    }

    /// Reads the tokens of the sources again at each signal, for ever. Files that are wrong change nothing.
    async fn renew(&self, hangup: Option<Hangup>) {
        let Some(mut hangup) = hangup else { return core::future::pending().await };
        loop {
            hangup.come().await;
            match source::read(&self.sources) {
                Ok(read) => {
                    read.renew(&self.desk.sources);
                    tracing::info!("SIGHUP: the tokens of the sources were read again");
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "SIGHUP: the tokens of the sources stay as they were");
                }
            }
        }
    }

    /// Stops the server, in the order that the module describes. Blocks; must not be called from
    /// asynchronous code.
    pub fn stop(mut self) -> Stopped {
        let runtime = self.runtime.take().expect("a server is stopped once");
        let fatal = *self.desk.pipeline.fatal().borrow();
        self.desk.ready.set(Some(if fatal { NotReady::Fatal } else { NotReady::ShuttingDown }));
        self.desk.closing.cancel();
        self.tasks.close();
        runtime.block_on(self.tasks.wait());
        let stopped = self.desk.pipeline.stop();
        // What is left are reads of clients that are gone, and notes that are being kept. They hold the database
        // for a moment longer, and whoever opens it next should find it free.
        runtime.shutdown_timeout(LEAVING);
        stopped
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.desk.closing.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
