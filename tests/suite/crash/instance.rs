//! Which call of a process fails, and how.
//!
//! A dry run under strace finds which threads make which calls on a site's files, and how many.
//! strace counts by thread, so one instance may meet several threads: all the better.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use super::{
    process::Strace,
    site::Site,
    trace::{Call, Trace},
};

/// The calls by which a server changes files.
const WRITE_SIDE: [&str; 21] = [
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "pwritev2",
    "fdatasync",
    "fsync",
    "sync_file_range",
    "openat",
    "ftruncate",
    "fallocate",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "link",
    "linkat",
    "fchmod",
];

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It is not made and returns an error.
    Error(&'static str),
    /// The process is killed as it makes it.
    Kill,
}

/// The `ordinal`-th call of this name of each thread, on the site's files.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    /// Name of the call.
    pub(crate) call: String,
    /// From 1.
    ordinal: usize,
    /// What happens to it.
    pub(crate) fault: Fault,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} number {}", self.fault, self.call, self.ordinal)
    }
}

/// Returns the path on a site's disk that a call is about.
pub(crate) fn path_on(site: &Site, call: &Call) -> Option<PathBuf> {
    let position = match call.name.as_str() {
        "openat" | "renameat" | "renameat2" | "mkdirat" | "unlinkat" | "linkat" => 1,
        _ => 0,
    };
    let path = call.path(position);
    path.starts_with(site.disk()).then_some(path)
}

/// What a dry run found.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What to let fail, one run each.
    pub(crate) instances: Vec<Instance>,
    /// The files that the calls are about, below the disk.
    paths: BTreeSet<PathBuf>,
}

impl Plan {
    /// Finds the instances of each call in a dry run and takes `count` of each, evenly.
    pub(crate) fn new(trace: &Trace, site: &Site, count: usize) -> Self {
        let mut counted: BTreeMap<(u32, &str), usize> = BTreeMap::new();
        let mut ordinals: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        let mut paths = BTreeSet::new();
        for call in &trace.calls {
            let Some(path) = path_on(site, call) else { continue };
            paths.insert(path.strip_prefix(site.disk()).expect("a path on the disk").to_owned());
            let ordinal = counted.entry((call.thread, &call.name)).or_default();
            *ordinal += 1;
            // Opening what is there changes nothing.
            if call.name != "openat" || call.flag(2, "O_CREAT") {
                ordinals.entry(&call.name).or_default().insert(*ordinal);
            }
        }
        let mut instances = Vec::new();
        for (call, ordinals) in ordinals {
            let ordinals: Vec<usize> = ordinals.into_iter().collect();
            let taken = ordinals.len().min(count);
            for step in 0..taken {
                let ordinal = ordinals[step * ordinals.len() / taken];
                let full = ["write", "pwrite64", "openat", "fallocate", "mkdir"].contains(&call);
                let error = if full && step % 2 == 1 { "ENOSPC" } else { "EIO" };
                for fault in [Fault::Error(error), Fault::Kill] {
                    instances.push(Instance { call: call.to_owned(), ordinal, fault });
                }
            }
        }
        Self { instances, paths }
    }

    /// Returns how to run a process on a site so that an instance fails.
    pub(crate) fn strace(&self, instance: &Instance, site: &Site) -> Strace {
        let mut strace = observe(site);
        for path in &self.paths {
            let path = site.disk().join(path);
            strace.options.extend(["-P".to_owned(), path.to_str().unwrap().to_owned()]);
        }
        let Instance { call, ordinal, fault } = instance;
        let what = match fault {
            Fault::Error(error) => format!("error={error}"),
            Fault::Kill => "signal=KILL".to_owned(),
        };
        strace.options.extend(["-e".to_owned(), format!("inject={call}:{what}:when={ordinal}")]);
        if *fault != Fault::Kill {
            // Faster, but strace 6.1 loses injected signals with it.
            strace.options.push("--seccomp-bpf".to_owned());
        }
        strace
    }
}

/// Returns how to run a process on a site so that its write-side calls are seen.
pub(crate) fn observe(site: &Site) -> Strace {
    let mut options = ["-f", "-y", "-xx", "-s", "0", "-e"].map(str::to_owned).to_vec();
    options.push(format!("trace={}", WRITE_SIDE.join(",")));
    Strace { options, output: site.scratch("trace") }
}

/// Returns the first call of a trace that was made to fail.
pub(crate) fn first_injected(trace: &Trace) -> Option<usize> {
    trace.calls.iter().position(|call| call.injected)
}

/// Returns whether a file is synced before anything is signed: the WAL and the watermark.
pub(crate) fn guards_promises(site: &Site, file: &Path) -> bool {
    file == site.watermark() || file.extension().is_some_and(|kind| kind == "log")
}
