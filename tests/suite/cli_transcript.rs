//! Transcripts of the command line: `tests/scripts/*.txt`, run against the built program.
//!
//! ```text
//! # What the script shows.
//! ! serve --identity entry-hash
//! $ printf 'a\nb\n' | attestree append
//! appended 2 entries to log.example/cli: indices 0 to 1; [..]
//! $ attestree append none
//! ? 1
//! attestree: open none: [..]
//! ```
//!
//! A line `$` is a command for the shell, `?` the exit code it must have (0 without such a line), and
//! what follows is all that it prints, on both streams. `[..]` stands for anything within a line.
//! `! serve` makes a log and starts a server on a free port, `! stop` and `! restart` do what they
//! say. `! witness` gives the log a witness `w1`, and leaves what to believe in `trust.policy`. Each script runs in a directory of its own.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Origin of a script's log.
const ORIGIN: &str = "log.example/cli";

/// What a script says.
enum Step {
    /// Make a log and start its server, with these words for `init`.
    Serve(String),
    /// Start a witness of the log, and the server again with it.
    Witness,
    /// Stop the server as a supervisor does.
    Stop,
    /// Stop and start the server.
    Restart,
    /// Run a command.
    Run { line: usize, command: String, code: i32, expected: Vec<String> },
}

/// Reads a script.
fn parse(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            let (command, expected) = (command.to_owned(), Vec::new());
            steps.push(Step::Run { line: number + 1, command, code: 0, expected });
        } else if let Some(directive) = line.strip_prefix("! ") {
            steps.push(match directive.split_once(' ').unwrap_or((directive, "")) {
                ("serve", words) => Step::Serve(words.to_owned()),
                ("witness", "") => Step::Witness,
                ("stop", "") => Step::Stop,
                ("restart", "") => Step::Restart,
                _ => panic!("line {}: no such directive: {directive}", number + 1),
            });
        } else if line.starts_with('#') {
            // A comment stands between steps, never inside expected output.
        } else if let Some(Step::Run { code, expected, .. }) = steps.last_mut() {
            match line.strip_prefix("? ").filter(|_| expected.is_empty()) {
                Some(exit) => *code = exit.parse().unwrap(),
                None => expected.push(line.to_owned()),
            }
        } else {
            assert!(line.is_empty(), "line {}: not part of a step: {line}", number + 1);
        }
    }
    steps
}

/// Returns whether `[..]` in the pattern can be filled so that it becomes the line.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else {
        return false;
    };
    let mut parts = parts.peekable();
    let mut open = false;
    while let Some(part) = parts.next() {
        open = true;
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    open || rest.is_empty()
}

/// A script that is being played.
struct Stage {
    dir: tempfile::TempDir,
    server: Option<Daemon>,
    witness: Option<Daemon>,
}

/// A process that serves; dropping it kills it.
struct Daemon {
    child: Child,
    url: String,
}

impl Daemon {
    /// Starts it and waits until it listens.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let url = first.trim_end().strip_prefix("listening on ").unwrap_or_default().to_owned();
        let daemon = Self { child, url };
        assert!(!daemon.url.is_empty(), "a daemon says where it is: {first:?}");
        daemon
    }

    /// Stops it as a supervisor does.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "a daemon stops in order");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already, unless the script has failed.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Stage {
    /// Returns a command that sees only what the script made.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_attestree"));
        let mut path = vec![binary.parent().unwrap().to_owned()];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", env::join_paths(path).unwrap());
        if let Some(server) = &self.server {
            command.env("ATTESTREE_SERVER", &server.url);
        }
        command
    }

    /// Runs the program, which has to succeed, and returns what it prints.
    fn printed(&self, arguments: &[&str]) -> String {
        let done = self.command("attestree").args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn serve(&mut self) {
        let mut command = self.command("attestree");
        command
            .args(["serve", "--data", "data", "--listen", "127.0.0.1:0", "--log-level", "error"])
            .args(["--free-bytes-min", "0"]);
        if self.witness.is_some() {
            command.args(["--trust", "trust.policy", "--checkpoint-interval-ms", "1"]);
        }
        self.server = Some(Daemon::start(&mut command));
    }

    /// Starts a witness of the log that is served, and serves the log again with it.
    fn witness(&mut self) {
        let vkey = self.printed(&["witness", "init", "--data", "w", "--name", "w.example/w1"]);
        let policy = self.printed(&["logs", "--policy"]);
        let log = policy.lines().find_map(|line| line.strip_prefix("log ")).unwrap();
        let mut command = self.command("attestree");
        command.args(["witness", "serve", "--data", "w", "--listen", "127.0.0.1:0"]);
        command.args(["--log-level", "error", "--log", log]);
        let witness = Daemon::start(&mut command);
        let trust =
            format!("log {log}\nwitness w1 {} {}\nquorum w1\n", vkey.trim_end(), witness.url);
        fs::write(self.dir.path().join("trust.policy"), trust).unwrap();
        self.witness = Some(witness);
        self.stop_server();
        self.serve();
    }

    fn stop_server(&mut self) {
        self.server.take().into_iter().for_each(Daemon::stop);
    }

    /// Runs a command and returns everything that is not as expected.
    fn run(&self, command: &str, code: i32, expected: &[String]) -> Vec<String> {
        let shell = format!("{{ {command}\n}} 2>&1");
        let output = self.command("sh").args(["-c", &shell]).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let printed: Vec<&str> = printed.lines().collect();
        // An empty line before the next step belongs to the script's layout.
        let layout = expected.iter().rev().take_while(|line| line.is_empty()).count();
        let expected = &expected[..expected.len() - layout];
        let printed = match printed.iter().rposition(|line| !line.is_empty()) {
            Some(last) => &printed[..=last],
            None => &[],
        };
        let mut wrong = Vec::new();
        if output.status.code() != Some(code) {
            wrong.push(format!("exit code {:?}, not {code}", output.status.code()));
        }
        let alike = expected.iter().zip(printed).all(|(pattern, line)| matches(pattern, line));
        if expected.len() != printed.len() || !alike {
            wrong.push(format!("expected:\n{}", expected.join("\n")));
            wrong.push(format!("printed:\n{}", printed.join("\n")));
        }
        wrong
    }
}

/// Returns the directory of the scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

/// Plays one script.
fn play(name: &str) {
    let text = fs::read_to_string(scripts().join(name).with_extension("txt")).unwrap();
    let mut stage = Stage { dir: tempfile::tempdir().unwrap(), server: None, witness: None };
    let steps = parse(&text);
    assert!(!steps.is_empty(), "{name} has no steps");
    for step in steps {
        match step {
            Step::Serve(words) => {
                let init = ["init", "--data", "data", "--origin", ORIGIN];
                stage.printed(&[&init, &*words.split_whitespace().collect::<Vec<_>>()].concat());
                stage.serve();
            }
            Step::Witness => stage.witness(),
            Step::Stop => stage.stop_server(),
            Step::Restart => {
                stage.stop_server();
                stage.serve();
            }
            Step::Run { line, command, code, expected } => {
                let wrong = stage.run(&command, code, &expected);
                assert!(wrong.is_empty(), "{name}.txt:{line}: {command}\n{}", wrong.join("\n"));
            }
        }
    }
    stage.stop_server();
    stage.witness.take().into_iter().for_each(Daemon::stop);
}

/// Declares a test for each script, and one that holds the list to be complete.
macro_rules! scripts {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $name() {
                play(stringify!($name));
            }
        )*

        #[test]
        fn every_script_is_played() {
            let listed = [$(stringify!($name)),*];
            let mut found = 0;
            for entry in fs::read_dir(scripts()).unwrap() {
                let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
                assert!(listed.contains(&name.as_str()), "{name}.txt is never played");
                found += 1;
            }
            assert_eq!(found, listed.len());
        }
    };
}

scripts! {
    #[cfg(feature = "server")]
    append,
    #[cfg(feature = "server")]
    cosigned,
    #[cfg(feature = "server")]
    directory,
    #[cfg(feature = "server")]
    events,
    evidence,
    #[cfg(feature = "server")]
    fsck,
    key,
    #[cfg(feature = "server")]
    logs,
    policy,
    #[cfg(feature = "server")]
    policy_apply,
    policy_diff,
    policy_import,
    #[cfg(feature = "server")]
    policy_simulate,
    policy_test,
    #[cfg(feature = "server")]
    prove,
    #[cfg(feature = "server")]
    receipt,
    #[cfg(feature = "server")]
    settings,
    token,
    #[cfg(feature = "server")]
    upgrade,
    usage,
    verify,
    #[cfg(feature = "server")]
    witness,
}

#[test]
fn wildcards_match_within_a_line() {
    assert!(matches("a[..]c", "abc") && matches("a[..]", "a") && matches("[..]", "x"));
    assert!(matches("a[..]b[..]c", "a1b2c") && matches("abc", "abc"));
    assert!(!matches("abc", "abcd") && !matches("a[..]c", "abd") && !matches("[..]b[..]", "ac"));
}
