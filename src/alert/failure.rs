//! What comes back when a message is not taken, and what follows of it.

use core::{error::Error, time::Duration};

/// Longest wait that a receiver may ask for. Who asks for more is asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(15);

/// Statuses with which a receiver refuses a message for what it is: it never takes this one.
const STATUSES_FINAL: [u16; 3] = [400, 413, 422];

/// SMTP's codes of that kind: too large, and refused after it was read (RFC 5321, section 4.2.3). Others that
/// are permanent speak of addresses and of whoever sends, which somebody can put right.
const CODES_FINAL: [u16; 2] = [552, 554];

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no connection to the receiver, or it broke.
    #[error("the receiver can't be reached")]
    Unreachable {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The receiver takes too long.
    #[error("the receiver does not answer within {} seconds", patience.as_secs())]
    Slow {
        /// How long it had.
        patience: Duration,
    },
    /// A receiver of HTTP says something else than yes.
    #[error("the receiver answers with status {status}: {said}")]
    Status {
        /// The status.
        status: u16,
        /// What it says, shortly.
        said: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// A mail server says something else than yes.
    #[error("the mail server refuses")]
    Mail {
        /// Its code, if it gave one.
        code: Option<u16>,
        /// What it says.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The mail can't be written.
    #[error("the mail can't be written")]
    Unwritable {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Failure {
    /// Returns a word for counting: a closed list.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Slow { .. } => "timeout",
            // SMTP's codes for who may send: RFC 4954, section 6.
            Self::Status { status: 401 | 403 | 404, .. }
            | Self::Mail { code: Some(530..=538), .. } => "configuration",
            Self::Status { status: 429, .. } => "throttled",
            Self::Status { .. } | Self::Mail { .. } => "refused",
            Self::Unwritable { .. } => "unwritable",
        }
    }

    /// Returns whether the receiver will never take this message, whatever becomes of the configuration.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Status { status, .. } => STATUSES_FINAL.contains(status),
            Self::Mail { code, .. } => code.is_some_and(|code| CODES_FINAL.contains(&code)),
            Self::Unwritable { .. } => true,
            Self::Unreachable { .. } | Self::Slow { .. } => false,
        }
    }

    /// Returns how long the receiver asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => retry_after.map(|wait| wait.min(RETRY_AFTER_MAX)),
            _ => None,
        }
    }

    /// Joins what went wrong with its causes.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        text
    }
}
