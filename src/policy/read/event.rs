//! What documents say about the course of events: noise, alerts, sources, custom rules.

use super::ENFORCEMENTS;
use crate::core::policy::Glob;
use crate::policy::document::{Alert, Document, Period, RegoModule, Source, Suppression, Trigger};
use crate::policy::finding::{Fields, Findings, list};
use crate::policy::node::{Node, Tree};

/// The members of a suppression.
pub(crate) const SUPPRESSION: &[&str] = &["name", "classes", "match", "every"];

/// The members of an alert.
pub(crate) const ALERT: &[&str] =
    &["name", "classes", "match", "group_by", "count", "within", "absent_for", "to", "description"];

/// The members of a source.
pub(crate) const SOURCE: &[&str] = &["match", "seq", "expect"];

/// The members of the match of a source.
pub(crate) const SOURCE_MATCH: &[&str] = &["service", "source"];

/// The members of `expect`.
pub(crate) const EXPECT: &[&str] = &["every"];

/// The members of what is said about Rego.
pub(crate) const REGO: &[&str] = &["file", "package", "classes", "when", "enforce", "needs"];

/// How often a count of suppressed events is recorded, unless a document says otherwise.
const WINDOW: Period = Period { seconds: 3_600 };

impl Findings {
    /// Takes everything of this file.
    pub(super) fn events(&mut self, fields: &Fields<'_>, into: &mut Document) {
        self.rules(fields, into);
        for node in fields.get("suppress").map_or(&[][..], |node| list(node)) {
            into.suppressions.extend(self.suppression(node));
        }
        for node in fields.get("alerts").map_or(&[][..], |node| list(node)) {
            into.alerts.extend(self.alert(node));
        }
        for node in fields.get("sources").map_or(&[][..], |node| list(node)) {
            into.sources.extend(self.source(node));
        }
        for node in fields.get("rego").map_or(&[][..], |node| list(node)) {
            into.rego.extend(self.module(node));
        }
    }

    fn suppression(&mut self, node: &Node) -> Option<Suppression> {
        let fields = self.fields(node, "a suppression", SUPPRESSION)?;
        let name = self.rule_name(&fields, "a suppression")?;
        let classes = self.classes(&fields);
        let when = fields.get("match").map_or_else(Vec::new, |node| self.conditions(node));
        if classes.is_empty() && when.is_empty() {
            let message = "a suppression without 'classes' and 'match' would suppress everything";
            self.error(node.span, "policy/suppression", message, None);
        }
        let window = self.period_of(&fields, "every").unwrap_or(WINDOW);
        Some(Suppression { name, classes, when, window, place: self.place(node.span) })
    }

    /// Takes an alert.
    fn alert(&mut self, node: &Node) -> Option<Alert> {
        let fields = self.fields(node, "an alert", ALERT)?;
        let name = self.rule_name(&fields, "an alert")?;
        let by = fields.get("group_by").map_or(&[][..], |node| list(node));
        let by: Vec<_> = by.iter().filter_map(|node| self.field(node, "'group_by'")).collect();
        let count = fields.get("count").and_then(|node| self.count(node, "'count'"));
        let within = self.period_of(&fields, "within");
        let absent = self.period_of(&fields, "absent_for");
        let trigger = match (count, within, absent) {
            (None, None, None) if by.is_empty() => Trigger::Match,
            (Some(count), Some(within), None) if count > 0 => {
                Trigger::Threshold { count, within, by }
            }
            (None, None, Some(within)) if by.is_empty() => Trigger::Absence { within },
            _ => {
                let message = "an alert fires for each event, for a 'count' of at least 1 'within' a \
                               time, or when none came: 'absent_for'";
                self.error(node.span, "policy/alert", message, None);
                return None;
            }
        };
        Some(Alert {
            name,
            classes: self.classes(&fields),
            when: fields.get("match").map_or_else(Vec::new, |node| self.conditions(node)),
            trigger,
            to: fields.get("to").map_or_else(Vec::new, |node| self.texts(node, "'to'")),
            place: self.place(node.span),
        })
    }

    /// Takes what is expected of sources.
    fn source(&mut self, node: &Node) -> Option<Source> {
        let fields = self.fields(node, "a source", SOURCE)?;
        let wanted = fields.need("match", "a source", self)?;
        let names = self.fields(wanted, "the match of a source", SOURCE_MATCH)?;
        let node_of = names.get("service").or_else(|| names.get("source"));
        let Some(globs) = node_of else {
            self.error(wanted.span, "policy/missing", "a source is matched by 'service'", None);
            return None;
        };
        let sources = self.globs(globs, "'service'");
        let words = &[("required", true), ("optional", false)];
        let numbered = fields.get("seq").and_then(|node| self.word(node, "'seq'", words));
        let expect = fields.get("expect").and_then(|node| {
            let fields = self.fields(node, "'expect'", EXPECT)?;
            self.period_of(&fields, "every")
        });
        let place = self.place(node.span);
        Some(Source { sources, numbered: numbered.unwrap_or(false), expect, place })
    }

    /// Takes what is said about custom rules: the name of a file, or a map.
    fn module(&mut self, node: &Node) -> Option<RegoModule> {
        let mut module = RegoModule {
            subject: String::new(),
            classes: Vec::new(),
            when: Vec::new(),
            otherwise: None,
            needs: Vec::new(),
            place: self.place(node.span),
        };
        if let Tree::Text(file) = &node.value {
            module.subject = rego_file(file);
            return Some(module);
        }
        let fields = self.fields(node, "a Rego module", REGO)?;
        module.subject = match (fields.get("file"), fields.get("package")) {
            (Some(file), None) => rego_file(self.text(file, "'file'")?),
            (None, Some(package)) => self.text(package, "'package'")?.to_owned(),
            _ => {
                let message = "a Rego module is named by its 'file' or its 'package'";
                self.error(node.span, "policy/rego", message, None);
                return None;
            }
        };
        module.classes = self.classes(&fields);
        module.when = fields.get("when").map_or_else(Vec::new, |node| self.conditions(node));
        module.otherwise =
            fields.get("enforce").and_then(|node| self.word(node, "'enforce'", ENFORCEMENTS));
        let needs = fields.get("needs").map_or(&[][..], list);
        module.needs = needs.iter().filter_map(|node| self.field(node, "'needs'")).collect();
        Some(module)
    }

    /// Takes patterns in which `*` stands for any text.
    pub(super) fn globs(&mut self, node: &Node, what: &str) -> Vec<Glob> {
        self.texts(node, what).iter().map(|text| Glob::new(text)).collect()
    }
}

/// Returns the path of a file that is named with its folder or without.
fn rego_file(name: &str) -> String {
    if name.starts_with("rego/") { name.to_owned() } else { format!("rego/{name}") }
}
