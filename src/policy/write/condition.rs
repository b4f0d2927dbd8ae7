//! Conditions as YAML.

use super::super::field::format_field;
use super::yaml::Yaml;
use crate::core::policy::{Condition, Test};

/// Writes conditions which all have to hold; nothing where there are none.
pub(super) fn conditions(conditions: &[Condition]) -> Option<Yaml> {
    if conditions.is_empty() {
        return None;
    }
    let mut members = Vec::new();
    let mut others = Vec::new();
    for condition in conditions {
        let (name, value) = member(condition);
        // A name stands in a map once; what is left stands beside, all of it.
        match members.iter().any(|(known, _)| *known == name) {
            true => others.push(Yaml::Map(vec![(name, value)])),
            false => members.push((name, value)),
        }
    }
    if !others.is_empty() {
        match members.iter_mut().find(|(name, _)| name == "all") {
            Some((_, Yaml::List(list))) => list.append(&mut others),
            _ => members.push(("all".to_owned(), Yaml::List(others))),
        }
    }
    Some(Yaml::Map(members))
}

/// Writes one condition as a map.
fn whole(condition: &Condition) -> Yaml {
    match condition {
        Condition::All(parts) if !parts.is_empty() => {
            conditions(parts).unwrap_or_else(|| Yaml::Map(Vec::new()))
        }
        condition => Yaml::Map(vec![member(condition)]),
    }
}

/// Writes one condition as a member of a map.
fn member(condition: &Condition) -> (String, Yaml) {
    let each = |parts: &[Condition]| Yaml::List(parts.iter().map(whole).collect());
    match condition {
        Condition::Field { path, test } => (format_field(path), tested(test)),
        Condition::All(parts) => ("all".to_owned(), each(parts)),
        Condition::Any(parts) => ("any".to_owned(), each(parts)),
        Condition::Not(inner) => ("not".to_owned(), whole(inner)),
    }
}

/// Writes what has to hold of a field.
fn tested(test: &Test) -> Yaml {
    let one = |name: &str, value: Yaml| Yaml::Map(vec![(name.to_owned(), value)]);
    let list = |texts: Vec<String>| Yaml::List(texts.into_iter().map(Yaml::Text).collect());
    match test {
        Test::Present => one("exists", Yaml::word(true)),
        Test::Exact(text) => Yaml::text(text),
        Test::OneOf(texts) => one("in", list(texts.clone())),
        Test::Prefix(text) => one("prefix", Yaml::text(text)),
        Test::Suffix(text) => one("suffix", Yaml::text(text)),
        Test::Glob(glob) => one("glob", Yaml::text(glob)),
        Test::Pattern(pattern) => one("regex", Yaml::text(pattern.as_str())),
        Test::Network(networks) => {
            one("cidr", list(networks.iter().map(ToString::to_string).collect()))
        }
        Test::Range { least, most } => {
            let number = |number: &crate::core::record::json::Number| Yaml::word(number.get());
            let bounds = Yaml::map([
                ("min", least.as_ref().map(number)),
                ("max", most.as_ref().map(number)),
            ]);
            one("range", bounds)
        }
        Test::Boolean(truth) => Yaml::word(truth),
    }
}
