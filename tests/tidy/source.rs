//! A file as the rules see it: its text, and its code without comments and literals.

use std::{
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
};

/// What a rule has to say about one line of a file.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Path from the root of the repository, with `/`.
    path: String,
    /// Line, from 1; 0 means the file as a whole.
    line: usize,
    /// What is wrong, and what to write instead.
    pub(crate) text: String,
}

impl Finding {
    /// Makes a finding about a line, counted from 1, or about the whole file with 0.
    pub(crate) fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

/// One text file of the repository.
pub(crate) struct Source {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
    /// The text with comments and the contents of literals blanked, line for line; the text itself where
    /// the file is not Rust.
    pub(crate) code: String,
}

impl Source {
    /// Takes a file's text.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = if path.ends_with(".rs") { blank(&text) } else { text.clone() };
        Self { path, text, code }
    }

    /// Returns whether this is a Rust file.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Returns the folder below `src/`, or the file's stem for a file that stands in `src/` itself.
    pub(crate) fn layer(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?;
        Some(
            inner
                .split_once('/')
                .map_or_else(|| inner.trim_end_matches(".rs"), |(folder, _)| folder),
        )
    }

    /// Returns the lines of the code with their numbers from 1.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines())
    }

    /// Returns the lines of the text with their numbers from 1.
    pub(crate) fn text_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Returns the number of the line, from 1, that holds a byte of the code.
    pub(crate) fn line_of(&self, byte: usize) -> usize {
        self.code[..byte].matches('\n').count() + 1
    }

    /// Returns the byte positions in the code at which `word` stands as a whole word.
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let bytes = self.code.as_bytes();
        let inner = move |at: usize| bytes.get(at).is_some_and(|byte| is_name(*byte));
        self.code
            .match_indices(word)
            .map(|(at, _)| at)
            .filter(move |at| (*at == 0 || !inner(at - 1)) && !inner(at + word.len()))
    }
}

impl Source {
    /// Returns the bytes of the first block in braces after a byte, braces included, or nothing if the item
    /// there ends with a semicolon before one begins.
    pub(crate) fn block(&self, from: usize) -> Option<Range<usize>> {
        let (mut depth, mut round, mut start) = (0_usize, 0_usize, from);
        for (offset, byte) in self.code[from..].bytes().enumerate() {
            match byte {
                b'(' | b'[' => round += 1,
                b')' | b']' => round = round.saturating_sub(1),
                b';' if depth == 0 && round == 0 => return None,
                b'{' => {
                    if depth == 0 {
                        start = from + offset;
                    }
                    depth += 1;
                }
                b'}' if depth <= 1 => return (depth == 1).then_some(start..from + offset + 1),
                b'}' => depth -= 1,
                _ => {}
            }
        }
        None
    }
}

/// Returns whether a byte can stand inside a name.
pub(crate) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Blanks comments and the contents of strings and characters with spaces; lines stay where they are.
///
/// What is neither is copied, so that braces balance and paths can be searched. Lifetimes are told from
/// characters by the quote that is missing at their end.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code: Vec<u8> = Vec::with_capacity(bytes.len());
    while code.len() < bytes.len() {
        let at = code.len();
        let rest = &bytes[at..];
        let length = comment(rest).or_else(|| literal(bytes, at)).unwrap_or(0);
        if length == 0 {
            // A byte beyond ASCII is no code; a space keeps the blanked text valid UTF-8.
            code.push(if rest[0].is_ascii() { rest[0] } else { b' ' });
        } else {
            let end = bytes.len().min(at + length);
            code.extend(
                bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }),
            );
        }
    }
    String::from_utf8(code).expect("only ASCII was copied")
}

/// Returns the length of the comment that begins here, without a line comment's line break.
fn comment(rest: &[u8]) -> Option<usize> {
    if rest.starts_with(b"//") {
        return Some(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with(b"/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let (step, change) = match &rest[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        depth = depth.saturating_add_signed(change);
        at += step;
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// Returns the length of the string or character literal that begins at `at`.
fn literal(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if at > 0 && is_name(bytes[at - 1]) && rest[0] != b'"' {
        return None;
    }
    let prefix = rest.iter().take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count().min(2);
    let after = &rest[prefix..];
    let hashes = after.iter().take_while(|byte| **byte == b'#').count();
    if rest[..prefix].contains(&b'r') && after.get(hashes) == Some(&b'"') {
        let close: Vec<u8> = [b'"'].into_iter().chain(std::iter::repeat_n(b'#', hashes)).collect();
        let body = &after[hashes + 1..];
        let end =
            body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
        return Some(prefix + hashes + 1 + end + close.len());
    }
    match after.first() {
        Some(b'"') => Some(prefix + quoted(after, b'"')),
        Some(b'\'') if after.get(1) == Some(&b'\\') => Some(prefix + quoted(after, b'\'')),
        // A character has its closing quote within the next four bytes of UTF-8; a lifetime has a name.
        Some(b'\'') => {
            let end = after.iter().skip(2).take(4).position(|byte| *byte == b'\'')?;
            let one = after[1].is_ascii() && end > 0;
            (!one).then_some(prefix + end + 3)
        }
        _ => None,
    }
}

/// Returns the length of a quoted literal that begins with its quote.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Reads every text file of the repository: Rust, protobuf, Markdown, TOML, Python and scripts.
pub(crate) fn read_repository() -> Vec<Source> {
    let mut paths = Vec::new();
    for entry in ["src", "tests", "benches", "proto", "deploy", ".ci"] {
        walk(&root().join(entry), &mut paths);
    }
    for entry in ["build.rs", "Cargo.toml", "README.md", ".clippy.toml"] {
        paths.push(root().join(entry));
    }
    paths.sort();
    // What is not UTF-8 is a binary vector, and no rule is about those.
    let text = |path: PathBuf| Some(Source::new(relative(&path), fs::read_to_string(&path).ok()?));
    paths.into_iter().filter_map(text).collect()
}

/// Returns a path from the root of the repository, with `/`.
pub(crate) fn relative(path: &Path) -> String {
    let inner = path.strip_prefix(root()).expect("the walk starts at the root");
    inner.to_str().expect("paths of the repository are ASCII").replace('\\', "/")
}

/// Adds every file below a folder, caches of other tools left out.
pub(crate) fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "__pycache__" && name != "target") {
                walk(&path, paths);
            }
        } else {
            paths.push(path);
        }
    }
}
