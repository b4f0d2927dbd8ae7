//! A template of AWS CloudFormation as resources.
//!
//! A function stands as a tag (`!GetAtt Trail.Arn`) or as a map of one member (`Fn::GetAtt`, `Ref`). What
//! it comes to is computed at the deployment; `Ref`, `Fn::GetAtt` and `Fn::Sub` name what they refer to.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::kind;
use super::node::{Member, Node, Value};
use super::stack::{Fate, Resource, Stack};

/// Reads a template.
pub(super) fn stack(template: &Node) -> Stack<'_> {
    let resources = template.member("Resources").map_or(&[][..], Node::members);
    let names = resources.iter().map(|resource| resource.name.to_string());
    Stack::new(resources.iter().filter_map(resource), names)
}

/// Reads one resource, unless no check is about its type.
fn resource(member: &Member) -> Option<Resource<'_>> {
    let kind = kind(|kind| kind.cloudformation == Some(member.node.word("Type")))?;
    let attributes = member.node.member("Properties");
    let mut links = BTreeMap::new();
    for attribute in attributes.map_or(&[][..], Node::members) {
        let mut names = BTreeSet::new();
        references(&attribute.node, &mut names);
        if !names.is_empty() {
            links.insert(attribute.name.to_string(), names);
        }
    }
    Some(Resource {
        address: member.name.to_string(),
        name: member.name.to_string(),
        kind,
        place: member.place,
        fate: Fate::Stays,
        node: &member.node,
        attributes,
        unknown: None,
        configured: None,
        links,
        is_computed,
    })
}

/// Returns a function and what it is applied to.
fn function(node: &Node) -> Option<(&str, &Node)> {
    if let Some(tag) = &node.tag {
        return Some((tag, node));
    }
    match node.members() {
        [one] if &*one.name == "Ref" => Some(("Ref", &one.node)),
        [one] => Some((one.name.strip_prefix("Fn::")?, &one.node)),
        _ => None,
    }
}

fn is_computed(node: &Node) -> bool {
    function(node).is_some()
}

/// Collects the logical names that a value refers to; a condition refers to what it chooses from.
fn references(node: &Node, names: &mut BTreeSet<String>) {
    let first = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
    match function(node) {
        // Whether a condition has a value at all is not known: it links to nothing.
        Some(("If", _)) => return,
        Some(("Ref", name)) => names.extend(name.text().map(str::to_owned)),
        Some(("GetAtt", path)) => {
            names.extend(path.text().or_else(|| path.items().first()?.text()).map(first));
        }
        Some(("Sub", text)) => {
            let text = text.text().or_else(|| text.items().first()?.text()).unwrap_or_default();
            let holes = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
            names.extend(holes.filter(|name| !name.starts_with('!')).map(first));
        }
        _ => {}
    }
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter().for_each(|item| references(item, names)),
        Value::Map(members) => members.iter().for_each(|member| references(&member.node, names)),
    }
}
