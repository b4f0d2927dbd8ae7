//! What of a document is watched over time: noise, alerts and sources, as the core keeps count of them.

use super::diagnostic::{Diagnostic, Severity};
use super::document::{
    Alert as Alarm, Document, Level, Logging, Period, Place, Redaction, Trigger,
};
use super::field::format_field;
use super::finding::diagnostic;
use crate::core::policy::{
    Action, Alert, Condition, Selector, Suppression, Target, Test, Trigger as Watched, Watch,
    WatchedSource,
};
use crate::core::record::{Path, Verdict};

/// How often a count is recorded of what a class does not record.
const WINDOW: Period = Period { seconds: 3_600 };

/// The alert about every event that a policy quarantines, or could not decide about.
const VIOLATION: &str = "policy/violation";

impl Document {
    /// Returns what is watched, and what is not quite; fails where a condition can't be watched at all.
    pub fn watch(&self) -> Result<(Watch, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut found = Vec::new();
        let required = self.classes.iter().filter(|class| class.required);
        let mut watch = Watch {
            required: required.map(|class| class.name.clone()).collect(),
            suppressions: self.unlogged(),
            ..Watch::default()
        };
        for one in &self.suppressions {
            match self.select(&one.name, &one.classes, &one.when, &one.place) {
                Err(diagnostic) => found.push(diagnostic),
                Ok(select) => watch.suppressions.push(Suppression {
                    rule: one.name.clone(),
                    select,
                    every_seconds: one.window.seconds,
                }),
            }
        }
        let verdicts = vec![Verdict::Quarantine, Verdict::Error];
        let select = Selector { verdicts, ..Selector::default() };
        let rule = VIOLATION.to_owned();
        watch.alerts.push(Alert { rule, select, trigger: Watched::Match, to: Vec::new() });
        for one in &self.alerts {
            match self.select(&one.name, &one.classes, &one.when, &one.place) {
                Err(diagnostic) => found.push(diagnostic),
                Ok(select) => {
                    let (rule, trigger) = (one.name.clone(), watched(&one.trigger));
                    watch.alerts.push(Alert { rule, select, trigger, to: one.to.clone() });
                }
            }
            self.check_groups(one, &mut found);
        }
        self.watch_sources(&mut watch, &mut found);
        if found.iter().any(|one| one.severity == Severity::Error) {
            Err(found)
        } else {
            Ok((watch, found))
        }
    }

    /// Warns of values to count by that no record shows.
    fn check_groups(&self, alert: &Alarm, found: &mut Vec<Diagnostic>) {
        let Trigger::Threshold { by, .. } = &alert.trigger else { return };
        let hides = |path: &Path| {
            self.redactions.iter().any(|Redaction { treatment, .. }| match &treatment.target {
                Target::Path(target) => {
                    path.is_within(target)
                        && matches!(treatment.action, Action::Drop | Action::Commit { .. })
                }
                Target::Detected(_) => false,
            })
        };
        for path in by.iter().filter(|path| hides(path)) {
            let field = format_field(path);
            let message = format!(
                "'{}' counts by '{field}', which no record shows, so that all of its events count together",
                alert.name
            );
            let help =
                Some("redact it by 'token', which is the same for the same value".to_owned());
            let place = &alert.place;
            found.push(diagnostic(Severity::Warning, place, "policy/group-by", message, help));
        }
    }

    /// Returns what classes leave out of the log.
    fn unlogged(&self) -> Vec<Suppression> {
        let mut suppressions = Vec::new();
        for class in &self.classes {
            let mut suppress = |what: &str, outcomes: Vec<String>| {
                let classes = vec![class.name.clone()];
                suppressions.push(Suppression {
                    rule: rule_name(&class.name, what),
                    select: Selector { classes, outcomes, ..Selector::default() },
                    every_seconds: WINDOW.seconds,
                });
            };
            let Logging { success, failure } = class.log;
            if class.level == Level::None || (!success && !failure) {
                suppress("unlogged", Vec::new());
                continue;
            }
            if !success {
                suppress("success", vec!["success".to_owned()]);
            }
            if !failure {
                suppress("failure", vec!["failure".to_owned()]);
            }
        }
        suppressions
    }

    /// Returns what selects the events of some classes for which conditions hold.
    fn select(
        &self,
        name: &str,
        classes: &[String],
        when: &[Condition],
        place: &Place,
    ) -> Result<Selector, Diagnostic> {
        let mut select = Selector { classes: classes.to_vec(), ..Selector::default() };
        let all = when.iter().all(|condition| self.narrow(&mut select, condition));
        if all {
            return Ok(select);
        }
        let message = format!("'{name}' looks at more than class, source, action and outcome");
        let help =
            "state a class that has these conditions as its 'match', and name it in 'classes'";
        let help = Some(help.to_owned());
        Err(diagnostic(Severity::Error, place, "policy/unwatchable", message, help))
    }

    /// Narrows a selection by a condition; returns whether that could be done.
    fn narrow(&self, select: &mut Selector, condition: &Condition) -> bool {
        let (path, test) = match condition {
            Condition::Field { path, test } => (path, test),
            Condition::All(conditions) => {
                return conditions.iter().all(|condition| self.narrow(select, condition));
            }
            Condition::Any(_) | Condition::Not(_) => return false,
        };
        let values = match test {
            Test::Exact(value) => vec![value.clone()],
            Test::OneOf(values) => values.clone(),
            Test::Glob(glob) if path.as_str() == "/class" => {
                let names = self.classes.iter().map(|class| &class.name);
                names.filter(|name| glob.matches(name)).cloned().collect()
            }
            _ => return false,
        };
        let place = match path.as_str() {
            "/class" => &mut select.classes,
            "/source" => &mut select.sources,
            "/act" => &mut select.actions,
            "/out" => &mut select.outcomes,
            _ => return false,
        };
        if place.is_empty() {
            *place = values;
        } else {
            place.retain(|value| values.contains(value));
        }
        // Nothing left would select everything.
        !place.is_empty()
    }

    /// Adds the sources whose numbers or silence matter.
    fn watch_sources(&self, watch: &mut Watch, found: &mut Vec<Diagnostic>) {
        for (number, source) in (1..).zip(&self.sources) {
            for glob in &source.sources {
                let name = glob.to_string();
                if name.contains('*') {
                    let message = format!(
                        "'{name}' is a pattern: its numbers and its silence are not watched"
                    );
                    let help = Some("name each source that has to be heard of".to_owned());
                    found.push(diagnostic(
                        Severity::Warning,
                        &source.place,
                        "policy/source-pattern",
                        message,
                        help,
                    ));
                    continue;
                }
                watch.sources.push(WatchedSource {
                    source: name,
                    rule: format!("source-{number}"),
                    numbered: source.numbered,
                    heartbeat_seconds: source.expect.map(|period| period.seconds),
                });
            }
        }
    }
}

/// Returns the name under which events of a class are counted.
fn rule_name(class: &str, what: &str) -> String {
    let kept = 128 - what.len() - 1;
    format!("{}/{what}", class.get(..kept).unwrap_or(class))
}

fn watched(trigger: &Trigger) -> Watched {
    match trigger {
        Trigger::Match => Watched::Match,
        Trigger::Threshold { count, within, by } => {
            Watched::Threshold { count: *count, seconds: within.seconds, by: by.clone() }
        }
        Trigger::Absence { within } => Watched::Absence { seconds: within.seconds },
    }
}
