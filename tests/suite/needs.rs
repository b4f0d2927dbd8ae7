//! What some tests need of the machine, and what is said where it is missing: no test passes in silence.

#[cfg(feature = "server")]
use std::process::Command;
use std::{fmt::Arguments, io::Write as _};

/// Says that a test is skipped, past the harness, which keeps what a passing test prints to itself.
pub(crate) fn skip(why: Arguments<'_>) {
    writeln!(std::io::stderr().lock(), "SKIPPED {why}").unwrap();
}

/// Returns whether strace works here; says so where it does not.
#[cfg(feature = "server")]
pub(crate) fn strace_attaches(test: &str) -> bool {
    let why = match Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output() {
        Ok(done) if done.status.success() => return true,
        Ok(done) => format!("can't attach: {}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => format!("can't be started ({error}); ./deploy/test installs it"),
    };
    skip(format_args!("{test}: strace {why}"));
    false
}
