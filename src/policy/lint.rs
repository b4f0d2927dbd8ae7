//! What works and is probably not meant: conditions that never hold, classes and rules that nothing reaches.
//!
//! Sound and not complete, as the comparison of conditions is: what is reported is so.

use super::diagnostic::{Diagnostic, Severity};
use super::document::{Class, Date, Document, Place};
use super::finding::diagnostic;
use super::imply::{all_imply, contradicts};
use crate::core::policy::{Condition, Test};

/// Looks at a document. With `today`, a review that is overdue is reported as well.
pub fn lint(document: &Document, today: Option<Date>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    shadowed(&document.classes, &mut found);
    for (subject, when, place) in conditions(document) {
        if contradicts(when) {
            let message = format!("the conditions of {subject} can't hold together");
            let help = "a field has one value; put alternatives into a list, or into 'any'";
            found.push(warning("policy/never", message, help, place));
        }
        if when.iter().any(names_mailbox) {
            let message = format!(
                "the conditions of {subject} know actor.id as an e-mail address, which records then show"
            );
            let help = "identify people by what says nothing of them, and commit 'actor.email'";
            found.push(warning("policy/personal", message, help, place));
        }
    }
    for stated in &document.rules {
        repeated(document, stated, &mut found);
    }
    responsibility(document, today, &mut found);
    found
}

/// Returns every list of conditions, with what it belongs to.
fn conditions(document: &Document) -> Vec<(String, &[Condition], &Place)> {
    let mut all: Vec<(String, &[Condition], &Place)> = Vec::new();
    all.extend(
        document.classes.iter().map(|one| (format!("class {}", one.name), &*one.when, &one.place)),
    );
    all.extend(
        document
            .rules
            .iter()
            .map(|one| (format!("rule {}", one.rule.name), &*one.rule.when, &one.place)),
    );
    all.extend(
        document
            .suppressions
            .iter()
            .map(|one| (format!("suppression {}", one.name), &*one.when, &one.place)),
    );
    all.extend(
        document.alerts.iter().map(|one| (format!("alert {}", one.name), &*one.when, &one.place)),
    );
    all.extend(
        document.holds.iter().map(|one| (format!("hold {}", one.name), &*one.when, &one.place)),
    );
    all.extend(
        document.rego.iter().map(|one| (format!("module {}", one.subject), &*one.when, &one.place)),
    );
    all
}

/// Returns whether a condition compares the identifier of an actor with something that has an `@` in it.
fn names_mailbox(condition: &Condition) -> bool {
    match condition {
        Condition::Field { path, test } => {
            let at = |text: &String| text.contains('@');
            path.as_str() == "/actor/id"
                && match test {
                    Test::Exact(text) | Test::Prefix(text) | Test::Suffix(text) => at(text),
                    Test::OneOf(texts) => texts.iter().any(at),
                    Test::Glob(glob) => at(&glob.to_string()),
                    // In a class it may be what must not stand there.
                    Test::Pattern(pattern) => {
                        pattern.as_str().contains('@') && !pattern.as_str().contains('[')
                    }
                    Test::Present | Test::Network(_) | Test::Range { .. } | Test::Boolean(_) => {
                        false
                    }
                }
        }
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(names_mailbox),
        Condition::Not(condition) => names_mailbox(condition),
    }
}

/// Finds classes whose events all fit an earlier one, which then gives them its name.
fn shadowed(classes: &[Class], found: &mut Vec<Diagnostic>) {
    for (number, class) in classes.iter().enumerate() {
        let earlier = classes.iter().take(number).find(|earlier| {
            !earlier.when.is_empty()
                && !class.when.is_empty()
                && all_imply(&class.when, &earlier.when)
        });
        if let Some(earlier) = earlier {
            let message = format!(
                "every event that fits class {} fits {}, which stands before it and gives it its name",
                class.name, earlier.name
            );
            let help = format!("put '{}' before '{}'", class.name, earlier.name);
            found.push(warning("policy/shadowed-class", message, &help, &class.place));
        }
    }
}

/// Finds rules that ask for nothing that the classes which they are about don't ask for.
fn repeated(
    document: &Document,
    stated: &super::document::StatedRule,
    found: &mut Vec<Diagnostic>,
) {
    let rule = &stated.rule;
    let about: Vec<&Class> =
        document.classes.iter().filter(|class| rule.classes.contains(&class.name)).collect();
    let is_stated = |class: &&Class| {
        let otherwise = class.otherwise.or(document.on_violation);
        otherwise.unwrap_or(crate::core::policy::Enforcement::Quarantine) >= rule.otherwise
            && rule.require.iter().all(|wanted| class.require.contains(wanted))
    };
    if !about.is_empty() && about.iter().all(is_stated) {
        let message =
            format!("rule {} requires nothing that its classes do not require", rule.name);
        let help = "leave it out, or ask for more";
        found.push(warning("policy/repeated-rule", message, help, &stated.place));
    }
}

/// Finds policies for which nobody answers, and reviews that are overdue.
fn responsibility(document: &Document, today: Option<Date>, found: &mut Vec<Diagnostic>) {
    let mut place = document.metadata.clone();
    if place.file.is_empty() {
        let first = document.classes.first().map(|class| class.place.file.clone());
        place.file = first.unwrap_or_else(|| "policy.yaml".to_owned());
    }
    if document.owner.is_none() {
        let message = "nobody answers for the policy".to_owned();
        found.push(note(
            "policy/owner",
            message,
            "name a team in 'metadata: {owner: security}'",
            &place,
        ));
    }
    match (document.review_by, today) {
        (None, _) => {
            let message = "the policy has no date of review".to_owned();
            let help = "write one in 'metadata: {review_by: 2027-06-30}'";
            found.push(note("policy/review", message, help, &place));
        }
        (Some(due), Some(today)) if due < today => {
            let message = format!("the policy was to be reviewed by {due}");
            let help = "look at it again, and set the next date";
            found.push(warning("policy/review-overdue", message, help, &place));
        }
        _ => {}
    }
}

fn warning(code: &'static str, message: String, help: &str, place: &Place) -> Diagnostic {
    diagnostic(Severity::Warning, place, code, message, Some(help.to_owned()))
}

fn note(code: &'static str, message: String, help: &str, place: &Place) -> Diagnostic {
    diagnostic(Severity::Note, place, code, message, Some(help.to_owned()))
}
