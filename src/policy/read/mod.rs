//! Documents of the native form, `apiVersion: attestree/v1` and `kind: Policy`, taken apart.
//!
//! Each map has a list of its names beside the function that reads it. [`VOCABULARY`] has all of them, so
//! that the published schema can be held against it.

pub(crate) mod class;
pub(crate) mod condition;
mod event;
mod privilege;
mod redact;

use super::document::{Class, Document, Parent};
use super::finding::{Fields, Findings, list};
use super::node::{Node, Tree};
use super::{Date, Period};
use crate::core::policy::Enforcement;
use crate::core::record::PolicyDigest;

/// What every document of the native form says first.
pub const API_VERSION: &str = "attestree/v1";

/// What becomes of an event.
pub(crate) const ENFORCEMENTS: &[(&str, Enforcement)] = &[
    ("warn", Enforcement::Warn),
    ("quarantine", Enforcement::Quarantine),
    ("reject", Enforcement::Reject),
];

/// The members of a document.
const POLICY: &[&str] = &[
    "$schema",
    "apiVersion",
    "kind",
    "metadata",
    "extends",
    "classes",
    "rules",
    "redact",
    "enrich",
    "suppress",
    "retention",
    "hold",
    "access",
    "alerts",
    "sources",
    "enforce",
    "approvals",
    "rego",
];

/// The members of `metadata`.
const METADATA: &[&str] = &["name", "description", "owner", "review_by"];

/// The members of `enforce`.
const ENFORCE: &[&str] = &["on_violation", "unknown_class"];

/// The names of every map of a document, by what the schema calls it.
pub const VOCABULARY: &[(&str, &[&str])] = &[
    ("policy", POLICY),
    ("metadata", METADATA),
    ("enforce", ENFORCE),
    ("class", class::CLASS),
    ("log", class::LOG),
    ("requirement", class::REQUIREMENT),
    ("retention", class::RETENTION),
    ("rule", class::RULE),
    ("condition", condition::TESTS),
    ("range", condition::RANGE),
    ("redaction", redact::REDACTION),
    ("enrichment", redact::ENRICHMENT),
    ("suppression", event::SUPPRESSION),
    ("alert", event::ALERT),
    ("source", event::SOURCE),
    ("sourceMatch", event::SOURCE_MATCH),
    ("expect", event::EXPECT),
    ("rego", event::REGO),
    ("hold", privilege::HOLD),
    ("role", privilege::ROLE),
    ("fields", privilege::FIELDS),
    ("approvals", privilege::APPROVALS),
];

impl Findings {
    /// Takes a document of the native form and adds what it says.
    pub(super) fn policy(&mut self, node: &Node, into: &mut Document) {
        let Some(fields) = self.fields(node, "a policy", POLICY) else { return };
        if let Some(metadata) = fields.get("metadata") {
            self.metadata(metadata, into);
        }
        for node in fields.get("extends").map_or(&[][..], |node| list(node)) {
            into.extends.extend(self.parent(node));
        }
        if let Some(node) = fields.get("classes") {
            for (key, node) in self.map(node, "'classes'").unwrap_or_default() {
                let base = into.classes.iter().position(|known| known.name == key.name);
                match base.filter(|_| self.patches) {
                    Some(position) => {
                        let base = into.classes.get(position).cloned();
                        let patched = self.class(key, node, base);
                        if let Some((place, class)) = into.classes.get_mut(position).zip(patched) {
                            *place = class;
                        }
                    }
                    None => {
                        let class = self.class(key, node, None);
                        self.add_class(class, into);
                    }
                }
            }
        }
        self.redactions(&fields, into);
        self.enrichments(&fields, into);
        self.events(&fields, into);
        self.privileges(&fields, into);
        if let Some(node) = fields.get("retention") {
            let retention = self.retention(node);
            if into.retention != super::document::Retention::default() && !self.patches {
                self.twice(node, "the default retention");
            }
            into.retention = retention.unwrap_or_default();
        }
        if let Some(node) = fields.get("enforce") {
            self.enforce(node, into);
        }
    }

    /// Adds a class, unless there is one of its name.
    pub(super) fn add_class(&mut self, class: Option<Class>, into: &mut Document) {
        let Some(class) = class else { return };
        if into.classes.iter().any(|known| known.name == class.name) {
            let span = super::node::Span {
                line: class.place.line,
                column: class.place.column,
                length: class.place.length,
            };
            let message = format!("there are two classes '{}'", class.name);
            let help = "put what they say into one".to_owned();
            self.error(span, "policy/twice", message, help);
        } else {
            into.classes.push(class);
        }
    }

    /// Takes whose policy this is.
    fn metadata(&mut self, node: &Node, into: &mut Document) {
        let Some(fields) = self.fields(node, "'metadata'", METADATA) else { return };
        let text = |findings: &mut Self, name: &str| {
            let text = findings.text(fields.get(name)?, name)?;
            Some(text.to_owned())
        };
        if let Some(name) = text(self, "name") {
            if !into.name.is_empty() && into.name != name && !self.patches {
                self.twice(node, "the name of the policy");
            }
            into.name = name;
        }
        into.description = text(self, "description").or_else(|| into.description.take());
        into.owner = text(self, "owner").or_else(|| into.owner.take());
        into.metadata = self.place(node.span);
        if let Some(node) = fields.get("review_by") {
            into.metadata = self.place(node.span);
            into.review_by = self.date(node, "'review_by'").or(into.review_by);
        }
    }

    /// Takes what becomes of violations.
    fn enforce(&mut self, node: &Node, into: &mut Document) {
        let Some(fields) = self.fields(node, "'enforce'", ENFORCE) else { return };
        if let Some(node) = fields.get("on_violation") {
            into.on_violation = self.word(node, "'on_violation'", ENFORCEMENTS);
        }
        if let Some(node) = fields.get("unknown_class") {
            let words: Vec<(&str, Option<Enforcement>)> = ENFORCEMENTS
                .iter()
                .map(|(name, enforcement)| (*name, Some(*enforcement)))
                .chain([("accept", None)])
                .collect();
            into.unknown_class = self.word(node, "'unknown_class'", &words).flatten();
        }
    }

    /// Takes a parent, `name@sha256:<64 hexadecimal digits>`.
    fn parent(&mut self, node: &Node) -> Option<Parent> {
        let text = self.text(node, "a parent")?;
        let parent = text.split_once("@sha256:").and_then(|(name, digest)| {
            let digits: Option<Vec<u8>> = (0..32)
                .map(|byte| digest.get(2 * byte..2 * byte + 2))
                .map(|digits| u8::from_str_radix(digits?, 16).ok())
                .collect();
            let plain =
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            let bytes = digits.filter(|_| digest.len() == 64 && plain && !name.is_empty())?;
            let digest = PolicyDigest::from_bytes(bytes.try_into().ok()?);
            Some(Parent { name: name.to_owned(), digest, place: self.place(node.span) })
        });
        if parent.is_none() {
            let help =
                "write 'name@sha256:' and the 64 digits of the digest of its files, which stand \
                        in 'parents/name'"
                    .to_owned();
            self.error(node.span, "policy/parent", format!("'{text}' names no parent"), help);
        }
        parent
    }

    /// Takes a day.
    pub(super) fn date(&mut self, node: &Node, what: &str) -> Option<Date> {
        let text = self.text(node, what)?;
        let date = Date::parse(text);
        if date.is_none() {
            let help = "write it as 2027-06-01".to_owned();
            self.error(node.span, "policy/date", format!("'{text}' is no day"), help);
        }
        date
    }

    /// Takes a length of time.
    pub(super) fn period(&mut self, node: &Node, what: &str) -> Option<Period> {
        let Tree::Text(text) = &node.value else {
            return self.wrong(node, what, "a length of time as 90d, 12h or P1Y");
        };
        let period = Period::parse(text);
        if period.is_none() {
            let help = "write 90d, 12h, 60s, 90_days, 6_years or P90D".to_owned();
            self.error(node.span, "policy/period", format!("'{text}' is no length of time"), help);
        }
        period
    }

    /// Takes the period of a member, if it is there.
    pub(super) fn period_of(&mut self, fields: &Fields<'_>, name: &str) -> Option<Period> {
        self.period(fields.get(name)?, name)
    }

    /// Notes that something is stated twice.
    pub(super) fn twice(&mut self, node: &Node, what: &str) {
        self.error(node.span, "policy/twice", format!("{what} is stated twice"), None);
    }
}
