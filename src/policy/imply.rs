//! Whether conditions follow from others, or exclude them, as far as their form shows.
//!
//! Sound and not complete: what is said to follow does follow. A `false` says that it could not be shown, not
//! that it is not so: two regular expressions are compared as texts.

use crate::core::policy::{Condition, Glob, Test};
use crate::core::record::Path;

/// Returns whether each of the second follows from all of the first.
pub(super) fn all_imply(given: &[Condition], wanted: &[Condition]) -> bool {
    wanted.iter().all(|wanted| follows(given, wanted))
}

/// Returns whether no event can fit all of these.
///
/// An array passes different tests by different elements, so only what tells texts from other kinds of values,
/// or from nothing at all, is a contradiction.
pub(super) fn contradicts(conditions: &[Condition]) -> bool {
    let mut all = Vec::new();
    flatten(conditions, &mut all);
    all.iter().enumerate().any(|(number, one)| {
        let mut rest = all.iter().skip(number + 1);
        rest.any(|other| excludes(one, other) || excludes(other, one))
    })
}

/// Lists what has to hold, with what stands in conjunctions.
fn flatten<'c>(conditions: &'c [Condition], into: &mut Vec<&'c Condition>) {
    for condition in conditions {
        match condition {
            Condition::All(parts) => flatten(parts, into),
            _ => into.push(condition),
        }
    }
}

/// Returns whether what a condition asks for is what another denies.
fn excludes(one: &Condition, other: &Condition) -> bool {
    match (one, other) {
        (_, Condition::Not(denied)) => implies(one, denied),
        (Condition::Field { path, test }, Condition::Field { path: other_path, test: other }) => {
            path == other_path && is_single(path) && disjoint(test, other)
        }
        _ => false,
    }
}

/// Returns whether a place holds one text and never an array.
fn is_single(path: &Path) -> bool {
    matches!(path.as_str(), "/act" | "/out" | "/ot" | "/class" | "/source")
}

/// Returns whether no text passes both tests.
fn disjoint(one: &Test, other: &Test) -> bool {
    match (one, other) {
        (Test::Exact(text), other) | (other, Test::Exact(text)) => !other.holds(text),
        (Test::OneOf(texts), other) | (other, Test::OneOf(texts)) => {
            !texts.iter().any(|text| other.holds(text))
        }
        (Test::Prefix(one), Test::Prefix(other)) => {
            !one.starts_with(other) && !other.starts_with(one)
        }
        (Test::Suffix(one), Test::Suffix(other)) => !one.ends_with(other) && !other.ends_with(one),
        _ => false,
    }
}

/// Returns whether a condition follows from others together.
fn follows(given: &[Condition], wanted: &Condition) -> bool {
    match wanted {
        Condition::All(parts) => all_imply(given, parts),
        _ => given.iter().any(|given| implies(given, wanted)),
    }
}

/// Returns whether one condition follows from another.
fn implies(given: &Condition, wanted: &Condition) -> bool {
    if given == wanted {
        return true;
    }
    match (given, wanted) {
        (_, Condition::All(parts)) => parts.iter().all(|part| implies(given, part)),
        (Condition::Any(ways), _) => ways.iter().all(|way| implies(way, wanted)),
        (Condition::All(parts), _) if follows(parts, wanted) => true,
        (Condition::Field { path, test: Test::OneOf(texts) }, Condition::Any(_)) => {
            let one = |text: &String| Condition::field(path.clone(), Test::Exact(text.clone()));
            texts.iter().all(|text| implies(&one(text), wanted))
        }
        (_, Condition::Any(ways)) => ways.iter().any(|way| implies(given, way)),
        (Condition::Not(given), Condition::Not(wanted)) => implies(wanted, given),
        (
            Condition::Field { path: given_path, test: given },
            Condition::Field { path: wanted_path, test: wanted },
        ) => given_path == wanted_path && narrows(given, wanted),
        _ => false,
    }
}

/// Returns whether every value that passes one test passes another.
///
/// A test holds of an array if it holds of one of its elements, so that single values are all that counts.
fn narrows(given: &Test, wanted: &Test) -> bool {
    match (given, wanted) {
        (_, Test::Present) => true,
        (Test::Exact(text), wanted) => wanted.holds(text),
        (Test::OneOf(texts), wanted) => texts.iter().all(|text| wanted.holds(text)),
        (Test::Prefix(given), Test::Prefix(wanted)) => given.starts_with(wanted),
        (Test::Suffix(given), Test::Suffix(wanted)) => given.ends_with(wanted),
        (Test::Prefix(given), Test::Glob(wanted)) => {
            begins(wanted).is_some_and(|start| given.starts_with(&start))
        }
        (Test::Suffix(given), Test::Glob(wanted)) => {
            ends(wanted).is_some_and(|end| given.ends_with(&end))
        }
        (Test::Glob(given), Test::Prefix(wanted)) => {
            given.to_string().split('*').next().is_some_and(|start| start.starts_with(wanted))
        }
        (Test::Glob(given), Test::Suffix(wanted)) => {
            given.to_string().rsplit('*').next().is_some_and(|end| end.ends_with(wanted))
        }
        (Test::Glob(given), Test::Glob(wanted)) => {
            let given = given.to_string();
            let first = given.split('*').next().unwrap_or_default();
            let last = given.rsplit('*').next().unwrap_or_default();
            given == wanted.to_string()
                || begins(wanted).is_some_and(|start| first.starts_with(&start))
                || ends(wanted).is_some_and(|end| last.ends_with(&end))
        }
        (Test::Pattern(_), Test::Glob(wanted)) => wanted.to_string() == "*",
        (Test::Network(given), Test::Network(wanted)) => {
            given.iter().all(|given| wanted.iter().any(|wanted| wanted.contains(given)))
        }
        (Test::Range { least: given_least, most: given_most }, Test::Range { least, most }) => {
            let above = least
                .is_none_or(|least| given_least.is_some_and(|given| given.get() >= least.get()));
            let below =
                most.is_none_or(|most| given_most.is_some_and(|given| given.get() <= most.get()));
            above && below
        }
        _ => false,
    }
}

/// Returns what a glob asks a text to begin with, if it asks for nothing else.
fn begins(glob: &Glob) -> Option<String> {
    let text = glob.to_string();
    text.strip_suffix('*').filter(|start| !start.contains('*')).map(str::to_owned)
}

/// Returns what a glob asks a text to end with, if it asks for nothing else.
fn ends(glob: &Glob) -> Option<String> {
    let text = glob.to_string();
    text.strip_prefix('*').filter(|end| !end.contains('*')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{all_imply, contradicts};
    use crate::core::policy::{Condition, Glob, Pattern, Test};
    use crate::core::record::Path;
    use crate::core::record::json::{Object, Value};

    /// Tests of one place, which follow from one another in many ways.
    fn tests() -> Vec<Test> {
        let texts = ["", "a", "ab", "aba", "b", "ba"];
        let globs = ["*", "a*", "*a", "a*a", "*b*", "ab*", "ab", "a*b*", "**"];
        let mut tests = vec![Test::Present, Test::Pattern(Pattern::new("^a").unwrap())];
        tests.extend(texts.map(|text| Test::Exact(text.to_owned())));
        tests.extend(texts.map(|text| Test::Prefix(text.to_owned())));
        tests.extend(texts.map(|text| Test::Suffix(text.to_owned())));
        tests.extend(globs.map(|glob| Test::Glob(Glob::new(glob))));
        tests.push(Test::OneOf(vec!["a".to_owned(), "ab".to_owned()]));
        tests.push(Test::OneOf(vec!["aba".to_owned(), "ab".to_owned()]));
        tests
    }

    /// Conditions about that place, alone and joined.
    fn conditions() -> Vec<Condition> {
        let path = Path::parse("/act").unwrap();
        let single: Vec<Condition> =
            tests().into_iter().map(|test| Condition::field(path.clone(), test)).collect();
        let not = single.iter().map(|one| Condition::Not(Box::new(one.clone())));
        let pairs = single
            .windows(2)
            .flat_map(|pair| [Condition::All(pair.to_vec()), Condition::Any(pair.to_vec())]);
        single.iter().cloned().chain(not).chain(pairs).collect()
    }

    /// Every text of up to four letters, two of them together, and nothing.
    fn events() -> Vec<Object<'static>> {
        let mut texts = vec![String::new()];
        for length in 0..4 {
            let longest = texts.iter().filter(|text| text.len() == length);
            let longer: Vec<String> =
                longest.flat_map(|text| ["a", "b"].map(|letter| text.clone() + letter)).collect();
            texts.extend(longer);
        }
        let of = |value: Value<'static>| {
            let mut event = Object::new();
            event.insert("act", value);
            event
        };
        let alone = texts.iter().map(|text| of(text.clone().into()));
        let two = texts
            .windows(2)
            .map(|pair| of(Value::Array(pair.iter().map(|text| text.clone().into()).collect())));
        alone.chain(two).chain([Object::new()]).collect()
    }

    #[test]
    fn what_is_said_to_follow_does() {
        let (conditions, events) = (conditions(), events());
        let mut followed = 0;
        for given in &conditions {
            for wanted in &conditions {
                let pair = [given.clone(), wanted.clone()];
                let (given, wanted) = pair.split_at(1);
                let follows = all_imply(given, wanted);
                followed += usize::from(follows);
                for event in &events {
                    let holds = |all: &[Condition]| all.iter().all(|one| one.holds(event));
                    assert!(!follows || !holds(given) || holds(wanted), "{pair:?} {event:?}");
                    // The place holds no array, so that one is no counterexample.
                    let is_text = event.get("act").is_some_and(|value| value.as_str().is_some());
                    assert!(!is_text || !contradicts(&pair) || !holds(&pair), "{pair:?} {event:?}");
                }
            }
        }
        assert!(followed > conditions.len() * 4, "{followed} of {}", conditions.len());
    }
}
