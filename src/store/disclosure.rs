//! Reading what opens the commitments of records, sealed as it is stored.

use bytes::Bytes;

use crate::core::number::{LeafIndex, LogNumber, TreeSize};

use super::{
    Damage, Fault, RowName, Store, StoreError, engine::Row, key, options::Family, read::Scan,
};

impl Store {
    /// Returns the sealed row of a field of a record; nothing where there is none, or none any more.
    pub fn disclosure(
        &self,
        log: LogNumber,
        index: LeafIndex,
        field: u16,
    ) -> Result<Option<Bytes>, StoreError> {
        let stored = [key::disclosures(log, index).as_slice(), &field.to_be_bytes()].concat();
        let row = self.engine().get(Family::Disclosure, &stored)?;
        Ok(row.map(|row| Bytes::copy_from_slice(&row)))
    }

    /// Returns the sealed rows of the records `[from, to)`, in the order of indices and fields.
    pub fn disclosures(&self, log: LogNumber, from: LeafIndex, to: TreeSize) -> Disclosures {
        let end = match to {
            TreeSize::MAX => key::after(log),
            to => key::disclosures(log, to.next_index()).into(),
        };
        let rows = Scan::new(self, Family::Disclosure, key::disclosures(log, from).into(), end);
        Disclosures { rows, log }
    }
}

/// Sealed rows with the index and field that each is for. See [`Store::disclosures`].
#[derive(Debug)]
pub struct Disclosures {
    rows: Scan,
    log: LogNumber,
}

impl Iterator for Disclosures {
    type Item = Result<(LeafIndex, u16, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let parse = |(stored, row): Row| {
            let damaged = Damage { row: RowName::Log(self.log), fault: Fault::Content };
            let (index, field) = key::parse_disclosure(self.log, &stored).ok_or(damaged)?;
            Ok((index, field, row))
        };
        Some(self.rows.next()?.and_then(parse))
    }
}
