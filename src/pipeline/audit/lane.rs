//! The sequencer's part of an audit log: what it appends in one batch, in order.
//!
//! First what the server has to say, then what was submitted, then what follows of it; a submission's own
//! records stand together.

use core::fmt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    change::Change,
    handle::{Audited, Generation},
    judge::{Event, Field, Judged, Unjudged, judge},
    stamp::Stamper,
};
use crate::{
    core::{
        hash::TreeHash,
        number::{LeafIndex, UnixMillis},
        policy::Watching,
        record::{ApprovalRule, Draft, Head, KeyConflict, Place, RecordId, Secret, System},
    },
    pipeline::{
        Clock,
        admit::{Admitted, AdmittedEntry},
        cycle::Sequenced,
        identity::Identities,
        log::{Log, LogStatus},
        ticket::{Failure, Outcome, Recorded},
        vault::VaultError,
    },
    store::{Extra, SourceKey},
};

/// Kind of the row that holds the place of the last `policy` record.
pub(super) const POLICY_KIND: u8 = 1;

/// Most records that one event makes, its own aside: about its number and its alerts.
const FOLLOWING_MAX: u64 = 16;

/// The sequencer's part of an audit log.
pub(in crate::pipeline) struct AuditLane {
    pub(super) audited: Arc<Audited>,
    pub(super) generation: Arc<Generation>,
    pub(super) stamper: Stamper,
    pub(super) watching: Watching,
    /// Who approves the first policy, as long as the log has no genesis.
    pub(super) first_rule: Option<ApprovalRule>,
    /// Policies that are to be applied.
    pub(super) changes: Vec<Change>,
}

/// What a batch appends, as it is put together.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Written {
    size: u64,
    pub(in crate::pipeline) entries: Vec<Bytes>,
    pub(in crate::pipeline) leaf_hashes: Vec<TreeHash>,
    pub(in crate::pipeline) extra: Vec<(Extra, Vec<u8>, Vec<u8>)>,
    pub(in crate::pipeline) sequenced: Vec<Sequenced>,
}

/// The keys of the subjects of a batch.
type Keys = BTreeMap<String, Secret>;

impl Written {
    /// Begins a batch of a tree of this size.
    pub(in crate::pipeline) fn new(size: u64) -> Self {
        Self { size, ..Self::default() }
    }

    /// Returns the index of the next entry.
    pub(in crate::pipeline) fn next(&self) -> LeafIndex {
        let next = self.size + self.entries.len() as u64;
        LeafIndex::new(next).expect("a tree stays below its largest size")
    }

    /// Adds an entry; returns its leaf hash.
    pub(in crate::pipeline) fn push(&mut self, entry: Bytes) -> TreeHash {
        let hash = TreeHash::leaf(&entry);
        self.entries.push(entry);
        self.leaf_hashes.push(hash);
        hash
    }
}

impl fmt::Debug for AuditLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stamper, changes, .. } = self;
        let mut lane = f.debug_struct("AuditLane");
        lane.field("stamper", stamper).field("changes", changes).finish_non_exhaustive()
    }
}

impl AuditLane {
    /// Returns what the log's handle has of it.
    pub(in crate::pipeline) fn audited(&self) -> Arc<Audited> {
        Arc::clone(&self.audited)
    }

    /// Takes the clocks as they are when the log is opened.
    pub(in crate::pipeline) fn start(&mut self, clock: &dyn Clock) {
        self.stamper.start(clock.now(), clock.monotonic());
        self.watching.begin(&self.generation.governed.watch, self.stamper.present());
    }

    /// Takes the clocks as right, because an operator says so.
    pub(in crate::pipeline) fn confirm(&mut self, clock: &dyn Clock) {
        self.stamper.confirm(clock.now(), clock.monotonic());
    }

    /// Takes a policy that is to be applied with the next batch.
    pub(in crate::pipeline) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Returns whether something is to be recorded that nobody submitted.
    pub(in crate::pipeline) fn is_due(&self, clock: &dyn Clock) -> bool {
        let now = super::judge::time_of(clock.now());
        self.first_rule.is_some()
            || !self.changes.is_empty()
            || self.watching.is_due(&self.generation.governed.watch, now)
    }

    /// Makes the records of a batch. Every group is answered, or is among those that were sequenced.
    pub(in crate::pipeline) fn write(
        &mut self,
        log: &Log,
        groups: Vec<Admitted>,
        identities: &mut Identities,
        oldest: LeafIndex,
        clock: &dyn Clock,
        written: &mut Written,
    ) {
        let wall = clock.now();
        if let Err(doubt) = self.stamper.begin(wall, clock.monotonic(), self.records_max(&groups)) {
            tracing::error!(
                origin = log.origin(),
                ?doubt,
                "the clock can't be trusted; an operator has to confirm it"
            );
            log.set_status(LogStatus::ClockDoubted);
            groups.into_iter().for_each(|group| group.fail(Failure::ClockDoubted));
            core::mem::take(&mut self.changes)
                .into_iter()
                .for_each(|change| change.fail(Failure::ClockDoubted));
            return;
        }
        if let Some(rule) = self.first_rule.take() {
            let origin = log.row().origin.clone();
            self.say(&System::Genesis { origin, rule }, wall, written);
        }
        for change in core::mem::take(&mut self.changes) {
            self.switch(log, change, wall, written);
        }
        let groups = self.judge_again(log, groups, wall);
        match self.keys(log, &groups) {
            Ok(keys) => {
                for group in groups {
                    self.group(log, group, identities, oldest, &keys, wall, written);
                }
            }
            Err(error) => {
                tracing::error!(origin = log.origin(), error = %error, "keys of fields can't be had");
                let failure = Failure::Vault(error);
                groups.into_iter().for_each(|group| group.fail(failure.clone()));
            }
        }
        let (watch, now) = (&self.generation.governed.watch, self.stamper.present());
        for system in self.watching.tick(watch, now) {
            self.say(&system, wall, written);
        }
        self.keep(log, written);
    }

    /// Returns the most records that a batch makes.
    fn records_max(&self, groups: &[Admitted]) -> u64 {
        let events: u64 = groups.iter().map(|group| group.entries.len() as u64).sum();
        let parts: u64 = self.changes.iter().map(|change| change.parts.len() as u64 + 1).sum();
        let watch = &self.generation.governed.watch;
        let watched = watch.sources.len() + watch.alerts.len();
        let following = (watched as u64).min(FOLLOWING_MAX) + 1;
        let entries = groups.iter().flat_map(|group| &group.entries);
        let seen = entries.filter_map(|entry| entry.judged.as_deref()?.seen.as_ref());
        let custom: u64 = seen.map(|seen| seen.alerts.len() as u64).sum();
        // Another event under a key that is taken has one more.
        let kept = groups.iter().filter(|group| group.kept);
        let conflicts: u64 = kept.map(|group| group.entries.len() as u64).sum();
        1 + events * following + conflicts + custom + parts + self.watching.timed_max(watch)
    }

    /// Judges again what was judged by an older policy. What the newer one refuses is answered.
    fn judge_again(&self, log: &Log, groups: Vec<Admitted>, wall: UnixMillis) -> Vec<Admitted> {
        let mut kept = Vec::with_capacity(groups.len());
        for mut group in groups {
            match self.judge_group(log, &mut group, wall) {
                Ok(()) => kept.push(group),
                Err(failure) => group.fail(failure),
            }
        }
        kept
    }

    /// Judges the events of a group again where that is due.
    fn judge_group(
        &self,
        log: &Log,
        group: &mut Admitted,
        wall: UnixMillis,
    ) -> Result<(), Failure> {
        let (source, kept) = (group.source.as_deref(), group.kept);
        for (position, entry) in group.entries.iter_mut().enumerate() {
            let judged = entry.judged.as_deref();
            if judged.is_some_and(|judged| judged.generation == self.generation.number) {
                continue;
            }
            let event = Event { bytes: &entry.bytes, source, class: entry.class, kept };
            match judge(log, &self.audited, &self.generation, event, wall) {
                Ok(judged) => entry.judged = Some(Box::new(judged)),
                Err(Unjudged::Rejected(rules)) => {
                    return Err(Failure::Rejected { position, rules });
                }
                Err(Unjudged::Vault(error)) => return Err(Failure::Vault(error)),
                Err(Unjudged::Malformed(_)) => {
                    unreachable!("what was read once is read again")
                }
            }
        }
        Ok(())
    }

    /// Gets the keys that are needed and were not at hand, all at once.
    fn keys(&self, log: &Log, groups: &[Admitted]) -> Result<Keys, VaultError> {
        let entries = groups.iter().flat_map(|group| &group.entries);
        let fields = entries
            .filter_map(|entry| entry.judged.as_deref())
            .filter(|judged| judged.suppressed.is_none())
            .flat_map(|judged| &judged.fields);
        let subjects: BTreeSet<&str> = fields
            .filter(|field| field.sealed.is_none())
            .map(|field| field.subject.as_str())
            .collect();
        if subjects.is_empty() {
            return Ok(Keys::new());
        }
        let subjects: Vec<&str> = subjects.into_iter().collect();
        let row = log.row();
        let keys = self.audited.parts.vault.subject_keys(row.number, &row.origin, &subjects)?;
        Ok(subjects.into_iter().map(str::to_owned).zip(keys).collect())
    }

    /// Appends what is new of a group, and what follows of it.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of the batch that is put together"
    )]
    fn group(
        &mut self,
        log: &Log,
        mut group: Admitted,
        identities: &mut Identities,
        oldest: LeafIndex,
        keys: &Keys,
        wall: UnixMillis,
        written: &mut Written,
    ) {
        let outcomes = match identities.resolve(&mut group, written.next().get(), oldest) {
            Ok(outcomes) => outcomes,
            Err(failure) => return group.fail(failure),
        };
        let mut conflicts = identities.take_conflicts().into_iter().peekable();
        let Admitted { entries, source, permit, ticket, .. } = group;
        let mut leaf_hashes = Vec::with_capacity(entries.len());
        let mut records = Vec::with_capacity(entries.len());
        let mut following = Vec::new();
        for (AdmittedEntry { judged, .. }, outcome) in entries.into_iter().zip(&outcomes) {
            let judged = *judged.expect("an event was judged");
            let (hash, recorded) = match outcome {
                Outcome::Sequenced { .. } => {
                    let seen = judged.seen.clone();
                    let index = written.next();
                    let (hash, mut recorded) = self.record(log, judged, keys, written);
                    if let Some((first, _)) = conflicts.next_if(|(_, of)| *of == index) {
                        let source = source.clone().expect("who is kept has a name");
                        recorded.conflicts_with = Some(first);
                        following.push(System::KeyConflict(KeyConflict { source, first, index }));
                    }
                    let at = self.stamper.present();
                    if let Some(seen) = seen {
                        let watch = &self.generation.governed.watch;
                        following.extend(self.watching.observe(watch, &seen, at));
                    }
                    (hash, Some(recorded))
                }
                Outcome::Suppressed => {
                    if let Judged { seen: Some(seen), suppressed: Some(position), .. } = &judged {
                        let (watch, at) = (&self.generation.governed.watch, self.stamper.present());
                        self.watching.suppress(watch, *position, seen, at);
                    }
                    (TreeHash::from_bytes([0; 32]), None)
                }
                Outcome::Duplicate { .. } | Outcome::Conflict { .. } => {
                    (TreeHash::from_bytes([0; 32]), None)
                }
            };
            leaf_hashes.push(hash);
            records.push(recorded);
        }
        for system in following {
            self.say(&system, wall, written);
        }
        written.sequenced.push(Sequenced { ticket, outcomes, leaf_hashes, records, permit });
    }

    /// Appends the record of an event, and what opens its commitments.
    fn record(
        &mut self,
        log: &Log,
        judged: Judged,
        keys: &Keys,
        written: &mut Written,
    ) -> (TreeHash, Recorded) {
        let Judged { id, draft, fields, verdict, .. } = judged;
        let entry = Bytes::from(draft.stamp(self.stamper.next()));
        let row = log.row();
        let (number, index) = (row.number, written.next());
        let mut openings = Vec::with_capacity(fields.len());
        for (field, Field { opening, subject, sealed }) in (0..).zip(fields) {
            let place = Place { origin: &row.origin, id, field };
            let sealed = sealed.unwrap_or_else(|| {
                let key = keys.get(&subject).expect("the keys of a batch were asked for");
                place.seal(key, &opening)
            });
            let key = place.row_key(number, index).to_vec();
            written.extra.push((Extra::Disclosure, key, sealed));
            openings.push(opening);
        }
        let hash = written.push(entry.clone());
        (hash, Recorded { entry, openings, verdict, conflicts_with: None })
    }

    /// Appends a record of the system; returns its leaf hash.
    pub(super) fn say(
        &mut self,
        system: &System,
        wall: UnixMillis,
        written: &mut Written,
    ) -> TreeHash {
        if let System::Alert(..) = system {
            self.audited.feed.tell(written.next());
        }
        let mut random = [0; 10];
        self.audited.parts.entropy.fill(&mut random);
        let head = Head { id: RecordId::new(wall, random), policy: self.generation.digest() };
        let draft = Draft::system(&head, system).expect("what the server says is in its bounds");
        written.push(draft.stamp(self.stamper.next()).into())
    }

    /// Writes down what is remembered, with what it was learned from.
    fn keep(&mut self, log: &Log, written: &mut Written) {
        let number = log.number();
        for (kind, rest, content) in self.watching.take_rows() {
            let key = SourceKey { log: number, kind, rest };
            written.extra.push((Extra::Source, key.encode(), SourceKey::row(&content)));
        }
    }
}
