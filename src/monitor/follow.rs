//! One log, followed: its checkpoints compared with all that were seen, its entries read.
//!
//! The order of effects is what a crash may not undo: a checkpoint is compared with the newest known
//! one, kept on disk, and only then acted upon. What contradicts is never forgotten, for what could
//! not be compared yet waits in the state until it can.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::event::{Event, Finding, Kind};
use super::read::{Bundles, ReadError, Tally};
use super::state::{Kept, StateError};
use super::{MonitorError, Settings};
use crate::client::{ClientError, Comparison, TileClient, Untrue, compare, keep_evidence};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::evidence::{Evidence, Judgement};
use crate::core::hash::TreeHash;
use crate::core::number::TreeSize;
use crate::core::origin::Origin;
use crate::core::tile::Resource;
use crate::core::tree::{Frontier, TreeHead};
use crate::core::trust::TrustPolicy;

/// Bundles after which what was read is kept: 65,536 entries, a fraction of a second to read again.
const KEEP_BUNDLES: u64 = 256;

/// What the log itself shows, as the source of a finding.
pub(super) const LOG: &str = "log";

/// One log that is monitored.
pub(super) struct Follower {
    pub(super) settings: Arc<Settings>,
    /// The keys of the policy's logs alone: what convicts a log needs no quorum.
    pub(super) keys: Arc<TrustPolicy>,
    pub(super) tiles: TileClient,
    events: mpsc::Sender<Event>,
    /// What is kept, once it is known which log this is.
    pub(super) kept: Option<Kept>,
    tally: Tally,
    /// What is wrong at the moment, by its source.
    wrong: BTreeMap<String, (Kind, String)>,
    pub(super) worst: Option<Kind>,
}

/// A checkpoint of the log whose state is open.
enum Shown {
    /// The checkpoint continues all that were seen.
    Good,
    /// It does not, or it is not known; what is wrong was told.
    Bad,
}

impl Follower {
    /// Follows the log at an address; which log that is it says itself.
    pub(super) fn new(
        settings: Arc<Settings>,
        keys: Arc<TrustPolicy>,
        tiles: TileClient,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (wrong, worst) = (BTreeMap::new(), None);
        Self { settings, keys, tiles, events, kept: None, tally: Tally::default(), wrong, worst }
    }

    /// Follows the log: once, or until it is convicted.
    ///
    /// Returns the worst that was found.
    pub(super) async fn run(mut self) -> Result<Option<Kind>, MonitorError> {
        loop {
            self.look().await?;
            let convicted = self.worst == Some(Kind::Guilty);
            if convicted || !self.settings.follow {
                return Ok(self.worst);
            }
            tokio::time::sleep(self.settings.interval).await;
        }
    }

    /// Looks at the log once, and reads all that is new.
    async fn look(&mut self) -> Result<(), MonitorError> {
        let Some(shown) = self.shown().await? else { return Ok(()) };
        if self.is_convicted().await? {
            return Ok(());
        }
        if let Shown::Bad = self.consider(&shown).await? {
            return Ok(());
        }
        self.witnessed(&shown);
        self.settle_pending().await?;
        self.ask_witnesses().await?;
        if self.worst != Some(Kind::Guilty) {
            self.read().await?;
        }
        self.judge_records().await
    }

    /// Returns the checkpoint that the log shows, if its signature holds, and opens its state.
    async fn shown(&mut self) -> Result<Option<SignedCheckpoint>, MonitorError> {
        let note = match self.tiles.fetch(&Resource::Checkpoint).await {
            Ok(note) => note,
            Err(error) => {
                self.failed(LOG, &error).await?;
                return Ok(None);
            }
        };
        let checkpoint = match self.keys.verify_checkpoint(&note) {
            Ok(trusted) => trusted.checkpoint,
            Err(error) => {
                self.failed(LOG, &Untrue::from(error).into()).await?;
                return Ok(None);
            }
        };
        match &self.kept {
            None => self.open(checkpoint.origin()).await?,
            Some(_) if *checkpoint.origin() != self.origin() => {
                let (expected, found) =
                    (self.origin().to_string(), checkpoint.origin().to_string());
                self.failed(LOG, &Untrue::Origin { expected, found }.into()).await?;
                return Ok(None);
            }
            Some(_) => {}
        }
        Ok(Some(checkpoint))
    }

    /// Opens what is kept of a log.
    async fn open(&mut self, origin: &Origin) -> Result<(), MonitorError> {
        let (kept, resumed) = Kept::open(&self.settings, origin, &self.keys)?;
        let size = kept.state.read_size().get();
        self.kept = Some(kept);
        // What failed before the log's name was known was told under its address.
        self.wrong.clear();
        if resumed {
            self.tell(Event::Resumed { origin: origin.to_string(), size }).await;
        }
        Ok(())
    }

    /// Tells of a conviction that was found before.
    async fn is_convicted(&mut self) -> Result<bool, MonitorError> {
        let Some(name) = self.kept().state.convicted.clone() else { return Ok(false) };
        let reason =
            "the log was convicted before; judge the evidence, and remove its state to follow \
                      it again"
                .to_owned();
        let evidence = Some(self.settings.evidence.join(name));
        self.found(LOG, Kind::Guilty, reason, evidence).await?;
        Ok(true)
    }

    /// Compares the checkpoint that the log shows with the newest known one, and keeps it.
    async fn consider(&mut self, shown: &SignedCheckpoint) -> Result<Shown, MonitorError> {
        let newest = self.kept().state.newest.clone();
        let head = shown.head();
        if let Some(newest) = &newest {
            let known = newest.head();
            match compare(&self.tiles, newest, shown).await {
                Comparison::Guilty(evidence) => {
                    self.accuse(LOG, &evidence).await?;
                    return Ok(Shown::Bad);
                }
                Comparison::Consistent(_) if head.size >= known.size => {}
                Comparison::Consistent(_) => {
                    let reason = rolled_back(&head, &known, "which begins with this one");
                    self.found(LOG, Kind::Rollback, reason, None).await?;
                    return Ok(Shown::Bad);
                }
                Comparison::Unresponsive(error) => {
                    self.wait(LOG, shown)?;
                    if head.size < known.size {
                        let reason = rolled_back(&head, &known, &super::chain(&error));
                        self.found(LOG, Kind::Rollback, reason, None).await?;
                    } else {
                        self.failed(LOG, &error).await?;
                    }
                    return Ok(Shown::Bad);
                }
            }
            if head == known {
                self.well(LOG).await;
                return Ok(Shown::Good);
            }
        }
        self.accept(shown).await?;
        self.well(LOG).await;
        Ok(Shown::Good)
    }

    /// Keeps a checkpoint as the newest that continues all others.
    async fn accept(&mut self, checkpoint: &SignedCheckpoint) -> Result<(), MonitorError> {
        let kept = self.kept.as_mut().expect("the state is open");
        kept.state.newest = Some(checkpoint.clone());
        kept.save()?;
        let head = checkpoint.head();
        let policy = &self.settings.policy;
        let quorum =
            policy.has_quorum().then(|| policy.verify_checkpoint(checkpoint.note()).is_ok());
        let (origin, root) = (checkpoint.origin().to_string(), head.root.to_base64());
        self.tell(Event::Checkpoint { origin, size: head.size.get(), root, quorum }).await;
        Ok(())
    }

    /// Compares the checkpoints that wait with the newest one and with each other.
    async fn settle_pending(&mut self) -> Result<(), MonitorError> {
        let pending = self.kept().state.pending.clone();
        let newest = self.newest();
        for (at, one) in pending.iter().enumerate() {
            let later = pending.iter().skip(at + 1);
            let twin =
                later.filter_map(|other| Evidence::same_size(&one.checkpoint, &other.checkpoint));
            for evidence in twin.collect::<Vec<_>>() {
                self.accuse(&one.source, &evidence).await?;
            }
            match compare(&self.tiles, &one.checkpoint, &newest).await {
                Comparison::Guilty(evidence) => self.accuse(&one.source, &evidence).await?,
                Comparison::Consistent(_) => {
                    let kept = self.kept.as_mut().expect("the state is open");
                    kept.state.pending.retain(|pending| pending != one);
                    kept.save()?;
                }
                Comparison::Unresponsive(_) => {}
            }
        }
        Ok(())
    }

    /// Reads all entries of the newest tree that were not read.
    async fn read(&mut self) -> Result<(), MonitorError> {
        let target = self.newest();
        let state = &self.kept().state;
        if state.read.as_ref().is_some_and(|read| read.head() == target.head()) {
            return Ok(());
        }
        match self.read_to(&target).await {
            Ok(()) => {
                self.well("entries").await;
                let kept = self.kept.as_mut().expect("the state is open");
                kept.state.read = Some(target.clone());
                kept.state.records.end();
                kept.save()?;
                let (size, root) = (target.head().size.get(), target.head().root.to_base64());
                let event = Event::read(target.origin().as_str(), size, root, &self.tally);
                self.tell(event).await;
                Ok(())
            }
            Err(Stopped::Monitor(error)) => Err(error),
            Err(Stopped::Read(ReadError::Client(error))) => self.failed("entries", &error).await,
            Err(Stopped::Read(error)) => {
                self.found("entries", Kind::Untrue, error.to_string(), None).await
            }
        }
    }

    /// Reads on from the frontier to the end of a signed tree.
    async fn read_to(&mut self, target: &SignedCheckpoint) -> Result<(), Stopped> {
        let kept = self.kept.as_mut().expect("the state is open");
        // The bundle that was partial the last time is read again, and not shown again.
        let shown = kept.state.read_size().get();
        let mut bundles = Bundles::open(&self.tiles, target, &kept.state.frontier).await?;
        let mut unkept = 0;
        let mut tail: Vec<TreeHash> = Vec::new();
        while let Some(bundle) = bundles.next().await? {
            bundle.show(shown, &mut self.tally);
            bundle.show(shown, &mut kept.state.records);
            tail.extend_from_slice(bundle.integrate(&mut kept.state.frontier));
            unkept += 1;
            if unkept == KEEP_BUNDLES {
                kept.save()?;
                unkept = 0;
                let (origin, read) = (target.origin().to_string(), bundle.end());
                let size = target.head().size.get();
                // Nobody listens once the process ends, which is no reason to stop reading.
                let _closed = self.events.send(Event::Progress { origin, read, size }).await;
            }
        }
        // Each bundle was compared already: a difference is in what was kept before.
        let frontier = &kept.state.frontier;
        if root_with(frontier, &tail) != target.head().root {
            return Err(ReadError::Frontier { size: frontier.size() }.into());
        }
        Ok(())
    }

    /// Tells of two checkpoints that can't both be true, and keeps the evidence.
    pub(super) async fn accuse(
        &mut self,
        source: &str,
        evidence: &Evidence,
    ) -> Result<(), MonitorError> {
        let dir = &self.settings.evidence;
        let path = keep_evidence(dir, evidence)
            .map_err(|source| MonitorError::Evidence { path: dir.clone(), source })?;
        let (kind, reason) = match evidence.judge(&self.keys) {
            Judgement::Guilty { .. } => {
                let kept = self.kept.as_mut().expect("the state is open");
                kept.state.convicted = Some(evidence.file_name());
                kept.save()?;
                (Kind::Guilty, format!("the log {evidence}"))
            }
            Judgement::Inconclusive { reason } => (Kind::Inconclusive, reason.to_string()),
            Judgement::Forged { reason } => (Kind::Untrue, reason.to_string()),
        };
        self.found(source, kind, reason, Some(path)).await
    }

    /// Remembers a checkpoint that could not be compared.
    pub(super) fn wait(
        &mut self,
        source: &str,
        checkpoint: &SignedCheckpoint,
    ) -> Result<(), StateError> {
        let kept = self.kept.as_mut().expect("the state is open");
        let before = kept.state.pending.len();
        kept.state.wait(source, checkpoint);
        if kept.state.pending.len() > before { kept.save() } else { Ok(()) }
    }

    /// Tells of something that went wrong with a request, by who is at fault.
    pub(super) async fn failed(
        &mut self,
        source: &str,
        error: &ClientError,
    ) -> Result<(), MonitorError> {
        let kind = if error.is_untrue() { Kind::Untrue } else { Kind::Unresponsive };
        self.found(source, kind, super::chain(error), None).await
    }

    /// Tells of a finding, and runs the hook, unless both have heard it from this source last.
    pub(super) async fn found(
        &mut self,
        source: &str,
        kind: Kind,
        reason: String,
        evidence: Option<std::path::PathBuf>,
    ) -> Result<(), MonitorError> {
        self.worst = Some(self.worst.map_or(kind, |worst| worst.min(kind)));
        let before = self.wrong.insert(source.to_owned(), (kind, reason.clone()));
        if before == Some((kind, reason.clone())) {
            return Ok(());
        }
        let origin = match &self.kept {
            Some(kept) => kept.origin().to_string(),
            None => self.tiles.prefix().to_owned(),
        };
        let finding = Finding { origin, kind, source: source.to_owned(), reason, evidence };
        self.tell(Event::Finding(finding.clone())).await;
        if let Some(hook) = &self.settings.hook
            && let Err(error) = hook.run(&finding).await
        {
            self.tell(Event::Hook { reason: super::chain(&error) }).await;
        }
        Ok(())
    }

    /// Tells that what was wrong with a source is no more.
    pub(super) async fn well(&mut self, source: &str) {
        if self.wrong.remove(source).is_some() {
            let (origin, source) = (self.origin().to_string(), source.to_owned());
            self.tell(Event::Recovered { origin, source }).await;
        }
    }

    async fn tell(&self, event: Event) {
        // Nobody listens once the process ends.
        let _closed = self.events.send(event).await;
    }

    /// Returns what is kept of the log.
    ///
    /// # Panics
    ///
    /// If the log has shown no checkpoint yet.
    pub(super) fn kept(&self) -> &Kept {
        self.kept.as_ref().expect("the state is open")
    }

    /// Returns the log, once it has shown a checkpoint.
    pub(super) fn origin(&self) -> Origin {
        self.kept().origin().clone()
    }

    /// Returns the newest checkpoint that continues all others.
    pub(super) fn newest(&self) -> SignedCheckpoint {
        self.kept().state.newest.clone().expect("a checkpoint was accepted")
    }
}

/// Why reading stopped before the end.
enum Stopped {
    Read(ReadError),
    Monitor(MonitorError),
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<StateError> for Stopped {
    fn from(error: StateError) -> Self {
        Self::Monitor(error.into())
    }
}

/// Says that a log shows less than it has signed.
fn rolled_back(shown: &TreeHead, known: &TreeHead, addition: &str) -> String {
    let (shown, known) = (shown.size, known.size);
    format!("the log shows a tree of {shown} entries and has signed one of {known}: {addition}")
}

/// Returns the root over a frontier and the leaves of a partial bundle behind it.
fn root_with(frontier: &Frontier, leaves: &[TreeHash]) -> TreeHash {
    if frontier.size() == TreeSize::ZERO && leaves.is_empty() {
        return TreeHash::empty_root();
    }
    let mut whole = frontier.clone();
    leaves.iter().for_each(|leaf| whole.push_leaf(*leaf));
    whole.root()
}
