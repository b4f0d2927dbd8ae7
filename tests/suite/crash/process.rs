//! The server as a child process, alone or under strace.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before the test fails. A start takes two seconds on two idle cores under
/// strace; a machine that builds and tests other things at the same time may take thirty times as long, and
/// five times that is no reason to say that a log is lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// How long a process that was killed may take to be gone before a test that fails goes on failing.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Last lines of standard error that the message of a failed test quotes.
const STORY_LINES: usize = 20;

/// A child process whose end is an event. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    started: Instant,
    ended: Receiver<ExitStatus>,
    status: Option<ExitStatus>,
    stderr: PathBuf,
}

impl Process {
    /// Starts a command whose standard error goes to a file, and returns its standard output's lines.
    pub(crate) fn start(command: &mut Command, stderr: PathBuf) -> (Self, Receiver<String>) {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let pid = Pid::from_child(&child);
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (line, lines) = mpsc::channel();
        thread::spawn(move || {
            // Read to the end even when nobody listens, so that the child never blocks on the pipe.
            stdout.lines().map_while(Result::ok).for_each(|text| drop(line.send(text)));
        });
        let (end, ended) = mpsc::channel();
        thread::spawn(move || end.send(child.wait().expect("a child is waited for once")));
        (Self { pid, started: Instant::now(), ended, status: None, stderr }, lines)
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let ended = || self.ended.recv_timeout(PATIENCE);
        let status = self.status.map_or_else(ended, Ok);
        let status =
            status.unwrap_or_else(|_| panic!("the process does not end: {}", self.story()));
        self.status = Some(status);
        status
    }

    /// Tells what became of the process so far, for the message of a test that fails: whether and how it
    /// ended, after how long, and what it said last.
    fn story(&self) -> String {
        let stderr = self.stderr();
        let said: Vec<&str> = stderr.lines().collect();
        let said = said[said.len().saturating_sub(STORY_LINES)..].join("\n");
        let ended = self.status.map_or_else(|| "not ended".to_owned(), |status| status.to_string());
        format!("{ended} after {:.1?}; it said last: {said}", self.started.elapsed())
    }

    /// Returns what the process wrote to standard error.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap()).into_owned()
    }

    /// Sends a signal to the process itself.
    pub(crate) fn send(&self, signal: Signal) {
        self.signal(self.pid, signal);
    }

    /// Sends a signal unless the process is known to have ended.
    fn signal(&self, pid: Pid, signal: Signal) {
        if self.status.is_none() {
            let _ended_meanwhile = kill_process(pid, signal);
        }
    }
}

impl Process {
    /// Waits for the end without a word if it does not come.
    fn has_ended_within(&mut self, patience: Duration) -> bool {
        if self.status.is_none() {
            self.status = self.ended.recv_timeout(patience).ok();
        }
        self.status.is_some()
    }
}

impl Drop for Process {
    /// Leaves nothing behind, also where a test fails, and nobody to write into a directory that is removed.
    fn drop(&mut self) {
        if !self.has_ended_within(Duration::ZERO) {
            self.signal(self.pid, Signal::KILL);
            self.has_ended_within(END_PATIENCE);
        }
    }
}

/// How a server is run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strace {
    /// Options before the command; none for a run without strace.
    pub(crate) options: Vec<String>,
    /// Where the trace goes.
    pub(crate) output: PathBuf,
}

/// A serving child process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    strace: Option<PathBuf>,
    address: Option<SocketAddr>,
    lines: Receiver<String>,
}

impl Server {
    /// Starts `attestree` with these arguments, under strace if asked to.
    pub(crate) fn spawn(
        arguments: &[&str],
        environment: &[(&str, &str)],
        strace: Option<&Strace>,
        stderr: PathBuf,
    ) -> Self {
        let binary = env!("CARGO_BIN_EXE_attestree");
        let mut command = match strace {
            None => Command::new(binary),
            Some(strace) => {
                let mut command = Command::new("strace");
                command.args(&strace.options).arg("-o").arg(&strace.output).arg("--").arg(binary);
                command
            }
        };
        // A test machine may be nearly full.
        command.env("ATTESTREE_FREE_BYTES_MIN", "0");
        command.args(arguments).envs(environment.iter().copied());
        let (process, lines) = Process::start(&mut command, stderr);
        let strace = strace.map(|strace| strace.output.clone());
        Self { process, strace, address: None, lines }
    }

    /// Waits until the server listens; false if it ended instead.
    pub(crate) fn listens(&mut self) -> bool {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let address = line.strip_prefix("listening on http://");
                let address = address.or_else(|| line.strip_prefix("listening on https://"));
                let address =
                    address.unwrap_or_else(|| panic!("the first line is the address: {line}"));
                self.address = Some(address.parse().unwrap());
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => {
                panic!("the server neither listens nor ends: {}", self.story())
            }
        }
    }

    /// Waits until the server listens.
    pub(crate) fn expect_listening(mut self) -> Self {
        if !self.listens() {
            self.process.wait();
            panic!("the server does not start: {}", self.story());
        }
        self
    }

    /// Returns the address that the server listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("the server listens")
    }

    /// Returns the URL of a server without TLS.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Returns the process id of the server itself, not of the strace around it.
    fn pid(&self) -> Option<Pid> {
        let Some(trace) = &self.strace else { return Some(self.process.pid) };
        let text = fs::read(trace).ok()?;
        let digits: String =
            text.iter().map(|&byte| char::from(byte)).take_while(char::is_ascii_digit).collect();
        Pid::from_raw(digits.parse().ok()?)
    }

    /// Kills the server at once and waits until it is gone.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        if let Some(pid) = self.pid() {
            self.process.signal(pid, Signal::KILL);
        }
        self.process.wait()
    }

    /// Makes the server abort, as a failed assertion of a library does, and waits until it is gone.
    pub(crate) fn abort(&mut self) -> ExitStatus {
        if let Some(pid) = self.pid() {
            self.process.signal(pid, Signal::ABORT);
        }
        self.process.wait()
    }

    /// Asks the server to end and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        if let Some(pid) = self.pid() {
            self.process.signal(pid, Signal::TERM);
        }
        self.process.wait()
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Returns the lines of standard output that nobody took, once the process has ended.
    pub(crate) fn stdout(&self) -> String {
        self.lines.iter().map(|line| line + "\n").collect()
    }

    /// Tells what became of the server, for the message of a test that fails.
    pub(crate) fn story(&self) -> String {
        self.process.story()
    }

    /// Returns what the server wrote to standard error.
    pub(crate) fn stderr(&self) -> String {
        self.process.stderr()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.has_ended_within(Duration::ZERO) {
            return;
        }
        match self.pid() {
            Some(pid) => self.process.signal(pid, Signal::KILL),
            // A strace that was killed would let go of a server of which it has not said who it is; this
            // signal it passes on.
            None => self.process.signal(self.process.pid, Signal::TERM),
        }
        self.process.has_ended_within(END_PATIENCE);
    }
}

/// Returns whether a server ended by SIGKILL, directly or reported by strace.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9) || status.code() == Some(137)
}
