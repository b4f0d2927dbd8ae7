//! Rows in which the write path of an audit log remembers what no record says.
//!
//! They are written with the entries that they count, in one synced write, and may be lost without harm
//! to the log: what they hold is learned again.

use crate::core::number::LogNumber;

use super::{
    Damage, RowName, Store, StoreError, key,
    options::Family,
    row::{decode_source, encode_source},
};

/// The key of a row in the family `source`.
///
/// # Format
///
/// u32 log number, u8 kind, and what the kind says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceKey {
    /// The log.
    pub log: LogNumber,
    /// What the row is about.
    pub kind: u8,
    /// What of that kind it is about.
    pub rest: Vec<u8>,
}

impl SourceKey {
    /// Returns the stored key.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = key::head(self.log).to_vec();
        bytes.push(self.kind);
        bytes.extend_from_slice(&self.rest);
        bytes
    }

    /// Takes a stored key.
    fn decode(stored: &[u8]) -> Option<Self> {
        let (log, rest) = stored.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first()?;
        Some(Self { log: key::parse_head(log)?, kind: *kind, rest: rest.to_vec() })
    }

    /// Returns the stored row with this content.
    pub fn row(content: &[u8]) -> Vec<u8> {
        encode_source(content)
    }
}

impl Store {
    /// Returns all that is remembered of a log, in the order of the keys.
    pub fn sources(&self, log: LogNumber) -> Result<Vec<(SourceKey, Vec<u8>)>, StoreError> {
        let (from, to) = (key::head(log), key::after(log));
        let rows = self.engine().scan(Family::Source, &from, &to, usize::MAX)?;
        let decode = |(stored, row): (Box<[u8]>, bytes::Bytes)| {
            let damaged = |fault| Damage { row: RowName::Source(log), fault };
            let key = SourceKey::decode(&stored);
            let key = key.ok_or_else(|| damaged(super::Fault::Content))?;
            Ok((key, decode_source(&row).map_err(damaged)?.to_vec()))
        };
        rows.into_iter().map(decode).collect()
    }
}
