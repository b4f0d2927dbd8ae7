//! The layout of JSON: members and elements on lines of their own, two spaces further in.
//!
//! Works on the text itself, so that numbers, escapes and the order of members stay as they are.

use super::FormatError;
use super::yaml::unread;

/// Lays a JSON text out.
pub(super) fn format(text: &str) -> Result<String, FormatError> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| FormatError::Unread { line: error.line(), reason: error.to_string() })?;
    let mut out = String::new();
    let mut depth = 0;
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = token(rest).ok_or(FormatError::Beyond)?;
        let (token, after) = rest.split_at(length);
        rest = after.trim_start();
        match first {
            '{' | '[' => {
                depth += 1;
                out.push(first);
                if rest.starts_with(['}', ']']) {
                    depth -= 1;
                    out.push_str(rest.get(..1).unwrap_or_default());
                    rest = rest.get(1..).unwrap_or_default().trim_start();
                } else {
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push(first);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => out.push_str(token),
        }
    }
    out.push('\n');
    let values = |text: &str| serde_json::from_str::<serde_json::Value>(text).map_err(unread);
    if values(&out)? == values(text)? { Ok(out) } else { Err(FormatError::Beyond) }
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// Returns the length of the first token of a text that is JSON.
fn token(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if "{}[],:".contains(first) {
        return Some(1);
    }
    if first != '"' {
        let ends = |c: char| c.is_whitespace() || "{}[],:\"".contains(c);
        return Some(text.find(ends).unwrap_or(text.len()));
    }
    let mut escaped = false;
    let ends = |(_, c): &(usize, char)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    };
    text.char_indices().skip(1).find(ends).map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn json_is_laid_out_without_a_change_of_its_words() {
        let text = r#" {"b":[1.50,{"a":"x\"}, y" ,"c":{ }},[ ] ],"a":1e2}"#;
        let wanted = "{\n  \"b\": [\n    1.50,\n    {\n      \"a\": \"x\\\"}, y\",\n      \"c\": {}\n    },\n    []\n  ],\n  \"a\": 1e2\n}\n";
        assert_eq!(format(text).unwrap(), wanted);
        assert_eq!(format(wanted).unwrap(), wanted);
        assert!(format("{").is_err());
    }
}
