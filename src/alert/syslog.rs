//! Syslog as RFC 5424 has it, framed by octet counting (RFC 6587, section 3.4.1; RFC 5425, section 4.3).
//!
//! ```text
//! 318 <107>1 2026-05-28T20:26:40.000000Z log.example attestree - alert [attestree@32473 origin="..."] ...
//! ```

use core::fmt::Write as _;

use super::notice::{Notice, Severity};
use super::text::line;
use crate::core::origin::Origin;

/// Log audit: RFC 5424, table 1.
const FACILITY: u8 = 13;

/// Writes the message with its length.
pub fn frame(notice: &Notice) -> Vec<u8> {
    let message = message(notice);
    [message.len().to_string().as_bytes(), b" ", message.as_bytes()].concat()
}

/// Writes the message.
fn message(notice: &Notice) -> String {
    let priority = FACILITY * 8 + severity(notice);
    let host = host(&notice.origin);
    let data = data(notice);
    let text = notice.summary(str::to_owned);
    // The byte order mark says that the text is UTF-8 (section 6.4).
    format!("<{priority}>1 {} {host} attestree - alert {data} \u{feff}{text}", notice.at)
}

/// Returns the number of section 6.2.1.
const fn severity(notice: &Notice) -> u8 {
    match notice.kind.severity() {
        Severity::Critical => 2,
        Severity::Error => 3,
        Severity::Warning => 4,
        Severity::Notice => 5,
    }
}

/// Returns the first part of an origin, which is the log's host by convention. It is no longer than a name
/// of a host may be, and of letters that such a name may have.
fn host(origin: &Origin) -> &str {
    origin.as_str().split('/').next().unwrap_or("-")
}

/// Writes the structured data: the number 32473 is the one that IANA keeps for documentation.
fn data(notice: &Notice) -> String {
    let mut data = "[attestree@32473".to_owned();
    let mut push = |name: &str, value: &str| {
        write!(data, " {name}=\"{}\"", escape(&line(value)))
            .expect("writing to a string does not fail");
    };
    push("id", &notice.id());
    push("origin", notice.origin.as_str());
    push("index", &notice.index.to_string());
    push("leaf_hash", &notice.leaf_hash.to_base64());
    push("rule", &notice.rule);
    push("kind", notice.kind.as_str());
    push("count", &notice.count.to_string());
    push("from", &notice.from.to_string());
    push("to", &notice.to.to_string());
    let known = [("source", &notice.source), ("class", &notice.class), ("policy", &notice.policy)];
    for (name, value) in known {
        if let Some(value) = value {
            push(name, value);
        }
    }
    data.push(']');
    data
}

/// Escapes a value: section 6.3.3.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
