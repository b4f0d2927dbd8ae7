//! Where the engine's messages are about, as findings.
//!
//! ```text
//! --> rego/card.rego:7:12
//!   |
//! 7 |   input.x ==
//!   |            ^
//! error: expecting expression
//! ```

use regorus::unstable::Span;

use crate::policy::{Diagnostic, Severity};

/// What is told when the rules of an event took too long.
pub(super) const TIME_OVER: &str = "the time is over";

/// Returns a finding about a place in a module.
pub(super) fn at(span: &Span, code: &'static str, message: String) -> Diagnostic {
    let number = |number: u32| usize::try_from(number).unwrap_or(0);
    let length = span.text().lines().next().unwrap_or_default().chars().count().max(1);
    Diagnostic {
        severity: Severity::Error,
        code,
        message,
        help: None,
        file: span.source.file().clone(),
        line: number(span.line),
        column: number(span.col),
        length,
    }
}

/// Returns the finding that a message of the engine about the file is.
pub(super) fn of_message(file: &str, code: &'static str, text: &str) -> Diagnostic {
    let place = text.split("--> ").nth(1).and_then(|rest| rest.lines().next());
    let mut numbers = place.map(|place| place.rsplitn(3, ':')).into_iter().flatten();
    let column = numbers.next().and_then(|column| column.parse().ok());
    let line = numbers.next().and_then(|line| line.parse().ok());
    let named = numbers.next().unwrap_or(file);
    let message = text.rsplit("\nerror: ").next().unwrap_or(text);
    let (line, column) = line.zip(column).unwrap_or((0, 0));
    Diagnostic {
        severity: Severity::Error,
        code,
        message: message.trim().to_owned(),
        help: None,
        file: named.to_owned(),
        line,
        column,
        length: usize::from(column > 0),
    }
}

/// Returns what went wrong in an evaluation, without any value: the place, and which limit it was.
pub(super) fn reason(text: &str) -> String {
    let Diagnostic { file, line, .. } = of_message("", "rego/evaluation", text);
    let what = if text.contains("time limit") {
        TIME_OVER
    } else if text.contains("regex exceeded") {
        "a pattern is too large"
    } else if text.contains("would make more") {
        "a builtin would make too much"
    } else if text.contains("recursion") {
        "a rule depends on itself"
    } else {
        "the evaluation failed"
    };
    if line == 0 { what.to_owned() } else { format!("{what}, at {file}:{line}") }
}
