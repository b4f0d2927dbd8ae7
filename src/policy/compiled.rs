//! What a bundle comes to: what the core decides with, and all that its documents say besides.

use super::diagnostic::{Diagnostic, Severity};
use super::document::{Document, Place};
use super::finding::diagnostic;
use super::load;
use crate::core::policy::{Bundle, Custom, NoCustom, Policy, Watch};
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

/// Makes the custom rules ready.
fn custom(
    bundle: &Bundle,
    document: &Document,
) -> Result<Box<dyn Custom + Send + Sync>, Vec<Diagnostic>> {
    let named = document.rego.first().map(|module| module.place.clone());
    let file = bundle.files().keys().find(|path| path.starts_with("rego/"));
    let place = named.or_else(|| Some(Place { file: file?.clone(), ..Place::default() }));
    match place {
        None => Ok(Box::new(NoCustom)),
        Some(place) => {
            let message = "custom rules in Rego are not part of this build".to_owned();
            Err(vec![diagnostic(Severity::Error, &place, "policy/rego", message, None)])
        }
    }
}
