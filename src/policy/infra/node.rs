//! YAML and JSON as a tree whose nodes know where they stand.
//!
//! JSON is YAML, so that one reader serves both. It keeps tags, because CloudFormation's short forms are
//! tags, and it keeps order. Memory and time are linear in the text, and the limits below bound what a
//! text can make of few bytes: nesting, which is recursion, and aliases, each of which stands for a copy.

use std::collections::{BTreeSet, HashMap};

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

/// Most bytes of a text: plans of a few thousand resources take a few MiB.
pub const INPUT_BYTES_MAX: usize = 32 << 20;

/// Most levels of lists and maps in one another: modules in modules take two levels each.
const DEPTH_MAX: usize = 128;

/// Most values of a text, those that aliases stand for counted each time: at about a hundred bytes each
/// they take 100 MiB.
const NODES_MAX: usize = 1_000_000;

/// Where something stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The line, from 1; 0 for the whole file.
    pub(super) line: usize,
    /// The character in the line, from 1; 0 for the whole line.
    pub(super) column: usize,
    /// How many characters it takes in that line.
    pub(super) length: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    /// The local tag without its `!`.
    pub(super) tag: Option<Box<str>>,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A text; whether it is one or a number or a word is the reader's business.
    Scalar {
        /// The text.
        text: Box<str>,
        /// Whether it stood in no quotes, so that `null` is no text.
        plain: bool,
    },
    /// Values in order.
    List(Vec<Node>),
    /// Named values in order.
    Map(Vec<Member>),
}

/// One named value of a map.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: Box<str>,
    pub(super) place: Place,
    pub(super) node: Node,
}

/// Why a text was not read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) place: Place,
    pub(super) reason: String,
}

impl Node {
    /// Returns the members of a map, none for anything else.
    pub(super) fn members(&self) -> &[Member] {
        match &self.value {
            Value::Map(members) => members,
            Value::Scalar { .. } | Value::List(_) => &[],
        }
    }

    /// Returns the values of a list, none for anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar { .. } | Value::Map(_) => &[],
        }
    }

    /// Returns the value of exactly that name.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|member| &*member.name == name).map(|member| &member.node)
    }

    /// Returns what stands at the end of a path of names.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.member(name))
    }

    /// Returns the text of a scalar that is not null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Returns the text of a member, empty if there is none.
    pub(super) fn word(&self, name: &str) -> &str {
        self.member(name).and_then(Self::text).unwrap_or_default()
    }

    /// Returns the texts of a list that is a member.
    pub(super) fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        self.member(name).map_or(&[][..], Self::items).iter().filter_map(Self::text)
    }

    /// Returns whether this is null, or nothing at all.
    pub(super) fn is_null(&self) -> bool {
        let Value::Scalar { text, plain: true } = &self.value else { return false };
        matches!(&**text, "" | "~" | "null" | "Null" | "NULL")
    }

    /// Returns the truth of a scalar; CloudFormation also takes it in quotes.
    pub(super) fn truth(&self) -> Option<bool> {
        match self.text()? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// Returns how many values this is, and how deep they go.
    fn extent(&self) -> (usize, usize) {
        let inner: &mut dyn Iterator<Item = &Self> = match &self.value {
            Value::Scalar { .. } => return (1, 0),
            Value::List(items) => &mut items.iter(),
            Value::Map(members) => &mut members.iter().map(|member| &member.node),
        };
        let (nodes, depth) = inner.map(Self::extent).fold((0, 0), |sum, next| {
            let nodes: usize = sum.0 + next.0;
            (nodes, sum.1.max(next.1))
        });
        (nodes + 1, depth + 1)
    }
}

/// A list or map that is not at its end.
struct Open {
    node: Node,
    anchor: usize,
    /// The name that waits for its value.
    name: Option<(Box<str>, Place)>,
    names: BTreeSet<Box<str>>,
    /// What the map takes over from others, in order.
    merges: Vec<Node>,
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    /// What aliases stand for.
    anchored: HashMap<usize, Node>,
    documents: Vec<Node>,
    nodes: usize,
}

/// Reads every document of a text.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Node>, Unreadable> {
    let whole = |reason: String| Unreadable { place: Place::default(), reason };
    if bytes.len() > INPUT_BYTES_MAX {
        return Err(whole(format!("it has more than {INPUT_BYTES_MAX} bytes")));
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        whole(format!("it is not UTF-8: the byte at offset {} is wrong", error.valid_up_to()))
    })?;
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    let mut reader = Reader::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| Unreadable {
            place: place(&Span::empty(*error.marker())),
            reason: error.info(),
        })?;
        let place = place(&span);
        reader.take(event, place).map_err(|reason| Unreadable { place, reason })?;
    }
    Ok(reader.documents)
}

/// Returns where a span begins, and how far it goes in that line.
fn place(span: &Span) -> Place {
    let (start, end) = (span.start, span.end);
    let length = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Place { line: start.line(), column: start.col() + 1, length: length.max(1) }
}

impl Reader {
    /// Takes one event of the parser.
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = matches!(style, ScalarStyle::Plain);
                let value = Value::Scalar { text: text.into(), plain };
                let node = Node { place, tag: tag.and_then(|tag| local(&tag)), value };
                self.put(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(Value::List(Vec::new()), anchor, tag.and_then(|tag| local(&tag)), place)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.begin(Value::Map(Vec::new()), anchor, tag.and_then(|tag| local(&tag)), place)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let mut open = self.open.pop().ok_or("something ends that has not begun")?;
                open.merge()?;
                self.put(open.node, open.anchor)
            }
            Event::Alias(anchor) => {
                let named = self.anchored.get(&anchor);
                let (nodes, depth) = named.map(Node::extent).unwrap_or_default();
                // Counted before it is copied.
                self.count(nodes, depth)?;
                let node = self.anchored.get(&anchor).cloned();
                let node = node.ok_or("an alias stands inside of what it names")?;
                self.put(Node { place, ..node }, 0)
            }
            Event::DocumentStart(..) => {
                self.anchored.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts values that come in at the present depth.
    fn count(&mut self, nodes: usize, depth: usize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return Err(format!("it has more than {NODES_MAX} values, aliases counted each time"));
        }
        if self.open.len() + depth > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} levels deep"));
        }
        Ok(())
    }

    /// Begins a list or a map.
    fn begin(
        &mut self,
        value: Value,
        anchor: usize,
        tag: Option<Box<str>>,
        place: Place,
    ) -> Result<(), String> {
        self.count(1, 1)?;
        let node = Node { place, tag, value };
        let (name, names, merges) = (None, BTreeSet::new(), Vec::new());
        self.open.push(Open { node, anchor, name, names, merges });
        Ok(())
    }

    /// Puts a whole value where it belongs: as a name, as a value, or as a document.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        if anchor != 0 {
            // The copy takes memory like any other value.
            let (nodes, _) = node.extent();
            self.count(nodes, 0)?;
            self.anchored.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return self.count(1, 0);
        };
        match &mut open.node.value {
            Value::List(items) => items.push(node),
            Value::Map(members) => match open.name.take() {
                Some((name, _)) if &*name == "<<" => open.merges.push(node),
                Some((name, place)) => members.push(Member { name, place, node }),
                None => {
                    let Value::Scalar { text, .. } = node.value else {
                        return Err("a name is a text, not a list or a map".to_owned());
                    };
                    if !open.names.insert(text.clone()) {
                        return Err(format!("the name {text:?} stands here for the second time"));
                    }
                    open.name = Some((text, node.place));
                }
            },
            Value::Scalar { .. } => unreachable!("only lists and maps are opened"),
        }
        self.count(1, 0)
    }
}

impl Open {
    /// Adds the members that a map takes over from others; its own win, then those of the first source.
    fn merge(&mut self) -> Result<(), String> {
        let wrong = || "only a map can be merged into another".to_owned();
        for node in core::mem::take(&mut self.merges) {
            let sources = match node.value {
                Value::Map(_) => vec![node],
                Value::List(items) => items,
                Value::Scalar { .. } => return Err(wrong()),
            };
            let Value::Map(members) = &mut self.node.value else { return Err(wrong()) };
            for source in sources {
                let Value::Map(inherited) = source.value else { return Err(wrong()) };
                let names = &mut self.names;
                members.extend(inherited.into_iter().filter(|one| names.insert(one.name.clone())));
            }
        }
        Ok(())
    }
}

/// Returns a local tag without its `!`.
fn local(tag: &Tag) -> Option<Box<str>> {
    (tag.handle() == "!").then(|| tag.suffix().into())
}
