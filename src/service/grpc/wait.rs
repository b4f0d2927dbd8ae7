//! What an append waits for before it is answered.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tonic::metadata::MetadataMap;

use super::status::Denial;
use crate::{
    core::number::LeafIndex,
    pipeline::{Log, Outcome, Publish, Published, Receipted, Witnessed},
    proto::Wait,
    service::Desk,
};

/// Most milliseconds that an append waits for a quorum.
///
/// Witnesses are asked again within a minute, whatever happened; five of them are an outage that
/// waiting does not end.
const WAIT_MILLIS_MAX: u32 = 300_000;

/// How long an append waits for a quorum unless it says so: ten candidates at the default interval.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// What an append waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Waiting {
    /// A signed checkpoint, which is there when the entry is.
    Signed,
    /// A quorum, until this moment.
    Cosigned(Instant),
}

/// What an append is answered with.
#[derive(Clone, Debug)]
pub(in crate::service) struct Cover {
    /// The head that covers the entries; `None` where none may be shown.
    pub(in crate::service) published: Option<Arc<Published>>,
    /// Whether it has a quorum.
    pub(in crate::service) cosigned: bool,
}

impl Waiting {
    /// Reads what to wait for. On a log that publishes cosigned heads alone, every append waits for one.
    pub(super) fn parse(
        log: &Log,
        wait: i32,
        wait_ms: u32,
        metadata: Option<&MetadataMap>,
    ) -> Result<Self, Denial> {
        if wait_ms > WAIT_MILLIS_MAX {
            let message = format!("{wait_ms} is too long to wait; use 0 to {WAIT_MILLIS_MAX}");
            return Err(Denial::field("wait_ms", message));
        }
        let wait = Wait::try_from(wait)
            .map_err(|_unknown| Denial::field("wait", format!("{wait} is no Wait; use 0 to 2")))?;
        let Some(witnessed) = log.witnessed() else {
            return if wait == Wait::Cosigned {
                Err(Denial::no_witnesses())
            } else {
                Ok(Self::Signed)
            };
        };
        if wait != Wait::Cosigned && witnessed.publish() == Publish::Signed {
            return Ok(Self::Signed);
        }
        let asked = match wait_ms {
            0 => WAIT_DEFAULT,
            millis => Duration::from_millis(millis.into()),
        };
        let left = metadata.and_then(timeout).map(|left| left.saturating_sub(margin(left)));
        Ok(Self::until(left.map_or(asked, |left| left.min(asked))))
    }

    /// Waits for a quorum, from this moment on.
    pub(in crate::service) fn until(time: Duration) -> Self {
        Self::Cosigned(Instant::now() + time)
    }

    /// The usual time, for callers that can't say how long.
    pub(in crate::service) fn usual() -> Self {
        Self::until(WAIT_DEFAULT)
    }
}

/// What of a call's time is left for the answer to arrive in.
fn margin(left: Duration) -> Duration {
    (left / 4).min(Duration::from_millis(250))
}

/// Returns the time that a call has (`grpc-timeout`: up to eight digits and a unit).
fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let value = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit())
    {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

impl Cover {
    /// Covers entries by the head that they were signed with, or waits for a quorum.
    pub(in crate::service) async fn of(
        desk: &Desk,
        log: &Log,
        receipted: &Receipted,
        waiting: Waiting,
    ) -> Self {
        let signed = &receipted.published;
        match (waiting, log.witnessed()) {
            (Waiting::Cosigned(until), Some(witnessed)) => {
                let last = last(receipted);
                Self::wait(desk, witnessed, signed, last, until).await
            }
            (Waiting::Signed | Waiting::Cosigned(_), _) => {
                Self { published: Some(Arc::clone(signed)), cosigned: false }
            }
        }
    }

    /// Waits for a quorum over a leaf. When the time is over, or the server stops, the best there is has
    /// to do: the entry is in the log.
    async fn wait(
        desk: &Desk,
        witnessed: &Witnessed,
        signed: &Arc<Published>,
        last: LeafIndex,
        until: Instant,
    ) -> Self {
        let mut candidates = witnessed.watch();
        let cosigned = async {
            let covers = |head: &Arc<Published>| head.head().size.contains(last);
            let found = candidates.wait_for(|all| all.cosigned().is_some_and(covers)).await;
            found.ok().and_then(|all| all.cosigned().cloned())
        };
        let waited = desk.closing.run_until_cancelled(timeout_at(until, cosigned)).await;
        if let Some(Ok(Some(published))) = waited {
            return Self { published: Some(published), cosigned: true };
        }
        if witnessed.publish() == Publish::Cosigned {
            return Self { published: None, cosigned: false };
        }
        let candidates = witnessed.candidates();
        let newest = candidates.newest().filter(|all| all.head().head().size.contains(last));
        let published = newest.map(|candidate| {
            let Published { edge, at, .. } = &**candidate.head();
            let checkpoint = candidate.checkpoint().clone();
            Arc::new(Published { checkpoint, edge: edge.clone(), at: *at })
        });
        Self { published: Some(published.unwrap_or_else(|| Arc::clone(signed))), cosigned: false }
    }
}

/// Returns the last leaf of a submission.
fn last(receipted: &Receipted) -> LeafIndex {
    let index = |outcome: &Outcome| match outcome {
        Outcome::Sequenced { index } | Outcome::Duplicate { index } => *index,
        Outcome::Conflict { first } => *first,
        Outcome::Suppressed => LeafIndex::default(),
    };
    receipted.outcomes.iter().map(index).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_call_is_read_in_every_unit() {
        let read = |value: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", value.parse().unwrap());
            timeout(&metadata)
        };
        assert_eq!(read("1H"), Some(Duration::from_hours(1)));
        assert_eq!(read("2M"), Some(Duration::from_mins(2)));
        assert_eq!(read("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("8n"), Some(Duration::from_nanos(8)));
        for wrong in ["", "S", "5", "123456789S", "-1S", "1x", "1.5S"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
