//! Redaction: what a policy takes out of an event before anything else looks at it.
//!
//! What is recognised in a name, or in a member that the record shows in any case, can't be taken out; the
//! event is then not shown at all.

use core::ops::Range;
use std::collections::BTreeSet;

use super::compile::Policy;
use super::detect::Detector;
use super::slots::Given;
use super::statement::{Action, Target, Treatment};
use crate::core::record::json::{self, Object, Value};
use crate::core::record::{
    Event, Opening, Path, Redaction, RedactionAction, SUBMISSION_LIMITS, Salt, Secret, Token,
};

/// What redaction needs of the world, which the core does not know.
pub trait Materials {
    /// Returns 32 random bytes that were never used.
    fn salt(&mut self) -> Salt;

    /// Returns the key of the tokens of a place in the present epoch of so many days, and the epoch's number.
    fn token_key(&mut self, path: &Path, days: u32) -> (Secret, u32);
}

/// What opens a commitment, and whose key it is to be sealed under.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// What opens it.
    pub opening: Opening,
    /// The subject: `subject/<value>`, or `class/<class>/<month>`.
    pub subject: String,
}

/// What was done to an event.
#[derive(Default)]
pub(super) struct Redacted<'a> {
    pub(super) redactions: Vec<Redaction>,
    /// Openings with their subjects, where the policy names one.
    pub(super) openings: Vec<(Opening, Option<String>)>,
    /// What was recognised where it can't be taken out.
    pub(super) exposed: BTreeSet<Detector>,
    /// Whether there is a place to redact to which no path leads.
    pub(super) unreached: bool,
    /// What stood where a mask stands: a commitment holds what was submitted.
    masked: Vec<(Path, Value<'a>)>,
}

impl<'a> Redacted<'a> {
    /// Applies treatments in their order.
    pub(super) fn apply(
        event: &mut Event<'a>,
        treatments: &[Treatment],
        materials: &mut impl Materials,
    ) -> Self {
        let mut redacted = Self::default();
        // Subjects are read before anything hides them.
        let mut subjects: Vec<Option<String>> =
            treatments.iter().map(|treatment| subject(event, &treatment.action)).collect();
        // Places first: what is recognised is a text without anything below it, so that nothing is ever
        // redacted inside of what was redacted.
        for (treatment, subject) in treatments.iter().zip(&mut subjects) {
            let Target::Path(target) = &treatment.target else { continue };
            // Most targets stand for themselves. Whether a step is `*` is seen when they are expanded.
            if !target.as_str().as_bytes().contains(&b'*') {
                redacted.treat(event, target, &treatment.action, subject.take(), materials);
                continue;
            }
            let Some(places) = expand(event.members(), target) else {
                redacted.unreached = true;
                continue;
            };
            for path in places {
                redacted.treat(event, &path, &treatment.action, subject.clone(), materials);
            }
        }
        for (treatment, subject) in treatments.iter().zip(subjects) {
            let Target::Detected(detector) = treatment.target else { continue };
            let Search { found, exposed, .. } = Search::run(detector, event.members());
            if exposed {
                redacted.exposed.insert(detector);
            }
            for found in found {
                redacted.treat_found(event, found, &treatment.action, subject.clone(), materials);
            }
        }
        redacted
    }

    /// Leaves out what events of the class don't show.
    pub(super) fn trim(&mut self, event: &mut Event<'a>, source: Option<&str>, policy: &Policy) {
        if policy.trims.is_empty() {
            return;
        }
        let members = event.members();
        let claimed = members.get("class").and_then(Value::as_str);
        let server = Given { source: source.map(Value::from), ..Given::default() };
        let is_of = policy.classes_of(&policy.look(members, &server), claimed);
        let concerns = |number: &usize| is_of.get(*number).is_some_and(|of| of.0 || of.1);
        let places: Vec<&Path> = policy
            .trims
            .iter()
            .filter(|(number, _)| concerns(number))
            .flat_map(|(_, paths)| paths)
            .collect();
        for path in places {
            // What stands in the place of a value already shows nothing of it.
            let done = event.remove(path).map(|_| RedactionAction::Drop);
            self.note(path, done);
        }
    }

    /// Returns the committed values at or inside of some places.
    pub(super) fn values(&self, places: &[Path]) -> Vec<(Path, Value<'static>)> {
        let is_meant = |path: &Path| places.iter().any(|place| path.is_within(place));
        let value = |(opening, _): &(Opening, _)| {
            let value = json::parse_canonical(&opening.value, &SUBMISSION_LIMITS).ok()?;
            Some((opening.path.clone(), value.into_owned()))
        };
        self.openings
            .iter()
            .filter(|(opening, _)| is_meant(&opening.path))
            .filter_map(value)
            .collect()
    }

    /// Treats one value as a whole.
    fn treat(
        &mut self,
        event: &mut Event<'a>,
        path: &Path,
        action: &Action,
        subject: Option<String>,
        materials: &mut impl Materials,
    ) {
        if let Action::Commit { .. } = action {
            return self.commit(event, path, subject, materials);
        }
        // There is nothing to hide of `null`, and a form in its place would pass for a value.
        let Some(value) = path.find(event.members()).filter(|value| **value != Value::Null) else {
            return;
        };
        let done = match action {
            Action::Drop => event.remove(path).map(|_| RedactionAction::Drop),
            Action::Commit { .. } => unreachable!("commitments are made above"),
            Action::Mask { keep_last } => {
                let text = value.as_str();
                let masked = text.map_or_else(|| "***".to_owned(), |text| mask(text, *keep_last));
                self.mask(event, path, masked)
            }
            Action::Token { days } => {
                let text = value.format();
                let (key, epoch) = materials.token_key(path, *days);
                let token = Token::new(&key, epoch, path, text.as_bytes());
                event.replace(path, token.to_value()).map(|_| RedactionAction::Token)
            }
        };
        self.note(path, done);
    }

    /// Treats a value in which something was recognised: a mask leaves the text around it.
    fn treat_found(
        &mut self,
        event: &mut Event<'a>,
        Found { path, text, ranges }: Found,
        action: &Action,
        subject: Option<String>,
        materials: &mut impl Materials,
    ) {
        let Action::Mask { keep_last } = action else {
            return self.treat(event, &path, action, subject, materials);
        };
        let mut masked = String::new();
        let mut rest = 0;
        for range in ranges {
            masked.push_str(text.get(rest..range.start).unwrap_or_default());
            masked.push_str(&mask(text.get(range.clone()).unwrap_or_default(), *keep_last));
            rest = range.end;
        }
        masked.push_str(text.get(rest..).unwrap_or_default());
        let done = self.mask(event, &path, masked);
        self.note(&path, done);
    }

    /// Puts a masked text in the place of a value, and keeps what was submitted.
    fn mask(
        &mut self,
        event: &mut Event<'a>,
        path: &Path,
        masked: String,
    ) -> Option<RedactionAction> {
        let before = event.replace(path, masked.into())?;
        // What something was done to already is not what was submitted.
        if self.redactions.iter().all(|redaction| !redaction.path.is_within(path)) {
            self.masked.push((path.clone(), before));
        }
        Some(RedactionAction::Mask)
    }

    /// Commits to a value as it was submitted. Where something inside of it was redacted already, what is
    /// beside that is committed piece by piece: of a commitment, nobody could say what it leaves out.
    fn commit(
        &mut self,
        event: &mut Event<'a>,
        path: &Path,
        subject: Option<String>,
        materials: &mut impl Materials,
    ) {
        let done = self.redactions.iter().map(|redaction| &redaction.path);
        let mut done = done.chain(self.openings.iter().map(|(opening, _)| &opening.path));
        if done.any(|done| done != path && done.is_within(path)) {
            let value = path.find(event.members());
            let pieces = value.map_or_else(|| Some(Vec::new()), |value| pieces(path, value));
            let Some(pieces) = pieces else {
                let done = event.remove(path).map(|_| RedactionAction::Drop);
                return self.note(path, done);
            };
            for piece in pieces {
                self.commit(event, &piece, subject.clone(), materials);
            }
            return;
        }
        let masked = self.masked.iter().position(|(masked, _)| masked == path);
        // What was masked may have been dropped since.
        let stands =
            |_: &usize| path.find(event.members()).is_some_and(|value| *value != Value::Null);
        match masked.filter(stands) {
            Some(position) => {
                event.replace(path, self.masked.swap_remove(position).1);
            }
            // What stands there was not submitted, and shows no more than it was meant to.
            None if self.redactions.iter().any(|redaction| redaction.path == *path) => return,
            None => {}
        }
        if let Some(opening) = event.commit_with(path, || materials.salt()) {
            self.redactions.retain(|redaction| redaction.path != *path);
            self.openings.push((opening, subject));
        }
    }

    /// Notes what was done: of one place and what is inside of it, what was done last.
    fn note(&mut self, path: &Path, done: Option<RedactionAction>) {
        if let Some(action) = done {
            self.redactions.retain(|redaction| !redaction.path.is_within(path));
            // What was committed inside of it has no place any more.
            self.openings.retain(|(opening, _)| !opening.path.is_within(path));
            self.redactions.push(Redaction { path: path.clone(), action });
        }
    }
}

/// Returns the subject that an event names for a commitment.
fn subject(event: &Event<'_>, action: &Action) -> Option<String> {
    let Action::Commit { subject: Some(path) } = action else { return None };
    match path.find(event.members())? {
        Value::String(text) => Some(["subject/", text].concat()),
        value => Some(["subject/", &value.format()].concat()),
    }
}

/// Returns a text that shows no more than the last characters of another, and of a short one nothing.
fn mask(text: &str, keep_last: usize) -> String {
    let length = text.chars().count();
    let kept = if length >= keep_last.saturating_mul(2) { keep_last } else { 0 };
    "***".chars().chain(text.chars().skip(length - kept)).collect()
}

/// Returns the places that a target stands for; `None` if there is one whose path would be too long.
fn expand(members: &Object<'_>, target: &Path) -> Option<Vec<Path>> {
    let mut steps = target.steps();
    let first = steps.next()?;
    let mut places = match members.get(&first) {
        Some(value) => vec![(Some(Path::member(&first)), value)],
        None => Vec::new(),
    };
    for step in steps {
        let below = |(path, value): (Option<Path>, _)| below(path.as_ref(), value, &step);
        places = places.into_iter().flat_map(below).collect();
    }
    places.into_iter().map(|(path, _)| path).collect()
}

/// Returns the places directly inside of one; `None` if there is one that has no path.
fn pieces(path: &Path, value: &Value<'_>) -> Option<Vec<Path>> {
    match value {
        Value::Object(object) => {
            object.members().iter().map(|(name, _)| path.child(name)).collect()
        }
        Value::Array(values) => (0..values.len()).map(|position| path.element(position)).collect(),
        _ => Some(Vec::new()),
    }
}

/// Returns what one step leads to, without a path where that would be too long.
fn below<'v, 'a>(
    path: Option<&Path>,
    value: &'v Value<'a>,
    step: &str,
) -> Vec<(Option<Path>, &'v Value<'a>)> {
    let all = step == "*";
    match value {
        Value::Object(object) => {
            let members = object.members().iter().filter(|(name, _)| all || name == step);
            members.map(|(name, value)| (path.and_then(|path| path.child(name)), value)).collect()
        }
        Value::Array(values) => {
            let elements = values
                .iter()
                .enumerate()
                .filter(|(position, _)| all || position.to_string() == step);
            elements
                .map(|(position, value)| (path.and_then(|path| path.element(position)), value))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// A text in which something was recognised.
struct Found {
    path: Path,
    text: String,
    ranges: Vec<Range<usize>>,
}

/// A search for what a detector recognises.
struct Search<'v> {
    detector: Detector,
    /// The names and positions that lead to where the search is. A path is made of them when something is
    /// found, which is rare.
    steps: Vec<Step<'v>>,
    found: Vec<Found>,
    /// Whether something was recognised that can't be taken out.
    exposed: bool,
}

/// One step of a search.
#[derive(Clone, Copy)]
enum Step<'v> {
    Name(&'v str),
    Position(usize),
}

impl<'v> Search<'v> {
    /// Searches an event.
    fn run(detector: Detector, members: &'v Object<'_>) -> Self {
        let mut search = Self { detector, steps: Vec::new(), found: Vec::new(), exposed: false };
        for (name, value) in members.members() {
            search.step(Step::Name(name), value);
        }
        search
    }

    /// Searches a value, to which the steps lead.
    fn value(&mut self, value: &'v Value<'_>) {
        match value {
            Value::String(text) => self.text(text),
            // A card's number may have been sent as a number.
            Value::Number(number) => {
                if let Some(integer) = number.integer().filter(|integer| *integer > 999_999_999) {
                    self.text(&integer.to_string());
                }
            }
            Value::Array(values) => {
                for (position, value) in values.iter().enumerate() {
                    self.step(Step::Position(position), value);
                }
            }
            Value::Object(object) => {
                for (name, value) in object.members() {
                    self.exposed |= !self.detector.find(name).is_empty();
                    // What the server put there was treated already, and is no text of the producer's.
                    if !name.starts_with('$') {
                        self.step(Step::Name(name), value);
                    }
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Goes one step down, and back.
    fn step(&mut self, step: Step<'v>, value: &'v Value<'_>) {
        self.steps.push(step);
        self.value(value);
        self.steps.pop();
    }

    /// Searches a text.
    fn text(&mut self, text: &str) {
        let ranges = self.detector.find(text);
        if ranges.is_empty() {
            return;
        }
        match self.path() {
            Some(path) => self.found.push(Found { path, text: text.to_owned(), ranges }),
            None => self.exposed = true,
        }
    }

    /// Returns where the search is; `None` where no path leads, or where nothing is taken out.
    fn path(&self) -> Option<Path> {
        let (first, rest) = self.steps.split_first()?;
        let path = match first {
            Step::Name(name @ ("actor" | "resource" | "ctx")) => Path::member(name),
            Step::Name(_) | Step::Position(_) => return None,
        };
        rest.iter().try_fold(path, |path, step| match step {
            Step::Name(name) => path.child(name),
            Step::Position(position) => path.element(*position),
        })
    }
}
