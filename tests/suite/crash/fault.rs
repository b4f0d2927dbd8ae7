//! An error, or a kill, at the n-th call of each write-side system call of a server.
//!
//! Each instance that [`Plan`] finds is made to fail in a run of its own, over the same short load
//! on a copy of the same directory, which holds a WAL that has to be recovered first.

use std::{collections::BTreeMap, process::ExitStatus};

use super::{
    audit::check_logs,
    client::Client,
    instance::{Fault, Instance, Plan, first_injected, guards_promises, observe, path_on},
    ledger::Book,
    load::{assert_gone, script},
    process::{PATIENCE, Strace, was_killed},
    random::Random,
    runtime, setting,
    site::Site,
    trace::Trace,
};
use crate::needs::strace_attaches;

/// Instances of each call and each fault in a run without a setting: some 100 runs of a second.
const INSTANCES: u64 = 4;

/// Where every run starts: two logs with entries, and a server that was killed.
struct Start {
    site: Site,
    book: Book,
}

impl Start {
    /// Makes the directory that each run gets a copy of.
    fn new(random: &mut Random) -> Self {
        let (site, logs) = Site::with_logs();
        let book = Book::new(&logs);
        let mut server = site.serve();
        runtime().block_on(async {
            let mut client = Client::connect(&server.url(), &book).await.unwrap();
            script(&mut client, random).await.unwrap();
        });
        server.kill();
        Self { site, book }
    }

    /// Serves the script from a copy of the directory, and returns how that went.
    fn run(&self, strace: impl FnOnce(&Site) -> Strace, random: &mut Random) -> Run {
        let (site, book) = (self.site.copy(), self.book.copy());
        let strace = strace(&site);
        let mut server = site.spawn(&[], Some(&strace));
        let listened = server.listens();
        let mut finished = false;
        if listened {
            finished = runtime().block_on(async {
                let Ok(mut client) = Client::connect(&server.url(), &book).await else {
                    return false;
                };
                let ended = tokio::time::timeout(PATIENCE, script(&mut client, random)).await;
                let ended = ended.expect("a submission is answered, or its connection ends");
                ended.inspect_err(assert_gone).is_ok()
            });
        }
        // A server that could go on is ended in order; the others end by themselves.
        let status = if finished { server.stop() } else { server.wait() };
        let trace = Trace::read(&strace.output, 0);
        Run { site, book, trace, listened, finished, status, stderr: server.stderr() }
    }
}

/// How one run went.
struct Run {
    site: Site,
    book: Book,
    trace: Trace,
    listened: bool,
    finished: bool,
    status: ExitStatus,
    stderr: String,
}

impl Run {
    /// Opens the directory again without faults and audits everything.
    fn audit(&self, random: &mut Random) {
        self.site.fsck();
        let mut server = self.site.serve();
        let url = server.url();
        runtime().block_on(check_logs(&url, &self.book.ledger(), random));
        assert!(server.stop().success(), "the server ends in order: {}", server.stderr());
        self.site.fsck();
    }

    /// Asserts what has to hold after a sync of the WAL or of the watermark failed: the process ends
    /// with a failure, the sync is not tried again, and nothing is signed any more. The watermark is
    /// written before each signature, so where it is not written nothing was signed.
    fn assert_poisoned(&self, failed: usize) {
        let file =
            path_on(&self.site, &self.trace.calls[failed]).expect("a fault on the site's files");
        assert!(!self.status.success(), "a failed sync of {} ends the process", file.display());
        for later in &self.trace.calls[failed + 1..] {
            let path = path_on(&self.site, later);
            let synced = matches!(later.name.as_str(), "fsync" | "fdatasync");
            assert!(
                !(synced && path.as_ref() == Some(&file)),
                "a failed sync of {} is tried again",
                file.display(),
            );
            let raised = later.name.contains("write") && path == Some(self.site.watermark());
            assert!(!raised, "something was signed after a sync of {} failed", file.display());
        }
    }
}

/// Makes one instance fail and asserts what holds after. Returns whether the fault happened.
fn inject(start: &Start, plan: &Plan, instance: &Instance, random: &mut Random) -> bool {
    let run = start.run(|site| plan.strace(instance, site), random);
    let failed = first_injected(&run.trace);
    let killed = was_killed(run.status);
    let happened = failed.is_some() || killed;
    assert_eq!(
        killed,
        instance.fault == Fault::Kill && happened,
        "nothing else kills the server: {}",
        run.stderr,
    );
    assert!(
        run.listened || !run.status.success(),
        "a server that does not start says so by its exit code",
    );
    assert!(run.finished || !run.status.success(), "a server that stops in the middle has failed");
    if let Some(failed) =
        failed.filter(|_| ["fsync", "fdatasync"].contains(&instance.call.as_str()))
    {
        let file = path_on(&run.site, &run.trace.calls[failed]);
        if guards_promises(&run.site, &file.expect("a fault on the site's files")) {
            run.assert_poisoned(failed);
        }
    }
    run.audit(random);
    happened
}

#[test]
fn every_failing_write_side_call_leaves_a_log_that_holds_its_promises() {
    if !strace_attaches("fault injection") {
        return;
    }
    let random = &mut Random::seeded("fault injection");
    let start = Start::new(random);
    let dry = start.run(observe, &mut random.clone());
    assert!(dry.finished && dry.status.success(), "without a fault all is well: {}", dry.stderr);
    let count = setting("FAULTS").unwrap_or(INSTANCES) as usize;
    let plan = Plan::new(&dry.trace, &dry.site, count);

    let mut happened: BTreeMap<(&str, Fault), usize> = BTreeMap::new();
    for instance in &plan.instances {
        eprintln!("{instance}");
        let count = happened.entry((&instance.call, instance.fault)).or_default();
        *count += usize::from(inject(&start, &plan, instance, &mut random.clone()));
    }
    for (case, count) in &happened {
        println!("{case:?}: {count}");
    }
    for call in ["write", "fdatasync", "pwrite64", "openat"] {
        let met = happened.iter().any(|((name, _), count)| *name == call && *count > 0);
        assert!(met, "the server makes {call}, and a fault of it was met: {happened:?}");
    }
}
