//! What a bundle comes to: what the core decides with, and all that its documents say besides.

use super::diagnostic::{Diagnostic, Severity};
use super::document::{Document, Place, RegoModule};
use super::finding::diagnostic;
use super::load;
use super::rego::{Guard, GuardError, Rules};
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

/// Makes the custom rules ready: those of the modules, guarded as the documents say.
fn custom(
    bundle: &Bundle,
    document: &Document,
) -> Result<Box<dyn Custom + Send + Sync>, Vec<Diagnostic>> {
    let fail = |place: &Place, message: String| {
        vec![diagnostic(Severity::Error, place, "policy/rego", message, None)]
    };
    let Some(rules) = Rules::load(bundle)? else {
        return match document.rego.first() {
            None => Ok(Box::new(NoCustom)),
            Some(module) => {
                let message = format!("'{}' is named, and there are no modules", module.subject);
                Err(fail(&module.place, message))
            }
        };
    };
    let guard = |module: &RegoModule| Guard {
        subject: module.subject.clone(),
        classes: module.classes.clone(),
        when: module.when.clone(),
        otherwise: module.otherwise.or(document.on_violation).unwrap_or(Enforcement::Quarantine),
        needs: module.needs.clone(),
    };
    let guards: Vec<Guard> = document.rego.iter().map(guard).collect();
    match rules.guard(&guards) {
        Ok(rules) => Ok(Box::new(rules)),
        Err(error) => {
            // The one that can't be: what is not known, or the last that names the package again.
            let named = |module: &&RegoModule| match &error {
                GuardError::Unknown { subject, .. } => module.subject == *subject,
                GuardError::Twice { .. } => true,
            };
            let place = document.rego.iter().rfind(named).map(|module| module.place.clone());
            Err(fail(&place.unwrap_or_default(), error.to_string()))
        }
    }
}
