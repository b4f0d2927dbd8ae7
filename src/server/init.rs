//! `init`: makes a data directory, or adds a log to one.

use std::{fs, io, path::PathBuf};

use anyhow::{Context as _, ensure};

use super::{clock::SystemClock, files, keyring, random::Random};
use crate::{
    core::{
        note::{KeyName, SigningKey, VerifierKey},
        number::{LogNumber, UnixMillis},
        origin::Origin,
        record::ApprovalRule,
    },
    pipeline::{Clock as _, create_log, next_log},
    store::{LogIdentity, LogKind, LogRow, LogState, Store, StoreConfig, Watermark},
};

/// What to make.
#[derive(Debug)]
pub struct Init {
    /// The data directory; made if it does not exist.
    pub data: PathBuf,
    /// The watermark file; beside the data directory if not named.
    pub watermark: Option<PathBuf>,
    /// The new log's origin.
    pub origin: Origin,
    /// What makes two submissions the same entry.
    pub identity: LogIdentity,
    /// The log's key; made if not given.
    pub key: Option<SigningKey>,
    /// Of an audit log: who has to approve its first policy. Without it the log is an opaque one.
    pub rule: Option<ApprovalRule>,
    /// Of an audit log: the file of the key-encryption key; beside the data directory if not named.
    pub kek: Option<PathBuf>,
}

/// Makes a data directory with one log, or adds a log to an existing one whose server is stopped.
///
/// Returns the new log's verifier key. Everything is durable when it returns.
pub fn init(init: Init, random: &mut Random) -> anyhow::Result<VerifierKey> {
    let Init { data, watermark, origin, identity, key, rule, kek } = init;
    let watermark_path = watermark.unwrap_or_else(|| files::watermark(&data));
    let database = files::database(&data);
    let config = StoreConfig::default();
    // An init that was interrupted leaves a directory without a database in it.
    let (store, watermark) = if database.join("CURRENT").exists() {
        (Store::open(&database, &config)?, Watermark::open(&watermark_path)?)
    } else {
        files::create_private_dir(&data)?;
        ensure_unused(&data)?;
        let watermark = match fs::metadata(&watermark_path) {
            // Left from an init that was interrupted, or from a directory that is gone.
            Ok(_) => Watermark::open(&watermark_path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Watermark::create(&watermark_path)?
            }
            Err(error) => {
                return Err(error).with_context(|| format!("read {}", watermark_path.display()));
            }
        };
        (Store::init(&database, &config)?, watermark)
    };
    let number = next_log(&store, &origin)?;
    ensure!(
        watermark.get(number)?.is_none(),
        "the watermark {} knows a log {number} that this directory does not have: its database was lost or \
         is another one. Put the right database back; or move the watermark away for good, and never use \
         the old log's key again",
        watermark_path.display(),
    );
    let now = SystemClock::start().now();
    let key = match key {
        Some(key) => key,
        None => new_key(&origin, random.key_seed())?,
    };
    let key = files::keep_key(&data, number, key)?;
    let kind = kind_of(rule.as_ref(), identity)?;
    if kind == LogKind::Audit {
        let kek = kek.unwrap_or_else(|| files::kek(&data));
        keyring::ensure(&store, &data, &kek, random)?;
    }
    let row = row(number, origin, kind, identity, &key, now)?;
    create_log(&store, &row, &rule.unwrap_or(ApprovalRule::NOBODY))?;
    store.flush()?;
    watermark.sync()?;
    Ok(key.verifier_key().clone())
}

/// Refuses a directory with something else in it.
fn ensure_unused(data: &std::path::Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(data).with_context(|| format!("read {}", data.display()))?;
    for entry in entries {
        let name = entry.with_context(|| format!("read {}", data.display()))?.file_name();
        // What an init that was interrupted leaves behind.
        ensure!(
            name == "signing" || name == "db" || name == "db.new",
            "{} holds {name:?} and no database; name an empty directory or one that does not exist",
            data.display()
        );
    }
    Ok(())
}

/// Makes the key of a log.
pub(super) fn new_key(origin: &Origin, seed: [u8; 32]) -> anyhow::Result<SigningKey> {
    let name = KeyName::parse(origin.as_str()).context("use the origin as the key's name")?;
    Ok(SigningKey::from_seed(name, &seed))
}

/// Returns the kind of a log, by whether its first policy has to meet a rule.
pub(super) fn kind_of(
    rule: Option<&ApprovalRule>,
    identity: LogIdentity,
) -> anyhow::Result<LogKind> {
    ensure!(
        rule.is_none() || identity == LogIdentity::None,
        "no two records of an audit log are equal, so its identity can't be the entry hash"
    );
    Ok(if rule.is_some() { LogKind::Audit } else { LogKind::Opaque })
}

/// Makes the row of a log that signs with a key.
pub(super) fn row(
    number: LogNumber,
    origin: Origin,
    kind: LogKind,
    identity: LogIdentity,
    key: &SigningKey,
    created: UnixMillis,
) -> anyhow::Result<LogRow> {
    let vkey = key.verifier_key().clone();
    // c2sp.org/tlog-checkpoint: the name of a log's key is its origin.
    ensure!(
        vkey.name().as_str() == origin.as_str(),
        "the key is named {}, the log {origin}; a log's key has the log's origin as its name",
        vkey.name().as_str()
    );
    Ok(LogRow { number, origin, kind, state: LogState::Open, identity, vkeys: vec![vkey], created })
}
