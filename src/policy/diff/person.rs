//! What people may do, and what nobody may delete.

use std::collections::BTreeSet;

use super::super::document::{Hold, Permission, Place, Role};
use super::value::{fields, names, pairs};
use super::{Changes, Direction};
use crate::core::record::ApprovalRule;

/// Compares what must not be deleted.
pub(super) fn holds(changes: &mut Changes, old: &[Hold], new: &[Hold]) {
    for (name, pair) in pairs(old, new, |hold| hold.name.clone()) {
        let subject = format!("hold {name}");
        match pair {
            (Some(gone), None) => {
                changes.add(Direction::Weaker, &gone.place, &subject, "is lifted");
            }
            (None, Some(added)) => {
                changes.add(Direction::Stricter, &added.place, &subject, "is set");
            }
            (Some(old), Some(new)) => hold(changes, &subject, old, new),
            (None, None) => {}
        }
    }
}

fn hold(changes: &mut Changes, subject: &str, old: &Hold, new: &Hold) {
    let Hold { name: _, reason, classes, when, until, place: _ } = old;
    let place = &new.place;
    if *reason != new.reason {
        changes.add(Direction::Neutral, place, subject, "has another reason");
    }
    let about = (place, subject, "is about class");
    changes.set_or_all(Direction::Stricter, about, &names(classes), &names(&new.classes));
    changes.scope(Direction::Stricter, place, subject, when, &new.when);
    changes.bounded(Direction::Stricter, (place, subject, "until"), *until, new.until);
}

/// Compares who may do what.
pub(super) fn access(changes: &mut Changes, old: &[Role], new: &[Role]) {
    for (name, pair) in pairs(old, new, |role| role.name.clone()) {
        let subject = format!("role {name}");
        match pair {
            (Some(gone), None) => {
                changes.add(Direction::Stricter, &gone.place, &subject, "is dropped");
            }
            (None, Some(added)) => {
                changes.add(Direction::Weaker, &added.place, &subject, "is added");
            }
            (Some(old), Some(new)) => role(changes, &subject, old, new),
            (None, None) => {}
        }
    }
}

fn role(changes: &mut Changes, subject: &str, old: &Role, new: &Role) {
    let Role { name: _, members, can, classes, allow, deny, place: _ } = old;
    let about = |what| (&new.place, subject, what);
    changes.set(Direction::Weaker, about("member"), &names(members), &names(&new.members));
    let may = |can: &[Permission]| -> BTreeSet<String> {
        can.iter().map(|permission| permission.name().to_owned()).collect()
    };
    changes.set(Direction::Weaker, about("may"), &may(can), &may(&new.can));
    changes.set(Direction::Weaker, about("sees class"), &names(classes), &names(&new.classes));
    changes.set_or_all(Direction::Weaker, about("sees field"), &fields(allow), &fields(&new.allow));
    changes.set(Direction::Stricter, about("does not see"), &fields(deny), &fields(&new.deny));
}

/// Compares who has to approve the next policy.
pub(super) fn approvals(
    changes: &mut Changes,
    stated: Option<&ApprovalRule>,
    newer: Option<&ApprovalRule>,
) {
    let (place, subject) = (&Place::default(), "approvals");
    let nobody = ApprovalRule::NOBODY;
    let (old, new) = (stated.unwrap_or(&nobody), newer.unwrap_or(&nobody));
    if stated != newer && old == new {
        let what = "says in other words that nobody has to approve";
        changes.add(Direction::Neutral, place, subject, what);
    }
    let keys = |rule: &ApprovalRule| names(rule.keys());
    changes.set(Direction::Weaker, (place, subject, "key"), &keys(old), &keys(new));
    if old.threshold() != new.threshold() {
        let is_lower = new.threshold() < old.threshold();
        let direction = if is_lower { Direction::Weaker } else { Direction::Stricter };
        let what = format!("needed: {}, was {}", new.threshold(), old.threshold());
        changes.add(direction, place, subject, &what);
    }
}
