//! Replay: whoever has a policy and a record comes to the verdict again.
//!
//! A verdict follows from the bundle, the engine, and what the record shows of the event, save the members that
//! the verdict itself made. What can't be known from these is not guessed: a record that shows nothing of
//! its event, and one whose rules need a value that it only commits to, can be judged again with what was
//! disclosed, and without it by nobody.
//!
//! Two things are not shown by any record, and are not part of what is replayed: events that were refused, and
//! whether rules ran out of time. An `error` that does not come again is undetermined.

use std::collections::BTreeSet;

use super::rego::is_timeout;
use crate::core::number::UnixMillis;
use crate::core::policy::{
    Admission, Arrival, Custom, Disclosed, Materials, Outcome, Policy, admit, judge,
};
use crate::core::record::json::Value;
use crate::core::record::{
    Body, Engine, FINGERPRINT_PREFIX, Opening, Path, RULES_MAX, Record, RecordId, RecordedEvent,
    RedactionAction, Salt, Secret, UNPARSED, Verdict,
};

/// The name of the engine in `policy` records that this program makes.
pub const ENGINE_NAME: &str = env!("CARGO_PKG_NAME");

/// Its version, which is that of the program: it pins what evaluates Rego.
pub const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What became of a verdict that was replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The policy says again what the record says.
    Same,
    /// The policy says something else: the record was not made by it.
    Different(Again),
    /// What the record shows does not suffice.
    Undetermined(Unknown),
    /// There is nothing that could be replayed.
    NotReplayable(Reason),
}

/// What the policy says of an event when it is asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// The verdict; `None` if the event is refused.
    pub verdict: Option<Verdict>,
    /// The rules behind it.
    pub rules: Vec<String>,
    /// The class that an event without one gets.
    pub class: Option<String>,
}

/// What would have to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The submitted bytes, which the record commits to as a whole.
    Submission,
    /// The values at these places.
    Values(Vec<Path>),
    /// How long the rules took: they could not decide then, and can today.
    Time,
}

/// Why a record can't be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the system's own: no policy has judged it.
    System,
    /// No policy was in force.
    NoPolicy,
    /// It names another policy.
    OtherPolicy,
    /// Another engine, or another version of this one, has judged it.
    OtherEngine(Engine),
    /// Something disclosed does not open a commitment of the record.
    Disclosure(Path),
}

/// Replays the verdict of a record.
///
/// The engine is that of the `policy` record in force. Disclosures are openings of the record's commitments, or
/// the one of a quarantined event at `/ctx/raw`.
pub fn replay(
    policy: &Policy,
    custom: &dyn Custom,
    engine: &Engine,
    record: &Record<'_>,
    disclosures: &[Opening],
) -> Replay {
    let Body::Event(event) = record.body() else {
        return Replay::NotReplayable(Reason::System);
    };
    match record.policy() {
        None => return Replay::NotReplayable(Reason::NoPolicy),
        Some(digest) if digest != policy.digest() => {
            return Replay::NotReplayable(Reason::OtherPolicy);
        }
        Some(_) => {}
    }
    if engine.name != ENGINE_NAME || engine.version != ENGINE_VERSION {
        return Replay::NotReplayable(Reason::OtherEngine(engine.clone()));
    }
    again(policy, custom, record, event, disclosures)
}

/// Judges a record under another policy than the one that judged it: what would that have said?
///
/// Compared are verdict and rules, as in [`replay`]. What the record's own policy redacted stays redacted.
pub fn impact(
    policy: &Policy,
    custom: &dyn Custom,
    record: &Record<'_>,
    disclosures: &[Opening],
) -> Replay {
    match record.body() {
        Body::Event(event) => again(policy, custom, record, event, disclosures),
        Body::System(_) => Replay::NotReplayable(Reason::System),
    }
}

/// Judges an event again, by what its record shows or what was disclosed of it.
fn again(
    policy: &Policy,
    custom: &dyn Custom,
    record: &Record<'_>,
    event: &RecordedEvent<'_>,
    disclosures: &[Opening],
) -> Replay {
    if event.verdict().shows_content() {
        shown(policy, custom, record, event, disclosures)
    } else {
        hidden(policy, custom, record, event, disclosures)
    }
}

/// Judges again what a record shows.
fn shown(
    policy: &Policy,
    custom: &dyn Custom,
    record: &Record<'_>,
    event: &RecordedEvent<'_>,
    disclosures: &[Opening],
) -> Replay {
    let mut values = Vec::new();
    for Opening { path, salt, value } in disclosures {
        match record.verify_disclosure(path, salt, value) {
            Ok(value) => values.push((path.clone(), value.into_owned())),
            Err(_) => return Replay::NotReplayable(Reason::Disclosure(path.clone())),
        }
    }
    let known: BTreeSet<&Path> = values.iter().map(|(path, _)| path).collect();
    let spilled = spilled(event);
    let committed = record.commitments().into_iter().map(|(path, _)| path);
    let needed = |path: &Path| {
        spilled.contains(path) || custom.needs().iter().any(|need| path.is_within(need))
    };
    let missing: Vec<Path> =
        committed.filter(|path| needed(path) && !known.contains(path)).collect();
    if !missing.is_empty() {
        return Replay::Undetermined(Unknown::Values(missing));
    }
    // What was spilled stood there when the rules looked; what was committed they saw only if they need it.
    let mut members = event.content().clone();
    for (path, value) in values.iter().filter(|(path, _)| spilled.contains(path)) {
        if let Some(place) = path.find_mut(&mut members) {
            place.clone_from(value);
        }
    }
    let seen = values.into_iter().filter(|(path, _)| !spilled.contains(path) && needed(path));
    let custom = Disclosed::new(custom, seen.collect());
    let judgement = judge(policy, &members, event.source(), &custom);
    if judgement.failed.as_ref().is_some_and(is_timeout) {
        return Replay::Undetermined(Unknown::Time);
    }
    let class = judgement.class.map(str::to_owned);
    compare(event, &judgement.outcome(), class)
}

/// Returns where something stood that made the record too long after it was judged.
fn spilled(event: &RecordedEvent<'_>) -> BTreeSet<Path> {
    let is_spill = |action| action == RedactionAction::Spill;
    let spills = event.redactions().iter().filter(|redaction| is_spill(redaction.action));
    spills.map(|redaction| redaction.path.clone()).collect()
}

/// Compares what is said now with what the record says.
fn compare(event: &RecordedEvent<'_>, outcome: &Outcome<'_>, class: Option<String>) -> Replay {
    let (verdict, rules) = match outcome {
        Outcome::Recorded(verdict, rules) => (Some(*verdict), rules),
        Outcome::Refused(rules) => (None, rules),
    };
    let mut rules: Vec<String> = rules.iter().map(|rule| rule.as_ref().to_owned()).collect();
    rules.truncate(RULES_MAX);
    let shown = event.content().get("class").and_then(Value::as_str);
    let is_class = class.is_none() || shown.is_some();
    if verdict == Some(event.verdict()) && rules == event.rules() && is_class {
        Replay::Same
    } else {
        Replay::Different(Again { verdict, rules, class })
    }
}

/// Judges a submission again that was disclosed as a whole.
fn hidden(
    policy: &Policy,
    custom: &dyn Custom,
    record: &Record<'_>,
    event: &RecordedEvent<'_>,
    disclosures: &[Opening],
) -> Replay {
    let [Opening { path, salt, value }] = disclosures else {
        return Replay::Undetermined(Unknown::Submission);
    };
    let Ok(bytes) = record.verify_raw(salt, value) else {
        return Replay::NotReplayable(Reason::Disclosure(path.clone()));
    };
    let unparsed = event.content().get("class").map(|_| UNPARSED);
    let arrival = Arrival {
        bytes,
        source: event.source(),
        class: unparsed,
        kept: event.source().is_some_and(is_kept),
        id: RecordId::new(UnixMillis(0), [0; 10]),
        now: record.at(),
    };
    let admission = admit(policy, &arrival, &mut Blank, custom);
    let (verdict, rules) = match admission {
        Ok(Admission::Recorded(admitted)) => {
            let entry = admitted.draft.stamp(record.at());
            match Record::parse(&entry).map(|record| record.body().clone()) {
                Ok(Body::Event(again)) => (Some(again.verdict()), again.rules().to_vec()),
                _ => (None, Vec::new()),
            }
        }
        Ok(Admission::Refused(rules)) => (None, rules),
        // What is no JSON is refused without a record.
        Err(_) => (None, Vec::new()),
    };
    if verdict == Some(event.verdict()) && rules == event.rules() {
        Replay::Same
    } else if event.verdict() == Verdict::Error || verdict == Some(Verdict::Error) {
        Replay::Undetermined(Unknown::Time)
    } else {
        Replay::Different(Again { verdict, rules, class: None })
    }
}

/// Returns whether the events of a source are recorded whatever they hold: of a configured one, whose name is
/// no fingerprint. What the policy rejects of it is quarantined by the same rules.
fn is_kept(source: &str) -> bool {
    !source.starts_with(FINGERPRINT_PREFIX)
}

/// Salts and keys for a record that nobody keeps.
struct Blank;

impl Materials for Blank {
    fn salt(&mut self) -> Salt {
        Salt::new([0; 32])
    }

    fn token_key(&mut self, _path: &Path, _days: u32) -> (Secret, u32) {
        (Secret::new([0; 32]), 0)
    }
}
