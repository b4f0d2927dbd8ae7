//! The layout of YAML: two spaces for each level, the items of a list further in than its key.
//!
//! Works line by line on the text itself, and then holds the outcome against what it came from: the same
//! values, as the reader of policies sees them, and the same comments in the same order.

use super::super::flatten::unflatten;
use super::super::node::{Node, NodeError};
use super::FormatError;
use super::scan::{Open, is_block_header, scan};

/// Spaces of a level.
const STEP: usize = 2;

/// A collection that is being written.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// Its column in the text.
    source: usize,
    /// Its column in the outcome.
    target: usize,
    /// Whether it is a list.
    is_list: bool,
}

/// What the lines that follow belong to.
#[derive(Clone, Copy, Debug)]
enum Inside {
    /// The structure of the document.
    Structure,
    /// A scalar in quotes, or a collection in brackets.
    Open(Open),
    /// A block scalar, whose lines stand further in than `parent`; `first` is its first line's column.
    Block { parent: usize, first: Option<usize> },
}

/// The outcome so far.
struct Writer {
    lines: Vec<String>,
    levels: Vec<Level>,
    /// Comments, and the empty lines among them, that wait for the line they stand above.
    waiting: Vec<(usize, String)>,
    inside: Inside,
}

/// Lays a YAML text out.
///
/// A form that was copied with flattened indentation becomes what it was.
pub(super) fn format(text: &str) -> Result<String, FormatError> {
    let text = unflatten(text).unwrap_or_else(|| text.to_owned()).replace("\r\n", "\n");
    let before = values(&text)?;
    let mut writer = Writer {
        lines: Vec::new(),
        levels: Vec::new(),
        waiting: Vec::new(),
        inside: Inside::Structure,
    };
    for line in text.lines() {
        writer.take(line)?;
    }
    let out = writer.finish();
    let same = values(&out).is_ok_and(|after| after == before) && comments(&out) == comments(&text);
    if same { Ok(out) } else { Err(FormatError::Beyond) }
}

/// Reads the documents of a text, within the limits of policies.
fn values(text: &str) -> Result<Vec<serde_json::Value>, FormatError> {
    let unread =
        |NodeError { message, span }| FormatError::Unread { line: span.line, reason: message };
    Node::read(text).map_err(unread)?;
    // The same values without their places, which another layout changes.
    serde_saphyr::from_multiple(text).map_err(|_other| FormatError::Beyond)
}

/// Makes the error for what was written and can't be read again.
pub(super) fn unread(error: serde_json::Error) -> FormatError {
    FormatError::Unread { line: error.line(), reason: error.to_string() }
}

/// Returns the comments of a text, in order. Lines of block scalars that look like comments count too, in
/// both texts alike.
fn comments(text: &str) -> Vec<&str> {
    let comment = |line: &'_ str| scan(line, Open::default()).comment;
    let comments = text.lines().filter_map(|line| line.get(comment(line)?..).map(str::trim_end));
    comments.collect()
}

impl Writer {
    /// Takes a line.
    fn take(&mut self, line: &str) -> Result<(), FormatError> {
        let content = line.trim_end();
        let trimmed = content.trim_start();
        let column = content.len() - trimmed.len();
        match self.inside {
            Inside::Block { parent, first } if trimmed.is_empty() || column > parent => {
                self.block(line, column, first);
                return Ok(());
            }
            Inside::Open(open) => {
                self.continued(trimmed, open);
                return Ok(());
            }
            Inside::Block { .. } | Inside::Structure => self.inside = Inside::Structure,
        }
        if trimmed.is_empty() || trimmed.starts_with('#') {
            self.waiting.push((column, trimmed.to_owned()));
            return Ok(());
        }
        if content.get(..column).is_some_and(|indent| indent.contains('\t'))
            || trimmed.starts_with("? ")
        {
            return Err(FormatError::Beyond);
        }
        if column == 0 && (trimmed == "---" || trimmed == "..." || trimmed.starts_with('%')) {
            self.release(0);
            self.levels.clear();
            self.lines.push(trimmed.to_owned());
            return Ok(());
        }
        self.structure(column, trimmed);
        Ok(())
    }

    /// Writes a line of the document's structure.
    fn structure(&mut self, column: usize, content: &str) {
        let (mut column, mut content) = (column, content);
        let mut written = String::new();
        let mut start = None;
        while let Some(rest) = content.strip_prefix('-').filter(|rest| is_item(rest)) {
            let target = self.enter(column, true);
            start.get_or_insert(target);
            written.push('-');
            let inner = rest.trim_start();
            if inner.is_empty() || inner.starts_with('#') {
                let comment = if inner.is_empty() { String::new() } else { format!(" {inner}") };
                self.push(start.unwrap_or(target), &(written + &comment));
                return;
            }
            written.push(' ');
            column += 1 + rest.len() - inner.len();
            content = inner;
        }
        let parts = scan(content, Open::default());
        let end = parts.comment.unwrap_or(content.len());
        let has_key = parts.colon.is_some_and(|colon| colon < end);
        let target = match has_key {
            true => self.enter(column, false),
            // A scalar of its own, or the further line of one.
            false => self.below(column),
        };
        let start = start.unwrap_or(target);
        written.push_str(&spaced(content, parts.colon.filter(|_| has_key)));
        let value = content.get(parts.colon.map_or(0, |colon| colon + 1)..end).unwrap_or_default();
        self.push(start, &written);
        if parts.open != Open::default() {
            self.inside = Inside::Open(parts.open);
        } else if is_block_header(value) {
            let parent = self.levels.last().map_or(0, |level| level.source);
            self.inside = Inside::Block { parent, first: None };
        }
    }

    /// Returns where a collection at a column of the text goes, and makes it the innermost.
    fn enter(&mut self, column: usize, is_list: bool) -> usize {
        while self.levels.last().is_some_and(|level| {
            level.source > column || (level.source == column && level.is_list && !is_list)
        }) {
            self.levels.pop();
        }
        let target = match self.levels.last() {
            Some(level) if level.source == column && level.is_list == is_list => {
                return level.target;
            }
            Some(level) => level.target + STEP,
            None => 0,
        };
        self.levels.push(Level { source: column, target, is_list });
        target
    }

    /// Returns where a line goes that belongs to the collection left of it.
    fn below(&mut self, column: usize) -> usize {
        while self.levels.last().is_some_and(|level| level.source > column) {
            self.levels.pop();
        }
        self.levels.last().map_or(0, |level| level.target + STEP)
    }

    /// Writes a line, and before it the comments above it.
    fn push(&mut self, target: usize, content: &str) {
        self.release(target);
        self.lines.push(format!("{}{content}", " ".repeat(target)));
    }

    /// Writes the comments that wait: those that stand further in than the line below, with the levels that
    /// they stand in; the others with that line.
    fn release(&mut self, target: usize) {
        for (_, comment) in core::mem::take(&mut self.waiting) {
            let is_empty = comment.is_empty();
            let after_empty = self.lines.last().is_none_or(String::is_empty);
            if is_empty && after_empty {
                continue;
            }
            self.lines.push(if is_empty { comment } else { " ".repeat(target) + &comment });
        }
    }

    /// Writes a further line of what is in quotes or brackets.
    fn continued(&mut self, content: &str, open: Open) {
        let closes = open.quote.is_none() && content.starts_with([']', '}']);
        let level = self.levels.last().map_or(0, |level| level.target);
        let target = if closes { level } else { level + STEP };
        let parts = scan(content, open);
        let indent = if content.is_empty() { String::new() } else { " ".repeat(target) };
        self.lines.push(indent + content);
        self.inside = match parts.open == Open::default() {
            true => Inside::Structure,
            false => Inside::Open(parts.open),
        };
    }

    /// Writes a line of a block scalar, whose spaces mean something.
    fn block(&mut self, line: &str, column: usize, first: Option<usize>) {
        let Inside::Block { parent, .. } = self.inside else { return };
        if line.trim().is_empty() && first.is_none_or(|first| line.len() <= first) {
            self.lines.push(String::new());
            return;
        }
        let first = first.unwrap_or(column);
        self.inside = Inside::Block { parent, first: Some(first) };
        let target = self.levels.last().map_or(0, |level| level.target) + STEP;
        let content = line.get(first.min(line.len())..).unwrap_or_default();
        self.lines.push(" ".repeat(target) + content);
    }

    /// Ends the text: no empty lines at its end, one line's end.
    fn finish(mut self) -> String {
        self.release(0);
        while self.lines.last().is_some_and(String::is_empty) {
            self.lines.pop();
        }
        self.lines.join("\n") + "\n"
    }
}

/// Returns whether what follows a dash makes it the mark of an item.
fn is_item(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(' ')
}

/// Writes a line with one space between its key and its value.
fn spaced(content: &str, colon: Option<usize>) -> String {
    let Some((key, rest)) = colon.and_then(|colon| content.split_at_checked(colon + 1)) else {
        return content.to_owned();
    };
    match rest.trim_start() {
        "" => key.to_owned(),
        // What stands before a comment aligns it with others.
        comment if comment.starts_with('#') => content.to_owned(),
        value => format!("{key} {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn layout_becomes_canonical_and_stays_so() {
        let text = "\n# top\nclasses:\r\n    login:   # why\n        match: {action: auth.login,\n     outcome: [a,\n  b]\n  }\n\n\n        require:\n        - actor.id   \n        # the address\n        -   source.ip\n    other:\n        text: |\n           one\n             two  \n\n           three\nlist:\n-   - a\n    - b: 1\n      c:   2\n\n\n";
        let wanted = "# top\nclasses:\n  login:   # why\n    match: {action: auth.login,\n      outcome: [a,\n      b]\n    }\n\n    require:\n      - actor.id\n      # the address\n      - source.ip\n  other:\n    text: |\n      one\n        two  \n\n      three\nlist:\n  - - a\n    - b: 1\n      c: 2\n";
        assert_eq!(format(text).unwrap(), wanted);
        assert_eq!(format(wanted).unwrap(), wanted);
    }

    #[test]
    fn scalars_keep_their_words() {
        for text in [
            "a: 'it''s # no comment'\nb: \"x: \\\" y\"\n",
            "a: one\n  two\nb: http://x#y\n",
            "a: >-\n\n   folded\n   text\nb: 1\n",
            "- |\n  x\n- 'a\n\n  b'\n",
            "---\na: 1\n...\n---\nb: 2\n",
            "a: &x {b: 1}\nc: *x\n",
            "\"quoted key\": 1\n? : 2\n",
        ] {
            match format(text) {
                Ok(out) => assert_eq!(format(&out).as_deref(), Ok(out.as_str()), "{text}"),
                Err(error) => assert!(text.contains('?'), "{text}: {error}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_line() {
        let error = format("a: 1\nb: [\n").unwrap_err().to_string();
        assert!(error.starts_with("line "), "{error}");
    }
}
