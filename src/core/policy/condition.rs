//! What holds of an event or not: tests of single values, and how they are joined.
//!
//! A test of a place where an array stands holds if it holds of one of its elements, so that roles and groups
//! are tested like single values. A test of a place where nothing stands does not hold.

use core::fmt;
use core::net::IpAddr;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use crate::core::record::Path;
use crate::core::record::json::{Number, Object, Value};

/// Most bytes that a pattern may take when it is compiled, and when it runs: a policy has many.
const PATTERN_BYTES_MAX: usize = 1 << 18;

/// Most bytes of the text of a pattern.
const PATTERN_TEXT_MAX: usize = 1_024;

/// Something that holds of an event or not, by what its record shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A test holds of what stands at a place.
    Field {
        /// What is looked at.
        path: Path,
        /// What has to hold of it.
        test: Test,
    },
    /// All of these hold.
    All(Vec<Self>),
    /// One of these holds.
    Any(Vec<Self>),
    /// This does not hold.
    Not(Box<Self>),
}

/// What has to hold of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The value is there.
    Present,
    /// It is this text.
    Exact(String),
    /// It is one of these texts.
    OneOf(Vec<String>),
    /// It begins with this text.
    Prefix(String),
    /// It ends with this text.
    Suffix(String),
    /// It is like this pattern.
    Glob(Glob),
    /// It matches this regular expression.
    Pattern(Pattern),
    /// It is an address of one of these networks.
    Network(Vec<IpNet>),
    /// It is a number within these bounds, both of which belong to it.
    Range {
        /// The least.
        least: Option<Number>,
        /// The greatest.
        most: Option<Number>,
    },
    /// It is this truth.
    Boolean(bool),
}

/// A pattern in which `*` stands for any text, also none.
///
/// The pieces between the stars are searched one after another, each as far left as it can be, so that a
/// match takes one pass over the text however many stars there are.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    pieces: Vec<String>,
}

/// A regular expression, which takes time linear in the text.
#[derive(Clone)]
pub struct Pattern(Regex);

/// A text is no regular expression, or one that takes too much memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no regular expression of at most {PATTERN_TEXT_MAX} bytes and {PATTERN_BYTES_MAX} compiled: {reason}"
)]
pub struct PatternError {
    /// What is wrong with it.
    pub reason: String,
}

impl Condition {
    /// Returns the condition that a test holds at a place.
    pub const fn field(path: Path, test: Test) -> Self {
        Self::Field { path, test }
    }

    /// Returns whether this holds of an event, by its members.
    pub fn holds(&self, event: &Object<'_>) -> bool {
        match self {
            Self::Field { path, test } => path.find(event).is_some_and(|value| test.passes(value)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(event)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(event)),
            Self::Not(condition) => !condition.holds(event),
        }
    }

    /// Calls `visit` with every place that is looked at, and its test.
    pub fn visit<'c>(&'c self, visit: &mut dyn FnMut(&'c Path, &'c Test)) {
        match self {
            Self::Field { path, test } => visit(path, test),
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().for_each(|condition| condition.visit(visit));
            }
            Self::Not(condition) => condition.visit(visit),
        }
    }
}

impl Test {
    /// Returns whether a value passes, or an element of an array.
    pub fn passes(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Present, _) => true,
            (test, Value::String(text)) => test.holds(text),
            (Self::Range { least, most }, Value::Number(number)) => {
                let number = number.get();
                least.is_none_or(|least| least.get() <= number)
                    && most.is_none_or(|most| number <= most.get())
            }
            (Self::Boolean(wanted), Value::Bool(found)) => wanted == found,
            (test, Value::Array(values)) => {
                let is_one = |value: &Value<'_>| !matches!(value, Value::Array(_));
                values.iter().any(|value| is_one(value) && test.passes(value))
            }
            _ => false,
        }
    }

    /// Returns whether a text passes.
    pub fn holds(&self, text: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(wanted) => text == wanted,
            Self::OneOf(wanted) => wanted.iter().any(|wanted| text == wanted),
            Self::Prefix(wanted) => text.starts_with(wanted),
            Self::Suffix(wanted) => text.ends_with(wanted),
            Self::Glob(glob) => glob.matches(text),
            Self::Pattern(pattern) => pattern.matches(text),
            Self::Network(networks) => text
                .parse::<IpAddr>()
                .is_ok_and(|address| networks.iter().any(|network| network.contains(&address))),
            Self::Range { .. } | Self::Boolean(_) => false,
        }
    }
}

impl Glob {
    /// Takes a pattern.
    pub fn new(pattern: &str) -> Self {
        Self { pieces: pattern.split('*').map(str::to_owned).collect() }
    }

    /// Returns the one text that is like the pattern, if it has no star.
    pub fn exact(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Returns whether a whole text is like the pattern.
    pub fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.pieces.first().is_some_and(|only| only == text);
        };
        let Some(rest) =
            text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()))
        else {
            return false;
        };
        let mut rest = rest;
        for piece in middle {
            let Some((_, after)) = rest.split_once(piece.as_str()) else { return false };
            rest = after;
        }
        true
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pieces.join("*"))
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.pieces.join("*"), f)
    }
}

impl Pattern {
    /// Takes a regular expression, which is searched anywhere in a text unless it is anchored.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_TEXT_MAX {
            return Err(PatternError { reason: format!("it has {} bytes", text.len()) });
        }
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        builder.build().map(Self).map_err(|error| PatternError { reason: error.to_string() })
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns whether it is found in a text.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
