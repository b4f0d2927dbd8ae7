//! Cuts ranges of entries out of the stored segments.
//!
//! A segment holds the entries of one commit inside one bundle, so a range begins and ends
//! anywhere inside segments.

use core::ops::ControlFlow;

use bytes::Bytes;

use super::{grpc::Denial, look};
use crate::{
    core::{
        bundle::{self, StoredEntry},
        number::{LeafIndex, LogNumber, TreeSize},
    },
    store::Store,
};

/// Gives each entry of `[from, to)` to `visit`, in order, until it breaks off; an erased entry has no
/// bytes.
///
/// The range must be published: anything that is missing or malformed is the server's own fault,
/// logged here.
pub(super) fn each(
    store: &Store,
    log: LogNumber,
    from: u64,
    to: u64,
    mut visit: impl FnMut(u64, Option<Bytes>) -> Result<ControlFlow<()>, Denial>,
) -> Result<(), Denial> {
    let mut next = from;
    if let (Some(first), Some(end)) = (LeafIndex::new(from), TreeSize::new(to))
        && from < to
    {
        for segment in store.segments(log, first, end).map_err(|error| look::unreadable(&error))? {
            let (first, bytes) = segment.map_err(|error| look::unreadable(&error))?;
            for (index, entry) in (first.get()..).zip(bundle::decode(&bytes)) {
                let entry = entry.map_err(|error| look::unreadable(&error))?;
                if index < next || index >= to {
                    continue;
                }
                if index > next {
                    return Err(missing(next));
                }
                let entry = match entry {
                    StoredEntry::Bytes(entry) => Some(bytes.slice_ref(entry)),
                    StoredEntry::Erased(_) => None,
                };
                if visit(index, entry)?.is_break() {
                    return Ok(());
                }
                next += 1;
            }
        }
    }
    if next < to { Err(missing(next)) } else { Ok(()) }
}

fn missing(leaf_index: u64) -> Denial {
    tracing::error!(leaf_index, "a published entry is missing");
    Denial::internal()
}
