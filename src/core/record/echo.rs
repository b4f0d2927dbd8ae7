//! What a producer checks of the record that its event became: that nothing was changed on the way in.
//!
//! Each value that was submitted has to stand in the record at its place, or the commitment there has to
//! open to it, or the record's member `red` has to name what was done to it. Nothing may stand there that
//! was not submitted, but for what [`crate::manual::records`] gives to the server: `class` where the event had
//! none, and `ctx.enriched`. A quarantined event's commitment has to open to the bytes that were submitted.
//!
//! # Out of scope
//!
//! - Whether the record is in the log: that is a proof about its leaf hash.
//! - Whether the verdict is right: that is a replay with the policy at hand.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::commit::{Commitment, Opening, Salt};
use super::draft::{Redaction, RedactionAction};
use super::event::{Submission, SubmissionError};
use super::form::Form;
use super::json::{self, Object, Value};
use super::member::SUBMISSION_LIMITS;
use super::name::Verdict;
use super::path::{Path, push_step};
use super::read::{Body, Record, RecordError, RecordedEvent};

/// What opens a commitment, as the server hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Where the commitment stands.
    pub path: Path,
    /// The salt.
    pub salt: Salt,
    /// The value, where it is not the one that was submitted.
    pub value: Option<Zeroizing<Vec<u8>>>,
}

/// What an event became, checked against what was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The verdict.
    pub verdict: Verdict,
    /// The names of the rules behind it.
    pub rules: Vec<String>,
    /// What was redacted.
    pub redactions: Vec<Redaction>,
    /// What opens the commitments, in the order of their paths.
    pub openings: Vec<Opening>,
}

/// How a record departs from what was submitted. Paths are JSON pointers into the record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EchoError {
    /// What was submitted is no event, and yet it was recorded.
    #[error("what was submitted is no event: {0}")]
    Submission(#[from] SubmissionError),
    /// The entry is no record.
    #[error("the entry is no record: {0}")]
    Record(#[from] RecordError),
    /// The record is one of the server's own.
    #[error("the record is not that of an event")]
    NotAnEvent,
    /// Something that was submitted is not there, and `red` does not name it.
    #[error("{path} was submitted, and the record neither has it nor says what was done to it")]
    Missing {
        /// Where it should be.
        path: String,
    },
    /// Something else stands where something that was submitted should.
    #[error("{path} is not what was submitted, and the record does not say what was done to it")]
    Changed {
        /// Where it stands.
        path: String,
    },
    /// Something is there that was not submitted.
    #[error("{path} was not submitted")]
    Added {
        /// Where it stands.
        path: String,
    },
    /// The commitment at a place does not open to what was submitted.
    #[error("the commitment at {path} does not open to what was submitted")]
    Unopened {
        /// Where it stands.
        path: String,
    },
}

impl Given {
    /// Takes what a server handed out; the value only where it is not the one that was submitted.
    pub fn new(path: Path, salt: Salt, value: Option<&[u8]>) -> Self {
        Self { path, salt, value: value.map(|value| Zeroizing::new(value.to_vec())) }
    }
}

/// Checks that a record holds what was submitted. `given` is what the server handed out with it.
pub fn check_echo(submitted: &[u8], entry: &[u8], given: Vec<Given>) -> Result<Echo, EchoError> {
    let record = Record::parse(entry)?;
    let Body::Event(event) = record.body() else { return Err(EchoError::NotAnEvent) };
    let submission = Submission::parse(submitted)?;
    let mut walk = Walk::new(event, given)?;
    if event.verdict().shows_content() {
        // What has not the form of an event can't be shown.
        let expected = submission.event().map_err(|_faults| missing("/ctx/raw"))?;
        walk.event(expected.members())?;
        walk.check_named(expected.members())?;
    } else {
        walk.raw(submitted)?;
    }
    let openings = walk.finish()?;
    let (verdict, redactions) = (event.verdict(), event.redactions().to_vec());
    Ok(Echo { verdict, rules: event.rules().to_vec(), redactions, openings })
}

fn missing(path: &str) -> EchoError {
    EchoError::Missing { path: path.to_owned() }
}

/// A walk through what was submitted and what was recorded, side by side.
struct Walk<'c> {
    event: &'c RecordedEvent<'c>,
    /// What was handed out and not yet used.
    given: BTreeMap<Path, Given>,
    /// What opened.
    opened: Vec<Opening>,
    /// The pointer of where the walk is.
    path: String,
}

impl<'c> Walk<'c> {
    /// Begins; one place is opened in one way.
    fn new(event: &'c RecordedEvent<'c>, given: Vec<Given>) -> Result<Self, EchoError> {
        let mut by_path = BTreeMap::new();
        for one in given {
            if let Some(twice) = by_path.insert(one.path.clone(), one) {
                return Err(EchoError::Added { path: twice.path.to_string() });
            }
        }
        Ok(Self { event, given: by_path, opened: Vec::new(), path: String::new() })
    }

    /// Checks an event that is shown.
    fn event(&mut self, expected: &Object<'_>) -> Result<(), EchoError> {
        let nothing = Value::Object(Object::new());
        for (name, value) in expected.members() {
            match self.event.content().get(name) {
                Some(recorded) => self.at(name, |walk| walk.value(value, recorded))?,
                None => self.at(name, |walk| walk.absent())?,
            }
        }
        for (name, recorded) in self.event.content().members() {
            match name.as_ref() {
                name if expected.get(name).is_some() => {}
                "class" => {}
                // It may hold what the server added, and nothing else.
                "ctx" => self.at(name, |walk| walk.value(&nothing, recorded))?,
                _ => self.at(name, |walk| Err(walk.added()))?,
            }
        }
        Ok(())
    }

    /// Checks that each redaction is of something that there was.
    fn check_named(&mut self, expected: &Object<'_>) -> Result<(), EchoError> {
        // What the server adds may be all that there was in `ctx`.
        let made = |path: &Path| holds_made(path);
        let mut redactions = self.event.redactions().iter();
        match redactions.find(|one| one.path.find(expected).is_none() && !made(&one.path)) {
            Some(one) => Err(EchoError::Added { path: one.path.to_string() }),
            None => Ok(()),
        }
    }

    /// Checks an event that is not shown.
    fn raw(&mut self, submitted: &[u8]) -> Result<(), EchoError> {
        self.path.push_str("/ctx/raw");
        let raw = Path::parse(&self.path).and_then(|path| path.find(self.event.content()));
        let raw = raw.and_then(Commitment::from_value).ok_or_else(|| missing("/ctx/raw"))?;
        let opening = self.open(raw, submitted.to_vec())?;
        if *opening.value == submitted { Ok(()) } else { Err(self.unopened()) }
    }

    /// Ends; everything that was handed out opened something.
    fn finish(mut self) -> Result<Vec<Opening>, EchoError> {
        if let Some((path, _)) = self.given.pop_first() {
            return Err(EchoError::Added { path: path.to_string() });
        }
        self.opened.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(self.opened)
    }

    /// Goes one step down, and back.
    fn at(
        &mut self,
        step: &str,
        check: impl FnOnce(&mut Self) -> Result<(), EchoError>,
    ) -> Result<(), EchoError> {
        let length = self.path.len();
        push_step(&mut self.path, step);
        check(self)?;
        self.path.truncate(length);
        Ok(())
    }

    /// Checks one value that was submitted.
    fn value(&mut self, expected: &Value<'_>, recorded: &Value<'_>) -> Result<(), EchoError> {
        match Form::from_value(recorded) {
            Some(Form::Commitment(commitment)) => return self.committed(commitment, expected),
            Some(Form::Token(_)) if self.action() == Some(RedactionAction::Token) => return Ok(()),
            Some(Form::Token(_)) => return Err(self.changed()),
            None => {}
        }
        match (expected, recorded) {
            (Value::Object(expected), Value::Object(recorded)) => self.object(expected, recorded),
            (Value::Array(expected), Value::Array(recorded))
                if expected.len() == recorded.len() =>
            {
                let mut pairs = expected.iter().zip(recorded).enumerate();
                pairs.try_for_each(|(position, (expected, recorded))| {
                    self.at(&position.to_string(), |walk| walk.value(expected, recorded))
                })
            }
            _ if expected == recorded => Ok(()),
            (_, Value::String(_)) if self.action() == Some(RedactionAction::Mask) => Ok(()),
            // In an array something has to stand where something was dropped.
            (_, Value::Null) if self.action() == Some(RedactionAction::Drop) => Ok(()),
            _ => Err(self.changed()),
        }
    }

    fn object(&mut self, expected: &Object<'_>, recorded: &Object<'_>) -> Result<(), EchoError> {
        for (name, value) in expected.members() {
            match recorded.get(name) {
                Some(recorded) => self.at(name, |walk| walk.value(value, recorded))?,
                None => self.at(name, |walk| walk.absent())?,
            }
        }
        let mut added = recorded.members().iter().filter(|(name, _)| expected.get(name).is_none());
        added.try_for_each(|(name, value)| self.at(name, |walk| walk.extra(value)))
    }

    /// Checks that what is absent was dropped.
    fn absent(&self) -> Result<(), EchoError> {
        let dropped = self.action() == Some(RedactionAction::Drop);
        if dropped { Ok(()) } else { Err(missing(&self.path)) }
    }

    /// Checks something that was not submitted: the server may have made it.
    fn extra(&mut self, recorded: &Value<'_>) -> Result<(), EchoError> {
        if !is_made(&self.path) {
            return Err(self.added());
        }
        match (Form::from_value(recorded), recorded) {
            (Some(Form::Commitment(commitment)), _) => {
                let path = Path::parse(&self.path).ok_or_else(|| self.unopened())?;
                let value = self.given.get(&path).and_then(|given| given.value.clone());
                let value = value.ok_or_else(|| self.unopened())?;
                self.open(commitment, value.to_vec()).map(|_| ())
            }
            (None, Value::Object(object)) => object
                .members()
                .iter()
                .try_for_each(|(name, value)| self.at(name, |walk| walk.extra(value))),
            (None, Value::Array(values)) => {
                values.iter().enumerate().try_for_each(|(position, value)| {
                    self.at(&position.to_string(), |walk| walk.extra(value))
                })
            }
            (Some(Form::Token(_)) | None, _) => Ok(()),
        }
    }

    /// Checks the commitment to a value that was submitted, and may hold more that the server made.
    fn committed(&mut self, commitment: Commitment, expected: &Value<'_>) -> Result<(), EchoError> {
        let opening = self.open(commitment, expected.format().into_bytes())?;
        let value = json::parse_canonical(&opening.value, &SUBMISSION_LIMITS);
        let value = value.map_err(|_| self.unopened())?;
        // The value that was handed out may differ; the one that was submitted does not.
        if value == *expected { Ok(()) } else { self.value(expected, &value) }
    }

    /// Opens the commitment here: with the value that was handed out, or with the one that was submitted.
    fn open(&mut self, commitment: Commitment, submitted: Vec<u8>) -> Result<Opening, EchoError> {
        let path = Path::parse(&self.path).ok_or_else(|| self.unopened())?;
        let given = self.given.remove(&path).ok_or_else(|| self.unopened())?;
        let value = given.value.unwrap_or_else(|| Zeroizing::new(submitted));
        let opening = Opening { path, salt: given.salt, value };
        if opening.commitment() != commitment {
            return Err(self.unopened());
        }
        self.opened.push(opening.clone());
        Ok(opening)
    }

    /// Returns what the record says was done here.
    fn action(&self) -> Option<RedactionAction> {
        let here = |redaction: &&Redaction| redaction.path.as_str() == self.path;
        self.event.redactions().iter().find(here).map(|redaction| redaction.action)
    }

    fn changed(&self) -> EchoError {
        EchoError::Changed { path: self.path.clone() }
    }

    fn added(&self) -> EchoError {
        EchoError::Added { path: self.path.clone() }
    }

    fn unopened(&self) -> EchoError {
        EchoError::Unopened { path: self.path.clone() }
    }
}

/// Returns whether the server makes what stands at a pointer.
fn is_made(pointer: &str) -> bool {
    let below = pointer.strip_prefix("/ctx/enriched");
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns whether a committed value may hold what was not submitted, so that the server has to hand it out.
pub fn holds_made(path: &Path) -> bool {
    path.as_str() == "/ctx" || is_made(path.as_str())
}
