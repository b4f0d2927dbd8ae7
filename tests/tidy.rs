//! The repository's own rules, as tests.
//!
//! What the compiler, rustfmt and clippy (see Cargo.toml and .clippy.toml) can't hold: which layer may
//! know which, who owns a dependency, which words are not used, and how long things may get. Each rule is
//! a pure function from a file to its findings, so that the rules are tested themselves on bad samples.

#![expect(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a repository that can't be read, or is not understood, is a failed test"
)]

#[path = "tidy/layer.rs"]
mod layer;
#[path = "tidy/length.rs"]
mod length;
#[path = "tidy/repository.rs"]
mod repository;
#[path = "tidy/sample.rs"]
mod sample;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/word.rs"]
mod word;

use source::{Finding, Source};

/// A rule: looks at one file and says what is wrong with it.
type Rule = fn(&Source) -> Vec<Finding>;

/// Every rule that judges one file at a time.
const RULES: &[Rule] = &[
    layer::imports,
    layer::climbs,
    layer::owners,
    layer::proto_tree,
    length::functions,
    word::banned_words,
    word::banned_calls,
    word::allowances,
    word::ignored_tests,
    word::type_names,
    word::file_names,
    word::front_page,
    word::doc_first,
    word::documented,
    word::ascii,
    word::machine_paths,
    word::spelling,
];

/// Fails with one line for each finding.
fn report(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} finding(s):\n{}\n", lines.len(), lines.join("\n"));
}

#[test]
fn every_file_keeps_the_rules() {
    let sources = source::read_repository();
    assert!(sources.len() > 30, "only {} files were found; the walk is broken", sources.len());
    let findings: Vec<Finding> =
        sources.iter().flat_map(|file| RULES.iter().flat_map(|rule| rule(file))).collect();
    report(&findings);
}

#[test]
fn files_and_functions_only_get_shorter() {
    report(&length::ratchet(&source::read_repository()));
}

#[test]
fn top_level_has_only_what_is_listed() {
    report(&repository::top_level());
}

#[test]
fn every_vector_is_used() {
    report(&repository::unused_vectors(&source::read_repository()));
}

#[test]
fn documents_fit_and_are_included() {
    report(&repository::documents(&source::read_repository()));
}

#[test]
fn the_dependencies_hold_one_of_each_kind() {
    report(&repository::unwanted_packages());
}

#[test]
fn each_rule_finds_its_bad_samples_and_leaves_the_good_ones() {
    sample::check();
}
