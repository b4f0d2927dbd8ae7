//! Files that a crash or a failing disk left behind: cut off tails are taken, damage is refused.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::Path,
};

use attestree::store::{ForeignFormat, OpenError, RecoverError, Store, StoreConfig};

use crate::store_world::{Shelf, copy_files, entry, files, put};

/// Opens a database as a server does.
fn open(dir: &Path) -> Result<Store, OpenError> {
    Store::open(dir, &StoreConfig::default())
}

/// Changes one byte of a file.
fn flip(file: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

/// Sizes of the WAL after each of several commits, on a log whose WAL is never flushed.
fn wal_of_commits(count: u64, entries: u64) -> (Shelf, Vec<u64>) {
    let mut shelf = Shelf::new();
    shelf.reopen();
    let wal = files(&shelf.dir(), ".log").pop().unwrap();
    let mut ends = vec![fs::metadata(&wal).unwrap().len()];
    for _ in 0..count {
        let (from, to) = (shelf.size(), shelf.size() + entries);
        shelf.append(&(from..to).map(entry).collect::<Vec<_>>());
        ends.push(fs::metadata(&wal).unwrap().len());
    }
    (shelf, ends)
}

#[test]
fn torn_tail_of_the_wal_is_dropped_and_nothing_before_it() {
    let (shelf, ends) = wal_of_commits(5, 40);
    let last = ends[ends.len() - 2]..*ends.last().unwrap();
    let step = usize::try_from((last.end - last.start) / 40).unwrap().max(1);
    for (number, length) in last.clone().step_by(step).chain([last.end - 1, last.end]).enumerate() {
        let copy = shelf.crashed(&format!("cut-{number}"));
        let wal = files(&copy, ".log").pop().unwrap();
        OpenOptions::new().write(true).open(&wal).unwrap().set_len(length).unwrap();
        let store = open(&copy).unwrap();
        let size = store.recover(shelf.log, None).unwrap().edge.size().get();
        assert_eq!(size, if length == last.end { 200 } else { 160 }, "cut to {length}");
        drop(store);
        // What was recovered is in synced files: the WAL is not needed a second time.
        for wal in files(&copy, ".log") {
            assert_eq!(fs::metadata(&wal).unwrap().len(), 0);
        }
        fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn unsynced_pages_of_the_last_record_may_be_lost() {
    // A commit of many pages whose sync never returned: a power loss keeps any of them.
    let mut shelf = Shelf::new();
    shelf.reopen();
    shelf.append(&(0..40).map(entry).collect::<Vec<_>>());
    let wal = files(&shelf.dir(), ".log").pop().unwrap();
    let start = fs::metadata(&wal).unwrap().len();
    shelf.append(&vec![vec![7; 60_000]; 5]);
    let end = fs::metadata(&wal).unwrap().len();
    for (number, page) in (start.next_multiple_of(4_096)..end).step_by(4_096).enumerate() {
        let copy = shelf.crashed(&format!("hole-{number}"));
        let wal = files(&copy, ".log").pop().unwrap();
        let length = 4_096.min(end - page);
        let zeros = vec![0; usize::try_from(length).unwrap()];
        OpenOptions::new().write(true).open(&wal).unwrap().write_all_at(&zeros, page).unwrap();
        let store = open(&copy).unwrap();
        let size = store.recover(shelf.log, None).unwrap().edge.size().get();
        assert_eq!(size, 40, "page at {page}");
        drop(store);
        fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn torn_write_before_an_empty_file_of_the_wal_is_dropped() {
    // Power fails while a write is under way, and again while the next start recovers from that.
    let (shelf, ends) = wal_of_commits(5, 40);
    for (number, next) in [&[][..], &[0; 4_096], &[7; 100]].into_iter().enumerate() {
        let copy = shelf.crashed(&format!("again-{number}"));
        let wal = files(&copy, ".log").pop().unwrap();
        let last = OpenOptions::new().write(true).open(&wal).unwrap();
        last.write_all_at(&[0; 64], ends[4] + 200).unwrap();
        let name: u64 = wal.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        fs::write(copy.join(format!("{:06}.log", name + 1)), next).unwrap();
        let opened = open(&copy);
        if next.first() == Some(&7) {
            assert!(opened.is_err(), "a write that others follow was synced");
            continue;
        }
        let store = opened.unwrap();
        let size = store.recover(shelf.log, None).unwrap().edge.size().get();
        assert_eq!(size, 160);
    }
}

#[test]
fn zeros_in_the_middle_of_the_wal_are_refused() {
    // RocksDB skips such a record, and all others of the same block, without a word.
    let (shelf, ends) = wal_of_commits(12, 40);
    for (record, end) in ends.iter().enumerate().take(11) {
        let copy = shelf.crashed(&format!("zeros-{record}"));
        let wal = OpenOptions::new().write(true).open(files(&copy, ".log").pop().unwrap()).unwrap();
        wal.write_all_at(&[0; 512], *end).unwrap();
        let opened = open(&copy);
        let recovered = opened.map(|store| store.recover(shelf.log, Some(shelf.head())).is_ok());
        assert!(!recovered.unwrap_or(false), "record {record}");
        fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn torn_change_of_the_manifest_is_dropped() {
    let mut shelf = Shelf::grown(300, 100);
    shelf.reopen();
    shelf.grow(700, 100);
    let manifest = |dir: &Path| {
        let names = files(dir, "").into_iter();
        names.filter(|file| file.to_string_lossy().contains("MANIFEST")).max().unwrap()
    };
    let before = fs::metadata(manifest(&shelf.dir())).unwrap().len();
    // As if power had failed before the flushed rows were counted on: their WAL is still there.
    let copy = shelf.crashed("flushing");
    for (number, torn) in
        [&[9; 40][..], &[0; 40], &[0x51, 0xaa, 0xbb, 0xcc, 90, 0, 1]].into_iter().enumerate()
    {
        let again = shelf.beside(&format!("torn-{number}"));
        copy_files(&copy, &again);
        let file = OpenOptions::new().write(true).open(manifest(&again)).unwrap();
        file.write_all_at(torn, before).unwrap();
        let recovered = open(&again).unwrap().recover(shelf.log, Some(shelf.head())).unwrap();
        assert_eq!(recovered.edge.head(), shelf.head(), "{number}");
    }
}

#[test]
fn damage_in_the_middle_of_the_wal_is_refused() {
    let (shelf, ends) = wal_of_commits(5, 40);
    let middle = 0..ends[ends.len() - 2];
    let step = usize::try_from(middle.end / 60).unwrap();
    // Each byte of a header in the middle as well: a wrong length hides where the next record is.
    let headers = ends[1..4].iter().flat_map(|start| *start..*start + 7);
    for (number, at) in middle.step_by(step).chain(headers).enumerate() {
        let copy = shelf.crashed(&format!("flip-{number}"));
        flip(&files(&copy, ".log").pop().unwrap(), at);
        let opened = open(&copy);
        let recovered = opened.map(|store| store.recover(shelf.log, Some(shelf.head())).is_ok());
        assert!(!recovered.unwrap_or(false), "byte {at}");
        fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn damaged_manifest_is_refused() {
    let (shelf, _) = wal_of_commits(2, 300);
    shelf.store().flush().unwrap();
    let manifest =
        files(&shelf.dir(), "").into_iter().find(|f| f.to_string_lossy().contains("MANIFEST"));
    let manifest = manifest.unwrap();
    let length = fs::metadata(&manifest).unwrap().len();
    let name = manifest.file_name().unwrap();
    for (number, at) in (0..length).step_by(usize::try_from(length / 60).unwrap()).enumerate() {
        let copy = shelf.crashed(&format!("flip-{number}"));
        flip(&copy.join(name), at);
        let opened = open(&copy);
        let recovered = opened.map(|store| store.recover(shelf.log, Some(shelf.head())).is_ok());
        assert!(!recovered.unwrap_or(false), "byte {at}");
        fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn lost_or_damaged_table_is_refused() {
    let mut shelf = Shelf::grown(700, 700);
    shelf.reopen();
    let names: Vec<_> = files(&shelf.dir(), ".sst");
    assert!(names.len() >= 4, "each family has a file");
    let mut refused = 0;
    for (number, file) in names.iter().enumerate() {
        let lost = shelf.crashed(&format!("lost-{number}"));
        fs::remove_file(lost.join(file.file_name().unwrap())).unwrap();
        assert!(!open(&lost).is_ok_and(|store| store.recover(shelf.log, None).is_ok()));

        let bad = shelf.crashed(&format!("bad-{number}"));
        flip(&bad.join(file.file_name().unwrap()), 40);
        refused += u32::from(open(&bad).is_ok_and(|store| store.recover(shelf.log, None).is_err()));
    }
    assert!(refused >= 2, "entries and tiles are read: {refused}");
}

#[test]
fn foreign_format_is_refused() {
    let mut shelf = Shelf::grown(10, 10);
    let error = shelf.tamper(|db| put(db, "meta", &[0], &2_u32.to_be_bytes())).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Foreign { found: ForeignFormat::Version(2), supported: 1, .. }
    ));
    shelf.tamper(|db| put(db, "meta", &[0], &1_u32.to_be_bytes())).unwrap();
    assert!(shelf.tamper(|db| put(db, "meta", &[0], &[1])).is_err());
    assert!(shelf.tamper(|db| db.delete_cf(db.cf_handle("meta").unwrap(), [0]).unwrap()).is_err());

    let dir = shelf.beside("other");
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    rocksdb::DB::open(&options, &dir).unwrap();
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { found: ForeignFormat::Families(_), .. }));
}

#[test]
fn older_copy_of_the_files_is_refused_by_the_watermark() {
    let mut shelf = Shelf::grown(300, 100);
    let copy = shelf.crashed("old");
    shelf.grow(301, 1);
    let store = open(&copy).unwrap();
    let error = store.recover(shelf.log, Some(shelf.head())).unwrap_err();
    assert!(matches!(error, RecoverError::RollbackDetected { .. }));
}

#[test]
fn crash_between_any_two_commits_leaves_whole_batches() {
    let mut shelf = Shelf::new();
    for number in 0..12_u64 {
        shelf.grow(number * 131, 131);
        let copy = shelf.crashed(&format!("after-{number}"));
        let store = open(&copy).unwrap();
        let recovered = store.recover(shelf.log, Some(shelf.head())).unwrap();
        assert_eq!(recovered.edge.head(), shelf.head());
        drop(store);
        // A crash of the recovered store right away changes nothing either.
        let again = shelf.beside(&format!("again-{number}"));
        copy_files(&copy, &again);
        open(&again).unwrap().recover(shelf.log, Some(shelf.head())).unwrap();
    }
}
