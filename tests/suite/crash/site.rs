//! A directory of its own for each test: the data, the watermark, and what the tests write.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use super::process::{Server, Strace};

/// The first log's origin: no identity but idempotency keys.
pub(crate) const PLAIN: &str = "crash.example/plain";

/// The second log's origin: identity by entry hash.
pub(crate) const HASHED: &str = "crash.example/hashed";

/// A place where one server lives.
#[derive(Debug)]
pub(crate) struct Site {
    scratch: TempDir,
    runs: AtomicU32,
}

/// What `init` printed for a log.
#[derive(Clone, Debug)]
pub(crate) struct NewLog {
    /// The origin.
    pub(crate) origin: String,
    /// The verifier key.
    pub(crate) vkey: String,
}

impl NewLog {
    /// Finds the verifier key in what `init` printed.
    pub(crate) fn printed(origin: &str, text: &str) -> Self {
        let start = format!("{origin}+");
        let vkey = text.split_whitespace().find(|word| word.starts_with(&start));
        let vkey = vkey.unwrap_or_else(|| panic!("init prints the vkey: {text}")).to_owned();
        Self { origin: origin.to_owned(), vkey }
    }
}

impl Site {
    /// Makes an empty place.
    pub(crate) fn new() -> Self {
        let scratch = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir(scratch.path().join("disk")).unwrap();
        Self { scratch, runs: AtomicU32::new(0) }
    }

    /// Makes a place with both logs.
    pub(crate) fn with_logs() -> (Self, Vec<NewLog>) {
        let site = Self::new();
        let logs = vec![site.init(PLAIN, false), site.init(HASHED, true)];
        (site, logs)
    }

    /// Returns the directory that holds data and watermark and nothing else.
    pub(crate) fn disk(&self) -> PathBuf {
        self.scratch.path().join("disk").canonicalize().unwrap()
    }

    /// Keeps everything for someone who looks at it after the test, and returns [`Self::disk`].
    pub(crate) fn keep(self) -> PathBuf {
        let disk = self.disk();
        let _kept = self.scratch.keep();
        disk
    }

    /// Returns the data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.disk().join("data")
    }

    /// Returns the watermark file.
    pub(crate) fn watermark(&self) -> PathBuf {
        self.disk().join("data.watermark")
    }

    /// Returns a path for a file of the test's own.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Returns the path of a new file for the standard error of a run.
    fn next_stderr(&self) -> PathBuf {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        self.scratch(&format!("stderr-{run}"))
    }

    /// Returns the arguments of `init`.
    pub(crate) fn init_arguments(&self, origin: &str, hashed: bool) -> Vec<String> {
        let data = self.data().to_str().unwrap().to_owned();
        let mut arguments: Vec<String> =
            ["init", "--data", &data, "--origin", origin].map(str::to_owned).to_vec();
        if hashed {
            arguments.extend(["--identity", "entry-hash"].map(str::to_owned));
        }
        arguments
    }

    /// Creates a log.
    pub(crate) fn init(&self, origin: &str, hashed: bool) -> NewLog {
        let output = self.run(&self.init_arguments(origin, hashed));
        assert!(
            output.status.success(),
            "init failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        NewLog::printed(origin, &String::from_utf8_lossy(&output.stdout))
    }

    /// Returns a log that was made before, from its key file.
    pub(crate) fn shown(&self, origin: &str) -> NewLog {
        let key = self.data().join("signing/0.skey");
        let output = self.run(&["key", "show", key.to_str().unwrap()]);
        NewLog::printed(origin, &String::from_utf8_lossy(&output.stdout))
    }

    /// Runs a verb to its end.
    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_attestree")).args(arguments).output().unwrap()
    }

    /// Starts to serve, without waiting for anything.
    pub(crate) fn spawn(&self, environment: &[(&str, &str)], strace: Option<&Strace>) -> Server {
        let data = self.data().to_str().unwrap().to_owned();
        let arguments = ["serve", "--data", &data, "--listen", "127.0.0.1:0"];
        Server::spawn(&arguments, environment, strace, self.next_stderr())
    }

    /// Serves.
    pub(crate) fn serve(&self) -> Server {
        self.spawn(&[], None).expect_listening()
    }

    /// Runs `fsck` over the data directory and panics unless it finds everything well.
    pub(crate) fn fsck(&self) {
        let output = self.fsck_output();
        assert!(
            output.status.success(),
            "fsck is not content ({}): {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }

    /// Runs `fsck` over the data directory.
    pub(crate) fn fsck_output(&self) -> Output {
        self.run(&["fsck", "--data", self.data().to_str().unwrap()])
    }

    /// Asserts that the server refuses to start, and returns the reason that it gives.
    pub(crate) fn refusal(&self) -> String {
        let mut server = self.spawn(&[], None);
        assert!(!server.listens(), "the server starts although it must refuse");
        let status = server.wait();
        let reason = server.stderr();
        assert_eq!(status.code(), Some(1), "a refusal is an orderly exit, not {status}: {reason}");
        reason
    }

    /// Copies data and watermark to a new place.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        copy_tree(&self.disk(), &copy.disk());
        copy
    }
}

/// Copies files and directories; sockets stay behind.
pub(crate) fn copy_tree(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_tree(&from, &to);
        } else if kind.is_file() {
            // Permissions come along: a key file that others can read is refused.
            fs::copy(from, to).unwrap();
        }
    }
}
