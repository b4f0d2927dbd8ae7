//! The key store's write of a new key fails: not done, or done but for the sync.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{
    book::Book,
    check::{check, check_disk, check_state},
    place::{Access, with_log},
    writer::Writer,
};
use crate::crash::{
    instance::{first_injected, observe, path_on},
    load::assert_gone,
    process::{PATIENCE, Strace},
    random::Random,
    runtime,
    site::Site,
    trace::Trace,
};
use crate::needs::strace_attaches;

/// The pair of faults: the bytes are not written, or they are and are not synced.
const CALLS: [&str; 2] = ["write", "fdatasync"];

/// Calls of each kind that are made to fail, one run each: in the recovery, if there are any, and at the
/// first keys that are made.
const INSTANCES: usize = 4;

/// Where every run starts: a log with records, and a server that was killed.
struct Start {
    access: Access,
    site: Site,
    book: Book,
    source: String,
}

/// How one run went.
struct Run {
    site: Site,
    book: Book,
    trace: Trace,
    listened: bool,
    finished: bool,
    succeeded: bool,
    stderr: String,
}

impl Start {
    /// Makes the directory that each run gets a copy of.
    fn new() -> Self {
        let access = Access::new();
        let (site, log) = with_log();
        let book = Book::new(&log);
        let mut server = access.serve(&site);
        let source = runtime().block_on(async {
            let mut writer = Writer::new(&access.connect(&site, &server).await.unwrap(), &book);
            let source = writer.source().await;
            writer.script(&source).await.unwrap();
            source
        });
        server.kill();
        Self { access, site, book, source }
    }

    /// Serves the script from a copy of the directory.
    fn run(&self, strace: impl FnOnce(&Site) -> Strace) -> Run {
        let (site, book) = (self.site.copy(), self.book.copy());
        let strace = strace(&site);
        let mut server = self.access.spawn(&site, Some(&strace));
        let listened = server.listens();
        let finished = listened
            && runtime().block_on(async {
                let Ok(door) = self.access.connect(&site, &server).await else { return false };
                let mut writer = Writer::new(&door, &book);
                let ended = tokio::time::timeout(PATIENCE, writer.script(&self.source)).await;
                let ended = ended.expect("an event is answered, or its connection ends");
                ended.inspect_err(assert_gone).is_ok()
            });
        // A server that could go on is ended in order; the others end by themselves.
        let status = if finished { server.stop() } else { server.wait() };
        let trace = Trace::read(&strace.output, 0);
        let succeeded = status.success();
        Run { site, book, trace, listened, finished, succeeded, stderr: server.stderr() }
    }

    /// Makes a call fail and asserts what holds after. Returns whether that happened while it served.
    fn inject(
        &self,
        wals: &BTreeSet<PathBuf>,
        call: &str,
        ordinal: usize,
        random: &mut Random,
    ) -> bool {
        let run = self.run(|site| {
            let mut strace = observe(site);
            for wal in wals {
                let wal = site.disk().join(wal).to_str().unwrap().to_owned();
                strace.options.extend(["-P".to_owned(), wal]);
            }
            let inject = format!("inject={call}:error=EIO:when={ordinal}");
            strace.options.extend(["-e".to_owned(), inject, "--seccomp-bpf".to_owned()]);
            strace
        });
        let failed = first_injected(&run.trace);
        if let Some(failed) = failed {
            assert!(
                !run.succeeded && !run.finished,
                "{call} {ordinal}: the process ends: {}",
                run.stderr
            );
            let file = path_on(&run.site, &run.trace.calls[failed]);
            for later in &run.trace.calls[failed + 1..] {
                let synced = matches!(later.name.as_str(), "fsync" | "fdatasync");
                let again = synced && path_on(&run.site, later) == file;
                assert!(!again, "{call} {ordinal}: the sync is tried again");
            }
        }
        check_disk(&run.site, &run.book.ledger(), random);
        let mut server = self.access.serve(&run.site);
        runtime().block_on(async {
            let door = self.access.connect(&run.site, &server).await.unwrap();
            check(&door, &run.book).await;
            check_state(&door, &run.book, &self.source).await;
            Writer::new(&door, &run.book).script(&self.source).await.unwrap();
        });
        assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
        check_disk(&run.site, &run.book.ledger(), random);
        failed.is_some() && run.listened
    }
}

/// Returns whether a file is a write-ahead log of the key store.
fn is_key_wal(site: &Site, path: &Path) -> bool {
    path.starts_with(site.data().join("keys")) && path.extension().is_some_and(|kind| kind == "log")
}

#[test]
fn no_event_is_acknowledged_whose_key_is_not_written_and_synced() {
    if !strace_attaches("faults of the key store") {
        return;
    }
    let random = &mut Random::seeded("faults of the key store");
    let start = Start::new();
    let dry = start.run(observe);
    assert!(dry.finished && dry.succeeded, "without a fault all is well: {}", dry.stderr);
    for call in CALLS {
        let (mut wals, mut counted) = (BTreeSet::new(), std::collections::BTreeMap::new());
        for one in dry.trace.calls.iter().filter(|one| one.name == call) {
            let Some(path) = path_on(&dry.site, one) else { continue };
            if is_key_wal(&dry.site, &path) {
                wals.insert(path.strip_prefix(dry.site.disk()).unwrap().to_owned());
                *counted.entry(one.thread).or_insert(0_usize) += 1;
            }
        }
        let most = counted.values().copied().max().unwrap_or(0);
        assert!(most > 0, "keys are made: {call}");
        let ordinals = 1..=most.min(INSTANCES);
        let served = ordinals.filter(|&ordinal| start.inject(&wals, call, ordinal, random)).count();
        assert!(served > 0, "a {call} failed while keys were made");
    }
}
