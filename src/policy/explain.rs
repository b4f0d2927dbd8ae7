//! Why an event gets its verdict: its classes, the rules about it, and what is taken out of it.
//!
//! The event is admitted twice: as a server would, which gives the verdict, and by the same policy with
//! every rule turned into a warning, which shows what the rules look at.

use super::compiled::Compiled;
use super::field::format_field;
use crate::core::policy::{
    self, Admission, Arrival, Condition, Enforcement, Materials, NoCustom, Policy, Rule, admit,
};
use crate::core::record::json::{Object, Value};
use crate::core::record::{
    Body, Path, PolicyDigest, Record, RecordId, RecordedEvent, RedactionAction, SALT_BYTES,
    SECRET_BYTES, Salt, Secret, Submission, SubmissionError, Timestamp,
};

/// What follows for an event, and from what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict, as a record shows it, or `reject`.
    pub verdict: String,
    /// The rules behind it.
    pub rules: Vec<String>,
    /// The classes that the event is of.
    pub classes: Vec<Class>,
    /// The rules that are about it.
    pub checks: Vec<Check>,
    /// What is not shown of it, and how.
    pub redacted: Vec<Hidden>,
    /// The alerts that it is about.
    pub alerts: Vec<String>,
}

/// A value that a record does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// Where it stood.
    pub path: Path,
    /// What was done: `drop`, `mask`, `commit`, `token` or `spill`.
    pub action: &'static str,
}

/// A class that an event is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Whether the event names it.
    pub is_named: bool,
    /// Whether its conditions hold.
    pub fits: bool,
}

/// A rule that is about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub rule: String,
    /// The fields that are missing, or not of their type.
    pub missing: Vec<String>,
    /// What becomes of an event that breaks it.
    pub otherwise: &'static str,
}

/// Salts and keys that hide nothing: what is explained is not kept.
struct Open;

impl Materials for Open {
    fn salt(&mut self) -> Salt {
        Salt::new([0; SALT_BYTES])
    }

    fn token_key(&mut self, _path: &Path, _days: u32) -> (Secret, u32) {
        (Secret::new([0; SECRET_BYTES]), 0)
    }
}

/// Explains what becomes of an event. Fails only for bytes that are no JSON object.
pub fn explain(
    compiled: &Compiled,
    event: &[u8],
    source: Option<&str>,
) -> Result<Explanation, SubmissionError> {
    let mut explanation = Explanation::default();
    match admit(&compiled.policy, &arrival(event, source), &mut Open, compiled.custom.as_ref())? {
        Admission::Refused(rules) => {
            "reject".clone_into(&mut explanation.verdict);
            explanation.rules = rules;
        }
        Admission::Recorded(admitted) => {
            admitted.verdict.as_str().clone_into(&mut explanation.verdict);
            let entry = admitted.draft.stamp(now());
            if let Body::Event(recorded) = read(&entry).body() {
                explanation.rules = recorded.rules().to_vec();
            }
        }
    }
    let (mut statements, _) = compiled.document.statements();
    let rules = statements.rules.clone();
    statements.unknown_class = None;
    for rule in &mut statements.rules {
        rule.otherwise = Enforcement::Warn;
    }
    let digest = PolicyDigest::from_bytes([0; 32]);
    // The same statements were compiled already, with other enforcements.
    let lenient = Policy::compile(digest, &statements).expect("enforcements are never an error");
    if let Admission::Recorded(admitted) =
        admit(&lenient, &arrival(event, source), &mut Open, &NoCustom)?
    {
        let entry = admitted.draft.stamp(now());
        let record = read(&entry);
        if let Body::Event(recorded) = record.body()
            && admitted.verdict.shows_content()
        {
            let named = Submission::parse(event)?.event().ok();
            let named = named.as_ref().and_then(|event| event.members().get("class"));
            let seen = Seen {
                members: recorded.content(),
                source: source.map(Value::from),
                named: named.and_then(Value::as_str),
            };
            look(&mut explanation, compiled, &rules, &seen, recorded.rules());
            explanation.redacted = redacted(&record);
            explanation.alerts = alerts(compiled, recorded, admitted.classes);
        }
    }
    Ok(explanation)
}

/// What conditions look at.
struct Seen<'e> {
    members: &'e Object<'e>,
    source: Option<Value<'e>>,
    /// The class that the event names itself; the record shows one that it got as well.
    named: Option<&'e str>,
}

/// Fills in classes and rules.
fn look(
    explanation: &mut Explanation,
    compiled: &Compiled,
    rules: &[Rule],
    seen: &Seen<'_>,
    broken: &[String],
) {
    for class in &compiled.document.classes {
        let fits = !class.when.is_empty() && seen.all_hold(&class.when);
        let is_named = seen.named == Some(class.name.as_str());
        if fits || is_named {
            explanation.classes.push(Class { name: class.name.clone(), is_named, fits });
        }
    }
    for rule in rules {
        let is_of = |name: &String| explanation.classes.iter().any(|class| class.name == *name);
        let is_about = rule.classes.is_empty() || rule.classes.iter().any(is_of);
        if !is_about || !seen.all_hold(&rule.when) {
            continue;
        }
        let absent = |path: &&Path| seen.find(path).is_none();
        let paths: Vec<&Path> = rule.require.iter().map(|one| &one.path).collect();
        let gone: Vec<String> = paths.iter().copied().filter(absent).map(format_field).collect();
        let missing = match broken.contains(&rule.name) {
            false => Vec::new(),
            true if gone.is_empty() => {
                let typed = rule.require.iter().map(|one| {
                    let kind = format!("{:?}", one.field).to_lowercase();
                    format!("{} as {kind}", format_field(&one.path))
                });
                typed.collect()
            }
            true => gone,
        };
        let otherwise = match rule.otherwise {
            Enforcement::Warn => "warn",
            Enforcement::Quarantine => "quarantine",
            Enforcement::Reject => "reject",
        };
        explanation.checks.push(Check { rule: rule.name.clone(), missing, otherwise });
    }
}

impl Seen<'_> {
    fn all_hold(&self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| self.holds(condition))
    }

    fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Field { path, test } => {
                self.find(path).is_some_and(|value| test.passes(value))
            }
            Condition::All(parts) => self.all_hold(parts),
            Condition::Any(parts) => parts.iter().any(|part| self.holds(part)),
            Condition::Not(inner) => !self.holds(inner),
        }
    }

    fn find(&self, path: &Path) -> Option<&Value<'_>> {
        match path.as_str() {
            "/source" => self.source.as_ref(),
            _ => path.find(self.members),
        }
    }
}

/// Returns the alerts that are about an event, as far as its record shows it.
fn alerts(compiled: &Compiled, event: &RecordedEvent<'_>, classes: Vec<String>) -> Vec<String> {
    let seen = policy::Seen::of(&compiled.watch, event, classes);
    let about = seen.about.iter().filter_map(|(position, _)| compiled.watch.alerts.get(*position));
    about.map(|alert| alert.rule.clone()).collect()
}

/// Returns what a record does not show, and how.
fn redacted(record: &Record<'_>) -> Vec<Hidden> {
    let Body::Event(recorded) = record.body() else { return Vec::new() };
    let done = |action| match action {
        RedactionAction::Drop => "drop",
        RedactionAction::Mask => "mask",
        RedactionAction::Spill => "spill",
        RedactionAction::Token => "token",
    };
    let redactions = recorded.redactions().iter();
    let mut all: Vec<Hidden> =
        redactions.map(|one| Hidden { path: one.path.clone(), action: done(one.action) }).collect();
    let spilled = |path: &Path| recorded.redactions().iter().any(|one| one.path == *path);
    let commitments = record.commitments().into_iter().filter(|(path, _)| !spilled(path));
    all.extend(commitments.map(|(path, _)| Hidden { path, action: "commit" }));
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all
}

fn read(entry: &[u8]) -> Record<'_> {
    Record::parse(entry).expect("an admitted draft is a record")
}

fn arrival<'s>(bytes: &'s [u8], source: Option<&'s str>) -> Arrival<'s> {
    let id = RecordId::new(crate::core::number::UnixMillis(0), [0; 10]);
    Arrival { bytes, source, class: None, kept: false, id, now: now() }
}

/// Returns a time: nothing that is explained depends on it.
fn now() -> Timestamp {
    Timestamp::from_micros(0).expect("the epoch is a time")
}
