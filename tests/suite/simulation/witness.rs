//! A witness of the simulation: `core`'s rules, a disk that survives, and a memory that doesn't.

use std::collections::VecDeque;

use attestree::core::{
    checkpoint::SignedCheckpoint,
    evidence::Evidence,
    note::{CosignatureTime, CosigningKey, KeyName, SignedNote},
    tree::TreeHead,
    witness::{AddCheckpoint, Refusal, WitnessedLog, contradicts, judge},
};
use bytes::Bytes;

use super::network::{Answer, Message, Millis};
use crate::random::Random;

/// When the simulation begins, in seconds since the epoch.
const BEGINNING: u64 = 1_767_139_200;

/// Most milliseconds that a write takes.
const WRITE_MAX: Millis = 200;

/// What a witness can get wrong, to see the laws broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It answers, and writes down afterwards what it has cosigned.
    AnswersFirst,
    /// It judges a request while what it accepted before is still being written.
    JudgesTogether,
}

/// What a witness does about evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zeal {
    /// It stops for that log, as ours does.
    Freezes,
    /// It has stopped, and an operator has to act.
    Frozen,
    /// It goes on cosigning the history that it knows, as others do.
    GoesOn,
}

/// A request that was accepted and is being written.
#[derive(Debug)]
struct Work {
    number: u64,
    view: usize,
    accepted: SignedCheckpoint,
}

/// What a witness does as a consequence.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    /// What it says to the log.
    pub(super) answer: Option<Message>,
    /// The write that it began, and how long that takes.
    pub(super) write: Option<(u64, Millis)>,
    /// What it put its name to: the text, and the signature line.
    pub(super) cosigned: Option<(TreeHead, SignedNote)>,
    /// What it can prove of the log.
    pub(super) evidence: Option<Evidence>,
}

/// One witness.
#[derive(Debug)]
pub(super) struct Witness {
    key: CosigningKey,
    log: WitnessedLog,
    colludes: bool,
    flaw: Option<Flaw>,
    /// On the disk: the checkpoint that it cosigned last.
    latest: Option<SignedCheckpoint>,
    /// On the disk as well.
    zeal: Zeal,
    /// In memory.
    works: Vec<Work>,
    waiting: VecDeque<(usize, Vec<u8>)>,
    pub(super) is_up: bool,
    numbers: u64,
}

impl Witness {
    /// Makes a witness of a log.
    pub(super) fn new(
        number: usize,
        log: WitnessedLog,
        colludes: bool,
        flaw: Option<Flaw>,
    ) -> Self {
        let name = KeyName::parse(&format!("witness.example/{number}")).expect("a name");
        let seed = [100 + u8::try_from(number).expect("few witnesses"); 32];
        Self {
            key: CosigningKey::from_seed(name, &seed),
            log,
            colludes,
            flaw: flaw.filter(|_| !colludes),
            latest: None,
            zeal: Zeal::Freezes,
            works: Vec::new(),
            waiting: VecDeque::new(),
            is_up: true,
            numbers: 0,
        }
    }

    /// Goes on signing one history when it has evidence of another.
    pub(super) fn never_freezes(&mut self) {
        self.zeal = Zeal::GoesOn;
    }

    /// Returns the key.
    pub(super) fn key(&self) -> &CosigningKey {
        &self.key
    }

    /// Returns whether the witness keeps to the rules.
    pub(super) fn is_honest(&self) -> bool {
        !self.colludes
    }

    /// Returns what it remembers.
    pub(super) fn latest(&self) -> Option<&SignedCheckpoint> {
        self.latest.as_ref()
    }

    /// Returns whether it has stopped because of evidence.
    pub(super) fn is_frozen(&self) -> bool {
        self.zeal == Zeal::Frozen
    }

    /// Returns the note that its monitoring endpoint shows.
    pub(super) fn shown(&self) -> Option<Bytes> {
        self.latest.as_ref().map(|latest| latest.note().clone())
    }

    /// Takes a request.
    pub(super) fn receive(
        &mut self,
        view: usize,
        body: Vec<u8>,
        now: Millis,
        random: &mut Random,
    ) -> Deeds {
        if self.colludes {
            return self.collude(view, &body, now);
        }
        if !self.works.is_empty() && self.flaw != Some(Flaw::JudgesTogether) {
            self.waiting.push_back((view, body));
            return Deeds::default();
        }
        self.decide(view, &body, now, random)
    }

    /// Judges a request against what is on the disk.
    fn decide(&mut self, view: usize, body: &[u8], now: Millis, random: &mut Random) -> Deeds {
        let request = AddCheckpoint::parse(body).expect("the log's requests are well formed");
        let head = request.checkpoint().expect("the log's notes are checkpoints").1.head;
        let refused = |answer, evidence| Deeds {
            answer: Some(Message::Answer { view, head, answer }),
            evidence,
            ..Deeds::default()
        };
        if self.is_frozen() {
            return refused(Answer::Refused, None);
        }
        let latest = self.latest.as_ref().map(SignedCheckpoint::head);
        let refusal = match judge(&self.log, latest.as_ref(), &request) {
            Ok(accepted) => {
                self.numbers += 1;
                let accepted = accepted.into_checkpoint();
                let write = Some((self.numbers, 1 + random.below(WRITE_MAX)));
                let early = self.flaw == Some(Flaw::AnswersFirst);
                let deeds = if early { self.sign(view, &accepted, now) } else { Deeds::default() };
                self.works.push(Work { number: self.numbers, view, accepted });
                return Deeds { write, ..deeds };
            }
            Err(refusal) => refusal,
        };
        let kept = self.latest.as_ref();
        let evidence = kept.and_then(|kept| {
            let other = contradicts(&self.log, &kept.head(), &request)?;
            Evidence::same_size(kept, &other)
        });
        assert!(
            evidence.is_some() || !matches!(refusal, Refusal::Fork { .. }),
            "two trees of one size are evidence"
        );
        if evidence.is_some() && self.zeal == Zeal::Freezes {
            self.zeal = Zeal::Frozen;
        }
        match refusal {
            Refusal::Conflict { latest } => refused(Answer::Conflict(latest), evidence),
            _ => refused(Answer::Refused, evidence),
        }
    }

    /// Goes on when a write has ended, unless a crash has forgotten it.
    pub(super) fn written(&mut self, number: u64, now: Millis) -> Deeds {
        let Some(at) = self.works.iter().position(|work| work.number == number) else {
            return Deeds::default();
        };
        let Work { view, accepted, .. } = self.works.remove(at);
        let answered = self.flaw == Some(Flaw::AnswersFirst);
        let deeds = if answered { Deeds::default() } else { self.sign(view, &accepted, now) };
        self.latest = Some(accepted);
        deeds
    }

    /// Takes a request that had to wait, once nothing is being written.
    pub(super) fn resume(&mut self, now: Millis, random: &mut Random) -> Option<Deeds> {
        if !self.works.is_empty() {
            return None;
        }
        let (view, body) = self.waiting.pop_front()?;
        Some(self.decide(view, &body, now, random))
    }

    /// Dies. What was being written is on the disk or not; returns whether an answer was lost.
    pub(super) fn crash(&mut self, random: &mut Random) -> bool {
        self.is_up = false;
        self.waiting.clear();
        let interrupted = !self.works.is_empty();
        for work in core::mem::take(&mut self.works) {
            if random.chance(50) {
                self.latest = Some(work.accepted);
            }
        }
        interrupted
    }

    /// Cosigns whatever the log has signed, and answers at once.
    fn collude(&mut self, view: usize, body: &[u8], now: Millis) -> Deeds {
        let request = AddCheckpoint::parse(body).expect("the log's requests are well formed");
        match SignedCheckpoint::verify(&request.note, &self.log.keys[0]) {
            Ok(signed) => {
                let deeds = self.sign(view, &signed, now);
                self.latest = Some(signed);
                deeds
            }
            Err(_foreign) => Deeds::default(),
        }
    }

    /// Cosigns.
    fn sign(&self, view: usize, accepted: &SignedCheckpoint, now: Millis) -> Deeds {
        let note = SignedNote::parse(accepted.note()).expect("a checkpoint is a note");
        let time = CosignatureTime::new(BEGINNING + now / 1_000).expect("a time of this century");
        let line = self.key.sign(note.text(), time);
        let answer = Answer::Cosigned(format!("{line}\n").into_bytes());
        let cosigned = note.with_signatures(vec![line]).expect("few signatures");
        Deeds {
            answer: Some(Message::Answer { view, head: accepted.head(), answer }),
            cosigned: Some((accepted.head(), cosigned)),
            ..Deeds::default()
        }
    }
}
