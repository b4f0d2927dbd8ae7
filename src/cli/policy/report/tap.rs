//! A report in the Test Anything Protocol, version 14 (testanything.org).

use core::fmt::Write as _;

use super::{Outcome, Report, place};
use crate::policy::Severity;

/// Writes a point for each finding and case; where there are none, one that says so.
pub(super) fn format(report: &Report) -> String {
    let mut points: Vec<String> = Vec::new();
    for finding in &report.findings {
        let number = points.len() + 1;
        let ok = if finding.severity == Severity::Error { "not ok" } else { "ok" };
        let name = description(&format!("{}: {}", finding.code, finding.message));
        let mut point = format!("{ok} {number} - {name}\n  ---\n");
        let at = place(&report.path(&finding.file), finding.line, finding.column);
        push(&mut point, "severity", &finding.severity.to_string());
        push(&mut point, "at", &at);
        if let Some(help) = &finding.help {
            push(&mut point, "help", help);
        }
        points.push(point + "  ...\n");
    }
    for case in &report.cases {
        let number = points.len() + 1;
        let name = description(&case.name);
        points.push(match &case.outcome {
            Outcome::Passed => format!("ok {number} - {name}\n"),
            Outcome::Skipped(reason) => {
                format!("ok {number} - {name} # SKIP {}\n", description(reason))
            }
            Outcome::Failed(reasons) => {
                let mut point = format!("not ok {number} - {name}\n  ---\n");
                push(&mut point, "at", &place(&report.path(&case.file), case.line, 0));
                push(&mut point, "message", &reasons.join("\n"));
                point + "  ...\n"
            }
        });
    }
    if points.is_empty() {
        points.push(format!("ok 1 - {}: nothing found\n", report.verb));
    }
    format!("TAP version 14\n1..{}\n{}", points.len(), points.concat())
}

/// Adds a member to a point's block of YAML. A text of JSON is one of YAML.
fn push(point: &mut String, name: &str, text: &str) {
    let text = serde_json::to_string(text).expect("a text is JSON");
    writeln!(point, "  {name}: {text}").expect("a string takes text");
}

/// Escapes a description, which is one line and in which `#` would begin a directive.
fn description(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.replace('\\', "\\\\").replace('#', "\\#")
}

#[cfg(test)]
mod tests {
    use super::super::{Report, sample};
    use super::format;

    #[test]
    fn findings_and_cases_are_points() {
        let wanted = r#"TAP version 14
1..6
not ok 1 - policy/unknown-class: there is no class "logins"
  ---
  severity: "error"
  at: "my policy/policy.yaml:4:13"
  help: "did you mean \"login\"?"
  ...
ok 2 - policy/odd: 100% <odd>, & more: really
  ---
  severity: "warning"
  at: "my policy/policy.yaml:2"
  ...
ok 3 - policy/review: no review date
  ---
  severity: "note"
  at: "my policy/policy.yaml"
  help: "set one"
  ...
ok 4 - a login \# is kept
not ok 5 - a login without actor
  ---
  at: "my policy/tests/login.yaml:9"
  message: "verdict: accept"
  ...
ok 6 - later # SKIP no engine
"#;
        assert_eq!(format(&sample::report()), wanted);
    }

    #[test]
    fn nothing_found_is_a_point_too() {
        let report = Report { verb: "check", ..Report::default() };
        assert_eq!(format(&report), "TAP version 14\n1..1\nok 1 - check: nothing found\n");
    }
}
