//! Where the parts of a line of YAML are: its key, its comment, and what stays open at its end.

/// What is open when a line ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    /// The quote of a scalar.
    pub(super) quote: Option<char>,
    /// How many brackets and braces.
    pub(super) flow: usize,
}

/// The parts of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Where the colon after its key is.
    pub(super) colon: Option<usize>,
    /// Where its comment begins, at the `#`.
    pub(super) comment: Option<usize>,
    /// What is open at its end.
    pub(super) open: Open,
}

/// Reads a line from where nothing but `open` is open.
pub(super) fn scan(line: &str, open: Open) -> Parts {
    let mut parts = Parts { open, ..Parts::default() };
    // A plain scalar may hold quotes; one begins a quoted scalar only where a value can begin.
    let mut can_begin = true;
    let mut before = ' ';
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        if let Some(quote) = parts.open.quote {
            let is_escape = quote == '"' && c == '\\';
            let is_doubled = c == quote && quote == '\'' && next == Some('\'');
            if is_escape || is_doubled {
                chars.next();
            } else if c == quote {
                parts.open.quote = None;
            }
            before = c;
            continue;
        }
        let ends_key = next.is_none_or(char::is_whitespace);
        match c {
            '#' if before.is_whitespace() => {
                parts.comment = Some(at);
                return parts;
            }
            '"' | '\'' if can_begin => parts.open.quote = Some(c),
            '[' | '{' if can_begin || parts.open.flow > 0 => parts.open.flow += 1,
            ']' | '}' if parts.open.flow > 0 => parts.open.flow -= 1,
            ':' if ends_key && parts.open.flow == 0 && parts.colon.is_none() => {
                parts.colon = Some(at);
            }
            _ => {}
        }
        let separates = (matches!(c, ':' | '-' | '?') && ends_key)
            || (parts.open.flow > 0 && matches!(c, ',' | '[' | '{' | ':'));
        // Tags and anchors stand before a value.
        can_begin =
            separates || (can_begin && c.is_whitespace()) || (can_begin && is_property(line, at));
        before = c;
    }
    parts
}

/// Returns whether a character belongs to a tag or anchor.
fn is_property(line: &str, at: usize) -> bool {
    let word = line.get(..=at).and_then(|start| start.rsplit(char::is_whitespace).next());
    word.is_some_and(|word| word.starts_with(['!', '&']))
}

/// Returns whether the value at the end of a line is a block scalar's header, as `|` or `>-`.
pub(super) fn is_block_header(value: &str) -> bool {
    let word = value.trim().rsplit(char::is_whitespace).next().unwrap_or_default();
    let mut chars = word.chars();
    matches!(chars.next(), Some('|' | '>')) && chars.all(|c| matches!(c, '+' | '-'))
}

#[cfg(test)]
mod tests {
    use super::{Open, Parts, is_block_header, scan};

    #[test]
    fn the_parts_of_a_line_are_found() {
        let none = Open::default();
        let parts = |line| scan(line, Open::default());
        assert_eq!(parts("a: b # c"), Parts { colon: Some(1), comment: Some(5), open: none });
        assert_eq!(parts("a: b#c"), Parts { colon: Some(1), comment: None, open: none });
        assert_eq!(
            parts("\"a: #\": 'it''s # x'"),
            Parts { colon: Some(6), comment: None, open: none }
        );
        assert_eq!(
            parts("it's: [a, 'b # ]'"),
            Parts { colon: Some(4), comment: None, open: Open { quote: None, flow: 1 } }
        );
        assert_eq!(parts("a: \"b \\\" # c").open.quote, Some('"'));
        assert_eq!(parts("http://x"), Parts::default());
        assert_eq!(parts("# all").comment, Some(0));
        assert_eq!(parts("a: !t &x \"# no\"").comment, None);
        assert_eq!(scan("b] # c", Open { quote: None, flow: 1 }).open.flow, 0);
    }

    #[test]
    fn block_headers_are_known() {
        assert!(is_block_header(" |") && is_block_header(">-") && is_block_header("!x |+"));
        assert!(!is_block_header("a|b") && !is_block_header("|2") && !is_block_header(""));
    }
}
