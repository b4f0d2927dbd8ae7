//! What an append waits for before it is answered.

use super::status::Denial;
use crate::proto::Wait;

/// Most milliseconds that an append waits for a quorum.
///
/// Witnesses are asked again within a minute, whatever happened; five of them are an outage that
/// waiting does not end.
const WAIT_MILLIS_MAX: u32 = 300_000;

/// Reads what to wait for.
pub(super) fn parse_wait(wait: i32, wait_ms: u32) -> Result<(), Denial> {
    if wait_ms > WAIT_MILLIS_MAX {
        let message = format!("{wait_ms} is too long to wait; use 0 to {WAIT_MILLIS_MAX}");
        return Err(Denial::field("wait_ms", message));
    }
    match Wait::try_from(wait) {
        Ok(Wait::Unspecified | Wait::Published) => Ok(()),
        Ok(Wait::Cosigned) => Err(Denial::no_witnesses()),
        Err(_unknown) => Err(Denial::field("wait", format!("{wait} is no Wait; use 0 to 2"))),
    }
}
