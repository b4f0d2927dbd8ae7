//! A report as `JUnit` XML: each finding and each case is a test case.

use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::{Case, Outcome, Report, place};
use crate::policy::{Diagnostic, Severity};

/// Writes the report.
pub(super) fn format(report: &Report) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(&mut writer, report).expect("a buffer takes bytes");
    let text = String::from_utf8(writer.into_inner()).expect("texts are UTF-8");
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}\n")
}

/// Writes the suite.
fn write(writer: &mut Writer<Vec<u8>>, report: &Report) -> io::Result<()> {
    let tally = report.tally();
    let cases = (report.findings.len() + report.cases.len()).max(1).to_string();
    let failures = (tally.errors + tally.failed).to_string();
    let skipped = tally.skipped.to_string();
    let name = format!("attestree policy {}", report.verb);
    let suite = [("tests", cases.as_str()), ("failures", &failures), ("skipped", &skipped)];
    let element = writer.create_element("testsuites").with_attributes(suite);
    element.write_inner_content(|writer| {
        let element = writer.create_element("testsuite").with_attribute(("name", name.as_str()));
        element.with_attributes(suite).write_inner_content(|writer| {
            report.findings.iter().try_for_each(|finding| of_finding(writer, report, finding))?;
            report.cases.iter().try_for_each(|case| of_case(writer, report, case))?;
            if report.findings.is_empty() && report.cases.is_empty() {
                // A suite without cases is taken for one that did not run.
                let case = [("name", report.verb), ("classname", report.verb)];
                writer.create_element("testcase").with_attributes(case).write_empty()?;
            }
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(())
}

/// Writes the test case of a finding.
fn of_finding(
    writer: &mut Writer<Vec<u8>>,
    report: &Report,
    finding: &Diagnostic,
) -> io::Result<()> {
    let path = report.path(&finding.file);
    let at = place(&path, finding.line, finding.column);
    let name = clean(&format!("{} {at}", finding.code));
    let help = finding.help.iter().map(|help| format!("\nhelp: {help}"));
    let text = clean(&format!("{at}: {}{}", finding.message, help.collect::<String>()));
    let first = finding.message.lines().next().unwrap_or_default();
    let (file, message) = (clean(&path), clean(first));
    let line = finding.line.to_string();
    let case = [("name", name.as_str()), ("classname", &file), ("file", &file), ("line", &line)];
    let element = writer.create_element("testcase").with_attributes(case);
    element.write_inner_content(|writer| {
        let text = BytesText::new(&text);
        if finding.severity == Severity::Error {
            let failure = [("message", message.as_str()), ("type", finding.code)];
            let element = writer.create_element("failure").with_attributes(failure);
            element.write_text_content(text)?;
        } else {
            writer.create_element("system-out").write_text_content(text)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Writes the test case of a case.
fn of_case(writer: &mut Writer<Vec<u8>>, report: &Report, case: &Case) -> io::Result<()> {
    let file = clean(&report.path(&case.file));
    let (name, line) = (clean(&case.name), case.line.to_string());
    let shown = [("name", name.as_str()), ("classname", &file), ("file", &file), ("line", &line)];
    let element = writer.create_element("testcase").with_attributes(shown);
    match &case.outcome {
        Outcome::Passed => element.write_empty()?,
        Outcome::Failed(reasons) => {
            let text = clean(&reasons.join("\n"));
            element.write_inner_content(|writer| {
                let failure = [("message", "the test failed"), ("type", "test")];
                let element = writer.create_element("failure").with_attributes(failure);
                element.write_text_content(BytesText::new(&text))?;
                Ok(())
            })?
        }
        Outcome::Skipped(reason) => {
            let reason = clean(reason);
            element.write_inner_content(|writer| {
                let skipped = ("message", reason.as_str());
                writer.create_element("skipped").with_attribute(skipped).write_empty()?;
                Ok(())
            })?
        }
    };
    Ok(())
}

/// Replaces what XML 1.0 can't hold, even escaped.
fn clean(text: &str) -> String {
    let fits =
        |c: &char| matches!(c, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if fits(&c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Report, sample};
    use super::format;

    #[test]
    fn findings_and_cases_are_test_cases() {
        let wanted = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="6" failures="2" skipped="1">
  <testsuite name="attestree policy check" tests="6" failures="2" skipped="1">
    <testcase name="policy/unknown-class my policy/policy.yaml:4:13" classname="my policy/policy.yaml" file="my policy/policy.yaml" line="4">
      <failure message="there is no class &quot;logins&quot;" type="policy/unknown-class">my policy/policy.yaml:4:13: there is no class &quot;logins&quot;
help: did you mean &quot;login&quot;?</failure>
    </testcase>
    <testcase name="policy/odd my policy/policy.yaml:2" classname="my policy/policy.yaml" file="my policy/policy.yaml" line="2">
      <system-out>my policy/policy.yaml:2: 100% &lt;odd&gt;, &amp; more:
really</system-out>
    </testcase>
    <testcase name="policy/review my policy/policy.yaml" classname="my policy/policy.yaml" file="my policy/policy.yaml" line="0">
      <system-out>my policy/policy.yaml: no review date
help: set one</system-out>
    </testcase>
    <testcase name="a login # is kept" classname="my policy/tests/login.yaml" file="my policy/tests/login.yaml" line="1"/>
    <testcase name="a login without actor" classname="my policy/tests/login.yaml" file="my policy/tests/login.yaml" line="9">
      <failure message="the test failed" type="test">verdict: accept</failure>
    </testcase>
    <testcase name="later" classname="my policy/tests/login.yaml" file="my policy/tests/login.yaml" line="0">
      <skipped message="no engine"/>
    </testcase>
  </testsuite>
</testsuites>
"#;
        assert_eq!(format(&sample::report()), wanted);
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        let mut report = sample::report();
        report.findings[0].message = "a\u{0}b\u{1b}c\u{ffff}]]>".to_owned();
        let written = format(&report);
        assert!(written.contains("a\u{fffd}b\u{fffd}c\u{fffd}]]&gt;"), "{written}");
    }

    #[test]
    fn a_clean_run_is_one_passed_case() {
        let written = format(&Report { verb: "check", ..Report::default() });
        assert!(written.contains("<testcase name=\"check\" classname=\"check\"/>"), "{written}");
    }
}
