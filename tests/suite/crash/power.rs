//! Power loss: what was not synced is lost or torn, at arbitrary moments.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
};

use super::{
    audit::check_logs,
    client::Client,
    disk::Disk,
    image::{Fate, Image, Style},
    ledger::{Book, Ledger, promised_before},
    load::script,
    random::Random,
    recorder::{Recorder, Recording, record_verb},
    runtime, setting,
    site::{HASHED, NewLog, PLAIN, Site},
};
use crate::needs::strace_attaches;

/// Images of a run without a setting: some 40 seconds on two cores.
const IMAGES: u64 = 60;

/// Images among which a disk that never syncs a WAL has to lose something.
const LYING_IMAGES: u64 = 8;

/// Images of a server whose syncs do nothing.
const UNSYNCED_IMAGES: u64 = 24;

/// First images whose recovery is cut off again, and images of each such recovery.
const TWICE: u64 = 12;
const SECOND_IMAGES: u64 = 4;

/// Images that are opened at the same time.
const AT_ONCE: usize = 2;

/// A recorded life of a server, and what it promised.
struct Life {
    site: Site,
    recording: Recording,
    ledger: Ledger,
    /// When each log's `init` had ended, in the order of the logs.
    created: Vec<(u64, String)>,
}

/// What the syncs of a server do. Those of `init` always work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syncs {
    /// What they say.
    Work,
    /// Nothing, and they say that all is well.
    DoNothing,
}

/// Records: two logs created, served and killed, served and recovered, ended in order.
fn record(syncs: Syncs, random: &mut Random) -> Life {
    let runtime = runtime();
    let site = Site::new();
    let mut recorder = Recorder::new();
    let (mut logs, mut created) = (Vec::new(), Vec::new());
    for (origin, hashed) in [(PLAIN, false), (HASHED, true)] {
        let printed = record_verb(&site, &mut recorder, &site.init_arguments(origin, hashed));
        logs.push(NewLog::printed(origin, &printed));
        created.push((recorder.clock()(), origin.to_owned()));
    }
    let mut book = Book::new(&logs);
    for killed in [true, false] {
        let strace = match syncs {
            Syncs::Work => recorder.next(&site),
            Syncs::DoNothing => recorder.next_unsynced(&site),
        };
        let mut server = site.spawn(&[], Some(&strace)).expect_listening();
        book = book.with_clock(recorder.clock());
        runtime.block_on(async {
            let mut client = Client::connect(&server.url(), &book).await.unwrap();
            for _ in 0..2 {
                script(&mut client, random).await.unwrap();
            }
        });
        if killed {
            server.kill();
        } else {
            assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
        }
    }
    let recording = recorder.finish();
    recording.assert_complete(&site);
    Life { site, recording, ledger: book.ledger(), created }
}

/// One image and what it has to hold.
struct Case {
    image: Image,
    promised: Ledger,
    moment: u64,
    style: Style,
}

/// An image that does not hold what it has to, and why.
struct Failure<'a> {
    case: &'a Case,
    reason: String,
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { moment, style, .. } = self.case;
        write!(f, "at {moment}, {style:?}: {}", self.reason)
    }
}

impl Life {
    /// Returns what was promised before a moment, by the logs that existed then.
    fn promised_before(&self, moment: u64) -> Ledger {
        let mut promised = promised_before(&self.ledger, moment);
        let created = |origin: &String| {
            self.created.iter().any(|(since, created)| created == origin && *since < moment)
        };
        promised.retain(|origin, _| created(origin));
        promised
    }

    /// Builds images of a disk at some moments.
    fn cases(&self, disk: Disk, mut moments: Vec<u64>, random: &mut Random) -> Vec<Case> {
        moments.sort_unstable();
        let mut cases = Vec::new();
        self.recording.play(disk, &moments, |disk, moment| {
            let style = Style::ALL[random.position(Style::ALL.len())];
            let (image, promised) = (disk.image(style, random), self.promised_before(moment));
            cases.push(Case { image, promised, moment, style });
        });
        cases
    }

    /// Chooses moments: any, right after an acknowledgement, in the middle of a sync, or at a call on a file
    /// of each kind alike.
    fn choose(&self, count: u64, random: &mut Random) -> Vec<u64> {
        let (any, syncs) = (self.recording.moments(), self.recording.sync_moments());
        let kinds = self.recording.moments_by_kind(&self.site);
        let kinds: Vec<&Vec<u64>> = kinds.values().collect();
        let accounts = self.ledger.values();
        let acks: Vec<u64> =
            accounts.flat_map(|account| account.acks.iter().map(|ack| ack.at)).collect();
        let mut choose = |number: u64| match number % 4 {
            0 => any[random.position(any.len())],
            1 => syncs[random.position(syncs.len())],
            2 => {
                let moments = kinds[random.position(kinds.len())];
                moments[random.position(moments.len())]
            }
            _ => {
                // The first event that is lost is the first that ended after the acknowledgement.
                let ack = acks[random.position(acks.len())];
                any.get(any.partition_point(|moment| *moment <= ack)).copied().unwrap_or(u64::MAX)
            }
        };
        (0..count).map(&mut choose).collect()
    }
}

/// Opens an image with the real server and audits it.
fn open(case: &Case, random: &mut Random) {
    let site = Site::new();
    case.image.write(&site.disk());
    let mut server = site.spawn(&[], None);
    if !server.listens() {
        let status = server.wait();
        let story = server.story();
        assert!(case.promised.is_empty(), "a log that was created is served: {story}");
        assert_eq!(status.code(), Some(1), "a refusal is an orderly exit: {story}");
        return;
    }
    runtime().block_on(check_logs(&server.url(), &case.promised, random));
    server.kill();
    site.fsck();
}

/// Opens all images, several at a time, and returns those that fail.
fn failures<'a>(cases: &'a [Case], random: &mut Random) -> Vec<Failure<'a>> {
    let failed = Mutex::new(Vec::new());
    let next = Mutex::new(cases.iter());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let mut random = random.fork();
            let (next, failed) = (&next, &failed);
            scope.spawn(move || {
                loop {
                    let Some(case) = next.lock().unwrap().next() else { return };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| open(case, &mut random))) {
                        failed.lock().unwrap().push(Failure { case, reason: said(&*panic) });
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

/// Returns the message of a panic.
pub(crate) fn said(panic: &(dyn Any + Send)) -> String {
    let whole = panic.downcast_ref::<String>().cloned();
    let literal = || panic.downcast_ref::<&str>().map(|&text| text.to_owned());
    whole.or_else(literal).expect("a panic of an assertion has a message")
}

/// Opens all images and fails if one of them fails. Those that do are kept, to be looked at.
fn assert_all_open(cases: &[Case], random: &mut Random) {
    let failed = failures(cases, random);
    for failure in &failed {
        let kept = Site::new().keep();
        failure.case.image.write(&kept);
        eprintln!("the image is kept in {}: {failure}", kept.display());
    }
    let told: Vec<String> = failed.iter().map(ToString::to_string).collect();
    let (failed, all) = (failed.len(), cases.len());
    assert!(told.is_empty(), "{failed} of {all} images fail:\n{}", told.join("\n"));
}

#[test]
fn nothing_acknowledged_is_lost_at_power_loss() {
    if !strace_attaches("power loss") {
        return;
    }
    let random = &mut Random::seeded("power loss");
    let life = record(Syncs::Work, random);
    let disk = || Disk::new(&life.site.disk());
    let moments = life.choose(setting("IMAGES").unwrap_or(IMAGES), random);
    assert_all_open(&life.cases(disk(), moments, random), random);

    // The test of the test: were it not for the syncs of the WAL, it would have found a loss.
    let moments = life.choose(LYING_IMAGES, random);
    let cases = life.cases(disk().without_wal_sync(), moments, random);
    let failed = failures(&cases, random);
    assert!(!failed.is_empty(), "commits without sync lose something, or this test sees nothing");

    again(&life, random);
}

#[test]
fn a_server_whose_syncs_do_nothing_loses_what_it_acknowledged() {
    if !strace_attaches("power loss without syncs") {
        return;
    }
    let random = &mut Random::seeded("power loss without syncs");
    let life = record(Syncs::DoNothing, random);
    // Before the first acknowledgement there is little to lose.
    let acks = life.ledger.values().flat_map(|account| account.acks.iter().map(|ack| ack.at));
    let first = acks.min().expect("entries were acknowledged");
    let mut moments = life.choose(3 * UNSYNCED_IMAGES, random);
    moments.retain(|moment| *moment > first);
    moments.truncate(UNSYNCED_IMAGES as usize);
    let cases = life.cases(Disk::new(&life.site.disk()), moments, random);
    let failed = failures(&cases, random);
    println!("power loss without syncs: {} of {} images fail", failed.len(), cases.len());
    assert!(
        !failed.is_empty(),
        "a server without syncs loses something, or this test sees nothing"
    );
    // Where no byte survives that was not synced, nothing that was acknowledged does.
    for case in cases.iter().filter(|case| case.style.data == Fate::Lost) {
        let acknowledged = case.promised.values().any(|account| !account.acks.is_empty());
        let found = failed.iter().any(|failure| std::ptr::eq(failure.case, case));
        assert!(found || !acknowledged, "at {}, {:?}: nothing is missed", case.moment, case.style);
    }
}

/// Lets the power fail again while the server recovers from a power loss in the middle of a commit.
fn again(life: &Life, random: &mut Random) {
    let served = life.created.last().expect("logs were created").0;
    let mut syncs = life.recording.sync_moments();
    syncs.retain(|moment| *moment > served);
    let moments = (0..TWICE).map(|_| syncs[random.position(syncs.len())]).collect();
    let firsts = life.cases(Disk::new(&life.site.disk()), moments, random);
    for first in firsts.iter().filter(|case| case.style.data == Fate::Torn) {
        let site = Site::new();
        first.image.write(&site.disk());
        let disk = Disk::holding(&site.disk());
        let mut recorder = Recorder::new();
        let strace = recorder.next(&site);
        site.spawn(&[], Some(&strace)).expect_listening().kill();

        let recording = recorder.finish();
        let any = recording.moments();
        let mut moments: Vec<u64> =
            (0..SECOND_IMAGES).map(|_| any[random.position(any.len())]).collect();
        moments.sort_unstable();
        let mut cases = Vec::new();
        recording.play(disk, &moments, |disk, moment| {
            let style = Style::ALL[random.position(Style::ALL.len())];
            let (image, promised) = (disk.image(style, random), first.promised.clone());
            cases.push(Case { image, promised, moment, style });
        });
        assert_all_open(&cases, random);
    }
}
