//! Where a log keeps its files, and how secrets among them are guarded.
//!
//! ```text
//! DIR/                       0700
//!   db/                      the database
//!   keys/                    the key store of audit logs, if there is one
//!   signing/<number>.skey    0600, one signing key a log
//!   alerts/                  how far alerts were brought to each sink, and what was set aside
//!   admin.sock               0600, while a server runs
//! DIR.watermark              outside, so that it is not restored together with DIR
//! DIR.kek                    0600, outside, so that it is not copied together with DIR/keys
//! ```

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use zeroize::Zeroizing;

use crate::core::{note::SigningKey, number::LogNumber, record::Secret};

/// Returns the default place of the watermark: beside the data directory.
pub(super) fn watermark(data: &Path) -> PathBuf {
    beside(data, ".watermark")
}

/// Returns where evidence against a log's own key goes: beside the data directory, so that a restored
/// copy does not take its place.
pub(super) fn evidence(data: &Path) -> PathBuf {
    beside(data, ".evidence")
}

/// Returns the default place of the key-encryption key: beside the data directory.
pub(super) fn kek(data: &Path) -> PathBuf {
    beside(data, ".kek")
}

/// Returns the place of the key store.
pub(super) fn keys(data: &Path) -> PathBuf {
    data.join("keys")
}

fn beside(data: &Path, ending: &str) -> PathBuf {
    // "DIR/" and "DIR" are the same directory and have the same watermark.
    let mut path = OsString::from(data.components().as_path());
    path.push(ending);
    path.into()
}

/// Returns the place of the database.
pub(super) fn database(data: &Path) -> PathBuf {
    data.join("db")
}

/// Returns the place of what is kept of the delivery of alerts.
pub(super) fn alerts(data: &Path) -> PathBuf {
    data.join("alerts")
}

/// Returns the place of the administrator's socket.
pub(super) fn socket(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Returns the place of a log's signing key.
pub(super) fn signing_key(data: &Path, log: LogNumber) -> PathBuf {
    data.join("signing").join(format!("{log}.skey"))
}

/// Creates a directory that only its owner can look into; one that exists is left as it is.
pub(super) fn create_private_dir(path: &Path) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("create {}", path.display())),
    }
}

/// Makes the creation of a file or directory durable.
fn sync_parent(path: &Path) -> anyhow::Result<()> {
    // The parent of a bare name is the working directory.
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .with_context(|| format!("sync {}", parent.display()))
}

/// Refuses a secret that others than its owner can read or replace.
pub(super) fn check_secret(path: &Path) -> anyhow::Result<()> {
    let meta = fs::metadata(path).with_context(|| format!("read {}", path.display()))?;
    ensure!(meta.is_file(), "{} is not a file", path.display());
    let mode = meta.mode() & 0o777;
    ensure!(
        mode & 0o077 == 0,
        "{} has mode {mode:04o}, so others can read or change it; run: chmod 600 {}",
        path.display(),
        path.display(),
    );
    Ok(())
}

/// Returns whether there is a signing key of a log.
pub(super) fn has_key(data: &Path, log: LogNumber) -> anyhow::Result<bool> {
    let path = signing_key(data, log);
    fs::exists(&path).with_context(|| format!("look for {}", path.display()))
}

/// Reads a log's signing key.
pub(super) fn read_key(data: &Path, log: LogNumber) -> anyhow::Result<SigningKey> {
    let path = signing_key(data, log);
    ensure!(
        has_key(data, log)?,
        "there is no signing key {}; put it back, for no other can sign for this log; if it is lost, close \
         the log and create one with another origin",
        path.display(),
    );
    check_secret(&path)?;
    let text = Zeroizing::new(
        fs::read_to_string(&path)
            .with_context(|| format!("read the signing key {}", path.display()))?,
    );
    SigningKey::parse(text.trim_end())
        .with_context(|| format!("parse the signing key {}", path.display()))
}

/// Reads a key-encryption key.
pub(super) fn read_kek(path: &Path) -> anyhow::Result<Secret> {
    check_secret(path).with_context(|| {
        format!(
            "open the key-encryption key {}: without it the keys of audit logs do not unwrap",
            path.display()
        )
    })?;
    let text = Zeroizing::new(
        fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?,
    );
    Secret::parse(text.trim_end()).with_context(|| format!("parse {}", path.display()))
}

/// Writes a new key-encryption key durably, and returns the one that the file has. One that is there is
/// never overwritten.
pub(super) fn keep_kek(path: &Path, kek: &Secret) -> anyhow::Result<Secret> {
    create_secret(path, &kek.format())?;
    read_kek(path)
}

/// Writes a new log's signing key durably, and returns the key that the log has.
///
/// An existing file is never overwritten. A key of the same name that is there already was made for
/// this log by an attempt that was interrupted before it wrote the log's row: nothing was ever signed
/// with it, and it is the log's key.
pub(super) fn keep_key(data: &Path, log: LogNumber, key: SigningKey) -> anyhow::Result<SigningKey> {
    let path = signing_key(data, log);
    if let Some(parent) = path.parent() {
        create_private_dir(parent)?;
    }
    if create_secret(&path, &key.format())? {
        return Ok(key);
    }
    let kept = read_key(data, log)?;
    let name = |key: &SigningKey| key.verifier_key().name().as_str().to_owned();
    if name(&kept) != name(&key) {
        bail!(
            "{} is the key of {}, which is no log here: move it away",
            path.display(),
            name(&kept)
        );
    }
    Ok(kept)
}

/// Writes a secret and a line feed to a new file that only its owner can read, durably; returns false
/// if there is a file already, which is never overwritten.
pub(super) fn create_secret(path: &Path, secret: &str) -> anyhow::Result<bool> {
    // Written aside and linked, so that a file with the key's name holds all of it.
    let aside = path.with_extension("new");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", aside.display()));
        }
        _ => {}
    }
    let text = Zeroizing::new(format!("{secret}\n"));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .with_context(|| format!("write {}", aside.display()))?;
    let linked = fs::hard_link(&aside, path);
    fs::remove_file(&aside).with_context(|| format!("remove {}", aside.display()))?;
    match linked {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("create {}", path.display())),
    }
}
