//! The files that are followed, through every way in which logs are rotated.
//!
//! | what happens | what is done |
//! |---|---|
//! | renamed, and made anew under its name | the old one is read to its end first, then the new one from its beginning |
//! | copied and truncated | read from its beginning; what was written between the last look and the truncation is lost |
//! | deleted while it is open here | read to its end |
//! | renamed or deleted while nobody looked | looked for in its directory, by its number; one that is gone is reported |

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    line::{Cursor, Form},
    spool::{Kept, Spool, SpoolError},
    tail::Tail,
};
use crate::core::record::Timestamp;

/// Most files that are open at once: each is a descriptor, of which a process commonly has 1,024.
const FILES_MAX: usize = 512;

/// Looks that find nothing after which a file that has lost its name is closed: a minute. A program that was told
/// to open its log anew has done so by then.
const QUIET_LOOKS: u32 = 240;

/// What happened to a file, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is followed from an offset on.
    Opened {
        /// Its name.
        path: PathBuf,
        /// Where reading begins.
        offset: u64,
    },
    /// It was truncated, and is read from its beginning.
    Truncated {
        /// Its name.
        path: PathBuf,
    },
    /// It was deleted or moved away while nobody looked; what it held behind the offset is not known.
    Gone {
        /// The name that it had.
        path: PathBuf,
        /// How far it was read.
        offset: u64,
    },
    /// It can't be read.
    Unreadable {
        /// Its name.
        path: PathBuf,
        /// What was reported.
        error: String,
    },
}

/// What one round over all files brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Lines; there may be more.
    Lines,
    /// Nothing: every file was read to its end.
    Nothing,
    /// There is no room in the spool.
    Full,
}

/// The files.
#[derive(Debug)]
pub struct Files {
    patterns: Vec<PathBuf>,
    form: Form,
    /// Whether files are read once, to where they end.
    once: bool,
    tails: Vec<Tail>,
    /// What can't be read and has been reported.
    unreadable: Vec<PathBuf>,
    /// Whether the files of the cursors have been looked for.
    resumed: bool,
}

impl Files {
    /// Follows the files that patterns name; `*` and `?` stand for parts of a file's name.
    pub fn new(patterns: Vec<PathBuf>, form: Form, once: bool) -> Self {
        let (tails, unreadable) = (Vec::new(), Vec::new());
        Self { patterns, form, once, tails, unreadable, resumed: false }
    }

    /// Looks at every file once, and puts what there is into the spool, as read `now`.
    pub fn round(
        &mut self,
        spool: &mut Spool,
        now: Timestamp,
        seen: &mut dyn FnMut(Seen),
    ) -> Result<Round, SpoolError> {
        self.discover(spool, seen);
        let mut round = Round::Nothing;
        // Those that have lost their names come first: they are older than what has their names.
        let (left, named): (Vec<usize>, Vec<usize>) =
            (0..self.tails.len()).partition(|at| self.tails.get(*at).is_some_and(|tail| tail.left));
        let mut unfinished: Vec<PathBuf> = Vec::new();
        for at in left.into_iter().chain(named) {
            let Some(tail) = self.tails.get_mut(at) else { continue };
            if !tail.left && unfinished.iter().any(|path| path == tail.path()) {
                continue;
            }
            let last = tail.left && (self.once || tail.quiet >= QUIET_LOOKS);
            let mut found = match tail.look(self.form, now, last) {
                Ok(found) => found,
                Err(error) => {
                    report(&mut self.unreadable, tail.path(), &error, seen);
                    continue;
                }
            };
            if tail.left && !found.at_end {
                unfinished.push(tail.path().to_owned());
            }
            let lines = core::mem::take(&mut found.lines);
            let is_quiet = lines.is_empty();
            if !is_quiet {
                if spool.append(lines)? == Kept::None {
                    return Ok(Round::Full);
                }
                round = Round::Lines;
            }
            if found.truncated {
                seen(Seen::Truncated { path: tail.path().to_owned() });
            }
            tail.quiet = if is_quiet { tail.quiet.saturating_add(1) } else { 0 };
            if !found.at_end {
                round = Round::Lines;
            }
            tail.advance(found);
        }
        self.close_left(spool);
        Ok(round)
    }

    /// Closes the files that have lost their names and in which nothing is written any more.
    fn close_left(&mut self, spool: &mut Spool) {
        let quiet = if self.once { 1 } else { QUIET_LOOKS + 1 };
        self.tails.retain(|tail| {
            let is_over = tail.left && tail.quiet >= quiet;
            if is_over {
                spool.forget(tail.number());
            }
            !is_over
        });
    }

    /// Finds files that are there, and those that have lost their names.
    fn discover(&mut self, spool: &mut Spool, seen: &mut dyn FnMut(Seen)) {
        let mut paths: Vec<PathBuf> =
            self.patterns.iter().flat_map(|pattern| expand(pattern)).collect();
        paths.sort_unstable();
        paths.dedup();
        let mut found: Vec<(SystemTime, PathBuf, (u64, u64))> =
            paths.into_iter().filter_map(stat).collect();
        // Of several that nobody has read yet, the one that was left first is the oldest.
        found.sort_unstable();
        let named: Vec<(PathBuf, (u64, u64))> =
            found.into_iter().map(|(_, path, number)| (path, number)).collect();
        for tail in &mut self.tails {
            tail.left = !named.iter().any(|(_, number)| *number == tail.number());
        }
        if !self.resumed {
            self.resumed = true;
            self.resume(&named, spool, seen);
        }
        for (path, number) in named {
            if !self.tails.iter().any(|tail| tail.number() == number) {
                self.open(&path, false, spool, seen);
            }
        }
    }

    /// Finds the files again that were read before and have other names, or none.
    fn resume(
        &mut self,
        named: &[(PathBuf, (u64, u64))],
        spool: &mut Spool,
        seen: &mut dyn FnMut(Seen),
    ) {
        let lost = |cursor: &&Cursor| {
            let number = (cursor.file.device, cursor.file.inode);
            !named.iter().any(|(_, other)| *other == number)
        };
        let lost: Vec<Cursor> = spool.cursors().filter(lost).cloned().collect();
        for cursor in lost {
            let number = (cursor.file.device, cursor.file.inode);
            let path = PathBuf::from(OsString::from_vec(cursor.path.clone()));
            match find(&path, number) {
                // It is where it was, and is not to be followed any more.
                Some(found) if found == path => {}
                Some(found) => self.open(&found, true, spool, seen),
                None => {
                    spool.forget(number);
                    seen(Seen::Gone { path, offset: cursor.offset });
                }
            }
        }
    }

    /// Begins to follow a file.
    fn open(&mut self, path: &Path, left: bool, spool: &Spool, seen: &mut dyn FnMut(Seen)) {
        if self.tails.len() >= FILES_MAX {
            let error = io::Error::other("too many files are open; it is read when others are not");
            return report(&mut self.unreadable, path, &error, seen);
        }
        match Tail::open(path, |number| spool.cursor(number)) {
            Ok(Some(mut tail)) => {
                tail.left = left;
                self.unreadable.retain(|other| other != path);
                seen(Seen::Opened { path: path.to_owned(), offset: tail.offset() });
                self.tails.push(tail);
            }
            // A directory or a pipe that a pattern meets.
            Ok(None) => {}
            // It has lost its name since it was found.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => report(&mut self.unreadable, path, &error, seen),
        }
    }
}

/// Says once that a file can't be read.
fn report(reported: &mut Vec<PathBuf>, path: &Path, error: &io::Error, seen: &mut dyn FnMut(Seen)) {
    if !reported.iter().any(|other| other == path) {
        reported.push(path.to_owned());
        seen(Seen::Unreadable { path: path.to_owned(), error: error.to_string() });
    }
}

/// Finds a file by its number in the directory where it was.
fn find(path: &Path, number: (u64, u64)) -> Option<PathBuf> {
    let directory = directory(path);
    let entries = fs::read_dir(directory).ok()?;
    let mut found = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let meta = fs::metadata(&path).ok()?;
        ((meta.dev(), meta.ino()) == number).then_some(path)
    });
    found.next()
}

/// Returns when a file was last written, and its number.
fn stat(path: PathBuf) -> Option<(SystemTime, PathBuf, (u64, u64))> {
    let meta = fs::metadata(&path).ok()?;
    Some((meta.modified().ok()?, path, (meta.dev(), meta.ino())))
}

/// Returns the directory of a file.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the paths that a pattern names. What can't be listed names nothing, until it can.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let Some(name) = pattern.file_name().filter(|name| has_stars(name)) else {
        return vec![pattern.to_owned()];
    };
    let Ok(entries) = fs::read_dir(directory(pattern)) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let named = names.filter(|other| matches(name.as_bytes(), other.as_bytes()));
    named.map(|name| pattern.with_file_name(name)).collect()
}

fn has_stars(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// Returns whether a name fits a pattern: `*` stands for any bytes, `?` for one. Names that begin with a point
/// are hidden from a pattern that does not.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    // The last star, and where in the name what it stands for began: there is never need to go back further.
    let (mut at, mut in_name, mut star) = (0, 0, None);
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(byte) if *byte == b'?' || name.get(in_name) == Some(byte) => {
                at += 1;
                in_name += 1;
            }
            _ => match star {
                Some((place, begin)) => {
                    star = Some((place, begin + 1));
                    (at, in_name) = (place + 1, begin + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_name_what_they_should() {
        let cases = [
            ("*.log", "app.log", true),
            ("*.log", ".log", false),
            (".*", ".log", true),
            ("app*.log*", "app.log", true),
            ("app*.log*", "app-1.log.2", true),
            ("app?.log", "app.log", false),
            ("app?.log", "app1.log", true),
            ("a*b*c", "aXbXbYc", true),
            ("a*b*c", "aXbXbY", false),
            ("*", "", true),
            ("?", "", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
