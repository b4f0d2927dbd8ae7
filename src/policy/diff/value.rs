//! How single values compare: periods, dates, enforcements, sets of names.

use std::collections::{BTreeMap, BTreeSet};

use super::super::document::{Date, Period, Place, Retention};
use super::super::field::format_field;
use super::{Changes, Direction};
use crate::core::policy::Enforcement;
use crate::core::record::Path;

/// Two of a kind with one name: the older and the newer.
pub(super) type Pair<'d, T> = (Option<&'d T>, Option<&'d T>);

/// Matches things by their names; the second of one name is matched with the second.
pub(super) fn pairs<'d, T>(
    old: &'d [T],
    new: &'d [T],
    name: impl Fn(&T) -> String,
) -> Vec<(String, Pair<'d, T>)> {
    let mut pairs: BTreeMap<(String, usize), Pair<'d, T>> = BTreeMap::new();
    let mut number = |is_new: bool, things: &'d [T]| {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for thing in things {
            let count = seen.entry(name(thing)).or_default();
            let pair = pairs.entry((name(thing), *count)).or_default();
            *(if is_new { &mut pair.1 } else { &mut pair.0 }) = Some(thing);
            *count += 1;
        }
    };
    number(false, old);
    number(true, new);
    pairs.into_iter().map(|((name, _), pair)| (name, pair)).collect()
}

/// Returns the word for an enforcement.
pub(super) const fn enforcement(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Warn => "warn",
        Enforcement::Quarantine => "quarantine",
        Enforcement::Reject => "reject",
    }
}

/// Writes a limit, which is none if it is absent.
fn limit<T: core::fmt::Display>(limit: Option<T>) -> String {
    limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string())
}

impl Changes {
    /// Compares what becomes of those who break something.
    pub(super) fn enforced(
        &mut self,
        place: &Place,
        subject: &str,
        old: Enforcement,
        new: Enforcement,
    ) {
        if old != new {
            let direction = if new < old { Direction::Weaker } else { Direction::Stricter };
            let (old, new) = (enforcement(old), enforcement(new));
            self.add(direction, place, subject, &format!("enforces by {new} instead of {old}"));
        }
    }

    /// Compares limits of which the absent is the longest and `longer` says where a longer one leads.
    pub(super) fn bounded<T: Ord + Copy + core::fmt::Display>(
        &mut self,
        longer: Direction,
        (place, subject, what): (&Place, &str, &str),
        old: Option<T>,
        new: Option<T>,
    ) {
        let is_longer = match (old, new) {
            (old, new) if old == new => return,
            (_, None) => true,
            (None, _) => false,
            (old, new) => new > old,
        };
        let direction = if is_longer { longer } else { longer.reversed() };
        self.add(direction, place, subject, &format!("{what}: {}, was {}", limit(new), limit(old)));
    }

    /// Compares how long events are kept.
    pub(super) fn kept(&mut self, place: &Place, subject: &str, old: &Retention, new: &Retention) {
        let Retention { hot, warm, archive, total } = *old;
        let stages: [(&str, Option<Period>, Option<Period>); 4] = [
            ("kept at hand", hot, new.hot),
            ("kept warm", warm, new.warm),
            ("kept in the archive", archive, new.archive),
            ("kept at all", total, new.total),
        ];
        for (what, old, new) in stages {
            self.bounded(Direction::Stricter, (place, subject, what), old, new);
        }
    }

    /// Compares dates by which something has to be done.
    pub(super) fn later(
        &mut self,
        place: &Place,
        subject: &str,
        what: &str,
        old: Option<Date>,
        new: Option<Date>,
    ) {
        self.bounded(Direction::Weaker, (place, subject, what), old, new);
    }

    /// Compares sets of names. `more` says where each further one leads.
    pub(super) fn set(
        &mut self,
        more: Direction,
        (place, subject, what): (&Place, &str, &str),
        old: &BTreeSet<String>,
        new: &BTreeSet<String>,
    ) {
        for name in new.difference(old) {
            self.add(more, place, subject, &format!("{what} {name}: added"));
        }
        for name in old.difference(new) {
            self.add(more.reversed(), place, subject, &format!("{what} {name}: gone"));
        }
    }

    /// Compares sets of names of which the empty means all.
    pub(super) fn set_or_all(
        &mut self,
        more: Direction,
        (place, subject, what): (&Place, &str, &str),
        old: &BTreeSet<String>,
        new: &BTreeSet<String>,
    ) {
        match (old.is_empty(), new.is_empty()) {
            (true, true) => {}
            (false, false) => self.set(more, (place, subject, what), old, new),
            (true, false) => {
                let only: Vec<&str> = new.iter().map(String::as_str).collect();
                let what = format!("{what}: only {}, was all", only.join(", "));
                self.add(more.reversed(), place, subject, &what);
            }
            (false, true) => self.add(more, place, subject, &format!("{what}: all")),
        }
    }
}

/// Collects names.
pub(super) fn names<T: ToString>(names: &[T]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Collects places by the names that documents have for them.
pub(super) fn fields(paths: &[Path]) -> BTreeSet<String> {
    paths.iter().map(format_field).collect()
}
