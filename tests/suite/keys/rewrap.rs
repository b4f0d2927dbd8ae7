//! A change of the KEK is whole or has not happened, wherever it is interrupted.

use std::{
    fs::{self, OpenOptions},
    path::Path as FilePath,
};

use attestree::core::record::{Path, Secret};
use attestree::store::keys::{KeyError, KeyStore, Step};

use super::{Keyed, LOG, bytes_of, holds, kek, open, origin, subject};
use crate::store_world::{copy_files, files};

/// Names of the keys of a filled store.
fn names() -> Vec<String> {
    (0..40).map(|number| format!("subject/{number}")).collect()
}

/// Returns all keys of a filled store.
fn keys(store: &KeyStore) -> Vec<Secret> {
    let names = names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut keys = store.subject_keys(LOG, &origin(), &names).unwrap();
    keys.push(store.token_key(LOG, &Path::parse("/ctx/phone").unwrap(), 692).unwrap());
    keys.push(store.identity_secret(LOG).unwrap());
    keys
}

#[test]
fn every_key_is_the_same_under_another_kek() {
    let (keyed, store) = Keyed::new();
    let before = keys(&store);
    drop(store);
    let wrapped = wrapped_rows(&keyed.dir);
    let store = keyed.open(1).unwrap();
    let other = store.clone();
    assert_eq!(store.rewrap(&*kek(2), |_| ()).unwrap(), 42);
    let late = other.subject_keys(LOG, &origin(), &["subject/late"]);
    assert!(late.is_err(), "a handle under the old KEK makes no key any more");
    drop(other);
    let bytes = bytes_of(&keyed.dir);
    assert!(!wrapped.iter().any(|row| holds(&bytes, row)), "what the old KEK opens is in no file");
    assert!(matches!(keyed.open(1).unwrap_err(), KeyError::OtherKek { .. }));
    let store = keyed.open(2).unwrap();
    assert_eq!(keys(&store), before);
    assert_eq!(store.subject_key(LOG, before[3].id()).unwrap(), Some(before[3].clone()));
}

/// Returns the wrapped keys, past the store.
fn wrapped_rows(dir: &FilePath) -> Vec<Vec<u8>> {
    let db = rocksdb::DB::open_for_read_only(&rocksdb::Options::default(), dir, false).unwrap();
    let rows = db.iterator(rocksdb::IteratorMode::Start).map(Result::unwrap);
    let keys = rows.filter(|(stored, _)| (2..=4).contains(&stored[0]));
    keys.map(|(_, row)| row[1..62].to_vec()).collect()
}

/// Returns which KEK opens a copy, and checks that all keys are there.
fn opened_by(dir: &FilePath, before: &[Secret]) -> u8 {
    let opening: Vec<u8> = [1, 2].into_iter().filter(|seed| open(dir, *seed).is_ok()).collect();
    assert_eq!(opening.len(), 1, "exactly one KEK opens it: {opening:?}");
    assert_eq!(keys(&open(dir, opening[0]).unwrap()), before);
    opening[0]
}

#[test]
fn a_crash_at_any_step_leaves_all_keys_under_one_kek() {
    let (keyed, store) = Keyed::new();
    let before = keys(&store);
    drop(store);
    let wrapped = wrapped_rows(&keyed.dir);
    let store = keyed.open(1).unwrap();
    let mut steps = Vec::new();
    store
        .rewrap(&*kek(2), |step| {
            let copy = keyed.dir.with_extension(format!("{step:?}"));
            copy_files(&keyed.dir, &copy);
            steps.push((step, copy));
        })
        .unwrap();
    let opened: Vec<(Step, u8)> =
        steps.iter().map(|(step, copy)| (*step, opened_by(copy, &before))).collect();
    assert_eq!(opened, [(Step::Wrapped, 1), (Step::Written, 2), (Step::Purged, 2)]);
    // What was interrupted before the files were written anew is done by the next open.
    for ((step, copy), left) in steps.iter().zip([true, false, false]) {
        let bytes = bytes_of(copy);
        assert_eq!(wrapped.iter().any(|row| holds(&bytes, row)), left, "{step:?}");
    }
}

#[test]
fn a_write_that_is_cut_off_anywhere_changes_nothing_or_everything() {
    let (keyed, store) = Keyed::new();
    let before = keys(&store);
    drop(store);
    let store = keyed.open(1).unwrap();
    let (old, whole) = (keyed.dir.with_extension("old"), keyed.dir.with_extension("whole"));
    let rewrapped = store.rewrap(&*kek(2), |step| match step {
        Step::Wrapped => copy_files(&keyed.dir, &old),
        Step::Written => copy_files(&keyed.dir, &whole),
        Step::Purged => {}
    });
    rewrapped.unwrap();
    let wal = files(&whole, ".log").pop().unwrap();
    let name = wal.file_name().unwrap();
    let (start, end) = (length(&old.join(name)), length(&wal));
    assert!(end > start, "the write is in the newest WAL");
    let mut opened = Vec::new();
    for part in 0..=16 {
        let copy = keyed.dir.with_extension(format!("cut-{part}"));
        copy_files(&whole, &copy);
        let cut = OpenOptions::new().write(true).open(copy.join(name)).unwrap();
        cut.set_len(start + (end - start) * part / 16).unwrap();
        drop(cut);
        opened.push(opened_by(&copy, &before));
    }
    assert!(opened[..16].iter().all(|kek| *kek == 1), "{opened:?}");
    assert_eq!(opened[16], 2);
}

fn length(path: &FilePath) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

#[test]
fn a_kek_that_fails_halfway_changes_nothing() {
    use attestree::core::record::{KeyId, KeyPurpose};
    use attestree::store::keys::{Kek, KekError};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A KEK behind a service that goes away after some calls.
    struct Leaving(AtomicU32);
    impl Kek for Leaving {
        fn id(&self) -> KeyId {
            kek(2).id()
        }

        fn wrap(
            &self,
            purpose: &KeyPurpose<'_>,
            key: &Secret,
            nonce: [u8; 12],
        ) -> Result<[u8; 61], KekError> {
            match self.0.fetch_sub(1, Ordering::Relaxed) {
                0 => Err(KekError::Unavailable { reason: "gone".to_owned() }),
                _ => kek(2).wrap(purpose, key, nonce),
            }
        }

        fn unwrap_key(&self, _: &KeyPurpose<'_>, _: &[u8]) -> Result<Secret, KekError> {
            Err(KekError::Unavailable { reason: "gone".to_owned() })
        }
    }

    let (keyed, store) = Keyed::new();
    let before = keys(&store);
    drop(store);
    for calls in [0, 1, 20, 42] {
        let store = keyed.open(1).unwrap();
        let failed = store.rewrap(&Leaving(AtomicU32::new(calls)), |_| ()).unwrap_err();
        assert!(matches!(failed, KeyError::Kek(KekError::Unavailable { .. })), "{failed}");
        assert_eq!(keys(&keyed.open(1).unwrap()), before);
    }
    assert_ne!(subject(&keyed.open(1).unwrap(), "subject/new"), before[0]);
}
