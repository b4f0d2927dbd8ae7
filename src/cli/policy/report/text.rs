//! A report for people: each finding with the line it is about and what to do.
//!
//! Colours are written always; the stream drops them where nobody sees them, as `NO_COLOR` asks.

use core::fmt::Write as _;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode, ThemeCharacters,
    ThemeStyles,
};
use owo_colors::OwoColorize as _;

use super::{Case, Outcome, Report, place, printable};
use crate::policy::{Diagnostic, Severity};

/// Columns of a line of text.
const WIDTH: usize = 100;

/// A finding with the text that it is about.
#[derive(Debug)]
struct Shown<'a> {
    finding: &'a Diagnostic,
    message: String,
    source: Option<NamedSource<String>>,
    span: Option<(usize, usize)>,
}

/// Writes the report, and at its end what there is of each kind.
pub(super) fn format(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&shown(report, finding));
        text.push('\n');
    }
    for case in &report.cases {
        push_case(&mut text, report, case);
    }
    if !report.cases.is_empty() && !text.ends_with("\n\n") {
        text.push('\n');
    }
    text + &report.tally().to_text()
}

/// Writes one case: a line, and below it why it failed.
fn push_case(text: &mut String, report: &Report, case: &Case) {
    let name = printable(&case.name);
    let place = place(&report.path(&case.file), case.line, 0);
    let written = match &case.outcome {
        Outcome::Passed => writeln!(text, "{}   {name}", "pass".green()),
        Outcome::Skipped(reason) => {
            writeln!(text, "{}   {name}: {}", "skip".yellow(), printable(reason))
        }
        Outcome::Failed(reasons) => {
            let reasons = reasons.iter().map(|reason| format!("\n         {}", printable(reason)));
            let reasons: String = reasons.collect();
            writeln!(text, "{}   {name} ({place}){reasons}", "fail".red())
        }
    };
    written.expect("a string takes text");
}

/// Draws a finding.
fn shown(report: &Report, finding: &Diagnostic) -> String {
    let path = printable(&report.path(&finding.file));
    let source = report.sources.get(&finding.file).filter(|_| finding.line > 0);
    let source = source.map(|source| printable(&source.replace("\r\n", "\n")));
    let span = source.as_deref().and_then(|source| span(source, finding));
    let mut message = printable(&finding.message);
    if span.is_none() {
        message = format!("{}: {message}", place(&path, finding.line, finding.column));
    }
    let source = source.filter(|_| span.is_some()).map(|source| NamedSource::new(path, source));
    let shown = Shown { finding, message, source, span };
    let theme =
        GraphicalTheme { characters: ThemeCharacters::ascii(), styles: ThemeStyles::ansi() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_context_lines(1);
    let mut text = String::new();
    handler.render_report(&mut text, &shown).expect("a string takes text");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_start_matches('\n').to_owned() + "\n"
}

/// Returns the bytes that a finding is about: where they begin, and how many.
fn span(source: &str, finding: &Diagnostic) -> Option<(usize, usize)> {
    let before: usize =
        source.split_inclusive('\n').take(finding.line.checked_sub(1)?).map(str::len).sum();
    let line = source.get(before..)?.lines().next()?;
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    let column = finding.column.checked_sub(1).unwrap_or(indent);
    let length = match (finding.column, finding.length) {
        (0, _) => line.trim().chars().count(),
        (_, length) => length.max(1),
    };
    let bytes = |from: usize, count: usize| -> usize {
        line.chars().skip(from).take(count).map(char::len_utf8).sum()
    };
    Some((before + bytes(0, column), bytes(column, length)))
}

impl core::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn core::fmt::Display + 'a>> {
        Some(Box::new(self.finding.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn core::fmt::Display + 'a>> {
        let help = self.finding.help.as_deref().map(printable)?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = LabeledSpan::underline(self.span?);
        Some(Box::new(core::iter::once(span)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Report, sample};
    use super::{format, span};

    /// Returns the text as a stream without colours shows it.
    fn plain(report: &Report) -> String {
        anstream::adapter::strip_str(&format(report)).to_string()
    }

    #[test]
    fn a_report_is_drawn_with_its_lines() {
        let wanted = "\
policy/unknown-class

  x there is no class \"logins\"
   ,-[my policy/policy.yaml:4:13]
 3 | rules:
 4 |   - {class: logins}
   :             ^^^^^^
   `----
  help: did you mean \"login\"?
";
        let drawn = plain(&sample::report());
        assert!(drawn.starts_with(wanted), "{drawn}");
        let end = "\
pass   a login # is kept
fail   a login without actor (my policy/tests/login.yaml:9)
         verdict: accept
skip   later: no engine

1 error, 1 warning, 1 note, 1 test passed, 1 test failed, 1 test skipped";
        assert!(drawn.ends_with(end), "{drawn}");
    }

    #[test]
    fn what_would_steer_a_terminal_is_replaced() {
        let mut report = sample::report();
        report.findings[0].message = "\u{1b}[2J\u{7}gone".to_owned();
        report.sources.insert("policy.yaml".to_owned(), "\n\n\n\u{1b}]0;title\u{7}".to_owned());
        report.cases[0].name = "\u{1b}c".to_owned();
        // Colours of our own are the only sequences: without them there is no control character.
        let drawn = plain(&report);
        assert!(!drawn.chars().any(|c| c.is_control() && c != '\n'), "{drawn:?}");
        assert!(drawn.contains("]0;title"), "{drawn}");
    }

    #[test]
    fn a_span_counts_characters_and_stays_in_its_line() {
        let mut finding = sample::report().findings[0].clone();
        let source = "\u{e4}\u{f6}\u{fc}: x\n  second line\n";
        (finding.line, finding.column, finding.length) = (1, 3, 1);
        assert_eq!(span(source, &finding), Some((4, 2)));
        (finding.line, finding.column, finding.length) = (2, 0, 0);
        assert_eq!(span(source, &finding), Some((12, 11)));
        (finding.line, finding.column, finding.length) = (2, 10, 400);
        assert_eq!(span(source, &finding), Some((19, 4)));
        finding.line = 9;
        assert_eq!(span(source, &finding), None);
    }
}
