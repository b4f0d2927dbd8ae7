//! The two forms that users copy from articles, and what they mean in the native one.
//!
//! ```yaml
//! audit_configs:
//!   - {action: delete_resource, log_success: true, log_failure: true, user_filter: admin_only}
//! ---
//! logging_policy:
//!   access_logs: {retention_period: 90_days}
//!   authentication: {log_failed_attempts: true, log_successful_attempts: true}
//! ```

use super::document::{Class, Document, Logging, Retention};
use super::finding::{Fields, Findings, list, near};
use super::node::{Key, Node};
use crate::core::policy::{Condition, Glob, Test};
use crate::core::record::Path;

/// The members of an entry of `audit_configs`.
pub(super) const CONFIG: &[&str] =
    &["action", "log_success", "log_failure", "user_filter", "retention_period", "required_fields"];

/// The members of a section of `logging_policy`.
pub(super) const SECTION: &[&str] = &[
    "retention_period",
    "log_success",
    "log_failure",
    "log_failed_attempts",
    "log_successful_attempts",
    "user_filter",
    "required_fields",
];

/// Sections, each with the class and the actions that it means.
pub(super) const SECTIONS: &[(&str, &str, &[&str])] = &[
    ("access_logs", "access", &["access.*"]),
    ("access", "access", &["access.*"]),
    (
        "authentication",
        "authentication",
        &["auth.*", "authentication.*", "login", "login.*", "logout"],
    ),
    ("authorization", "authorization", &["authz.*", "authorization.*", "role.*", "permission.*"]),
    ("data_access", "data-access", &["data.*"]),
    ("database", "database", &["db.*", "database.*"]),
    ("configuration_changes", "configuration", &["config.*", "configuration.*"]),
    ("configuration", "configuration", &["config.*", "configuration.*"]),
    ("deployments", "deployment", &["deploy.*", "deployment.*"]),
    ("deployment", "deployment", &["deploy.*", "deployment.*"]),
    ("code_changes", "code-change", &["code.*"]),
    ("admin_actions", "admin", &["admin.*"]),
    ("admin", "admin", &["admin.*"]),
    ("system_events", "system", &["system.*"]),
    ("system", "system", &["system.*"]),
];

/// Filters of users, each with whether it limits an entry to administrators.
const FILTERS: &[(&str, bool)] = &[
    ("admin_only", true),
    ("admins_only", true),
    ("all", false),
    ("all_users", false),
    ("none", false),
];

/// The roles of administrators, unless `admin_roles` beside a form says otherwise.
const ADMIN_ROLES: &[&str] = &["admin"];

impl Findings {
    /// Takes `audit_configs`.
    pub(super) fn audit_configs(&mut self, node: &Node, into: &mut Document) {
        let names = ["audit_configs", "admin_roles"];
        let Some(fields) = self.fields(node, "this form", &names) else { return };
        let admins = self.admins(&fields);
        for node in fields.get("audit_configs").map_or(&[][..], list) {
            let class = self.audit_config(node, &admins);
            self.add_class(class, into);
        }
    }

    /// Takes an entry of `audit_configs`.
    fn audit_config(&mut self, node: &Node, admins: &[String]) -> Option<Class> {
        let fields = self.fields(node, "an entry of 'audit_configs'", CONFIG)?;
        let action = self.needed_text(&fields, "action", "an entry of 'audit_configs'")?;
        let name = class_name(action);
        self.class_name(&name, node.span)?;
        let mut class = Class::new(&name, self.place(node.span));
        let test = if action.contains('*') {
            Test::Glob(Glob::new(action))
        } else {
            Test::Exact(action.to_owned())
        };
        class.when = vec![Condition::field(path("/act"), test)];
        self.duties(&fields, &mut class, action, admins);
        Some(class)
    }

    /// Takes `logging_policy`.
    pub(super) fn logging_policy(&mut self, node: &Node, into: &mut Document) {
        let names = ["logging_policy", "admin_roles"];
        let Some(fields) = self.fields(node, "this form", &names) else { return };
        let admins = self.admins(&fields);
        let Some(node) = fields.get("logging_policy") else { return };
        for (key, node) in self.map(node, "'logging_policy'").unwrap_or_default() {
            let class = self.section(key, node, &admins);
            self.add_class(class, into);
        }
    }

    /// Takes the roles that make somebody an administrator.
    fn admins(&mut self, fields: &Fields<'_>) -> Vec<String> {
        let Some(node) = fields.get("admin_roles") else {
            return ADMIN_ROLES.iter().map(|role| (*role).to_owned()).collect();
        };
        if list(node).is_empty() {
            let help = "name them, as 'admin_roles: [admin, root]'".to_owned();
            self.error(node.span, "policy/missing", "'admin_roles' names no role", help);
        }
        let roles = list(node).iter().filter_map(|role| self.text(role, "a role"));
        roles.map(str::to_owned).collect()
    }

    /// Takes a section of `logging_policy`.
    fn section(&mut self, key: &Key, node: &Node, admins: &[String]) -> Option<Class> {
        let known = SECTIONS.iter().find(|(name, ..)| *name == key.name);
        let Some((_, class, actions)) = known else {
            let names = SECTIONS.iter().map(|(name, ..)| *name);
            let help = near(&key.name, names.clone()).map_or_else(
                || format!("there are {}", names.collect::<Vec<_>>().join(", ")),
                |name| format!("did you mean '{name}'?"),
            );
            let message = format!("'logging_policy' has no section '{}'", key.name);
            self.error(key.span, "policy/unknown-key", message, help);
            return None;
        };
        let mut class = Class::new(class, self.place(key.span));
        let is_like = |action: &&str| Condition::field(path("/act"), Test::Glob(Glob::new(action)));
        class.when = vec![Condition::Any(actions.iter().map(is_like).collect())];
        let fields = self.fields(node, "a section of 'logging_policy'", SECTION)?;
        self.duties(&fields, &mut class, &key.name, admins);
        Some(class)
    }

    /// Takes what both forms say of a class.
    fn duties(&mut self, fields: &Fields<'_>, class: &mut Class, what: &str, admins: &[String]) {
        let truth = |findings: &mut Self, names: [&str; 2]| {
            let node = names.into_iter().find_map(|name| fields.get(name))?;
            findings.truth(node, names[0])
        };
        class.log = Logging {
            success: truth(self, ["log_success", "log_successful_attempts"]).unwrap_or(true),
            failure: truth(self, ["log_failure", "log_failed_attempts"]).unwrap_or(true),
        };
        class.required = class.log == Logging::default();
        if let Some(node) = fields.get("retention_period") {
            let total = self.period(node, "'retention_period'");
            class.retention = Some(Retention { total, ..Retention::default() });
        }
        for node in fields.get("required_fields").map_or(&[][..], list) {
            let field = crate::core::policy::FieldType::Any;
            let path = self.field(node, "a required field");
            class.require.extend(path.map(|path| crate::core::policy::Requirement { path, field }));
        }
        if let Some(node) = fields.get("user_filter") {
            self.user_filter(node, class, what, admins);
        }
    }

    /// Takes a filter of users, which limits the class to them.
    fn user_filter(&mut self, node: &Node, class: &mut Class, what: &str, admins: &[String]) {
        if !self.word(node, "'user_filter'", FILTERS).unwrap_or(false) {
            return;
        }
        class.when.push(Condition::field(path("/actor/roles"), Test::OneOf(admins.to_vec())));
        let message = format!("{what} by others than admins is not covered");
        let help = "PCI DSS 10.2.1.7 and others want it whoever does it: leave 'user_filter' out"
            .to_owned();
        self.warning(node.span, "policy/user-filter", message, help);
    }
}

/// Returns the name of the class that is made of an action.
fn class_name(action: &str) -> String {
    let plain = |letter: char| {
        let letter = letter.to_ascii_lowercase();
        if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-') {
            letter
        } else {
            '-'
        }
    };
    let name: String = action.chars().map(plain).collect();
    name.trim_matches(['-', '.', '_']).to_owned()
}

fn path(text: &str) -> Path {
    Path::parse(text).expect("a constant path")
}
