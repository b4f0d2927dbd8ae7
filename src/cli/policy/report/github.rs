//! A report as workflow commands of GitHub, which shows them at the lines of a pull request.
//!
//! ```text
//! ::error file=policy.yaml,line=3,col=5,title=policy/unknown-class::there is no class "logins"
//! ```
//!
//! The commands' words are escaped as the runner's toolkit does it, so that no text of a policy can
//! become a command of its own.

use super::{Outcome, Report};
use crate::policy::{Diagnostic, Severity};

/// Writes a line for each finding and each case that failed.
pub(super) fn format(report: &Report) -> String {
    let findings = report.findings.iter().map(|finding| of_finding(report, finding));
    let mut lines: Vec<String> = findings.collect();
    for case in &report.cases {
        if let Outcome::Failed(reasons) = &case.outcome {
            let mut properties = vec![("file", report.path(&case.file))];
            if case.line > 0 {
                properties.push(("line", case.line.to_string()));
            }
            properties.push(("title", format!("test failed: {}", case.name)));
            lines.push(command("error", &properties, &reasons.join("\n")));
        }
    }
    lines.join("\n")
}

/// Writes the command of a finding.
fn of_finding(report: &Report, finding: &Diagnostic) -> String {
    let name = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let mut properties = vec![("file", report.path(&finding.file))];
    if finding.line > 0 {
        properties.push(("line", finding.line.to_string()));
    }
    if finding.line > 0 && finding.column > 0 {
        properties.push(("col", finding.column.to_string()));
        properties.push(("endColumn", (finding.column + finding.length.max(1)).to_string()));
    }
    properties.push(("title", finding.code.to_owned()));
    let help = finding.help.iter().map(|help| format!("\nhelp: {help}"));
    let message = finding.message.clone() + &help.collect::<String>();
    command(name, &properties, &message)
}

/// Writes a command.
fn command(name: &str, properties: &[(&str, String)], message: &str) -> String {
    let properties: Vec<String> =
        properties.iter().map(|(name, value)| format!("{name}={}", property(value))).collect();
    format!("::{name} {}::{}", properties.join(","), data(message))
}

/// Escapes a message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::format;

    #[test]
    fn findings_are_annotations() {
        let wanted = "\
::error file=my policy/policy.yaml,line=4,col=13,endColumn=19,title=policy/unknown-class::\
there is no class \"logins\"%0Ahelp: did you mean \"login\"?
::warning file=my policy/policy.yaml,line=2,title=policy/odd::100%25 <odd>, & more:%0Areally
::notice file=my policy/policy.yaml,title=policy/review::no review date%0Ahelp: set one
::error file=my policy/tests/login.yaml,line=9,title=test failed%3A a login without actor::\
verdict: accept";
        assert_eq!(format(&sample::report()), wanted);
    }

    #[test]
    fn no_text_becomes_a_command() {
        let mut report = sample::report();
        report.findings.truncate(1);
        report.cases.clear();
        report.findings[0].message = "x\n::set-output name=a::b\r::stop::".to_owned();
        report.findings[0].file = "a,line=1::error ::.yaml".to_owned();
        let line = format(&report);
        assert_eq!(line.lines().count(), 1);
        assert!(!line.contains('\r'));
        assert!(
            line.starts_with("::error file=my policy/a%2Cline=1%3A%3Aerror %3A%3A.yaml,line=4,")
        );
    }
}
