//! A report as one JSON object.

use serde::Serialize;

use super::{Case, Outcome, Report, Tally};
use crate::policy::Diagnostic;

/// The object.
#[derive(Serialize)]
struct Whole<'a> {
    verb: &'a str,
    summary: Tally,
    findings: Vec<Finding<'a>>,
    tests: Vec<Test<'a>>,
}

/// A finding.
#[derive(Serialize)]
struct Finding<'a> {
    severity: String,
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    file: String,
    line: usize,
    column: usize,
    length: usize,
}

/// A case.
#[derive(Serialize)]
struct Test<'a> {
    name: &'a str,
    file: String,
    line: usize,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'a str>,
}

/// Writes the report.
pub(super) fn format(report: &Report) -> String {
    let whole = Whole {
        verb: report.verb,
        summary: report.tally(),
        findings: report.findings.iter().map(|finding| finding_of(report, finding)).collect(),
        tests: report.cases.iter().map(|case| test_of(report, case)).collect(),
    };
    serde_json::to_string(&whole).expect("texts and numbers are JSON")
}

fn finding_of<'a>(report: &Report, finding: &'a Diagnostic) -> Finding<'a> {
    Finding {
        severity: finding.severity.to_string(),
        code: finding.code,
        message: &finding.message,
        help: finding.help.as_deref(),
        file: report.path(&finding.file),
        line: finding.line,
        column: finding.column,
        length: finding.length,
    }
}

fn test_of<'a>(report: &Report, case: &'a Case) -> Test<'a> {
    let (outcome, reasons) = match &case.outcome {
        Outcome::Passed => ("passed", Vec::new()),
        Outcome::Failed(reasons) => ("failed", reasons.iter().map(String::as_str).collect()),
        Outcome::Skipped(reason) => ("skipped", vec![reason.as_str()]),
    };
    let file = report.path(&case.file);
    Test { name: &case.name, file, line: case.line, outcome, reasons }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::format;

    #[test]
    fn a_report_is_one_object() {
        let wanted = serde_json::json!({
            "verb": "check",
            "summary": {"errors": 1, "warnings": 1, "notes": 1, "passed": 1, "failed": 1, "skipped": 1},
            "findings": [
                {"severity": "error", "code": "policy/unknown-class",
                 "message": "there is no class \"logins\"", "help": "did you mean \"login\"?",
                 "file": "my policy/policy.yaml", "line": 4, "column": 13, "length": 6},
                {"severity": "warning", "code": "policy/odd", "message": "100% <odd>, & more:\nreally",
                 "file": "my policy/policy.yaml", "line": 2, "column": 0, "length": 0},
                {"severity": "note", "code": "policy/review", "message": "no review date",
                 "help": "set one", "file": "my policy/policy.yaml", "line": 0, "column": 0, "length": 0},
            ],
            "tests": [
                {"name": "a login # is kept", "file": "my policy/tests/login.yaml", "line": 1,
                 "outcome": "passed"},
                {"name": "a login without actor", "file": "my policy/tests/login.yaml", "line": 9,
                 "outcome": "failed", "reasons": ["verdict: accept"]},
                {"name": "later", "file": "my policy/tests/login.yaml", "line": 0,
                 "outcome": "skipped", "reasons": ["no engine"]},
            ],
        });
        let written: serde_json::Value = serde_json::from_str(&format(&sample::report())).unwrap();
        assert_eq!(written, wanted);
    }
}
