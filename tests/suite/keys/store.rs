//! Keys are durable before anyone gets them, the same for everyone, and gone once they are destroyed.

use std::{fs, os::unix::fs::PermissionsExt as _, thread};

use attestree::core::number::LogNumber;
use attestree::core::origin::Origin;
use attestree::core::record::{KeyId, Path, Secret};
use attestree::store::keys::{KeptKey, KeyError, KeyStore};
use attestree::store::{OpenError, StoreError};
use rocksdb::{DB, Options};

use super::{Keyed, LOG, bytes_of, holds, kek, open, origin, seeded, subject};
use crate::store_world::copy_files;

#[test]
fn a_name_has_one_key_which_outlives_the_process() {
    let (keyed, store) = Keyed::new();
    let asked = ["subject/ada", "subject/bob", "subject/ada"];
    let keys = store.subject_keys(LOG, &origin(), &asked).unwrap();
    assert_eq!(keys[0], keys[2], "a name that stands twice in one call has one key");
    assert_ne!(keys[0], keys[1]);
    let path = Path::parse("/ctx/phone").unwrap();
    let token = store.token_key(LOG, &path, 692).unwrap();
    let identity = store.identity_secret(LOG).unwrap();

    // A copy of the files as a crash leaves them, without a clean close.
    let crashed = keyed.dir.with_extension("crashed");
    copy_files(&keyed.dir, &crashed);
    drop(store);
    for dir in [&keyed.dir, &crashed] {
        let store = open(dir, 1).unwrap();
        assert_eq!(store.subject_keys(LOG, &origin(), &asked).unwrap(), keys);
        assert_eq!(store.token_key(LOG, &path, 692).unwrap(), token);
        assert_eq!(store.identity_secret(LOG).unwrap(), identity);
        assert_eq!(store.subject_key(LOG, keys[1].id()).unwrap(), Some(keys[1].clone()));
        assert_eq!(store.subject_key(LOG, KeyId::from_bytes([0; 16])).unwrap(), None);
        // Another epoch, path or log has another key.
        let other = Path::parse("/ctx/fax").unwrap();
        let others = [
            store.token_key(LOG, &path, 693).unwrap(),
            store.token_key(LOG, &other, 692).unwrap(),
            store.token_key(LogNumber(8), &path, 692).unwrap(),
        ];
        assert!(!others.contains(&token));
        assert_ne!(store.identity_secret(LogNumber(8)).unwrap(), identity);
    }
}

#[test]
fn logs_never_share_the_key_of_a_subject() {
    let (_keyed, store) = Keyed::new();
    let other = Origin::parse("log.example/other").unwrap();
    let here = subject(&store, "subject/ada");
    let there = store.subject_keys(LogNumber(8), &other, &["subject/ada"]).unwrap().remove(0);
    assert_ne!(here, there);
    assert_eq!(store.subject_key(LogNumber(8), here.id()).unwrap(), None);
}

#[test]
fn threads_that_ask_at_once_get_one_key() {
    let (_keyed, store) = Keyed::new();
    let keys: Vec<Vec<Secret>> = thread::scope(|scope| {
        let ask = || {
            let names: Vec<String> = (0..8).map(|n| format!("subject/{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            store.subject_keys(LOG, &origin(), &names).unwrap()
        };
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    let mut kept = 0;
    store
        .each(|_| {
            kept += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(kept, 8);
}

#[test]
fn a_key_is_known_without_the_disk_once_it_was_asked_for() {
    let (keyed, store) = Keyed::new();
    assert_eq!(store.known_subject_key(LOG, &origin(), "subject/ada"), None);
    let key = subject(&store, "subject/ada");
    assert_eq!(store.known_subject_key(LOG, &origin(), "subject/ada"), Some(key.clone()));
    drop(store);
    let store = keyed.open(1).unwrap();
    assert_eq!(store.known_subject_key(LOG, &origin(), "subject/ada"), None);
    assert_eq!(subject(&store, "subject/ada"), key);
    assert_eq!(store.known_subject_key(LOG, &origin(), "subject/ada"), Some(key));
}

#[test]
fn another_kek_and_a_missing_store_are_refused_with_the_way_out() {
    let (keyed, store) = Keyed::new();
    let inside = KeyStore::open(&keyed.dir, kek(1), seeded(101)).map(drop).unwrap_err();
    assert!(matches!(inside, KeyError::Open(OpenError::InUse { .. })), "{inside}");
    drop(store);
    let other = keyed.open(2).unwrap_err();
    let KeyError::OtherKek { stored, given, .. } = &other else { panic!("{other}") };
    assert_eq!((*stored, *given), (kek(1).id(), kek(2).id()));
    assert!(other.to_string().contains("--kek"), "{other}");
    let nowhere = open(&keyed.dir.with_extension("nowhere"), 1).unwrap_err();
    assert!(matches!(nowhere, KeyError::Missing { .. }));
    assert!(nowhere.to_string().contains("--with-keys"), "{nowhere}");
    let again = KeyStore::create(&keyed.dir, kek(1), seeded(1)).unwrap_err();
    assert!(matches!(again, KeyError::Open(OpenError::Exists { .. })));
    let mode = fs::metadata(&keyed.dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_store_that_is_only_read_makes_no_key() {
    let (keyed, store) = Keyed::new();
    let key = subject(&store, "subject/ada");
    drop(store);
    let before = fs::read_dir(&keyed.dir).unwrap().count();
    let store = KeyStore::open_read_only(&keyed.dir, kek(1)).unwrap();
    assert_eq!(subject(&store, "subject/ada"), key);
    let refused = store.subject_keys(LOG, &origin(), &["subject/bob"]).unwrap_err();
    assert!(matches!(refused, KeyError::Store(StoreError::ReadOnly)), "{refused}");
    drop(store);
    assert_eq!(fs::read_dir(&keyed.dir).unwrap().count(), before);
}

#[test]
fn no_row_shows_a_name_or_a_key() {
    let (keyed, store) = Keyed::new();
    let key = subject(&store, "subject/ada@example.com");
    let long = format!("subject/{}", "long-canary".repeat(10_000));
    assert_eq!(subject(&store, &long), subject(&store, &long));
    store.token_key(LOG, &Path::parse("/ctx/ada@example.com").unwrap(), 1).unwrap();
    let names = |store: &KeyStore| {
        let mut names = Vec::new();
        let kept = store.each(|kept| {
            names.push(match kept {
                KeptKey::Subject { subject, .. } => subject,
                KeptKey::Token { path, .. } => path,
                KeptKey::Identity { .. } => String::new(),
            });
            Ok(())
        });
        kept.unwrap();
        names
    };
    let names = names(&store);
    assert!(names.contains(&"subject/ada@example.com".to_owned()));
    assert!(names.iter().any(|name| name.starts_with("long/") && name.len() == 48), "{names:?}");
    drop(store);
    // Once in the WAL, and once in a table.
    for _ in 0..2 {
        let bytes = bytes_of(&keyed.dir);
        let found = KeyId::of_row(&[&[1], key.id().as_bytes().as_slice()].concat()).unwrap();
        assert!(holds(&bytes, found.as_bytes()), "the search finds what is there");
        for canary in [&b"ada@example"[..], b"long-canary", &secret_bytes(&key)] {
            assert!(!holds(&bytes, canary));
        }
        drop(keyed.open(1).unwrap());
    }
}

/// Returns the bytes of a key, by way of its text.
fn secret_bytes(key: &Secret) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(key.format().rsplit(':').next().unwrap()).unwrap()
}

#[test]
fn a_destroyed_key_is_in_no_file_and_its_subject_gets_another() {
    let (keyed, store) = Keyed::new();
    let (ada, bob) = (subject(&store, "subject/ada"), subject(&store, "subject/bob"));
    drop(store);
    let row = row_of(&keyed, &ada);
    let store = keyed.open(1).unwrap();
    assert!(holds(&bytes_of(&keyed.dir), &row), "the search finds what is there");
    assert!(store.destroy_subject(LOG, &origin(), "subject/ada").unwrap());
    assert!(!holds(&bytes_of(&keyed.dir), &row), "while the store is open");
    assert!(!store.destroy_subject(LOG, &origin(), "subject/ada").unwrap());
    assert_eq!(store.subject_key(LOG, ada.id()).unwrap(), None);
    assert_ne!(subject(&store, "subject/ada"), ada);
    assert_eq!(subject(&store, "subject/bob"), bob);
    drop(store);
    let store = keyed.open(1).unwrap();
    assert_eq!(store.subject_key(LOG, ada.id()).unwrap(), None);
    assert_eq!(store.subject_key(LOG, bob.id()).unwrap(), Some(bob));
    assert!(!holds(&bytes_of(&keyed.dir), &row));
}

/// Returns what wraps the key of a subject, past the store.
fn row_of(keyed: &Keyed, key: &Secret) -> Vec<u8> {
    let db = DB::open_for_read_only(&Options::default(), &keyed.dir, false).unwrap();
    let found = [&[6, 0, 0, 0, 7], key.id().as_bytes().as_slice()].concat();
    let tag = db.get(found).unwrap().unwrap();
    let stored = [&[3, 0, 0, 0, 7], &tag[1..]].concat();
    db.get(stored).unwrap().unwrap()[1..62].to_vec()
}

#[test]
fn a_destroyed_epoch_gets_no_key_again() {
    let (keyed, store) = Keyed::new();
    let paths = ["/ctx/a", "/ctx/b"].map(|path| Path::parse(path).unwrap());
    for epoch in [691, 692] {
        paths.iter().for_each(|path| drop(store.token_key(LOG, path, epoch).unwrap()));
    }
    let kept = store.token_key(LOG, &paths[0], 692).unwrap();
    assert_eq!(store.destroy_epoch(LOG, 691).unwrap(), 2);
    assert_eq!(store.destroy_epoch(LOG, 691).unwrap(), 0);
    drop(store);
    let store = keyed.open(1).unwrap();
    let refused = store.token_key(LOG, &paths[0], 691).unwrap_err();
    assert!(matches!(refused, KeyError::EpochDestroyed { epoch: 691 }), "{refused}");
    assert_eq!(store.token_key(LOG, &paths[0], 692).unwrap(), kept);
    assert!(store.token_key(LogNumber(8), &paths[0], 691).is_ok(), "of another log");
}

#[test]
fn a_changed_row_is_no_key() {
    let (keyed, store) = Keyed::new();
    let (ada, bob) = (subject(&store, "subject/ada"), subject(&store, "subject/bob"));
    drop(store);
    let stored = |key: &Secret| {
        let db = DB::open_for_read_only(&Options::default(), &keyed.dir, false).unwrap();
        let found = [&[6, 0, 0, 0, 7], key.id().as_bytes().as_slice()].concat();
        [&[3, 0, 0, 0, 7], &db.get(found).unwrap().unwrap()[1..]].concat()
    };
    let (at_ada, at_bob) = (stored(&ada), stored(&bob));
    let db = DB::open(&Options::default(), &keyed.dir).unwrap();
    let (whole, other) = (db.get(&at_ada).unwrap().unwrap(), db.get(at_bob).unwrap().unwrap());
    drop(db);
    let mut changed: Vec<Vec<u8>> = (0..62).map(|at| flipped(&whole, at)).collect();
    changed.extend([other, Vec::new(), whole[..61].to_vec()]);
    for row in changed {
        let db = DB::open(&Options::default(), &keyed.dir).unwrap();
        db.put(&at_ada, &row).unwrap();
        drop(db);
        let store = KeyStore::open_read_only(&keyed.dir, kek(1)).unwrap();
        assert!(store.subject_keys(LOG, &origin(), &["subject/ada"]).is_err());
        assert!(store.subject_key(LOG, ada.id()).is_err());
        assert!(store.each(|_| Ok(())).is_err() || row.len() == whole.len());
    }
}

fn flipped(row: &[u8], at: usize) -> Vec<u8> {
    let mut row = row.to_vec();
    row[at] ^= 1;
    row
}

#[test]
fn a_copy_opens_with_the_same_kek() {
    let (keyed, store) = Keyed::new();
    let ada = subject(&store, "subject/ada");
    let copy = keyed.dir.with_extension("copy");
    assert_eq!(KeyStore::copy(&keyed.dir, &copy).unwrap(), 4, "beside the open one");
    assert!(KeyStore::copy(&keyed.dir, &copy).is_err());
    let bob = subject(&store, "subject/bob");
    let copied = open(&copy, 1).unwrap();
    assert_eq!(subject(&copied, "subject/ada"), ada);
    assert_ne!(subject(&copied, "subject/bob"), bob, "it was made after the copy");
}
