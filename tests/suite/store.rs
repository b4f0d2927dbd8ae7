//! What is committed is read back, by whoever reads while it is written.

use std::{fs, thread};

use attestree::{
    core::{
        bundle,
        hash::TreeHash,
        number::{LeafIndex, LogNumber, UnixMillis},
        tree::{
            NodeReader as _, TileId, prove_batch, prove_inclusion, verify_batch, verify_inclusion,
        },
    },
    store::{
        Bare, Entry, IdentityKey, LogState, OpenError, Store, StoreConfig, StoreError, TileReader,
        free_space,
    },
};

use crate::store_world::{Shelf, entry, log_row, size};

/// An index from a number.
fn index(index: u64) -> LeafIndex {
    LeafIndex::new(index).unwrap()
}

#[test]
fn every_entry_is_read_back() {
    let mut shelf = Shelf::new();
    for to in [1, 2, 200, 255, 256, 700, 1_024, 1_025] {
        shelf.grow(to, 500);
    }
    for _ in 0..2 {
        let store = shelf.store();
        for at in 0..1_025 {
            let stored = store.entry(shelf.log, index(at)).unwrap().unwrap();
            assert_eq!(stored, Entry::Bytes(entry(at).into()), "entry {at}");
        }
        assert_eq!(store.entry(shelf.log, index(1_025)).unwrap(), None);
        assert_eq!(store.entry(shelf.log, index(5_000)).unwrap(), None);
        assert_eq!(store.entry(LogNumber(1), index(0)).unwrap(), None);
        shelf.reopen();
    }
}

#[test]
fn segments_stay_inside_bundles() {
    let shelf = Shelf::grown(2_000, 300);
    let mut next = 0;
    for segment in shelf.store().segments(shelf.log, index(0), size(2_000)).unwrap() {
        let (first, bytes) = segment.unwrap();
        assert_eq!(first.get(), next);
        let count = bundle::decode(&bytes).count() as u64;
        assert_eq!(first.get() / 256, (first.get() + count - 1) / 256);
        next += count;
    }
    assert_eq!(next, 2_000);
}

#[test]
fn any_range_of_entries_is_encoded_as_a_bundle() {
    let shelf = Shelf::grown(600, 70);
    for (from, to) in
        [(0, 0), (0, 1), (0, 256), (1, 2), (69, 71), (256, 512), (300, 600), (599, 600), (0, 600)]
    {
        let bytes = shelf.store().entries(shelf.log, index(from), size(to)).unwrap();
        let mut expected = Vec::new();
        (from..to).for_each(|at| bundle::encode_entry(&mut expected, &entry(at)));
        assert_eq!(bytes, expected, "[{from}, {to})");
    }
    let error = shelf.store().entries(shelf.log, index(512), size(601)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)));
}

#[test]
fn tiles_are_those_over_the_entries_in_the_order_of_completion() {
    let shelf = Shelf::grown(65_536 + 300, 4_096);
    let ids: Vec<TileId> = shelf.store().tiles(shelf.log).map(|tile| tile.unwrap().0).collect();
    assert_eq!(ids.len(), 257 + 1);
    assert!(ids.is_sorted());
    assert_eq!(
        ids[255..],
        [
            TileId { level: 0, index: 255 },
            TileId { level: 1, index: 0 },
            TileId { level: 0, index: 256 },
        ]
    );
    for id in ids {
        let tile = shelf.store().tile(shelf.log, id).unwrap().unwrap();
        assert!(tile.check());
        if id.level == 0 {
            let first = id.index * 256;
            let leaves = (first..first + 256).map(|at| *TreeHash::leaf(&entry(at)).as_bytes());
            assert_eq!(tile.hashes_bytes(), leaves.collect::<Vec<_>>().concat());
        }
    }
    let absent = TileId { level: 0, index: 257 };
    assert!(shelf.store().tile(shelf.log, absent).unwrap().is_none());
}

#[test]
fn rows_that_do_not_follow_the_head_are_not_written() {
    let mut shelf = Shelf::grown(100, 100);
    let (stale, _) = shelf.rows(&[entry(100)]);
    shelf.append(&[b"other".to_vec()]);
    let error = shelf.store().commit(&[&stale]).unwrap_err();
    assert!(matches!(error, StoreError::HeadStale { .. }));

    let (mut unknown, _) = shelf.rows(&[entry(101)]);
    unknown.log = LogNumber(9);
    let error = shelf.store().commit(&[&unknown]).unwrap_err();
    assert!(matches!(error, StoreError::LogUnknown { log } if log.0 == 9));

    // Nothing of the good rows beside them was written either.
    let (good, _) = shelf.rows(&[entry(101)]);
    shelf.store().commit(&[&good, &unknown]).unwrap_err();
    assert_eq!(shelf.store().head(shelf.log).unwrap().unwrap().head, shelf.head());
    assert_eq!(shelf.store().entry(shelf.log, index(101)).unwrap(), None);
    shelf.store().commit(&[&good]).unwrap();
}

#[test]
fn identities_are_found_in_the_order_asked_for() {
    let mut shelf = Shelf::grown(1_000, 300);
    for _ in 0..2 {
        let asked = [999, 5_000, 0, 0, 301, 7_777];
        let keys = asked.map(|at| IdentityKey::entry_hash(shelf.log, &TreeHash::leaf(&entry(at))));
        let found = shelf.store().identities(&keys).unwrap();
        let found: Vec<_> = found.into_iter().map(|row| row.map(|row| row.index.get())).collect();
        // Entries of one byte repeat, so the last of them has the identity.
        assert_eq!(found, [Some(999), None, Some(0), Some(0), Some(301), None]);
        assert!(shelf.store().identities(&[]).unwrap().is_empty());
        shelf.reopen();
    }
}

#[test]
fn batch_with_identities_alone_keeps_the_head() {
    let mut shelf = Shelf::grown(300, 100);
    let (mut rows, _) = shelf.rows(&[]);
    let key = IdentityKey::idempotency(shelf.log, b"alice", b"key");
    let row = attestree::store::IdentityRow { index: index(7), tag: TreeHash::leaf(&entry(7)) };
    rows.identities.push((key.clone(), row));
    shelf.store().commit(&[&rows]).unwrap();
    shelf.reopen();
    assert_eq!(shelf.store().identities(&[key]).unwrap(), [Some(row)]);
    let recovered = shelf.store().recover(shelf.log, Some(shelf.head())).unwrap();
    assert_eq!(recovered.edge.head(), shelf.head());
}

#[test]
fn log_is_created_once_and_can_be_closed() {
    let mut shelf = Shelf::new();
    let error = shelf.store().create_log(&log_row(shelf.log)).unwrap_err();
    assert!(matches!(error, StoreError::LogExists { .. }));
    shelf.store().set_log_state(shelf.log, LogState::Closed).unwrap();
    shelf.reopen();
    assert_eq!(shelf.store().log(shelf.log).unwrap().unwrap().state, LogState::Closed);
    let error = shelf.store().set_log_state(LogNumber(5), LogState::Open).unwrap_err();
    assert!(matches!(error, StoreError::LogUnknown { .. }));
    assert!(shelf.store().halt(LogNumber(5), "").is_err());
}

#[test]
fn copy_of_a_store_that_is_written_holds_together() {
    let mut shelf = Shelf::grown(1_000, 100);
    let (first, second) = (shelf.beside("first"), shelf.beside("second"));
    let store = shelf.store().clone();
    thread::scope(|scope| {
        let copies = scope.spawn(|| {
            store.backup(&first).unwrap();
            store.backup(&second).unwrap();
        });
        shelf.grow(9_000, 250);
        copies.join().unwrap();
    });
    for copy in [&first, &second] {
        let files = fs::read_dir(copy).unwrap().count();
        let copied = Store::open_read_only(copy, &StoreConfig::default()).unwrap();
        let recovered = copied.recover(shelf.log, None).unwrap();
        let at = recovered.edge.size().get();
        assert!((1_000..=9_000).contains(&at));
        assert!(copied.segments(shelf.log, index(0), size(at)).unwrap().count() > 4);
        let error = copied.create_log(&log_row(LogNumber(1))).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly));
        assert!(matches!(copied.flush().unwrap_err(), StoreError::ReadOnly));
        drop(copied);
        assert_eq!(fs::read_dir(copy).unwrap().count(), files, "reading leaves no trace");
    }
    let error = shelf.store().backup(&first).unwrap_err();
    assert!(matches!(error, StoreError::DestinationExists { .. }));
}

#[test]
fn store_is_made_once_and_opened_once() {
    let shelf = Shelf::new();
    let again = Store::init(&shelf.dir(), &StoreConfig::default()).unwrap_err();
    assert!(matches!(again, OpenError::Exists { .. }));
    let twice = Store::open(&shelf.dir(), &StoreConfig::default()).unwrap_err();
    assert!(matches!(twice, OpenError::InUse { .. }), "{twice}");
    // A reader beside the writer is harmless.
    Store::open_read_only(&shelf.dir(), &StoreConfig::default()).unwrap();
}

#[test]
fn bare_writes_are_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut bare = Bare::create(dir.path()).unwrap();
    bare.write(&vec![entry(0).into(); 600]).unwrap();
    drop(bare);
    let error = Store::open(dir.path(), &StoreConfig::default()).unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Damaged(_))));
}

#[test]
fn failed_write_poisons_the_store() {
    let mut shelf = Shelf::grown(10, 10);
    let (dir, gone) = (shelf.dir(), shelf.beside("gone"));
    fs::rename(&dir, &gone).unwrap();
    // Where the WAL can't go on in a file of its own, a full memtable is what fails.
    let large = vec![vec![7; 60_000]; 256];
    let error = loop {
        let (rows, edge) = shelf.rows(&large);
        match shelf.store().commit(&[&rows]) {
            Ok(_) => shelf.edge = edge,
            Err(error) => break error,
        }
        assert!(shelf.size() < 10_000, "no write fails");
    };
    assert!(matches!(error, StoreError::Write(_)), "{error}");
    fs::rename(&gone, &dir).unwrap();

    // Nothing is tried again, although it might succeed by now.
    let (rows, _) = shelf.rows(&[entry(0)]);
    assert!(matches!(shelf.store().commit(&[&rows]).unwrap_err(), StoreError::Poisoned));
    assert!(matches!(shelf.store().halt(shelf.log, "").unwrap_err(), StoreError::Poisoned));
    assert!(matches!(shelf.store().flush().unwrap_err(), StoreError::Poisoned));
    assert!(shelf.store().entry(shelf.log, index(0)).unwrap().is_some(), "reads go on");

    // The next process finds what was acknowledged.
    shelf.reopen();
    let recovered = shelf.store().recover(shelf.log, Some(shelf.head())).unwrap();
    assert!(recovered.edge.size() >= shelf.edge.size());
}

#[test]
fn proofs_from_tiles_verify_at_every_cache_size() {
    let mut shelf = Shelf::grown(3_000, 1_000);
    for cache_bytes in [0, 20_000, 1 << 20] {
        let reader = TileReader::new(shelf.store().clone(), cache_bytes);
        let nodes = reader.nodes(shelf.log, &shelf.edge);
        for at in (0..3_000).step_by(7).chain([2_999]) {
            let proof = prove_inclusion(&nodes, index(at), shelf.edge.size()).unwrap();
            let leaf = TreeHash::leaf(&entry(at));
            verify_inclusion(&leaf, index(at), &shelf.head(), &proof).unwrap();
        }
        let indices: Vec<_> = (0..3_000).step_by(3).map(index).collect();
        let proof = prove_batch(&nodes, &indices, shelf.edge.size()).unwrap();
        let leaves: Vec<_> =
            indices.iter().map(|at| (*at, TreeHash::leaf(&entry(at.get())))).collect();
        verify_batch(&leaves, &shelf.head(), &proof).unwrap();
        assert!(reader.cached_bytes() <= cache_bytes as u64);
    }

    let reader = TileReader::new(shelf.store().clone(), 1 << 20);
    let (rows, edge) = shelf.rows(&(3_000..3_400).map(entry).collect::<Vec<_>>());
    shelf.store().commit(&[&rows]).unwrap();
    reader.remember(shelf.log, &rows.tiles);
    assert!(reader.cached_bytes() > 9_000);
    let proof =
        prove_inclusion(&reader.nodes(shelf.log, &edge), index(3_050), edge.size()).unwrap();
    verify_inclusion(&TreeHash::leaf(&entry(3_050)), index(3_050), &edge.head(), &proof).unwrap();
    let absent = reader.tile(shelf.log, TileId { level: 0, index: 50 }).unwrap_err();
    assert!(matches!(absent, StoreError::Damaged(_)));
    assert!(reader.nodes(shelf.log, &edge).read_nodes(&[]).unwrap().is_empty());
}

#[test]
fn sizes_and_free_space_are_told() {
    let shelf = Shelf::grown(1_000, 100);
    let before = shelf.store().stats().unwrap();
    assert!(before.memtable_bytes > 0);
    shelf.store().flush().unwrap();
    let after = shelf.store().stats().unwrap();
    assert!(after.table_bytes > before.table_bytes + 50_000);
    assert!(after.level_zero_files > 0);
    assert!(free_space(&shelf.dir()).unwrap() > 0);
    assert!(free_space(&shelf.beside("nowhere")).is_err());
    assert_eq!(shelf.store().head(shelf.log).unwrap().unwrap().at, UnixMillis(1_010));
}
