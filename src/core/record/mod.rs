//! Audit records: their canonical text, what in it is committed, and how what was committed is kept.
//!
//! ```text
//! Submission -> Event -> Draft -> entry        what a producer sends becomes a record
//!               System -> Draft -> entry       what the server says of its own
//! entry -> Record                              what a verifier reads
//! ```
//!
//! A submission can only become an [`Event`], and an event can only become a record of type `event`. The
//! bytes are described in [`crate::manual::records`].

mod approval;
mod commit;
mod disclosed;
mod draft;
mod echo;
mod event;
mod form;
pub mod json;
mod member;
mod name;
mod path;
mod read;
mod seal;
mod system;
mod text;
mod time;
mod token;
mod wrap;

pub use approval::{Approval, ApprovalRule, ApproverKey, Statement};
pub use commit::{COMMITMENT_NAME, Commitment, Opening, SALT_BYTES, Salt};
pub use disclosed::{Disclosed, DisclosedError};
pub use draft::{
    Decision, Draft, Head, REDACTIONS_MAX, RULES_MAX, Redaction, RedactionAction, TooLong,
};
pub use echo::{Echo, EchoError, Given, check_echo, holds_made};
pub use event::{Event, FormFault, Submission, SubmissionError, commit_raw};
pub use member::{
    ContentFault, FINGERPRINT_PREFIX, NAME_BYTES_MAX, RECORD_LIMITS, SERVER_CONTEXT,
    SUBMISSION_LIMITS, Submitted, UNPARSED,
};
pub use name::{
    PolicyDigest, RecordId, TOKEN_BYTES, TOKEN_NAME, Token, Verdict, is_class, is_rule,
};
pub use path::{PATH_BYTES_MAX, Path};
pub use read::{Body, DisclosureError, Record, RecordError, RecordedEvent};
pub use seal::{KEY_ID_BYTES, KeyId, Place, SECRET_BYTES, SealError, Sealer, Secret};
pub use system::{
    ActivePolicy, AlertCause, Engine, KeyConflict, PART_BYTES, POLICY_BYTES_MAX, PolicyPart,
    SourceNumber, System, Tally,
};
pub(crate) use text::format_bytes;
#[cfg(feature = "sources")]
pub(crate) use text::parse_bytes;
pub use time::{TIMESTAMP_BYTES, Timestamp};
pub use token::{EPOCH_DAYS, epoch, submission_tag};
pub use wrap::{
    KeyPurpose, NAME_TAG_BYTES, Names, SecretTextError, WRAP_NONCE_BYTES, WRAPPED_BYTES, long_name,
};

use json::{Number, Value};

/// Returns the version of the form of records.
fn version() -> Value<'static> {
    Number::from_integer(1).expect("1 is a safe integer").into()
}
