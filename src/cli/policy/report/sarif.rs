//! A report in SARIF 2.1.0 (OASIS), which code scanners exchange.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Outcome, Report};
use crate::policy::{Diagnostic, Severity};

/// Where the schema is.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What a failed case is reported as.
const TEST_RULE: &str = "policy/test";

/// Writes the report: one run, whose rules are the codes of what was found.
pub(super) fn format(report: &Report) -> String {
    let failed = report.cases.iter().filter_map(|case| match &case.outcome {
        Outcome::Failed(reasons) => Some((case, reasons)),
        Outcome::Passed | Outcome::Skipped(_) => None,
    });
    let failed: Vec<_> = failed.collect();
    let codes = report.findings.iter().map(|finding| finding.code);
    let rules: BTreeSet<&str> = codes.chain(failed.iter().map(|_| TEST_RULE)).collect();
    let rules: Vec<&str> = rules.into_iter().collect();
    let index = |code: &str| rules.iter().position(|rule| *rule == code);

    let of_finding = |finding: &Diagnostic| {
        let help = finding.help.iter().map(|help| format!("\nhelp: {help}"));
        let text = finding.message.clone() + &help.collect::<String>();
        let level = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        json!({
            "ruleId": finding.code,
            "ruleIndex": index(finding.code),
            "level": level,
            "message": {"text": text},
            "locations": [location(&report.path(&finding.file), region(finding))],
        })
    };
    let findings = report.findings.iter().map(of_finding);
    let tests = failed.iter().map(|(case, reasons)| {
        let region = (case.line > 0).then(|| json!({"startLine": case.line}));
        json!({
            "ruleId": TEST_RULE,
            "ruleIndex": index(TEST_RULE),
            "level": "error",
            "message": {"text": format!("{}: {}", case.name, reasons.join("\n"))},
            "locations": [location(&report.path(&case.file), region)],
        })
    });
    let results: Vec<Value> = findings.chain(tests).collect();
    let rules: Vec<Value> = rules.iter().map(|rule| json!({"id": rule})).collect();
    let driver = json!({"name": "attestree", "version": env!("CARGO_PKG_VERSION"), "rules": rules});
    let whole = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": driver},
            "automationDetails": {"id": format!("attestree/policy/{}", report.verb)},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{whole:#}")
}

/// Returns the place of a finding in its file.
fn region(finding: &Diagnostic) -> Option<Value> {
    let Diagnostic { line, column, length, .. } = *finding;
    match (line, column) {
        (0, _) => None,
        (_, 0) => Some(json!({"startLine": line})),
        _ => Some(json!({
            "startLine": line, "startColumn": column, "endColumn": column + length.max(1),
        })),
    }
}

fn location(path: &str, region: Option<Value>) -> Value {
    let mut place = json!({"artifactLocation": {"uri": uri(path)}});
    if let (Some(region), Some(place)) = (region, place.as_object_mut()) {
        place.insert("region".to_owned(), region);
    }
    json!({"physicalLocation": place})
}

/// Writes a path as the relative or absolute reference of a URI (RFC 3986).
fn uri(path: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Report, sample};
    use super::{format, uri};

    #[test]
    fn findings_and_failed_cases_are_results() {
        let uri = "my%20policy/policy.yaml";
        let wanted = json!({
            "$schema": super::SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {"name": "attestree", "version": env!("CARGO_PKG_VERSION"), "rules": [
                    {"id": "policy/odd"}, {"id": "policy/review"}, {"id": "policy/test"},
                    {"id": "policy/unknown-class"},
                ]}},
                "automationDetails": {"id": "attestree/policy/check"},
                "columnKind": "unicodeCodePoints",
                "results": [
                    {"ruleId": "policy/unknown-class", "ruleIndex": 3, "level": "error",
                     "message": {"text": "there is no class \"logins\"\nhelp: did you mean \"login\"?"},
                     "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri},
                         "region": {"startLine": 4, "startColumn": 13, "endColumn": 19}}}]},
                    {"ruleId": "policy/odd", "ruleIndex": 0, "level": "warning",
                     "message": {"text": "100% <odd>, & more:\nreally"},
                     "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri},
                         "region": {"startLine": 2}}}]},
                    {"ruleId": "policy/review", "ruleIndex": 1, "level": "note",
                     "message": {"text": "no review date\nhelp: set one"},
                     "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}}}]},
                    {"ruleId": "policy/test", "ruleIndex": 2, "level": "error",
                     "message": {"text": "a login without actor: verdict: accept"},
                     "locations": [{"physicalLocation": {
                         "artifactLocation": {"uri": "my%20policy/tests/login.yaml"},
                         "region": {"startLine": 9}}}]},
                ],
            }],
        });
        let written: Value = serde_json::from_str(&format(&sample::report())).unwrap();
        assert_eq!(written, wanted);
    }

    #[test]
    fn a_clean_run_has_no_results() {
        let written: Value = serde_json::from_str(&format(&Report::default())).unwrap();
        assert_eq!(written["runs"][0]["results"], json!([]));
    }

    #[test]
    fn paths_are_references() {
        assert_eq!(uri("a/\u{e4} b#c?.yaml"), "a/%C3%A4%20b%23c%3F.yaml");
    }
}
