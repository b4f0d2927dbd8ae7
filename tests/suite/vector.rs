//! Files that are generated and kept: vectors of formats, probes, seeds of the fuzzers, the descriptor set.
//!
//! Each run compares them with what is generated; a difference is a change of a format, of a message or of the
//! protocol. With `ATTESTREE_REGENERATE=1` the tests that compare write the files first, all or those that the
//! runner's filter leaves.

use std::{fs, path::Path};

/// Returns whether the files are to be written.
pub(crate) fn is_regenerated() -> bool {
    std::env::var_os("ATTESTREE_REGENERATE").is_some_and(|value| value == "1")
}

/// Compares a file with what was generated, or writes it.
pub(crate) fn compare(path: &Path, generated: &[u8]) {
    if is_regenerated() {
        fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
        fs::write(path, generated).unwrap();
    }
    let kept = fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    assert!(
        kept == generated,
        "{} is not what is generated; if that is meant, run the test with ATTESTREE_REGENERATE=1",
        path.display()
    );
}
