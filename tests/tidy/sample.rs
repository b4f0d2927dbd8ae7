//! The rules' own test: what each must find, and what it must leave.

use crate::{
    Rule, layer, length,
    source::{Finding, Source},
    word,
};

/// A bad file and a part of what its rule says about it.
struct Bad(Rule, &'static str, &'static str, &'static str);

/// A file that looks bad to a careless rule.
struct Good(Rule, &'static str, &'static str);

/// What must be found.
const BAD: &[Bad] = &[
    Bad(layer::imports, "src/core/x.rs", "use crate::store::Store;", "core may not know store"),
    Bad(
        layer::imports,
        "src/store/x.rs",
        "use crate::{core::hash, pipeline::{a, b}};",
        "store may not know pipeline",
    ),
    Bad(
        layer::imports,
        "src/cli/x.rs",
        "fn f() { crate::store::open() }",
        "cli may not know store",
    ),
    Bad(layer::imports, "src/core/x.rs", "use std::fs;", "the core is pure"),
    Bad(layer::imports, "src/core/x.rs", "use tokio::sync::watch;", "the core is pure"),
    Bad(layer::imports, "src/helper/x.rs", "", "is no layer"),
    Bad(layer::imports, "src/main.rs", "use attestree::store;", "main may not know store"),
    Bad(
        layer::climbs,
        "src/core/tree/node.rs",
        "use super::super::super::super::store;",
        "crate::",
    ),
    Bad(layer::owners, "src/pipeline/x.rs", "use rocksdb::DB;", "rocksdb belongs to"),
    Bad(layer::owners, "src/pipeline/x.rs", "type T = ::rocksdb::DB;", "rocksdb belongs to"),
    Bad(layer::owners, "src/store/x.rs", "use tonic as t;", "tonic belongs to"),
    Bad(
        layer::owners,
        "src/core/note/x.rs",
        "use {a::b, rs_merkle::Hasher};",
        "rs_merkle belongs to",
    ),
    Bad(layer::proto_tree, "src/pipeline/x.rs", "use proto::Entry;", "translated"),
    Bad(word::banned_words, "src/x.rs", "// TODO: later", "finish it"),
    Bad(word::banned_words, "README.md", "This works for now.", "say what holds"),
    Bad(word::banned_calls, "src/core/x.rs", "file.sync().ok();", "hidden"),
    Bad(word::banned_calls, "src/core/x.rs", "println!(\"x\");", "log it"),
    Bad(word::allowances, "src/core/x.rs", "#[allow(dead_code)]", "reason"),
    Bad(word::banned_calls, "tests/x.rs", "std::thread::sleep(second)", "event"),
    Bad(word::banned_calls, "tests/x.rs", "assert!(result.is_ok());", "unwrap"),
    Bad(word::banned_calls, "src/store/x.rs", "pub fn get_head() {}", "noun"),
    Bad(
        word::ignored_tests,
        "tests/x.rs",
        "#[test]\n#[ignore = \"slow\"]\nfn a() {}",
        "never runs",
    ),
    Bad(word::type_names, "src/x.rs", "struct BatchManager;", "without 'Manager'"),
    Bad(word::file_names, "src/core/utils.rs", "", "is a kind"),
    Bad(word::front_page, "src/x.rs", "use a;", "open the file"),
    Bad(
        word::doc_first,
        "src/x.rs",
        "#[derive(Debug)]\n/// A thing.\nstruct A;",
        "before attributes",
    ),
    Bad(word::documented, "src/x.rs", "/// A.\nstruct A;\nstruct B;", "B has no"),
    Bad(
        word::documented,
        "src/x.rs",
        "impl A {\n    #[inline]\n    pub(crate) const fn b(self) {}\n}",
        "b has no",
    ),
    Bad(word::ascii, "src/x.rs", "//! A \u{2014} B", "write ASCII"),
    Bad(word::machine_paths, "README.md", concat!("cd /ho", "me/me"), "one machine"),
    Bad(word::spelling, "src/x.rs", "// The behavior of `x`.", "behaviour"),
];

/// What must be left.
const GOOD: &[Good] = &[
    Good(
        layer::imports,
        "src/core/x.rs",
        "//! See [`crate::store`].\nuse crate::core::hash; // not crate::store",
    ),
    Good(layer::imports, "src/service/x.rs", "use crate::{core::{a, b}, pipeline::c};"),
    Good(layer::imports, "src/core/x.rs", "const A: &str = \"crate::store::x\"; use core::fmt;"),
    Good(
        layer::imports,
        "src/core/x.rs",
        "const A: &str = r#\"a \" crate::store\"#; const B: char = '\"';",
    ),
    Good(layer::climbs, "src/core/tree/mod.rs", "use super::hash; mod tests { use super::*; }"),
    Good(layer::owners, "src/store/x.rs", "use rocksdb::DB;"),
    Good(
        layer::owners,
        "src/server/x.rs",
        "/* rocksdb::DB */ let a = store::rocksdb::x; let b = rocksdb;",
    ),
    Good(layer::proto_tree, "src/service/x.rs", "use crate::proto::Entry;"),
    Good(word::banned_words, "src/x.rs", "const METHOD: &str = \"methods for nowhere\"; // TODOS"),
    Good(word::banned_calls, "src/core/x.rs", "// println!(\"x\")\nlet a = b.ok()?;"),
    Good(word::banned_calls, "src/core/x.rs", "assert!(result.is_ok());"),
    Good(
        word::type_names,
        "src/x.rs",
        "struct Manager2; type Data = u8; struct Database; // struct DataHelper",
    ),
    Good(word::file_names, "src/core/type.rs", ""),
    Good(word::front_page, "src/x.rs", "//! A thing."),
    Good(
        word::doc_first,
        "src/x.rs",
        "/// A thing.\n#[derive(Debug)]\nstruct A;\n\n#[test]\nfn b() {}",
    ),
    Good(
        word::documented,
        "src/x.rs",
        "/// A.\n#[derive(Debug)]\npub struct A;\nimpl T for A {\n    fn t() {}\n}",
    ),
    Good(
        word::documented,
        "src/x.rs",
        "/// A.\nfn a() {\n    const B: u8 = 1;\n}\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}",
    ),
    Good(word::documented, "src/x.rs", "/// A.\n#[help = \"a;\n\nb}\"]\npub struct A;"),
    Good(word::documented, "src/x.rs", "/// Units.\nconst A: u8 = 1;\nconst B: u8 = 2;"),
    Good(word::ascii, "src/x.rs", "const DASH: char = '\\u{2014}'; fn f<'a>(a: &'a str) {}"),
    Good(word::machine_paths, "README.md", "homework, the root and /homes"),
    Good(word::spelling, "src/x.rs", "use serde::Serialize;\n// `Serialize` is serde's."),
];

/// Runs every rule over its samples.
pub(crate) fn check() {
    for Bad(rule, path, text, part) in BAD {
        let findings = rule(&Source::new(*path, *text));
        assert!(
            findings.iter().any(|finding| finding.text.contains(part)),
            "not found in {path}: {text}\n{findings:?}"
        );
    }
    for Good(rule, path, text) in GOOD {
        let findings = rule(&Source::new(*path, *text));
        assert!(findings.is_empty(), "found in {path}: {text}\n{findings:?}");
    }
    let long = format!(
        "fn long<'a>() {{\n{}}}\nfn short() -> [u8; 2] {{ [0; 2] }}",
        "    a('}');\n".repeat(70)
    );
    let file = Source::new("src/x.rs", format!("trait T {{ fn asked(); }}\n{long}"));
    let lines: Vec<(String, usize)> = length::measure(&file)
        .into_iter()
        .map(|function| (function.name, function.lines))
        .collect();
    assert_eq!(lines, [("long".to_owned(), 72), ("short".to_owned(), 1)]);
    let findings: Vec<Finding> = length::functions(&file);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let file = Source::new("src/y.rs", "//! A line.\n".repeat(501));
    let findings = length::ratchet(&[file]);
    assert!(findings.iter().any(|finding| finding.text.contains("has 501 lines")), "{findings:?}");
    // The exceptions are about files that this repository of one file does not have.
    let ended = findings.iter().filter(|finding| finding.text.contains("take it off the list"));
    assert_eq!(ended.count() + 1, findings.len(), "{findings:?}");
}
