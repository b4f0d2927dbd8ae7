//! Conditions in documents.
//!
//! ```yaml
//! match: {action: {glob: "auth.*"}, outcome: failure, ctx.mfa: false, source.ip: {cidr: 10.0.0.0/8}}
//! match: {any: [{actor.roles: admin}, {not: {ctx.attempt: {range: {max: 3}}}}]}
//! ```

use ipnet::IpNet;

use crate::core::policy::{Condition, Glob, Pattern, Test};
use crate::core::record::Path;
use crate::core::record::json::Number;
use crate::policy::finding::{Findings, list};
use crate::policy::node::{Key, Node, Tree};

/// The tests of a field.
pub(crate) const TESTS: &[&str] =
    &["eq", "in", "any_of", "prefix", "suffix", "glob", "regex", "cidr", "exists", "range", "not"];

/// The bounds of a range.
pub(crate) const RANGE: &[&str] = &["min", "max"];

/// Most levels of conditions in one another.
const DEPTH_MAX: usize = 16;

impl Findings {
    /// Takes conditions, all of which have to hold.
    pub(crate) fn conditions(&mut self, node: &Node) -> Vec<Condition> {
        match self.condition(node, 0) {
            Some(Condition::All(conditions)) => conditions,
            Some(condition) => vec![condition],
            None => Vec::new(),
        }
    }

    /// Takes one condition: a map of which everything holds, or a list of which something does.
    fn condition(&mut self, node: &Node, depth: usize) -> Option<Condition> {
        if depth > DEPTH_MAX {
            let message =
                format!("conditions stand in one another more than {DEPTH_MAX} levels deep");
            self.error(node.span, "policy/depth", message, None);
            return None;
        }
        if let Tree::List(nodes) = &node.value {
            return Some(Condition::Any(self.all(nodes, depth)));
        }
        let members = self.map(node, "a match")?;
        if members.is_empty() {
            let help = "leave 'match' out where everything is meant".to_owned();
            self.error(node.span, "policy/empty-match", "the match has no conditions", help);
        }
        let mut conditions = Vec::new();
        for (key, value) in members {
            conditions.extend(self.member(key, value, depth));
        }
        Some(Condition::All(conditions))
    }

    fn all(&mut self, nodes: &[Node], depth: usize) -> Vec<Condition> {
        nodes.iter().filter_map(|node| self.condition(node, depth + 1)).collect()
    }

    /// Takes one member of a match.
    fn member(&mut self, key: &Key, value: &Node, depth: usize) -> Option<Condition> {
        match key.name.as_str() {
            "all" => Some(Condition::All(self.all_of(value, depth))),
            "any" => Some(Condition::Any(self.all_of(value, depth))),
            "not" => Some(Condition::Not(Box::new(self.condition(value, depth + 1)?))),
            name => {
                let path = self.field_name(name, key.span)?;
                self.field_condition(&path, value, depth)
            }
        }
    }

    fn all_of(&mut self, node: &Node, depth: usize) -> Vec<Condition> {
        let nodes = list(node);
        self.all(nodes, depth)
    }

    /// Takes what has to hold of a field.
    fn field_condition(&mut self, path: &Path, node: &Node, depth: usize) -> Option<Condition> {
        let Tree::Map(_) = &node.value else {
            return Some(Condition::field(path.clone(), self.plain(node)?));
        };
        let fields = self.fields(node, "a condition", TESTS)?;
        let mut conditions = Vec::new();
        for name in TESTS.iter().filter(|name| **name != "not") {
            let Some(value) = fields.get(name) else { continue };
            if *name == "exists" {
                let present = Condition::field(path.clone(), Test::Present);
                conditions.extend(match self.truth(value, "'exists'") {
                    Some(true) => Some(present),
                    Some(false) => Some(Condition::Not(Box::new(present))),
                    None => None,
                });
            } else if let Some(test) = self.test(name, value) {
                conditions.push(Condition::field(path.clone(), test));
            }
        }
        if let Some(value) = fields.get("not").filter(|_| depth < DEPTH_MAX) {
            let inner = self.field_condition(path, value, depth + 1)?;
            conditions.push(Condition::Not(Box::new(inner)));
        }
        match conditions.len() {
            1 => conditions.pop(),
            _ => Some(Condition::All(conditions)),
        }
    }

    /// Takes a test that is written as a value: the value itself, one of a list, or a text with stars.
    fn plain(&mut self, node: &Node) -> Option<Test> {
        match &node.value {
            Tree::Text(text) if text.contains('*') => Some(Test::Glob(Glob::new(text))),
            Tree::Text(text) => Some(Test::Exact(text.clone())),
            Tree::Boolean(truth) => Some(Test::Boolean(*truth)),
            Tree::Integer(_) | Tree::Float(_) => {
                let number = self.number(node)?;
                Some(Test::Range { least: Some(number), most: Some(number) })
            }
            Tree::List(_) => self.test("in", node),
            Tree::Null | Tree::Map(_) => self.wrong(node, "a condition", "a value or a test"),
        }
    }

    /// Takes a named test.
    fn test(&mut self, name: &str, node: &Node) -> Option<Test> {
        match name {
            "eq" => match &node.value {
                Tree::Text(text) => Some(Test::Exact(text.clone())),
                Tree::List(_) => self.wrong(node, "'eq'", "one value"),
                _ => self.plain(node),
            },
            "in" | "any_of" => {
                let texts = self.texts(node, "a value to compare with");
                (!texts.is_empty()).then_some(Test::OneOf(texts))
            }
            "prefix" => Some(Test::Prefix(self.text(node, "a prefix")?.to_owned())),
            "suffix" => Some(Test::Suffix(self.text(node, "a suffix")?.to_owned())),
            "glob" => Some(Test::Glob(Glob::new(self.text(node, "a pattern")?))),
            "regex" => {
                let text = self.text(node, "a regular expression")?;
                match Pattern::new(text) {
                    Ok(pattern) => Some(Test::Pattern(pattern)),
                    Err(error) => {
                        self.error(node.span, "policy/regex", error.to_string(), None);
                        None
                    }
                }
            }
            "cidr" => self.networks(node).map(Test::Network),
            _ => self.range(node),
        }
    }

    /// Takes texts.
    pub(crate) fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        let nodes = list(node);
        nodes.iter().filter_map(|node| self.text(node, what).map(str::to_owned)).collect()
    }

    /// Takes networks, or single addresses.
    fn networks(&mut self, node: &Node) -> Option<Vec<IpNet>> {
        let nodes = list(node);
        let networks: Vec<IpNet> = nodes.iter().filter_map(|node| self.network(node)).collect();
        (networks.len() == nodes.len()).then_some(networks)
    }

    /// Takes a network, or a single address.
    fn network(&mut self, node: &Node) -> Option<IpNet> {
        let text = self.text(node, "a network")?;
        self.network_name(text, node.span)
    }

    /// Takes a network, or a single address, that stands at a place.
    pub(crate) fn network_name(
        &mut self,
        text: &str,
        span: crate::policy::node::Span,
    ) -> Option<IpNet> {
        let address = || text.parse::<core::net::IpAddr>().ok().map(IpNet::from);
        let network = text.parse::<IpNet>().ok().or_else(address);
        if network.is_none() {
            let help = "write '10.0.0.0/8', '2001:db8::/32' or a single address".to_owned();
            self.error(span, "policy/network", format!("'{text}' is no network"), help);
        }
        network.map(|network| network.trunc())
    }

    /// Takes the bounds of a range.
    fn range(&mut self, node: &Node) -> Option<Test> {
        let fields = self.fields(node, "a range", RANGE)?;
        let least = fields.get("min").and_then(|node| self.number(node));
        let most = fields.get("max").and_then(|node| self.number(node));
        let is_range = match (least, most) {
            (None, None) => false,
            (Some(least), Some(most)) => least.get() <= most.get(),
            _ => true,
        };
        if !is_range {
            let help = "write {min: 1, max: 5}, or one of them".to_owned();
            self.error(node.span, "policy/range", "nothing is within this range", help);
        }
        is_range.then_some(Test::Range { least, most })
    }

    /// Takes a number that a record can have.
    fn number(&mut self, node: &Node) -> Option<Number> {
        let text = match &node.value {
            Tree::Integer(number) => number.to_string(),
            Tree::Float(number) => number.to_string(),
            _ => return self.wrong(node, "a bound", "a number"),
        };
        let limits = crate::core::record::json::Limits { bytes: 512, depth: 1, values: 1 };
        match crate::core::record::json::parse(text.as_bytes(), &limits) {
            Ok(crate::core::record::json::Value::Number(number)) => Some(number),
            _ => {
                let message = format!("no record has the number {text}");
                let help = "numbers are from -(2^53-1) to 2^53-1".to_owned();
                self.error(node.span, "policy/number", message, help);
                None
            }
        }
    }
}
