//! What changes from one policy to another, by what it means: a weakening is called a weakening.
//!
//! Compares what documents say, not how they are written. Every field of [`Document`] is taken apart by
//! name here, so that a new one does not compile before somebody says which way of changing it weakens.
//!
//! | of | is weaker |
//! |---|---|
//! | classes, rules, required fields, alerts, holds, parents, sources, redactions | fewer, or about fewer events |
//! | suppressions, roles, members, permissions, approvers | more, or about more events |
//! | retention, enforcement, detail level, approvals needed | less |
//! | epochs of tokens, times until an alert, the review date | later |
//!
//! Where neither direction can be shown, as between two regular expressions, the change is
//! [`Direction::Unclear`]: it may weaken, and somebody has to look.
//!
//! # Out of scope
//!
//! - Whether a child only tightens its parents, which is an error and not a matter of reading.
//! - What Rego modules say. That one changed at all is seen by [`files`].

mod class;
mod duty;
mod person;
mod scope;
mod value;

use core::fmt;

use super::document::{Document, Parent, Place};
use crate::core::policy::{Bundle, Enforcement};

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Less is demanded, recorded, kept or hidden, or more people may do something.
    Weaker,
    /// It may be weaker: no direction can be shown.
    Unclear,
    /// More is demanded, recorded, kept or hidden, or fewer people may do something.
    Stricter,
    /// Neither: words for people, or another way to say the same.
    Neutral,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which way it goes.
    pub direction: Direction,
    /// What it is about, as `class login`.
    pub subject: String,
    /// What happens to it, as `no longer requires /actor/id`.
    pub what: String,
    /// Where it is stated, in the newer policy or, if it is gone, in the older.
    pub place: Place,
}

/// The changes that were found.
#[derive(Debug, Default)]
struct Changes {
    found: Vec<Change>,
}

/// Compares what two policies say. The weakest come first.
pub fn diff(old: &Document, new: &Document) -> Vec<Change> {
    let mut changes = Changes::default();
    document(&mut changes, old, new);
    changes.found.sort_by_key(|change| change.direction);
    changes.found
}

/// Compares the files of two policies that documents say nothing about: Rego modules and their data.
pub fn files(old: &Bundle, new: &Bundle) -> Vec<Change> {
    let is_custom = |path: &str| path.starts_with("rego/") || path.starts_with("data.");
    let mut changes = Changes::default();
    let paths = old
        .files()
        .keys()
        .chain(new.files().keys().filter(|path| !old.files().contains_key(*path)));
    for path in paths.filter(|path| is_custom(path)) {
        let what = match (old.files().get(path), new.files().get(path)) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(_), Some(_)) => "has other contents",
            (None, _) => "is added",
            (_, None) => "is gone",
        };
        let place = Place { file: path.clone(), ..Place::default() };
        changes.add(Direction::Unclear, &place, &format!("file {path}"), what);
    }
    changes.found
}

/// Compares two documents field by field.
fn document(changes: &mut Changes, old: &Document, new: &Document) {
    let Document {
        name,
        description,
        owner,
        review_by,
        metadata: _,
        extends,
        classes: _,
        rules: _,
        on_violation: _,
        unknown_class,
        redactions: _,
        enrichments: _,
        suppressions: _,
        retention,
        holds: _,
        access: _,
        alerts: _,
        sources: _,
        rego: _,
        approvals: _,
    } = old;
    let nowhere = Place::default();
    let mut policy = |direction, what: &str| changes.add(direction, &nowhere, "policy", what);
    if *name != new.name {
        policy(Direction::Neutral, &format!("is named {:?} instead of {name:?}", new.name));
    }
    if *description != new.description {
        policy(Direction::Neutral, "has another description");
    }
    match (owner, &new.owner) {
        (Some(old), None) => policy(Direction::Weaker, &format!("has no owner; it was {old}")),
        (None, Some(new)) => policy(Direction::Stricter, &format!("has an owner: {new}")),
        (Some(old), Some(new)) if old != new => {
            policy(Direction::Neutral, &format!("has the owner {new} instead of {old}"));
        }
        _ => {}
    }
    changes.later(&nowhere, "policy", "review", *review_by, new.review_by);
    changes.enforced(&nowhere, "policy", violation(old), violation(new));
    if old.on_violation != new.on_violation && violation(old) == violation(new) {
        let what = "says what becomes of violations in other words";
        changes.add(Direction::Neutral, &nowhere, "policy", what);
    }
    unknown(changes, *unknown_class, new.unknown_class);
    changes.kept(&nowhere, "policy", retention, &new.retention);
    parents(changes, extends, &new.extends);
    class::classes(changes, old, new);
    class::rules(changes, &old.rules, &new.rules);
    duty::redactions(changes, old, new);
    duty::enrichments(changes, &old.enrichments, &new.enrichments);
    duty::suppressions(changes, &old.suppressions, &new.suppressions);
    duty::alerts(changes, &old.alerts, &new.alerts);
    duty::sources(changes, &old.sources, &new.sources);
    duty::rego(changes, old, new);
    person::holds(changes, &old.holds, &new.holds);
    person::access(changes, &old.access, &new.access);
    person::approvals(changes, old.approvals.as_ref(), new.approvals.as_ref());
}

/// Returns what becomes of an event that breaks what a class states.
fn violation(document: &Document) -> Enforcement {
    document.on_violation.unwrap_or(Enforcement::Quarantine)
}

/// Compares what becomes of events of unknown classes.
fn unknown(changes: &mut Changes, old: Option<Enforcement>, new: Option<Enforcement>) {
    let name = |enforcement: Option<Enforcement>| enforcement.map_or("accept", value::enforcement);
    if old != new {
        let direction = if new < old { Direction::Weaker } else { Direction::Stricter };
        let what = format!("does with unknown classes: {}, not {}", name(new), name(old));
        changes.add(direction, &Place::default(), "policy", &what);
    }
}

/// Compares the policies that are extended.
fn parents(changes: &mut Changes, old: &[Parent], new: &[Parent]) {
    for (key, pair) in value::pairs(old, new, |parent| parent.name.clone()) {
        let subject = format!("parent {key}");
        let (direction, what, place) = match pair {
            (Some(old), None) => (Direction::Weaker, "is no longer extended", &old.place),
            (None, Some(new)) => (Direction::Stricter, "is extended", &new.place),
            (Some(old), Some(new)) if old.digest != new.digest => {
                (Direction::Unclear, "is extended in another version", &new.place)
            }
            _ => continue,
        };
        changes.add(direction, place, &subject, what);
    }
}

impl Direction {
    /// Returns the direction of the same change the other way round.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Weaker => Self::Stricter,
            Self::Stricter => Self::Weaker,
            Self::Unclear => Self::Unclear,
            Self::Neutral => Self::Neutral,
        }
    }

    /// Returns whether somebody has to look at a change of this direction before it goes on.
    pub const fn may_weaken(self) -> bool {
        matches!(self, Self::Weaker | Self::Unclear)
    }

    /// Returns the word for people and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weaker => "weaker",
            Self::Unclear => "unclear",
            Self::Stricter => "stricter",
            Self::Neutral => "neutral",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Changes {
    /// Adds a change.
    fn add(&mut self, direction: Direction, place: &Place, subject: &str, what: &str) {
        let (subject, what, place) = (subject.to_owned(), what.to_owned(), place.clone());
        self.found.push(Change { direction, subject, what, place });
    }
}
