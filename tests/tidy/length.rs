//! How long files and functions may get: a ratchet, which only turns one way.

use crate::source::{Finding, Source};

/// Most lines of a Rust file.
const FILE_LINES_MAX: usize = 500;

/// Most lines of a function, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Files that are longer, with the lines they have and why. The number may only be lowered.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Functions that are longer, as `path#name`, with the lines they have and why. The number may only be lowered.
const LONG_FUNCTIONS: &[(&str, usize, &str)] = &[(
    "tests/suite/hostile/http.rs#what_is_no_resource_is_not_found",
    79,
    "a table of probes, which is read as one",
)];

/// Finds functions beyond the limit that are not listed.
pub(crate) fn functions(file: &Source) -> Vec<Finding> {
    let long = |function: &Function| {
        let name = format!("{}#{}", file.path, function.name);
        function.lines > FUNCTION_LINES_MAX
            && !LONG_FUNCTIONS.iter().any(|(listed, ..)| *listed == name)
    };
    let find = |function: Function| {
        let text = format!(
            "{} has {} lines; the limit is {FUNCTION_LINES_MAX}",
            function.name, function.lines
        );
        Finding::new(&file.path, function.line, text)
    };
    measure(file).into_iter().filter(long).map(find).collect()
}

/// Finds files beyond the limit, and listed exceptions that have changed or ended.
pub(crate) fn ratchet(files: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines = file.text.lines().count();
        let listed = LONG_FILES.iter().any(|(path, ..)| *path == file.path);
        if lines > FILE_LINES_MAX && !listed {
            let text = format!(
                "the file has {lines} lines; the limit is {FILE_LINES_MAX}: is it still one thing?"
            );
            findings.push(Finding::new(&file.path, 0, text));
        }
    }
    for (path, listed, _) in LONG_FILES {
        let lines = files
            .iter()
            .find(|file| file.path == *path)
            .map_or(0, |file| file.text.lines().count());
        findings.extend(turn(path, lines, *listed, FILE_LINES_MAX));
    }
    for (name, listed, _) in LONG_FUNCTIONS {
        let lines = files
            .iter()
            .find(|file| name.starts_with(&format!("{}#", file.path)))
            .and_then(|file| {
                let inner = name.rsplit('#').next()?;
                measure(file)
                    .iter()
                    .find(|function| function.name == inner)
                    .map(|function| function.lines)
            });
        findings.extend(turn(name, lines.unwrap_or(0), *listed, FUNCTION_LINES_MAX));
    }
    findings
}

/// Compares an exception with what it is about.
fn turn(name: &str, lines: usize, listed: usize, limit: usize) -> Option<Finding> {
    let text = if lines <= limit {
        format!("is down to {lines} lines: take it off the list")
    } else if lines < listed {
        format!("is down to {lines} lines from {listed}: lower the number in the list")
    } else if lines > listed {
        format!("has grown from {listed} to {lines} lines: make it shorter")
    } else {
        return None;
    };
    Some(Finding::new(name, 0, text))
}

/// A function of a file.
pub(crate) struct Function {
    /// The name after `fn`.
    pub(crate) name: String,
    /// The line of its `fn`.
    line: usize,
    /// Lines from there to its closing brace, both counted.
    pub(crate) lines: usize,
}

/// Returns the functions with a body of a Rust file.
pub(crate) fn measure(file: &Source) -> Vec<Function> {
    if !file.is_rust() {
        return Vec::new();
    }
    file.words("fn").filter_map(|at| body(file, at)).collect()
}

/// Returns the function whose `fn` stands at a byte, unless it is a type or has no body.
fn body(file: &Source, at: usize) -> Option<Function> {
    let rest = file.code[at + 2..].trim_start();
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if name.is_empty() {
        return None;
    }
    let block = file.block(at)?;
    let lines = file.code[at..block.end].matches('\n').count() + 1;
    Some(Function { name, line: file.line_of(at), lines })
}
