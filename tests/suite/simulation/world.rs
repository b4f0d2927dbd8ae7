//! All parties under one clock and one seed.

use std::collections::BTreeMap;

use attestree::core::{
    checkpoint::SignedCheckpoint,
    note::{KeyName, SigningKey},
    origin::Origin,
    trust::TrustPolicy,
    witness::WitnessedLog,
};

use super::{
    auditor::Auditor,
    law::{Broken, Laws},
    lie::{LIES, tell},
    monitor::Monitor,
    network::{Event, Message, Millis, Network, Party, WITNESSES},
    operator::{Operator, made_up},
    witness::{Deeds, Flaw, Witness},
};
use crate::random::Random;

/// When the trouble ends.
const TROUBLE_END: Millis = 12_000;

/// When the world ends: after the trouble come some ten turns of each party in peace.
const END: Millis = TROUBLE_END + 10_000;

/// When the last entry is appended, so that the news of it gets everywhere: a candidate, a conflict and
/// the request that follows it are four messages, and each takes up to a second and a half.
const GROWTH_END: Millis = END - 8_000;

/// Milliseconds between two turns of a party.
const TURN: Millis = 1_000;

/// Most milliseconds that a party is down or a link is cut.
const DOWN_MAX: Millis = 3_000;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    /// Whether the operator lies.
    pub(super) lying: bool,
    /// How many of the witnesses cosign whatever he signs.
    pub(super) colluders: usize,
    /// How many witnesses the clients want.
    pub(super) quorum: usize,
    /// What the honest witnesses get wrong.
    pub(super) flaw: Option<Flaw>,
    /// Whether the monitor asks the witnesses and the auditor what they hold.
    pub(super) gossip: bool,
}

/// How often something happened, by its name.
pub(super) type Tally = BTreeMap<String, u64>;

/// The world.
pub(super) struct World {
    setup: Setup,
    network: Network,
    random: Random,
    operator: Operator,
    witnesses: Vec<Witness>,
    monitor: Monitor,
    auditor: Auditor,
    laws: Laws,
    /// In how many of a hundred cases the operator dares to lie.
    lies: u64,
    pub(super) tally: Tally,
    /// What happened, if it is to be told.
    pub(super) story: Option<Vec<String>>,
}

impl World {
    /// Makes the world of a seed.
    pub(super) fn new(seed: u64, setup: Setup, told: bool) -> Self {
        let mut random = Random::new(seed);
        let origin = Origin::parse("log.example/simulated").expect("an origin");
        let name = KeyName::parse(origin.as_str()).expect("a name");
        let key = SigningKey::from_seed(name, &[1; 32]);
        let log_key = key.verifier_key().clone();
        let log = WitnessedLog { origin: origin.clone(), keys: vec![log_key.clone()] };
        let honest = |number| number >= setup.colluders;
        let witness = |number| Witness::new(number, log.clone(), !honest(number), setup.flaw);
        let mut witnesses: Vec<Witness> = (0..WITNESSES).map(witness).collect();
        if random.chance(50) {
            witnesses.iter_mut().for_each(Witness::never_freezes);
        }
        let keys: Vec<_> =
            witnesses.iter().map(|witness| witness.key().verifier_key().clone()).collect();

        let lines = (0..WITNESSES).map(|number| format!("witness w{number} {}\n", keys[number]));
        let lines: String = lines.collect();
        let group = format!("group quorum-of-all {} w0 w1 w2 w3 w4\n", setup.quorum);
        let quorum = format!("log {log_key}\n{lines}{group}quorum quorum-of-all\n");
        let quorum = TrustPolicy::parse(&quorum).expect("a policy");
        let signed =
            TrustPolicy::parse(&format!("log {log_key}\nquorum none\n")).expect("a policy");

        Self {
            setup,
            network: Network::new(random.fork()),
            lies: 10 + random.below(90),
            random,
            operator: Operator::new(origin, key, keys, setup.quorum),
            witnesses,
            monitor: Monitor::new(log_key),
            auditor: Auditor::new(quorum.clone(), signed),
            laws: Laws::new(quorum, setup.quorum, (0..WITNESSES).map(honest).collect()),
            tally: Tally::new(),
            story: told.then(Vec::new),
        }
    }

    /// Runs the world to its end, or until a law is broken.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        for party in [Party::Log, Party::Monitor, Party::Auditor] {
            let first = self.random.below(TURN);
            self.network.after(first, Event::Turn(party));
        }
        self.network.after(TURN, Event::Trouble);
        while let Some(event) = self.network.next(TROUBLE_END) {
            self.happen(event)?;
        }
        self.begin_peace();
        while let Some(event) = self.network.next(END) {
            self.happen(event)?;
        }
        self.end()
    }

    /// Counts something.
    fn count(&mut self, what: &str) {
        *self.tally.entry(what.to_owned()).or_default() += 1;
    }

    /// Lets one thing happen.
    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>6} {event:?}", self.network.now));
        }
        match event {
            Event::Arrival { from, to, message } => self.arrive(from, to, message),
            Event::Written { witness, work } => {
                let deeds = self.witnesses[witness].written(work, self.network.now);
                self.act(witness, deeds)
            }
            Event::Crash(witness) => {
                self.crash(witness);
                Ok(())
            }
            Event::Restart(party) => {
                match party {
                    Party::Witness(number) => self.witnesses[number].is_up = true,
                    _ => self.monitor.is_up = true,
                }
                Ok(())
            }
            Event::Heal(one, other) => {
                self.network.heal(one, other);
                Ok(())
            }
            Event::Turn(party) => {
                self.turn(party);
                let next = TURN / 2 + self.random.below(TURN);
                self.network.after(next, Event::Turn(party));
                Ok(())
            }
            Event::Trouble => {
                self.trouble();
                Ok(())
            }
        }
    }

    /// Delivers a message.
    fn arrive(&mut self, from: Party, to: Party, message: Message) -> Result<(), Broken> {
        match (to, from, message) {
            (Party::Witness(number), _, message) => self.ask_witness(number, message),
            (Party::Log, Party::Witness(witness), Message::Answer { view, head, answer }) => {
                if let Some(next) = self.operator.answered(view, witness, head, answer) {
                    self.network.send(to, from, next);
                }
                Ok(())
            }
            (Party::Log, reader, Message::Read { from }) => {
                let shown = self.operator.show(reader, from);
                shown.into_iter().for_each(|shown| self.network.send(to, reader, shown));
                Ok(())
            }
            (Party::Log, reader, Message::AskReceipt { chosen, cosigned }) => {
                let receipt = self.operator.receipt(reader, chosen, cosigned);
                receipt.into_iter().for_each(|receipt| self.network.send(to, reader, receipt));
                Ok(())
            }
            (Party::Monitor, _, _) if !self.monitor.is_up => Ok(()),
            (Party::Monitor, _, Message::Shown { note, from, leaves }) => {
                let evidence = self.monitor.read(&note, from, &leaves);
                evidence.map_or(Ok(()), |evidence| self.laws.see_evidence(&evidence))
            }
            (Party::Monitor, _, Message::Held { note }) => {
                let evidence = self.monitor.hear(&note);
                evidence.map_or(Ok(()), |evidence| self.laws.see_evidence(&evidence))
            }
            (Party::Auditor, _, Message::Receipt { entry, receipt }) => {
                self.auditor.take(&entry, &receipt).map_err(|_changed| Broken::ChangedEntry)
            }
            (to, from, message) => unreachable!("{from:?} says {message:?} to {to:?}"),
        }
    }

    /// Delivers a message to a witness that is up.
    fn ask_witness(&mut self, number: usize, message: Message) -> Result<(), Broken> {
        let witness = &mut self.witnesses[number];
        if !witness.is_up {
            return Ok(());
        }
        match message {
            Message::AddCheckpoint { view, body } => {
                let deeds = witness.receive(view, body, self.network.now, &mut self.random);
                self.act(number, deeds)
            }
            Message::AskLatest => {
                if let Some(note) = witness.shown() {
                    let held = Message::Held { note };
                    self.network.send(Party::Witness(number), Party::Monitor, held);
                }
                Ok(())
            }
            other => unreachable!("nobody says {other:?} to a witness"),
        }
    }

    /// Carries out what a witness decided, and whatever that lets it decide next.
    fn act(&mut self, number: usize, deeds: Deeds) -> Result<(), Broken> {
        let mut next = Some(deeds);
        while let Some(Deeds { answer, write, cosigned, evidence }) = next {
            if let Some((head, note)) = cosigned {
                self.laws.see_cosignature(number, head, &note)?;
            }
            if let Some(evidence) = evidence {
                self.count("evidence of a witness");
                self.laws.see_evidence(&evidence)?;
            }
            if let Some((work, time)) = write {
                if self.network.troubled && self.random.chance(4) {
                    self.network.after(self.random.below(time), Event::Crash(number));
                }
                self.network.after(time, Event::Written { witness: number, work });
            }
            if let Some(answer) = answer {
                self.network.send(Party::Witness(number), Party::Log, answer);
            }
            next = self.witnesses[number].resume(self.network.now, &mut self.random);
        }
        Ok(())
    }

    /// Lets a party do what it does by itself.
    fn turn(&mut self, party: Party) {
        match party {
            Party::Log if self.operator.is_silent => {}
            Party::Log => {
                for view in 0..self.operator.views.len() {
                    self.grow(view);
                    for witness in 0..WITNESSES {
                        // Not every witness sees every head.
                        if self.network.troubled && self.random.chance(50) {
                            continue;
                        }
                        if let Some(request) = self.operator.request(view, witness) {
                            self.network.send(party, Party::Witness(witness), request);
                        }
                    }
                }
            }
            Party::Monitor => {
                let from = self.monitor.reads_from();
                self.network.send(party, Party::Log, Message::Read { from });
                for witness in (0..WITNESSES).filter(|_| self.setup.gossip) {
                    self.network.send(party, Party::Witness(witness), Message::AskLatest);
                }
            }
            Party::Auditor => {
                let chosen = self.random.next();
                let cosigned = !self.network.troubled || self.random.chance(75);
                self.network.send(party, Party::Log, Message::AskReceipt { chosen, cosigned });
                for note in self.auditor.notes().iter().filter(|_| self.setup.gossip) {
                    let held = Message::Held { note: note.clone() };
                    self.network.send(party, Party::Monitor, held);
                }
            }
            Party::Witness(_) => unreachable!("a witness waits to be asked"),
        }
    }

    /// Appends to a view and signs its head.
    fn grow(&mut self, view: usize) {
        let entries = if self.network.now > GROWTH_END { 0 } else { self.random.below(4) };
        for _ in 0..entries {
            let entry = self.operator.entry();
            self.operator.views[view].history.push(entry);
        }
        let head = self.operator.views[view].history.head();
        self.operator.sign(view, head, &mut self.laws.truth);
    }

    /// Lets a witness die for a while.
    fn crash(&mut self, number: usize) {
        if self.witnesses[number].is_up {
            if self.witnesses[number].crash(&mut self.random) {
                self.count("crash between acceptance and answer");
            }
            let time = 100 + self.random.below(DOWN_MAX);
            self.network.after(time, Event::Restart(Party::Witness(number)));
        }
    }

    /// Lets something go wrong.
    fn trouble(&mut self) {
        if !self.network.troubled {
            return;
        }
        let again = 100 + self.random.below(800);
        self.network.after(again, Event::Trouble);
        let time = 100 + self.random.below(DOWN_MAX);
        match self.random.below(10) {
            0..3 => {
                let number = self.random.position(WITNESSES);
                self.crash(number);
            }
            3 if self.monitor.is_up => {
                self.monitor.crash();
                self.network.after(time, Event::Restart(Party::Monitor));
            }
            4 => {
                let view = self.operator.some_view(&mut self.random);
                self.operator.views[view].forget();
                self.count("restart of the log");
            }
            5..7 => {
                let one = [Party::Log, Party::Monitor][self.random.position(2)];
                let other = Party::Witness(self.random.position(WITNESSES));
                self.network.cut(one, other, time);
                self.count("partition");
            }
            _ if self.setup.lying && self.random.chance(self.lies) => {
                let lie = LIES[self.random.position(LIES.len())];
                self.count(&format!("{lie:?}"));
                let Self { operator, laws, random, .. } = self;
                let requests = tell(lie, operator, &mut laws.truth, random);
                for (witness, request) in requests {
                    self.network.send(Party::Log, Party::Witness(witness), request);
                }
            }
            _ => {}
        }
    }

    /// Ends the trouble: everyone is up and reaches everyone, and nobody tells new lies.
    ///
    /// A lying log goes on with all its histories beyond every size that it signed before, so that
    /// they can be compared; or it never answers again.
    fn begin_peace(&mut self) {
        self.network.calm();
        self.witnesses.iter_mut().for_each(|witness| witness.is_up = true);
        self.monitor.is_up = true;
        self.operator.is_silent = self.setup.lying && self.random.chance(25);
        let beyond = self.laws.truth.largest() + 1;
        for view in 0..self.operator.views.len() {
            while self.setup.lying && self.operator.views[view].history.len() < beyond {
                let entry = self.operator.entry();
                self.operator.views[view].history.push(entry);
            }
        }
    }

    /// Holds the end against the laws.
    fn end(&mut self) -> Result<(), Broken> {
        let honest = self.witnesses.iter().filter(|witness| witness.is_honest());
        let mut held: Vec<SignedCheckpoint> =
            honest.clone().filter_map(Witness::latest).cloned().collect();
        held.extend(self.monitor.held().cloned());
        let key = self.operator.key.verifier_key();
        let receipts = self.auditor.notes().iter();
        held.extend(receipts.map(|note| SignedCheckpoint::verify(note, key).expect("it verified")));

        let doubted = self.monitor.has_doubts();
        let noticed = self.laws.see_end(&held, doubted)?;
        let frozen = honest.filter(|witness| witness.is_frozen()).count();
        for (what, happened) in [
            ("run with a quorum", !self.laws.covered().is_empty()),
            ("run with contradictions", noticed),
            ("run with evidence", self.laws.is_convicted()),
            ("run with a silent log", self.operator.is_silent),
            ("run with a frozen witness", frozen > 0),
            ("run with receipts of a quorum", self.auditor.proved() > 0),
        ] {
            if happened {
                self.count(what);
            }
        }
        if self.setup.lying {
            return Ok(());
        }
        for pair in held.windows(2) {
            self.laws.see_slander(&pair[0], &pair[1], made_up(&mut self.random))?;
        }
        self.expect_trust()
    }

    /// An honest log is trusted by everyone once all trouble is over.
    fn expect_trust(&self) -> Result<(), Broken> {
        let newest = self.operator.views[0].history.head();
        let laws = &self.laws;
        for (wrong, holds) in [
            ("it was convicted", !laws.is_convicted()),
            ("the monitor has not read all of it", self.monitor.head() == Some(newest)),
            ("its newest head has no quorum", laws.covered().contains(&newest)),
            ("no receipt has a quorum", self.auditor.proved() > 0),
        ] {
            if !holds {
                return Err(Broken::NotTrusted(wrong));
            }
        }
        Ok(())
    }
}
