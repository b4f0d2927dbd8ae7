//! Names of fields in documents, and the members of a record that they mean.
//!
//! | in a document | in a record |
//! |---|---|
//! | `action`, `act` | `/act` |
//! | `outcome`, `out` | `/out` |
//! | `occurred_at`, `ot` | `/ot` |
//! | `class`, `seq`, `source` | `/class`, `/seq`, `/source` |
//! | `actor.id`, `resource.type` | `/actor/id`, `/resource/type` |
//! | `ctx.request.id`, `context.request.id` | `/ctx/request/id` |
//! | any other, as `source.ip`, `request.headers.host` | below `/ctx`: `/ctx/source/ip` |
//! | a pointer, as `/ctx/a~1b` | itself |

use super::finding::{Findings, near};
use super::node::{Node, Span};
use crate::core::record::Path;

/// Members that a pointer may begin with.
const MEMBERS: [&str; 9] =
    ["act", "out", "ot", "class", "seq", "source", "actor", "resource", "ctx"];

/// Members that only the server makes: nothing can be said about them.
const SERVER: [&str; 9] = ["v", "t", "id", "at", "pv", "vd", "vr", "red", "tok"];

/// Returns the place that a name means.
pub fn parse_field(name: &str) -> Option<Path> {
    if name.starts_with('/') {
        let path = Path::parse(name)?;
        let first = path.steps().next()?.into_owned();
        return MEMBERS.contains(&first.as_str()).then_some(path);
    }
    let mut steps = name.split('.');
    let first = steps.next()?;
    let alone = !name.contains('.');
    let mut path = match first {
        "action" | "act" if alone => Path::parse("/act")?,
        "outcome" | "out" if alone => Path::parse("/out")?,
        "occurred_at" | "ot" if alone => Path::parse("/ot")?,
        "class" | "seq" | "source" if alone => Path::parse(&format!("/{first}"))?,
        "actor" | "resource" => Path::parse(&format!("/{first}"))?,
        "ctx" | "context" => Path::parse("/ctx")?,
        _ if SERVER.contains(&first) && alone => return None,
        "" => return None,
        other => Path::parse("/ctx")?.child(other)?,
    };
    for step in steps {
        if step.is_empty() {
            return None;
        }
        path = path.child(step)?;
    }
    Some(path)
}

/// Returns the name of a place, as short as [`parse_field`] takes it.
pub fn format_field(path: &Path) -> String {
    let mut steps: Vec<String> = path.steps().map(std::borrow::Cow::into_owned).collect();
    let name = match path.as_str() {
        "/act" => "action".to_owned(),
        "/out" => "outcome".to_owned(),
        "/ot" => "occurred_at".to_owned(),
        _ => {
            if steps.len() > 1 && steps.first().is_some_and(|first| first == "ctx") {
                steps.remove(0);
            }
            steps.join(".")
        }
    };
    if parse_field(&name).as_ref() == Some(path) { name } else { path.to_string() }
}

impl Findings {
    /// Takes the name of a field.
    pub(super) fn field(&mut self, node: &Node, what: &str) -> Option<Path> {
        let name = self.text(node, what)?;
        self.field_name(name, node.span)
    }

    /// Takes the name of a field that stands at a place.
    pub(super) fn field_name(&mut self, name: &str, span: Span) -> Option<Path> {
        let found = parse_field(name);
        if found.is_none() {
            let pointer = name.strip_prefix('/').unwrap_or(name);
            let first = pointer.split(['/', '.']).next().unwrap_or_default();
            let help = if SERVER.contains(&first) {
                "only the server makes that member, after the policy has decided".to_owned()
            } else {
                near(first, MEMBERS.into_iter()).map_or_else(
                    || "write 'actor.id', or a pointer as '/ctx/a~1b'".to_owned(),
                    |member| format!("did you mean '{member}'?"),
                )
            };
            self.error(span, "policy/field", format!("'{name}' is no field of an event"), help);
        }
        found
    }
}
