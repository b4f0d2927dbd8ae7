//! Records as verifiers read them.
//!
//! Everything is checked that can be of one record alone. What takes two, that `at` rises and that `pv`
//! is the policy in force, is for whoever reads them in order.

use super::commit::{Commitment, Salt};
use super::draft::{REDACTIONS_MAX, RULES_MAX, Redaction, RedactionAction};
use super::form::Form;
use super::json::{self, JsonError, Object, Value};
use super::member::{
    RECORD_LIMITS, SERVER_CONTEXT, SUBMISSION_LIMITS, Submitted, UNPARSED, check_recorded, has,
    is_source,
};
use super::name::{PolicyDigest, RecordId, Verdict, is_rule};
use super::path::Path;
use super::system::System;
use super::time::Timestamp;

/// Types of records whose content is not decided yet.
const RESERVED_TYPES: [&str; 3] = ["erasure", "retention", "index"];

/// Members of an event that shows what was submitted.
const SHOWN: [&str; 10] =
    ["ot", "class", "act", "out", "seq", "actor", "resource", "ctx", "source", "red"];

/// A record that keeps the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    id: RecordId,
    at: Timestamp,
    policy: Option<PolicyDigest>,
    body: Body<'a>,
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// What was submitted, as far as it is shown.
    Event(RecordedEvent<'a>),
    /// What the server says.
    System(System),
}

/// An event in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent<'a> {
    verdict: Verdict,
    rules: Vec<String>,
    redactions: Vec<Redaction>,
    source: Option<String>,
    content: Object<'a>,
    /// What the server put in the place of values, and where.
    forms: Vec<(Path, Form)>,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes are no canonical JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The value is no object.
    #[error("a record is a JSON object")]
    NotAnObject,
    /// The version is not known.
    #[error("the record's version is not 1: read it with a newer program")]
    Version,
    /// The type is not known.
    #[error("the record's type is unknown")]
    Type,
    /// The type has no content yet.
    #[error("the record's type is reserved: nothing may make such a record")]
    Reserved,
    /// A member is missing, or has not its form.
    #[error("'{member}' is missing, or does not have its form")]
    Form {
        /// The member.
        member: &'static str,
    },
    /// Members are missing that the type needs, or there that it does not have.
    #[error("the record does not have the members of its type")]
    Members,
    /// A record of the system has not the content of its type.
    #[error("the content is not that of the record's type")]
    Content,
}

/// An opening is not that of a commitment in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disclosure does not open a commitment of this record at this path")]
pub struct DisclosureError;

impl<'a> Record<'a> {
    /// Parses an entry. The bytes are not written again: the hash of the leaf is over them as they are.
    pub fn parse(entry: &'a [u8]) -> Result<Self, RecordError> {
        let Value::Object(mut members) = json::parse_canonical(entry, &RECORD_LIMITS)? else {
            return Err(RecordError::NotAnObject);
        };
        if members.remove("v") != Some(super::version()) {
            return Err(RecordError::Version);
        }
        let type_name = members.remove("t").ok_or(RecordError::Type)?;
        let type_name = type_name.as_str().ok_or(RecordError::Type)?;
        let id = text_of(&mut members, "id", RecordId::parse)?;
        let at = text_of(&mut members, "at", Timestamp::parse)?;
        let policy = match members.get("pv") {
            Some(_) => Some(text_of(&mut members, "pv", PolicyDigest::parse)?),
            None => None,
        };
        let body = match type_name {
            "event" => Body::Event(RecordedEvent::parse(members)?),
            reserved if RESERVED_TYPES.contains(&reserved) => return Err(RecordError::Reserved),
            "genesis" if policy.is_some() => return Err(RecordError::Members),
            system if System::TYPES.contains(&system) => {
                Body::System(System::parse(system, &members).ok_or(RecordError::Content)?)
            }
            _ => return Err(RecordError::Type),
        };
        Ok(Self { id, at, policy, body })
    }

    /// Returns the id.
    pub const fn id(&self) -> RecordId {
        self.id
    }

    /// Returns when the log took it.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns the policy that governs it.
    pub const fn policy(&self) -> Option<PolicyDigest> {
        self.policy
    }

    /// Returns what it is about.
    pub const fn body(&self) -> &Body<'a> {
        &self.body
    }

    /// Returns the commitments in the order of their paths' bytes: the position of each is its field number.
    pub fn commitments(&self) -> Vec<(Path, Commitment)> {
        let Body::Event(event) = &self.body else { return Vec::new() };
        let mut found: Vec<_> = event
            .forms
            .iter()
            .filter_map(|(path, form)| match form {
                Form::Commitment(commitment) => Some((path.clone(), *commitment)),
                Form::Token(_) => None,
            })
            .collect();
        found.sort_unstable_by(|one: &(Path, Commitment), other| one.0.cmp(&other.0));
        found
    }

    /// Verifies a field that is disclosed alone; returns its value.
    pub fn verify_disclosure<'v>(
        &self,
        path: &Path,
        salt: &Salt,
        value: &'v [u8],
    ) -> Result<Value<'v>, DisclosureError> {
        let is_raw = matches!(&self.body, Body::Event(event) if !event.verdict.shows_content());
        let opens = !is_raw && self.commitment(path) == Some(Commitment::new(path, salt, value));
        let value = json::parse_canonical(value, &SUBMISSION_LIMITS);
        value.ok().filter(|_| opens).ok_or(DisclosureError)
    }

    /// Verifies the bytes that were submitted for a record that shows nothing of them; returns them.
    pub fn verify_raw<'v>(
        &self,
        salt: &Salt,
        submitted: &'v [u8],
    ) -> Result<&'v [u8], DisclosureError> {
        let is_raw = matches!(&self.body, Body::Event(event) if !event.verdict.shows_content());
        let path = Path::parse("/ctx/raw").ok_or(DisclosureError)?;
        let opens =
            is_raw && self.commitment(&path) == Some(Commitment::new(&path, salt, submitted));
        if opens { Ok(submitted) } else { Err(DisclosureError) }
    }

    /// Returns the commitment at a path.
    fn commitment(&self, path: &Path) -> Option<Commitment> {
        let Body::Event(event) = &self.body else { return None };
        Commitment::from_value(path.find(&event.content)?)
    }
}

impl<'a> RecordedEvent<'a> {
    /// Takes the members of an event, without those that every record has.
    fn parse(mut members: Object<'a>) -> Result<Self, RecordError> {
        let verdict = members.get("vd").and_then(Value::as_str).and_then(Verdict::parse);
        let verdict = verdict.ok_or(RecordError::Form { member: "vd" })?;
        let required: &[&str] = match verdict {
            Verdict::Accept => &["vd"],
            Verdict::Warn => &["vd", "vr"],
            Verdict::Quarantine | Verdict::Error => &["vd", "vr", "ctx"],
        };
        let optional: &[&str] = if verdict.shows_content() { &SHOWN } else { &["source", "class"] };
        if !has(&members, required, optional) {
            return Err(RecordError::Members);
        }
        members.remove("vd");
        let rules = match members.remove("vr") {
            Some(rules) => rules_of(&rules).ok_or(RecordError::Form { member: "vr" })?,
            None => Vec::new(),
        };
        let redactions = match members.remove("red") {
            Some(pairs) => redactions_of(&pairs).ok_or(RecordError::Form { member: "red" })?,
            None => Vec::new(),
        };
        let source = match members.get("source") {
            Some(_) => Some(text_of(&mut members, "source", |text| {
                is_source(text).then(|| text.to_owned())
            })?),
            None => None,
        };
        let forms = Form::search(&members).ok_or(RecordError::Form { member: "ctx" })?;
        let event = Self { verdict, rules, redactions, source, content: members, forms };
        if verdict.shows_content() {
            event.check_shown()?;
        } else {
            event.check_hidden()?;
        }
        Ok(event)
    }

    /// Checks an event that shows what was submitted.
    fn check_shown(&self) -> Result<(), RecordError> {
        for (name, value) in self.content.members() {
            let member = Submitted::parse(name).ok_or(RecordError::Members)?;
            if !member.accepts(value) || check_recorded(value).is_err() {
                return Err(RecordError::Form { member: member.name() });
            }
        }
        if let Some(context) = self.content.get("ctx").and_then(Value::as_object)
            && !context.members().iter().all(|(name, value)| server_context(name, value))
        {
            return Err(RecordError::Form { member: "ctx" });
        }
        let named = |(path, form): &(Path, Form)| match form {
            Form::Commitment(_) => true,
            Form::Token(_) => self.action(path) == Some(RedactionAction::Token),
        };
        let tokens_named = self.forms.iter().all(named);
        let done = self.redactions.iter().all(|redaction| self.is_done(redaction));
        if tokens_named && done { Ok(()) } else { Err(RecordError::Form { member: "red" }) }
    }

    /// Checks an event that shows nothing that was submitted.
    fn check_hidden(&self) -> Result<(), RecordError> {
        let class = self.content.get("class");
        if class.is_some_and(|class| class.as_str() != Some(UNPARSED)) {
            return Err(RecordError::Form { member: "class" });
        }
        let context = self.content.get("ctx").and_then(Value::as_object);
        let raw = context
            .filter(|context| has(context, &["raw"], &[]))
            .and_then(|context| context.get("raw"));
        match raw.and_then(Commitment::from_value) {
            Some(_) => Ok(()),
            None => Err(RecordError::Form { member: "ctx" }),
        }
    }

    /// Returns what was done at a path.
    fn action(&self, path: &Path) -> Option<RedactionAction> {
        let position =
            self.redactions.binary_search_by(|redaction| redaction.path.cmp(path)).ok()?;
        self.redactions.get(position).map(|redaction| redaction.action)
    }

    /// Returns whether the record shows what a redaction leaves.
    fn is_done(&self, redaction: &Redaction) -> bool {
        let value = redaction.path.find(&self.content);
        match redaction.action {
            RedactionAction::Drop => value.is_none_or(|value| *value == Value::Null),
            RedactionAction::Mask => value.is_some_and(|value| value.as_str().is_some()),
            RedactionAction::Spill => {
                matches!(value.and_then(Form::from_value), Some(Form::Commitment(_)))
            }
            RedactionAction::Token => {
                matches!(value.and_then(Form::from_value), Some(Form::Token(_)))
            }
        }
    }

    /// Returns the verdict.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns the names of the rules behind the verdict.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// Returns what was redacted.
    pub fn redactions(&self) -> &[Redaction] {
        &self.redactions
    }

    /// Returns the authenticated principal that submitted it.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Returns the members that stand for what was submitted.
    pub const fn content(&self) -> &Object<'a> {
        &self.content
    }
}

/// Takes a text out of the members, if it has its form.
fn text_of<T>(
    members: &mut Object<'_>,
    member: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, RecordError> {
    let value = members.remove(member);
    value.as_ref().and_then(Value::as_str).and_then(parse).ok_or(RecordError::Form { member })
}

/// Takes the names of rules: sorted, once each.
fn rules_of(value: &Value<'_>) -> Option<Vec<String>> {
    let Value::Array(rules) = value else { return None };
    let rule = |value: &Value<'_>| value.as_str().filter(|rule| is_rule(rule)).map(str::to_owned);
    let rules: Vec<String> = rules.iter().map(rule).collect::<Option<_>>()?;
    let sorted = rules.windows(2).all(|pair| matches!(pair, [one, other] if one < other));
    (sorted && (1..=RULES_MAX).contains(&rules.len())).then_some(rules)
}

/// Takes redactions: sorted by path, one for each.
fn redactions_of(value: &Value<'_>) -> Option<Vec<Redaction>> {
    let Value::Array(pairs) = value else { return None };
    let pair = |pair: &Value<'_>| match pair {
        Value::Array(pair) => match pair.as_slice() {
            [path, action] => Some(Redaction {
                path: Path::parse(path.as_str()?)?,
                action: RedactionAction::parse(action.as_str()?)?,
            }),
            _ => None,
        },
        _ => None,
    };
    let redactions: Vec<Redaction> = pairs.iter().map(pair).collect::<Option<_>>()?;
    let sorted =
        redactions.windows(2).all(|pair| matches!(pair, [one, other] if one.path < other.path));
    (sorted && (1..=REDACTIONS_MAX).contains(&redactions.len())).then_some(redactions)
}

/// Returns whether a member of `ctx` is a producer's, or has the form that the server gives it.
fn server_context(name: &str, value: &Value<'_>) -> bool {
    match name {
        "claimed_source" => {
            Form::from_value(value).is_some() || value.as_str().is_some_and(is_source)
        }
        "enriched" => value.as_object().is_some(),
        name => !SERVER_CONTEXT.contains(&name),
    }
}
