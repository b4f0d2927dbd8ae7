//! Makes bundles ready for the write path, which does not know documents.

use std::sync::Arc;

use crate::{
    core::policy::Bundle,
    pipeline::{Governed, Governor},
    policy::{self, Compiled, Diagnostic, Severity},
};

/// Compiles the documents of bundles.
pub(super) struct Documents;

impl Governor for Documents {
    fn compile(&self, bundle: &Bundle) -> Result<Governed, Vec<String>> {
        let compiled = policy::compile(bundle).map_err(sentences)?;
        let Compiled { policy, approvals: rule, custom, watch, .. } = compiled;
        Ok(Governed { policy: Arc::new(policy), custom: Arc::from(custom), rule, watch })
    }
}

/// Says, line by line, what is wrong with a bundle. What is only a warning does not stop it.
fn sentences(found: Vec<Diagnostic>) -> Vec<String> {
    let errors = found.iter().filter(|found| found.severity == Severity::Error);
    errors.map(sentence).collect()
}

/// Says in one line what is wrong, and where.
fn sentence(found: &Diagnostic) -> String {
    let Diagnostic { file, line, column, code, message, .. } = found;
    match line {
        0 => format!("{file}: {message} ({code})"),
        line => format!("{file}:{line}:{column}: {message} ({code})"),
    }
}
