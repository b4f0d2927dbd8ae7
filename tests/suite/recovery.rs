//! A log that is taken up again is the one that was left, or is refused.

use attestree::{
    core::{
        hash::TreeHash,
        number::{LogNumber, TreeSize},
        tree::{Edge, TreeHead},
    },
    store::{DropError, Inconsistency, OpenError, RecoverError, Store, StoreConfig, StoreError},
};

use crate::store_world::{Shelf, entry, put, rows, size};

/// Grows a tree in memory alone.
fn edge_of(size: u64) -> Edge {
    let leaves: Vec<_> = (0..size).map(|index| TreeHash::leaf(&entry(index))).collect();
    Edge::empty().append(&leaves).edge
}

#[test]
fn recovered_edge_is_the_one_that_grew_in_memory() {
    let sizes = [0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_791, 65_793];
    for batch in [200, 4_096] {
        let mut shelf = Shelf::new();
        for to in sizes {
            // The last batch before each size begins and ends at awkward places.
            shelf.grow(to, batch);
            shelf.reopen();
            let recovered = shelf.store().recover(shelf.log, Some(shelf.head())).unwrap();
            assert_eq!(recovered.edge.head(), edge_of(to).head(), "size {to}");
            assert_eq!(recovered.durable.row().head, shelf.head());
            assert_eq!(recovered.second.head(), shelf.head());
            assert_eq!(recovered.second_root.size(), to);
            for level in 0..8 {
                assert_eq!(recovered.edge.partial(level), shelf.edge.partial(level));
            }
            // What is recovered is what the next batch is appended to.
            shelf.edge = recovered.edge;
        }
    }
}

#[test]
fn watermark_at_every_earlier_size_is_accepted() {
    let shelf = Shelf::grown(1_300, 100);
    for at in (0..=1_300).step_by(13).chain([255, 256, 257, 1_199, 1_200, 1_201]) {
        shelf.store().recover(shelf.log, Some(edge_of(at).head())).unwrap();
    }
}

#[test]
fn older_copy_is_refused() {
    let shelf = Shelf::grown(300, 100);
    let newer = edge_of(301).head();
    let error = shelf.store().recover(shelf.log, Some(newer)).unwrap_err();
    assert!(matches!(error, RecoverError::RollbackDetected { stored, signed, .. }
        if stored.get() == 300 && signed.get() == 301));
    let text = error.to_string();
    for part in ["log.example/0", "300", "301", "newer copy", "tile", "another origin"] {
        assert!(text.contains(part), "{text:?} says {part:?}");
    }
}

#[test]
fn other_history_is_refused() {
    let shelf = Shelf::grown(700, 100);
    for at in [1, 255, 256, 257, 600, 699, 700] {
        let other = TreeHead { size: size(at), root: TreeHash::digest(b"other") };
        let error = shelf.store().recover(shelf.log, Some(other)).unwrap_err();
        assert!(matches!(error, RecoverError::Diverged { signed, .. } if signed == other));
    }
}

#[test]
fn unknown_log_is_refused() {
    let error = Shelf::new().store().recover(LogNumber(3), None).unwrap_err();
    assert!(matches!(error, RecoverError::Store(StoreError::LogUnknown { log }) if log.0 == 3));
}

/// Rows that recovery reads of a log of 600 entries in batches of 150: the right edge at size 450
/// and the last batch.
fn is_read(family: &str, key: &[u8]) -> bool {
    let number = |at: usize| u64::from_be_bytes(key[at..at + 8].try_into().unwrap());
    match family {
        "entry" => number(4) >= 256,
        "tile" => true,
        _ => family != "identity",
    }
}

#[test]
fn flipped_bit_in_any_row_that_is_read_is_refused() {
    let mut shelf = Shelf::grown(600, 150);
    let mut flipped = 0;
    for family in crate::store_world::FAMILIES {
        let mut all = Vec::new();
        shelf.tamper(|db| all = rows(db, family)).unwrap();
        for (key, row) in all.iter().filter(|(key, _)| is_read(family, key)) {
            let step = (row.len() / 6).max(1);
            for at in (0..row.len()).step_by(step).chain([row.len() - 1]) {
                // Of the first tile only the root is read; `fsck` reads the rest.
                if family == "tile" && key[10] == 1 && at < 9_152 {
                    continue;
                }
                let mut bad = row.clone();
                bad[at] ^= 1;
                let opened = shelf.tamper(|db| put(db, family, key, &bad));
                let watermark = Some(shelf.head());
                let taken = opened.is_ok() && shelf.store().recover(shelf.log, watermark).is_ok();
                assert!(!taken, "{family} {key:02x?} byte {at}");
                flipped += 1;
                shelf.tamper(|db| put(db, family, key, row)).unwrap();
            }
        }
    }
    assert!(flipped > 60, "{flipped} bits were flipped");
    shelf.reopen();
    shelf.store().recover(shelf.log, Some(shelf.head())).unwrap();
}

#[test]
fn missing_row_is_refused() {
    let mut shelf = Shelf::grown(600, 150);
    for family in ["meta", "head", "entry", "tile"] {
        let mut all = Vec::new();
        shelf.tamper(|db| all = rows(db, family)).unwrap();
        for (key, row) in all.iter().filter(|(key, _)| is_read(family, key)) {
            let opened =
                shelf.tamper(|db| db.delete_cf(db.cf_handle(family).unwrap(), key).unwrap());
            let recovered = opened.is_ok() && shelf.store().recover(shelf.log, None).is_ok();
            assert!(!recovered, "{family} {key:02x?}");
            shelf.tamper(|db| put(db, family, key, row)).unwrap();
        }
    }
}

#[test]
fn row_behind_the_head_is_refused() {
    let mut shelf = Shelf::grown(300, 100);
    let mut segment = [0; 12];
    segment[4..].copy_from_slice(&300_u64.to_be_bytes());
    shelf.tamper(|db| put(db, "entry", &segment, &[0, 1, b'x'])).unwrap();
    let error = shelf.store().recover(shelf.log, None).unwrap_err();
    assert!(matches!(
        error,
        RecoverError::Inconsistent { fault: Inconsistency::Beyond { .. }, .. }
    ));

    let mut shelf = Shelf::grown(300, 100);
    let mut tile = [0; 13];
    tile[4..12].copy_from_slice(&512_u64.to_be_bytes());
    shelf.tamper(|db| put(db, "tile", &tile, &[0; 9_184])).unwrap();
    let error = shelf.store().recover(shelf.log, None).unwrap_err();
    assert!(matches!(
        error,
        RecoverError::Inconsistent { fault: Inconsistency::Beyond { .. }, .. }
    ));
}

#[test]
fn halted_log_is_neither_recovered_nor_written() {
    let mut shelf = Shelf::grown(300, 100);
    shelf.store().halt(shelf.log, "root of size 300 differs").unwrap();
    for _ in 0..2 {
        assert_eq!(shelf.store().halted(shelf.log).unwrap().unwrap(), "root of size 300 differs");
        let error = shelf.store().recover(shelf.log, None).unwrap_err();
        assert!(matches!(error, RecoverError::Halted { .. }));
        assert!(error.to_string().contains("root of size 300 differs"));
        let (rows, _) = shelf.rows(&[entry(300)]);
        let error = shelf.store().commit(&[&rows]).unwrap_err();
        assert!(matches!(error, StoreError::LogHalted { .. }));
        shelf.reopen();
    }
}

#[test]
fn unsigned_batch_is_dropped_with_its_rows_and_nothing_else() {
    for (before, last) in [(0, 1), (0, 700), (256, 1), (300, 100), (300, 1_000), (511, 257)] {
        let mut shelf = Shelf::grown(before, 100);
        let (signed, edge) = (shelf.head(), shelf.edge.clone());
        let kept = snapshot(&mut shelf);
        shelf.append(&(before..before + last).map(entry).collect::<Vec<_>>());
        shelf.store().halt(shelf.log, "test").unwrap();
        shelf.reopen();

        let dropped = shelf.store().drop_unsigned(shelf.log, signed).unwrap();
        assert_eq!((dropped.head, dropped.size.get()), (signed, before + last));
        assert_eq!(shelf.store().halted(shelf.log).unwrap(), None);
        assert_eq!(snapshot(&mut shelf), kept, "{before} + {last}");

        // The log goes on from there, in this process and in the next one.
        shelf.edge = edge;
        shelf.append(&[entry(before)]);
        shelf.reopen();
        shelf.store().recover(shelf.log, Some(shelf.head())).unwrap();
    }
}

/// Returns all rows but those of heads, whose `previous` and time a dropped batch changes.
fn snapshot(shelf: &mut Shelf) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    shelf
        .tamper(|db| {
            all = ["meta", "entry", "tile", "identity"]
                .iter()
                .flat_map(|name| rows(db, name))
                .collect();
        })
        .unwrap();
    all
}

#[test]
fn signed_batch_is_never_dropped() {
    let shelf = Shelf::grown(300, 100);
    let store = shelf.store();
    let not_halted = store.drop_unsigned(shelf.log, edge_of(200).head()).unwrap_err();
    assert!(matches!(not_halted, DropError::NotHalted { .. }));

    store.halt(shelf.log, "test").unwrap();
    let signed = store.drop_unsigned(shelf.log, shelf.head()).unwrap_err();
    assert!(matches!(signed, DropError::Signed { .. }));
    // A watermark inside the batch can't be, and is no reason to remove what it covers.
    let inside = store.drop_unsigned(shelf.log, edge_of(201).head()).unwrap_err();
    assert!(matches!(inside, DropError::Signed { .. }));
    let other = TreeHead { size: size(200), root: TreeHash::digest(b"other") };
    let diverged = store.drop_unsigned(shelf.log, other).unwrap_err();
    assert!(matches!(diverged, DropError::Recover(RecoverError::Diverged { .. })));
    assert!(store.halted(shelf.log).unwrap().is_some());

    store.drop_unsigned(shelf.log, edge_of(200).head()).unwrap();
    assert_eq!(store.head(shelf.log).unwrap().unwrap().head, edge_of(200).head());
}

#[test]
fn batch_before_a_damaged_one_is_what_drop_leaves() {
    // A bit that flipped between the hash and the disk: exactly what the halt marker is for.
    let mut shelf = Shelf::grown(300, 100);
    let mut key = [0; 12];
    key[4..].copy_from_slice(&256_u64.to_be_bytes());
    let mut all = Vec::new();
    shelf.tamper(|db| all = rows(db, "entry")).unwrap();
    let (_, mut row) = all.into_iter().find(|(found, _)| *found == key).unwrap();
    row[2] ^= 1;
    shelf.tamper(|db| put(db, "entry", &key, &row)).unwrap();
    let error = shelf.store().recover(shelf.log, None).unwrap_err();
    assert!(matches!(error, RecoverError::Inconsistent { fault: Inconsistency::Batch { .. }, .. }));

    shelf.store().halt(shelf.log, "test").unwrap();
    shelf.store().drop_unsigned(shelf.log, edge_of(200).head()).unwrap();
    let recovered = shelf.store().recover(shelf.log, None).unwrap();
    assert_eq!(recovered.edge.head(), edge_of(200).head());
}

#[test]
fn recovery_of_many_logs_does_not_mix_them() {
    let shelf = Shelf::grown(300, 100);
    let mut second = Shelf::new();
    second.log = LogNumber(1);
    let store = shelf.store();
    store.create_log(&crate::store_world::log_row(LogNumber(1))).unwrap();
    let (rows, edge) = second.rows(&(1_000..1_400).map(entry).collect::<Vec<_>>());
    store.commit(&[&rows]).unwrap();
    assert_eq!(store.recover(LogNumber(1), None).unwrap().edge.head(), edge.head());
    assert_eq!(store.recover(LogNumber(0), None).unwrap().edge.head(), shelf.head());
    assert_eq!(store.identity_rows(LogNumber(0)).count(), 300);
    assert_eq!(store.identity_rows(LogNumber(1)).count(), 400);
    assert_eq!(store.tiles(LogNumber(1)).count(), 1);
    let from = TreeSize::ZERO.next_index();
    assert_eq!(store.segments(LogNumber(0), from, size(300)).unwrap().count(), 4);
}

#[test]
fn store_that_vanished_is_not_made_again() {
    let shelf = Shelf::grown(10, 10);
    let (dir, _root) = shelf.close();
    std::fs::remove_dir_all(&dir).unwrap();
    let error = Store::open(&dir, &StoreConfig::default()).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }));
    std::fs::create_dir(&dir).unwrap();
    let error = Store::open(&dir, &StoreConfig::default()).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }));
}
