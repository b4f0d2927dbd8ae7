//! Redaction and enrichment in documents.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::policy::{Action, Detector, Enrichment, Lookup, Target, Treatment};
use crate::core::record::is_class;
use crate::policy::document::{Document, Redaction};
use crate::policy::finding::{Fields, Findings, list, near};
use crate::policy::node::{Node, Tree};

/// The members of a redaction.
pub(crate) const REDACTION: &[&str] =
    &["path", "detect", "action", "keep_last", "subject", "epoch"];

/// The members of an enrichment.
pub(crate) const ENRICHMENT: &[&str] =
    &["name", "from", "map", "default", "cidr", "headers", "allow"];

/// What is done, by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Drop,
    Mask,
    Commit,
    Token,
}

/// The actions of a redaction.
const KINDS: &[(&str, Kind)] =
    &[("drop", Kind::Drop), ("mask", Kind::Mask), ("commit", Kind::Commit), ("token", Kind::Token)];

/// Most days of an epoch of tokens: a century.
const EPOCH_DAYS_MAX: u64 = 36_500;

impl Findings {
    /// Takes what is taken out of events.
    pub(super) fn redactions(&mut self, fields: &Fields<'_>, into: &mut Document) {
        let Some(node) = fields.get("redact") else { return };
        for node in list(node) {
            into.redactions.extend(self.redaction(node));
        }
    }

    /// Takes one redaction.
    fn redaction(&mut self, node: &Node) -> Option<Redaction> {
        let fields = self.fields(node, "a redaction", REDACTION)?;
        let target = match (fields.get("path"), fields.get("detect")) {
            (Some(path), None) => Target::Path(self.field(path, "'path'")?),
            (None, Some(detector)) => Target::Detected(self.detector(detector)?),
            _ => {
                let message = "a redaction is about a 'path' or about what detectors 'detect'";
                self.error(node.span, "policy/redaction", message, None);
                return None;
            }
        };
        let kind = {
            let node = fields.need("action", "a redaction", self)?;
            self.word(node, "'action'", KINDS)?
        };
        let only = |findings: &mut Self, name, wanted| {
            if let Some(node) = fields.get(name).filter(|_| kind != wanted) {
                let message = format!("'{name}' has no meaning for this action");
                findings.error(node.span, "policy/redaction", message, None);
            }
        };
        only(self, "keep_last", Kind::Mask);
        only(self, "subject", Kind::Commit);
        only(self, "epoch", Kind::Token);
        let action = match kind {
            Kind::Drop => Action::Drop,
            Kind::Mask => {
                let kept =
                    fields.get("keep_last").map_or(Some(0), |node| self.count(node, "it"))?;
                Action::Mask { keep_last: usize::try_from(kept).ok()? }
            }
            Kind::Commit => {
                let subject = match fields.get("subject") {
                    Some(node) => Some(self.field(node, "'subject'")?),
                    None => None,
                };
                Action::Commit { subject }
            }
            Kind::Token => Action::TOKEN,
        };
        let epoch_days = fields.get("epoch").and_then(|node| {
            let days = self.period(node, "'epoch'")?.seconds / 86_400;
            if !(1..=EPOCH_DAYS_MAX).contains(&days) {
                let message = "an epoch has a whole number of days, from 1 to a century";
                self.error(node.span, "policy/epoch", message, None);
            }
            Some(days)
        });
        let place = self.place(node.span);
        Some(Redaction { treatment: Treatment { target, action }, epoch_days, place })
    }

    /// Takes a detector, also by the names that others have for it.
    fn detector(&mut self, node: &Node) -> Option<Detector> {
        let name = self.text(node, "'detect'")?;
        let plain = match name {
            "pan" | "credit-card" => "card",
            "aws-key" | "api-key" => "cloud-key",
            "ssn" => "national-id",
            other => other,
        };
        let found = Detector::parse(plain);
        if found.is_none() {
            let known = Detector::ALL.map(Detector::name);
            let help = near(name, known.into_iter())
                .map(|name| format!("did you mean '{name}'?"))
                .or_else(|| Some(format!("there are {}", known.join(", "))));
            self.error(
                node.span,
                "policy/detector",
                format!("there is no detector '{name}'"),
                help,
            );
        }
        found
    }

    /// Takes what is added to events.
    pub(super) fn enrichments(&mut self, fields: &Fields<'_>, into: &mut Document) {
        let Some(node) = fields.get("enrich") else { return };
        for node in list(node) {
            let Some((enrichment, redaction)) = self.enrichment(node) else { continue };
            if into.enrichments.iter().any(|known| known.name == enrichment.name) {
                self.twice(node, &format!("the enrichment '{}'", enrichment.name));
            } else {
                into.enrichments.push(enrichment);
                into.redactions.extend(redaction);
            }
        }
    }

    /// Takes one enrichment, with the redaction of what it replaces.
    fn enrichment(&mut self, node: &Node) -> Option<(Enrichment, Option<Redaction>)> {
        let fields = self.fields(node, "an enrichment", ENRICHMENT)?;
        if let Some(headers) = fields.get("headers") {
            return self.headers(node, headers, &fields);
        }
        let name = self.needed_text(&fields, "name", "an enrichment")?.to_owned();
        let from = self.needed_field(&fields, "from", "an enrichment")?;
        if !is_class(&name) {
            let message = format!("'{name}' can't be a member of ctx.enriched");
            let help = "1 to 128 of a-z, 0-9, '.', '_' and '-', the first no sign".to_owned();
            self.error(node.span, "policy/name", message, help);
            return None;
        }
        let lookup = match (fields.get("map"), fields.get("cidr")) {
            (Some(map), None) => {
                let mut entries = BTreeMap::new();
                for (key, value) in self.map(map, "'map'")? {
                    entries.insert(key.name.clone(), self.text(value, "a label")?.to_owned());
                }
                let otherwise = fields.get("default").and_then(|node| self.text(node, "'default'"));
                Lookup::Table { entries, otherwise: otherwise.map(str::to_owned) }
            }
            (None, Some(map)) => {
                let mut networks = Vec::new();
                for (key, value) in self.map(map, "'cidr'")? {
                    let network = self.network_name(&key.name, key.span)?;
                    networks.push((network, self.text(value, "a label")?.to_owned()));
                }
                Lookup::Networks(networks)
            }
            _ => {
                let message = "an enrichment has a 'map' of texts, labels of networks in 'cidr', or \
                               'headers' of which some are allowed";
                self.error(node.span, "policy/enrichment", message, None);
                return None;
            }
        };
        Some((Enrichment { name, from, lookup }, None))
    }

    /// Takes an allow-list of headers: those on it are copied, and what they came in is dropped.
    fn headers(
        &mut self,
        node: &Node,
        headers: &Node,
        fields: &Fields<'_>,
    ) -> Option<(Enrichment, Option<Redaction>)> {
        let from = self.field(headers, "'headers'")?;
        let allowed = {
            let node = fields.need("allow", "an enrichment by headers", self)?;
            self.texts(node, "a header")
        };
        let name = match fields.get("name") {
            Some(node) => self.text(node, "'name'")?.to_owned(),
            None => "headers".to_owned(),
        };
        if let Some(node) = fields.get("from").or_else(|| fields.get("map")) {
            self.twice(node, "what the enrichment is made of");
        }
        if !matches!(headers.value, Tree::Text(_)) {
            return None;
        }
        let names: BTreeSet<String> =
            allowed.iter().map(|name| name.to_ascii_lowercase()).collect();
        let treatment = Treatment { target: Target::Path(from.clone()), action: Action::Drop };
        let place = self.place(node.span);
        let dropped = Redaction { treatment, epoch_days: None, place };
        Some((Enrichment { name, from, lookup: Lookup::Members(names) }, Some(dropped)))
    }
}
