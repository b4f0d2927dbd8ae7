//! The heads of a log that its witnesses are shown, and the cosignatures that these have got.
//!
//! Heads change every millisecond, and a witness signs one after another. So a log with witnesses
//! takes its newest head as a *candidate* now and then, and only candidates are pushed to witnesses or
//! shown to those that poll: all of them then speak of the same few heads, and their cosignatures meet.
//!
//! # Invariants
//!
//! - Candidates stand in the order of their sizes, the newest last; at most [`CANDIDATES_MAX`] are kept.
//! - A cosignature was verified under the key of a witness of the log's policy before it got here.
//! - `cosigned` is the largest candidate whose quorum was ever met, also when it is no longer kept.
//!
//! # Out of scope
//!
//! - Asking witnesses: `crate::cosign`. Nothing here waits or talks to anyone.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::watch;

use super::log::Published;
use crate::core::{
    checkpoint::{CheckpointText, SignedCheckpoint},
    note::{CosignatureTime, NoteSignature, SignedNote},
    number::UnixMillis,
    origin::Origin,
    tree::TreeHead,
    trust::TrustPolicy,
};

/// Most candidates for which cosignatures are taken.
///
/// At one a second it is a minute: longer than a witness that polls takes from reading a candidate to
/// delivering its cosignature. A candidate costs a note and the levels of the right edge that the
/// next one does not share, 20 KB at most.
pub const CANDIDATES_MAX: usize = 64;

/// Which heads of a log readers are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publish {
    /// Every signed one, at once.
    #[default]
    Signed,
    /// Those that the quorum of its witnesses has cosigned.
    Cosigned,
}

impl core::str::FromStr for Publish {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "signed" => Ok(Self::Signed),
            "cosigned" => Ok(Self::Cosigned),
            _ => Err(()),
        }
    }
}

impl core::fmt::Display for Publish {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Signed => "signed",
            Self::Cosigned => "cosigned",
        })
    }
}

/// A head that witnesses are shown.
#[derive(Clone, Debug)]
pub struct Candidate {
    head: Arc<Published>,
    checkpoint: SignedCheckpoint,
    /// The latest time that each witness of the policy states.
    times: Vec<Option<CosignatureTime>>,
    cosigned: bool,
}

impl Candidate {
    /// Returns the head as the log signed it.
    pub fn head(&self) -> &Arc<Published> {
        &self.head
    }

    /// Returns the checkpoint with the cosignatures that it has got.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Returns whether the quorum has cosigned it.
    pub fn is_cosigned(&self) -> bool {
        self.cosigned
    }

    fn tree_head(&self) -> TreeHead {
        self.checkpoint.head()
    }

    /// Adds cosignatures that are newer than those it has. Returns whether there were any.
    fn add(&mut self, cosignatures: &[Cosignature], trust: &TrustPolicy) -> bool {
        let newer = |added: &&Cosignature| {
            self.times.get(added.witness).is_some_and(|known| *known < Some(added.time))
        };
        let newer: Vec<&Cosignature> = cosignatures.iter().filter(newer).collect();
        if newer.is_empty() {
            return false;
        }
        let lines = newer.iter().map(|added| added.line.clone()).collect();
        let checkpoint = self.checkpoint.with_signatures(lines);
        self.checkpoint = checkpoint.expect("a policy has fewer witnesses than a note signatures");
        for added in newer {
            if let Some(time) = self.times.get_mut(added.witness) {
                *time = Some(added.time);
            }
        }
        self.cosigned = self.is_quorum(trust);
        true
    }

    fn is_quorum(&self, trust: &TrustPolicy) -> bool {
        let times = trust.witnesses().iter().zip(&self.times);
        let cosigned: Vec<&str> =
            times.filter(|(_, time)| time.is_some()).map(|(witness, _)| &*witness.name).collect();
        trust.quorum_reached(|witness| cosigned.contains(&&*witness.name))
    }
}

/// The last candidates of a log.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    kept: VecDeque<Candidate>,
    cosigned: Option<Arc<Published>>,
    /// When the quorum of `cosigned` was last met or refreshed.
    cosigned_at: UnixMillis,
}

impl Candidates {
    /// Returns the newest candidate.
    pub fn newest(&self) -> Option<&Candidate> {
        self.kept.back()
    }

    /// Returns the largest head whose quorum was met, with its cosignatures.
    pub fn cosigned(&self) -> Option<&Arc<Published>> {
        self.cosigned.as_ref()
    }

    /// Returns when that quorum was last met or refreshed.
    pub fn cosigned_at(&self) -> UnixMillis {
        self.cosigned_at
    }

    /// Takes a head as the newest candidate, unless it is not larger than the one before.
    fn offer(&mut self, head: Arc<Published>, trust: &TrustPolicy, now: UnixMillis) -> bool {
        let size = head.head().size;
        if self.newest().is_some_and(|newest| newest.tree_head().size >= size) {
            return false;
        }
        if self.kept.len() == CANDIDATES_MAX {
            self.kept.pop_front();
        }
        let (checkpoint, times) = (head.checkpoint.clone(), vec![None; trust.witnesses().len()]);
        let mut candidate = Candidate { head, checkpoint, times, cosigned: false };
        candidate.cosigned = candidate.is_quorum(trust);
        if candidate.cosigned {
            self.cosigned = Some(Arc::clone(&candidate.head));
            self.cosigned_at = now;
        }
        self.kept.push_back(candidate);
        true
    }

    /// Adds cosignatures to a candidate; `None` if it is none of those kept.
    fn add(
        &mut self,
        head: TreeHead,
        cosignatures: &[Cosignature],
        trust: &TrustPolicy,
        now: UnixMillis,
    ) -> Option<Change> {
        let candidate = self.kept.iter_mut().find(|candidate| candidate.tree_head() == head)?;
        let changed = candidate.add(cosignatures, trust);
        let is_newer = self.cosigned.as_ref().is_none_or(|known| known.head().size <= head.size);
        if changed && candidate.cosigned && is_newer {
            let Published { edge, at, .. } = &*candidate.head;
            let checkpoint = candidate.checkpoint.clone();
            self.cosigned = Some(Arc::new(Published { checkpoint, edge: edge.clone(), at: *at }));
            self.cosigned_at = now;
        }
        Some(Change { changed, cosigned: candidate.cosigned })
    }
}

/// What became of cosignatures.
struct Change {
    changed: bool,
    cosigned: bool,
}

/// A signature line that verified under the key of a witness.
#[derive(Clone, Debug)]
struct Cosignature {
    /// Position of the witness in the policy.
    witness: usize,
    time: CosignatureTime,
    line: NoteSignature,
}

/// What became of signature lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The witnesses whose lines verified, by their position in the policy.
    pub witnesses: Vec<usize>,
    /// Whether the candidate's quorum is met.
    pub cosigned: bool,
}

/// The head is none of the last candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no tree of this size and root is among the log's last {CANDIDATES_MAX} candidates")]
pub struct NoCandidate;

/// The witnesses of a log, and what they are shown of it.
#[derive(Debug)]
pub struct Witnessed {
    trust: Arc<TrustPolicy>,
    publish: Publish,
    candidates: watch::Sender<Candidates>,
}

impl Witnessed {
    /// Begins without candidates.
    pub(super) fn new(trust: Arc<TrustPolicy>, publish: Publish) -> Self {
        Self { trust, publish, candidates: watch::Sender::new(Candidates::default()) }
    }

    /// Returns the policy that names the witnesses and their quorum.
    pub fn trust(&self) -> &Arc<TrustPolicy> {
        &self.trust
    }

    /// Returns which heads readers are shown.
    pub fn publish(&self) -> Publish {
        self.publish
    }

    /// Returns a receiver that sees each change of the candidates.
    pub fn watch(&self) -> watch::Receiver<Candidates> {
        self.candidates.subscribe()
    }

    /// Returns the candidates as they are.
    pub fn candidates(&self) -> watch::Ref<'_, Candidates> {
        self.candidates.borrow()
    }

    /// Takes a head as the newest candidate. Returns whether it is one.
    pub(super) fn offer(&self, head: Arc<Published>, now: UnixMillis) -> bool {
        self.candidates.send_if_modified(|candidates| candidates.offer(head, &self.trust, now))
    }

    /// Verifies signature lines over a head and adds them to its candidate.
    ///
    /// Of each witness one line is looked at, so that the work is bounded by the policy. Lines of
    /// others, and lines that do not hold, are passed over.
    pub(super) fn take(
        &self,
        origin: &Origin,
        head: TreeHead,
        lines: &[NoteSignature],
        now: UnixMillis,
    ) -> Result<Taken, NoCandidate> {
        let text = CheckpointText { origin: origin.clone(), head }.to_string();
        let cosignatures = self.verify(&text, lines);
        let mut change = None;
        self.candidates.send_if_modified(|candidates| {
            change = candidates.add(head, &cosignatures, &self.trust, now);
            change.as_ref().is_some_and(|change| change.changed)
        });
        let change = change.ok_or(NoCandidate)?;
        let witnesses = cosignatures.iter().map(|cosignature| cosignature.witness).collect();
        Ok(Taken { witnesses, cosigned: change.cosigned })
    }

    /// Returns whether the lines of a checkpoint's note make the quorum.
    pub fn has_quorum(&self, checkpoint: &SignedCheckpoint) -> bool {
        let note = SignedNote::parse(checkpoint.note()).expect("the note of a checkpoint parses");
        // What a log shows was verified when it was taken.
        let lines = note.signatures();
        self.trust.quorum_reached(|witness| lines.iter().any(|line| line.claims(&witness.key)))
    }

    /// Returns the witnesses, by their position, whose lines verify over a checkpoint of the log.
    pub fn signers(&self, checkpoint: &SignedCheckpoint, lines: &[NoteSignature]) -> Vec<usize> {
        let (origin, head) = (checkpoint.origin().clone(), checkpoint.head());
        let text = CheckpointText { origin, head }.to_string();
        self.verify(&text, lines).into_iter().map(|cosignature| cosignature.witness).collect()
    }

    fn verify(&self, text: &str, lines: &[NoteSignature]) -> Vec<Cosignature> {
        let mut found = Vec::new();
        for (witness, trusted) in self.trust.witnesses().iter().enumerate() {
            let Some(line) = lines.iter().find(|line| line.claims(&trusted.key)) else { continue };
            // Time 0 states nothing about when (c2sp.org/tlog-witness).
            let stated = line.verify(&trusted.key, text).ok().flatten();
            if let Some(time) = stated.filter(|time| time.get() > 0) {
                found.push(Cosignature { witness, time, line: line.clone() });
            }
        }
        found
    }

    /// Takes up a head that was a candidate before a restart, with the cosignatures in its note.
    pub(super) fn resume(&self, head: &Arc<Published>, now: UnixMillis) {
        let checkpoint = &head.checkpoint;
        let note = SignedNote::parse(checkpoint.note()).expect("the note of a checkpoint parses");
        self.offer(Arc::clone(head), now);
        // A head that is smaller than one taken up before is no candidate any more.
        let _not_kept = self.take(checkpoint.origin(), checkpoint.head(), note.signatures(), now);
    }
}
