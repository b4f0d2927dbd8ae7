//! What became of an event, and whether it is what a test expects: of the same form whether the event was
//! admitted here or by a server.

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::Expect;
use super::retention;
use crate::core::policy::{NoCustom, Policy, judge};
use crate::core::record::json::{Object, Value};
use crate::core::record::{Path, Record, RecordedEvent, Submission};
use crate::policy::document::{Document, Period};

/// The alert about every violation, which tests need not expect.
const VIOLATION: &str = "policy/violation";

/// What became of an event.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) verdict: &'static str,
    pub(super) rules: Vec<String>,
    pub(super) class: Option<String>,
    /// What was done at places, commitments as well.
    pub(super) done: BTreeMap<Path, &'static str>,
    pub(super) suppressed: bool,
    content: Object<'static>,
}

impl Outcome {
    /// Begins with the class that an event is submitted as.
    pub(super) fn of_class(class: Option<String>) -> Self {
        Self { class, ..Self::default() }
    }

    /// Takes what a record shows of its event.
    pub(super) fn take(&mut self, record: &Record<'_>, event: &RecordedEvent<'_>) {
        self.verdict = event.verdict().as_str();
        self.rules = event.rules().to_vec();
        if !event.verdict().shows_content() {
            return;
        }
        let text = |name: &str| event.content().get(name).and_then(Value::as_str);
        self.class = text("class").map(str::to_owned);
        let done = event.redactions().iter();
        self.done = done.map(|done| (done.path.clone(), done.action.as_str())).collect();
        for (path, _) in record.commitments() {
            self.done.entry(path).or_insert("commit");
        }
        if let Value::Object(content) = Value::from(event.content().clone()).into_owned() {
            self.content = content;
        }
    }
}

/// Returns the class of an event as it was submitted, which the record of a quarantined one does not show.
pub(super) fn class_of(policy: &Policy, bytes: &[u8], source: Option<&str>) -> Option<String> {
    let event = Submission::parse(bytes).ok()?.event().ok()?;
    let claimed = event.members().get("class").and_then(Value::as_str).map(str::to_owned);
    let judgement = judge(policy, event.members(), source, &NoCustom);
    claimed.or_else(|| judgement.class.map(str::to_owned))
}

/// Returns what is not as expected of the last event of a test, and of the alerts that all of them raised.
pub(super) fn compare(
    document: &Document,
    expect: &Expect,
    last: &Outcome,
    alerts: &BTreeSet<String>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut differ = |what: &str, wanted: String, found: String| {
        if wanted != found {
            wrong.push(format!("{what}: expected {wanted}, found {found}"));
        }
    };
    if let Some(verdict) = expect.verdict {
        let found = format!("{} {}", last.verdict, named(&last.rules));
        let found = if verdict == last.verdict { verdict.to_owned() } else { found };
        differ("verdict", verdict.to_owned(), found);
    }
    if let Some(rules) = &expect.rules {
        differ("rules", named(rules), named(&last.rules));
    }
    if let Some(class) = &expect.class {
        differ("class", class.clone(), last.class.clone().unwrap_or("none".to_owned()));
    }
    if let Some(suppressed) = expect.suppressed {
        differ("suppressed", suppressed.to_string(), last.suppressed.to_string());
    }
    for (path, action) in &expect.redacted {
        let found = last.done.get(path).copied().unwrap_or("nothing");
        differ(path.as_str(), (*action).to_owned(), found.to_owned());
    }
    for path in &expect.absent {
        let found = path.find(&last.content).map_or("absent", |_| "a value");
        differ(path.as_str(), "absent".to_owned(), found.to_owned());
    }
    if let Some(wanted) = &expect.alerts {
        let found = alerts.iter();
        let found: Vec<String> =
            found.filter(|name| *name != VIOLATION || wanted.contains(name)).cloned().collect();
        differ("alerts", named(wanted), named(&found));
    }
    if let Some(period) = &expect.retention {
        let found = retention(document, last.class.as_deref());
        let found = found.map_or("for ever".to_owned(), |seconds| Period { seconds }.to_string());
        differ("retention", period.to_string(), found);
    }
    wrong
}

fn named(names: &[String]) -> String {
    format!("[{}]", names.join(", "))
}
