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
//! say. Each script runs in a directory of its own.

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
    server: Option<(Child, String)>,
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
        if let Some((_, url)) = &self.server {
            command.env("ATTESTREE_SERVER", url);
        }
        command
    }

    fn serve(&mut self) {
        let mut server = self
            .command("attestree")
            .args(["serve", "--data", "data", "--listen", "127.0.0.1:0", "--log-level", "error"])
            .args(["--free-bytes-min", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let url =
            first.trim_end().strip_prefix("listening on ").expect("the server says where it is");
        self.server = Some((server, url.to_owned()));
    }

    fn stop(&mut self) {
        let Some((mut server, _)) = self.server.take() else { return };
        let pid = server.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(server.wait().unwrap().success(), "the server stops in order");
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

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((mut server, _)) = self.server.take() {
            // The script has failed; its server is of no more use.
            let _gone = server.kill();
            let _gone = server.wait();
        }
    }
}

/// Returns the directory of the scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

/// Plays one script.
fn play(name: &str) {
    let text = fs::read_to_string(scripts().join(name).with_extension("txt")).unwrap();
    let mut stage = Stage { dir: tempfile::tempdir().unwrap(), server: None };
    let steps = parse(&text);
    assert!(!steps.is_empty(), "{name} has no steps");
    for step in steps {
        match step {
            Step::Serve(words) => {
                let made = stage
                    .command("attestree")
                    .args(["init", "--data", "data", "--origin", ORIGIN])
                    .args(words.split_whitespace())
                    .output()
                    .unwrap();
                assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
                stage.serve();
            }
            Step::Stop => stage.stop(),
            Step::Restart => {
                stage.stop();
                stage.serve();
            }
            Step::Run { line, command, code, expected } => {
                let wrong = stage.run(&command, code, &expected);
                assert!(wrong.is_empty(), "{name}.txt:{line}: {command}\n{}", wrong.join("\n"));
            }
        }
    }
    stage.stop();
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
    directory,
    evidence,
    #[cfg(feature = "server")]
    fsck,
    key,
    #[cfg(feature = "server")]
    logs,
    policy,
    policy_diff,
    policy_import,
    policy_test,
    #[cfg(feature = "server")]
    prove,
    #[cfg(feature = "server")]
    receipt,
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
