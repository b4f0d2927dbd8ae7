//! Slack's incoming webhooks, and those of others that take the same body.
//!
//! A name stands in a code span, where Slack reads no emphasis and no mentions, with the three characters
//! escaped that Slack's reference names; a backtick, which would end the span, is shown as an apostrophe.

use serde::Serialize;

use super::notice::Notice;

/// Most characters of the text: Slack cuts off at 40,000, others far earlier.
const TEXT_CHARS_MAX: usize = 3_000;

/// The body.
#[derive(Debug, Serialize)]
struct Body {
    text: String,
    mrkdwn: bool,
    unfurl_links: bool,
    unfurl_media: bool,
}

/// Writes the body.
pub fn body(notice: &Notice) -> String {
    let mut text = format!("*Attestree:* {}", notice.summary(span));
    for (name, value) in notice.facts() {
        let fact = format!("\n{name}: {}", span(&value));
        // A whole line or none of it, so that no span is left open.
        if text.chars().count() + fact.chars().count() <= TEXT_CHARS_MAX {
            text.push_str(&fact);
        }
    }
    let body = Body { text, mrkdwn: true, unfurl_links: false, unfurl_media: false };
    serde_json::to_string(&body).expect("strings are JSON")
}

/// Writes a name as a code span.
fn span(name: &str) -> String {
    let mut span = String::with_capacity(name.len() + 2);
    span.push('`');
    for c in name.chars() {
        match c {
            '&' => span.push_str("&amp;"),
            '<' => span.push_str("&lt;"),
            '>' => span.push_str("&gt;"),
            '`' => span.push('\''),
            c => span.push(c),
        }
    }
    span.push('`');
    span
}
