//! The spool: lines that were read from files, on disk until the server has them.
//!
//! ```text
//! DIR/00000000000000000000.spool     segments, each named by the number of its first frame
//! DIR/00000000000000004711.spool
//! DIR/sent                           how far the server has acknowledged
//! ```
//!
//! # Invariants
//!
//! - One process has the directory open: it holds its lock.
//! - What a file's cursor says is in the spool, durably, before a byte behind it is read; so a crash reads no
//!   line twice into the spool, and passes over none.
//! - A segment begins with the cursors of all files, so that the newest one alone says how far each was read.
//!   It is never deleted; the others are once the server has everything in them.
//! - Each process writes into segments of its own, with random ids. The name under which a line is sent is
//!   the id of its segment and its number: a directory that was restored from a copy gives no name twice.
//! - After a sync that failed nothing is known about a file any more. The process must end.
//! - All segments together have at most the bytes that are set. A write that finds no room leaves the segment as
//!   it was.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    frame::{self, Content, Fault, Frame, SegmentId},
    line::{Cursor, Line},
    mark::Mark,
};

/// Fewest bytes that a spool may be bounded by: four segments of eight long lines.
pub const SPOOL_BYTES_MIN: u64 = 4 << 20;

/// Most bytes of a segment, where the spool may have four times as many: a second's worth of what a disk writes.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;

/// Why the spool can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error("{} is in use by another `attestree ship`; stop that one, or use another --state", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A segment is something else.
    #[error("{} is no segment of a spool of version 2; put the right file back, or move it away", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A segment is damaged where it was written before.
    #[error(
        "{} is damaged at byte {offset}. Put a copy of it back, or move it away: then the lines in it that were not \
         sent are in their files alone", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: usize,
    },
    /// A file could not be read or written.
    #[error("use {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was reported.
        #[source]
        error: io::Error,
    },
}

/// What became of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// They are in the spool, durably.
    All,
    /// There is no room, and none of them is.
    None,
}

/// Lines that are to be sent together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Each with its name.
    pub lines: Vec<(String, Line)>,
    /// Where the next batch begins.
    after: Place,
}

/// A place between two frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// Number of the next frame.
    number: u64,
    /// Number of the first frame of its segment, which names the segment's file.
    segment: u64,
    /// Where it begins in the file.
    offset: u64,
}

impl Place {
    /// Returns the beginning of a segment.
    fn first(first: u64) -> Self {
        Self { number: first, segment: first, offset: bytes_u64(frame::HEADER_BYTES) }
    }
}

/// A segment on disk.
#[derive(Clone, Copy, Debug)]
struct Segment {
    first: u64,
    id: SegmentId,
    length: u64,
}

/// The open spool.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    bytes_max: u64,
    /// Makes the ids of segments.
    random: fn() -> io::Result<SegmentId>,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The newest segment, if this process has made it.
    current: Option<File>,
    /// Number of the next frame.
    next: u64,
    /// By device and inode.
    cursors: BTreeMap<(u64, u64), Cursor>,
    /// Where the first line stands that the server has not acknowledged.
    place: Place,
    mark: Mark,
    /// Holds the lock.
    _directory: File,
}

impl Spool {
    /// Opens the spool in a directory, which is made if it is not there.
    pub fn open(
        dir: &Path,
        bytes_max: u64,
        random: fn() -> io::Result<SegmentId>,
    ) -> Result<Self, SpoolError> {
        let directory = lock(dir)?;
        let mark =
            Mark::open(&dir.join("sent")).map_err(|error| failed(&dir.join("sent"), error))?;
        let mut spool = Self {
            dir: dir.to_owned(),
            bytes_max: bytes_max.max(SPOOL_BYTES_MIN),
            random,
            segments: VecDeque::new(),
            current: None,
            next: mark.get(),
            cursors: BTreeMap::new(),
            place: Place::first(mark.get()),
            mark,
            _directory: directory,
        };
        let firsts = segments(dir)?;
        for (at, first) in firsts.iter().enumerate() {
            spool.read_segment(*first, at + 1 == firsts.len())?;
        }
        spool.find_place()?;
        spool.delete_sent()?;
        Ok(spool)
    }

    /// Returns how far each file was read.
    pub fn cursors(&self) -> impl Iterator<Item = &Cursor> {
        self.cursors.values()
    }

    /// Returns how far a file was read, by device and inode.
    pub fn cursor(&self, file: (u64, u64)) -> Option<&Cursor> {
        self.cursors.get(&file)
    }

    /// Forgets a file that is gone.
    pub fn forget(&mut self, file: (u64, u64)) {
        self.cursors.remove(&file);
    }

    /// Returns how many frames are not acknowledged.
    pub fn waiting(&self) -> u64 {
        self.next - self.place.number
    }

    /// Returns how many bytes all segments have.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Adds lines with one sync for all of them; durable when it returns.
    pub fn append(&mut self, lines: Vec<Line>) -> Result<Kept, SpoolError> {
        let is_long =
            |segment: &Segment| segment.length >= SEGMENT_BYTES_MAX.min(self.bytes_max / 4);
        if self.current.is_none() || self.segments.back().is_none_or(is_long) {
            return self.begin_segment(lines);
        }
        let segment = *self.segments.back().expect("there is a segment, or one was begun");
        let mut bytes = Vec::new();
        let frames = self.frames(Vec::new(), lines);
        frames.iter().for_each(|frame| frame::encode(&mut bytes, &segment.id, frame));
        if self.bytes() + bytes_u64(bytes.len()) > self.bytes_max {
            return Ok(Kept::None);
        }
        let path = self.path(segment.first);
        let file = self.current.as_ref().expect("the newest segment is this process's own");
        if let Err(error) = file.write_all_at(&bytes, segment.length) {
            // No sync was tried, so that the file holds what was written: without the part of a write it is
            // what it was.
            file.set_len(segment.length).map_err(|error| failed(&path, error))?;
            return if is_full(&error) { Ok(Kept::None) } else { Err(failed(&path, error)) };
        }
        file.sync_data().map_err(|error| failed(&path, error))?;
        if let Some(segment) = self.segments.back_mut() {
            segment.length += bytes_u64(bytes.len());
        }
        self.take(frames);
        Ok(Kept::All)
    }

    /// Begins a segment with the cursors of all files, and lines.
    fn begin_segment(&mut self, lines: Vec<Line>) -> Result<Kept, SpoolError> {
        let id = (self.random)().map_err(|error| failed(&self.dir, error))?;
        let first = self.next;
        let places = self.cursors.values().cloned().map(Content::Place).collect();
        let frames = self.frames(places, lines);
        let mut bytes = frame::header(&id, first);
        frames.iter().for_each(|frame| frame::encode(&mut bytes, &id, frame));
        if self.bytes() + bytes_u64(bytes.len()) > self.bytes_max {
            return Ok(Kept::None);
        }
        let (path, aside) = (self.path(first), self.dir.join("new"));
        let file = match write_synced(&aside, &bytes) {
            Ok(file) => file,
            Err(error) => {
                // It never was a part of the spool.
                fs::remove_file(&aside).map_err(|error| failed(&aside, error))?;
                return if is_full(&error) { Ok(Kept::None) } else { Err(failed(&aside, error)) };
            }
        };
        fs::rename(&aside, &path)
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(|error| failed(&path, error))?;
        self.current = Some(file);
        self.segments.push_back(Segment { first, id, length: bytes_u64(bytes.len()) });
        self.take(frames);
        Ok(Kept::All)
    }

    /// Numbers what is written together.
    fn frames(&self, places: Vec<Content>, lines: Vec<Line>) -> Vec<Frame> {
        let contents = places.into_iter().chain(lines.into_iter().map(Content::Line));
        let frame = |(number, content)| Frame { number, group: self.next, content };
        (self.next..).zip(contents).map(frame).collect()
    }

    /// Takes over what frames say.
    fn take(&mut self, frames: Vec<Frame>) {
        for frame in frames {
            self.next = frame.number + 1;
            let (Content::Place(cursor) | Content::Line(Line { cursor, .. })) = frame.content;
            self.cursors.insert((cursor.file.device, cursor.file.inode), cursor);
        }
    }

    /// Reads the next lines that are not acknowledged: at most so many, with at most so many bytes, but one.
    pub fn unsent(&self, lines_max: usize, bytes_max: usize) -> Result<Batch, SpoolError> {
        let mut batch = Batch { lines: Vec::new(), after: self.place };
        let mut bytes = 0;
        for segment in self.segments.iter().filter(|segment| segment.first >= self.place.segment) {
            if segment.first > batch.after.segment {
                batch.after = Place::first(segment.first);
            }
            let content = self.contents(segment.first, batch.after.offset)?;
            let mut rest = content.as_slice();
            while let Some((frame, length)) = frame::decode_frame(rest, &segment.id) {
                if let Content::Line(line) = frame.content {
                    bytes += line.bytes.len();
                    if batch.lines.len() == lines_max
                        || bytes > bytes_max && !batch.lines.is_empty()
                    {
                        return Ok(batch);
                    }
                    batch.lines.push((name(&segment.id, frame.number), line));
                }
                batch.after.number = frame.number + 1;
                batch.after.offset += bytes_u64(length);
                rest = rest.get(length..).unwrap_or_default();
            }
            if !rest.is_empty() {
                // What was written and read before is not what stands there.
                let offset = usize::try_from(batch.after.offset).unwrap_or(usize::MAX);
                return Err(SpoolError::Damaged { path: self.path(segment.first), offset });
            }
        }
        Ok(batch)
    }

    /// Notes that the server has a batch, and deletes what is not needed any more.
    pub fn acknowledge(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        self.place = batch.after;
        match self.mark.set(self.place.number) {
            Ok(()) => {}
            // Deleting makes room. Until it is written, what was sent may be sent again, under the same names.
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(failed(&self.dir.join("sent"), error)),
        }
        self.delete_sent()
    }

    /// Deletes the segments, but the newest, of which the server has everything.
    fn delete_sent(&mut self) -> Result<(), SpoolError> {
        while self.segments.get(1).is_some_and(|next| next.first <= self.place.number)
            && let Some(oldest) = self.segments.pop_front()
        {
            let path = self.path(oldest.first);
            fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }

    /// Reads a segment at the start.
    fn read_segment(&mut self, first: u64, newest: bool) -> Result<(), SpoolError> {
        let path = self.path(first);
        let bytes = fs::read(&path).map_err(|error| failed(&path, error))?;
        let segment = frame::decode(&bytes).map_err(|fault| match fault {
            Fault::Foreign => SpoolError::Foreign { path: path.clone() },
            Fault::Damaged { offset } => SpoolError::Damaged { path: path.clone(), offset },
        })?;
        if segment.first != first {
            return Err(SpoolError::Foreign { path });
        }
        if segment.length < bytes.len() {
            if !newest {
                return Err(SpoolError::Damaged { path, offset: segment.length });
            }
            // What follows was never acknowledged, and its files are read from before it.
            OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|file| {
                    file.set_len(bytes_u64(segment.length))?;
                    file.sync_all()
                })
                .map_err(|error| failed(&path, error))?;
        }
        self.segments.push_back(Segment {
            first,
            id: segment.id,
            length: bytes_u64(segment.length),
        });
        let next = segment.next();
        // The newest segment has the cursors of all files; what an older one has besides is of files that
        // are gone.
        self.cursors.clear();
        self.take(segment.frames);
        self.next = next.max(self.mark.get());
        Ok(())
    }

    /// Finds the first frame that is not acknowledged.
    fn find_place(&mut self) -> Result<(), SpoolError> {
        let marked = self.mark.get();
        let Some(first) = self.segments.front().map(|segment| segment.first) else { return Ok(()) };
        // A segment that is not there any more was acknowledged, whatever the mark says.
        let marked = marked.max(first);
        let segment = self.segments.iter().rfind(|segment| segment.first <= marked);
        let segment = *segment.expect("the first segment is one");
        let content = self.contents(segment.first, bytes_u64(frame::HEADER_BYTES))?;
        let (mut rest, mut offset) = (content.as_slice(), bytes_u64(frame::HEADER_BYTES));
        while let Some((_, length)) =
            frame::decode_frame(rest, &segment.id).filter(|(frame, _)| frame.number < marked)
        {
            offset += bytes_u64(length);
            rest = rest.get(length..).unwrap_or_default();
        }
        self.place = Place { number: marked, segment: segment.first, offset };
        Ok(())
    }

    /// Reads what of a segment follows an offset.
    fn contents(&self, first: u64, offset: u64) -> Result<Vec<u8>, SpoolError> {
        let path = self.path(first);
        let segment = self.segments.iter().find(|segment| segment.first == first);
        let length = segment.map_or(0, |segment| segment.length.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(length).expect("a segment fits the memory")];
        File::open(&path)
            .and_then(|file| file.read_exact_at(&mut bytes, offset))
            .map_err(|error| failed(&path, error))?;
        Ok(bytes)
    }

    fn path(&self, first: u64) -> PathBuf {
        self.dir.join(format!("{first:020}.spool"))
    }
}

/// Returns the name under which a line is sent.
fn name(id: &SegmentId, number: u64) -> String {
    let id = id.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    format!("{id}-{number}")
}

/// Returns the numbers of the first frames of all segments, sorted.
fn segments(dir: &Path) -> Result<Vec<u64>, SpoolError> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed(dir, error))? {
        let name = entry.map_err(|error| failed(dir, error))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".spool"));
        firsts.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Makes a directory if need be, and locks it against every other process.
fn lock(dir: &Path) -> Result<File, SpoolError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed(dir, error));
        }
        _ => {}
    }
    let directory = File::open(dir).map_err(|error| failed(dir, error))?;
    directory.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => SpoolError::InUse { path: dir.to_owned() },
        TryLockError::Error(error) => failed(dir, error),
    })?;
    Ok(directory)
}

/// Writes a file, readable by its owner alone, and syncs it.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Returns whether a write found no room.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn failed(path: &Path, error: io::Error) -> SpoolError {
    SpoolError::File { path: path.to_owned(), error }
}

/// Widens a length.
fn bytes_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}
