//! Mail in plain text. The same alert has the same Message-ID whenever it is sent.

use core::{fmt::Write as _, time::Duration};
use std::time::UNIX_EPOCH;

use lettre::{
    Message,
    message::{
        Mailbox,
        header::{ContentType, MIME_VERSION_1_0},
    },
};

use super::notice::Notice;
use super::text::{cut, hex};
use crate::core::hash::TreeHash;

/// Most characters of a subject: RFC 5322, section 2.1.1, asks for lines of 78, and more is folded.
const SUBJECT_CHARS_MAX: usize = 200;

/// Bytes of the origin's hash in a Message-ID: half of it, so that two logs of a billion meet with a chance
/// of 2^-69.
const ORIGIN_HASH_BYTES: usize = 16;

/// Writes the mail.
pub fn message(
    notice: &Notice,
    from: &Mailbox,
    to: &[Mailbox],
) -> Result<Message, lettre::error::Error> {
    let mut text = format!("{}.\n\n", notice.summary(str::to_owned));
    for (name, value) in notice.facts() {
        writeln!(text, "{name}: {value}").expect("writing to a string does not fail");
    }
    let subject = format!("[Attestree] {}", notice.summary(str::to_owned));
    let date = UNIX_EPOCH + Duration::from_micros(notice.at.micros());
    let message = Message::builder()
        .from(from.clone())
        .date(date)
        .message_id(Some(message_id(notice)))
        .subject(cut(&subject, SUBJECT_CHARS_MAX))
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN);
    to.iter().cloned().fold(message, lettre::message::MessageBuilder::to).body(text)
}

/// Names the mail by the log and the index. An origin itself may have dots where an address may not.
fn message_id(notice: &Notice) -> String {
    let hash = TreeHash::digest(notice.origin.as_str().as_bytes());
    let half = hash.as_bytes().first_chunk::<ORIGIN_HASH_BYTES>().expect("a hash has 32 bytes");
    format!("<{}.{}@attestree.invalid>", notice.index, hex(half))
}
