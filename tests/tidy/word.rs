//! Words, names and calls that are not used here, each with what to write instead, and the form of comments.

use std::ops::Range;

use crate::source::{Finding, Source};

/// Where the banned words stand because they are banned.
const RULEBOOK: &str = "tests/tidy/";

/// Words that mark something as unfinished, wherever they stand.
const WORDS: &[(&str, &str)] = &[
    ("TODO", "finish it, or file an issue"),
    ("FIXME", "mend it, or file an issue"),
    ("XXX", "say what is wrong and why it is tolerable"),
    ("HACK", "say why the obvious way does not work"),
    ("for now", "say what holds, and what would change it"),
    ("as requested", "a comment is about the code, not about its making"),
    ("simplified", "say what is left out and why"),
    ("temporary workaround", "say what ends it"),
];

/// Calls and forms that are not used, with where they are, and what to write instead.
const CALLS: &[(&str, &[&str], &str)] = &[
    (
        "println!(",
        &["src/cli/", "src/main.rs", "src/server/", "build.rs", "tests/", "benches/"],
        "return it or log it",
    ),
    ("eprintln!(", &["src/cli/", "src/main.rs", "tests/", "benches/"], "return it or log it"),
    (".ok();", &[], "a dropped error is a hidden one: handle it, or write `let _ =` and say why"),
    (
        "dyn Error>",
        &["src/server/", "src/cli/", "src/main.rs", "build.rs", "tests/"],
        "name the errors in an enum",
    ),
    (
        "open_cf(",
        &["tests/"],
        "write open_cf_descriptors or open_cf_with_opts: open_cf drops the options of the families",
    ),
    ("unbounded(", &[], "bound the channel: memory is bounded by configuration"),
    ("unbounded_channel(", &[], "bound the channel: memory is bounded by configuration"),
];

/// Calls that are not used in tests.
const TEST_CALLS: &[(&str, &str)] = &[
    ("thread::sleep", "wait for the event itself, through a channel, a file or a line of output"),
    ("time::sleep", "wait for the event itself, through a channel, a file or a line of output"),
    ("assert!(true", "assert something"),
];

/// Ends of type names that say "type" in other words.
const TYPE_ENDS: &[&str] = &[
    "Manager", "Handler", "Helper", "Info", "Data", "Wrapper", "Impl", "Util", "Utils", "Factory",
];

/// File and folder names that say a kind, not a thing.
const KINDS: &[&str] = &[
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "misc",
    "types",
    "models",
    "handlers",
    "constants",
    "traits",
    "interfaces",
    "managers",
    "impls",
];

/// American spellings of words that the manual writes the British way.
const SPELLINGS: &[(&str, &str)] = &[
    ("behavior", "behaviour"),
    ("canceled", "cancelled"),
    ("favor", "favour"),
    ("honor", "honour"),
    ("initialize", "initialise"),
    ("labeled", "labelled"),
    ("normalize", "normalise"),
    ("optimize", "optimise"),
    ("organize", "organise"),
    ("recognize", "recognise"),
    ("serialize", "serialise"),
    ("synchronize", "synchronise"),
];

/// Finds words that mark something as unfinished.
pub(crate) fn banned_words(file: &Source) -> Vec<Finding> {
    if file.path.starts_with(RULEBOOK) {
        return Vec::new();
    }
    let hit = |line: &str, word: &str| match word.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => has_word(line, word),
        false => has_word(&line.to_lowercase(), word),
    };
    let lines = file.text_lines();
    lines
        .flat_map(|(number, line)| {
            let hits = WORDS.iter().filter(move |(word, _)| hit(line, word));
            hits.map(move |(word, instead)| {
                Finding::new(&file.path, number, format!("'{word}': {instead}"))
            })
        })
        .collect()
}

/// Returns whether a line holds a word or phrase on its own.
fn has_word(line: &str, word: &str) -> bool {
    let inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let alone = |at: usize| {
        !inner(line[..at].chars().next_back()) && !inner(line[at + word.len()..].chars().next())
    };
    line.match_indices(word).any(|(at, _)| alone(at))
}

/// Finds calls and forms that are not used.
pub(crate) fn banned_calls(file: &Source) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let in_tests = file.path.starts_with("tests/");
    for (number, line) in file.code_lines() {
        for (call, owners, instead) in CALLS {
            // A value that is bound or returned is not dropped.
            let kept = *call == ".ok();" && (line.contains(" = ") || line.contains("return "));
            if line.contains(call)
                && !kept
                && !owners.iter().any(|owner| file.path.starts_with(owner))
            {
                findings.push(Finding::new(&file.path, number, format!("'{call}': {instead}")));
            }
        }
        for (call, instead) in TEST_CALLS {
            if in_tests && line.contains(call) {
                findings.push(Finding::new(&file.path, number, format!("'{call}': {instead}")));
            }
        }
        if in_tests && line.contains("assert!(") && line.ends_with(".is_ok());") {
            findings.push(Finding::new(
                &file.path,
                number,
                "unwrap it, so that a failure shows the error",
            ));
        }
        // The protocol's own names for two of its calls, and RocksDB's for a read of many keys.
        let getter = line.contains("fn get_")
            && !["get_checkpoint", "get_entry", "get_many", "get_policy"]
                .iter()
                .any(|rpc| line.contains(rpc));
        if getter {
            findings.push(Finding::new(
                &file.path,
                number,
                "a getter is a plain noun, without get_",
            ));
        }
    }
    findings
}

/// Finds lints that are switched off without a reason; `expect` is better where it can be fulfilled.
pub(crate) fn allowances(file: &Source) -> Vec<Finding> {
    let allowed = file.words("allow").filter(|at| {
        let before = file.code[..*at].trim_end();
        file.is_rust() && (before.ends_with("#[") || before.ends_with("#!["))
    });
    let bare = allowed.filter(|at| {
        let attribute = file.code[*at..].split(']').next().unwrap_or_default();
        !has_word(attribute, "reason")
    });
    let text = "write #[expect(..., reason = \"...\")], or #[allow] with a reason";
    bare.map(|at| Finding::new(&file.path, file.line_of(at), text)).collect()
}

/// Finds tests that are switched off.
pub(crate) fn ignored_tests(file: &Source) -> Vec<Finding> {
    let lines = file.code_lines();
    let ignored = lines.filter(|(_, code)| file.is_rust() && code.contains("#[ignore"));
    let text = "a test that never runs proves nothing: run it or delete it";
    ignored.map(|(number, _)| Finding::new(&file.path, number, text)).collect()
}

/// Finds types whose names end in a word for "type".
pub(crate) fn type_names(file: &Source) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for keyword in ["struct", "enum", "trait"] {
        for at in file.words(keyword) {
            let rest = file.code[at + keyword.len()..].trim_start();
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(end) = TYPE_ENDS.iter().find(|end| name.ends_with(*end)) {
                let text = format!("{name}: name what it is, without '{end}'");
                findings.push(Finding::new(&file.path, file.line_of(at), text));
            }
        }
    }
    findings
}

/// Finds files and folders that are named for a kind.
pub(crate) fn file_names(file: &Source) -> Vec<Finding> {
    let parts = file.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    let kinds = parts.filter(|part| KINDS.contains(part));
    kinds
        .map(|kind| Finding::new(&file.path, 0, format!("'{kind}' is a kind; name the thing")))
        .collect()
}

/// Finds Rust files that do not open with what they are.
pub(crate) fn front_page(file: &Source) -> Vec<Finding> {
    let missing = file.is_rust() && !file.text.starts_with("//! ");
    missing
        .then(|| {
            Finding::new(&file.path, 1, "open the file with `//!`: one sentence of what it is")
        })
        .into_iter()
        .collect()
}

/// Finds documentation that stands after an attribute of its item.
pub(crate) fn doc_first(file: &Source) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let pairs = (1..).zip(lines.windows(2));
    let late = pairs.filter(|(_, pair)| {
        pair[0].starts_with("#[") && pair[0].ends_with(']') && pair[1].starts_with("///")
    });
    late.map(|(number, _)| {
        Finding::new(&file.path, number + 1, "documentation comes before attributes")
    })
    .collect()
}

/// Most lines of a private function that may go without documentation: one glance takes it in.
const GLANCE_LINES_MAX: usize = 12;

/// Finds items of the crate without documentation: private ones too, which the compiler does not ask for.
pub(crate) fn documented(file: &Source) -> Vec<Finding> {
    if !file.is_rust() || !file.path.starts_with("src/") {
        return Vec::new();
    }
    let skipped = undocumented_spans(file);
    let at_a_glance = |at: usize, line: &str| {
        let private = !line.trim_start().starts_with("pub") && has_word(line, "fn");
        let lines = file.block(at).map_or(0, |block| file.code[at..block.end].lines().count());
        private && lines <= GLANCE_LINES_MAX
    };
    let mut start = 0;
    let mut findings = Vec::new();
    let lines: Vec<&str> = file.text.lines().collect();
    for (number, line) in file.code_lines() {
        let at = start + line.len() - line.trim_start().len();
        start += line.len() + 1;
        let Some(name) = item_name(line) else { continue };
        let skip = skipped.iter().any(|span| span.contains(&at)) || at_a_glance(at, line);
        if !skip && !has_doc(file, &lines, number) {
            findings.push(Finding::new(&file.path, number, format!("{name} has no `///`")));
        }
    }
    findings
}

/// Returns the name of the item that a line of code begins, if it begins one.
fn item_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| {
        matches!(*word, "pub" | "pub(crate)" | "pub(super)" | "async" | "unsafe")
            || word.starts_with("pub(in")
    });
    let (keyword, next) = (words.next()?, words.next()?);
    let name = match (keyword, next) {
        ("const", "fn" | "async") => words.next()?,
        ("fn" | "struct" | "enum" | "trait" | "const" | "static" | "type", name) => name,
        ("mod", name) if !name.ends_with(';') => name,
        _ => return None,
    };
    let name = name.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (!["", "_", "main"].contains(&name)).then_some(name)
}

/// Returns what needs no documentation of its own: bodies of functions, implementations of traits, and tests.
fn undocumented_spans(file: &Source) -> Vec<Range<usize>> {
    let bodies = file.words("fn").filter_map(|at| file.block(at));
    let traits = file.words("impl").filter_map(|at| {
        let block = file.block(at)?;
        has_word(&file.code[at..block.start], "for").then_some(block)
    });
    let tests = file.code.match_indices("#[cfg(test)]").filter_map(|(at, _)| {
        let item = at + "#[cfg(test)]".len();
        file.block(item).map(|block| item..block.end)
    });
    bodies.chain(traits).chain(tests).collect()
}

/// Returns whether documentation stands above a line, attributes in between aside.
fn has_doc(file: &Source, lines: &[&str], number: usize) -> bool {
    let attributes = attribute_lines(file);
    for above in (1..number).rev() {
        let line = lines[above - 1].trim();
        if line.starts_with("///") || line.starts_with("#[doc") {
            return true;
        }
        // Constants in a row share what is said about the first.
        let shared = line.starts_with("const ") && lines[number - 1].trim().starts_with("const ");
        if !shared && !attributes.iter().any(|span| span.contains(&above)) {
            return false;
        }
    }
    false
}

/// Returns the lines of each attribute, whose strings may hold anything.
fn attribute_lines(file: &Source) -> Vec<Range<usize>> {
    let attribute = |at: usize| {
        let mut depth = 0_usize;
        let end = file.code[at..].bytes().position(|byte| {
            depth += usize::from(byte == b'[');
            depth -= usize::from(byte == b']').min(depth);
            byte == b']' && depth == 0
        })?;
        Some(file.line_of(at)..file.line_of(at + end) + 1)
    };
    file.code.match_indices("#[").filter_map(|(at, _)| attribute(at)).collect()
}

/// Finds characters beyond ASCII in what a compiler reads; a format that demands one writes its escape.
pub(crate) fn ascii(file: &Source) -> Vec<Finding> {
    let read = file.is_rust()
        || ["src/", "proto/", "deploy/", ".ci/"].iter().any(|start| file.path.starts_with(start));
    let bad = file.text_lines().filter(|(_, line)| read && !line.is_ascii());
    bad.map(|(number, _)| {
        Finding::new(&file.path, number, "write ASCII, or an escape such as \\u{2014}")
    })
    .collect()
}

/// Finds paths of one machine.
pub(crate) fn machine_paths(file: &Source) -> Vec<Finding> {
    // In two parts, so that this file passes.
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let bad = file.text_lines().filter(|(_, line)| paths.iter().any(|path| line.contains(path)));
    bad.map(|(number, _)| Finding::new(&file.path, number, "name no path of one machine")).collect()
}

/// Finds American spellings in comments and documents; names of others' code stay as they are.
pub(crate) fn spelling(file: &Source) -> Vec<Finding> {
    if file.path.starts_with(RULEBOOK) {
        return Vec::new();
    }
    let prose = |line: &str| file.path.ends_with(".md") || line.trim_start().starts_with("//");
    let mut findings = Vec::new();
    for (number, line) in file.text_lines().filter(|(_, line)| prose(line)) {
        // What stands in backticks is code.
        let words: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ").to_lowercase();
        for (american, british) in SPELLINGS.iter().filter(|(american, _)| words.contains(american))
        {
            findings.push(Finding::new(
                &file.path,
                number,
                format!("'{american}': write {british}"),
            ));
        }
    }
    findings
}
