//! The preview of Pulumi as resources (`pulumi preview --json`).
//!
//! Each step holds the state that a resource comes to. A value that is computed at the deployment is a
//! fixed text, and `propertyDependencies` says which resources an input comes from.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::kind;
use super::node::Node;
use super::stack::{Fate, Resource, Stack};

/// What Pulumi writes in the place of a value that it does not know yet (`computedValuePlaceholder`).
const UNKNOWN: &str = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/// Reads a preview.
pub(super) fn stack(preview: &Node) -> Stack<'_> {
    let steps = preview.member("steps").map_or(&[][..], Node::items);
    let names = steps.iter().map(|step| step.word("urn").to_owned());
    Stack::new(steps.iter().filter_map(resource), names)
}

/// Reads the resource of one step, unless no check is about its type.
fn resource(step: &Node) -> Option<Resource<'_>> {
    let fate = match step.word("op") {
        "delete" | "discard" => Fate::Destroyed,
        "replace" => Fate::Replaced,
        // The other steps of a replacement.
        "create-replacement" | "delete-replaced" | "discard-replaced" => return None,
        _ => Fate::Stays,
    };
    let state = step.member(if fate == Fate::Destroyed { "oldState" } else { "newState" })?;
    // The type stands in the name as well, behind those of its parents.
    let urn = step.word("urn");
    let kind = kind(|kind| kind.pulumi.contains(&state.word("type")))?;
    let mut links = BTreeMap::new();
    for input in state.member("propertyDependencies").map_or(&[][..], Node::members) {
        let names: BTreeSet<String> =
            input.node.items().iter().filter_map(Node::text).map(str::to_owned).collect();
        if !names.is_empty() {
            links.insert(input.name.to_string(), names);
        }
    }
    let name = urn.rsplit("::").next().unwrap_or(urn);
    Some(Resource {
        address: format!("{}::{name}", state.word("type")),
        name: urn.to_owned(),
        kind,
        place: step.place,
        fate,
        node: step,
        attributes: state.member("inputs"),
        unknown: None,
        configured: None,
        links,
        is_computed: |node| node.text() == Some(UNKNOWN),
    })
}
