//! Whether a policy has what frameworks ask of audit logs at the least.
//!
//! What they ask for is what [`super::framework::generate`] would write. A class of the policy stands for one
//! that is asked for if it has its name, or takes events of each kind of its actions. What nothing shows to be
//! there is a finding; a policy without findings supports the controls, and makes nobody compliant.

use core::slice;

use super::diagnostic::{Diagnostic, Severity};
use super::document::{Class, Document, Place, Retention};
use super::field::format_field;
use super::finding::{diagnostic, listed};
use super::framework::{Framework, generate, kept};
use super::imply::all_imply;
use crate::core::policy::Condition;
use crate::core::record::Path;

/// Returns what a policy lacks of what frameworks ask for.
pub fn minimums(document: &Document, frameworks: &[Framework]) -> Vec<Diagnostic> {
    let asked = generate("", None, frameworks);
    let mut found = Vec::new();
    for wanted in &asked.classes {
        let controls = wanted.description.as_deref().unwrap_or_default();
        let mut standing: Vec<&Class> = Vec::new();
        for way in ways(&wanted.when) {
            let covers = |class: &&Class| {
                let takes = !class.when.is_empty() && all_imply(slice::from_ref(way), &class.when);
                class.name == wanted.name || takes
            };
            let covering: Vec<&Class> = document.classes.iter().filter(covers).collect();
            if covering.is_empty() {
                let message = format!("no class takes the events of '{}': {controls}", wanted.name);
                let help = "name a class so, or let one take every action that begins alike; \
                            'attestree policy generate' writes it";
                found.push(finding(Severity::Error, &document.metadata, message, help));
                break;
            }
            standing.extend(covering);
        }
        standing.sort_by(|one, other| one.name.cmp(&other.name));
        standing.dedup_by(|one, other| one.name == other.name);
        for class in standing {
            look(document, wanted, class, controls, &mut found);
            keep(document, frameworks, &asked.retention, class, &mut found);
        }
    }
    // A class may stand for several that are asked for.
    let mut seen = Vec::new();
    found.retain(|one| {
        let is_new = !seen.contains(one);
        seen.push(one.clone());
        is_new
    });
    found
}

/// Returns the alternatives of a class that is asked for.
fn ways(when: &[Condition]) -> &[Condition] {
    match when {
        [Condition::Any(ways)] => ways,
        _ => when,
    }
}

/// Looks for the fields, and for outcomes that are not recorded.
fn look(
    document: &Document,
    wanted: &Class,
    class: &Class,
    controls: &str,
    found: &mut Vec<Diagnostic>,
) {
    let lacks = |path: &&Path| !requires(document, class, path);
    let missing: Vec<String> =
        wanted.require.iter().map(|one| &one.path).filter(lacks).map(format_field).collect();
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(String::as_str).collect();
        let message =
            format!("class '{}' does not require {}: {controls}", class.name, listed(&names));
        let help = "add them to 'require' of the class, or to a rule about it without conditions";
        found.push(finding(Severity::Error, &class.place, message, help));
    }
    if !(class.log.success && class.log.failure) {
        let message = format!("class '{}' does not record every outcome: {controls}", class.name);
        let help = "leave out 'log', or set success and failure to true";
        found.push(finding(Severity::Error, &class.place, message, help));
    }
}

/// Returns whether every event of a class has to have something, or be quarantined.
fn requires(document: &Document, class: &Class, path: &Path) -> bool {
    let about = document.rules.iter().map(|stated| &stated.rule).filter(|rule| {
        rule.when.is_empty() && (rule.classes.is_empty() || rule.classes.contains(&class.name))
    });
    let mut all = class.require.iter().chain(about.flat_map(|rule| &rule.require));
    all.any(|one| one.path == *path)
}

/// Looks how long a class is kept.
fn keep(
    document: &Document,
    frameworks: &[Framework],
    asked: &Retention,
    class: &Class,
    found: &mut Vec<Diagnostic>,
) {
    let Retention { hot, total, .. } = class.retention.unwrap_or(document.retention);
    let short = |have, want| matches!((have, want), (Some(have), Some(want)) if have < want);
    // What is deleted earlier is not at hand either; without a total it is kept for ever.
    if short(total, asked.total) || short(hot.or(total), asked.hot) {
        let message = format!("class '{}' is not kept as long as is asked for", class.name);
        let help = kept(frameworks).join("; ");
        found.push(finding(Severity::Warning, &class.place, message, &help));
    }
}

fn finding(severity: Severity, place: &Place, message: String, help: &str) -> Diagnostic {
    diagnostic(severity, place, "policy/framework", message, Some(help.to_owned()))
}
