//! `attestree ship`: lines of files, each in the log once, whatever happens meanwhile.

mod frame;
mod spool;
mod tail;

use std::{
    fs, io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use attestree::{
    core::{hash::TreeHash, record::Timestamp},
    ship::{Cursor, FileId, Form, Head, Line, SegmentId, Spool},
};

/// Makes names of segments that differ, as random ones do.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands for a source of random bytes, which can fail"
)]
pub(crate) fn id() -> io::Result<SegmentId> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    Ok(id)
}

/// Returns a line of a file with this inode.
pub(crate) fn line(inode: u64, offset: u64, text: &str) -> Line {
    let head = Head { length: 0, sum: TreeHash::digest(b"") };
    let file = FileId { device: 1, inode, head };
    let path = format!("/var/log/{inode}.log").into_bytes();
    let cursor = Cursor { file, path, offset, parts: 0 };
    let read = Timestamp::from_micros(1_795_000_000_000_000 + offset).unwrap();
    Line { cursor, form: Form::Text, read, part: None, bytes: text.as_bytes().to_vec().into() }
}

/// Opens a spool.
pub(crate) fn open(dir: &Path) -> Spool {
    Spool::open(dir, 4 << 20, id).unwrap()
}

/// Returns the texts of what is to be sent.
pub(crate) fn texts(spool: &Spool) -> Vec<String> {
    let batch = spool.unsent(usize::MAX, usize::MAX).unwrap();
    let text = |line: &Line| String::from_utf8(line.bytes.to_vec()).unwrap();
    batch.lines.iter().map(|(_, line)| text(line)).collect()
}

/// Returns the names of the segments in a directory.
pub(crate) fn segments(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| Path::new(name).extension() == Some("spool".as_ref())).collect();
    names.sort();
    names
}
