//! The files of a witness, and what is done with them while it does not run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use zeroize::Zeroizing;

use crate::{
    core::{
        hash::TreeHash,
        note::{CosignatureTime, CosigningKey, KeyName, SigningKey, VerifierKey},
    },
    pipeline::Clock as _,
    server::{clock::SystemClock, files, random::Random},
    witness::{
        Order, Status,
        journal::{Journal, Record},
    },
};

/// What to make.
#[derive(Debug)]
pub struct Init {
    /// The directory; made if it does not exist.
    pub data: PathBuf,
    /// The watermark file; beside the directory if not named.
    pub watermark: Option<PathBuf>,
    /// The witness's name.
    pub name: KeyName,
}

/// Makes a witness: its key, its empty journal and its watermark, all of them durable.
pub fn init(init: Init, random: &mut Random) -> anyhow::Result<VerifierKey> {
    let Init { data, watermark, name } = init;
    let watermark = watermark.unwrap_or_else(|| files::watermark(&data));
    ensure!(
        !watermark.starts_with(&data),
        "the watermark {} lies inside the directory, where a restored copy would bring its own; move it out",
        watermark.display()
    );
    files::create_private_dir(&data)?;
    let path = key_path(&data);
    let seed = Zeroizing::new(random.key_seed());
    let plain = SigningKey::from_seed(name.clone(), &seed);
    if !files::create_secret(&path, &plain.format())? {
        // Left from an attempt that was interrupted, unless there is a journal too.
        let kept = read_key(&data)?;
        ensure!(
            *kept.verifier_key().name() == name,
            "{} is the key of {}: name an empty directory or one that does not exist",
            path.display(),
            kept.verifier_key().name().as_str()
        );
    }
    let key = read_key(&data)?;
    Journal::create(&data, &watermark, key_hash(&key))?;
    Ok(key.verifier_key().clone())
}

/// Reads the key.
pub(super) fn read_key(data: &Path) -> anyhow::Result<CosigningKey> {
    let path = key_path(data);
    ensure!(
        path.exists(),
        "there is no witness in {}; make one with `attestree witness init`",
        data.display()
    );
    files::check_secret(&path)?;
    let text = Zeroizing::new(
        fs::read_to_string(&path).with_context(|| format!("read the key {}", path.display()))?,
    );
    let plain = SigningKey::parse(text.trim_end())
        .with_context(|| format!("parse the key {}", path.display()))?;
    Ok(CosigningKey::from_plain(&plain))
}

/// Opens what the witness remembers.
pub(super) fn open_journal(
    data: &Path,
    watermark: &Path,
    key: &CosigningKey,
) -> anyhow::Result<(Journal, Vec<Record>)> {
    Ok(Journal::open(data, watermark, key_hash(key))?)
}

/// Carries out orders on the files of a witness that does not run; returns what it remembers then.
pub fn give_orders(
    data: &Path,
    watermark: Option<&Path>,
    orders: &[Order],
) -> anyhow::Result<Status> {
    let key = read_key(data)?;
    let watermark = watermark.map_or_else(|| files::watermark(data), Path::to_owned);
    let (mut journal, records) = open_journal(data, &watermark, &key)?;
    let now = SystemClock::start().now().0 / 1_000;
    let now = CosignatureTime::new(now).expect("2^64 milliseconds are fewer than 2^63 seconds");
    let vkey = key.verifier_key().to_string();
    Ok(crate::witness::give_orders(&mut journal, &records, vkey, orders, now)?)
}

fn key_path(data: &Path) -> PathBuf {
    data.join("witness.skey")
}

/// Returns what ties the journal to the key.
fn key_hash(key: &CosigningKey) -> TreeHash {
    TreeHash::digest(key.verifier_key().to_string().as_bytes())
}
