//! What a bundle comes to: what the core decides with, and all that its documents say besides.

use super::diagnostic::{Diagnostic, Severity};
use super::document::Document;
use super::finding::diagnostic;
use super::load;
use super::rego::{Guard, Rules, is_module};
use crate::core::policy::{Bundle, Custom, Enforcement, NoCustom, Policy, Watch};
use crate::core::record::ApprovalRule;

/// A policy that is ready.
pub struct Compiled {
    /// What decides about events.
    pub policy: Policy,
    /// What the documents say.
    pub document: Document,
    /// Who has to approve the next policy.
    pub approvals: ApprovalRule,
    /// The rules that the core does not decide.
    pub custom: Box<dyn Custom + Send + Sync>,
    /// What is watched over time.
    pub watch: Watch,
    /// What works and is probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles the files of a policy.
///
/// An overlay in `env/` is applied if it is the only one; see [`load::environment`].
pub fn compile(bundle: &Bundle) -> Result<Compiled, Vec<Diagnostic>> {
    let (document, mut warnings) = load::read(bundle)?;
    let policy = document.compile(bundle.digest()).map_err(|found| after(&warnings, found))?;
    let custom = custom(bundle, &document).map_err(|found| after(&warnings, found))?;
    let (watch, found) = document.watch().map_err(|found| after(&warnings, found))?;
    warnings.extend(found);
    let approvals = document.approvals.clone().unwrap_or(ApprovalRule::NOBODY);
    Ok(Compiled { policy, document, approvals, custom, watch, warnings })
}

/// Puts findings behind what was found before.
fn after(warnings: &[Diagnostic], found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    warnings.iter().cloned().chain(found).collect()
}

/// Makes the custom rules ready, as the documents name them.
fn custom(
    bundle: &Bundle,
    document: &Document,
) -> Result<Box<dyn Custom + Send + Sync>, Vec<Diagnostic>> {
    match rules(bundle, document)? {
        Some(rules) => Ok(Box::new(rules)),
        None => Ok(Box::new(NoCustom)),
    }
}

/// Loads the rules in Rego of a bundle, guarded as its documents say, with those that it inherits.
pub(super) fn rules(
    bundle: &Bundle,
    document: &Document,
) -> Result<Option<Rules>, Vec<Diagnostic>> {
    chain(bundle, document, Enforcement::Warn)
}

/// Loads the rules of a policy and of those that it extends. What breaks one has the consequences that the
/// strictest of the policies below wants.
fn chain(
    bundle: &Bundle,
    document: &Document,
    least: Enforcement,
) -> Result<Option<Rules>, Vec<Diagnostic>> {
    let otherwise = document.on_violation.unwrap_or(Enforcement::Quarantine).max(least);
    let own = own(bundle, document, otherwise)?;
    let has_rego = |path: &String| path.starts_with("parents/") && is_module(path);
    let Some(named) = document.extends.last().filter(|_| bundle.files().keys().any(has_rego))
    else {
        return Ok(own);
    };
    let fail = |message: String| {
        let help = Some("a policy that extends another one may only tighten it".to_owned());
        vec![diagnostic(Severity::Error, &named.place, "policy/weakening", message, help)]
    };
    let folder = format!("parents/{}/", named.name);
    let parent =
        load::below(bundle, &folder).map_err(|_none| fail(format!("'{folder}' is empty")))?;
    let inside = |found: Vec<Diagnostic>| {
        let move_in = |one: Diagnostic| Diagnostic { file: format!("{folder}{}", one.file), ..one };
        found.into_iter().map(move_in).collect::<Vec<_>>()
    };
    let (its, _) = load::read(&parent).map_err(inside)?;
    let inherited = chain(&parent, &its, otherwise).map_err(inside)?;
    if let Some(rule) = own.as_ref().and_then(Rules::mask) {
        return Err(fail(format!(
            "that the masks of {rule} hide nothing the parent requires can't be shown"
        )));
    }
    match (own, inherited) {
        (Some(own), Some(parent)) => {
            own.inherit(parent).map(Some).map_err(|error| fail(error.to_string()))
        }
        (own, inherited) => Ok(own.or(inherited)),
    }
}

/// Loads the rules that stand in a policy itself.
fn own(
    bundle: &Bundle,
    document: &Document,
    otherwise: Enforcement,
) -> Result<Option<Rules>, Vec<Diagnostic>> {
    let mut rules = Rules::load(bundle)?.map(|rules| rules.otherwise(otherwise));
    let own = document.rego.iter().filter(|module| !module.place.file.starts_with("parents/"));
    for module in own {
        let guard = Guard {
            subject: module.subject.clone(),
            classes: module.classes.clone(),
            when: module.when.clone(),
            otherwise: module.otherwise.unwrap_or(otherwise),
            needs: module.needs.clone(),
        };
        let told = |message: String| {
            vec![diagnostic(Severity::Error, &module.place, "policy/rego", message, None)]
        };
        let Some(unguarded) = rules else {
            return Err(told(format!("{:?} is not there: no module is", guard.subject)));
        };
        rules = Some(unguarded.guard(&[guard]).map_err(|error| told(error.to_string()))?);
    }
    Ok(rules)
}
