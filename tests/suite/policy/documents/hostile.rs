//! Documents that want to hurt their reader: each is refused with a finding, in bounded time and memory.

use std::fmt::Write as _;

use attestree::core::policy::Bundle;
use attestree::policy::compile;

use super::{findings, native};

fn code(text: &str) -> &'static str {
    findings(text)[0].code
}

#[test]
fn bombs_of_depth_aliases_and_numbers_are_refused() {
    assert_eq!(code(&"[".repeat(100_000)), "policy/syntax");
    assert_eq!(code(&"{a: ".repeat(50_000)), "policy/syntax");
    assert_eq!(code(&"- ".repeat(50_000)), "policy/syntax");
    let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        let list = [before.as_str(); 10].join(",");
        writeln!(laughs, "a{level}: &a{level} [{list}]").unwrap();
    }
    assert_eq!(code(&laughs), "policy/syntax");
    assert_eq!(code(&native("classes: &c {a: *c}\n")), "policy/syntax");
    assert_eq!(code(&native("classes: {a: {<<: {}}}\n")), "policy/syntax");
    for number in ["1e999", "99999999999999999999999999", ".inf", ".nan"] {
        let text = native(&format!("classes: {{a: {{match: {{x: {number}}}}}}}\n"));
        assert!(matches!(code(&text), "policy/syntax" | "policy/number"), "{number}");
    }
    let text = native("classes: {a: {match: {x: 9007199254740993}}}\n");
    assert_eq!(code(&text), "policy/number");
}

#[test]
fn conditions_are_not_nested_without_end() {
    let deep = |levels: usize| {
        let (open, close) = ("{not: ".repeat(levels), "}".repeat(levels));
        native(&format!("classes: {{a: {{match: {open}{{x: 1}}{close}}}}}\n"))
    };
    super::compiled(&deep(12));
    assert_eq!(code(&deep(24)), "policy/depth");
}

#[test]
fn bytes_that_are_no_text_are_found_in_their_line() {
    let files = [("policy.yaml".to_owned(), b"kind: Policy\nname: \xff\n".to_vec())];
    let Err(found) = compile(&Bundle::new(files).unwrap()) else { panic!("it is no text") };
    assert_eq!((found[0].code, found[0].line), ("policy/utf-8", 2));
}

#[test]
fn ten_thousand_keys_are_read_and_a_broken_file_does_not_flood() {
    let mut classes = native("classes:\n");
    for number in 0..4_000 {
        writeln!(classes, "  c{number}: {{require: [actor.id]}}").unwrap();
    }
    super::compiled(&classes);
    let mut unknown = native("");
    for number in 0..10_000 {
        writeln!(unknown, "k{number}: 1").unwrap();
    }
    assert_eq!(findings(&unknown).len(), 200);
    let more = native("classes:\n")
        + &(0..5_000).fold(String::new(), |text, number| text + &format!("  c{number}:\n"));
    assert_eq!(code(&more), "policy/too-many");
}

#[test]
fn expressions_that_would_explode_are_refused_or_run_in_linear_time() {
    let class =
        |regex: &str| native(&format!("classes: {{a: {{match: {{x: {{regex: '{regex}'}}}}}}}}\n"));
    for regex in ["(((a{100}){100}){100}){100}", "(?=a)", r"(a)\1", "[", &"a".repeat(2_000)] {
        assert_eq!(code(&class(regex)), "policy/regex", "{regex}");
    }
    let slow = super::compiled(&class("^(a+)+$"));
    let event = format!(r#"{{"ctx":{{"x":"{}b"}}}}"#, "a".repeat(40_000));
    assert!(!super::shown(&slow, &event).contains("class"));
}
