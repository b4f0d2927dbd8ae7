//! YAML as it is written: blocks, and short lists and maps in one line.

use core::fmt::Write as _;

/// Columns into which a list or map has to fit to stand in one line.
const LINE: usize = 100;

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Yaml {
    /// A number, a truth value, or a word that can't be taken for anything else.
    Word(String),
    /// A text, in quotes where it needs them.
    Text(String),
    /// Values in order.
    List(Vec<Self>),
    /// Named values in order.
    Map(Vec<(String, Self)>),
}

impl Yaml {
    /// Makes a text.
    pub(super) fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    /// Makes a number or truth value.
    pub(super) fn word(word: impl ToString) -> Self {
        Self::Word(word.to_string())
    }

    /// Makes a map of those members that are there.
    pub(super) fn map<const N: usize>(members: [(&str, Option<Self>); N]) -> Self {
        let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Self::Map(there.collect())
    }

    /// Makes a list, unless it would be empty.
    pub(super) fn list(values: impl IntoIterator<Item = Self>) -> Option<Self> {
        let values: Vec<Self> = values.into_iter().collect();
        (!values.is_empty()).then_some(Self::List(values))
    }

    /// Writes a document.
    pub(super) fn document(&self) -> String {
        let mut out = String::new();
        self.block(&mut out, 0);
        out
    }

    /// Writes the value in lines of its own, from column `column` on.
    fn block(&self, out: &mut String, column: usize) {
        let indent = " ".repeat(column);
        match self {
            Self::Map(members) => {
                for (name, value) in members {
                    write!(out, "{indent}{}:", quoted(name)).expect("a string takes text");
                    value.after(out, column, column + name.len() + 2);
                }
            }
            Self::List(values) => {
                for value in values {
                    write!(out, "{indent}-").expect("a string takes text");
                    value.item(out, column + 2);
                }
            }
            Self::Word(_) | Self::Text(_) => {
                writeln!(out, "{indent}{}", self.flow()).expect("a string takes text");
            }
        }
    }

    /// Writes the value after its key, in the same line if it fits.
    fn after(&self, out: &mut String, column: usize, used: usize) {
        let flow = self.flow();
        if self.is_line() && used + flow.len() <= LINE {
            writeln!(out, " {flow}").expect("a string takes text");
        } else {
            out.push('\n');
            self.block(out, column + 2);
        }
    }

    /// Writes the value after the dash of an item.
    fn item(&self, out: &mut String, column: usize) {
        let flow = self.flow();
        if self.is_leaf() || (self.is_line() && column + flow.len() <= LINE) {
            writeln!(out, " {flow}").expect("a string takes text");
            return;
        }
        let mut inner = String::new();
        self.block(&mut inner, column);
        out.push(' ');
        out.push_str(inner.trim_start());
    }

    /// Returns whether the value is no list and no map.
    fn is_leaf(&self) -> bool {
        matches!(self, Self::Word(_) | Self::Text(_))
    }

    /// Returns whether the value reads well in one line.
    fn is_line(&self) -> bool {
        let simple = |value: &Self| match value {
            Self::List(values) => values.iter().all(Self::is_leaf),
            Self::Map(members) => members.iter().all(|(_, value)| value.is_leaf()),
            Self::Word(_) | Self::Text(_) => true,
        };
        match self {
            Self::List(values) => values.iter().all(Self::is_leaf),
            Self::Map(members) => {
                members.is_empty()
                    || (members.len() <= 6 && members.iter().all(|(_, value)| simple(value)))
            }
            Self::Word(_) | Self::Text(_) => true,
        }
    }

    /// Writes the value in one line.
    fn flow(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Text(text) => quoted(text),
            Self::List(values) => {
                format!("[{}]", values.iter().map(Self::flow).collect::<Vec<_>>().join(", "))
            }
            Self::Map(members) => {
                let member =
                    |(name, value): &(String, Self)| format!("{}: {}", quoted(name), value.flow());
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Writes a text, in quotes unless every reader takes it for itself. A text of JSON is one of YAML.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    if starts && !is_word && text.chars().all(plain) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Yaml;

    #[test]
    fn values_are_written_in_lines_or_blocks() {
        let map = Yaml::map([
            ("name", Some(Yaml::text("a b"))),
            ("absent", None),
            ("short", Some(Yaml::map([("x", Some(Yaml::word(1)))]))),
            ("list", Yaml::list([Yaml::map([("a", Some(Yaml::text("yes")))]), Yaml::text("12")])),
            (
                "deep",
                Some(Yaml::map([(
                    "m",
                    Some(Yaml::map([("p", Some(Yaml::map([("o", Some(Yaml::word(true)))])))])),
                )])),
            ),
        ]);
        let wanted = "name: \"a b\"\nshort: {x: 1}\nlist:\n  - {a: \"yes\"}\n  - \"12\"\ndeep:\n  m: {p: {o: true}}\n";
        assert_eq!(map.document(), wanted);
        let nested = Yaml::List(vec![Yaml::List(vec![map])]);
        assert!(nested.document().starts_with("- - name: \"a b\"\n    short: {x: 1}\n"));
    }
}
