//! What is wrong with a policy, where, and what to do about it.

use core::fmt;

/// How bad a finding is. The worse is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It works, and is probably not what was meant.
    Warning,
    /// It does not work.
    Error,
}

/// One finding about the files of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Which check found it, as `policy/unknown-class`: stable, so that a finding can be silenced by it.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The file, relative to the bundle.
    pub file: String,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// The character in the line, from 1; 0 for the whole line.
    pub column: usize,
    /// How many characters it is about, from that one on.
    pub length: usize,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Diagnostic {
    /// Writes `file:line:column: severity: message [code]`, as compilers do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, code, message, file, line, column, .. } = self;
        match (line, column) {
            (0, _) => write!(f, "{file}: {severity}: {message} [{code}]"),
            (_, 0) => write!(f, "{file}:{line}: {severity}: {message} [{code}]"),
            _ => write!(f, "{file}:{line}:{column}: {severity}: {message} [{code}]"),
        }
    }
}
