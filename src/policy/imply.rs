//! Whether one condition follows from another, as far as that can be shown by their form.
//!
//! A `false` says that it could not be shown, not that it is not so: two regular expressions are compared as
//! texts, and a pattern with stars follows from another one only if it is the same or a star alone.

use crate::core::policy::{Condition, Test};

/// Returns whether every event for which all of some conditions hold fulfils all of others.
pub(super) fn implies_all(given: &[Condition], wanted: &[Condition]) -> bool {
    wanted.iter().all(|wanted| follows(given, wanted))
}

/// Returns whether a condition follows from others together.
fn follows(given: &[Condition], wanted: &Condition) -> bool {
    match wanted {
        Condition::All(wanted) => implies_all(given, wanted),
        _ => given.iter().any(|given| implies(given, wanted)),
    }
}

/// Returns whether a condition follows from another.
fn implies(given: &Condition, wanted: &Condition) -> bool {
    if given == wanted {
        return true;
    }
    match (given, wanted) {
        // Of alternatives any may be the one that holds, so that each has to suffice.
        (Condition::Any(given), wanted) => given.iter().all(|given| implies(given, wanted)),
        (given, Condition::Any(wanted)) => wanted.iter().any(|wanted| implies(given, wanted)),
        (given, Condition::All(wanted)) => wanted.iter().all(|wanted| implies(given, wanted)),
        (Condition::All(given), wanted) => follows(given, wanted),
        (Condition::Not(given), Condition::Not(wanted)) => implies(wanted, given),
        (Condition::Field { path, test }, Condition::Field { path: other, test: wanted }) => {
            path == other && passes(test, wanted)
        }
        _ => false,
    }
}

/// Returns whether every value that passes one test passes another.
fn passes(given: &Test, wanted: &Test) -> bool {
    match (given, wanted) {
        (_, Test::Present) => true,
        (Test::Exact(text), wanted) => !matches!(wanted, Test::Exact(_)) && wanted.holds(text),
        // An array may hold several of the texts, and each of them has to pass.
        (Test::OneOf(texts), wanted) => texts.iter().all(|text| wanted.holds(text)),
        (Test::Prefix(text), Test::Prefix(wanted)) => text.starts_with(wanted.as_str()),
        (Test::Suffix(text), Test::Suffix(wanted)) => text.ends_with(wanted.as_str()),
        (Test::Prefix(_) | Test::Suffix(_) | Test::Pattern(_), Test::Glob(wanted)) => {
            wanted.to_string() == "*"
        }
        (Test::Glob(_), Test::Glob(wanted)) => wanted.to_string() == "*",
        (Test::Network(given), Test::Network(wanted)) => {
            given.iter().all(|network| wanted.iter().any(|around| around.contains(network)))
        }
        (Test::Range { least, most }, Test::Range { least: wanted_least, most: wanted_most }) => {
            let above = wanted_least
                .is_none_or(|wanted| least.is_some_and(|least| least.get() >= wanted.get()));
            let below = wanted_most
                .is_none_or(|wanted| most.is_some_and(|most| most.get() <= wanted.get()));
            above && below
        }
        _ => false,
    }
}
