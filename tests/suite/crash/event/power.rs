//! Power loss under events: where a record is there, its key is, whatever else was lost.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    book::{Book, Ledger},
    check::{check, check_disk},
    place::{Access, init_arguments},
    writer::Writer,
};
use crate::crash::{
    disk::Disk,
    image::{Image, Style},
    random::Random,
    recorder::{Recorder, Recording, record_verb},
    runtime, setting,
    site::{NewLog, Site},
};
use crate::needs::strace_attaches;

/// Images of a run without a setting: some five seconds.
const IMAGES: u64 = 40;

/// Images of a disk that never syncs a WAL of the key store: one has to lose a key.
const LYING_IMAGES: u64 = 24;

/// A recorded life of a server, and what it promised.
struct Life {
    access: Access,
    site: Site,
    recording: Recording,
    book: Book,
    /// When the log had been made.
    created: u64,
}

/// One image and what it has to hold.
struct Case {
    image: Image,
    promised: Ledger,
    moment: u64,
    style: Style,
}

/// Records: a log made, served and killed, served and recovered, ended in order.
fn record() -> Life {
    let (runtime, access, site) = (runtime(), Access::new(), Site::new());
    let mut recorder = Recorder::new();
    let printed = record_verb(&site, &mut recorder, &init_arguments(&site));
    let created = recorder.clock()();
    let mut book = Book::new(&NewLog::printed(super::AUDIT, &printed));
    let mut source = String::new();
    for killed in [true, false] {
        let strace = recorder.next(&site);
        let mut server = access.spawn(&site, Some(&strace)).expect_listening();
        book = book.with_clock(recorder.clock());
        runtime.block_on(async {
            let door = access.connect(&site, &server).await.unwrap();
            let mut writer = Writer::new(&door, &book);
            if killed {
                source = writer.source().await;
            }
            writer.script(&source).await.unwrap();
        });
        if killed {
            server.kill();
        } else {
            assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
        }
    }
    let recording = recorder.finish();
    recording.assert_complete(&site);
    Life { access, site, recording, book, created }
}

impl Life {
    /// Builds images of a disk at moments: any, in the middle of a sync, about a file of each kind alike, or
    /// right after an answer.
    fn cases(&self, disk: Disk, count: u64, random: &mut Random) -> Vec<Case> {
        let (any, syncs) = (self.recording.moments(), self.recording.sync_moments());
        let kinds: Vec<Vec<u64>> =
            self.recording.moments_by_kind(&self.site).into_values().collect();
        let all = self.book.ledger();
        let answers = all.sent.iter().filter_map(|sent| sent.taken.as_ref());
        // The first event that is lost is the first that ended after the answer.
        let after = |at: u64| any.get(any.partition_point(|moment| *moment <= at)).copied();
        let answers: Vec<u64> = answers.filter_map(|taken| after(taken.at)).collect();
        let choose = |number: u64| {
            let of_kind = &kinds[random.position(kinds.len())];
            let from = [&any, &syncs, of_kind, &answers][(number % 4) as usize];
            from[random.position(from.len())]
        };
        let mut moments: Vec<u64> = (0..count).map(choose).collect();
        moments.sort_unstable();
        let mut cases = Vec::new();
        self.recording.play(disk, &moments, |disk, moment| {
            let style = Style::ALL[random.position(Style::ALL.len())];
            let (image, promised) = (disk.image(style, random), all.before(moment));
            cases.push(Case { image, promised, moment, style });
        });
        cases
    }

    /// Opens an image with the real server and checks it.
    fn open(&self, case: &Case, random: &mut Random) {
        let site = Site::new();
        case.image.write(&site.disk());
        let mut server = self.access.spawn(&site, None);
        if !server.listens() {
            let status = server.wait();
            let story = server.story();
            assert!(case.moment <= self.created, "a log that was made is served: {story}");
            assert_eq!(status.code(), Some(1), "a refusal is an orderly exit: {story}");
            return;
        }
        runtime().block_on(async {
            let door = self.access.connect(&site, &server).await.unwrap();
            check(&door, &self.book.with_ledger(case.promised.clone())).await;
        });
        server.kill();
        check_disk(&site, &case.promised, random);
    }

    /// Opens images and returns what is wrong with those that fail.
    fn failures(&self, cases: &[Case], random: &mut Random) -> Vec<String> {
        let mut failed = Vec::new();
        for case in cases {
            let opened = catch_unwind(AssertUnwindSafe(|| self.open(case, random)));
            if let Err(panic) = opened {
                let said = crate::crash::power::said(&*panic);
                failed.push(format!("at {}, {:?}: {said}", case.moment, case.style));
            }
        }
        failed
    }
}

#[test]
fn no_record_outlives_its_key_at_power_loss() {
    if !strace_attaches("power loss under events") {
        return;
    }
    let random = &mut Random::seeded("power loss under events");
    let life = record();
    let disk = || Disk::new(&life.site.disk());
    let cases = life.cases(disk(), setting("IMAGES").unwrap_or(IMAGES), random);
    let promising = cases.iter().filter(|case| case.promised.is_promised()).count();
    println!("power loss under events: {promising} of {} images hold promises", cases.len());
    let failed = life.failures(&cases, random);
    assert!(failed.is_empty(), "{} images fail:\n{}", failed.len(), failed.join("\n"));

    // The test of the test: were it not for the syncs of the key store, it would have found a loss.
    let cases = life.cases(disk().without_wal_sync_in("keys"), LYING_IMAGES, random);
    let failed = life.failures(&cases, random);
    let lost = failed.iter().filter(|reason| reason.contains("not in the key store")).count();
    println!("without the syncs of the key store: {lost} of {} images lose a key", cases.len());
    assert!(lost > 0, "keys without sync are lost, or this test sees nothing: {failed:?}");
}
