//! Classes and rules in documents.

use super::ENFORCEMENTS;
use crate::core::policy::{FieldType, Requirement, Rule};
use crate::core::record::{is_class, is_rule};
use crate::policy::document::{Class, Document, Level, Logging, Retention, StatedRule};
use crate::policy::field::format_field;
use crate::policy::finding::{Fields, Findings, list};
use crate::policy::node::{Key, Node, Span, Tree};

/// The members of a class.
pub(crate) const CLASS: &[&str] = &[
    "description",
    "match",
    "require",
    "required",
    "log",
    "level",
    "enforce",
    "retention",
    "index",
];

/// The members of `log`.
pub(crate) const LOG: &[&str] = &["success", "failure"];

/// The members of a required field.
pub(crate) const REQUIREMENT: &[&str] = &["field", "type"];

/// The members of `retention`.
pub(crate) const RETENTION: &[&str] = &["hot", "warm", "archive", "total"];

/// The members of a rule.
pub(crate) const RULE: &[&str] = &["name", "classes", "when", "require", "enforce", "description"];

/// Names of classes that would make names of rules which are the program's own.
const RESERVED: [&str; 4] = ["record", "class", "detected", "policy"];

/// The types of required fields.
const TYPES: &[(&str, FieldType)] = &[
    ("any", FieldType::Any),
    ("text", FieldType::Text),
    ("number", FieldType::Number),
    ("integer", FieldType::Integer),
    ("boolean", FieldType::Boolean),
    ("time", FieldType::Time),
    ("address", FieldType::Address),
    ("array", FieldType::Array),
    ("object", FieldType::Object),
];

/// Returns whether no class may have a name, although it has the form of one.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Details from the least to the most, with the names that Kubernetes has for them.
pub(crate) const LEVELS: &[(&str, Level)] = &[
    ("none", Level::None),
    ("metadata", Level::Metadata),
    ("request", Level::Request),
    ("full", Level::Full),
    ("None", Level::None),
    ("Metadata", Level::Metadata),
    ("Request", Level::Request),
    ("RequestResponse", Level::Full),
];

impl Findings {
    /// Takes a class, or what changes another one.
    pub(super) fn class(&mut self, key: &Key, node: &Node, base: Option<Class>) -> Option<Class> {
        self.class_name(&key.name, key.span)?;
        let mut class = base.unwrap_or_else(|| Class::new(&key.name, self.place(key.span)));
        if node.value == Tree::Null {
            return Some(class);
        }
        let fields = self.fields(node, "a class", CLASS)?;
        if let Some(node) = fields.get("description") {
            class.description = self.text(node, "'description'").map(str::to_owned);
        }
        if let Some(node) = fields.get("match") {
            class.when = self.conditions(node);
        }
        if fields.get("require").is_some() {
            // What changes another class adds to what that requires.
            for requirement in self.requirements(&fields) {
                class.require.retain(|known| known.path != requirement.path);
                class.require.push(requirement);
            }
        }
        if let Some(node) = fields.get("log") {
            class.log = self.logging(node);
        }
        if let Some(node) = fields.get("level") {
            class.level = self.word(node, "'level'", LEVELS).unwrap_or_default();
        }
        if let Some(node) = fields.get("enforce") {
            class.otherwise = self.word(node, "'enforce'", ENFORCEMENTS);
        }
        if let Some(node) = fields.get("retention") {
            class.retention = self.retention(node);
        }
        for node in fields.get("index").map_or(&[][..], list) {
            let nodes = list(node);
            let paths = nodes.iter().filter_map(|node| self.field(node, "an index")).collect();
            class.indexes.push(paths);
        }
        self.needs_all(&fields, &mut class);
        Some(class)
    }

    /// Settles whether every event of a class has to be in the log: unless it says that some don't.
    fn needs_all(&mut self, fields: &Fields<'_>, class: &mut Class) {
        let all = class.log == Logging::default() && class.level != Level::None;
        class.required = match fields.get("required") {
            None => all,
            Some(node) => {
                let required = self.truth(node, "'required'").unwrap_or(all);
                if required && !all {
                    let message = format!(
                        "'{}' is required, and not all of its events are recorded",
                        class.name
                    );
                    let help =
                        "leave out 'required', or what 'log' and 'level' turn off".to_owned();
                    self.error(node.span, "policy/required-class", message, help);
                }
                required
            }
        };
    }

    /// Checks the name of a class.
    pub(crate) fn class_name(&mut self, name: &str, span: Span) -> Option<()> {
        if is_class(name) && !is_reserved(name) {
            return Some(());
        }
        let message = format!("'{name}' can't be the name of a class");
        let help =
            "1 to 128 of a-z, 0-9, '.', '_' and '-', the first no sign; not 'record', 'class', \
                    'detected' or 'policy'"
                .to_owned();
        self.error(span, "policy/name", message, help);
        None
    }

    /// Takes names of classes.
    pub(crate) fn classes(&mut self, fields: &Fields<'_>) -> Vec<String> {
        let Some(node) = fields.get("classes") else { return Vec::new() };
        self.texts(node, "the name of a class")
    }

    /// Takes what events must have: names of fields, maps of names to types, or both; each field once, because of two
    /// types one would be lost.
    pub(super) fn requirements(&mut self, fields: &Fields<'_>) -> Vec<Requirement> {
        let Some(node) = fields.get("require") else { return Vec::new() };
        let mut requirements = Vec::new();
        if let Tree::Map(members) = &node.value {
            for (key, node) in members {
                if let Some(path) = self.field_name(&key.name, key.span)
                    && let Some(field) = self.word(node, "the type of a field", TYPES)
                {
                    self.require(node, &mut requirements, Requirement { path, field });
                }
            }
            return requirements;
        }
        for node in list(node) {
            if let Some(requirement) = self.requirement(node) {
                self.require(node, &mut requirements, requirement);
            }
        }
        requirements
    }

    /// Adds a required field, if none of the others is the same.
    fn require(&mut self, node: &Node, others: &mut Vec<Requirement>, one: Requirement) {
        if others.iter().any(|other| other.path == one.path) {
            self.twice(node, &format!("the required field '{}'", format_field(&one.path)));
        } else {
            others.push(one);
        }
    }

    /// Takes a required field: its name, or its name and type.
    fn requirement(&mut self, node: &Node) -> Option<Requirement> {
        if let Tree::Text(_) = &node.value {
            let path = self.field(node, "a required field")?;
            return Some(Requirement { path, field: FieldType::Any });
        }
        let fields = self.fields(node, "a required field", REQUIREMENT)?;
        let path = self.needed_field(&fields, "field", "a required field")?;
        let field = match fields.get("type") {
            Some(node) => self.word(node, "the type of a field", TYPES)?,
            None => FieldType::Any,
        };
        Some(Requirement { path, field })
    }

    /// Takes which outcomes are recorded.
    fn logging(&mut self, node: &Node) -> Logging {
        if let Tree::Boolean(truth) = node.value {
            return Logging { success: truth, failure: truth };
        }
        let mut logging = Logging::default();
        let Some(fields) = self.fields(node, "'log'", LOG) else { return logging };
        let truth = |findings: &mut Self, name| {
            fields.get(name).and_then(|node| findings.truth(node, name)).unwrap_or(true)
        };
        logging.success = truth(self, "success");
        logging.failure = truth(self, "failure");
        logging
    }

    /// Takes lengths of keeping; one length is the whole.
    pub(crate) fn retention(&mut self, node: &Node) -> Option<Retention> {
        if let Tree::Text(_) = &node.value {
            let total = Some(self.period(node, "'retention'")?);
            return Some(Retention { total, ..Retention::default() });
        }
        let fields = self.fields(node, "'retention'", RETENTION)?;
        let retention = Retention {
            hot: self.period_of(&fields, "hot"),
            warm: self.period_of(&fields, "warm"),
            archive: self.period_of(&fields, "archive"),
            total: self.period_of(&fields, "total"),
        };
        let given = [retention.hot, retention.warm, retention.archive, retention.total];
        let given: Vec<_> = given.into_iter().flatten().collect();
        if !given.is_sorted() {
            let message = "each of hot, warm, archive and total counts from the beginning, so that none \
                           is shorter than the one before";
            self.error(node.span, "policy/retention", message, None);
        }
        Some(retention)
    }

    /// Takes the rules besides those of classes.
    pub(super) fn rules(&mut self, fields: &Fields<'_>, into: &mut Document) {
        let Some(node) = fields.get("rules") else { return };
        for node in list(node) {
            into.rules.extend(self.rule(node, into));
        }
    }

    /// Takes one rule.
    fn rule(&mut self, node: &Node, into: &Document) -> Option<StatedRule> {
        let fields = self.fields(node, "a rule", RULE)?;
        let name = self.rule_name(&fields, "a rule")?;
        let require = self.requirements(&fields);
        if require.is_empty() {
            let help = "say in 'require' which fields the events must have".to_owned();
            self.error(node.span, "policy/empty-rule", "the rule requires nothing", help);
        }
        let otherwise =
            fields.get("enforce").and_then(|node| self.word(node, "'enforce'", ENFORCEMENTS));
        let rule = Rule {
            name,
            classes: self.classes(&fields),
            when: fields.get("when").map_or_else(Vec::new, |node| self.conditions(node)),
            require,
            otherwise: otherwise
                .or(into.on_violation)
                .unwrap_or(crate::core::policy::Enforcement::Quarantine),
        };
        Some(StatedRule { rule, place: self.place(node.span) })
    }

    /// Takes the name of something that records show.
    pub(super) fn rule_name(&mut self, fields: &Fields<'_>, what: &str) -> Option<String> {
        let node = fields.need("name", what, self)?;
        let name = self.text(node, "'name'")?;
        let reserved = RESERVED
            .iter()
            .any(|start| name.split_once('/').is_some_and(|(first, _)| first == *start));
        if is_rule(name) && !reserved {
            return Some(name.to_owned());
        }
        let help = "1 to 128 letters, digits, '.', '_', '/' and '-', the first no sign; not below \
                    'record/', 'class/', 'detected/' or 'policy/'"
            .to_owned();
        self.error(node.span, "policy/name", format!("'{name}' can't be the name of {what}"), help);
        None
    }
}
