//! Whether a policy only tightens the one that it extends.
//!
//! | of | what tightens |
//! |---|---|
//! | match | the conditions follow from the parent's: more events are of the class |
//! | require | nothing is left out, and a type stays or becomes narrower |
//! | log, level, required | nothing is turned off, and no detail is left out |
//! | enforce | what becomes of a violation, or of an unknown class, is as strict or stricter |
//! | retention | no length is shorter |
//! | redaction | more is redacted, but nothing that the parent requires |
//! | suppression | of the child's own classes alone |
//! | access | a role may do less, of fewer classes, and sees less; a new role has classes of the child's own |
//! | approvals | the same keys, and as many of them or more |
//! | custom rules | the parent's see what they saw; the child's are added, and hide nothing |
//!
//! Everything else is only ever added. What can't be shown to tighten, such as one regular expression instead of
//! another, counts as a weakening.

use std::collections::BTreeSet;

use super::diagnostic::{Diagnostic, Severity};
use super::document::{Class, Document, Place, Retention, Role};
use super::field::format_field;
use super::finding::diagnostic;
use super::imply::all_imply;
use crate::core::policy::{Enforcement, FieldType, Glob, Requirement, Target};
use crate::core::record::Path;

/// Compares a policy with what it extends; `is_custom` if that has custom rules, or inherits some.
pub(super) fn weakenings(parent: &Document, child: &Document, is_custom: bool) -> Vec<Diagnostic> {
    let mut weaker = Weaker { parent, child, found: Vec::new() };
    for class in &parent.classes {
        weaker.class(class);
    }
    weaker.defaults();
    weaker.redactions();
    weaker.suppressions();
    weaker.access();
    if is_custom {
        weaker.seen();
    }
    weaker.found
}

/// A comparison, and what it found.
struct Weaker<'d> {
    parent: &'d Document,
    child: &'d Document,
    found: Vec<Diagnostic>,
}

impl Weaker<'_> {
    /// Notes a weakening.
    fn note(&mut self, place: &Place, message: String) {
        let help = Some("a policy that extends another one may only tighten it".to_owned());
        self.found.push(diagnostic(Severity::Error, place, "policy/weakening", message, help));
    }

    /// Compares a class with the child's of its name.
    fn class(&mut self, parent: &Class) {
        let name = &parent.name;
        let Some(child) = self.child.classes.iter().find(|class| class.name == *name) else {
            return self.note(&Place::default(), format!("the class '{name}' is gone"));
        };
        let place = child.place.clone();
        let mut note = |is_weaker: bool, message: &str| {
            if is_weaker {
                self.note(&place, format!("'{name}': {message}"));
            }
        };
        let same = parent.when == child.when;
        let wider = !parent.when.is_empty()
            && !child.when.is_empty()
            && all_imply(&parent.when, &child.when);
        note(!same && !wider, "the match may be narrower than it was");
        note(parent.log.success && !child.log.success, "what succeeds is not recorded any more");
        note(parent.log.failure && !child.log.failure, "what fails is not recorded any more");
        note(child.level < parent.level, "less detail is recorded");
        note(parent.required && !child.required, "its events are not required any more");
        for requirement in &parent.require {
            let kept = child.require.iter().any(|other| narrows(requirement, other));
            let field = format_field(&requirement.path);
            note(!kept, &format!("'{field}' is not required any more as it was"));
        }
        let enforced = |document: &Document, class: &Class| {
            class.otherwise.or(document.on_violation).unwrap_or(Enforcement::Quarantine)
        };
        let weaker = enforced(self.child, child) < enforced(self.parent, parent);
        let kept =
            |document: &Document, class: &Class| class.retention.unwrap_or(document.retention);
        let shorter = shorter(kept(self.parent, parent), kept(self.child, child));
        let mut note = |is_weaker: bool, message: &str| {
            if is_weaker {
                self.note(&place, format!("'{name}': {message}"));
            }
        };
        note(weaker, "a violation has less consequence than it had");
        note(shorter.is_some(), &format!("{} is shorter", shorter.unwrap_or_default()));
    }

    /// Compares what holds where a class says nothing.
    fn defaults(&mut self) {
        let place = self.place();
        if self.child.unknown_class < self.parent.unknown_class {
            self.note(&place, "an unknown class has less consequence than it had".to_owned());
        }
        if let Some(name) = shorter(self.parent.retention, self.child.retention) {
            self.note(&place, format!("of the default retention, {name} is shorter"));
        }
        if let Some(parent) = &self.parent.approvals {
            let kept = self.child.approvals.as_ref().is_some_and(|child| {
                child.keys() == parent.keys() && child.threshold() >= parent.threshold()
            });
            if !kept {
                self.note(&place, "others, or fewer, have to approve the next policy".to_owned());
            }
        }
    }

    /// Checks that nothing is redacted that the parent requires.
    fn redactions(&mut self) {
        let classes = self.parent.classes.iter().flat_map(|class| &class.require);
        let rules = self.parent.rules.iter().flat_map(|stated| &stated.rule.require);
        let required: Vec<&Path> = classes.chain(rules).map(|one| &one.path).collect();
        for redaction in &self.child.redactions {
            let Target::Path(target) = &redaction.treatment.target else { continue };
            let known =
                self.parent.redactions.iter().any(|one| one.treatment == redaction.treatment);
            if let Some(path) = required.iter().find(|path| meets(target, path))
                && !known
            {
                let message =
                    format!("'{}' is required, and would be redacted", format_field(path));
                self.note(&redaction.place, message);
            }
        }
    }

    /// Checks that nothing of the parent's is counted instead of recorded.
    fn suppressions(&mut self) {
        for one in &self.child.suppressions {
            let known = self.parent.suppressions.iter().any(|other| other == one);
            let own = !one.classes.is_empty() && !one.classes.iter().any(|name| self.has(name));
            if !known && !own {
                let message =
                    format!("'{}' would suppress events of the parent's classes", one.name);
                self.note(&one.place, message);
            }
        }
    }

    /// Returns whether the parent has a class.
    fn has(&self, name: &str) -> bool {
        self.parent.classes.iter().any(|class| class.name == name)
    }

    /// Checks that roles get nothing.
    fn access(&mut self) {
        for role in &self.child.access {
            let own = |glob: &Glob| {
                let name = glob.to_string();
                !name.contains('*') && !self.has(&name)
            };
            let message = match self.parent.access.iter().find(|other| other.name == role.name) {
                Some(parent) if widens(parent, role) => {
                    format!("the role '{}' may do or see more than it did", role.name)
                }
                None if role.classes.is_empty() || !role.classes.iter().all(own) => {
                    format!("the new role '{}' has more than the classes that are new", role.name)
                }
                _ => continue,
            };
            self.note(&role.place, message);
        }
    }

    /// Checks that the parent's custom rules see what they saw. What they would make of less, or of what is
    /// added, can't be shown.
    fn seen(&mut self) {
        let parent = &self.parent.redactions;
        for redaction in &self.child.redactions {
            if !parent.iter().any(|one| one.treatment == redaction.treatment) {
                let message = "the custom rules of the parent would not see what this redacts";
                self.note(&redaction.place, message.to_owned());
            }
        }
        if self.child.enrichments != self.parent.enrichments {
            let message = "the custom rules of the parent would see what is added to events";
            self.note(&self.place(), message.to_owned());
        }
    }

    /// Returns where the parent is named.
    fn place(&self) -> Place {
        self.child.extends.last().map_or_else(Place::default, |parent| parent.place.clone())
    }
}

/// Returns whether a requirement demands what another one does, or more.
fn narrows(parent: &Requirement, child: &Requirement) -> bool {
    let narrower = |wide, narrow| {
        wide == narrow
            || wide == FieldType::Any
            || matches!(
                (wide, narrow),
                (FieldType::Number, FieldType::Integer)
                    | (FieldType::Text, FieldType::Time | FieldType::Address)
            )
    };
    parent.path == child.path && narrower(parent.field, child.field)
}

/// Returns which length of keeping is shorter. Of the whole, none means for ever; of the others, no promise.
fn shorter(parent: Retention, child: Retention) -> Option<&'static str> {
    let promises = [
        ("hot", parent.hot, child.hot),
        ("warm", parent.warm, child.warm),
        ("archive", parent.archive, child.archive),
    ];
    let is_short = |(_, parent, child): &(&str, Option<_>, Option<_>)| parent > child;
    let whole = match (parent.total, child.total) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(parent), Some(child)) => child < parent,
    };
    promises.iter().find(|one| is_short(one)).map(|(name, ..)| *name).or(whole.then_some("total"))
}

/// Returns whether a place is at, above or below another; `*` stands for any step.
fn meets(target: &Path, path: &Path) -> bool {
    target.steps().zip(path.steps()).all(|(one, other)| one == "*" || one == other)
}

/// Returns whether a role may do something that it may not do in the parent.
fn widens(parent: &Role, child: &Role) -> bool {
    let texts = |globs: &[Glob]| globs.iter().map(Glob::to_string).collect::<BTreeSet<_>>();
    let within = |child: &[Glob], parent: &[Glob]| {
        let parent = texts(parent);
        parent.contains("*") || texts(child).is_subset(&parent)
    };
    let more = child.can.iter().any(|can| !parent.can.contains(can));
    let members = !within(&child.members, &parent.members);
    let classes = !within(&child.classes, &parent.classes);
    let shown = parent.deny.iter().any(|path| !child.deny.contains(path));
    let allowed = !parent.allow.is_empty()
        && (child.allow.is_empty() || child.allow.iter().any(|path| !parent.allow.contains(path)));
    more || members || classes || shown || allowed
}
