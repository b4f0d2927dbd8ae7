//! Files that are followed: growth, rotation in every way, restarts, long lines.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use attestree::core::record::Timestamp;
use attestree::ship::{Files, Form, LINE_BYTES_MAX, Line, Round, Seen, Spool};
use tempfile::TempDir;

use super::{open, texts};

/// When the files are read.
fn now() -> Timestamp {
    Timestamp::from_micros(1_795_000_000_000_000).unwrap()
}

/// A directory with files, and the spool of who follows them.
struct Site {
    dir: TempDir,
    files: Files,
    spool: Option<Spool>,
    seen: Vec<Seen>,
    patterns: Vec<PathBuf>,
}

impl Site {
    fn new(patterns: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let patterns: Vec<PathBuf> =
            patterns.iter().map(|pattern| dir.path().join(pattern)).collect();
        let files = Files::new(patterns.clone(), Form::Text, false);
        let spool = Some(open(&dir.path().join("spool")));
        Self { dir, files, spool, seen: Vec::new(), patterns }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes behind what a file holds.
    fn write(&self, name: &str, text: &[u8]) {
        let file = OpenOptions::new().create(true).append(true).open(self.path(name));
        file.unwrap().write_all(text).unwrap();
    }

    /// Looks until nothing is left.
    fn look(&mut self) -> Vec<String> {
        let spool = self.spool.as_mut().unwrap();
        let seen = &mut self.seen;
        while self.files.round(spool, now(), &mut |event| seen.push(event)).unwrap() == Round::Lines
        {
        }
        texts(spool)
    }

    /// Ends and begins again, as a process does that was killed.
    fn restart(&mut self, once: bool) {
        drop(self.spool.take());
        self.files = Files::new(self.patterns.clone(), Form::Text, once);
        self.spool = Some(open(&self.dir.path().join("spool")));
    }
}

#[test]
fn lines_come_when_they_are_whole() {
    let mut site = Site::new(&["a.log"]);
    assert_eq!(site.look(), [""; 0]);
    site.write("a.log", b"one\ntw");
    assert_eq!(site.look(), ["one"]);
    site.write("a.log", b"o\n\n\nthree\r\n");
    assert_eq!(site.look(), ["one", "two", "three\r"]);
    site.restart(false);
    assert_eq!(site.look(), ["one", "two", "three\r"]);
    site.write("a.log", b"four\n");
    site.restart(false);
    assert_eq!(site.look(), ["one", "two", "three\r", "four"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_before_the_new_one() {
    let mut site = Site::new(&["a.log"]);
    site.write("a.log", b"1\n");
    site.look();
    let mut old = OpenOptions::new().append(true).open(site.path("a.log")).unwrap();
    old.write_all(b"2\n").unwrap();
    fs::rename(site.path("a.log"), site.path("a.log.1")).unwrap();
    site.write("a.log", b"4\n");
    old.write_all(b"3\n").unwrap();
    assert_eq!(site.look(), ["1", "2", "3", "4"]);
    // Who has it open may still write to it.
    old.write_all(b"5\nhalf").unwrap();
    assert_eq!(site.look(), ["1", "2", "3", "4", "5"]);
    for _ in 0..250 {
        site.look();
    }
    assert_eq!(site.look(), ["1", "2", "3", "4", "5", "half"], "in the end it is a line");
}

#[test]
fn a_file_that_was_renamed_while_nobody_looked_is_found_again() {
    let mut site = Site::new(&["a.log"]);
    site.write("a.log", b"1\n");
    site.look();
    site.write("a.log", b"2\n3");
    fs::rename(site.path("a.log"), site.path("a.log.1")).unwrap();
    site.write("a.log", b"4\n");
    site.restart(true);
    assert_eq!(site.look(), ["1", "2", "3", "4"]);
    assert!(!site.seen.iter().any(|seen| matches!(seen, Seen::Gone { .. })));
}

#[test]
fn a_file_that_is_gone_is_reported_once() {
    let mut site = Site::new(&["a.log"]);
    site.write("a.log", b"1\n");
    site.look();
    // Held, so that its number is not given to another one.
    let _held = File::open(site.path("a.log")).unwrap();
    fs::remove_file(site.path("a.log")).unwrap();
    site.write("a.log", b"2\n");
    site.restart(false);
    assert_eq!(site.look(), ["1", "2"]);
    let path = site.path("a.log");
    assert!(site.seen.contains(&Seen::Gone { path: path.clone(), offset: 2 }));
    site.seen.clear();
    site.restart(false);
    site.write("a.log", b"3\n");
    assert_eq!(site.look(), ["1", "2", "3"]);
    assert_eq!(site.seen, [Seen::Opened { path, offset: 2 }]);
}

#[test]
fn a_truncated_file_is_read_from_its_beginning() {
    let mut site = Site::new(&["a.log"]);
    site.write("a.log", b"one\ntwo\n");
    site.look();
    File::create(site.path("a.log")).unwrap();
    assert_eq!(site.look().len(), 2);
    site.write("a.log", b"3\n");
    assert_eq!(site.look(), ["one", "two", "3"]);
    // Also where it has grown beyond what was read before anybody looked.
    File::create(site.path("a.log")).unwrap();
    site.write("a.log", b"another beginning\nand more\n");
    assert_eq!(site.look(), ["one", "two", "3", "another beginning", "and more"]);
    // And while nobody looked.
    File::create(site.path("a.log")).unwrap();
    site.write("a.log", b"the third beginning, longer than the others\n");
    site.restart(false);
    assert_eq!(site.look().last().unwrap(), "the third beginning, longer than the others");
    assert_eq!(site.look().len(), 6);
}

#[test]
fn a_deleted_file_that_is_open_is_read_to_its_end() {
    let mut site = Site::new(&["a.log"]);
    site.write("a.log", b"1\n");
    site.look();
    site.write("a.log", b"2\n");
    fs::remove_file(site.path("a.log")).unwrap();
    assert_eq!(site.look(), ["1", "2"]);
}

#[test]
fn patterns_name_files_that_come_later_and_one_file_once() {
    let mut site = Site::new(&["*.log*", "a.log"]);
    site.write("a.log", b"a1\n");
    assert_eq!(site.look(), ["a1"]);
    site.write("b.log", b"b1\n");
    fs::create_dir(site.path("c.log")).unwrap();
    assert_eq!(site.look(), ["a1", "b1"]);
    fs::rename(site.path("a.log"), site.path("a.log.1")).unwrap();
    site.write("a.log.1", b"a2\n");
    site.write("a.log", b"a3\n");
    let mut lines = site.look();
    lines.sort();
    assert_eq!(lines, ["a1", "a2", "a3", "b1"]);
    assert!(site.seen.iter().all(|seen| matches!(seen, Seen::Opened { .. })));
}

#[test]
fn long_lines_are_cut_into_parts_that_say_so() {
    let mut site = Site::new(&["a.log"]);
    // Three bytes a character, so that no part ends where a part is full.
    let long = "\u{20ac}".repeat(LINE_BYTES_MAX);
    site.write("a.log", format!("before\n{long}\nafter\n").as_bytes());
    site.look();
    let spool = site.spool.as_ref().unwrap();
    let lines: Vec<Line> = spool
        .unsent(usize::MAX, usize::MAX)
        .unwrap()
        .lines
        .into_iter()
        .map(|(_, line)| line)
        .collect();
    let (first, rest) = lines.split_first().unwrap();
    let (last, parts) = rest.split_last().unwrap();
    assert_eq!((first.part, last.part), (None, None));
    let whole: Vec<u8> = parts.iter().flat_map(|part| part.bytes.to_vec()).collect();
    assert_eq!(whole, long.as_bytes());
    for (number, line) in (0..).zip(parts) {
        let part = line.part.unwrap();
        assert_eq!(
            (part.number, part.more),
            (number, usize::try_from(number).unwrap() + 1 < parts.len())
        );
        assert!(line.bytes.len() <= LINE_BYTES_MAX);
        str::from_utf8(&line.bytes).unwrap();
    }
}

#[test]
fn lines_around_the_longest_one_are_whole_or_cut() {
    for (length, parts) in [(-1_isize, 1), (0, 1), (1, 2), (2, 2)] {
        let mut site = Site::new(&["a.log"]);
        let length = LINE_BYTES_MAX.checked_add_signed(length).unwrap();
        site.write("a.log", "x".repeat(length).as_bytes());
        site.look();
        site.write("a.log", b"\nend\n");
        let lines = site.look();
        assert_eq!(lines.len(), parts + 1);
        assert_eq!(lines[..parts].concat().len(), length);
    }
}

#[test]
fn many_lines_take_no_more_of_the_spool_at_once_than_it_has_room_for() {
    let mut site = Site::new(&["a.log"]);
    site.write("a.log", "\n1\n".repeat(40_000).as_bytes());
    let lines = site.look();
    let spool = site.spool.as_ref().unwrap();
    assert!(lines.len() < 40_000 && lines.len() > 10_000, "{}", lines.len());
    let batch = spool.unsent(usize::MAX, usize::MAX).unwrap();
    site.spool.as_mut().unwrap().acknowledge(&batch).unwrap();
    let rest = site.look();
    assert_eq!(lines.len() + rest.len(), 40_000);
}

#[test]
fn one_look_is_enough_for_files_that_end() {
    let dir = tempfile::tempdir().unwrap();
    let path: &Path = &dir.path().join("a.log");
    fs::write(path, "one\ntwo\nunfinished").unwrap();
    let mut spool = open(&dir.path().join("spool"));
    let mut files = Files::new(vec![path.to_owned()], Form::Text, true);
    assert_eq!(files.round(&mut spool, now(), &mut |_| {}).unwrap(), Round::Lines);
    assert_eq!(files.round(&mut spool, now(), &mut |_| {}).unwrap(), Round::Nothing);
    assert_eq!(texts(&spool), ["one", "two"], "the next run takes the third when it is whole");
}
