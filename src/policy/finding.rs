//! How documents are taken apart, and how what is wrong with them is collected.
//!
//! A reader goes on after a finding, so that one run shows all of them.

use super::diagnostic::{Diagnostic, Severity};
use super::document::Place;
use super::node::{Key, Node, Span, Tree};
use crate::core::record::Path;

/// Most findings that are collected: a broken file has as many as it has lines.
const FINDINGS_MAX: usize = 200;

/// What was found in one file.
#[derive(Debug)]
pub(super) struct Findings {
    file: String,
    found: Vec<Diagnostic>,
    /// By how many columns each line was moved to the right before it was read.
    moved: Vec<usize>,
    /// Whether what is read changes what was read before, as an overlay does.
    pub(super) patches: bool,
}

/// The members of a map, of which every one is known.
pub(super) struct Fields<'n> {
    /// Where the map stands.
    pub(super) span: Span,
    members: &'n [(Key, Node)],
}

impl Findings {
    /// Starts with a file.
    pub(super) const fn new(file: String) -> Self {
        Self { file, found: Vec::new(), moved: Vec::new(), patches: false }
    }

    /// Returns everything that was found.
    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    /// Takes the lines of a file as they are and as they are read, so that places are those of the file.
    /// Returns where the first line that was moved is read.
    pub(super) fn move_lines(&mut self, file: &str, read: &str) -> Span {
        let spaces = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let lines = file.lines().zip(read.lines());
        self.moved = lines.map(|(old, new)| spaces(new).saturating_sub(spaces(old))).collect();
        let first = self.moved.iter().position(|columns| *columns > 0);
        let text = first.and_then(|line| read.lines().nth(line));
        let (Some(line), Some(text)) = (first, text) else { return Span::default() };
        Span { line: line + 1, column: spaces(text) + 1, length: text.trim().chars().count() }
    }

    /// Returns a place of the file.
    pub(super) fn place(&self, span: Span) -> Place {
        let Span { line, column, length } = span;
        let moved = line.checked_sub(1).and_then(|line| self.moved.get(line));
        // What is wrong with the columns that were added is wrong with the first.
        let column = column.saturating_sub(moved.copied().unwrap_or_default()).max(column.min(1));
        Place { file: self.file.clone(), line, column, length }
    }

    /// Notes what does not work.
    pub(super) fn error(
        &mut self,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.note(Severity::Error, span, code, message.into(), help.into());
    }

    /// Notes what is probably not meant.
    pub(super) fn warning(
        &mut self,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.note(Severity::Warning, span, code, message.into(), help.into());
    }

    fn note(
        &mut self,
        severity: Severity,
        span: Span,
        code: &'static str,
        message: String,
        help: Option<String>,
    ) {
        if self.found.len() < FINDINGS_MAX {
            self.found.push(diagnostic(severity, &self.place(span), code, message, help));
        }
    }

    /// Takes a map whose members have only these names.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        names: &[&str],
    ) -> Option<Fields<'n>> {
        let members = self.map(node, what)?;
        for (key, _) in members {
            if !names.contains(&key.name.as_str()) {
                let help = near(&key.name, names.iter().copied()).map_or_else(
                    || format!("it has {}", listed(names)),
                    |name| format!("did you mean '{name}'?"),
                );
                let message = format!("{what} has no '{}'", key.name);
                self.error(key.span, "policy/unknown-key", message, help);
            }
        }
        Some(Fields { span: node.span, members })
    }

    /// Takes a map with any names.
    pub(super) fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        match &node.value {
            Tree::Map(members) => Some(members),
            _ => self.wrong(node, what, "a map"),
        }
    }

    /// Takes a text.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Tree::Text(text) => Some(text),
            _ => self.wrong(node, what, "a text"),
        }
    }

    /// Takes a text that has to be there.
    pub(super) fn needed_text<'n>(
        &mut self,
        fields: &Fields<'n>,
        name: &str,
        what: &str,
    ) -> Option<&'n str> {
        let node = fields.need(name, what, self)?;
        self.text(node, name)
    }

    /// Takes the name of a field that has to be there.
    pub(super) fn needed_field(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        what: &str,
    ) -> Option<Path> {
        let node = fields.need(name, what, self)?;
        self.field(node, name)
    }

    /// Takes a truth value.
    pub(super) fn truth(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.value {
            Tree::Boolean(truth) => Some(*truth),
            _ => self.wrong(node, what, "true or false"),
        }
    }

    /// Takes a number from 0.
    pub(super) fn count(&mut self, node: &Node, what: &str) -> Option<u64> {
        match &node.value {
            Tree::Integer(number) if *number >= 0 => u64::try_from(*number).ok(),
            _ => self.wrong(node, what, "a whole number from 0"),
        }
    }

    /// Takes one of some words.
    pub(super) fn word<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(node, what)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = near(text, names.iter().copied()).map_or_else(
            || format!("it is one of {}", listed(&names)),
            |name| format!("did you mean '{name}'?"),
        );
        self.error(node.span, "policy/unknown-word", format!("{what} can't be '{text}'"), help);
        None
    }

    /// Notes that a value has another kind.
    pub(super) fn wrong<T>(&mut self, node: &Node, what: &str, wanted: &str) -> Option<T> {
        let message = format!("{what} is {wanted}, not {}", node.value.kind());
        self.error(node.span, "policy/type", message, None);
        None
    }
}

impl<'n> Fields<'n> {
    /// Returns a member; one that is null is as good as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        let (_, node) = self.members.iter().find(|(key, _)| key.name == name)?;
        (node.value != Tree::Null).then_some(node)
    }

    /// Returns a member that has to be there.
    pub(super) fn need(&self, name: &str, what: &str, findings: &mut Findings) -> Option<&'n Node> {
        let found = self.get(name);
        if found.is_none() {
            let message = format!("{what} needs '{name}'");
            findings.error(self.span, "policy/missing", message, None);
        }
        found
    }
}

/// Takes a list; a single value stands for a list of it.
pub(super) fn list(node: &Node) -> &[Node] {
    match &node.value {
        Tree::List(nodes) => nodes,
        Tree::Null => &[],
        _ => core::slice::from_ref(node),
    }
}

/// Makes a diagnostic about a place.
pub(super) fn diagnostic(
    severity: Severity,
    place: &Place,
    code: &'static str,
    message: String,
    help: Option<String>,
) -> Diagnostic {
    let Place { file, line, column, length } = place.clone();
    Diagnostic { severity, code, message, help, file, line, column, length }
}

/// Lists names for people.
pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// Returns the name that was probably meant: at most a third of its letters are others.
pub(super) fn near<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let short = |text: &&str| text.len() <= 64;
    let name = Some(name).filter(short)?;
    let rated = names.filter(short).map(|other| (distance(name, other), other));
    rated
        .filter(|(distance, other)| distance * 5 <= 2 * other.len().max(3))
        .min()
        .map(|(_, other)| other)
}

/// Returns how many letters have to be added, taken away or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.bytes().enumerate() {
        let mut corner = line;
        let mut left = line + 1;
        for (above, wanted) in row.iter_mut().skip(1).zip(other.bytes()) {
            let changed = corner + usize::from(letter != wanted);
            corner = *above;
            left = changed.min(*above + 1).min(left + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
