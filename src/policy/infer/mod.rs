//! A policy from events that were seen: classes, what their events have in common, and what looks sensitive.
//!
//! Nothing of the samples stands in what comes out but names: of actions, classes, fields and numbered sources.
//!
//! # Out of scope
//!
//! - What the samples do not show: retention, access, alerts and reviews are for people to decide.

mod example;
mod field;

use std::collections::{BTreeMap, BTreeSet};

pub use self::example::examples;
use self::field::{Field, fields, hides};
use super::document::{Class, Document, Place, Redaction, Source};
use crate::core::policy::{
    Action, Condition, Detector, Glob, Requirement, Target, Test, Treatment,
};
use crate::core::record::json::{Object, Value};
use crate::core::record::{Path, Submission, is_class};

/// Most fields that one class requires: more would be the form of one program, and not a duty.
const REQUIRED_MAX: usize = 24;

/// Most classes. Whoever has more has actions that are made up as they come.
const CLASSES_MAX: usize = 256;

/// Most exact actions that a class is recognised by.
const ACTIONS_MAX: usize = 256;

/// Where in `ctx` the server puts the source that an event claims to be of.
const CLAIMED_SOURCE: &str = "claimed_source";

/// Events that were seen, by what they are.
#[derive(Default)]
pub struct Samples {
    events: Vec<Object<'static>>,
}

/// What was inferred, and what could not be.
pub struct Inferred {
    /// The policy.
    pub document: Document,
    /// What somebody has to look at.
    pub notes: Vec<String>,
    groups: BTreeMap<String, Group>,
}

/// The events of one class.
#[derive(Default)]
struct Group {
    /// Whether they name it.
    is_named: bool,
    events: usize,
    actions: BTreeSet<String>,
    fields: BTreeMap<Path, Field>,
    first: Object<'static>,
}

/// Why a sample is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no event of an audit log: a JSON object as `attestree append --event` takes it")]
pub struct NoEvent;

impl Samples {
    /// Takes an event as it was submitted.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), NoEvent> {
        let submission = Submission::parse(bytes).map_err(|_| NoEvent)?;
        let event = submission.event().map_err(|_| NoEvent)?;
        match Value::from(event.members().clone()).into_owned() {
            Value::Object(event) => self.events.push(event),
            _ => return Err(NoEvent),
        }
        Ok(())
    }

    /// Infers a policy.
    pub fn infer(&self, name: &str, owner: Option<&str>) -> Inferred {
        let mut notes = Vec::new();
        let groups = self.groups(&mut notes);
        let mut redactions = redactions(&groups, &mut notes);
        redactions.sort_by_key(|one| matches!(one.target, Target::Detected(_)));
        let classes = groups
            .iter()
            .filter_map(|(name, group)| class(name, group, &groups, &redactions, &mut notes));
        let classes: Vec<Class> = classes.collect();
        let events = self.events.len();
        let place = Place::default;
        let document = Document {
            name: name.to_owned(),
            description: Some(format!("Made from {events} sample events")),
            owner: owner.map(str::to_owned),
            classes,
            unknown_class: Some(crate::core::policy::Enforcement::Warn),
            redactions: redactions
                .into_iter()
                .map(|treatment| Redaction { treatment, epoch_days: None, place: place() })
                .collect(),
            sources: self.numbered(),
            ..Document::default()
        };
        Inferred { document, notes, groups }
    }

    /// Puts events into groups: by the class that they name, or that others with such an action name, or
    /// by how their actions begin.
    fn groups(&self, notes: &mut Vec<String>) -> BTreeMap<String, Group> {
        let mut named: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for event in &self.events {
            if let (Some(class), Some(action)) = (named_class(event), text(event, "act")) {
                named.entry(begin(action).to_owned()).or_default().insert(class);
            }
        }
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        let (mut lost, mut nameless) = (0, 0);
        for event in &self.events {
            let action = text(event, "act");
            let known = action.and_then(|action| named.get(begin(action)));
            let alone = known.filter(|classes| classes.len() == 1).and_then(BTreeSet::first);
            let of_action = action.map(|action| class_of(begin(action)));
            let class = named_class(event).map(str::to_owned);
            let is_named = class.is_some();
            let class = class.or_else(|| alone.map(|class| (*class).to_owned())).or(of_action);
            let Some(class) = class else {
                nameless += 1;
                continue;
            };
            if !groups.contains_key(&class) && groups.len() >= CLASSES_MAX {
                lost += 1;
                continue;
            }
            groups.entry(class).or_default().take(event, is_named);
        }
        if nameless > 0 {
            notes.push(format!("of {nameless} of the samples nothing is said: they have neither a class nor an action"));
        }
        if lost > 0 {
            notes.push(format!("of {lost} of the samples nothing is said: there are more than {CLASSES_MAX} classes"));
        }
        groups
    }

    /// Returns the sources all of whose events are numbered.
    fn numbered(&self) -> Vec<Source> {
        let mut sources: BTreeMap<&str, bool> = BTreeMap::new();
        for event in &self.events {
            if let Some(source) = claimed_source(event) {
                let is_numbered = event.get("seq").is_some();
                let all = sources.entry(source).or_insert(is_numbered);
                *all &= is_numbered;
            }
        }
        let numbered = sources.into_iter().filter(|(name, all)| *all && !name.contains('*'));
        let source = |(name, _): (&str, bool)| Source {
            sources: vec![Glob::new(name)],
            numbered: true,
            expect: None,
            place: Place::default(),
        };
        numbered.map(source).collect()
    }
}

impl Group {
    fn take(&mut self, event: &Object<'static>, is_named: bool) {
        if self.events == 0 {
            self.first = event.clone();
            self.is_named = true;
        }
        self.is_named &= is_named;
        self.events += 1;
        if let Some(action) = text(event, "act") {
            self.actions.insert(action.to_owned());
        }
        fields(event, &mut self.fields);
    }

    /// Returns whether all of its events have a field.
    fn has(&self, path: &Path) -> bool {
        self.fields.get(path).is_some_and(|field| field.times == self.events)
    }
}

/// Makes a class of a group; none if nothing tells its events from others.
fn class(
    name: &str,
    group: &Group,
    groups: &BTreeMap<String, Group>,
    redactions: &[Treatment],
    notes: &mut Vec<String>,
) -> Option<Class> {
    let when = conditions(name, group, groups);
    if when.is_empty() && !group.is_named {
        notes.push(format!(
            "nothing tells the events that would be of class {name} from those of others"
        ));
        return None;
    }
    if group.events == 1 {
        notes.push(format!(
            "class {name} was made from one event: it requires all that this one has"
        ));
    }
    let kept = |path: &Path, field: &Field| {
        field.times == group.events
            && field.found.is_empty()
            && !matches!(path.as_str(), "/act" | "/class" | "/seq" | "/ctx/claimed_source")
            && !redactions
                .iter()
                .any(|one| matches!(&one.target, Target::Path(hidden) if path.is_within(hidden)))
    };
    let common = group.fields.iter().filter(|(path, field)| kept(path, field));
    let mut require: Vec<Requirement> =
        common.map(|(path, field)| Requirement { path: path.clone(), field: field.kind }).collect();
    // Who, how it ended and what it was about count for more than what stood around.
    require.sort_by_key(|one| one.path.as_str().starts_with("/ctx/"));
    if require.len() > REQUIRED_MAX {
        notes.push(format!(
            "class {name} requires {REQUIRED_MAX} of the {} fields that all its events have",
            require.len()
        ));
        require.truncate(REQUIRED_MAX);
    }
    let description = match group.events {
        1 => "Seen once".to_owned(),
        times => format!("Seen {times} times"),
    };
    Some(Class {
        description: Some(description),
        when,
        require,
        ..Class::new(name, Place::default())
    })
}

/// Returns how the events of a group are told from all others: by how their actions begin, or by each of them.
fn conditions(name: &str, group: &Group, groups: &BTreeMap<String, Group>) -> Vec<Condition> {
    let act = Path::parse("/act").expect("a path");
    let others = || groups.iter().filter(|(other, _)| *other != name).map(|(_, other)| other);
    let begins: BTreeSet<&str> = group.actions.iter().map(|action| begin(action)).collect();
    let is_free = |start: &str| {
        start.ends_with(['.', ':', '/'])
            && !others().any(|other| other.actions.iter().any(|action| action.starts_with(start)))
    };
    let (free, shared): (BTreeSet<&str>, BTreeSet<&str>) =
        begins.into_iter().partition(|start| is_free(start));
    let mut ways: Vec<Condition> = free
        .iter()
        .map(|start| Condition::field(act.clone(), Test::Prefix((*start).to_owned())))
        .collect();
    let exact = group.actions.iter().filter(|action| shared.contains(begin(action)));
    let exact = exact.filter(|action| !others().any(|other| other.actions.contains(*action)));
    let mut exact: Vec<String> = exact.take(ACTIONS_MAX).cloned().collect();
    match exact.len() {
        0 => {}
        1 => ways.extend(exact.pop().map(|one| Condition::field(act, Test::Exact(one)))),
        _ => ways.push(Condition::field(act, Test::OneOf(exact))),
    }
    if ways.len() > 1 { vec![Condition::Any(ways)] } else { ways }
}

/// Returns what is to be taken out: fields that are named for secrets or hold nothing but addresses of people, and
/// whatever detectors recognise anywhere.
fn redactions(groups: &BTreeMap<String, Group>, notes: &mut Vec<String>) -> Vec<Treatment> {
    let id = Path::parse("/actor/id").expect("a path");
    let mut places: BTreeMap<Path, Action> = BTreeMap::new();
    let mut found: BTreeSet<Detector> = BTreeSet::new();
    for group in groups.values() {
        for (path, field) in &group.fields {
            if hides(path) {
                places.insert(path.clone(), Action::Drop);
            } else if field.is_email() && *path != id && field::may_be_hidden(path) {
                let subject = group.has(&id).then(|| id.clone());
                let known = places
                    .entry(path.clone())
                    .or_insert(Action::Commit { subject: subject.clone() });
                if let Action::Commit { subject: known } = known {
                    *known = known.take().filter(|_| subject.is_some());
                }
            } else {
                found.extend(&field.found);
            }
        }
    }
    let is_person =
        |group: &Group| group.fields.get(&id).is_some_and(|field| !field.found.is_empty());
    if groups.values().any(is_person) && found.remove(&Detector::Email) {
        notes.push("actor.id holds what identifies people, and is kept: name people by something that does not, or redact it as a token".to_owned());
    }
    // Of places inside of one another the outer one is treated.
    let paths: Vec<Path> = places.keys().cloned().collect();
    places.retain(|path, _| !paths.iter().any(|other| other != path && path.is_within(other)));
    let at =
        places.into_iter().map(|(path, action)| Treatment { target: Target::Path(path), action });
    let detected = found.into_iter().map(|detector| Treatment {
        target: Target::Detected(detector),
        action: match detector {
            Detector::Jwt | Detector::CloudKey | Detector::Pem => Action::Drop,
            Detector::Card | Detector::Iban | Detector::NationalId => Action::Mask { keep_last: 4 },
            Detector::Email => Action::Mask { keep_last: 0 },
        },
    });
    at.chain(detected).collect()
}

/// Returns a text of an event.
fn text<'e>(event: &'e Object<'_>, name: &str) -> Option<&'e str> {
    event.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Returns the source that an event claims to be of, where it was put.
fn claimed_source<'e>(event: &'e Object<'_>) -> Option<&'e str> {
    event.get("ctx").and_then(Value::as_object)?.get(CLAIMED_SOURCE)?.as_str()
}

/// Returns the class that an event names, if a policy can have such a one.
fn named_class<'e>(event: &'e Object<'_>) -> Option<&'e str> {
    text(event, "class").filter(|name| is_name(name))
}

/// Returns whether a class can have a name.
fn is_name(name: &str) -> bool {
    is_class(name) && !super::read::class::is_reserved(name)
}

/// Returns how an action begins, up to what sets it apart: `auth.` of `auth.login`; all of it where nothing does.
fn begin(action: &str) -> &str {
    let end = action.find(['.', ':', '/']).map_or(action.len(), |at| at + 1);
    action.get(..end).unwrap_or(action)
}

/// Makes the name of a class of how actions begin.
fn class_of(begin: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' }
    };
    let name: String =
        begin.trim_end_matches(['.', ':', '/']).chars().map(plain).take(48).collect();
    let name = name.trim_matches('-');
    if is_name(name) {
        name.to_owned()
    } else {
        format!("actions-{name}").trim_end_matches('-').to_owned()
    }
}
