//! Records as the server makes them: canonical at birth, complete but for their time.
//!
//! The sequencer knows `at` last. As it has 27 bytes whatever it says, a draft is finished by writing it
//! into its place, and its length is known before.

use super::commit::{Commitment, Opening, Salt};
use super::event::Event;
use super::json::{Object, Value, compare};
use super::member::UNPARSED;
use super::name::{PolicyDigest, RecordId, Verdict, is_rule};
use super::path::Path;
use super::system::System;
use super::time::{TIMESTAMP_BYTES, Timestamp};
use crate::core::entry::ENTRY_BYTES_MAX;

/// Most rules that a record names: who breaks more is told of the first.
pub const RULES_MAX: usize = 64;

/// Most redactions that a record names. What needs more is quarantined.
pub const REDACTIONS_MAX: usize = 256;

/// Most members that the server adds: what it decided, and what every record begins with.
const SERVER_MEMBERS_MAX: usize = 9;

/// What stands in the place of the time until there is one.
const NO_TIME: &str = "1970-01-01T00:00:00.000000Z";

const _: () = assert!(NO_TIME.len() == TIMESTAMP_BYTES);

/// Bytes of a commitment in a record: `{"$c":"` and `"}` around 43 characters.
const COMMITMENT_TEXT_BYTES: usize = 52;

/// What was done to a value besides committing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RedactionAction {
    /// The value is gone; in an array, `null` stands in its place.
    Drop,
    /// A string stands there that shows less.
    Mask,
    /// A commitment stands there, because the record would have been too long.
    Spill,
    /// A token stands there.
    Token,
}

impl RedactionAction {
    /// Returns the text of a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Mask => "mask",
            Self::Spill => "spill",
            Self::Token => "token",
        }
    }

    /// Parses the text of a record.
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Drop, Self::Mask, Self::Spill, Self::Token]
            .into_iter()
            .find(|action| action.as_str() == text)
    }
}

/// What was done to a value, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redaction {
    /// Where the value stood.
    pub path: Path,
    /// What was done.
    pub action: RedactionAction,
}

/// What every record begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The record's id.
    pub id: RecordId,
    /// The policy that governs the record's index.
    pub policy: Option<PolicyDigest>,
}

/// What admission has decided about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The authenticated principal that submitted it.
    pub source: Option<&'a str>,
    /// The verdict.
    pub verdict: Verdict,
    /// The names of the rules behind it: none exactly if it is [`Verdict::Accept`].
    pub rules: Vec<&'a str>,
    /// What was redacted.
    pub redactions: Vec<Redaction>,
}

/// A record without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    text: String,
    /// Where the time begins.
    at: usize,
}

/// An event does not fit into a record, whatever is committed of it, or names too many redactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event does not fit into a record")]
pub struct TooLong;

impl Draft {
    /// Makes the record of an event that is shown; returns what opens the values that did not fit.
    ///
    /// Values are spilled until the record has at most [`ENTRY_BYTES_MAX`] bytes: the longest first.
    ///
    /// # Panics
    ///
    /// If the verdict is not one that shows content, or a rule's name has not its form.
    pub fn event<'a>(
        head: &Head,
        mut event: Event<'a>,
        decision: Decision<'a>,
        salt: impl FnMut() -> Salt,
    ) -> Result<(Self, Vec<Opening>), TooLong> {
        Self::of_event(head, &mut event, decision, salt)
    }

    /// Makes the record of an event, of which then stands what the record shows. See [`Draft::event`].
    pub(in crate::core) fn of_event(
        head: &Head,
        event: &mut Event<'_>,
        mut decision: Decision<'_>,
        mut salt: impl FnMut() -> Salt,
    ) -> Result<(Self, Vec<Opening>), TooLong> {
        assert!(decision.verdict.shows_content(), "what is quarantined shows no content");
        let draft = Self::new(head, "event", event.members(), Some(&decision));
        if draft.len() <= ENTRY_BYTES_MAX && decision.redactions.len() <= REDACTIONS_MAX {
            return Ok((draft, Vec::new()));
        }

        let mut length = draft.len();
        let mut openings = Vec::new();
        for (shown, path) in event.longest() {
            if length <= ENTRY_BYTES_MAX {
                break;
            }
            let redaction = Redaction { path, action: RedactionAction::Spill };
            // With its comma, and of the first the name of the member besides.
            let first = if decision.redactions.is_empty() { "\"red\":[],".len() } else { 0 };
            let cost = COMMITMENT_TEXT_BYTES + first + redaction.to_value().format().len() + 1;
            if cost >= shown || is_redacted(&decision.redactions, &redaction.path) {
                continue;
            }
            if let Some(opening) = event.commit(&redaction.path, salt()) {
                length = length + cost - shown;
                decision.redactions.push(redaction);
                openings.push(opening);
            }
        }
        let draft = Self::new(head, "event", event.members(), Some(&decision));
        let fits = draft.len() <= ENTRY_BYTES_MAX && decision.redactions.len() <= REDACTIONS_MAX;
        if fits { Ok((draft, openings)) } else { Err(TooLong) }
    }

    /// Makes the record of a submission that is not shown. Its class is [`UNPARSED`], or none.
    ///
    /// # Panics
    ///
    /// If the verdict shows content, a rule's name has not its form, or the class is another.
    pub fn hidden(
        head: &Head,
        decision: &Decision<'_>,
        raw: Commitment,
        class: Option<&'static str>,
    ) -> Self {
        assert!(class.is_none_or(|class| class == UNPARSED), "only the server's class is shown");
        assert!(!decision.verdict.shows_content(), "what is shown is not quarantined");
        assert!(decision.redactions.is_empty(), "what shows nothing has nothing to redact");
        let context = Object::from([("raw", raw.to_value())]);
        let mut content = Object::from([("ctx", context.into())]);
        if let Some(class) = class {
            content.insert("class", class.into());
        }
        Self::new(head, "event", &content, Some(decision))
    }

    /// Makes a record of the system; `None` if a value of it is out of its bounds.
    pub fn system(head: &Head, system: &System) -> Option<Self> {
        let is_first = matches!(system, System::Genesis { .. });
        if is_first && head.policy.is_some() {
            return None;
        }
        let draft = Self::new(head, system.type_name(), &system.members()?, None);
        (draft.len() <= ENTRY_BYTES_MAX).then_some(draft)
    }

    /// Writes the record, with the beginning of 1970 in the place of the time.
    fn new(
        head: &Head,
        type_name: &'static str,
        content: &Object<'_>,
        decision: Option<&Decision<'_>>,
    ) -> Self {
        let mut text = String::with_capacity(2_048);
        let mut at = 0;
        let mut separator = '{';
        let mut write = |name: &str, value: &Value<'_>| {
            text.push(separator);
            separator = ',';
            text.push('"');
            text.push_str(name);
            text.push_str("\":");
            if name == "at" {
                at = text.len() + 1;
            }
            value.write(&mut text);
        };
        // Members of a record have names in ASCII, which need no escapes and sort by their bytes.
        let mut shown = content.members().iter().peekable();
        for (name, value) in made(head, type_name, decision).members() {
            while let Some((name, value)) = shown.next_if(|(shown, _)| compare(shown, name).is_lt())
            {
                write(name, value);
            }
            write(name, value);
        }
        shown.for_each(|(name, value)| write(name, value));
        text.push('}');
        Self { text, at }
    }

    /// Returns the length of the record.
    #[expect(clippy::len_without_is_empty, reason = "no record is empty")]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Returns the text of the record, with the beginning of 1970 in the place of its time.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the entry: the record as the log took it at a time.
    pub fn stamp(mut self, at: Timestamp) -> Vec<u8> {
        self.text.replace_range(self.at..self.at + TIMESTAMP_BYTES, &at.to_string());
        self.text.into_bytes()
    }
}

impl Redaction {
    /// Returns what stands in a record.
    fn to_value(&self) -> Value<'static> {
        Value::Array(vec![self.path.as_str().to_owned().into(), self.action.as_str().into()])
    }
}

/// Returns whether something at or below a path was redacted: `red` would then be about what is not shown.
fn is_redacted(redactions: &[Redaction], path: &Path) -> bool {
    let below = |other: &str| {
        other
            .strip_prefix(path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    redactions.iter().any(|redaction| below(redaction.path.as_str()))
}

/// Returns the members that the server makes.
fn made<'a>(head: &Head, type_name: &'static str, decision: Option<&Decision<'a>>) -> Object<'a> {
    // They are put in in their order, which spares the search for their places.
    let mut members = Object::with_capacity(SERVER_MEMBERS_MAX);
    members.insert("at", NO_TIME.into());
    members.insert("id", head.id.to_string().into());
    // What is judged while there is no policy is governed by none.
    if let Some(policy) = head.policy.filter(|policy| *policy != PolicyDigest::NONE) {
        members.insert("pv", policy.format().into());
    }
    if let Some(Decision { redactions, source, .. }) = decision {
        let mut redactions: Vec<&Redaction> = redactions.iter().collect();
        redactions.sort_unstable();
        let redactions: Vec<_> = redactions.into_iter().map(Redaction::to_value).collect();
        if !redactions.is_empty() {
            members.insert("red", Value::Array(redactions));
        }
        if let Some(source) = *source {
            members.insert("source", source.into());
        }
    }
    members.insert("t", type_name.into());
    members.insert("v", super::version());
    if let Some(Decision { verdict, rules, .. }) = decision {
        let mut rules = rules.clone();
        rules.sort_unstable();
        rules.dedup();
        rules.truncate(RULES_MAX);
        assert!(rules.iter().all(|rule| is_rule(rule)), "rules have names");
        assert_eq!(rules.is_empty(), *verdict == Verdict::Accept, "rules are behind a verdict");
        members.insert("vd", verdict.as_str().into());
        if !rules.is_empty() {
            members.insert("vr", Value::Array(rules.into_iter().map(Value::from).collect()));
        }
    }
    members
}
