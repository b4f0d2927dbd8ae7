//! Which of two lists of conditions holds of more events.

use super::super::document::Place;
use super::super::imply::all_imply;
use super::{Changes, Direction};
use crate::core::policy::Condition;

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
