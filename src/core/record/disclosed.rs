//! A field that is disclosed alone, as a text: path, salt and value.
//!
//! ```text
//! {"path":"/actor/email","salt":"<43 characters>","value":"a@example.com"}
//! {"path":"/ctx/raw","raw":"<base64url of the submitted bytes>","salt":"<43 characters>"}
//! ```
//!
//! Whoever has the record verifies it against the commitment at that path, and learns nothing else.

use zeroize::Zeroizing;

use super::commit::{Opening, Salt};
use super::json::{self, JsonError, Limits, Object, Value};
use super::member::SUBMISSION_LIMITS;
use super::path::Path;
use super::read::{DisclosureError, Record};
use super::text::{format_bytes, parse_array, parse_bytes};

/// Path of the commitment to a whole submission.
const RAW_PATH: &str = "/ctx/raw";

/// What the text of a disclosed field may ask of the reader: a whole submission in base64, or a value of one
/// that stands one level deeper, beside its path and salt.
const LIMITS: Limits = Limits {
    bytes: 2 * SUBMISSION_LIMITS.bytes,
    depth: SUBMISSION_LIMITS.depth + 1,
    values: SUBMISSION_LIMITS.values + 3,
};

/// A field that was disclosed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosed(Opening);

/// Why a text discloses no field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisclosedError {
    /// The text is no acceptable JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is not an object of these members in their form.
    #[error(
        "a disclosed field is {{\"path\":\"/...\",\"salt\":\"<43 characters of base64url>\",\"value\":...}}, or has \
         \"raw\" in base64url instead of the value"
    )]
    Form,
}

impl Disclosed {
    /// Discloses what opens a commitment; `None` if its value is neither canonical JSON nor a submission.
    pub fn new(opening: Opening) -> Option<Self> {
        let is_value = json::parse_canonical(&opening.value, &SUBMISSION_LIMITS).is_ok();
        (is_value || opening.path.as_str() == RAW_PATH).then_some(Self(opening))
    }

    /// Parses the text of a disclosed field. The value may be written in any way that JSON allows.
    pub fn parse(text: &[u8]) -> Result<Self, DisclosedError> {
        let Value::Object(members) = json::parse(text, &LIMITS)? else {
            return Err(DisclosedError::Form);
        };
        let field = |name| members.get(name).and_then(Value::as_str);
        let path = field("path").and_then(Path::parse).ok_or(DisclosedError::Form)?;
        let salt = field("salt").and_then(parse_array).ok_or(DisclosedError::Form)?;
        let value = match (members.get("value"), field("raw")) {
            (Some(value), None) => value.format().into_bytes(),
            (None, Some(raw)) if path.as_str() == RAW_PATH => {
                parse_bytes(raw).ok_or(DisclosedError::Form)?
            }
            _ => return Err(DisclosedError::Form),
        };
        if members.members().len() != 3 {
            return Err(DisclosedError::Form);
        }
        Ok(Self(Opening { path, salt: Salt::new(salt), value: Zeroizing::new(value) }))
    }

    /// Returns the canonical text.
    pub fn format(&self) -> Zeroizing<String> {
        let Opening { path, salt, value } = &self.0;
        let mut members = Object::from([
            ("path", path.as_str().into()),
            ("salt", format_bytes(salt.as_bytes()).into()),
        ]);
        // `/ctx/raw` is the server's: no producer's member stands there.
        match json::parse_canonical(value, &SUBMISSION_LIMITS) {
            Ok(value) if path.as_str() != RAW_PATH => members.insert("value", value),
            _ => members.insert("raw", format_bytes(value).into()),
        };
        Zeroizing::new(Value::Object(members).format())
    }

    /// Returns what opens the commitment.
    pub const fn opening(&self) -> &Opening {
        &self.0
    }

    /// Verifies the field against the record that it was disclosed of.
    pub fn verify(&self, record: &Record<'_>) -> Result<(), DisclosureError> {
        let Opening { path, salt, value } = &self.0;
        if path.as_str() == RAW_PATH {
            return record.verify_raw(salt, value).map(drop);
        }
        record.verify_disclosure(path, salt, value).map(drop)
    }
}
