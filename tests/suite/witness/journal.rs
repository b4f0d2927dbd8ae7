//! The witness's memory: torn, damaged, swapped, restored and full.

use std::{fs, path::Path};

use attestree::{
    core::{
        hash::TreeHash,
        note::{CosignatureTime, SigningKey},
        number::TreeSize,
        origin::Origin,
        tree::TreeHead,
        witness::AddCheckpoint,
    },
    server::witness::RawConfig,
    store::WatermarkError,
    witness::journal::{Act, ActKind, Cosigned, Journal, JournalError, Record},
};
use bytes::Bytes;

use super::{Watching, block_on, log, named, poll::until, step};
use crate::{
    published::signing_key,
    witness_rules::{Tree, note, request},
};

fn key_hash() -> TreeHash {
    TreeHash::digest(b"some vkey")
}

fn time(seconds: u64) -> CosignatureTime {
    CosignatureTime::new(seconds).unwrap()
}

/// Returns a record of some size, as the keeper makes it.
fn cosigned(name: &str, size: u64) -> Record {
    let key = log(name);
    let head = Tree::new(size, size).head(size);
    let note = Bytes::from(note(&key, &head).to_string());
    Record::Cosigned(Cosigned { origin: Origin::parse(name).unwrap(), head, time: time(7), note })
}

fn act(reason: &str) -> Record {
    let origin = Origin::parse("log.example/a").unwrap();
    Record::Act(Act { kind: ActKind::Disable, origin, time: time(9), reason: reason.to_owned() })
}

/// Tries to get a lock that only a dying process holds.
const LOCK_TRIES: u32 = 2_000;

/// A directory with a journal, and its watermark beside it.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        fs::create_dir(files.dir()).unwrap();
        Journal::create(&files.dir(), &files.mark(), key_hash()).unwrap();
        files
    }

    fn dir(&self) -> std::path::PathBuf {
        self.0.path().join("w")
    }

    fn mark(&self) -> std::path::PathBuf {
        self.0.path().join("mark")
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir().join("journal")
    }

    /// Opens the journal. Another test that starts a process holds every lock for a moment, between its
    /// fork and its exec.
    fn open(&self) -> Result<(Journal, Vec<Record>), JournalError> {
        let open = || Journal::open(&self.dir(), &self.mark(), key_hash());
        let mut opened = open();
        for _ in 0..LOCK_TRIES {
            let in_use = matches!(
                opened,
                Err(JournalError::InUse { .. }
                    | JournalError::Watermark(WatermarkError::InUse { .. }))
            );
            if !in_use {
                break;
            }
            std::thread::yield_now();
            opened = open();
        }
        opened
    }

    fn records(&self) -> Vec<Record> {
        self.open().unwrap().1
    }
}

#[test]
fn what_was_appended_is_read_again() {
    let files = Files::new();
    assert_eq!(files.records(), []);
    let groups = [
        vec![cosigned("log.example/a", 3)],
        vec![act("why"), cosigned("log.example/b", 1), cosigned("log.example/a", 5)],
        vec![cosigned("log.example/a", 0)],
    ];
    let mut all = Vec::new();
    for group in groups {
        let (mut journal, read) = files.open().unwrap();
        assert_eq!(read, all);
        journal.append(&group).unwrap();
        all.extend(group);
        assert_eq!(journal.sequence(), all.len() as u64);
        assert_eq!(journal.length(), fs::metadata(files.path()).unwrap().len());
    }
    assert_eq!(files.records(), all);
}

#[test]
fn written_anew_it_says_what_it_is_given_and_goes_on() {
    let files = Files::new();
    let (mut journal, _) = files.open().unwrap();
    for size in 1..20 {
        journal.append(&[cosigned("log.example/a", size)]).unwrap();
    }
    let before = journal.length();
    let kept = [act("kept for ever"), cosigned("log.example/a", 19)];
    journal.compact(&kept).unwrap();
    assert!(journal.length() < before / 4);
    let more = cosigned("log.example/a", 20);
    journal.append(std::slice::from_ref(&more)).unwrap();
    assert_eq!(journal.sequence(), 22, "numbers never fall");
    drop(journal);
    assert_eq!(files.records(), [kept[0].clone(), kept[1].clone(), more]);
}

/// A write that was cut off at any byte: what stood before it stands, and it is gone or whole.
#[test]
fn a_torn_write_at_the_end_is_tolerated_and_written_over() {
    let files = Files::new();
    let first = cosigned("log.example/a", 3);
    files.open().unwrap().0.append(std::slice::from_ref(&first)).unwrap();
    let mark = fs::read(files.mark()).unwrap();
    let whole = fs::metadata(files.path()).unwrap().len();
    let group = [cosigned("log.example/b", 4), act("x"), cosigned("log.example/c", 5)];
    files.open().unwrap().0.append(&group).unwrap();
    let bytes = fs::read(files.path()).unwrap();
    for length in usize::try_from(whole).unwrap()..=bytes.len() {
        fs::write(files.path(), &bytes[..length]).unwrap();
        fs::write(files.mark(), &mark).unwrap();
        let (mut journal, records) = files.open().unwrap();
        assert!((1..=4).contains(&records.len()), "{length}");
        assert_eq!(records[0], first);
        assert_eq!(records[1..], group[..records.len() - 1]);
        let next = cosigned("log.example/d", 1);
        journal.append(std::slice::from_ref(&next)).unwrap();
        drop(journal);
        let again = files.records();
        assert_eq!((again.len(), again.last()), (records.len() + 1, Some(&next)), "{length}");
    }
}

/// The blocks of one write reach the disk in any order.
#[test]
fn a_hole_in_the_last_write_is_torn_and_a_hole_before_it_is_damage() {
    let files = Files::new();
    files.open().unwrap().0.append(&[cosigned("log.example/a", 3)]).unwrap();
    let mark = fs::read(files.mark()).unwrap();
    let from = usize::try_from(fs::metadata(files.path()).unwrap().len()).unwrap();
    let group = [cosigned("log.example/b", 4), cosigned("log.example/c", 5)];
    files.open().unwrap().0.append(&group).unwrap();
    let mut bytes = fs::read(files.path()).unwrap();
    bytes[from + 60] ^= 1;
    fs::write(files.path(), &bytes).unwrap();
    // Told that the group was acknowledged, the witness refuses.
    let refusal = files.open().unwrap_err();
    assert!(matches!(refusal, JournalError::Behind { found: 1, marked: 3, .. }), "{refusal}");
    // Otherwise it never was, and is gone.
    fs::write(files.mark(), &mark).unwrap();
    assert_eq!(files.records().len(), 1);

    // The same hole before a later write was synced once, and is damage.
    let (mut journal, _) = files.open().unwrap();
    journal.append(&group).unwrap();
    journal.append(&[act("later")]).unwrap();
    drop(journal);
    let mut bytes = fs::read(files.path()).unwrap();
    bytes[from + 60] ^= 1;
    fs::write(files.path(), &bytes).unwrap();
    fs::write(files.mark(), &mark).unwrap();
    let refusal = files.open().unwrap_err();
    assert!(matches!(refusal, JournalError::Damaged { offset, .. } if offset == from), "{refusal}");
}

#[test]
fn every_flipped_byte_is_noticed() {
    let files = Files::new();
    let (mut journal, _) = files.open().unwrap();
    for size in 1..4 {
        journal.append(&[cosigned("log.example/a", size)]).unwrap();
    }
    drop(journal);
    let bytes = fs::read(files.path()).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(files.path(), &damaged).unwrap();
        assert!(files.open().is_err(), "byte {at}");
        // A refusal leaves the file as it is.
        assert_eq!(fs::read(files.path()).unwrap(), damaged);
    }
    fs::write(files.path(), &bytes).unwrap();
    assert_eq!(files.records().len(), 3);
}

#[test]
fn a_journal_of_another_key_or_of_other_records_is_refused() {
    let files = Files::new();
    files.open().unwrap().0.append(&[cosigned("log.example/a", 3)]).unwrap();
    let other = TreeHash::digest(b"another vkey");
    let refusal = Journal::open(&files.dir(), &files.mark(), other).unwrap_err();
    assert!(matches!(refusal, JournalError::Key { .. }), "{refusal}");

    // The same number of records, made elsewhere.
    let second = Files::new();
    second.open().unwrap().0.append(&[cosigned("log.example/a", 2)]).unwrap();
    fs::copy(second.path(), files.path()).unwrap();
    let refusal = files.open().unwrap_err();
    assert!(matches!(refusal, JournalError::Another { sequence: 1, .. }), "{refusal}");
    // And more of them.
    second.open().unwrap().0.append(&[cosigned("log.example/a", 3)]).unwrap();
    fs::copy(second.path(), files.path()).unwrap();
    let refusal = files.open().unwrap_err();
    assert!(matches!(refusal, JournalError::Another { sequence: 1, .. }), "{refusal}");

    fs::write(files.path(), b"something else").unwrap();
    assert!(matches!(files.open().unwrap_err(), JournalError::Foreign { .. }));
    fs::remove_file(files.path()).unwrap();
    assert!(matches!(files.open().unwrap_err(), JournalError::Missing { .. }));
    let refusal = Journal::create(&second.dir(), &second.mark(), key_hash()).unwrap_err();
    assert!(matches!(refusal, JournalError::Exists { .. }), "{refusal}");
}

#[test]
fn one_process_has_the_journal_at_a_time() {
    let files = Files::new();
    let open = files.open().unwrap();
    assert!(matches!(files.open().unwrap_err(), JournalError::InUse { .. }));
    drop(open);
    files.open().unwrap();
}

#[test]
fn a_journal_that_was_never_made_does_not_begin_under_a_used_watermark() {
    let files = Files::new();
    files.open().unwrap().0.append(&[cosigned("log.example/a", 3)]).unwrap();
    fs::remove_file(files.path()).unwrap();
    let refusal = Journal::create(&files.dir(), &files.mark(), key_hash()).unwrap_err();
    assert!(matches!(refusal, JournalError::Watermark(_)), "{refusal}");
}

#[test]
fn a_restored_older_copy_is_refused_by_the_daemon() {
    let key = log("log.example/a");
    let mut watching = Watching::start(&[named(&key)]);
    let tree = Tree::new(9, 9);
    assert_eq!(block_on(watching.add(&step(&key, &tree, 0, 3))).0, 200);
    watching.stop();
    let old = fs::read(watching.file("w/journal")).unwrap();
    watching.resume().unwrap();
    assert_eq!(block_on(watching.add(&step(&key, &tree, 3, 5))).0, 200);
    watching.stop();
    let new = fs::read(watching.file("w/journal")).unwrap();

    fs::write(watching.file("w/journal"), &old).unwrap();
    let refusal = watching.resume().unwrap_err();
    assert!(
        refusal.contains("ends at record 1") && refusal.contains("written record 2"),
        "{refusal}"
    );
    fs::remove_file(watching.file("w/journal")).unwrap();
    let refusal = watching.resume().unwrap_err();
    assert!(refusal.contains("put it back"), "{refusal}");
    fs::write(watching.file("w/journal"), &new).unwrap();
    let mark = fs::read(watching.file("w.watermark")).unwrap();
    fs::remove_file(watching.file("w.watermark")).unwrap();
    let refusal = watching.resume().unwrap_err();
    assert!(refusal.contains("no watermark file"), "{refusal}");
    fs::write(watching.file("w.watermark"), mark).unwrap();
    watching.resume().unwrap();
    assert_eq!(block_on(watching.monitored(&key)).unwrap().0, tree.head(5));
}

#[test]
fn ten_thousand_logs_are_remembered() {
    let files = Files::new();
    let head = TreeHead { size: TreeSize::new(1).unwrap(), root: TreeHash::leaf(b"0") };
    let key = log("log.example/many");
    let records: Vec<Record> = (0..10_000)
        .map(|number| {
            let name = format!("log.example/{number}");
            let text =
                note(&key, &head).to_string().replace("log.example/many\n1", &format!("{name}\n1"));
            let (origin, note) = (Origin::parse(&name).unwrap(), Bytes::from(text));
            Record::Cosigned(Cosigned { origin, head, time: time(7), note })
        })
        .collect();
    let (mut journal, _) = files.open().unwrap();
    for group in records.chunks(1_000) {
        journal.append(group).unwrap();
    }
    journal.compact(&records).unwrap();
    drop(journal);
    assert_eq!(files.records(), records);
}

#[test]
fn the_bytes_of_the_journal_are_a_format() {
    let files = Files::new();
    let (mut journal, _) = files.open().unwrap();
    journal.append(&[cosigned("log.example/a", 3), act("why")]).unwrap();
    drop(journal);
    let bytes = fs::read(files.path()).unwrap();
    // A change here is a change of format, and needs a version.
    let hex: String =
        TreeHash::digest(&bytes).as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!((bytes.len(), hex.as_str()), EXPECTED);
    assert!(bytes.starts_with(b"attestree-notes\n\0\0\0\x01\0\0\0\0"));
    assert_eq!(&bytes[128..132], b"rec\n");
    assert!(is_private(&files.path()));
}

/// Length and SHA-256 of a journal of two records.
const EXPECTED: (usize, &str) =
    (513, "4516efc1af4d412bfbe43bfc770794486b6f577d3cdcf601a63d95ff242c73c9");

fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o077 == 0
}

/// A log whose every record is tens of kilobytes long: it signs each checkpoint with many keys.
struct Wordy {
    keys: Vec<SigningKey>,
    tree: Tree,
    size: u64,
}

impl Wordy {
    /// Keys of the log. With the longest names each checkpoint has some 35 KB.
    const KEYS: usize = 100;

    fn new() -> Self {
        let name = format!("{}/a", "log.example".repeat(22));
        let key = |number| signing_key(&name, &format!("key {number}"));
        Self { keys: (0..Self::KEYS).map(key).collect(), tree: Tree::new(999, 999), size: 0 }
    }

    /// Makes the request for the next size.
    fn next(&mut self) -> AddCheckpoint {
        let (old, new) = (self.size, self.size + 1);
        let first = note(&self.keys[0], &self.tree.head(new));
        let lines = self.keys[1..].iter().map(|key| key.sign(first.text())).collect();
        let note = first.with_signatures(lines).unwrap();
        self.size = new;
        request(old, self.tree.proof(old, new), &note)
    }
}

#[test]
fn a_running_witness_writes_a_long_journal_anew_and_forgets_nothing() {
    let (mut wordy, other) = (Wordy::new(), log("log.example/b"));
    let logs: Vec<String> = wordy.keys.iter().chain([&other]).map(named).collect();
    let raw = RawConfig { advances_per_second: Some(0), ..RawConfig::default() };
    let mut watching = Watching::with(&logs, raw);
    let tree = Tree::new(9, 9);
    assert_eq!(block_on(watching.add(&step(&other, &tree, 0, 5))).0, 200);
    let order = r#"{"act":"freeze","origin":"log.example/b","reason":"it looks odd"}"#.to_owned();
    let socket = watching.file("w/admin.sock");
    let told = block_on(attestree::client::operator::ask_socket(&socket, "/order", Some(order)));
    assert_eq!(told.unwrap().0, 200);

    let length = |watching: &Watching| fs::metadata(watching.file("w/journal")).unwrap().len();
    let (mut longest, mut length_before) = (0, 0);
    while length_before <= length(&watching) {
        length_before = length(&watching);
        longest = longest.max(length_before);
        let (status, _, text) = block_on(watching.add(&wordy.next()));
        assert_eq!(status, 200, "{text}");
        assert!(longest < 32 << 20, "it is never written anew");
    }
    assert!(longest > 15 << 20, "it is written anew before it is long: {longest}");
    assert!(length(&watching) < 1 << 20, "only what counts is left");
    let says = format!("attestree_witness_journal_bytes {}\n", length(&watching));
    until("the metric says so", || block_on(watching.get("/metrics")).2.contains(&says));

    // It goes on, and a restart finds all of it: heads, and the operator's act.
    let head = |watching: &Watching, size| {
        let status = watching.status();
        status.logs.iter().find(|log| log.origin.len() > 100).unwrap().size == Some(size)
    };
    for _ in 0..2 {
        assert_eq!(block_on(watching.add(&wordy.next())).0, 200);
        assert!(head(&watching, wordy.size));
        assert!(watching.stop());
        watching.resume().unwrap();
        assert!(head(&watching, wordy.size));
        assert_eq!(watching.frozen("log.example/b").as_deref(), Some("it looks odd"));
        assert_eq!(block_on(watching.monitored(&other)).unwrap().0, tree.head(5));
    }
}
