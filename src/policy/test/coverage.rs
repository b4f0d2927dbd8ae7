//! What of a policy its tests have exercised.

use std::collections::BTreeMap;

use super::check::Counted;
use super::expect::Outcome;
use super::fixture::Step;
use crate::core::number::UnixMillis;
use crate::core::policy::{Admission, Arrival, NoCustom, Policy, Statements, Target, admit};
use crate::core::record::{Body, PolicyDigest, Record, RecordId};
use crate::policy::document::{Document, Place};
use crate::policy::rego::{LineCoverage, Rules};

/// What of a policy its tests have exercised.
#[derive(Debug)]
pub struct Coverage {
    /// The parts of its documents, and rules in Rego, in their order.
    pub parts: Vec<Covered>,
    /// The lines of its modules.
    pub lines: BTreeMap<String, LineCoverage>,
    /// Policies with one treatment each, by the position of its part.
    treatments: Vec<(usize, Policy)>,
}

/// A part of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// What it is.
    pub kind: Kind,
    /// Its name; of a treatment its place.
    pub name: String,
    /// Where it is stated, if that is known.
    pub place: Option<Place>,
    /// By how many events it was exercised.
    pub times: usize,
}

/// What a part of a policy is, and when an event exercises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A class, by events of it.
    Class,
    /// A rule, by events that break it.
    Rule,
    /// A treatment of a place, by events that have something there.
    Treatment,
    /// A detector, by events in which it finds something.
    Detector,
    /// A rule in Rego, by events that break it under its own name.
    Rego,
}

impl Kind {
    /// Returns the name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Rule => "rule",
            Self::Treatment => "treatment",
            Self::Detector => "detector",
            Self::Rego => "rego",
        }
    }
}

impl Coverage {
    /// Begins with nothing exercised.
    pub(super) fn begin(document: &Document, rules: Option<&Rules>) -> Self {
        let mut parts = Vec::new();
        let mut part = |kind: Kind, name: &str, place: Option<Place>| {
            parts.push(Covered { kind, name: name.to_owned(), place, times: 0 });
            parts.len() - 1
        };
        for class in &document.classes {
            part(Kind::Class, &class.name, Some(class.place.clone()));
        }
        let (statements, places) = document.statements();
        for rule in &statements.rules {
            part(Kind::Rule, &rule.name, places.get(&rule.name).cloned());
        }
        let mut treatments = Vec::new();
        for redaction in &document.redactions {
            let place = Some(redaction.place.clone());
            let number = match &redaction.treatment.target {
                Target::Path(path) => part(Kind::Treatment, path.as_str(), place),
                Target::Detected(detector) => part(Kind::Detector, detector.name(), place),
            };
            let treatment = vec![redaction.treatment.clone()];
            let statements = Statements { treatments: treatment, ..Statements::default() };
            if let Ok(policy) = Policy::compile(PolicyDigest::NONE, &statements) {
                treatments.push((number, policy));
            }
        }
        for name in rules.into_iter().flat_map(Rules::names) {
            part(Kind::Rego, name, None);
        }
        Self { parts, lines: BTreeMap::new(), treatments }
    }

    /// Notes what an event has exercised.
    pub(super) fn note(&mut self, step: &Step, outcome: &Outcome) {
        for part in &mut self.parts {
            let is = match part.kind {
                Kind::Class => outcome.class.as_ref() == Some(&part.name),
                Kind::Rule | Kind::Rego => outcome.rules.contains(&part.name),
                Kind::Treatment | Kind::Detector => false,
            };
            part.times += usize::from(is);
        }
        for (number, policy) in &self.treatments {
            if treats(policy, step)
                && let Some(part) = self.parts.get_mut(*number)
            {
                part.times += 1;
            }
        }
    }

    /// Returns how many parts and lines there are, and how many of them were exercised.
    pub fn count(&self) -> (usize, usize) {
        let parts = self.parts.iter().filter(|part| part.times > 0).count();
        let covered: usize = self.lines.values().map(|lines| lines.covered.len()).sum();
        let missed: usize = self.lines.values().map(|lines| lines.missed.len()).sum();
        (self.parts.len() + covered + missed, parts + covered)
    }

    /// Returns the share that was exercised, in percent; all of nothing is 100.
    pub fn percent(&self) -> f64 {
        match self.count() {
            (0, _) => 100.0,
            (all, covered) => 100.0 * covered as f64 / all as f64,
        }
    }

    /// Returns whether at least so many percent were exercised.
    pub fn reaches(&self, threshold: f64) -> bool {
        self.percent() >= threshold
    }
}

/// Returns whether a policy of one treatment does something to an event.
fn treats(policy: &Policy, step: &Step) -> bool {
    let arrival = Arrival {
        bytes: &step.bytes,
        source: None,
        class: None,
        kept: false,
        id: RecordId::new(UnixMillis(0), [0; 10]),
        now: step.at,
    };
    let Ok(Admission::Recorded(admitted)) =
        admit(policy, &arrival, &mut Counted::default(), &NoCustom)
    else {
        return false;
    };
    let entry = admitted.draft.stamp(step.at);
    let Ok(record) = Record::parse(&entry) else { return false };
    match record.body() {
        Body::Event(event) if event.verdict().shows_content() => {
            !event.redactions().is_empty() || !record.commitments().is_empty()
        }
        Body::Event(event) => event.rules().iter().any(|rule| rule.starts_with("detected/")),
        Body::System(_) => false,
    }
}
