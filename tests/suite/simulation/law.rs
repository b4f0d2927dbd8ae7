//! The laws, and who breaks them. What is true is known here alone.

use std::collections::{BTreeMap, BTreeSet};

use attestree::core::{
    checkpoint::SignedCheckpoint,
    evidence::{Evidence, Judgement},
    hash::TreeHash,
    note::SignedNote,
    tree::TreeHead,
    trust::TrustPolicy,
};

use super::{
    history::{Truth, bytes},
    network::WITNESSES,
};

/// A law that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Quorums have cosigned two checkpoints that can't both be true.
    TwoHistories(TreeHead, TreeHead),
    /// An honest witness has cosigned a smaller tree after a larger one.
    WentBack(usize, TreeHead, TreeHead),
    /// An honest witness has cosigned two checkpoints that can't both be true.
    TwoFaced(usize, TreeHead, TreeHead),
    /// Evidence convicts nobody.
    WorthlessEvidence(String),
    /// Evidence convicts a log of what can both be true.
    Slander(TreeHead, TreeHead),
    /// Honest parties hold checkpoints that can't both be true, and nobody has evidence.
    Unnoticed(TreeHead, TreeHead),
    /// A quorum vouches for two entries at one index.
    ChangedEntry,
    /// An honest log is suspected, or gets no quorum, when all trouble is over.
    NotTrusted(&'static str),
}

/// What has been put a name to.
#[derive(Debug)]
pub(super) struct Laws {
    pub(super) truth: Truth,
    quorum: TrustPolicy,
    quorum_size: usize,
    /// The witnesses that are held to the rules.
    honest: Vec<bool>,
    /// The cosigners of each head, and the note with all their lines.
    cosigned: BTreeMap<String, (BTreeSet<usize>, SignedNote)>,
    /// The heads with a quorum.
    covered: Vec<TreeHead>,
    /// The newest head that each honest witness has cosigned.
    last: [Option<TreeHead>; WITNESSES],
    evidence: Vec<Evidence>,
}

impl Laws {
    /// Begins with nothing signed.
    pub(super) fn new(quorum: TrustPolicy, quorum_size: usize, honest: Vec<bool>) -> Self {
        Self {
            truth: Truth::default(),
            quorum,
            quorum_size,
            honest,
            cosigned: BTreeMap::new(),
            covered: Vec::new(),
            last: [None; WITNESSES],
            evidence: Vec::new(),
        }
    }

    /// Returns the heads that a quorum has cosigned.
    pub(super) fn covered(&self) -> &[TreeHead] {
        &self.covered
    }

    /// Returns whether somebody has evidence.
    pub(super) fn is_convicted(&self) -> bool {
        !self.evidence.is_empty()
    }

    /// Sees a cosignature at the moment at which it is made, whoever gets to see it.
    pub(super) fn see_cosignature(
        &mut self,
        witness: usize,
        head: TreeHead,
        note: &SignedNote,
    ) -> Result<(), Broken> {
        if self.honest[witness]
            && let Some(last) = self.last[witness].replace(head)
        {
            if head.size < last.size {
                return Err(Broken::WentBack(witness, last, head));
            }
            if !self.truth.is_one_history(last, head) {
                return Err(Broken::TwoFaced(witness, last, head));
            }
        }
        let key = note.text().to_owned();
        let (cosigners, kept) =
            self.cosigned.entry(key).or_insert_with(|| (BTreeSet::new(), note.clone()));
        *kept = kept.with_signatures(note.signatures().to_vec()).expect("few signatures");
        let reached = cosigners.insert(witness) && cosigners.len() == self.quorum_size;
        if !reached {
            return Ok(());
        }
        let trusted = self.quorum.verify_checkpoint(&bytes(kept));
        let trusted = trusted.expect("a client trusts what a quorum has cosigned");
        assert_eq!(trusted.checkpoint.head(), head, "the head is the note's");
        let other = |covered: &&TreeHead| !self.truth.is_one_history(**covered, head);
        if let Some(other) = self.covered.iter().find(other) {
            return Err(Broken::TwoHistories(*other, head));
        }
        self.covered.push(head);
        Ok(())
    }

    /// Sees evidence, as the file that an outsider gets.
    pub(super) fn see_evidence(&mut self, evidence: &Evidence) -> Result<(), Broken> {
        let file = evidence.format();
        let evidence = Evidence::parse(&file).expect("evidence is read as it was written");
        match evidence.judge(&self.quorum) {
            Judgement::Guilty { .. } => {}
            other => return Err(Broken::WorthlessEvidence(format!("{other:?}"))),
        }
        let [older, newer] = evidence.heads();
        if self.truth.is_one_history(older, newer) {
            return Err(Broken::Slander(older, newer));
        }
        self.evidence.push(evidence);
        Ok(())
    }

    /// Sees somebody accuse an honest log with two of its checkpoints and a root of his own making.
    pub(super) fn see_slander(
        &self,
        one: &SignedCheckpoint,
        other: &SignedCheckpoint,
        root: TreeHash,
    ) -> Result<(), Broken> {
        let notes = [one, other].map(|signed| {
            let note = String::from_utf8_lossy(signed.note());
            format!("note {}\n{note}", note.len())
        });
        for claim in ["same-size".to_owned(), format!("prefix\nroot {root}\nproof {root}")] {
            let file = format!("attestree-evidence@v1\nkind {claim}\n{}{}", notes[0], notes[1]);
            let evidence = Evidence::parse(file.as_bytes()).expect("the form of evidence");
            if matches!(evidence.judge(&self.quorum), Judgement::Guilty { .. }) {
                return Err(Broken::Slander(one.head(), other.head()));
            }
        }
        Ok(())
    }

    /// Sees what honest parties hold when everything has been said that will ever be.
    ///
    /// `doubted` says that the monitor calls the log unresponsive, which is all that can be said of
    /// one that answers nothing any more.
    pub(super) fn see_end(&self, held: &[SignedCheckpoint], doubted: bool) -> Result<bool, Broken> {
        let heads: Vec<TreeHead> = held.iter().map(SignedCheckpoint::head).collect();
        let pairs = heads.iter().enumerate();
        let mut pairs =
            pairs.flat_map(|(at, one)| heads[at + 1..].iter().map(move |other| (one, other)));
        let Some((one, other)) =
            pairs.find(|(one, other)| !self.truth.is_one_history(**one, **other))
        else {
            return Ok(false);
        };
        let same_size = |one: &TreeHead| {
            heads.iter().any(|other| one.size == other.size && one.root != other.root)
        };
        let excused = doubted && !heads.iter().any(same_size);
        if self.is_convicted() || excused { Ok(true) } else { Err(Broken::Unnoticed(*one, *other)) }
    }
}
