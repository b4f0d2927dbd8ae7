//! The operator of the log: honest, or with several histories and the one real key in his hand.

use std::collections::BTreeSet;

use attestree::core::{
    hash::TreeHash,
    note::{NoteSignature, SignedNote, SigningKey, VerifierKey, parse_signature_lines},
    number::LeafIndex,
    origin::Origin,
    receipt::Receipt,
    tree::TreeHead,
    witness::AddCheckpoint,
};

use super::{
    history::{History, Truth, bytes, checkpoint, len},
    network::{Answer, Message, Party, WITNESSES},
};
use crate::random::Random;

/// Candidates of a view whose cosignatures are still taken: as many as the server keeps.
const CANDIDATES_MAX: usize = 64;

/// Requests that are kept for replays.
const SENT_MAX: usize = 40;

/// A signed head that witnesses are asked to cosign.
#[derive(Clone, Debug)]
struct Candidate {
    head: TreeHead,
    note: SignedNote,
    cosigners: BTreeSet<usize>,
}

/// One history of the log, and what its readers and witnesses are shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) history: History,
    /// The size that each witness has cosigned last, as far as this view knows.
    known: [usize; WITNESSES],
    candidates: Vec<Candidate>,
    /// Signature lines that are no witness's.
    pub(super) grease: Vec<NoteSignature>,
}

/// Whoever holds the log's key.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) origin: Origin,
    pub(super) key: SigningKey,
    pub(super) views: Vec<View>,
    /// Which view a reader is shown: the monitor, then the auditor.
    pub(super) routes: [usize; 2],
    /// Whether readers get no answer any more.
    pub(super) is_silent: bool,
    /// Requests that went out, to be sent again.
    pub(super) sent: Vec<(usize, usize, Vec<u8>)>,
    witnesses: Vec<VerifierKey>,
    quorum: usize,
    entries: u64,
}

impl View {
    /// Makes a view of a history.
    pub(super) fn new(history: History) -> Self {
        let (candidates, grease) = (Vec::new(), Vec::new());
        Self { history, known: [0; WITNESSES], candidates, grease }
    }

    /// Returns the newest candidate that the quorum has cosigned, or the newest one.
    fn best(&self, quorum: usize, cosigned: bool) -> Option<&Candidate> {
        let met = |candidate: &&Candidate| !cosigned || candidate.cosigners.len() >= quorum;
        self.candidates.iter().rev().find(met)
    }

    /// Forgets what only memory held.
    pub(super) fn forget(&mut self) {
        self.known = [0; WITNESSES];
        self.candidates.clear();
    }
}

impl Operator {
    /// Makes the operator of a log without entries.
    pub(super) fn new(
        origin: Origin,
        key: SigningKey,
        witnesses: Vec<VerifierKey>,
        quorum: usize,
    ) -> Self {
        Self {
            origin,
            key,
            views: vec![View::new(History::default())],
            routes: [0; 2],
            is_silent: false,
            sent: Vec::new(),
            witnesses,
            quorum,
            entries: 0,
        }
    }

    /// Returns a new entry, unlike every other.
    pub(super) fn entry(&mut self) -> String {
        self.entries += 1;
        format!("entry {}", self.entries)
    }

    /// Signs a head of a view, which becomes its newest candidate.
    pub(super) fn sign(&mut self, view: usize, head: TreeHead, truth: &mut Truth) {
        let Self { origin, key, views, .. } = self;
        let view = &mut views[view];
        let is_prefix =
            len(head.size) <= view.history.len() && view.history.head_at(len(head.size)) == head;
        let leaves = is_prefix.then(|| {
            let mut leaves = view.history.leaves_from(0);
            leaves.truncate(len(head.size));
            leaves
        });
        truth.learn(head, leaves);
        if view.candidates.last().is_some_and(|candidate| candidate.head == head) {
            return;
        }
        let note = checkpoint(key, origin, head, view.grease.clone());
        view.candidates.push(Candidate { head, note, cosigners: BTreeSet::new() });
        if view.candidates.len() > CANDIDATES_MAX {
            view.candidates.remove(0);
        }
    }

    /// Returns the request to cosign the newest candidate of a view.
    pub(super) fn request(&mut self, view: usize, witness: usize) -> Option<Message> {
        let shown = &self.views[view];
        let candidate = shown.candidates.last()?;
        let size = len(candidate.head.size);
        // A witness that is further than the candidate will say so.
        let old = shown.known[witness].min(size);
        // For a root that was made up there is no proof; this one is as good as any.
        let provable = old > 0 && size <= shown.history.len();
        let proof = if provable { shown.history.consistency(old, size) } else { Vec::new() };
        let note = bytes(&candidate.note);
        let old_size = super::history::tree_size(old);
        let body = AddCheckpoint { old_size, proof, note }.format();
        if self.sent.len() < SENT_MAX {
            self.sent.push((view, witness, body.clone()));
        }
        Some(Message::AddCheckpoint { view, body })
    }

    /// Takes the answer of a witness; returns the next request where there has to be one.
    pub(super) fn answered(
        &mut self,
        view: usize,
        witness: usize,
        head: TreeHead,
        answer: Answer,
    ) -> Option<Message> {
        let shown = &mut self.views[view];
        match answer {
            Answer::Refused => None,
            Answer::Conflict(size) => {
                let moved = shown.known[witness] != len(size);
                shown.known[witness] = len(size);
                if moved { self.request(view, witness) } else { None }
            }
            Answer::Cosigned(lines) => {
                let lines = parse_signature_lines(&lines).expect("a witness answers in lines");
                let candidate =
                    shown.candidates.iter_mut().find(|candidate| candidate.head == head)?;
                let vkey = &self.witnesses[witness];
                let holds = |line: &NoteSignature| line.verify(vkey, candidate.note.text()).is_ok();
                assert!(lines.iter().all(holds), "a witness signs the text that it was sent");
                candidate.note = candidate.note.with_signatures(lines).expect("few signatures");
                candidate.cosigners.insert(witness);
                shown.known[witness] = len(head.size);
                None
            }
        }
    }

    /// Shows a reader the newest candidate of his view and its leaves from a position on.
    pub(super) fn show(&self, reader: Party, from: usize) -> Option<Message> {
        let view = self.view_of(reader)?;
        let candidate = view.best(self.quorum, false)?;
        let size = len(candidate.head.size);
        let mut leaves = view.history.leaves_from(from);
        leaves.truncate(size.saturating_sub(from));
        Some(Message::Shown { note: bytes(&candidate.note), from, leaves })
    }

    /// Returns the receipt of some entry of the reader's view, with a quorum if he wants one and there is one.
    pub(super) fn receipt(&self, reader: Party, chosen: u64, cosigned: bool) -> Option<Message> {
        let view = self.view_of(reader)?;
        let candidate =
            view.best(self.quorum, cosigned).or_else(|| view.best(self.quorum, false))?;
        let size = len(candidate.head.size);
        if size == 0 || size > view.history.len() {
            return None;
        }
        let index = usize::try_from(chosen % size as u64).expect("a small index");
        let receipt = Receipt {
            extra: None,
            index: LeafIndex::new(index as u64).expect("a small index"),
            proof: view.history.inclusion(index, size),
            note: bytes(&candidate.note),
        };
        let entry = view.history.entries()[index].clone();
        Some(Message::Receipt { entry, receipt: receipt.format() })
    }

    /// Returns what a reader is shown.
    fn view_of(&self, reader: Party) -> Option<&View> {
        if self.is_silent {
            return None;
        }
        let route = if reader == Party::Monitor { self.routes[0] } else { self.routes[1] };
        self.views.get(route)
    }

    /// Makes another history that parts from one of the views, and returns its view.
    pub(super) fn part(&mut self, view: usize, change: impl FnOnce(&mut Vec<String>)) -> usize {
        let source = &self.views[view];
        let mut entries = source.history.entries().to_vec();
        let known = source.known;
        change(&mut entries);
        self.views.push(View { known, ..View::new(History::of(entries)) });
        self.views.len() - 1
    }

    /// Returns a view by chance.
    pub(super) fn some_view(&self, random: &mut Random) -> usize {
        random.position(self.views.len())
    }
}

/// Returns a root that is of no tree.
pub(super) fn made_up(random: &mut Random) -> TreeHash {
    TreeHash::from_slice(&random.bytes(32)).expect("32 bytes")
}
