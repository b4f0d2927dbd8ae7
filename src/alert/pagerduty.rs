//! PagerDuty's Events API, version 2: one incident for each rule and source of a log.

use serde::Serialize;
use serde_json::{Map, Value};

use super::notice::{Notice, Severity};
use super::text::{cut, hex, line};
use crate::core::hash::TreeHash;

/// Where events go, unless another region is named.
pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// Most characters of a summary.
const SUMMARY_CHARS_MAX: usize = 1_000;

/// The body.
#[derive(Debug, Serialize)]
struct Body<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: String,
    client: &'static str,
    payload: Payload,
}

/// What the incident shows.
#[derive(Debug, Serialize)]
struct Payload {
    summary: String,
    source: String,
    severity: &'static str,
    timestamp: String,
    component: String,
    group: String,
    class: &'static str,
    custom_details: Map<String, Value>,
}

/// Writes the body.
pub fn body(notice: &Notice, routing_key: &str) -> String {
    let facts = notice.facts().into_iter();
    let details = facts.map(|(name, value)| (name.to_lowercase().replace(' ', "_"), value.into()));
    let payload = Payload {
        summary: cut(&notice.summary(str::to_owned), SUMMARY_CHARS_MAX),
        source: line(notice.source.as_deref().unwrap_or(notice.origin.as_str())),
        severity: severity(notice.kind.severity()),
        timestamp: notice.at.to_string(),
        component: line(&notice.rule),
        group: notice.origin.to_string(),
        class: notice.kind.as_str(),
        custom_details: details.collect(),
    };
    let body = Body {
        routing_key,
        event_action: "trigger",
        dedup_key: dedup_key(notice),
        client: "Attestree",
        payload,
    };
    serde_json::to_string(&body).expect("strings are JSON")
}

/// Names the incident: the same while the same rule of the same log fires about the same source and class.
///
/// A digest, because a key has 255 characters at most and a source may have more.
fn dedup_key(notice: &Notice) -> String {
    let mut named = Vec::new();
    let (source, class) = (notice.source.as_deref(), notice.class.as_deref());
    for part in [Some(notice.origin.as_str()), Some(&notice.rule), source, class] {
        // An absent part is no empty one, and no part runs into the next.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        named.extend_from_slice(&length.to_be_bytes());
        named.extend_from_slice(part.unwrap_or_default().as_bytes());
    }
    format!("attestree-{}", hex(TreeHash::digest(&named).as_bytes()))
}

/// Returns PagerDuty's word.
const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Notice => "info",
    }
}
