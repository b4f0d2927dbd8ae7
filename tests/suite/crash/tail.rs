//! An older copy of the database is brought up to what was signed, from a copy of the log's tiles.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use attestree::{
    client::{Server as Address, TileClient},
    core::{
        hash::TreeHash,
        number::{LogNumber, TreeSize},
        tile::Resource,
        tree::TreeHead,
    },
    store::Watermark,
};

use super::{
    random::Random,
    restore::Lived,
    runtime,
    site::{HASHED, PLAIN, Site, copy_tree},
};

/// A log whose database is an older copy, and a newer one that somebody else serves.
struct Behind {
    lived: Lived,
    /// The whole of it, at a later time.
    newer: Site,
}

impl Behind {
    /// Backs up, goes on, and restores the backup.
    fn new(random: &mut Random) -> Self {
        let lived = Lived::new(random);
        let backup = lived.site.scratch("backup");
        let data = lived.site.data();
        let copied =
            lived.site.run(&["backup", backup.to_str().unwrap(), "--data", data.to_str().unwrap()]);
        assert!(copied.status.success(), "{}", said(&copied));
        lived.grow(random);
        let newer = lived.site.copy();
        fs::remove_dir_all(data.join("db")).unwrap();
        copy_tree(&backup.join("db"), &data.join("db"));
        Self { lived, newer }
    }

    /// Runs the verb.
    fn restore(&self, origin: &str, from: &str) -> Output {
        let data = self.lived.site.data();
        let data = data.to_str().unwrap();
        self.lived.site.run(&["restore-tail", "--data", data, "--log", origin, "--from", from])
    }

    /// Returns why the server does not start: it says how many entries are missing.
    fn missing(&self) -> String {
        self.lived.site.refusal().lines().last().unwrap().to_owned()
    }

    /// Asserts that a source is refused with some words, and that nothing was changed by it.
    fn assert_unfit(&self, origin: &str, from: &str, code: i32, words: &str) {
        let before = self.missing();
        let refused = self.restore(origin, from);
        let reason = said(&refused);
        assert_eq!(refused.status.code(), Some(code), "{reason}");
        assert!(reason.contains(words), "the reason speaks of {words:?}: {reason}");
        assert_eq!(self.missing(), before, "the same entries are missing as before");
        self.lived.site.fsck();
    }
}

/// Returns all that a verb printed.
fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

/// Writes the bundles that a server has of a log into a directory, and returns it.
fn dump(url: &str, size: u64, into: PathBuf) -> PathBuf {
    let client = TileClient::new(&Address::parse(url).unwrap()).unwrap();
    for index in 0..size.div_ceil(256) {
        let width = u16::try_from((size - index * 256).min(256)).unwrap();
        let resource = Resource::Entries { index, width };
        let bytes = runtime().block_on(client.fetch(&resource)).unwrap();
        let path = into.join(resource.to_string());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    into
}

/// Returns the size that the checkpoint of a server says.
fn size_of(url: &str) -> u64 {
    let client = TileClient::new(&Address::parse(url).unwrap()).unwrap();
    let note = runtime().block_on(client.fetch(&Resource::Checkpoint)).unwrap();
    str::from_utf8(&note).unwrap().lines().nth(1).unwrap().parse().unwrap()
}

/// Flips a bit of the last byte of a file.
fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 0x01;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_restored_backup_gets_its_missing_tail_from_the_tiles() {
    let random = &mut Random::seeded("missing tail");
    let behind = Behind::new(random);
    behind.lived.assert_refused(&["older copy", "restore-tail"]);
    let mark = fs::read(behind.lived.site.watermark()).unwrap();
    let mut mirror = behind.newer.serve();
    let (plain, hashed) = (mirror.url() + "/plain", mirror.url() + "/hashed");
    let size = size_of(&hashed);
    let tiles = dump(&hashed, size, behind.newer.scratch("tiles"));
    let tiles = |copy: &str| {
        let copy = behind.newer.scratch(copy);
        copy_tree(&tiles, &copy);
        copy
    };

    // What is not the tail that was signed changes nothing.
    behind.assert_unfit(PLAIN, &hashed, 2, "not one of this log");
    let last = Resource::Entries { index: size / 256, width: (size % 256) as u16 }.to_string();
    let spoilt = tiles("spoilt");
    spoil(&spoilt.join(&last));
    behind.assert_unfit(HASHED, spoilt.to_str().unwrap(), 2, "another history");
    let cut = tiles("cut");
    let half = fs::metadata(cut.join(&last)).unwrap().len() / 2;
    fs::OpenOptions::new().write(true).open(cut.join(&last)).unwrap().set_len(half).unwrap();
    behind.assert_unfit(HASHED, cut.to_str().unwrap(), 2, "damaged");
    let short = tiles("short");
    fs::remove_file(short.join(&last)).unwrap();
    behind.assert_unfit(HASHED, short.to_str().unwrap(), 1, "ends before");

    // Each log for itself, one from a web server and one from a directory.
    let restored = behind.restore(PLAIN, &plain);
    assert!(restored.status.success(), "{}", said(&restored));
    behind.lived.assert_refused(&[HASHED, "older copy"]);
    let whole = tiles("whole");
    let restored = behind.restore(HASHED, whole.to_str().unwrap());
    assert!(restored.status.success(), "{}", said(&restored));
    let again = behind.restore(HASHED, whole.to_str().unwrap());
    assert!(
        again.status.success() && said(&again).contains("nothing is missing"),
        "{}",
        said(&again)
    );
    assert_eq!(fs::read(behind.lived.site.watermark()).unwrap(), mark, "the verb signs nothing");
    behind.lived.assert_served(random);
    assert!(mirror.stop().success(), "the server ends in order: {}", mirror.stderr());
}

#[test]
fn a_tail_goes_on_to_what_the_source_shows_to_be_signed() {
    let random = &mut Random::seeded("older watermark");
    let behind = Behind::new(random);
    // The log went on after the watermark that is left: what it signed then must not be signed otherwise.
    let older = fs::read(behind.lived.site.watermark()).unwrap();
    let further = Lived { site: behind.newer.copy(), book: behind.lived.book.copy() };
    further.grow(random);
    fs::write(behind.lived.site.watermark(), &older).unwrap();
    let mut mirror = further.site.serve();
    for (origin, path) in [(PLAIN, "/plain"), (HASHED, "/hashed")] {
        let restored = behind.restore(origin, &(mirror.url() + path));
        assert!(restored.status.success(), "{}", said(&restored));
    }
    assert!(mirror.stop().success(), "the server ends in order: {}", mirror.stderr());
    Lived { site: behind.lived.site, book: further.book }.assert_served(random);
}

#[test]
fn a_watermark_of_another_key_leads_nowhere() {
    let (site, _) = Site::with_logs();
    let path = site.scratch("strange.watermark");
    let mark = Watermark::create(&path).unwrap();
    let head = TreeHead { size: TreeSize::new(5).unwrap(), root: TreeHash::leaf(b"elsewhere") };
    mark.raise(LogNumber(0), head, TreeHash::digest(b"another key")).unwrap();
    mark.sync().unwrap();
    drop(mark);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (data, mark, tiles) = (text(&site.data()), text(&path), text(&site.scratch("no-tiles")));
    let refused =
        site.run(&["restore-tail", "--data", &data, "--watermark", &mark, "--from", &tiles]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("raised under another key"), "{}", said(&refused));
}
