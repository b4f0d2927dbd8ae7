//! Audit policies of Kubernetes, `audit.k8s.io/v1`, and what they mean in the native form.
//!
//! The first rule that an event fits decides its level. Each rule becomes a class that is tried in its
//! order, with the level as its detail; `None` is counted suppression. Fields are those that the receiver of
//! Kubernetes events fills: `ctx.verb`, `actor.id`, `actor.groups`, `resource.group`, `resource.type`,
//! `resource.subresource`, `resource.name`, `resource.namespace`, `ctx.url` and `ctx.stage`.

use super::document::{Class, Document, Level};
use super::finding::{Fields, Findings, list};
use super::node::Node;
use super::read;
use crate::core::policy::{Condition, Glob, Test};
use crate::core::record::Path;

/// The members of such a policy.
const POLICY: &[&str] =
    &["apiVersion", "kind", "metadata", "omitStages", "omitManagedFields", "rules"];

/// The members of a rule.
const RULE: &[&str] = &[
    "level",
    "users",
    "userGroups",
    "verbs",
    "resources",
    "namespaces",
    "nonResourceURLs",
    "omitStages",
    "omitManagedFields",
];

/// The members of a group of resources.
const RESOURCES: &[&str] = &["group", "resources", "resourceNames"];

/// What such a policy says first.
pub(super) const API_VERSION: &str = "audit.k8s.io/v1";

/// Most rules: each excludes all before it, so that their size grows with the square of their number.
const RULES_MAX: usize = 128;

impl Findings {
    /// Takes an audit policy of Kubernetes.
    pub(super) fn kubernetes(&mut self, node: &Node, into: &mut Document) {
        let Some(fields) = self.fields(node, "an audit policy of Kubernetes", POLICY) else {
            return;
        };
        let stages = self.stages(&fields);
        let rules =
            fields.need("rules", "an audit policy of Kubernetes", self).map_or(&[][..], list);
        if rules.len() > RULES_MAX {
            let message = format!("an audit policy has at most {RULES_MAX} rules here");
            self.error(node.span, "policy/kubernetes", message, None);
            return;
        }
        let mut earlier: Vec<Condition> = Vec::new();
        for (number, node) in (1..).zip(rules) {
            let Some((mut class, own)) = self.kubernetes_rule(number, node) else { continue };
            let omitted = [stages.as_slice(), own.as_slice()].concat();
            // An event has the level of the first rule that it fits, and of no other.
            let fits = Condition::All(class.when.clone());
            class.when.extend(earlier.iter().map(|fits| Condition::Not(Box::new(fits.clone()))));
            earlier.push(fits);
            if !omitted.is_empty() {
                let is_omitted = Condition::field(path("/ctx/stage"), Test::OneOf(omitted));
                let mut stage = class.clone();
                stage.name = format!("{}-omitted", class.name);
                stage.when.push(is_omitted.clone());
                (stage.level, stage.required) = (Level::None, false);
                class.when.push(Condition::Not(Box::new(is_omitted)));
                self.add_class(Some(stage), into);
            }
            self.add_class(Some(class), into);
        }
    }

    /// Takes a rule with the stages that it omits.
    fn kubernetes_rule(&mut self, number: usize, node: &Node) -> Option<(Class, Vec<String>)> {
        let fields = self.fields(node, "a rule of an audit policy", RULE)?;
        let mut class = Class::new(&format!("kubernetes-{number}"), self.place(node.span));
        let level = fields.need("level", "a rule of an audit policy", self)?;
        class.level = self.word(level, "'level'", read::class::LEVELS)?;
        class.when = vec![Condition::field(path("/ctx/stage"), Test::Present)];
        for (name, field) in
            [("users", "/actor/id"), ("userGroups", "/actor/groups"), ("verbs", "/ctx/verb")]
        {
            self.one_of(&fields, name, field, &mut class.when);
        }
        if let Some(node) = fields.get("namespaces") {
            // The empty namespace is that of what has none.
            let names = self.texts(node, "a namespace");
            let (none, some): (Vec<String>, Vec<String>) =
                names.into_iter().partition(String::is_empty);
            let mut any = Vec::new();
            if !none.is_empty() {
                let present = Condition::field(path("/resource/namespace"), Test::Present);
                any.push(Condition::Not(Box::new(present)));
            }
            if !some.is_empty() {
                any.push(Condition::field(path("/resource/namespace"), Test::OneOf(some)));
            }
            class.when.push(Condition::Any(any));
        }
        if let Some(node) = fields.get("resources") {
            let any = list(node).iter().filter_map(|node| self.resources(node)).collect();
            class.when.push(Condition::Any(any));
        }
        if let Some(node) = fields.get("nonResourceURLs") {
            let urls = self.texts(node, "a URL");
            let is_like =
                |url: &String| Condition::field(path("/ctx/url"), Test::Glob(Glob::new(url)));
            class.when.push(Condition::Any(urls.iter().map(is_like).collect()));
        }
        let stages = self.stages(&fields);
        class.required = class.level != Level::None;
        Some((class, stages))
    }

    fn one_of(&mut self, fields: &Fields<'_>, name: &str, field: &str, when: &mut Vec<Condition>) {
        let texts = fields.get(name).map_or_else(Vec::new, |node| self.texts(node, name));
        if !texts.is_empty() {
            when.push(Condition::field(path(field), Test::OneOf(texts)));
        }
    }

    fn stages(&mut self, fields: &Fields<'_>) -> Vec<String> {
        let stages = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];
        let words = stages.map(|stage| (stage, stage));
        let nodes = fields.get("omitStages").map_or(&[][..], list);
        let stages = nodes.iter().filter_map(|node| self.word(node, "a stage", &words));
        stages.map(str::to_owned).collect()
    }

    /// Takes resources of a group: `pods`, `pods/log`, `pods/*`, `*/scale` or `*`.
    fn resources(&mut self, node: &Node) -> Option<Condition> {
        let fields = self.fields(node, "a group of resources", RESOURCES)?;
        let group = fields.get("group").map_or(Some(""), |node| self.text(node, "'group'"))?;
        let mut all = vec![if group.is_empty() {
            // The core group has no name, and an event of it may leave the field out.
            let named = Condition::field(path("/resource/group"), Test::Glob(Glob::new("*")));
            let empty = Condition::field(path("/resource/group"), Test::Exact(String::new()));
            Condition::Any(vec![empty, Condition::Not(Box::new(named))])
        } else {
            Condition::field(path("/resource/group"), Test::Exact(group.to_owned()))
        }];
        if let Some(node) = fields.get("resources") {
            let names = self.texts(node, "a resource");
            all.push(Condition::Any(names.iter().map(|name| resource(name)).collect()));
        }
        self.one_of(&fields, "resourceNames", "/resource/name", &mut all);
        Some(Condition::All(all))
    }
}

/// Returns what holds of events about a resource.
fn resource(name: &str) -> Condition {
    let part = |field: &str, name: &str| match name {
        "*" => None,
        name => Some(Condition::field(path(field), Test::Exact(name.to_owned()))),
    };
    let sub = Condition::field(path("/resource/subresource"), Test::Present);
    Condition::All(match name.split_once('/') {
        // A star alone means every resource with every subresource.
        None if name == "*" => Vec::new(),
        None => vec![
            Condition::field(path("/resource/type"), Test::Exact(name.to_owned())),
            Condition::Not(Box::new(sub)),
        ],
        Some((kind, below)) => {
            let named = part("/resource/type", kind)
                .into_iter()
                .chain(part("/resource/subresource", below));
            named.chain([sub]).collect()
        }
    })
}

fn path(text: &str) -> Path {
    Path::parse(text).expect("a constant path")
}
