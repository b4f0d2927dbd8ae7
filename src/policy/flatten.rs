//! The lenient pass over texts whose indentation was lost on the way through a web page.
//!
//! Of the two forms that articles print, a flattened `audit_configs:` is no YAML, because keys stand in the
//! column of the dash, and a flattened `logging_policy:` is a flat map of nulls. Both get the indentation
//! back that they were written with:
//!
//! - what follows a `- ` in its column or left of it belongs to the item;
//! - what follows a section without a value, in its column, belongs to the section.
//!
//! Lines stay lines, so that every finding keeps its line.

use super::article::{CONFIG, SECTION, SECTIONS};

/// Returns the text with its indentation, if it had lost it.
pub(super) fn unflatten(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut form = None;
    for line in text.lines() {
        let trimmed = line.trim_start_matches(' ');
        let column = line.len() - trimmed.len();
        let is_line = trimmed.is_empty() || trimmed.starts_with('#');
        let key = trimmed.split(':').next().unwrap_or_default();
        let mut indent = column;
        match (&mut form, key) {
            _ if is_line => {}
            (_, "audit_configs") => form = Some(Form::Configs { dash: None }),
            (_, "logging_policy") => form = Some(Form::Sections { start: column, section: None }),
            _ if trimmed.starts_with("---") => form = None,
            (Some(Form::Configs { dash }), _) => indent = config(dash, trimmed, column),
            (Some(Form::Sections { start, section }), _) => {
                indent = member(*start, section, trimmed, column);
            }
            (None, _) => {}
        }
        out.extend(core::iter::repeat_n(' ', indent));
        out.push_str(trimmed);
        out.push('\n');
    }
    let same = out.lines().eq(text.lines());
    (!same).then_some(out)
}

/// Which form the lines are of.
enum Form {
    /// A list; the column of its dashes.
    Configs { dash: Option<usize> },
    /// Sections; the column of the name of the form, and the section that the lines are in with its columns,
    /// before and after.
    Sections { start: usize, section: Option<(usize, usize)> },
}

/// Returns the indentation of a line of `audit_configs`.
fn config(dash: &mut Option<usize>, line: &str, column: usize) -> usize {
    if line.starts_with("- ") {
        *dash = Some(column);
        return column;
    }
    let key = line.split(':').next().unwrap_or_default();
    match *dash {
        Some(dash) if column <= dash && CONFIG.contains(&key) => dash + 2,
        _ => column,
    }
}

/// Returns the indentation of a line of `logging_policy`.
fn member(start: usize, section: &mut Option<(usize, usize)>, line: &str, column: usize) -> usize {
    let (key, value) = line.split_once(':').unwrap_or((line, ""));
    let is_section = value.trim().is_empty() && SECTIONS.iter().any(|(name, ..)| *name == key);
    if is_section {
        // A section in the column of the form's own name belongs to the form.
        let indent = if column <= start { start + 2 } else { column };
        *section = Some((column, indent));
        return indent;
    }
    match *section {
        Some((before, indent)) if SECTION.contains(&key) && column <= before => indent + 2,
        Some((before, indent)) => column + indent - before.min(indent),
        None => column,
    }
}
