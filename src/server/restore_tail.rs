//! Brings a restored backup up to what was signed, from a copy of the log's tiles.
//!
//! A database that is older than its watermark must not be signed: that would be a second history. But
//! where someone keeps a copy of the log's entries, they can be appended again, if they lead to exactly
//! the root that was signed. Nobody has to be believed for that: the root says which entries they were.
//!
//! # Order
//!
//! 1. The whole tail is read, hashed and integrated, and every head that was signed has to come out: the
//!    watermark, and the source's own checkpoint if the log's key signed a larger tree. Nothing is written.
//! 2. The tail is read again and written bundle by bundle. Each has to be the one of the first reading, so
//!    that the stored log is a prefix of what was signed whenever this is interrupted; another run goes on.
//!
//! # Invariants
//!
//! - Memory holds one bundle, the right edge, and 32 bytes for each bundle of the tail.
//! - Nothing is signed here, and the watermark is not touched: the next start checks and signs.
//!
//! # Out of scope
//!
//! - Idempotency keys of the tail, and what opens the committed fields of its records: no copy of the tiles
//!   has them.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::{clock::SystemClock, directory::Directory, tail_source::TailSource};
use crate::{
    client::audit::Progress,
    core::{
        bundle::{self, BundleError, StoredEntry},
        checkpoint::SignedCheckpoint,
        hash::TreeHash,
        number::{LeafIndex, TreeSize, UnixMillis},
        tile::Resource,
        tree::{Edge, SecondRoot, TreeHead},
    },
    pipeline::Clock as _,
    store::{HeadRow, IdentityKey, IdentityRow, LogIdentity, LogRow, LogRows, Store, Watermark},
};

/// Entries of a full bundle.
const WIDE: u64 = 256;

/// What was brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Size of the stored log before.
    pub from: TreeSize,
    /// What is stored now.
    pub head: TreeHead,
}

/// Why a source's entries are not those that were signed. What is stored is a prefix of the log, as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A bundle is not the encoding of entries.
    #[error("entry {index}: {resource} of the source is damaged: {error}; nothing was changed")]
    Bundle {
        /// First entry of the bundle that was wanted.
        index: LeafIndex,
        /// The bundle.
        resource: Resource,
        /// What is wrong with it.
        error: BundleError,
    },
    /// The entries make another tree.
    #[error(
        "with the entries of the source the log has root {computed} at size {}, but root {} was signed: \
         the source or the stored copy is of another history; nothing was changed", .signed.size, .signed.root
    )]
    Root {
        /// The root over the stored entries and those of the source.
        computed: TreeHash,
        /// What was signed.
        signed: TreeHead,
    },
    /// The source's checkpoint is not signed by the log.
    #[error(
        "the checkpoint of the source is not one of this log: {error}; name the tiles of the right log, or \
         of a copy without a checkpoint. Nothing was changed"
    )]
    Checkpoint {
        /// Why it does not verify.
        error: String,
    },
    /// The source gave other entries when it was read again.
    #[error(
        "entries from {index}: the source gave others when it was read again; those below were restored and \
         are right. Name a source that does not change"
    )]
    Changed {
        /// First entry of the bundle that changed.
        index: LeafIndex,
    },
}

/// Takes the value out of a check, or leaves with what is wrong with the source.
macro_rules! fit {
    ($checked:expr) => {
        match $checked {
            Ok(value) => value,
            Err(unfit) => return Ok(Err(unfit)),
        }
    };
}

/// Either what was asked for, or why the source does not have it.
type Checked<T> = anyhow::Result<Result<T, Unfit>>;

/// Appends what a stored log lacks of what was signed. The server must be stopped.
///
/// The empty origin means the first log. Reports progress towards the head that is passed along, twice:
/// while the tail is verified and while it is written.
pub async fn restore_tail(
    data: &Path,
    watermark: Option<&Path>,
    origin: &str,
    source: &TailSource,
    mut progress: impl FnMut(Progress, &TreeHead),
) -> Checked<Restored> {
    let directory = Directory::open(data, watermark)?;
    let row = directory.log(origin)?;
    let watermark = Watermark::open(&directory.watermark)?;
    let Some(mark) = watermark.get(row.number)? else {
        bail!(
            "the watermark {} knows nothing of log {}: nothing says where its tail would have to lead",
            directory.watermark.display(),
            row.origin
        );
    };
    // As at a start: what another key has signed says nothing of this log.
    let vkey = row.vkeys.last().context("the log's row names no key")?;
    ensure!(
        mark.key_hash == TreeHash::digest(vkey.to_string().as_bytes()),
        "the watermark {} was raised under another key than the one that {} signs with: put the log's own \
         watermark back. Nothing was changed",
        directory.watermark.display(),
        row.origin
    );
    let stored = directory.store.head(row.number)?.context("the log has no head row")?;
    let from = stored.head.size;
    if from >= mark.head.size {
        let recovered = directory.store.recover(row.number, Some(mark.head))?;
        return Ok(Ok(Restored { from, head: recovered.durable.row().head }));
    }
    let recovered = directory.store.recover(row.number, None)?;
    let mut signed = vec![mark.head];
    signed.extend(fit!(newer_checkpoint(source, &row, &mark.head).await?));
    let tail = Tail { store: &directory.store, row: &row, source, signed };
    let digests = fit!(tail.verify(recovered.edge.clone(), &mut progress).await?);
    let head =
        tail.write(recovered.edge, recovered.second_root, stored, &digests, progress).await?;
    let head = fit!(head);
    directory.store.flush()?;
    Ok(Ok(Restored { from, head }))
}

/// Returns the head of the source's checkpoint if the log signed it after the watermark.
async fn newer_checkpoint(
    source: &TailSource,
    row: &LogRow,
    mark: &TreeHead,
) -> Checked<Option<TreeHead>> {
    let Some(note) = source.checkpoint().await? else { return Ok(Ok(None)) };
    let verified = row.vkeys.iter().rev().map(|vkey| SignedCheckpoint::verify(&note, vkey));
    let first = verified.reduce(|first, other| first.or_else(|error| other.map_err(|_| error)));
    let first = first.context("the log's row names no key")?;
    Ok(match first {
        Ok(checkpoint) if checkpoint.origin() == &row.origin => {
            Ok(Some(checkpoint.head()).filter(|head| head.size > mark.size))
        }
        Ok(checkpoint) => {
            Err(Unfit::Checkpoint { error: format!("it is of {}", checkpoint.origin()) })
        }
        Err(error) => Err(Unfit::Checkpoint { error: error.to_string() }),
    })
}

/// What is missing of a log, and where it is.
struct Tail<'a> {
    store: &'a Store,
    row: &'a LogRow,
    source: &'a TailSource,
    /// Heads that were signed, by size; the last one is where the tail ends.
    signed: Vec<TreeHead>,
}

/// Entries of one bundle that are missing.
struct Part {
    entries: Vec<Vec<u8>>,
    leaves: Vec<TreeHash>,
}

impl Tail<'_> {
    /// Returns where the tail ends.
    fn end(&self) -> TreeHead {
        *self.signed.last().expect("the watermark is one of them")
    }

    /// Reads the tail and compares every signed head; returns a digest of each bundle.
    async fn verify(
        &self,
        mut edge: Edge,
        progress: &mut impl FnMut(Progress, &TreeHead),
    ) -> Checked<Vec<TreeHash>> {
        let end = self.end();
        let mut done = Progress { entries: edge.size().get(), ..Progress::default() };
        let mut digests = Vec::new();
        while edge.size() < end.size {
            let part = fit!(self.part(edge.size()).await?);
            digests.push(digest(&part.leaves));
            let mut leaves = part.leaves.as_slice();
            while !leaves.is_empty() {
                // A signed head may lie inside a bundle.
                let next = self.signed.iter().find(|head| head.size > edge.size());
                let next = next.expect("no bundle is read beyond the end");
                let until = next.size.get() - edge.size().get();
                let until = usize::try_from(until).unwrap_or(usize::MAX).min(leaves.len());
                let (now, rest) = leaves.split_at(until);
                edge = edge.append(now).edge;
                leaves = rest;
                let computed = edge.head();
                if computed.size == next.size && computed.root != next.root {
                    return Ok(Err(Unfit::Root { computed: computed.root, signed: *next }));
                }
            }
            done.entries = edge.size().get();
            done.bytes += part.bytes();
            progress(done, &end);
        }
        Ok(Ok(digests))
    }

    /// Reads the tail again and writes it, bundle by bundle, with both computations of each root.
    async fn write(
        &self,
        mut edge: Edge,
        mut second: SecondRoot,
        stored: HeadRow,
        digests: &[TreeHash],
        mut progress: impl FnMut(Progress, &TreeHead),
    ) -> Checked<TreeHead> {
        // A log's heads never go back in time.
        let at = UnixMillis(SystemClock::start().now().0.max(stored.at.0));
        let mut done = Progress { entries: edge.size().get(), ..Progress::default() };
        for wanted in digests {
            let part = fit!(self.part(edge.size()).await?);
            if digest(&part.leaves) != *wanted {
                return Ok(Err(Unfit::Changed { index: edge.size().next_index() }));
            }
            let integration = edge.append(&part.leaves);
            let identities = self.identities(edge.size(), &part.leaves)?;
            let entries = part.entries.iter().map(Vec::as_slice);
            let (log, previous) = (self.row.number, edge.head());
            let rows = LogRows::encode(log, at, previous, entries, &integration, identities);
            let segments = rows.segments.iter().map(|(_, bytes)| bytes.as_slice());
            let tiles = rows.tiles.iter().map(|(id, bytes)| (*id, bytes.as_slice()));
            let (_, next) = second
                .check(segments, tiles, rows.head.head)
                .context("compute the root a second time; memory or disk is the suspect")?;
            self.store.commit(&[&rows])?;
            (edge, second) = (integration.edge, next);
            done.entries = edge.size().get();
            done.bytes += part.bytes();
            progress(done, &self.end());
        }
        Ok(Ok(edge.head()))
    }

    /// Reads what a log of some size lacks of its next bundle.
    async fn part(&self, size: TreeSize) -> Checked<Part> {
        let (number, skipped) = (size.get() / WIDE, size.get() % WIDE);
        let width = (self.end().size.get() - number * WIDE).min(WIDE);
        let width = u16::try_from(width).expect("a bundle has at most 256 entries");
        let resource = Resource::Entries { index: number, width };
        let bytes = self.source.read(resource).await?;
        let skipped = usize::try_from(skipped).expect("below 256");
        Ok(parse(&bytes, width.into()).map_err(|error| {
            let index = size.next_index();
            Unfit::Bundle { index, resource, error }
        }))
        .map(|parsed| parsed.map(|entries| Part::new(entries.get(skipped..).unwrap_or_default())))
    }

    /// Returns the identities that entries from a size on get: those that follow from their bytes alone.
    fn identities(
        &self,
        size: TreeSize,
        leaves: &[TreeHash],
    ) -> anyhow::Result<Vec<(IdentityKey, IdentityRow)>> {
        if self.row.identity != LogIdentity::EntryHash {
            return Ok(Vec::new());
        }
        let key = |leaf: &TreeHash| IdentityKey::entry_hash(self.row.number, leaf);
        let keys: Vec<IdentityKey> = leaves.iter().map(key).collect();
        let known = self.store.identities(&keys)?;
        let mut new: Vec<(IdentityKey, IdentityRow)> = Vec::new();
        let numbered = (size.get()..).zip(leaves);
        for ((key, (index, leaf)), known) in keys.into_iter().zip(numbered).zip(known) {
            // The first entry with the bytes is the one that is found.
            if known.is_none() && !new.iter().any(|(other, _)| *other == key) {
                let index = LeafIndex::new(index).expect("an entry of a signed tree");
                new.push((key, IdentityRow { index, tag: *leaf }));
            }
        }
        Ok(new)
    }
}

impl Part {
    /// Hashes entries.
    fn new(entries: &[&[u8]]) -> Self {
        let leaves = entries.iter().map(|entry| TreeHash::leaf(entry)).collect();
        Self { entries: entries.iter().map(|entry| (*entry).to_vec()).collect(), leaves }
    }

    /// Returns the length of all entries.
    fn bytes(&self) -> u64 {
        let bytes = self.entries.iter().map(Vec::len).sum::<usize>();
        u64::try_from(bytes).expect("a bundle has at most 16 MiB")
    }
}

/// Takes the first `width` entries of a bundle, which may hold more of them by now.
fn parse(bytes: &[u8], width: usize) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::with_capacity(width);
    for (position, entry) in bundle::decode(bytes).take(width).enumerate() {
        match entry? {
            StoredEntry::Bytes(entry) => entries.push(entry),
            StoredEntry::Erased(_) => return Err(BundleError::Empty { position }),
        }
    }
    if entries.len() < width {
        return Err(BundleError::Missing { expected: width, found: entries.len() });
    }
    Ok(entries)
}

/// Returns what tells the entries of one bundle from any others.
fn digest(leaves: &[TreeHash]) -> TreeHash {
    let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
    TreeHash::digest(&hashes)
}
