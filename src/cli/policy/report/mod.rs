//! What was found and what was tried, in the form that a person, a pipeline or a code host reads.
//!
//! A report holds findings about the files of a policy, and cases that were tried. Every form shows all
//! of both; none decides what is an error.

mod github;
mod json;
mod junit;
mod sarif;
mod tap;
mod text;

use std::collections::BTreeMap;

use super::super::output::count;
use crate::policy::{Diagnostic, Severity};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people: each finding with its line, and what to do
    #[default]
    Text,
    /// One JSON object
    Json,
    /// `JUnit` XML, which most pipelines show
    Junit,
    /// Test Anything Protocol, version 14
    Tap,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of a GitHub workflow
    Github,
}

/// Findings and cases.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// The verb that reports, as `check`.
    pub(super) verb: &'static str,
    /// What stands before the path of every file: the directory of the bundle, as the caller named it.
    pub(super) root: String,
    /// What was found.
    pub(super) findings: Vec<Diagnostic>,
    /// What was tried.
    pub(super) cases: Vec<Case>,
    /// The texts of the files that findings are about, by path.
    pub(super) sources: BTreeMap<String, String>,
}

/// Something that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    /// The file that tells of it, relative to the bundle.
    pub(super) file: String,
    /// Its line, from 1; 0 for the whole file.
    pub(super) line: usize,
    /// Its name.
    pub(super) name: String,
    /// How it went.
    pub(super) outcome: Outcome,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As it should.
    Passed,
    /// Otherwise, for these reasons.
    Failed(Vec<String>),
    /// It was not tried, for this reason.
    Skipped(String),
}

/// How many there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Tally {
    pub(super) errors: usize,
    pub(super) warnings: usize,
    pub(super) notes: usize,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

impl Report {
    /// Writes the report in a form, without the last line's end.
    pub(super) fn format(&self, format: Format) -> String {
        let text = match format {
            Format::Text => text::format(self),
            Format::Json => json::format(self),
            Format::Junit => junit::format(self),
            Format::Tap => tap::format(self),
            Format::Sarif => sarif::format(self),
            Format::Github => github::format(self),
        };
        text.trim_end_matches('\n').to_owned()
    }

    /// Counts.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for finding in &self.findings {
            match finding.severity {
                Severity::Error => tally.errors += 1,
                Severity::Warning => tally.warnings += 1,
                Severity::Note => tally.notes += 1,
            }
        }
        for case in &self.cases {
            match case.outcome {
                Outcome::Passed => tally.passed += 1,
                Outcome::Failed(_) => tally.failed += 1,
                Outcome::Skipped(_) => tally.skipped += 1,
            }
        }
        tally
    }

    /// Returns the path of a file as the caller would name it.
    fn path(&self, file: &str) -> String {
        match self.root.trim_end_matches('/') {
            "" if self.root.is_empty() => file.to_owned(),
            "." => file.to_owned(),
            root => format!("{root}/{file}"),
        }
    }
}

impl Tally {
    /// Writes what there is: `1 error, 2 warnings`; nothing where all is well and nothing was tried.
    pub(super) fn to_text(self) -> String {
        let Self { errors, warnings, notes, passed, failed, skipped } = self;
        let kinds = [
            (errors, "error", "errors"),
            (warnings, "warning", "warnings"),
            (notes, "note", "notes"),
            (passed, "test passed", "tests passed"),
            (failed, "test failed", "tests failed"),
            (skipped, "test skipped", "tests skipped"),
        ];
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let there = kinds.iter().filter(|(there, ..)| *there > 0);
        let parts: Vec<String> =
            there.map(|(there, one, many)| count(number(*there), one, many)).collect();
        parts.join(", ")
    }
}

/// Makes a finding about a policy as a whole, which is wrong.
pub(super) fn error(code: &'static str, message: String) -> Diagnostic {
    Diagnostic { severity: Severity::Error, ..note(code, message) }
}

/// Makes a finding about a policy as a whole, which is good to know.
pub(super) fn note(code: &'static str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Note,
        code,
        message,
        help: None,
        file: "policy.yaml".to_owned(),
        line: 0,
        column: 0,
        length: 0,
    }
}

/// Writes where something is: `policy.yaml:3:5`.
fn place(path: &str, line: usize, column: usize) -> String {
    match (line, column) {
        (0, _) => path.to_owned(),
        (_, 0) => format!("{path}:{line}"),
        _ => format!("{path}:{line}:{column}"),
    }
}

/// Replaces what would steer a terminal. Findings quote files that anybody may have written.
fn printable(text: &str) -> String {
    let show = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(show).collect()
}

#[cfg(test)]
pub(super) mod sample {
    //! A report with one of everything, in awkward words.

    use super::{Case, Outcome, Report};
    use crate::policy::{Diagnostic, Severity};

    /// Returns the report.
    pub(in super::super) fn report() -> Report {
        let finding = |severity, code, message: &str, help: Option<&str>| Diagnostic {
            severity,
            code,
            message: message.to_owned(),
            help: help.map(str::to_owned),
            file: "policy.yaml".to_owned(),
            line: 0,
            column: 0,
            length: 0,
        };
        let unknown = finding(
            Severity::Error,
            "policy/unknown-class",
            "there is no class \"logins\"",
            Some("did you mean \"login\"?"),
        );
        let odd = finding(Severity::Warning, "policy/odd", "100% <odd>, & more:\nreally", None);
        let late = finding(Severity::Note, "policy/review", "no review date", Some("set one"));
        let source = "classes:\n  login: {}\nrules:\n  - {class: logins}\n";
        let case = |line, name: &str, outcome| Case {
            file: "tests/login.yaml".to_owned(),
            line,
            name: name.to_owned(),
            outcome,
        };
        Report {
            verb: "check",
            root: "my policy".to_owned(),
            findings: vec![
                Diagnostic { line: 4, column: 13, length: 6, ..unknown },
                Diagnostic { line: 2, ..odd },
                late,
            ],
            cases: vec![
                case(1, "a login # is kept", Outcome::Passed),
                case(9, "a login without actor", Outcome::Failed(vec!["verdict: accept".into()])),
                case(0, "later", Outcome::Skipped("no engine".into())),
            ],
            sources: [("policy.yaml".to_owned(), source.to_owned())].into(),
        }
    }

    #[test]
    fn every_kind_is_counted() {
        let all = "1 error, 1 warning, 1 note, 1 test passed, 1 test failed, 1 test skipped";
        assert_eq!(report().tally().to_text(), all);
        assert_eq!(Report::default().tally().to_text(), "");
    }

    #[test]
    fn paths_are_those_that_the_caller_would_write() {
        let at = |root: &str| Report { root: root.to_owned(), ..Report::default() }.path("a.yaml");
        assert_eq!(at("dir"), "dir/a.yaml");
        assert_eq!(at("dir/"), "dir/a.yaml");
        assert_eq!(at("."), "a.yaml");
        assert_eq!(at(""), "a.yaml");
        assert_eq!(at("/"), "/a.yaml");
    }
}
