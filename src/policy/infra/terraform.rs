//! The plan of Terraform as resources (`terraform show -json`, format version 1).
//!
//! `resource_changes` holds each resource with its values after the change, and beside them, in the same
//! form, `true` for each value that is known after apply only. Which resource such a value comes from is
//! in `configuration`, where the expressions name what they refer to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::kind::kind;
use super::node::{Node, Value};
use super::stack::{Fate, Resource, Stack};

/// What the configuration says about one resource.
struct Configured<'a> {
    expressions: Option<&'a Node>,
    /// Which resources each attribute refers to.
    links: BTreeMap<String, BTreeSet<String>>,
}

/// Reads a plan.
pub(super) fn stack(plan: &Node) -> Stack<'_> {
    let mut configured = HashMap::new();
    if let Some(root) = plan.at(&["configuration", "root_module"]) {
        module("", root, &mut configured);
    }
    let changes = plan.member("resource_changes").map_or(&[][..], Node::items);
    let names = changes.iter().map(|change| without_index(change.word("address")));
    Stack::new(changes.iter().filter_map(|change| resource(change, &configured)), names)
}

/// Reads one resource; data sources and types that no check is about are left out.
fn resource<'a>(
    change: &'a Node,
    configured: &HashMap<String, Configured<'a>>,
) -> Option<Resource<'a>> {
    if change.word("mode") == "data" {
        return None;
    }
    let kind = kind(|kind| kind.terraform == change.word("type"))?;
    let address = change.word("address").to_owned();
    let name = without_index(&address);
    let actions: Vec<&str> = change.member("change")?.words("actions").collect();
    let fate = match (actions.contains(&"delete"), actions.contains(&"create")) {
        (true, true) => Fate::Replaced,
        (true, false) => Fate::Destroyed,
        (false, _) if actions.contains(&"forget") => Fate::Destroyed,
        (false, _) => Fate::Stays,
    };
    let configured = configured.get(&name);
    Some(Resource {
        links: configured.map(|configured| configured.links.clone()).unwrap_or_default(),
        configured: configured.and_then(|configured| configured.expressions),
        address,
        name,
        kind,
        place: change.place,
        fate,
        node: change,
        attributes: change.at(&["change", "after"]),
        unknown: change.at(&["change", "after_unknown"]),
        is_computed: |_| false,
    })
}

/// Collects what the expressions of a module and those it calls refer to.
fn module<'a>(prefix: &str, node: &'a Node, configured: &mut HashMap<String, Configured<'a>>) {
    for resource in node.member("resources").map_or(&[][..], Node::items) {
        let address = format!("{prefix}{}", resource.word("address"));
        let expressions = resource.member("expressions");
        let attributes = expressions.map_or(&[][..], Node::members);
        let links = attributes.iter().filter_map(|expression| {
            let mut names = BTreeSet::new();
            references(prefix, &expression.node, &mut names);
            (!names.is_empty()).then(|| (expression.name.to_string(), names))
        });
        configured.insert(address, Configured { expressions, links: links.collect() });
    }
    for call in node.member("module_calls").map_or(&[][..], Node::members) {
        if let Some(called) = call.node.member("module") {
            module(&format!("{prefix}module.{}.", call.name), called, configured);
        }
    }
}

/// Collects the resources that an expression names; of `aws_s3_bucket.log[0].id` the first two parts.
///
/// A variable or a module's output is kept as it is: nothing has that name, so that it stays open.
fn references(prefix: &str, node: &Node, names: &mut BTreeSet<String>) {
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter().for_each(|item| references(prefix, item, names)),
        Value::Map(members) => {
            for reference in node.words("references") {
                let parts: Vec<&str> = reference.splitn(3, ['.', '[']).take(2).collect();
                names.insert(format!("{prefix}{}", parts.join(".")));
            }
            let inner = members.iter().filter(|member| &*member.name != "references");
            inner.for_each(|member| references(prefix, &member.node, names));
        }
    }
}

/// Returns an address without the indices of instances, whose keys may hold any character.
fn without_index(address: &str) -> String {
    let (mut name, mut in_index, mut in_text, mut escaped) = (String::new(), false, false, false);
    for letter in address.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' if in_index => in_text = !in_text,
            '[' if !in_text => in_index = true,
            ']' if !in_text => in_index = false,
            _ if !in_index => name.push(letter),
            _ => {}
        }
    }
    name
}
