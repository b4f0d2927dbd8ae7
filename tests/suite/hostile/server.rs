//! The server as a child process on a port and a directory of its own.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// How long a start may take before the test fails: far beyond a loaded two-core machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_attestree");

/// A log to create before the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewLog {
    pub(crate) origin: &'static str,
    /// Further flags of `init`.
    pub(crate) flags: &'static [&'static str],
}

/// A serving child process; dropping it kills it and removes its files.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    vkeys: Vec<String>,
    scratch: TempDir,
}

impl Server {
    /// Creates the logs in a fresh directory and serves them.
    pub(crate) fn start(logs: &[NewLog], flags: &[&str]) -> Self {
        let scratch = TempDir::with_prefix_in("server-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        let data = scratch.path().join("data");
        let vkeys = logs.iter().map(|log| init(&data, log)).collect();

        let stderr = File::create(scratch.path().join("stderr")).unwrap();
        let mut child = Command::new(BINARY)
            .args(["serve", "--listen", "127.0.0.1:0", "--free-bytes-min", "0", "--data"])
            .arg(&data)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        // Read to the end even when nobody listens, so that the child never blocks on the pipe.
        thread::spawn(move || {
            stdout.lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
        });
        let first = lines.recv_timeout(PATIENCE);
        let address =
            first.as_deref().ok().and_then(|line| line.strip_prefix("listening on http://"));
        let Some(address) = address.map(|text| text.trim_end_matches('/').parse().unwrap()) else {
            let _ended = child.kill();
            let said = fs::read_to_string(scratch.path().join("stderr")).unwrap();
            panic!("the server does not start: {first:?}; it said: {said}");
        };
        Self { child, address, vkeys, scratch }
    }

    /// Returns the address that the server listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the verifier keys of the logs, in the order of their creation.
    pub(crate) fn vkeys(&self) -> &[String] {
        &self.vkeys
    }

    /// Returns a directory that lives as long as the server.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Returns what the server wrote to standard error.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.scratch.path().join("stderr")).unwrap()
    }

    /// Returns whether the process is still the one that was started.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&self) {
        let done = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    /// Returns the most memory that the process ever had resident, in bytes.
    pub(crate) fn resident_bytes_max(&self) -> u64 {
        let path: PathBuf = ["/proc", &self.child.id().to_string(), "status"].iter().collect();
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
        if thread::panicking() {
            eprintln!("the server said: {}", self.stderr());
        }
    }
}

/// Creates a log and returns its verifier key.
fn init(data: &Path, log: &NewLog) -> String {
    let done = Command::new(BINARY)
        .arg("init")
        .arg("--data")
        .arg(data)
        .args(["--origin", log.origin])
        .args(log.flags)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "init: {said}{}", String::from_utf8_lossy(&done.stderr));
    let key =
        said.split_whitespace().find(|word| word.starts_with(log.origin) && word.contains('+'));
    key.unwrap_or_else(|| panic!("init prints the verifier key: {said}")).to_owned()
}
