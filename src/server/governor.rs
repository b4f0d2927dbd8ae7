//! Makes bundles ready for the write path, which does not know documents.

use crate::{
    core::policy::Bundle,
    pipeline::{Governed, Governor},
};

/// Compiles the documents of bundles.
pub(super) struct Documents;

impl Governor for Documents {
    fn compile(&self, _bundle: &Bundle) -> Result<Governed, Vec<String>> {
        Err(Vec::new())
    }
}
