//! YAML and JSON as a tree in which everything knows its place.
//!
//! JSON is read as the YAML that it is. Budgets bound what a text can ask of its reader: a bundle has at
//! most 4 MiB, and a document that needs more than these has something else in mind.

use core::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, Spanned};

/// Most levels of lists and maps in one another.
const DEPTH_MAX: usize = 32;

/// Most values of one file, those that aliases repeat counted as well.
const NODES_MAX: usize = 200_000;

/// Most aliases of one file, and most values that they repeat.
const ALIASES_MAX: usize = 1_000;
const REPEATED_MAX: usize = 20_000;

/// Where in a file something stands: line and column from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
    /// How many characters.
    pub length: usize,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Tree,
    /// The place.
    pub span: Span,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// Nothing.
    Null,
    /// A truth.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Named values, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A name and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name.
    pub name: String,
    /// The place.
    pub span: Span,
}

/// Why a file is no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeError {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub span: Span,
}

impl Node {
    /// Reads the documents of a file.
    pub fn read(text: &str) -> Result<Vec<Self>, NodeError> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: DEPTH_MAX,
                flow_nesting_limit: DEPTH_MAX,
                max_nodes: NODES_MAX,
                max_events: 3 * NODES_MAX,
                max_aliases: ALIASES_MAX,
                max_anchors: ALIASES_MAX,
                max_recorded_anchor_events: REPEATED_MAX,
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: REPEATED_MAX,
                max_replay_stack_depth: DEPTH_MAX,
            },
            duplicate_keys: DuplicateKeyPolicy::Error,
            merge_keys: MergeKeyPolicy::Error,
            strict_booleans: true,
            underscored_numbers_as_strings: true,
            leading_zero_numbers_as_strings: true,
            reject_unsupported_tags: true,
            with_snippet: false,
        };
        let read: Result<Vec<Spanned<Tree>>, _> =
            serde_saphyr::from_multiple_with_options(text, options);
        match read {
            Ok(documents) => Ok(documents.into_iter().map(Self::new).collect()),
            Err(error) => Err(NodeError {
                span: error.location().map_or_else(Span::default, span),
                message: plain(&error.without_snippet().to_string()),
            }),
        }
    }

    fn new(spanned: Spanned<Tree>) -> Self {
        Self { span: span(spanned.referenced), value: spanned.value }
    }

    /// Returns the member of a map.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Tree::Map(members) = &self.value else { return None };
        members.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// Returns the text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Tree {
    /// Returns what kind of value this is, with its article.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "a truth value",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Returns the first line of a message, without the place that its end repeats.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let end = [" at line ", " (line ", ", line "].iter().filter_map(|mark| line.rfind(mark)).min();
    line.get(..end.unwrap_or(line.len())).unwrap_or(line).to_owned()
}

/// Returns the place of a location; what spans lines is shown by its beginning.
fn span(location: Location) -> Span {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Span {
        line: number(location.line()),
        column: number(location.column()),
        length: number(location.span().len()),
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Builder)
    }
}

/// Builds the tree.
struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Tree, E> {
        let value = i64::try_from(value).map_err(|_wide| E::custom("the number is too large"))?;
        Ok(Tree::Integer(value))
    }

    fn visit_i128<E: serde::de::Error>(self, _value: i128) -> Result<Tree, E> {
        Err(E::custom("the number is too large"))
    }

    fn visit_u128<E: serde::de::Error>(self, _value: u128) -> Result<Tree, E> {
        Err(E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut nodes = Vec::new();
        while let Some(spanned) = list.next_element::<Spanned<Tree>>()? {
            nodes.push(Node::new(spanned));
        }
        Ok(Tree::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let key = Key { span: span(key.referenced), name: key.value };
            members.push((key, Node::new(map.next_value::<Spanned<Tree>>()?)));
        }
        Ok(Tree::Map(members))
    }
}
