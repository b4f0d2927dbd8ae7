//! Hostile rules: whatever a module does, an event costs bounded time and memory, and ends as an error.

use std::time::{Duration, Instant};

use attestree::core::policy::{Bundle, Custom as _};
use attestree::policy::rego::{INPUT_BYTES_MAX, Rules, TIME_MAX};

use super::rego::{event, rules};

/// Longest that anything here takes: the limit, and as much again for one last step, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Judges an event by a module that never comes to an end; returns what is told.
fn stopped(module: &str, text: &str) -> String {
    let rules = rules(module);
    let begun = Instant::now();
    let told = rules.judge(&event(text), None).expect_err(module).reason;
    assert!(begun.elapsed() < PATIENCE, "{module} took {:?}", begun.elapsed());
    told
}

#[test]
fn what_never_ends_is_stopped() {
    assert!(TIME_MAX < PATIENCE);
    for module in [
        // Comprehensions in comprehensions.
        "package p\nn := numbers.range(1, 60000)\ndeny contains \"x\" if count([1 | some i in n; some j in n; i == j + 70000]) > 0",
        // A join that is exponential in its length.
        "package p\nn := numbers.range(1, 100)\ndeny contains \"x\" if { some a in n; some b in n; some c in n; some d in n; a + b + c + d == 1000 }",
        // The same within every.
        "package p\nn := numbers.range(1, 60000)\ndeny contains \"x\" if every a in n { every b in n { a + b > 0 } }",
    ] {
        let told = stopped(module, "{}");
        assert!(told.contains("the time is over"), "{told}");
    }
}

#[test]
fn what_would_fill_the_memory_is_not_begun() {
    for call in [
        "numbers.range(1, 1000000000000)",
        "numbers.range(-9000000000000000000, 9000000000000000000)",
        "numbers.range_step(1, 1000000000000, 3)",
        "numbers.range_step(1, 100, 0)",
        "net.cidr_expand(\"10.0.0.0/1\")",
        "net.cidr_expand(\"::/0\")",
        "bits.lsh(1, 100000000000)",
        "sprintf(\"%1000000000d\", [1])",
        "sprintf(\"%\u{b2}d\", [1])",
        "to_number(\"1e999999999\")",
        "units.parse(\"1e999999999\")",
        "json.unmarshal(\"1e999999999\")",
        "replace(input.ctx.long, \"a\", input.ctx.long)",
        "strings.replace_n({\"a\": input.ctx.long}, input.ctx.long)",
        "concat(input.ctx.long, input.ctx.many)",
        "regex.replace(input.ctx.long, \"a\", input.ctx.long)",
        "regex.replace(input.ctx.long, \"a*\", \"$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0\")",
    ] {
        let long = "a".repeat(60_000);
        let many = vec!["\"a\""; 1_000].join(",");
        let text = format!(r#"{{"ctx":{{"long":"{long}","many":[{many}]}}}}"#);
        let told = stopped(&format!("package p\ndeny contains \"x\" if {call} != null"), &text);
        assert!(!told.contains("aaa") && told.contains("rego/rules.rego:2"), "{call}: {told}");
    }
}

#[test]
fn texts_that_double_are_stopped() {
    let mut module = "package p\ndeny contains \"x\" if {\n  x0 := \"aaaaaaaa\"\n".to_owned();
    for step in 0..60 {
        module += &format!("  x{} := concat(\"\", [x{step}, x{step}])\n", step + 1);
    }
    stopped(&(module + "  count(x60) > 0\n}"), "{}");

    let mut module = "package p\ndeny contains \"x\" if {\n  x0 := 9007199254740991\n".to_owned();
    for step in 0..60 {
        module += &format!("  x{} := x{step} * x{step}\n", step + 1);
    }
    stopped(&(module + "  x60 > 0\n}"), "{}");
}

#[test]
fn patterns_are_linear_and_small() {
    let text = format!(r#"{{"ctx":{{"long":"{}"}}}}"#, "a".repeat(60_000));
    let harmless =
        rules("package p\ndeny contains \"x\" if regex.match(\"^(a+)+$b\", input.ctx.long)");
    let begun = Instant::now();
    assert_eq!(harmless.judge(&event(&text), None).unwrap(), []);
    assert!(begun.elapsed() < PATIENCE);
    for pattern in ["((a{1000}){1000}){1000}", "(\\\\p{L}{100}){100}", "("] {
        let module = format!("package p\ndeny contains \"x\" if regex.match(\"{pattern}\", \"a\")");
        stopped(&module, "{}");
        let module = format!(
            "package p\ndeny contains \"x\" if count(regex.find_n(\"{pattern}\", \"a\", 1)) > 0"
        );
        stopped(&module, "{}");
    }
}

#[test]
fn events_that_are_too_long_are_not_asked_about() {
    let text = format!(r#"{{"ctx":{{"long":"{}"}}}}"#, "a".repeat(INPUT_BYTES_MAX));
    let told = stopped("package p\ndeny contains \"x\" if input.ctx.none", &text);
    assert!(told.contains("bytes"), "{told}");
}

#[test]
fn modules_that_are_too_much_are_refused() {
    let chain = |length: usize| {
        let rules: String = (0..length).map(|rule| format!("r{rule} if r{}\n", rule + 1)).collect();
        format!("package p\n{rules}r{length} if input.act\ndeny contains \"x\" if r0")
    };
    assert!(Rules::load(&bundle(&chain(20))).unwrap().is_some());
    let deep = |open: &str, close: &str| {
        format!("package p\ndeny contains {}1{}", open.repeat(100), close.repeat(100))
    };
    for module in [
        chain(10_000),
        deep("[", "]"),
        deep("{", "}"),
        deep("f(", ")"),
        deep("[x | x := ", "]"),
        format!("package p\n# {}\n", "x".repeat(300_000)),
        "package p\n".to_owned() + &"# x\n".repeat(9_000),
        format!("package p\ndeny contains \"{}\"", "x".repeat(5_000)),
    ] {
        let begun = Instant::now();
        let found = Rules::load(&bundle(&module)).expect_err("too much");
        assert!(!found.is_empty() && begun.elapsed() < PATIENCE);
    }
}

fn bundle(module: &str) -> Bundle {
    super::rego::bundle(&[("rego/rules.rego", module)])
}

#[test]
fn the_longest_chain_fits_on_a_small_stack() {
    // Each function is as deep as the parser lets it be, and calls the next one from there.
    let deepest = 11;
    let function = |number: usize| {
        let open = "[x | x := ".repeat(deepest);
        format!("f{number}(y) := {open}f{}(y){}\n", number + 1, "]".repeat(deepest))
    };
    let functions: String = (0..29).map(function).collect();
    let module = format!("package p\n{functions}f29(y) := y\ndeny contains \"x\" if f0(1) == 7");
    let rules = rules(&module);
    let judge = || rules.judge(&event("{}"), None).map(|said| said.len());
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let said = std::thread::scope(|scope| thread.spawn_scoped(scope, judge).unwrap().join());
    assert_eq!(said.unwrap(), Ok(0));
}
