//! The watermark outlives torn writes, and nothing lowers it.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use attestree::{
    core::{hash::TreeHash, number::LogNumber, tree::TreeHead},
    store::{Mark, Watermark, WatermarkError},
};
use tempfile::TempDir;

use crate::store_world::size;

/// A directory and the path of a watermark file in it.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.watermark");
    (dir, path)
}

/// A head whose root is a pure function of its size.
fn head(number: u64) -> TreeHead {
    TreeHead { size: size(number), root: TreeHash::digest(&number.to_be_bytes()) }
}

/// The hash of a test key.
fn key_hash() -> TreeHash {
    TreeHash::digest(b"key")
}

/// Overwrites bytes of a file.
fn damage(path: &Path, offset: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

/// Reads the size of a log's mark from the file.
fn stored(path: &Path, log: u32) -> Option<u64> {
    let mark = Watermark::open(path).unwrap().get(LogNumber(log)).unwrap();
    mark.map(|mark| mark.head.size.get())
}

#[test]
fn marks_are_kept_per_log() {
    let (_dir, path) = place();
    let marks = Watermark::create(&path).unwrap();
    assert_eq!(marks.get(LogNumber(0)).unwrap(), None);
    for (log, number) in [(0, 0), (3, 7), (0, 5), (70_000, 1), (3, 7), (0, 6)] {
        marks.raise(LogNumber(log), head(number), key_hash()).unwrap();
    }
    marks.sync().unwrap();
    drop(marks);
    let marks = Watermark::open(&path).unwrap();
    let mark = marks.get(LogNumber(0)).unwrap().unwrap();
    assert_eq!(mark, Mark { head: head(6), key_hash: key_hash() });
    drop(marks);
    assert_eq!(stored(&path, 3), Some(7));
    assert_eq!(stored(&path, 70_000), Some(1));
    assert_eq!(stored(&path, 1), None);
    assert_eq!(stored(&path, 70_001), None);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn file_vector() {
    let (_dir, path) = place();
    let marks = Watermark::create(&path).unwrap();
    marks.raise(LogNumber(1), head(0x0102), key_hash()).unwrap();
    marks.raise(LogNumber(1), head(0x0103), key_hash()).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 128 + 4 * 128);
    assert_eq!(bytes[..20], *b"attestree-marks\n\0\0\0\x01");
    assert!(bytes[20..128 + 256].iter().all(|byte| *byte == 0), "log 0 was never marked");

    let slot = |sequence: u8, number: u64| {
        let mut slot = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, sequence];
        slot.extend(number.to_be_bytes());
        slot.extend(head(number).root.as_bytes());
        slot.extend(key_hash().as_bytes());
        slot.resize(96, 0);
        let sum = TreeHash::digest(&slot);
        slot.extend(sum.as_bytes());
        slot
    };
    // The first mark fills both slots; the third write goes over the older one.
    assert_eq!(bytes[128 + 256..128 + 384], slot(2, 0x0102));
    assert_eq!(bytes[128 + 384..], slot(3, 0x0103));
}

#[test]
fn mark_is_never_lowered() {
    let (_dir, path) = place();
    let marks = Watermark::create(&path).unwrap();
    let log = LogNumber(0);
    marks.raise(log, head(10), key_hash()).unwrap();
    marks.raise(log, head(10), key_hash()).unwrap();
    let other = TreeHead { root: TreeHash::digest(b"other"), ..head(10) };
    for lower in [head(9), other] {
        let error = marks.raise(log, lower, key_hash()).unwrap_err();
        assert!(matches!(error, WatermarkError::Lower { signed, .. } if signed == head(10)));
    }
    drop(marks);
    assert_eq!(stored(&path, 0), Some(10));
}

#[test]
fn torn_slot_falls_back_to_the_other() {
    // Writes 1 and 2 are the first mark; writes 3 and 4 are 20 and 30; each goes over the oldest.
    for raised in [10_u64, 20, 30] {
        let (_dir, path) = place();
        let marks = Watermark::create(&path).unwrap();
        for number in [10, 20, 30].into_iter().filter(|number| *number <= raised) {
            marks.raise(LogNumber(0), head(number), key_hash()).unwrap();
        }
        drop(marks);
        let newest = usize::from(raised == 20);
        let before = raised.max(20) - 10;
        let whole = fs::read(&path).unwrap();
        for at in 0..128 {
            // Torn: what was to be written up to some byte, what was there before behind it.
            for torn in [0xff, whole[128 + newest * 128 + at] ^ 1] {
                fs::write(&path, &whole).unwrap();
                damage(&path, (128 + newest * 128 + at) as u64, &[torn]);
                let expected = if torn == whole[128 + newest * 128 + at] { raised } else { before };
                assert_eq!(stored(&path, 0), Some(expected), "byte {at} of the mark {raised}");
            }
        }
        fs::write(&path, &whole).unwrap();
        damage(&path, 128 + 128 * newest as u64, &[0; 128]);
        assert_eq!(stored(&path, 0), Some(before));

        // The mark that fell back is raised over the torn slot.
        let marks = Watermark::open(&path).unwrap();
        marks.raise(LogNumber(0), head(40), key_hash()).unwrap();
        drop(marks);
        assert_eq!(stored(&path, 0), Some(40));
    }
}

#[test]
fn two_torn_slots_are_refused() {
    let (_dir, path) = place();
    let marks = Watermark::create(&path).unwrap();
    marks.raise(LogNumber(0), head(1), key_hash()).unwrap();
    marks.raise(LogNumber(1), head(1), key_hash()).unwrap();
    drop(marks);
    damage(&path, 128 + 256 + 30, &[1]);
    assert_eq!(stored(&path, 1), Some(1));
    damage(&path, 128 + 384 + 30, &[1]);
    let error = Watermark::open(&path).unwrap_err();
    assert!(matches!(error, WatermarkError::Damaged { log, .. } if log.0 == 1));
    // One slot that is gone and one that is damaged are no log without a mark.
    damage(&path, 128 + 256, &[0; 128]);
    let error = Watermark::open(&path).unwrap_err();
    assert!(matches!(error, WatermarkError::Damaged { log, .. } if log.0 == 1));
}

#[test]
fn slot_of_another_log_is_not_believed() {
    let (_dir, path) = place();
    let marks = Watermark::create(&path).unwrap();
    marks.raise(LogNumber(0), head(1), key_hash()).unwrap();
    marks.raise(LogNumber(1), head(9), key_hash()).unwrap();
    drop(marks);
    let bytes = fs::read(&path).unwrap();
    damage(&path, 128, &bytes[128 + 256..]);
    let error = Watermark::open(&path).unwrap_err();
    assert!(matches!(error, WatermarkError::Damaged { log, .. } if log.0 == 0));
}

#[test]
fn file_that_is_cut_off_is_refused_or_forgets_whole_logs_only() {
    let (_dir, path) = place();
    let marks = Watermark::create(&path).unwrap();
    marks.raise(LogNumber(0), head(1), key_hash()).unwrap();
    drop(marks);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        match Watermark::open(&path) {
            // A log that was forgotten and has entries is refused by whoever opens it.
            Ok(marks) => {
                assert_eq!(length, 128);
                assert_eq!(marks.get(LogNumber(0)).unwrap(), None);
            }
            Err(WatermarkError::Foreign { .. }) => assert!(length < 128),
            Err(WatermarkError::Damaged { .. }) => assert!(length > 128),
            Err(other) => panic!("cut to {length} bytes: {other}"),
        }
    }
}

#[test]
fn missing_foreign_and_used_files_are_refused() {
    let (_dir, path) = place();
    let missing = Watermark::open(&path).unwrap_err();
    assert!(matches!(missing, WatermarkError::Missing { .. }));
    assert!(missing.to_string().contains("second history"));

    let marks = Watermark::create(&path).unwrap();
    assert!(matches!(Watermark::open(&path).unwrap_err(), WatermarkError::InUse { .. }));
    drop(marks);
    assert!(matches!(Watermark::create(&path).unwrap_err(), WatermarkError::Exists { .. }));
    Watermark::open(&path).unwrap();

    for at in [0, 15, 16, 19, 20, 127] {
        let whole = fs::read(&path).unwrap();
        damage(&path, at, &[0x7f]);
        assert!(matches!(Watermark::open(&path).unwrap_err(), WatermarkError::Foreign { .. }));
        fs::write(&path, whole).unwrap();
    }
    let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(names, 1, "making the file leaves nothing else behind");
}
