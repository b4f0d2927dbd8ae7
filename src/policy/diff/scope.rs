//! Which of two lists of conditions holds of more events.
//!
//! Sound and not complete: what is said to follow does follow, and where nothing can be said nothing is.

use super::super::document::Place;
use super::{Changes, Direction};
use crate::core::policy::{Condition, Test};
use crate::core::record::Path;

/// How the newer conditions compare with the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// They hold of the same events.
    Same,
    /// They hold of those, and maybe of others.
    Wider,
    /// They hold of some of those at most.
    Narrower,
    /// That can't be said.
    Unclear,
}

impl Changes {
    /// Compares conditions which all have to hold. `wider` says where holding of more events leads.
    pub(super) fn scope(
        &mut self,
        wider: Direction,
        place: &Place,
        subject: &str,
        old: &[Condition],
        new: &[Condition],
    ) {
        if old == new {
            return;
        }
        let (direction, what) = match compare(old, new) {
            Scope::Same => (Direction::Neutral, "is about the same events, in other words"),
            Scope::Wider => (wider, "is about more events"),
            Scope::Narrower => (wider.reversed(), "is about fewer events"),
            Scope::Unclear => (Direction::Unclear, "is about other events"),
        };
        self.add(direction, place, subject, what);
    }
}

fn compare(old: &[Condition], new: &[Condition]) -> Scope {
    match (all_imply(new, old), all_imply(old, new)) {
        (true, true) => Scope::Same,
        (true, false) => Scope::Narrower,
        (false, true) => Scope::Wider,
        (false, false) => Scope::Unclear,
    }
}

/// Returns whether each of the second follows from all of the first.
pub(in super::super) fn all_imply(given: &[Condition], wanted: &[Condition]) -> bool {
    wanted.iter().all(|wanted| follows(given, wanted))
}

/// Returns whether no event can fit all of these.
///
/// An array passes different tests by different elements, so only what tells texts from other kinds of values,
/// or from nothing at all, is a contradiction.
pub(in super::super) fn contradicts(conditions: &[Condition]) -> bool {
    conditions.iter().enumerate().any(|(number, one)| {
        let rest = conditions.iter().skip(number + 1);
        let inner = matches!(one, Condition::All(parts) if contradicts(parts));
        inner || rest.clone().any(|other| excludes(one, other) || excludes(other, one))
    })
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
fn narrows(given: &Test, wanted: &Test) -> bool {
    match (given, wanted) {
        (_, Test::Present) => true,
        // A test that holds of a text holds of an array with that text too, so texts are all that counts.
        (Test::Exact(text), wanted) => wanted.holds(text),
        (Test::OneOf(texts), wanted) => texts.iter().all(|text| wanted.holds(text)),
        (Test::Prefix(given), Test::Prefix(wanted)) => given.starts_with(wanted),
        (Test::Suffix(given), Test::Suffix(wanted)) => given.ends_with(wanted),
        (Test::Prefix(given), Test::Glob(wanted)) => {
            wanted.to_string().strip_suffix('*').is_some_and(|start| is_plain_start(start, given))
        }
        (Test::Glob(given), Test::Prefix(wanted)) => {
            let given = given.to_string();
            given.split('*').next().is_some_and(|start| start.starts_with(wanted.as_str()))
        }
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

/// Returns whether a glob's only piece before its last star begins a text.
fn is_plain_start(start: &str, text: &str) -> bool {
    !start.contains('*') && text.starts_with(start)
}

#[cfg(test)]
mod tests {
    use super::{Scope, compare};
    use crate::core::policy::{Condition, Glob, Test};
    use crate::core::record::Path;

    fn at(test: Test) -> Condition {
        Condition::field(Path::parse("/act").unwrap(), test)
    }

    fn one_of(texts: &[&str]) -> Test {
        Test::OneOf(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn tests_of_one_place_are_ordered() {
        // Each is about fewer events than those after it.
        let chains = [
            vec![
                Test::Exact("auth.in".into()),
                one_of(&["auth.in", "auth.out"]),
                Test::Prefix("auth.".into()),
                Test::Glob(Glob::new("a*")),
                Test::Present,
            ],
            vec![Test::Suffix("xyz".into()), Test::Suffix("yz".into()), Test::Present],
            vec![
                Test::Network(vec!["10.1.0.0/16".parse().unwrap()]),
                Test::Network(vec!["10.0.0.0/8".parse().unwrap(), "::/0".parse().unwrap()]),
            ],
        ];
        for chain in chains {
            for (number, narrow) in chain.iter().enumerate() {
                assert_eq!(compare(&[at(narrow.clone())], &[at(narrow.clone())]), Scope::Same);
                for wide in &chain[number + 1..] {
                    let (narrow, wide) = ([at(narrow.clone())], [at(wide.clone())]);
                    assert_eq!(compare(&narrow, &wide), Scope::Wider, "{narrow:?} {wide:?}");
                    assert_eq!(compare(&wide, &narrow), Scope::Narrower, "{narrow:?} {wide:?}");
                }
            }
        }
    }

    #[test]
    fn joined_conditions_are_compared_by_their_parts() {
        let (a, b) = (at(Test::Exact("a".into())), at(Test::Exact("b".into())));
        let either = Condition::Any(vec![a.clone(), b.clone()]);
        let present = at(Test::Present);
        let not = |condition: &Condition| [Condition::Not(Box::new(condition.clone()))];
        let (not_a, not_either) = (not(&a), not(&either));
        let both = [Condition::All(vec![either.clone(), present.clone()])];
        let (a, b, either, apart) = ([a], [b], [either.clone()], [either, present]);
        assert_eq!(compare(&a, &either), Scope::Wider);
        assert_eq!(compare(&either, &[at(one_of(&["a", "b"]))]), Scope::Same);
        assert_eq!(compare(&both, &apart), Scope::Same);
        assert_eq!(compare(&a, &[]), Scope::Wider);
        assert_eq!(compare(&not_a, &not_either), Scope::Narrower);
        assert_eq!(compare(&a, &b), Scope::Unclear);
    }
}
