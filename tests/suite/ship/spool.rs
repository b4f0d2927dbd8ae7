//! The spool on disk: what it forgets, what it never does, and how full it gets.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    process::Command,
};

use attestree::ship::{Batch, Kept, SPOOL_BYTES_MIN, Spool, SpoolError};

use super::{id, line, open, segments, texts};
use crate::needs::skip;

/// Appends lines that have to find room.
fn append(spool: &mut Spool, texts: &[&str]) {
    let lines = (1..).zip(texts).map(|(offset, text)| line(1, offset, text)).collect();
    assert_eq!(spool.append(lines).unwrap(), Kept::All);
}

/// Takes the next batch of so many lines.
fn batch(spool: &Spool, lines: usize) -> Batch {
    spool.unsent(lines, usize::MAX).unwrap()
}

#[test]
fn what_is_kept_survives_and_what_is_acknowledged_does_not_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    append(&mut spool, &["one", "two"]);
    append(&mut spool, &["three"]);
    let first = batch(&spool, 1);
    assert_eq!(first.lines[0].1.bytes, "one");
    spool.acknowledge(&first).unwrap();
    drop(spool);

    let mut spool = open(dir.path());
    assert_eq!(texts(&spool), ["two", "three"]);
    assert_eq!(spool.cursors().count(), 1);
    assert_eq!(spool.cursor((1, 1)).unwrap().offset, 1);
    append(&mut spool, &["four"]);
    let all = batch(&spool, 9);
    let names: Vec<String> = all.lines.iter().map(|(name, _)| name.clone()).collect();
    assert!(names[0].ends_with("-1") && names[2].split('-').next() != names[0].split('-').next());
    spool.acknowledge(&all).unwrap();
    assert_eq!((spool.waiting(), segments(dir.path()).len()), (0, 1), "the newest segment stays");
    drop(spool);
    let spool = open(dir.path());
    assert_eq!((texts(&spool).len(), spool.cursors().count()), (0, 1));
}

#[test]
fn names_stay_over_a_restart_and_come_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for round in 0..5 {
        let mut spool = open(dir.path());
        append(&mut spool, &["a", "a", "a"]);
        let batch = batch(&spool, usize::MAX);
        let now: Vec<String> = batch.lines.into_iter().map(|(name, _)| name).collect();
        assert_eq!(now[..names.len()], names, "round {round}");
        names = now;
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 15);
}

#[test]
fn a_write_that_was_cut_off_is_as_if_it_had_not_been() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    append(&mut spool, &["first"]);
    let before = spool.bytes();
    append(&mut spool, &["second", "third"]);
    let path = dir.path().join(&segments(dir.path())[0]);
    let whole = fs::read(&path).unwrap();
    drop(spool);
    for length in before..u64::try_from(whole.len()).unwrap() {
        fs::write(&path, &whole[..usize::try_from(length).unwrap()]).unwrap();
        let spool = open(dir.path());
        let kept = texts(&spool);
        assert!(matches!(kept.len(), 1 | 2));
        let offset = spool.cursor((1, 1)).unwrap().offset;
        assert_eq!(offset, 1, "each write begins at offset 1 in this test");
        assert_eq!(fs::metadata(&path).unwrap().len(), spool.bytes(), "the rest is cut off");
    }
}

#[test]
fn damage_before_the_last_write_is_refused_with_the_file_and_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    append(&mut spool, &["first"]);
    append(&mut spool, &["second"]);
    append(&mut spool, &["third"]);
    drop(spool);
    let path = dir.path().join(&segments(dir.path())[0]);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"damage", 100).unwrap();
    let error = Spool::open(dir.path(), SPOOL_BYTES_MIN, id).unwrap_err();
    assert!(matches!(error, SpoolError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("move it away"));
    fs::remove_file(&path).unwrap();
    assert_eq!(texts(&open(dir.path())).len(), 0);
}

#[test]
fn two_processes_never_have_one_spool() {
    let dir = tempfile::tempdir().unwrap();
    let _spool = open(dir.path());
    let error = Spool::open(dir.path(), SPOOL_BYTES_MIN, id).unwrap_err();
    assert!(matches!(error, SpoolError::InUse { .. }), "{error}");
}

#[test]
fn a_full_spool_takes_nothing_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    let text = "x".repeat(100_000);
    let mut kept = 0;
    while spool.append(vec![line(1, kept, &text)]).unwrap() == Kept::All {
        kept += 1;
        assert!(spool.bytes() <= SPOOL_BYTES_MIN);
    }
    assert!(kept > 35, "most of the room is used: {kept} lines");
    assert_eq!(spool.append(vec![line(1, kept, &text)]).unwrap(), Kept::None);
    assert!(segments(dir.path()).len() >= 4);

    let first = batch(&spool, 15);
    spool.acknowledge(&first).unwrap();
    assert_eq!(spool.append(vec![line(1, kept, &text)]).unwrap(), Kept::All);
    let rest = batch(&spool, usize::MAX);
    assert_eq!(rest.lines.len(), usize::try_from(kept).unwrap() + 1 - 15);
    spool.acknowledge(&rest).unwrap();
    assert_eq!(segments(dir.path()).len(), 1);
    // Over and over: what is sent makes room.
    for round in 0..200 {
        assert_eq!(spool.append(vec![line(1, round, &text)]).unwrap(), Kept::All);
        let sent = batch(&spool, 1);
        assert_eq!(sent.lines.len(), 1);
        spool.acknowledge(&sent).unwrap();
        assert_eq!(spool.waiting(), 0);
    }
    assert!(spool.bytes() <= SPOOL_BYTES_MIN / 2);
}

#[test]
fn batches_have_their_bounds_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    let lines: Vec<String> = (0..1_000).map(|number| format!("{number:0100}")).collect();
    for lines in lines.chunks(77) {
        append(&mut spool, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let mut seen = Vec::new();
    while spool.waiting() > 0 {
        let batch = spool.unsent(50, 1_000).unwrap();
        assert_eq!(batch.lines.len(), 10);
        seen.extend(batch.lines.iter().map(|(_, line)| line.bytes.clone()));
        spool.acknowledge(&batch).unwrap();
    }
    assert_eq!(seen, lines.iter().map(|line| line.clone().into_bytes()).collect::<Vec<_>>());
    append(&mut spool, &[&"y".repeat(2_000)]);
    assert_eq!(spool.unsent(50, 1_000).unwrap().lines.len(), 1, "a long one goes alone");
}

/// A small file system in memory; unmounted when it is dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts one of a MiB, if this process may.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self(dir)),
            other => {
                skip(format_args!(
                    "a full disk: no small file system can be mounted here: {other:?}"
                ));
                None
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_a_full_spool() {
    let Some(disk) = Disk::mount() else { return };
    let dir = disk.0.path().join("spool");
    let mut spool = Spool::open(&dir, 1 << 30, id).unwrap();
    let text = "x".repeat(50_000);
    let mut kept = 0;
    while spool.append(vec![line(1, kept, &text)]).unwrap() == Kept::All {
        kept += 1;
        assert!(kept < 30, "the disk has a MiB");
    }
    assert!(kept > 10, "{kept}");
    // What found no room has left nothing behind, also where the whole disk is taken by another.
    // A line that is longer than what is left of the last page.
    let page = "y".repeat(10_000);
    let filler = disk.0.path().join("filler");
    let _full = fs::write(&filler, vec![0; 1 << 20]);
    assert_eq!(spool.append(vec![line(1, kept, &page)]).unwrap(), Kept::None);
    assert_eq!(texts(&spool).len(), usize::try_from(kept).unwrap());
    drop(spool);
    let mut spool = Spool::open(&dir, 1 << 30, id).unwrap();
    assert_eq!(texts(&spool).len(), usize::try_from(kept).unwrap());
    assert_eq!(spool.append(vec![line(1, kept, &page)]).unwrap(), Kept::None);
    let some = batch(&spool, 3);
    spool.acknowledge(&some).unwrap();
    fs::remove_file(&filler).unwrap();
    assert_eq!(spool.append(vec![line(1, kept, &page)]).unwrap(), Kept::All);
    assert_eq!(texts(&spool).len(), usize::try_from(kept).unwrap() - 3 + 1);
}
