//! What documents want watched over time, in the form in which the write path watches.
//!
//! That form looks at source, class, action, outcome and verdict by their exact texts: it is asked of every event,
//! and what it counts is kept beside the log.

use super::diagnostic::{Diagnostic, Severity};
use super::document::{Alert, Document, Place, Source, Suppression, Trigger};
use super::finding::diagnostic;
use crate::core::policy::{
    Alert as WatchedAlert, Condition, Glob, Selector, Suppression as WatchedSuppression, Test,
    Trigger as WatchedTrigger, Watch, WatchedSource,
};

impl Document {
    /// Returns what is watched over time, or what of it can't be.
    pub fn watch(&self) -> Result<Watch, Vec<Diagnostic>> {
        let mut found = Vec::new();
        let mut watch = Watch::default();
        for source in &self.sources {
            take(&mut found, &mut watch.sources, sources(source));
        }
        for suppression in &self.suppressions {
            take(&mut found, &mut watch.suppressions, suppressed(suppression).map(|one| vec![one]));
        }
        for alert in &self.alerts {
            take(&mut found, &mut watch.alerts, alerted(alert).map(|one| vec![one]));
        }
        let required = self.classes.iter().filter(|class| class.required);
        watch.required = required.map(|class| class.name.clone()).collect();
        if found.is_empty() { Ok(watch) } else { Err(found) }
    }
}

/// Takes what was understood, and notes what was not.
fn take<T>(found: &mut Vec<Diagnostic>, to: &mut Vec<T>, read: Result<Vec<T>, Diagnostic>) {
    match read {
        Ok(more) => to.extend(more),
        Err(error) => found.push(error),
    }
}

/// Says why something can't be watched.
fn unwatched(place: &Place, message: String) -> Diagnostic {
    let help =
        "what is watched over time looks at /source, /act and /out, by exact texts".to_owned();
    diagnostic(Severity::Error, place, "policy/watch", message, Some(help))
}

/// Returns the sources that are named one by one.
fn sources(stated: &Source) -> Result<Vec<WatchedSource>, Diagnostic> {
    let watched = |glob: &Glob| {
        let source = glob.to_string();
        if source.contains('*') {
            let message = format!("'{source}' is a pattern; name each source that is watched");
            return Err(unwatched(&stated.place, message));
        }
        Ok(WatchedSource {
            source,
            rule: "source/silent".to_owned(),
            numbered: stated.numbered,
            heartbeat_seconds: stated.expect.map(|period| period.seconds),
        })
    };
    stated.sources.iter().map(watched).collect()
}

fn suppressed(stated: &Suppression) -> Result<WatchedSuppression, Diagnostic> {
    if stated.keep > 0 {
        let message = format!("'{}' can't keep some events of each window yet", stated.name);
        return Err(unwatched(&stated.place, message));
    }
    let select = selector(&stated.name, &stated.classes, &stated.when, &stated.place)?;
    Ok(WatchedSuppression {
        rule: stated.name.clone(),
        select,
        every_seconds: stated.window.seconds,
    })
}

fn alerted(stated: &Alert) -> Result<WatchedAlert, Diagnostic> {
    let select = selector(&stated.name, &stated.classes, &stated.when, &stated.place)?;
    let trigger = match &stated.trigger {
        Trigger::Match => WatchedTrigger::Match,
        // Events are counted together whatever they have in common: it fires earlier, and never later.
        Trigger::Threshold { count, within, by: _ } => {
            WatchedTrigger::Threshold { count: *count, seconds: within.seconds }
        }
        Trigger::Absence { within } => WatchedTrigger::Absence { seconds: within.seconds },
    };
    Ok(WatchedAlert { rule: stated.name.clone(), select, trigger })
}

/// Returns which events something is about.
fn selector(
    name: &str,
    classes: &[String],
    when: &[Condition],
    place: &Place,
) -> Result<Selector, Diagnostic> {
    let mut selector = Selector { classes: classes.to_vec(), ..Selector::default() };
    for condition in when {
        let message = || format!("'{name}' looks at what is not watched over time");
        select(&mut selector, condition).ok_or_else(|| unwatched(place, message()))?;
    }
    Ok(selector)
}

/// Adds a condition to a selector; `None` if it can't say that.
fn select(selector: &mut Selector, condition: &Condition) -> Option<()> {
    let (path, test) = match condition {
        Condition::All(all) => return all.iter().try_for_each(|one| select(selector, one)),
        Condition::Field { path, test } => (path, test),
        Condition::Any(_) | Condition::Not(_) => return None,
    };
    let texts = match test {
        Test::Exact(text) => vec![text.clone()],
        Test::OneOf(texts) => texts.clone(),
        _ => return None,
    };
    let wanted = match path.as_str() {
        "/act" => &mut selector.actions,
        "/out" => &mut selector.outcomes,
        "/source" => &mut selector.sources,
        "/class" => &mut selector.classes,
        _ => return None,
    };
    if wanted.is_empty() {
        *wanted = texts;
    } else {
        wanted.retain(|text| texts.contains(text));
        // No event passes both, and an empty list would let all pass.
        if wanted.is_empty() {
            return None;
        }
    }
    Some(())
}
