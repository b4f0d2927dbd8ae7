//! The committed fields of stored records: each has a row beside the log that opens it, and no row is left over.

use core::iter::Peekable;

use anyhow::Context as _;

use crate::{
    core::{
        bundle::{self, StoredEntry},
        number::{LeafIndex, TreeSize},
        record::{Commitment, KeyId, Path, Place, Record, RecordError, RecordId},
    },
    store::{Disclosures, LogRow, Store, keys::KeyStore},
};

/// The first thing that is wrong with the fields of a stored log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldFinding {
    /// An entry of an audit log is no record.
    #[error("entry {index}: it is no audit record: {error}")]
    NoRecord {
        /// The entry.
        index: LeafIndex,
        /// Why not.
        error: RecordError,
    },
    /// Commitments have no row, and nothing in the log says why.
    #[error(
        "entry {index}: the field {} can't be disclosed, its row is missing: {holes} fields of this log are so, \
         and nothing recorded explains it", path.as_str()
    )]
    Hole {
        /// The first entry with such a field.
        index: LeafIndex,
        /// The first such field in it.
        path: Path,
        /// How many there are in the log.
        holes: u64,
    },
    /// A row belongs to no commitment.
    #[error("entry {index}: a disclosure is stored for its field {field}, which it does not have")]
    Stray {
        /// The entry.
        index: LeafIndex,
        /// The number of the field.
        field: u16,
    },
    /// The key of a row is not in the key store.
    #[error(
        "entry {index}: the key of the field {} is not in the key store, so nobody can disclose it",
        path.as_str()
    )]
    NoKey {
        /// The entry.
        index: LeafIndex,
        /// The field.
        path: Path,
    },
    /// A row does not open, or opens another commitment.
    #[error("entry {index}: what is stored for the field {} does not open it", path.as_str())]
    Sealed {
        /// The entry.
        index: LeafIndex,
        /// The field.
        path: Path,
    },
}

/// Fields that were checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Committed fields of all records.
    pub committed: u64,
    /// Whether each was opened, or the keys were not at hand.
    pub opened: bool,
}

/// Either how many fields there are, or the first thing that is wrong.
type Checked<T> = anyhow::Result<Result<T, FieldFinding>>;

/// Checks the fields of all records of a log; opens each if the keys are at hand.
pub(super) fn check(
    store: &Store,
    row: &LogRow,
    size: TreeSize,
    keys: Option<&KeyStore>,
) -> Checked<Fields> {
    let rows = store.disclosures(row.number, LeafIndex::default(), TreeSize::MAX).peekable();
    let mut pass = Pass { row, keys, rows, committed: 0, hole: None, holes: 0 };
    for segment in store.segments(row.number, LeafIndex::default(), size)? {
        let (first, segment) = segment.context("read a segment")?;
        for (index, entry) in (first.get()..).zip(bundle::decode(&segment)) {
            let index = LeafIndex::new(index).context("an index beyond the largest tree")?;
            // What is no entry is for the check of segments; what was erased has no fields any more.
            let Ok(StoredEntry::Bytes(entry)) = entry else { continue };
            if let Err(finding) = pass.record(index, entry)? {
                return Ok(Err(finding));
            }
        }
    }
    if let Some(stray) = pass.rows.next() {
        let (index, field, _) = stray.context("read a disclosure")?;
        return Ok(Err(FieldFinding::Stray { index, field }));
    }
    Ok(match pass.hole {
        Some((index, path)) => Err(FieldFinding::Hole { index, path, holes: pass.holes }),
        None => Ok(Fields { committed: pass.committed, opened: keys.is_some() }),
    })
}

/// A walk through records and rows side by side.
struct Pass<'a> {
    row: &'a LogRow,
    keys: Option<&'a KeyStore>,
    rows: Peekable<Disclosures>,
    committed: u64,
    /// The first field without a row.
    hole: Option<(LeafIndex, Path)>,
    holes: u64,
}

impl Pass<'_> {
    /// Checks the fields of one record.
    fn record(&mut self, index: LeafIndex, entry: &[u8]) -> Checked<()> {
        let record = match Record::parse(entry) {
            Ok(record) => record,
            Err(error) => return Ok(Err(FieldFinding::NoRecord { index, error })),
        };
        for (field, (path, commitment)) in (0..).zip(record.commitments()) {
            self.committed += 1;
            let stored = self.row_of(index, field)?;
            let row = match stored {
                Ok(Some(row)) => row,
                Ok(None) => {
                    self.holes += 1;
                    self.hole.get_or_insert((index, path));
                    continue;
                }
                Err(stray) => return Ok(Err(stray)),
            };
            let opened = self.open(record.id(), field, &row)?;
            match opened {
                Opened::As(found) if found != (path.clone(), commitment) => {
                    return Ok(Err(FieldFinding::Sealed { index, path }));
                }
                Opened::Not => return Ok(Err(FieldFinding::Sealed { index, path })),
                Opened::NoKey => return Ok(Err(FieldFinding::NoKey { index, path })),
                Opened::As(_) | Opened::Unseen => {}
            }
        }
        Ok(Ok(()))
    }

    /// Returns the row of a field, which has to be the next one.
    fn row_of(&mut self, index: LeafIndex, field: u16) -> Checked<Option<bytes::Bytes>> {
        let wanted = |stored: &Result<(LeafIndex, u16, bytes::Bytes), _>| match stored {
            Ok((found, number, _)) => (*found, *number) <= (index, field),
            Err(_) => true,
        };
        let Some(stored) = self.rows.next_if(wanted) else { return Ok(Ok(None)) };
        let (found, number, row) = stored.context("read a disclosure")?;
        if (found, number) < (index, field) {
            return Ok(Err(FieldFinding::Stray { index: found, field: number }));
        }
        Ok(Ok(Some(row)))
    }

    /// Opens a row, if the keys are at hand.
    fn open(&self, id: RecordId, field: u16, row: &[u8]) -> anyhow::Result<Opened> {
        let Some(keys) = self.keys else { return Ok(Opened::Unseen) };
        let Some(key) = KeyId::of_row(row) else { return Ok(Opened::Not) };
        let Some(key) = keys.subject_key(self.row.number, key)? else { return Ok(Opened::NoKey) };
        let place = Place { origin: &self.row.origin, id, field };
        Ok(place.open(&key, row).map_or(Opened::Not, |opening| {
            let commitment = opening.commitment();
            Opened::As((opening.path, commitment))
        }))
    }
}

/// What became of a row.
enum Opened {
    /// It opens this commitment at this path.
    As((Path, Commitment)),
    /// It does not open.
    Not,
    /// Its key is not there.
    NoKey,
    /// No keys are at hand.
    Unseen,
}
