//! What of a document is watched over time: noise, alerts and sources, as the core keeps count of them.

use super::diagnostic::{Diagnostic, Severity};
use super::document::{
    Alert as Alarm, Document, Level, Logging, Period, Place, Redaction, Source, Trigger,
};
use super::field::format_field;
use super::finding::diagnostic;
use crate::core::policy::{
    Action, Alert, Condition, Selector, Statements, Suppression, Target, Test, Trigger as Watched,
    Watch, WatchedSource,
};
use crate::core::record::Path;

/// How often a count is recorded of what a class does not record.
const WINDOW: Period = Period { seconds: 3_600 };

impl Document {
    /// Returns what is watched, and what is probably not meant; fails where a condition can never hold.
    pub fn watch(&self) -> Result<(Watch, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (statements, _) = self.statements();
        let mut found = Vec::new();
        let required = self.classes.iter().filter(|class| class.required);
        let mut watch = Watch {
            required: required.map(|class| class.name.clone()).collect(),
            suppressions: self.unlogged(),
            sources: self.watched_sources(),
            ..Watch::default()
        };
        for one in &self.suppressions {
            found.extend(unseen(&statements, &one.name, &one.classes, &one.when, &one.place));
            watch.suppressions.push(Suppression {
                rule: one.name.clone(),
                select: select(&one.classes, &one.when),
                every_seconds: one.window.seconds,
            });
        }
        watch.alerts.push(Alert::violation());
        for one in &self.alerts {
            found.extend(unseen(&statements, &one.name, &one.classes, &one.when, &one.place));
            watch.alerts.push(Alert {
                rule: one.name.clone(),
                select: select(&one.classes, &one.when),
                trigger: watched(&one.trigger),
                to: one.to.clone(),
            });
            self.check_groups(one, &mut found);
        }
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
            let mut suppress = |what: &str, outcome: Option<&str>| {
                let outcome = outcome.map(|outcome| {
                    let path = Path::parse("/out").expect("a constant path");
                    Condition::field(path, Test::Exact(outcome.to_owned()))
                });
                let when: Vec<Condition> = outcome.into_iter().collect();
                suppressions.push(Suppression {
                    rule: rule_name(&class.name, what),
                    select: select(core::slice::from_ref(&class.name), &when),
                    every_seconds: WINDOW.seconds,
                });
            };
            let Logging { success, failure } = class.log;
            if class.level == Level::None || (!success && !failure) {
                suppress("unlogged", None);
                continue;
            }
            if !success {
                suppress("success", Some("success"));
            }
            if !failure {
                suppress("failure", Some("failure"));
            }
        }
        suppressions
    }

    /// Returns the sources whose numbers or silence matter.
    fn watched_sources(&self) -> Vec<WatchedSource> {
        let matters = |source: &&Source| source.numbered || source.expect.is_some();
        let numbered = (1..).zip(&self.sources).filter(|(_, source)| matters(source));
        numbered
            .map(|(number, source)| WatchedSource {
                sources: source.sources.clone(),
                rule: format!("source-{number}"),
                numbered: source.numbered,
                heartbeat_seconds: source.expect.map(|period| period.seconds),
            })
            .collect()
    }
}

/// Returns what selects the events of some classes for which conditions hold.
fn select(classes: &[String], when: &[Condition]) -> Selector {
    Selector { classes: classes.to_vec(), when: when.to_vec(), ..Selector::default() }
}

/// Says that a condition looks at what no record shows.
fn unseen(
    statements: &Statements,
    name: &str,
    classes: &[String],
    when: &[Condition],
    place: &Place,
) -> Option<Diagnostic> {
    let error = statements.check_seen(name, classes, when).err()?;
    let help =
        Some("a rule in Rego that 'needs' a committed value can tell of it by 'alert'".to_owned());
    Some(diagnostic(Severity::Error, place, "policy/redacted", error.to_string(), help))
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
