//! What is hidden, added, suppressed, alerted on and expected.

use std::collections::BTreeSet;

use super::super::document::{
    Alert, Document, Period, Place, Redaction, RegoModule, Source, Suppression, Trigger,
};
use super::super::field::format_field;
use super::value::{fields, names, pairs};
use super::{Changes, Direction, violation};
use crate::core::policy::{Action, Enrichment, Target, Treatment};
use crate::core::record::{EPOCH_DAYS, Path};

/// Compares what is taken out of events.
pub(super) fn redactions(changes: &mut Changes, old: &Document, new: &Document) {
    for (name, pair) in pairs(&old.redactions, &new.redactions, |one| target(&one.treatment)) {
        let subject = format!("redaction of {name}");
        match pair {
            (Some(gone), None) => {
                changes.add(Direction::Weaker, &gone.place, &subject, "is dropped");
            }
            (None, Some(added)) if is_required(new, &added.treatment.target) => {
                let what = "is added, of a field that events must show";
                changes.add(Direction::Weaker, &added.place, &subject, what);
            }
            (None, Some(added)) => {
                changes.add(Direction::Stricter, &added.place, &subject, "is added");
            }
            (Some(old), Some(new)) => redaction(changes, &subject, old, new),
            (None, None) => {}
        }
    }
}

/// Returns what is treated.
fn target(treatment: &Treatment) -> String {
    match &treatment.target {
        Target::Path(path) => format_field(path),
        Target::Detected(detector) => format!("detected {}", detector.name()),
    }
}

/// Returns whether events must have what is treated.
fn is_required(document: &Document, target: &Target) -> bool {
    let Target::Path(path) = target else { return false };
    let of_classes = document.classes.iter().flat_map(|class| &class.require);
    let of_rules = document.rules.iter().flat_map(|stated| &stated.rule.require);
    of_classes.chain(of_rules).any(|required| required.path == *path)
}

/// Compares two redactions of one target.
fn redaction(changes: &mut Changes, subject: &str, old: &Redaction, new: &Redaction) {
    let Redaction { treatment, epoch_days, place: _ } = old;
    let (before, after) = (&treatment.action, &new.treatment.action);
    if before != after {
        let what = format!("is {} instead of {}", action(after), action(before));
        changes.add(acted(before, after), &new.place, subject, &what);
    }
    let days = |days: Option<u64>| days.unwrap_or(EPOCH_DAYS.into());
    if days(*epoch_days) != days(new.epoch_days) {
        let longer = days(new.epoch_days) > days(*epoch_days);
        let direction = if longer { Direction::Weaker } else { Direction::Stricter };
        let what = format!("tokens stay the same for {} days", days(new.epoch_days));
        changes.add(direction, &new.place, subject, &what);
    } else if *epoch_days != new.epoch_days {
        let what = "says how long tokens stay the same in other words";
        changes.add(Direction::Neutral, &new.place, subject, what);
    }
}

/// Writes what is done to a value.
fn action(action: &Action) -> String {
    match action {
        Action::Drop => "drop".to_owned(),
        Action::Mask { keep_last } => format!("mask but the last {keep_last}"),
        Action::Commit { subject: None } => "commit".to_owned(),
        Action::Commit { subject: Some(subject) } => {
            format!("commit for {}", format_field(subject))
        }
        Action::Token { .. } => "token".to_owned(),
    }
}

/// Returns where another action leads.
fn acted(old: &Action, new: &Action) -> Direction {
    match (old, new) {
        (Action::Drop, _) => Direction::Weaker,
        (_, Action::Drop) => Direction::Stricter,
        (Action::Mask { keep_last: old }, Action::Mask { keep_last: new }) => {
            if new > old {
                Direction::Weaker
            } else {
                Direction::Stricter
            }
        }
        // Without a subject nobody's values can be erased alone.
        (Action::Commit { subject: Some(_) }, Action::Commit { subject: None }) => {
            Direction::Weaker
        }
        (Action::Commit { subject: None }, Action::Commit { subject: Some(_) }) => {
            Direction::Stricter
        }
        _ => Direction::Unclear,
    }
}

/// Compares what is added to events.
pub(super) fn enrichments(changes: &mut Changes, old: &[Enrichment], new: &[Enrichment]) {
    for (name, pair) in pairs(old, new, |one| one.name.clone()) {
        let (direction, what) = match pair {
            (Some(_), None) => (Direction::Weaker, "is dropped"),
            (None, Some(_)) => (Direction::Stricter, "is added"),
            (Some(old), Some(new)) if old != new => (Direction::Unclear, "says something else"),
            _ => continue,
        };
        changes.add(direction, &Place::default(), &format!("enrichment {name}"), what);
    }
}

/// Compares what is counted instead of recorded.
pub(super) fn suppressions(changes: &mut Changes, old: &[Suppression], new: &[Suppression]) {
    for (name, pair) in pairs(old, new, |one| one.name.clone()) {
        let subject = format!("suppression {name}");
        match pair {
            (Some(gone), None) => {
                changes.add(Direction::Stricter, &gone.place, &subject, "is dropped");
            }
            (None, Some(added)) => {
                changes.add(Direction::Weaker, &added.place, &subject, "is added");
            }
            (Some(old), Some(new)) => suppression(changes, &subject, old, new),
            (None, None) => {}
        }
    }
}

fn suppression(changes: &mut Changes, subject: &str, old: &Suppression, new: &Suppression) {
    let Suppression { name: _, classes, when, window, place: _ } = old;
    let place = &new.place;
    let about = (place, subject, "is about class");
    changes.set_or_all(Direction::Weaker, about, &names(classes), &names(&new.classes));
    changes.scope(Direction::Weaker, place, subject, when, &new.when);
    let counted = (place, subject, "counted every");
    changes.bounded(Direction::Weaker, counted, Some(*window), Some(new.window));
}

/// Compares what raises alerts.
pub(super) fn alerts(changes: &mut Changes, old: &[Alert], new: &[Alert]) {
    for (name, pair) in pairs(old, new, |one| one.name.clone()) {
        let subject = format!("alert {name}");
        match pair {
            (Some(gone), None) => {
                changes.add(Direction::Weaker, &gone.place, &subject, "is dropped");
            }
            (None, Some(added)) => {
                changes.add(Direction::Stricter, &added.place, &subject, "is added");
            }
            (Some(old), Some(new)) => alert(changes, &subject, old, new),
            (None, None) => {}
        }
    }
}

/// Compares two alerts of one name.
fn alert(changes: &mut Changes, subject: &str, old: &Alert, new: &Alert) {
    let Alert { name: _, classes, when, trigger, to, place: _ } = old;
    let place = &new.place;
    // More events raise an alert sooner, and keep one that waits for silence from being raised.
    let more = match (trigger, &new.trigger) {
        (Trigger::Absence { .. }, _) | (_, Trigger::Absence { .. }) => Direction::Unclear,
        _ => Direction::Stricter,
    };
    let about = (place, subject, "is about class");
    changes.set_or_all(more, about, &names(classes), &names(&new.classes));
    changes.scope(more, place, subject, when, &new.when);
    triggered(changes, place, subject, trigger, &new.trigger);
    let told = (place, subject, "is told to");
    changes.set(Direction::Stricter, told, &names(to), &names(&new.to));
}

/// Compares what raises an alert.
fn triggered(changes: &mut Changes, place: &Place, subject: &str, old: &Trigger, new: &Trigger) {
    match (old, new) {
        (old, new) if old == new => {}
        (Trigger::Match, Trigger::Threshold { .. }) => {
            changes.add(Direction::Weaker, place, subject, "is raised by many events, not by each");
        }
        (Trigger::Threshold { .. }, Trigger::Match) => {
            changes.add(
                Direction::Stricter,
                place,
                subject,
                "is raised by each event, not by many",
            );
        }
        (
            Trigger::Threshold { count, within, by },
            Trigger::Threshold { count: new_count, within: new_within, by: new_by },
        ) => {
            let counted = (place, subject, "events that raise it");
            changes.bounded(Direction::Weaker, counted, Some(*count), Some(*new_count));
            let timed = (place, subject, "within");
            changes.bounded(Direction::Stricter, timed, Some(*within), Some(*new_within));
            grouped(changes, place, subject, by, new_by);
        }
        (Trigger::Absence { within }, Trigger::Absence { within: new }) => {
            let silent = (place, subject, "raised after a silence of");
            changes.bounded(Direction::Weaker, silent, Some(*within), Some(*new));
        }
        _ => changes.add(Direction::Unclear, place, subject, "is raised by something else"),
    }
}

/// Compares what events that are counted together have in common: the more, the fewer are counted.
fn grouped(changes: &mut Changes, place: &Place, subject: &str, old: &[Path], new: &[Path]) {
    let (before, after): (BTreeSet<String>, BTreeSet<String>) = (fields(old), fields(new));
    changes.set(Direction::Weaker, (place, subject, "is counted by"), &before, &after);
    if before == after && old != new {
        let what = "says what it is counted by in another order";
        changes.add(Direction::Neutral, place, subject, what);
    }
}

/// Compares what is expected of sources.
pub(super) fn sources(changes: &mut Changes, old: &[Source], new: &[Source]) {
    let name = |source: &Source| -> String {
        names(&source.sources).into_iter().collect::<Vec<_>>().join(", ")
    };
    for (name, pair) in pairs(old, new, name) {
        let subject = format!("source {name}");
        let (old, new) = match pair {
            (Some(gone), None) => {
                changes.add(Direction::Weaker, &gone.place, &subject, "is no longer watched");
                continue;
            }
            (None, Some(added)) => {
                changes.add(Direction::Stricter, &added.place, &subject, "is watched");
                continue;
            }
            (Some(old), Some(new)) => (old, new),
            (None, None) => continue,
        };
        let Source { sources: _, numbered, expect, place: _ } = old;
        match (*numbered, new.numbered) {
            (true, false) => {
                let what = "no longer has to number its events";
                changes.add(Direction::Weaker, &new.place, &subject, what);
            }
            (false, true) => {
                changes.add(Direction::Stricter, &new.place, &subject, "has to number its events");
            }
            _ => {}
        }
        let heard: (Option<Period>, Option<Period>) = (*expect, new.expect);
        let about = (&new.place, subject.as_str(), "has to be heard of within");
        changes.bounded(Direction::Weaker, about, heard.0, heard.1);
    }
}

/// Compares which events custom rules judge.
pub(super) fn rego(changes: &mut Changes, old: &Document, new: &Document) {
    for (name, pair) in pairs(&old.rego, &new.rego, |module| module.subject.clone()) {
        let subject = format!("module {name}");
        match pair {
            (Some(gone), None) => {
                changes.add(Direction::Weaker, &gone.place, &subject, "is dropped");
            }
            (None, Some(added)) => {
                changes.add(Direction::Stricter, &added.place, &subject, "is added");
            }
            (Some(one), Some(other)) => module(changes, &subject, (old, one), (new, other)),
            (None, None) => {}
        }
    }
}

/// Compares what is asked of one module.
fn module(
    changes: &mut Changes,
    subject: &str,
    (old_document, old): (&Document, &RegoModule),
    (new_document, new): (&Document, &RegoModule),
) {
    let RegoModule { subject: _, classes, when, otherwise, needs, place: _ } = old;
    let place = &new.place;
    let about = (place, subject, "judges class");
    changes.set_or_all(Direction::Stricter, about, &names(classes), &names(&new.classes));
    changes.scope(Direction::Stricter, place, subject, when, &new.when);
    if *otherwise != new.otherwise {
        let before = otherwise.unwrap_or(violation(old_document));
        let after = new.otherwise.unwrap_or(violation(new_document));
        changes.enforced(place, subject, before, after);
        if before == after {
            let what = "says what becomes of violations in other words";
            changes.add(Direction::Neutral, place, subject, what);
        }
    }
    // Who replays a verdict needs the disclosure of each such value.
    let seen = (place, subject, "sees the committed");
    changes.set(Direction::Unclear, seen, &fields(needs), &fields(&new.needs));
}
