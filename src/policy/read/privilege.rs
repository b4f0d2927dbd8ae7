//! Who may do what, in documents: roles, holds and approvals.

use crate::core::record::{ApprovalRule, ApproverKey};
use crate::policy::document::{Document, Hold, Permission, Role};
use crate::policy::finding::{Fields, Findings, list};
use crate::policy::node::Node;

/// The members of a role.
pub(crate) const ROLE: &[&str] = &["role", "members", "can", "classes", "fields"];

/// The members of `fields`.
pub(crate) const FIELDS: &[&str] = &["allow", "deny"];

/// The members of a hold.
pub(crate) const HOLD: &[&str] = &["name", "reason", "classes", "match", "until"];

/// The members of `approvals`.
pub(crate) const APPROVALS: &[&str] = &["keys", "threshold"];

impl Findings {
    /// Takes everything of this file.
    pub(super) fn privileges(&mut self, fields: &Fields<'_>, into: &mut Document) {
        for node in fields.get("access").map_or(&[][..], |node| list(node)) {
            let Some(role) = self.role(node) else { continue };
            match into.access.iter_mut().find(|known| known.name == role.name) {
                Some(known) if self.patches => *known = role,
                Some(_) => self.twice(node, &format!("the role '{}'", role.name)),
                None => into.access.push(role),
            }
        }
        for node in fields.get("hold").map_or(&[][..], |node| list(node)) {
            into.holds.extend(self.hold(node));
        }
        if let Some(node) = fields.get("approvals") {
            if into.approvals.is_some() && !self.patches {
                self.twice(node, "who has to approve");
            }
            into.approvals = self.approvals(node).or_else(|| into.approvals.take());
        }
    }

    /// Takes a role.
    fn role(&mut self, node: &Node) -> Option<Role> {
        let fields = self.fields(node, "a role", ROLE)?;
        let name = self.needed_text(&fields, "role", "a role")?.to_owned();
        let words = Permission::ALL.map(|permission| (permission.name(), permission));
        let can = list(fields.need("can", "a role", self)?);
        let can = can.iter().filter_map(|node| self.word(node, "'can'", &words)).collect();
        let (mut allow, mut deny) = (Vec::new(), Vec::new());
        if let Some(node) = fields.get("fields") {
            let fields = self.fields(node, "'fields'", FIELDS)?;
            for (name, paths) in [("allow", &mut allow), ("deny", &mut deny)] {
                let nodes = fields.get(name).map_or(&[][..], |node| list(node));
                paths.extend(nodes.iter().filter_map(|node| self.field(node, "a field")));
            }
        }
        let globs = |findings: &mut Self, name| {
            fields.get(name).map_or_else(Vec::new, |node| findings.globs(node, name))
        };
        let members = globs(self, "members");
        let classes = globs(self, "classes");
        Some(Role { name, members, can, classes, allow, deny, place: self.place(node.span) })
    }

    /// Takes a hold.
    fn hold(&mut self, node: &Node) -> Option<Hold> {
        let fields = self.fields(node, "a hold", HOLD)?;
        let name = self.rule_name(&fields, "a hold")?;
        let reason = self.needed_text(&fields, "reason", "a hold")?.to_owned();
        Some(Hold {
            name,
            reason,
            classes: fields
                .get("classes")
                .map_or_else(Vec::new, |node| self.globs(node, "'classes'")),
            when: fields.get("match").map_or_else(Vec::new, |node| self.conditions(node)),
            until: fields.get("until").and_then(|node| self.date(node, "'until'")),
            place: self.place(node.span),
        })
    }

    /// Takes who has to approve the next policy.
    fn approvals(&mut self, node: &Node) -> Option<ApprovalRule> {
        let fields = self.fields(node, "'approvals'", APPROVALS)?;
        let nodes = list(fields.need("keys", "'approvals'", self)?);
        let mut keys = Vec::new();
        for node in nodes {
            let text = self.text(node, "a key")?;
            let Some(key) = ApproverKey::parse(text) else {
                let help = "write an Ed25519 public key as 43 characters of base64url".to_owned();
                self.error(node.span, "policy/key", "this is no key that can approve", help);
                return None;
            };
            keys.push(key);
        }
        let threshold = match fields.get("threshold") {
            Some(node) => usize::try_from(self.count(node, "'threshold'")?).ok()?,
            None => keys.len(),
        };
        let rule = ApprovalRule::new(keys, threshold);
        if rule.is_none() {
            let message =
                "there are at most 64 keys, each once, and the threshold is at most their number";
            self.error(node.span, "policy/approvals", message, None);
        }
        rule
    }
}
