//! `GetCheckpoint`, `AddCosignature`, `WatchCheckpoints` and `ListLogs`.

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use tokio_stream::{Stream, wrappers::WatchStream};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Response, Status};

use super::{Answered, answer, status::Denial};
use crate::{
    core::{
        hash::TreeHash,
        note::parse_signature_lines,
        number::{LogNumber, TreeSize},
        tree::TreeHead,
    },
    pipeline::{Candidate, Candidates, Log, LogStatus, Publish, Published},
    proto::{self, CheckpointKind, Identity, LogKind, LogState},
    service::{Desk, look, receiving::Share},
    store::{self, LogRow},
};

/// Returns the checkpoint that is asked for.
pub(super) fn get(
    desk: &Desk,
    request: &proto::GetCheckpointRequest,
) -> Answered<proto::GetCheckpointResponse> {
    let log = desk.log(&request.log)?;
    let kind = parse_kind(request)?;
    let checkpoint = match kind {
        CheckpointKind::Candidate => look::candidate(&log),
        CheckpointKind::Cosigned => match request.covering {
            None => look::cosigned(&log)?.checkpoint.clone(),
            Some(index) => look::covering(desk, &log, index)?,
        },
        CheckpointKind::Newest | CheckpointKind::Unspecified => log.published().checkpoint.clone(),
    };
    let has_quorum = log.witnessed().is_some_and(|witnessed| witnessed.has_quorum(&checkpoint));
    let checkpoint = Some(answer::of_checkpoint(&checkpoint));
    Ok(Response::new(proto::GetCheckpointResponse { checkpoint, cosigned: has_quorum }))
}

/// Which checkpoint is meant; whoever asks for one that covers an index asks for a cosigned one.
fn parse_kind(request: &proto::GetCheckpointRequest) -> Result<CheckpointKind, Denial> {
    let kind = known_kind(request.kind)?;
    match (kind, request.covering) {
        (CheckpointKind::Unspecified, None) => Ok(CheckpointKind::Newest),
        (CheckpointKind::Unspecified | CheckpointKind::Cosigned, Some(_)) => {
            Ok(CheckpointKind::Cosigned)
        }
        (kind, None) => Ok(kind),
        (_, Some(_)) => {
            let message = "only cosigned checkpoints are found by an index; leave kind out";
            Err(Denial::field("kind", message))
        }
    }
}

fn known_kind(kind: i32) -> Result<CheckpointKind, Denial> {
    CheckpointKind::try_from(kind).map_err(|_unknown| {
        Denial::field("kind", format!("{kind} is no CheckpointKind; use 0 to 3"))
    })
}

/// Takes the cosignatures of a candidate.
pub(super) fn add_cosignature(
    desk: &Desk,
    request: &proto::AddCosignatureRequest,
) -> Answered<proto::AddCosignatureResponse> {
    let log = desk.log(&request.log)?;
    if log.witnessed().is_none() {
        return Err(Denial::no_witnesses().into());
    }
    let size = TreeSize::new(request.tree_size)
        .ok_or_else(|| Denial::field("tree_size", "no tree has more than 2^62 leaves"))?;
    let root = TreeHash::from_slice(&request.root_hash)
        .ok_or_else(|| Denial::field("root_hash", "a root has 32 bytes"))?;
    let lines = parse_signature_lines(&request.signatures)
        .map_err(|error| Denial::field("signatures", error.to_string()))?;
    let now = desk.pipeline.clock().now();
    let taken = log
        .take_cosignatures(TreeHead { size, root }, &lines, now)
        .map_err(|error| Denial::no_candidate(&error))?;
    let accepted = u32::try_from(taken.witnesses.len()).expect("a note has 100 lines at most");
    Ok(Response::new(proto::AddCosignatureResponse { accepted, cosigned: taken.cosigned }))
}

/// Starts a stream of checkpoints.
pub(super) fn watch(
    desk: &Desk,
    request: &proto::WatchCheckpointsRequest,
) -> Answered<Checkpoints> {
    let log = desk.log(&request.log)?;
    let heads = Heads::of(&log, known_kind(request.kind)?)?;
    let share = desk.receiving.open();
    share.check()?;
    Ok(Response::new(Checkpoints {
        heads,
        closing: Box::pin(desk.closing.clone().cancelled_owned()),
        ended: false,
        _share: share,
    }))
}

/// Where a stream's heads come from.
enum Heads {
    /// Those that readers are shown.
    Shown(WatchStream<Arc<Published>>),
    /// Those that are made out of candidates. Cosignatures change candidates more often than there is a
    /// larger head, so what was sent last is remembered.
    Witnessed {
        changes: WatchStream<Candidates>,
        head: fn(&Candidates) -> Option<&Arc<Published>>,
        sent: Option<TreeSize>,
    },
}

impl Heads {
    /// Begins with what there is of a kind.
    fn of(log: &Log, kind: CheckpointKind) -> Result<Self, Denial> {
        let shown = || Ok(Self::Shown(WatchStream::new(log.watch())));
        let head: fn(&Candidates) -> Option<&Arc<Published>> = match kind {
            CheckpointKind::Newest | CheckpointKind::Unspecified => return shown(),
            CheckpointKind::Candidate => |all| all.newest().map(Candidate::head),
            CheckpointKind::Cosigned => Candidates::cosigned,
        };
        let is_candidate = kind == CheckpointKind::Candidate;
        match log.witnessed() {
            // As with `look::candidate`: without witnesses, or where nothing else is shown.
            None if is_candidate => shown(),
            Some(witnessed) if is_candidate && witnessed.publish() == Publish::Cosigned => shown(),
            None => Err(Denial::no_witnesses()),
            Some(witnessed) => {
                let changes = WatchStream::new(witnessed.watch());
                Ok(Self::Witnessed { changes, head, sent: None })
            }
        }
    }

    /// Returns the next head, as a stream does.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arc<Published>>> {
        let (changes, head, sent) = match self {
            Self::Shown(heads) => return Pin::new(heads).poll_next(context),
            Self::Witnessed { changes, head, sent } => (changes, head, sent),
        };
        while let Some(all) = core::task::ready!(Pin::new(&mut *changes).poll_next(context)) {
            let newer = head(&all).filter(|newest| Some(newest.head().size) > *sent);
            if let Some(newer) = newer {
                *sent = Some(newer.head().size);
                return Poll::Ready(Some(Arc::clone(newer)));
            }
        }
        Poll::Ready(None)
    }
}

/// The newest checkpoint and then each newer one.
///
/// It reads the channel only when the client has taken the one before, so a slow reader skips and
/// delays nobody.
pub struct Checkpoints {
    heads: Heads,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
    _share: Share,
}

impl Stream for Checkpoints {
    type Item = Result<proto::WatchCheckpointsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(published) = self.heads.poll_next(context) {
            return Poll::Ready(published.map(|published| {
                let checkpoint = Some(answer::checkpoint(&published));
                Ok(proto::WatchCheckpointsResponse { checkpoint })
            }));
        }
        // Such a stream never ends by itself and would hold up the shutdown.
        core::task::ready!(self.closing.as_mut().poll(context));
        self.ended = true;
        Poll::Ready(Some(Err(Denial::shutting_down().into())))
    }
}

/// Lists the logs, the default one first.
pub(super) fn logs(desk: &Desk) -> Response<proto::ListLogsResponse> {
    let told = |log: &Arc<Log>| {
        let active = desk.pipeline.active_policy(log);
        let policy_index = active.map(|(_, index)| index.get());
        (log.number(), proto::Log { policy_index, ..describe(log) })
    };
    let mut logs: Vec<(LogNumber, proto::Log)> = desk.pipeline.logs().iter().map(told).collect();
    // A log with a halt marker was not opened, so nothing of it is known to be published.
    let halted = desk.pipeline.halted_logs();
    logs.extend(halted.iter().map(|row| (row.number, describe_row(row, LogState::Halted, 0))));
    logs.sort_unstable_by_key(|(number, _)| *number);
    let logs = logs.into_iter().map(|(_, log)| log).collect();
    Response::new(proto::ListLogsResponse { logs })
}

/// Returns the message of one log.
pub(super) fn describe(log: &Log) -> proto::Log {
    let state = match log.status() {
        LogStatus::Open => LogState::Open,
        LogStatus::Closed => LogState::Closed,
        LogStatus::Halted => LogState::Halted,
        LogStatus::Waiting => LogState::Waiting,
        LogStatus::ClockDoubted => LogState::ClockDoubted,
    };
    describe_row(log.row(), state, log.published().head().size.get())
}

/// Returns the message of a log's row.
fn describe_row(row: &LogRow, state: LogState, tree_size: u64) -> proto::Log {
    let kind = match row.kind {
        store::LogKind::Opaque => LogKind::Opaque,
        store::LogKind::Audit => LogKind::Audit,
    };
    let identity = match row.identity {
        store::LogIdentity::None => Identity::None,
        store::LogIdentity::EntryHash => Identity::EntryHash,
    };
    let prefix = row.origin.http_prefix();
    proto::Log {
        origin: row.origin.as_str().to_owned(),
        prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
        kind: kind.into(),
        state: state.into(),
        vkeys: row.vkeys.iter().map(ToString::to_string).collect(),
        created_unix_ms: row.created.0,
        identity: identity.into(),
        tree_size,
        policy_index: None,
    }
}
