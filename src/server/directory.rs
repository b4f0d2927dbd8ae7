//! The data directory of a stopped server, as the verbs open it that repair a log.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::files;
use crate::store::{LogRow, Store, StoreConfig};

/// An open database and the place of its watermark.
pub(super) struct Directory {
    /// The database, which nobody else has open.
    pub(super) store: Store,
    /// The watermark file, which may be missing.
    pub(super) watermark: PathBuf,
}

impl Directory {
    /// Opens the database of a data directory; the watermark stands beside it if it is not named.
    pub(super) fn open(data: &Path, watermark: Option<&Path>) -> anyhow::Result<Self> {
        let store = Store::open(&files::database(data), &StoreConfig::default())?;
        let watermark = watermark.map_or_else(|| files::watermark(data), Path::to_owned);
        Ok(Self { store, watermark })
    }

    /// Opens the database for reading, beside a running server or not.
    pub(super) fn open_read_only(data: &Path) -> anyhow::Result<Self> {
        let store = Store::open_read_only(&files::database(data), &StoreConfig::default())?;
        Ok(Self { store, watermark: files::watermark(data) })
    }

    /// Finds a log by its origin; the empty origin means the first log.
    pub(super) fn log(&self, origin: &str) -> anyhow::Result<LogRow> {
        let mut logs = self.store.logs()?;
        let wanted = |log: &LogRow| origin.is_empty() || log.origin.as_str() == origin;
        let Some(found) = logs.iter().position(wanted) else {
            let origins: Vec<&str> = logs.iter().map(|log| log.origin.as_str()).collect();
            bail!("no log here has the origin {origin:?}; there are: {}", origins.join(", "));
        };
        Ok(logs.swap_remove(found))
    }
}
