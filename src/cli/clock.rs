//! The time of this machine.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::core::record::Timestamp;

/// Returns the time.
#[expect(
    clippy::disallowed_methods,
    reason = "a plan ends by the clock of whoever makes, approves or applies it, and a line is read by a clock"
)]
pub(super) fn now() -> anyhow::Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?;
    let micros = u64::try_from(since.as_micros()).ok().and_then(Timestamp::from_micros);
    micros.context("the clock is beyond the year 9999")
}
