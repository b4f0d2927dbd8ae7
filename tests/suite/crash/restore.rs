//! What must not be served: older copies, other histories, damage, wrong keys, foreign formats.
//!
//! Each refusal is an orderly exit whose message names the way out, and leaves the watermark, which
//! is written before every signature, as it was: nothing was signed.

use std::{
    fs::{self, OpenOptions, Permissions},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use attestree::proto;

use super::{
    audit::check_logs,
    client::Client,
    ledger::Book,
    load::script,
    process::was_killed,
    random::Random,
    runtime,
    site::{HASHED, PLAIN, Site, copy_tree},
};
use crate::store_world::{put, raw};

/// A site with entries in both logs, and what was promised.
pub(super) struct Lived {
    pub(super) site: Site,
    pub(super) book: Book,
}

impl Lived {
    /// Serves a load and ends in order.
    pub(super) fn new(random: &mut Random) -> Self {
        let (site, logs) = Site::with_logs();
        let lived = Self { book: Book::new(&logs), site };
        lived.grow(random);
        lived
    }

    /// Serves a load and ends in order.
    pub(super) fn grow(&self, random: &mut Random) {
        let mut server = self.site.serve();
        self.load(&server.url(), random);
        assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
    }

    /// Serves a load and is killed, so that the WAL holds all of it.
    fn grow_and_die(&self, random: &mut Random) {
        let mut server = self.site.serve();
        self.load(&server.url(), random);
        assert!(was_killed(server.kill()));
    }

    fn load(&self, url: &str, random: &mut Random) {
        runtime().block_on(async {
            let mut client = Client::connect(url, &self.book).await.unwrap();
            script(&mut client, random).await.unwrap();
        });
    }

    /// Asserts that nothing is served or signed, and that the reason holds all of `words`.
    pub(super) fn assert_refused(&self, words: &[&str]) {
        let before = fs::read(self.site.watermark()).ok();
        let reason = self.site.refusal();
        assert_eq!(fs::read(self.site.watermark()).ok(), before, "nothing was signed: {reason}");
        for word in words {
            assert!(reason.contains(word), "the reason speaks of {word:?}: {reason}");
        }
    }

    /// Asserts that everything promised is served.
    pub(super) fn assert_served(&self, random: &mut Random) {
        let mut server = self.site.serve();
        runtime().block_on(check_logs(&server.url(), &self.book.ledger(), random));
        assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
        self.site.fsck();
    }

    /// Replaces the data directory, not the watermark.
    fn replace_data(&self, source: &Path) {
        fs::remove_dir_all(self.site.data()).unwrap();
        copy_tree(source, &self.site.data());
    }
}

/// Changes bytes of a file in place.
fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

/// Returns the files of the database with this extension, the oldest first.
fn database_files(site: &Site, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(site.data().join("db")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
}

#[test]
fn an_older_copy_of_the_data_is_not_signed() {
    let random = &mut Random::seeded("older copy");
    let lived = Lived::new(random);
    let older = lived.site.copy();
    lived.grow(random);
    let newer = lived.site.copy();

    lived.replace_data(&older.data());
    lived.assert_refused(&[PLAIN, "older copy", "newer copy"]);

    // Nor is it signed without the watermark that gave it away, or with the one of its own time.
    fs::remove_file(lived.site.watermark()).unwrap();
    lived.assert_refused(&["watermark", "put it back"]);

    // The way out.
    fs::copy(newer.watermark(), lived.site.watermark()).unwrap();
    lived.replace_data(&newer.data());
    lived.assert_served(random);
}

#[test]
fn another_history_is_not_signed() {
    let random = &mut Random::seeded("other history");
    let lived = Lived::new(random);
    // A copy that went on by itself, further than the one that the watermark knows.
    let other = Lived { site: lived.site.copy(), book: lived.book.copy() };
    lived.grow(random);
    other.grow(random);
    other.grow(random);
    lived.replace_data(&other.site.data());
    lived.assert_refused(&["another history", "newer copy"]);
}

#[test]
fn a_log_without_its_watermark_is_not_signed() {
    let random = &mut Random::seeded("watermark");
    let lived = Lived::new(random);
    let whole = fs::read(lived.site.watermark()).unwrap();
    let path = lived.site.watermark();
    let empty = Site::with_logs().0;
    let damaged = [
        ("empty", Vec::new()),
        ("cut in the header", whole[..60].to_vec()),
        ("zeros", vec![0; whole.len()]),
        ("noise", random.bytes(whole.len())),
        ("of another server", fs::read(empty.watermark()).unwrap()),
    ];
    for (what, bytes) in damaged {
        fs::write(&path, bytes).unwrap();
        eprintln!("a watermark that is {what}");
        lived.assert_refused(&["watermark"]);
    }
    // Every byte of both slots of the first log.
    let mut flipped = whole.clone();
    flipped[128..384].iter_mut().for_each(|byte| *byte ^= 0x40);
    fs::write(&path, flipped).unwrap();
    lived.assert_refused(&["watermark", "damaged"]);

    fs::write(&path, whole).unwrap();
    lived.assert_served(random);
}

#[test]
fn a_lost_disk_does_not_become_an_empty_log() {
    let random = &mut Random::seeded("lost disk");
    let lived = Lived::new(random);
    fs::remove_dir_all(lived.site.data().join("db")).unwrap();
    lived.assert_refused(&["init"]);
    fs::remove_dir_all(lived.site.data()).unwrap();
    lived.assert_refused(&["init"]);
    // The watermark stands in the way of a new log under the old name.
    let again = lived.site.run(&lived.site.init_arguments(PLAIN, false));
    assert_eq!(again.status.code(), Some(1), "an origin that was signed is not made anew");
    let reason = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(reason.contains("watermark"), "the reason speaks of the watermark: {reason}");
}

#[test]
fn a_lost_watermark_is_given_up_by_closing_every_log_with_entries() {
    let random = &mut Random::seeded("lost watermark");
    let lived = Lived::new(random);
    let close = |origin: &str| {
        let data = lived.site.data();
        lived.site.run(&["close", "--data", data.to_str().unwrap(), "--log", origin])
    };
    fs::remove_file(lived.site.watermark()).unwrap();
    lived.assert_refused(&["watermark", "put it back"]);
    let wrong = close("crash.example/none");
    assert_eq!(wrong.status.code(), Some(1), "there is no such log");
    let reason = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(reason.contains(PLAIN) && reason.contains(HASHED), "the logs are named: {reason}");

    // As long as an open log has entries, nothing may stand in for the lost file.
    assert!(close(PLAIN).status.success(), "a log of a stopped server can be closed");
    assert!(!lived.site.watermark().exists(), "{HASHED} is still guarded by the file that is lost");
    lived.assert_refused(&["watermark", "put it back"]);
    assert!(close(HASHED).status.success(), "a log of a stopped server can be closed");
    assert!(lived.site.watermark().exists(), "nothing is left to guard");

    // A log under another origin goes on; the old ones are never signed again.
    let new = lived.site.init("crash.example/new", false);
    let book = Book::new(std::slice::from_ref(&new));
    let mut server = lived.site.serve();
    runtime().block_on(async {
        let mut client = Client::connect(&server.url(), &book).await.unwrap();
        client.append(&new.origin, b"first".to_vec(), Vec::new()).await.unwrap();
        let mut client = Client::connect(&server.url(), &lived.book).await.unwrap();
        for origin in [PLAIN, HASHED] {
            let late = client.append(origin, b"late".to_vec(), Vec::new()).await;
            late.expect_err("a log without its watermark takes nothing");
            let request =
                proto::GetCheckpointRequest { log: origin.to_owned(), ..Default::default() };
            let signed = client.grpc.get_checkpoint(request).await;
            signed.expect_err("a log without its watermark is not signed");
        }
    });
    assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
    runtime().block_on(check_logs(&lived.site.serve().url(), &book.ledger(), random));
    let again = lived.site.run(&lived.site.init_arguments(PLAIN, false));
    assert_eq!(again.status.code(), Some(1), "a closed log's origin is not used again");
}

/// Asserts that a copy of a killed server's directory is refused once its WAL is damaged.
fn assert_damage_refused(killed: &Lived, words: &[&str], damage: impl FnOnce(&Path)) {
    // A refused start may have written what it could read of the WAL into tables.
    let damaged = Lived { site: killed.site.copy(), book: killed.book.copy() };
    damage(&database_files(&damaged.site, "log").pop().expect("a killed server leaves a WAL"));
    damaged.assert_refused(words);
}

#[test]
fn a_wal_damaged_in_the_middle_is_not_signed() {
    let random = &mut Random::seeded("damaged WAL");
    let lived = Lived::new(random);
    lived.grow_and_die(random);
    let wal = database_files(&lived.site, "log").pop().expect("a killed server leaves a WAL");
    let whole = fs::read(&wal).unwrap();
    // RocksDB reserves space behind the last record.
    let end = whole.iter().rposition(|&byte| byte != 0).expect("the WAL holds records") as u64;
    let middle = |random: &mut Random| end / 10 + random.below(end * 6 / 10);
    for _ in 0..6 {
        let at = middle(random);
        eprintln!("a bit of byte {at} of {end}");
        assert_damage_refused(&lived, &["damaged", "restore a good copy"], |wal| {
            overwrite(wal, at, &[whole[at as usize] ^ 0x01]);
        });
    }
    for _ in 0..4 {
        let sector = middle(random) / 512 * 512;
        eprintln!("zeros in sector at {sector} of {end}");
        assert_damage_refused(&lived, &["copy"], |wal| overwrite(wal, sector, &[0; 512]));
    }
    for _ in 0..2 {
        let from = middle(random) as usize;
        eprintln!("cut at {from} of {end}");
        assert_damage_refused(&lived, &["newer copy"], |wal| {
            fs::write(wal, &whole[..from]).unwrap();
        });
    }
    assert_damage_refused(&lived, &["copy"], |wal| fs::remove_file(wal).unwrap());
    lived.assert_served(random);
}

#[test]
fn a_damaged_table_is_refused_or_found_by_fsck() {
    let random = &mut Random::seeded("damaged table");
    let lived = Lived::new(random);
    let tables = database_files(&lived.site, "sst");
    for _ in 0..8 {
        let damaged = Lived { site: lived.site.copy(), book: lived.book.copy() };
        let table = &tables[random.position(tables.len())];
        let table = damaged.site.data().join("db").join(table.file_name().unwrap());
        let whole = fs::read(&table).unwrap();
        let at = random.position(whole.len());
        overwrite(&table, at as u64, &[whole[at] ^ 0x10]);
        let found = damaged.site.fsck_output();
        let mut server = damaged.site.spawn(&[], None);
        let served = server.listens();
        if served {
            // What it signs is the old head: a reader who checks is not deceived.
            assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
        }
        let bytes = format!("byte {at} of {} in {}", whole.len(), table.display());
        // Padding and statistics of a table hold nothing of the log.
        if found.status.success() {
            assert!(served, "what fsck finds well is served: {bytes}");
            damaged.assert_served(random);
        }
    }
}

#[test]
fn a_wrong_key_does_not_sign() {
    let random = &mut Random::seeded("wrong key");
    let lived = Lived::new(random);
    let key = |number: u32| lived.site.data().join("signing").join(format!("{number}.skey"));
    let (first, second) = (fs::read(key(0)).unwrap(), fs::read(key(1)).unwrap());

    fs::write(key(0), &second).unwrap();
    lived.assert_refused(&[PLAIN, "key"]);
    let stranger = Site::with_logs().0;
    fs::copy(stranger.data().join("signing/0.skey"), key(0)).unwrap();
    lived.assert_refused(&[PLAIN, "key"]);
    fs::write(key(0), &first[..first.len() / 2]).unwrap();
    lived.assert_refused(&["key"]);
    fs::write(key(0), &first).unwrap();

    fs::set_permissions(key(1), Permissions::from_mode(0o640)).unwrap();
    lived.assert_refused(&["chmod 600"]);
    fs::remove_file(key(1)).unwrap();
    lived.assert_refused(&["there is no signing key", "1.skey", "put it back"]);
    fs::write(key(1), &second).unwrap();
    fs::set_permissions(key(1), Permissions::from_mode(0o600)).unwrap();
    lived.assert_served(random);
}

#[test]
fn a_lost_key_is_given_up_by_closing_its_log() {
    let random = &mut Random::seeded("lost key");
    let lived = Lived::new(random);
    let data = lived.site.data();
    fs::remove_file(data.join("signing/1.skey")).unwrap();
    lived.assert_refused(&["1.skey", "put it back", "close"]);
    let close = ["close", "--data", data.to_str().unwrap(), "--log", HASHED];
    assert!(lived.site.run(&close).status.success(), "a log without its key can be closed");

    // The others go on, with all that they promised.
    let mut promised = lived.book.ledger();
    promised.retain(|origin, _| origin == PLAIN);
    let mut server = lived.site.serve();
    runtime().block_on(async {
        check_logs(&server.url(), &promised, random).await;
        let mut client = Client::connect(&server.url(), &lived.book).await.unwrap();
        let late = client.append(HASHED, b"late".to_vec(), Vec::new()).await;
        late.expect_err("a log without its key takes nothing");
    });
    assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
}

#[test]
fn a_foreign_format_is_not_touched() {
    let random = &mut Random::seeded("foreign format");
    let lived = Lived::new(random);
    let db = lived.site.data().join("db");
    let set_version = |version: u32| put(&raw(&db), "meta", &[0], &version.to_be_bytes());
    set_version(2);
    lived.assert_refused(&["format"]);
    set_version(1);
    lived.assert_served(random);
}

#[test]
fn a_directory_is_served_once() {
    let random = &mut Random::seeded("second server");
    let lived = Lived::new(random);
    let mut server = lived.site.serve();
    let reason = lived.site.refusal();
    assert!(reason.contains("in use"), "the reason is the other process: {reason}");
    let init = lived.site.run(&lived.site.init_arguments("crash.example/third", false));
    assert_eq!(init.status.code(), Some(1), "a directory that is served gets logs by CreateLog");

    // A copy of the data that shares the watermark is not served beside the original.
    let copy = lived.site.disk().join("copy");
    copy_tree(&lived.site.data(), &copy);
    let watermark = lived.site.watermark();
    let arguments = ["serve", "--data", copy.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let arguments = [&arguments[..], &["--watermark", watermark.to_str().unwrap()]].concat();
    let second = lived.site.run(&arguments);
    assert_eq!(second.status.code(), Some(1), "one watermark is held by one server");
    let reason = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(reason.contains("in use"), "the reason is the other process: {reason}");

    // The first one did not notice.
    lived.load(&server.url(), random);
    runtime().block_on(check_logs(&server.url(), &lived.book.ledger(), random));
    assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
    assert!(lived.book.ledger()[HASHED].acks.len() > 1_000, "both loads were acknowledged");
}
