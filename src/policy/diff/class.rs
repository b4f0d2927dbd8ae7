//! Classes and rules: what events must have, how much of them is recorded, and for how long.

use std::collections::{BTreeMap, BTreeSet};

use super::super::document::{Class, Document, Logging, Place, StatedRule};
use super::super::field::format_field;
use super::value::{names, pairs};
use super::{Changes, Direction, violation};
use crate::core::policy::{Condition, Enforcement, FieldType, Requirement, Rule};
use crate::core::record::Path;

/// Compares the classes.
pub(super) fn classes(changes: &mut Changes, old: &Document, new: &Document) {
    for (name, pair) in pairs(&old.classes, &new.classes, |class| class.name.clone()) {
        let subject = format!("class {name}");
        match pair {
            (Some(gone), None) => {
                changes.add(Direction::Weaker, &gone.place, &subject, "is dropped");
            }
            (None, Some(added)) => {
                changes.add(Direction::Stricter, &added.place, &subject, "is added");
            }
            (Some(one), Some(other)) => class(changes, &subject, (old, one), (new, other)),
            (None, None) => {}
        }
    }
    order(changes, &old.classes, &new.classes);
}

/// Compares the order of the classes that both have: an event gets the name of the first that it fits.
fn order(changes: &mut Changes, old: &[Class], new: &[Class]) {
    fn common<'c>(of: &'c [Class], other: &[Class]) -> Vec<&'c str> {
        let there: BTreeSet<&str> = other.iter().map(|class| class.name.as_str()).collect();
        of.iter().map(|class| class.name.as_str()).filter(|name| there.contains(name)).collect()
    }
    if common(old, new) != common(new, old) {
        let what = "tries its classes in another order: events may get another class";
        changes.add(Direction::Unclear, &Place::default(), "policy", what);
    }
}

/// Compares two classes of one name.
fn class(
    changes: &mut Changes,
    subject: &str,
    (old_document, old): (&Document, &Class),
    (new_document, new): (&Document, &Class),
) {
    let Class {
        name: _,
        description,
        when,
        require,
        required,
        log: Logging { success, failure },
        level,
        otherwise,
        retention,
        indexes,
        place: _,
    } = old;
    let place = &new.place;
    if *description != new.description {
        changes.add(Direction::Neutral, place, subject, "has another description");
    }
    matched(changes, place, subject, when, &new.when);
    fields(changes, place, subject, require, &new.require);
    let switches = [
        ("has to be in the log whole", *required, new.required),
        ("records successes", *success, new.log.success),
        ("records failures", *failure, new.log.failure),
    ];
    for (what, old, new) in switches {
        match (old, new) {
            (true, false) => {
                changes.add(Direction::Weaker, place, subject, &format!("no longer {what}"));
            }
            (false, true) => changes.add(Direction::Stricter, place, subject, what),
            _ => {}
        }
    }
    if *level != new.level {
        let direction = if new.level < *level { Direction::Weaker } else { Direction::Stricter };
        let what = format!("records {} instead of {}", new.level.name(), level.name());
        changes.add(direction, place, subject, &what);
    }
    if *otherwise != new.otherwise {
        let effective = |own: Option<Enforcement>, of| own.unwrap_or(violation(of));
        let (old, new) =
            (effective(*otherwise, old_document), effective(new.otherwise, new_document));
        changes.enforced(place, subject, old, new);
        if old == new {
            let what = "says what becomes of violations in other words";
            changes.add(Direction::Neutral, place, subject, what);
        }
    }
    if *retention != new.retention {
        let old = retention.unwrap_or(old_document.retention);
        let new = new.retention.unwrap_or(new_document.retention);
        changes.kept(place, subject, &old, &new);
        if old == new {
            let what = "says how long it is kept in other words";
            changes.add(Direction::Neutral, place, subject, what);
        }
    }
    looked_up(changes, place, subject, indexes, &new.indexes);
}

/// Compares the conditions of a class, of which none at all match nothing.
fn matched(
    changes: &mut Changes,
    place: &Place,
    subject: &str,
    old: &[Condition],
    new: &[Condition],
) {
    match (old.is_empty(), new.is_empty()) {
        (false, true) => {
            let what = "no longer matches events that do not name it";
            changes.add(Direction::Weaker, place, subject, what);
        }
        (true, false) => {
            let what = "also matches events that do not name it";
            changes.add(Direction::Stricter, place, subject, what);
        }
        _ => changes.scope(Direction::Stricter, place, subject, old, new),
    }
}

/// Compares the fields by which a class is looked up, which changes what a query costs and not what is there.
fn looked_up(
    changes: &mut Changes,
    place: &Place,
    subject: &str,
    old: &[Vec<Path>],
    new: &[Vec<Path>],
) {
    if old != new {
        changes.add(Direction::Neutral, place, subject, "is looked up by other fields");
    }
}

/// Compares the rules.
pub(super) fn rules(changes: &mut Changes, old: &[StatedRule], new: &[StatedRule]) {
    for (name, pair) in pairs(old, new, |stated| stated.rule.name.clone()) {
        let subject = format!("rule {name}");
        match pair {
            (Some(gone), None) => {
                changes.add(Direction::Weaker, &gone.place, &subject, "is dropped");
            }
            (None, Some(added)) => {
                changes.add(Direction::Stricter, &added.place, &subject, "is added");
            }
            (Some(old), Some(new)) => rule(changes, &subject, old, new),
            (None, None) => {}
        }
    }
}

/// Compares two rules of one name.
fn rule(changes: &mut Changes, subject: &str, old: &StatedRule, new: &StatedRule) {
    let StatedRule { rule: Rule { name: _, classes, when, require, otherwise }, place: _ } = old;
    let (place, new) = (&new.place, &new.rule);
    let about = (place, subject, "is about class");
    changes.set_or_all(Direction::Stricter, about, &names(classes), &names(&new.classes));
    changes.scope(Direction::Stricter, place, subject, when, &new.when);
    fields(changes, place, subject, require, &new.require);
    changes.enforced(place, subject, *otherwise, new.otherwise);
}

/// Compares what events must have.
fn fields(
    changes: &mut Changes,
    place: &Place,
    subject: &str,
    old: &[Requirement],
    new: &[Requirement],
) {
    let by_path = |fields: &[Requirement]| -> BTreeMap<String, FieldType> {
        fields.iter().map(|field| (format_field(&field.path), field.field)).collect()
    };
    let (old, new) = (by_path(old), by_path(new));
    for (path, field) in &new {
        match old.get(path) {
            None => {
                changes.add(Direction::Stricter, place, subject, &format!("also requires {path}"));
            }
            Some(before) if before != field => {
                let what = format!("requires {path} to be {field:?} instead of {before:?}");
                changes.add(typed(*before, *field), place, subject, &what.to_lowercase());
            }
            Some(_) => {}
        }
    }
    for path in old.keys().filter(|path| !new.contains_key(*path)) {
        changes.add(Direction::Weaker, place, subject, &format!("no longer requires {path}"));
    }
}

/// Returns where another type of a required field leads.
fn typed(old: FieldType, new: FieldType) -> Direction {
    let includes = |wide: FieldType, narrow: FieldType| {
        matches!(
            (wide, narrow),
            (FieldType::Any, _)
                | (FieldType::Number, FieldType::Integer)
                | (FieldType::Text, FieldType::Time | FieldType::Address)
        )
    };
    match (includes(new, old), includes(old, new)) {
        (true, _) => Direction::Weaker,
        (_, true) => Direction::Stricter,
        _ => Direction::Unclear,
    }
}
