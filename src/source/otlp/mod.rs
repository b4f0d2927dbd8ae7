//! Log records of OpenTelemetry: bodies of OTLP, in protobuf and in JSON.
//!
//! ```text
//! ExportLogsServiceRequest -> ResourceLogs -> ScopeLogs -> LogRecord
//! ```
//!
//! A body is cut down to its records before any of them is decoded, so that one that is malformed spoils no other. Both
//! encodings become the same `LogRecord` first, and then an event; see [`crate::manual::sources`].
//!
//! # Admitted
//!
//! Fields that this version of the protocol does not have are skipped in protobuf, as that encoding means it, and
//! are lost. In JSON, a record keeps them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::foreign::Malformed;
use super::{Item, json, key};
use crate::core::hash::{HASH_BYTES, TreeHash};
use record::{LogRecord, Origin};

mod protobuf;
mod record;
mod text;
mod value;

/// Nanoseconds of a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Protobuf.
    Protobuf,
    /// The JSON of protobuf.
    Json,
}

/// Why a body can't be cut into its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uncut {
    /// It has not the form of a request.
    Malformed,
    /// It has more records than a request may have.
    Many,
}

/// Decodes a body. One that is no request, or has more than `items_max` records, is kept as it came.
pub fn decode(body: &Bytes, encoding: Encoding, items_max: usize) -> Vec<Item> {
    let mut harvest =
        Harvest { body, items_max, items: Vec::new(), found: 0, equal: BTreeMap::new() };
    let cut = match encoding {
        Encoding::Protobuf => protobuf::cut(body, &mut harvest),
        Encoding::Json => text::cut(body, &mut harvest),
    };
    match cut {
        Ok(()) => harvest.items,
        Err(Uncut::Malformed | Uncut::Many) => Item::unparsed(body, Some(&json::key_of(body))),
    }
}

/// The items of a body, as they are found in it.
struct Harvest<'a> {
    body: &'a Bytes,
    items_max: usize,
    items: Vec<Item>,
    /// How many records, and other things, were found.
    found: usize,
    /// How often a record was found that is the same in each byte.
    equal: BTreeMap<[u8; HASH_BYTES], u64>,
}

impl Harvest<'_> {
    /// Counts one more thing that was found.
    const fn find(&mut self) -> Result<usize, Uncut> {
        if self.found == self.items_max {
            return Err(Uncut::Many);
        }
        self.found += 1;
        Ok(self.found - 1)
    }

    /// Keeps something as it came, because no record can be made of it.
    fn unparsed(&mut self, came: &Bytes) -> Result<(), Uncut> {
        let place = self.find()?;
        self.items
            .extend(Item::unparsed(came, Some(&key::numbered(&json::key_of(self.body), place))));
        Ok(())
    }

    /// Takes a record, or the bytes that are none.
    fn record(
        &mut self,
        came: &Bytes,
        record: Result<LogRecord<'_>, Malformed>,
        origin: &Origin<'_>,
    ) -> Result<(), Uncut> {
        let Ok(record) = record else { return self.unparsed(came) };
        let Ok(draft) = record.draft(origin) else { return self.unparsed(came) };
        self.find()?;
        let key = self.key(came, [record.time, record.observed], origin);
        self.items.extend(draft.item(key, came));
        Ok(())
    }

    /// Returns what names a record: all of it with what sent it, if one of its times is finer than a millisecond.
    ///
    /// A clock that counts in milliseconds can well give two events one time, and losing one is worse than having it
    /// twice. Records of one body that are the same in each byte are numbered.
    fn key(&mut self, came: &[u8], times: [u64; 2], origin: &Origin<'_>) -> Option<Vec<u8>> {
        if times.iter().all(|time| time.is_multiple_of(MILLISECOND)) {
            return None;
        }
        let digest = TreeHash::digest(&[&origin.digest[..], came].concat());
        let earlier = self.equal.entry(*digest.as_bytes()).or_default();
        let key = match *earlier {
            0 => format!("record:{digest}"),
            count => format!("record:{digest}#{count}"),
        };
        *earlier += 1;
        Some(key.into_bytes())
    }
}
