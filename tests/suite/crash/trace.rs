//! What strace wrote, as calls in the one order in which the kernel was seen to do them.
//!
//! strace handles the stops of all threads one after another, and a stopped thread goes on only
//! after strace has written the line. So the file is a total order, and its length at any moment
//! says which calls had begun and ended by then: an acknowledgement that reached the client when
//! the file was `n` bytes long can rest only on calls whose lines end at or before `n`. That is the
//! clock of these tests.
//!
//! Strings are read in `-xx` form, `"\x41\x42"`, so no byte of a string is ever punctuation.

use std::{
    collections::HashMap,
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// One system call.
#[derive(Debug)]
pub(crate) struct Call {
    /// The thread that made it.
    pub(crate) thread: u32,
    /// Its name, such as `pwrite64`.
    pub(crate) name: String,
    /// Its arguments, as printed.
    pub(crate) args: Vec<String>,
    /// What it returned; absent if the thread died in it.
    pub(crate) result: Option<i64>,
    /// Whether strace made the result up.
    pub(crate) injected: bool,
}

impl Call {
    /// Returns an argument as a number; strace prints octal with a leading zero.
    pub(crate) fn number(&self, position: usize) -> i64 {
        let text = self.args[position].split('<').next().unwrap();
        if let Some(octal) = text.strip_prefix('0').filter(|rest| !rest.is_empty()) {
            return i64::from_str_radix(octal, 8).unwrap_or_else(|_| panic!("octal in {self:?}"));
        }
        text.parse().unwrap_or_else(|_| panic!("argument {position} is no number: {self:?}"))
    }

    /// Returns the bytes of all strings of an argument, one after another: an iovec's as well.
    pub(crate) fn bytes(&self, position: usize) -> Vec<u8> {
        let text = &self.args[position];
        assert!(!text.contains("\"..."), "strace cut a string short: raise -s");
        let mut bytes = Vec::new();
        for quoted in text.split('"').skip(1).step_by(2) {
            bytes.extend(unescape(quoted));
        }
        bytes
    }

    /// Returns the path of a descriptor argument, as `-y` prints it, or of a path argument.
    pub(crate) fn path(&self, position: usize) -> PathBuf {
        let text = &self.args[position];
        let bytes = match text.split_once('<') {
            Some((_, path)) => unescape(path.trim_end_matches('>')),
            None => self.bytes(position),
        };
        PathBuf::from(OsString::from_vec(bytes))
    }

    /// Returns whether an argument holds a flag.
    pub(crate) fn flag(&self, position: usize, flag: &str) -> bool {
        self.args.get(position).is_some_and(|text| text.split('|').any(|one| one == flag))
    }
}

/// Which side of a call an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The call was made; its effect may happen from here on.
    Begin,
    /// The call returned; its effect has happened.
    End,
}

/// One thing that strace saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// Length of the trace, in bytes, once the line of this event was written.
    pub(crate) at: u64,
    /// Position in [`Trace::calls`].
    pub(crate) call: usize,
    /// Begin or end.
    pub(crate) moment: Moment,
}

/// The calls of one traced process, in order.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The calls in the order of their beginnings.
    pub(crate) calls: Vec<Call>,
    /// Their beginnings and ends in the order in which they were seen.
    pub(crate) events: Vec<Event>,
}

impl Trace {
    /// Reads the file that strace wrote with `-f -xx -o`, whose first byte stands at `offset`.
    pub(crate) fn read(path: &Path, offset: u64) -> Self {
        let text = std::fs::read(path).unwrap();
        let mut trace = Self::default();
        let mut unfinished = HashMap::new();
        let mut at = offset;
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            at += line.len() as u64;
            let line = std::str::from_utf8(line).expect("-xx prints ASCII").trim_end();
            trace.line(line, at, &mut unfinished);
        }
        trace
    }

    /// Takes one line in.
    fn line(&mut self, line: &str, at: u64, unfinished: &mut HashMap<u32, usize>) {
        let (thread, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no thread: {line}"));
        let thread: u32 = thread.parse().unwrap_or_else(|_| panic!("no thread: {line}"));
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            return;
        }
        if rest.starts_with("<... ") {
            let Some(call) = unfinished.remove(&thread) else {
                panic!("a call resumed that never began: {rest:.80}")
            };
            self.calls[call].result = result(rest);
            self.calls[call].injected = rest.ends_with("(INJECTED)");
            self.events.push(Event { at, call, moment: Moment::End });
            return;
        }
        let (name, arguments) =
            rest.split_once('(').unwrap_or_else(|| panic!("no call: {rest:.80}"));
        let call = self.calls.len();
        let (arguments, ended) = match arguments.strip_suffix(" <unfinished ...>") {
            Some(arguments) => (arguments, false),
            None => (closed(arguments), true),
        };
        self.calls.push(Call {
            thread,
            name: name.to_owned(),
            args: split(arguments),
            result: if ended { result(rest) } else { None },
            injected: rest.ends_with("(INJECTED)"),
        });
        self.events.push(Event { at, call, moment: Moment::Begin });
        if !ended {
            unfinished.insert(thread, call);
        } else if self.calls[call].result.is_some() {
            self.events.push(Event { at, call, moment: Moment::End });
        }
    }
}

/// Returns the arguments without the closing parenthesis and what follows it.
fn closed(text: &str) -> &str {
    let end = text.rfind(" = ").unwrap_or(text.len());
    let text = text[..end].trim_end();
    text.strip_suffix(')').unwrap_or(text)
}

/// Returns what a line says the call returned; `None` for `?`, when the thread died in it.
fn result(line: &str) -> Option<i64> {
    let (_, text) = line.rsplit_once(" = ")?;
    let text = text.split([' ', '<']).next().unwrap_or(text);
    if let Some(hex) = text.strip_prefix("0x") {
        return Some(u64::from_str_radix(hex, 16).ok()?.cast_signed());
    }
    text.parse().ok()
}

/// Reads `\x41\x42`.
fn unescape(text: &str) -> Vec<u8> {
    let pair = |pair| u8::from_str_radix(pair, 16).expect("-xx prints two digits a byte");
    text.split("\\x").skip(1).map(pair).collect()
}

/// Splits arguments at the commas that stand outside all brackets.
fn split(text: &str) -> Vec<String> {
    let mut args = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                args.push(text[start..position].trim().to_owned());
                start = position + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        args.push(last.to_owned());
    }
    args
}
