//! Runs the server under strace and plays what it did to files into a model of a disk.

use std::{cell::Cell, collections::BTreeMap, fs, path::PathBuf, process::Command, sync::Arc};

use super::{
    disk::{Disk, TRACED},
    image::{Fate, Style},
    ledger::Clock,
    process::{Process, Server, Strace},
    random::Random,
    site::Site,
    trace::{Call, Moment, Trace},
};
use crate::needs::strace_attaches;

/// Longest string that strace writes in full: more than the largest write of these loads, which is
/// a table file's of a few hundred KiB. A string that was cut fails the test.
const STRING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Records the processes of one site, one after another.
#[derive(Debug)]
pub(crate) struct Recorder {
    traces: Vec<PathBuf>,
}

/// Everything that was recorded, to be played once from the beginning.
#[derive(Debug)]
pub(crate) struct Recording {
    traces: Vec<Trace>,
}

impl Recorder {
    /// Starts with the site's disk empty.
    pub(crate) const fn new() -> Self {
        Self { traces: Vec::new() }
    }

    /// Returns how to run the next process.
    pub(crate) fn next(&mut self, site: &Site) -> Strace {
        let output = site.scratch(&format!("trace-{}", self.traces.len()));
        self.traces.push(output.clone());
        let text = ["-f", "--seccomp-bpf", "-xx", "-s", &STRING_BYTES_MAX.to_string(), "-e"];
        let mut options = text.map(str::to_owned).to_vec();
        options.push(format!("trace={TRACED}"));
        // Threads come and go without a line each.
        options.extend(["-e", "signal=none"].map(str::to_owned));
        Strace { options, output }
    }

    /// Returns how to run the next process so that its syncs succeed and do nothing.
    ///
    /// strace makes the result up and the kernel never sees the call; the model of the disk is not fooled.
    /// `sync_file_range` need not be among them: it promises nothing.
    pub(crate) fn next_unsynced(&mut self, site: &Site) -> Strace {
        let mut strace = self.next(site);
        strace.options.extend(["-e", "inject=fsync,fdatasync:retval=0"].map(str::to_owned));
        strace
    }

    /// Returns the clock of the newest process: the length of all traces together.
    pub(crate) fn clock(&self) -> Clock {
        let (newest, earlier) = self.traces.split_last().expect("a process was started");
        let earlier: u64 = earlier.iter().map(length).sum();
        let newest = newest.clone();
        Arc::new(move || earlier + length(&newest))
    }

    /// Reads everything in, once all processes have ended.
    pub(crate) fn finish(self) -> Recording {
        let mut offset = 0;
        let mut traces = Vec::new();
        for path in &self.traces {
            traces.push(Trace::read(path, offset));
            offset += length(path);
        }
        Recording { traces }
    }
}

fn length(path: &PathBuf) -> u64 {
    fs::metadata(path).unwrap().len()
}

impl Recording {
    /// Returns the moments at which a power loss can be told apart: the ends of the events' lines.
    pub(crate) fn moments(&self) -> Vec<u64> {
        self.moments_of(|_, _| true)
    }

    /// Returns the moments just before a sync ends, when most is under way.
    pub(crate) fn sync_moments(&self) -> Vec<u64> {
        let syncs = |call: &Call| matches!(call.name.as_str(), "fsync" | "fdatasync");
        self.moments_of(|call, moment| moment == Moment::End && syncs(call))
    }

    fn moments_of(&self, wanted: impl Fn(&Call, Moment) -> bool) -> Vec<u64> {
        let wanted = &wanted;
        let of_trace = |trace: &'_ Trace| {
            let events = trace.events.iter();
            let events = events.filter(|event| wanted(&trace.calls[event.call], event.moment));
            events.map(|event| event.at).collect::<Vec<u64>>()
        };
        let mut moments: Vec<u64> = self.traces.iter().flat_map(of_trace).collect();
        moments.dedup();
        moments
    }

    /// Returns the moments by the kind of file that their events are about: most events are the WAL's,
    /// and what is wrong with another file hides among them.
    pub(crate) fn moments_by_kind(&self, site: &Site) -> BTreeMap<String, Vec<u64>> {
        let mut disk = Disk::new(&site.disk());
        let mut moments: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for trace in &self.traces {
            for event in &trace.events {
                disk.apply(&trace.calls[event.call], event.moment);
                if let Some(kind) = disk.touched() {
                    moments.entry(kind.to_owned()).or_default().push(event.at);
                }
            }
            disk.end_process();
        }
        moments
    }

    /// Plays into an empty disk, honest or not, and calls `stop` just before the event of each of these moments,
    /// which must be sorted, and at the end.
    pub(crate) fn play(&self, mut disk: Disk, moments: &[u64], mut stop: impl FnMut(&Disk, u64)) {
        let mut moments = moments.iter().copied().peekable();
        for trace in &self.traces {
            for event in &trace.events {
                while let Some(moment) = moments.next_if(|moment| *moment <= event.at) {
                    stop(&disk, moment);
                }
                disk.apply(&trace.calls[event.call], event.moment);
            }
            disk.end_process();
        }
        stop(&disk, u64::MAX);
    }

    /// Asserts that nothing escaped the recorder: with nothing lost, it knows every byte.
    pub(crate) fn assert_complete(&self, site: &Site) {
        let seen = Cell::new(false);
        self.play(Disk::new(&site.disk()), &[], |disk, _| {
            disk.image(Style::KEPT, &mut Random::new(0)).assert_equals(&site.disk());
            seen.set(true);
        });
        assert!(seen.get(), "the end of a recording is played");
    }
}

/// Runs a verb under the recorder to its end and returns what it printed.
pub(crate) fn record_verb(site: &Site, recorder: &mut Recorder, arguments: &[String]) -> String {
    let strace = recorder.next(site);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut process = Server::spawn(&arguments, &[], Some(&strace), site.scratch("verb-stderr"));
    let status = process.wait();
    assert!(status.success(), "{arguments:?} ends well ({status}): {}", process.stderr());
    process.stdout()
}

/// A program that does a little of everything that the model knows. It syncs `kept` and its name,
/// the bytes of `unnamed` only, and leaves later changes of `kept` alone.
const PROGRAM: &str = r#"
    cd /
    mkdir "$1/a"
    printf durable > "$1/kept"
    sync "$1/kept"
    printf record > "$1/1.log"
    sync "$1/1.log"
    sync "$1"
    printf nameless > "$1/unnamed"
    sync "$1/unnamed"
    printf later >> "$1/kept"
    dd if=/dev/zero of="$1/a/zeros" bs=700 count=3 conv=fsync 2>&-
    dd if=/dev/urandom of="$1/a/zeros" bs=10 seek=33 count=3 conv=notrunc 2>&-
    printf first > "$1/a/moved"
    mv "$1/a/moved" "$1/moved"
    ln "$1/moved" "$1/linked"
    printf second > "$1/new"
    mv "$1/new" "$1/moved"
    truncate -s 100 "$1/linked"
    fallocate -l 5000 "$1/reserved"
    rm "$1/linked"
    mkdir "$1/gone"
    rmdir "$1/gone"
    chmod 600 "$1/moved"
"#;

/// Runs the program over a site's disk.
fn run_program(site: &Site, strace: &Strace) {
    let mut command = Command::new("strace");
    command.args(&strace.options).arg("-o").arg(&strace.output);
    command.args(["--", "sh", "-c", PROGRAM, "sh"]).arg(site.disk());
    let (mut process, _) = Process::start(&mut command, site.scratch("stderr"));
    assert!(process.wait().success(), "the program runs: {}", process.stderr());
}

#[test]
fn a_recording_knows_every_byte_and_what_is_durable() {
    let site = Site::new();
    if !strace_attaches("recorder") {
        return;
    }
    let mut recorder = Recorder::new();
    let strace = recorder.next(&site);
    run_program(&site, &strace);

    let recording = recorder.finish();
    recording.assert_complete(&site);
    let random = &mut Random::new(0);
    let images = Cell::new(0);
    recording.play(Disk::new(&site.disk()), &recording.moments(), |disk, moment| {
        images.set(images.get() + 1);
        if moment < u64::MAX {
            return;
        }
        let lost = disk.image(Style { data: Fate::Lost, names: Fate::Lost }, random);
        assert_eq!(lost.file("kept"), Some(&b"durable"[..]), "bytes and name were synced");
        assert_eq!(lost.file("unnamed"), None, "syncing the bytes does not sync the name");
        let named = disk.image(Style { data: Fate::Lost, names: Fate::Kept }, random);
        assert_eq!(named.file("unnamed"), Some(&b"nameless"[..]), "the bytes were synced");
        assert_eq!(named.file("moved"), Some(&b""[..]), "neither was synced");
        assert_eq!(
            named.file("a/zeros").map(<[u8]>::len),
            Some(2_100),
            "synced before the second write"
        );
        assert_eq!(named.file("1.log"), Some(&b"record"[..]), "a log was synced");
        recording.play(Disk::new(&site.disk()).without_wal_sync(), &[], |disk, _| {
            let lost =
                disk.image(Style { data: Fate::Lost, names: Fate::Kept }, &mut Random::new(0));
            assert_eq!(lost.file("1.log"), Some(&b""[..]), "the log's sync was a lie");
            assert_eq!(lost.file("kept"), Some(&b"durable"[..]), "the other syncs were not");
        });
    });
    assert!(images.get() > 40, "the power may fail at each call");
}

#[test]
fn a_sync_that_strace_made_up_makes_nothing_durable() {
    let site = Site::new();
    if !strace_attaches("made-up syncs") {
        return;
    }
    let mut recorder = Recorder::new();
    let strace = recorder.next_unsynced(&site);
    run_program(&site, &strace);
    let recording = recorder.finish();
    recording.assert_complete(&site);
    recording.play(Disk::new(&site.disk()), &[], |disk, _| {
        let lost = disk.image(Style { data: Fate::Lost, names: Fate::Lost }, &mut Random::new(0));
        assert_eq!(lost.file("kept"), None, "no name was synced");
        let named = disk.image(Style { data: Fate::Lost, names: Fate::Kept }, &mut Random::new(0));
        assert_eq!(named.file("kept"), Some(&b""[..]), "no byte was synced");
    });
}
