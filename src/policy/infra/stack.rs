//! Resources of a deployment, alike for every tool that describes them.
//!
//! Kinds have Terraform's names. Attributes keep the names that the tool gives them, and are found by
//! Terraform's: `is_multi_region_trail`, `IsMultiRegionTrail` and `isMultiRegionTrail` are one name, and a
//! block is found whether it stands in a list of one or alone.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Findings;
use super::node::{Node, Place, Value};

/// The resources of one file.
pub(super) struct Stack<'a> {
    resources: Vec<Resource<'a>>,
    /// What the file describes, of whatever kind: a reference to anything else leads out of it.
    names: BTreeSet<String>,
}

/// What becomes of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is made, changed, or left alone.
    Stays,
    /// It is destroyed and made again: what it held is gone.
    Replaced,
    /// It is destroyed.
    Destroyed,
}

/// One resource.
pub(super) struct Resource<'a> {
    /// What the tool calls it.
    pub(super) address: String,
    /// The name that others refer to it by; several instances may share one.
    pub(super) name: String,
    /// Terraform's name of its type.
    pub(super) kind: &'static str,
    pub(super) place: Place,
    pub(super) fate: Fate,
    /// The whole of it, for what only one tool says.
    pub(super) node: &'a Node,
    pub(super) attributes: Option<&'a Node>,
    /// What of the attributes is not known yet, in the same form: Terraform's `after_unknown`.
    pub(super) unknown: Option<&'a Node>,
    /// What its author has written, where the file says so: an attribute that is not there is unknown only
    /// because the provider fills it in.
    pub(super) configured: Option<&'a Node>,
    /// Which resources an attribute refers to, by name.
    pub(super) links: BTreeMap<String, BTreeSet<String>>,
    /// Tells a value that is computed later.
    pub(super) is_computed: fn(&Node) -> bool,
}

/// What stands at a path of a resource.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// It is not known yet.
    Unknown,
    /// It has this value.
    Known(&'a Node),
}

/// An answer that may have to wait for the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    Later,
}

/// Which resources others are about.
pub(super) struct Cover {
    names: BTreeSet<String>,
    texts: BTreeSet<String>,
    /// Whether one is about something that is not known yet.
    is_open: bool,
}

/// Returns whether two names are one: the case and the underscores are the tool's taste.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    letters(one).eq(letters(other))
}

fn letters(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(|letter| *letter != b'_').map(|letter| letter.to_ascii_lowercase())
}

/// Returns the member of that name in any tool's spelling.
fn alike<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let members = node.members().iter();
    members.into_iter().find(|member| same_name(&member.name, name)).map(|member| &member.node)
}

impl<'a> Stack<'a> {
    /// Takes the resources of a file in its order that a check is about, and the names of all.
    pub(super) fn new(
        resources: impl IntoIterator<Item = Resource<'a>>,
        names: impl IntoIterator<Item = String>,
    ) -> Self {
        Self { resources: resources.into_iter().collect(), names: names.into_iter().collect() }
    }

    /// Returns every resource, those that are destroyed as well.
    pub(super) fn all(&self) -> &[Resource<'a>] {
        &self.resources
    }

    /// Returns the resources of some kinds that are there after the deployment.
    pub(super) fn of(&self, kinds: &[&str]) -> impl Iterator<Item = &Resource<'a>> {
        let stays = |one: &&Resource<'_>| one.fate != Fate::Destroyed && kinds.contains(&one.kind);
        self.resources.iter().filter(stays)
    }

    /// Returns what the resources of some kinds are about, by the attributes that name those.
    pub(super) fn cover(&self, kinds: &[&str], by: &[&[&str]]) -> Cover {
        let mut cover = Cover { names: BTreeSet::new(), texts: BTreeSet::new(), is_open: false };
        for resource in self.of(kinds) {
            for path in by {
                let links = path.first().and_then(|name| resource.links(name));
                for found in resource.find(path) {
                    match found {
                        Found::Known(node) => cover.texts.extend(node.text().map(str::to_owned)),
                        Found::Unknown => {
                            let foreign = |link: &String| !self.names.contains(link);
                            cover.is_open |= links.is_none_or(|links| links.iter().any(foreign));
                        }
                    }
                }
                cover.names.extend(links.into_iter().flatten().cloned());
            }
        }
        cover
    }
}

impl Cover {
    /// Returns whether one of the resources is about this one.
    pub(super) fn has(&self, resource: &Resource<'_>) -> Answer {
        let identities = ["id", "arn", "bucket", "name"];
        let found = identities.iter().flat_map(|name| resource.find(&[name]));
        let texts = found.filter_map(|found| match found {
            Found::Known(node) => node.text(),
            Found::Unknown => None,
        });
        if self.names.contains(&resource.name) || texts.into_iter().any(|t| self.texts.contains(t))
        {
            Answer::Yes
        } else if self.is_open {
            Answer::Later
        } else {
            Answer::No
        }
    }
}

impl<'a> Resource<'a> {
    /// Returns what stands at a path, once for each block on the way; absent and null are nothing.
    pub(super) fn find(&self, path: &[&str]) -> Vec<Found<'a>> {
        let mut found = Vec::new();
        let is_asked =
            |name: &&str| self.configured.is_none_or(|asked| alike(asked, name).is_some());
        let unknown = self.unknown.filter(|_| path.first().is_none_or(is_asked));
        self.walk(self.attributes, unknown, path, &mut found);
        found
    }

    /// Goes down a path in the known and the unknown values alike.
    fn walk(
        &self,
        known: Option<&'a Node>,
        unknown: Option<&'a Node>,
        path: &[&str],
        found: &mut Vec<Found<'a>>,
    ) {
        let computed = |node: &&Node| (self.is_computed)(node);
        if unknown.is_some_and(|node| node.truth() == Some(true))
            || known.as_ref().is_some_and(computed)
        {
            found.push(Found::Unknown);
            return;
        }
        if let Some(Node { value: Value::List(items), .. }) = known {
            // An empty path asks for the list itself.
            if let [_, ..] = path {
                let later = unknown.map_or(&[][..], Node::items);
                for (at, item) in items.iter().enumerate() {
                    self.walk(Some(item), later.get(at), path, found);
                }
                return;
            }
        }
        match path {
            [] => found.extend(known.filter(|node| !node.is_null()).map(Found::Known)),
            [name, rest @ ..] => {
                let (known, unknown) = (
                    known.and_then(|node| alike(node, name)),
                    unknown.and_then(|n| alike(n, name)),
                );
                self.walk(known, unknown, rest, found);
            }
        }
    }

    /// Returns the resources that an attribute refers to.
    fn links(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.links.iter().find(|(link, _)| same_name(link, name)).map(|(_, names)| names)
    }

    /// Returns whether one of the paths is switched on.
    pub(super) fn is_on(&self, paths: &[&[&str]]) -> Answer {
        let found = paths.iter().flat_map(|path| self.find(path));
        answer(found.map(|found| match found {
            Found::Unknown => Answer::Later,
            Found::Known(node) if node.truth() == Some(true) => Answer::Yes,
            Found::Known(_) => Answer::No,
        }))
    }

    /// Returns whether one of the paths has a value that is not empty.
    ///
    /// What is computed from another resource has one, though it is not known yet which.
    pub(super) fn is_set(&self, paths: &[&[&str]]) -> Answer {
        let found = paths.iter().flat_map(|path| {
            let linked = path.first().is_some_and(|name| self.links(name).is_some());
            self.find(path).into_iter().map(move |found| (found, linked))
        });
        answer(found.map(|(found, linked)| match found {
            Found::Unknown if linked => Answer::Yes,
            Found::Unknown => Answer::Later,
            Found::Known(node) if is_empty(node) => Answer::No,
            Found::Known(_) => Answer::Yes,
        }))
    }

    /// Returns whether a list at one of the paths has a word, whatever its case.
    pub(super) fn has_word(&self, paths: &[&[&str]], word: &str) -> Answer {
        let found = paths.iter().flat_map(|path| self.find(path)).collect::<Vec<_>>();
        answer(found.into_iter().flat_map(|found| match found {
            Found::Unknown => vec![Answer::Later],
            Found::Known(node) => self.words(node, word),
        }))
    }

    fn words(&self, node: &Node, word: &str) -> Vec<Answer> {
        let one = |node: &Node| match node.text() {
            _ if (self.is_computed)(node) => Answer::Later,
            Some(text) if text.eq_ignore_ascii_case(word) => Answer::Yes,
            _ => Answer::No,
        };
        match &node.value {
            Value::List(items) => items.iter().map(one).collect(),
            Value::Scalar { .. } | Value::Map(_) => vec![one(node)],
        }
    }

    /// Returns the place of an attribute, that of the resource if it is absent.
    pub(super) fn place_of(&self, paths: &[&[&str]]) -> Place {
        let known = paths.iter().flat_map(|path| self.find(path)).find_map(|found| match found {
            Found::Known(node) => Some(node.place),
            Found::Unknown => None,
        });
        known.unwrap_or(self.place)
    }

    /// Reports what an answer comes to: no is a breach, later is a note.
    pub(super) fn report(&self, answer: Answer, place: Place, what: &str, out: &mut Findings) {
        match answer {
            Answer::Yes => {}
            Answer::No => out.breach(place, format!("{} {what}", self.address)),
            Answer::Later => out.open(
                place,
                format!("it is not known before the deployment whether {} {what}", self.address),
            ),
        }
    }
}

/// Returns yes if any is, later if any is and none is yes, or else no.
pub(super) fn answer(answers: impl IntoIterator<Item = Answer>) -> Answer {
    answers.into_iter().fold(Answer::No, |all, one| match (all, one) {
        (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
        (Answer::Later, _) | (_, Answer::Later) => Answer::Later,
        (Answer::No, Answer::No) => Answer::No,
    })
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Scalar { text, .. } => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(members) => members.is_empty(),
    }
}
