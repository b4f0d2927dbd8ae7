//! Hostile rules: whatever a module does, an event costs bounded time and memory, and ends as an error.

use std::fs;
use std::process::Command;
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

/// What is said of an event about which rules could not decide.
const ERROR: &str = "error, because of policy/error";

/// Most of the address space that a process has which judges by a hostile module, in KiB: a gigabyte.
const ADDRESSES_KIB: u32 = 1 << 20;

/// Judges an event by a module in a process that has a gigabyte and no more; returns the verdict.
fn confined(module: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let document = "apiVersion: attestree/v1\nkind: Policy\nclasses: {a: {match: {action: a}}}\n";
    fs::write(dir.path().join("policy.yaml"), document).unwrap();
    fs::create_dir(dir.path().join("rego")).unwrap();
    fs::write(dir.path().join("rego/rules.rego"), module).unwrap();
    fs::write(dir.path().join("event"), r#"{"act":"a"}"#).unwrap();
    let script = format!("ulimit -v {ADDRESSES_KIB} && exec \"$0\" policy explain . event");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_attestree")]).current_dir(dir.path());
    let done = command.output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{module}\n{told}");
    let said = String::from_utf8(done.stdout).unwrap();
    said.lines().next().unwrap_or_default().to_owned()
}

/// Returns a body in which `x20` and `y20` are short in memory and long written out.
fn doubled(of: &str, rest: &str) -> String {
    let mut module = format!("package p\ndeny contains \"x\" if {{\n  x0 := {of}\n  y0 := {of}\n");
    for step in 0..40 {
        let next = step + 1;
        module += &format!("  x{next} := [x{step}, x{step}]\n  y{next} := [y{step}, y{step}]\n");
    }
    format!("{module}  {rest}\n}}\n")
}

#[test]
fn no_builtin_writes_out_what_is_short_because_it_is_shared() {
    for rest in [
        "json.marshal(x40) != \"\"",
        "sprintf(\"%v\", [x40]) != \"\"",
        "concat(\"\", x40) != \"\"",
        "sort([x40, y40]) != []",
        "union({{1}, {x40}}) != set()",
        "json.marshal_with_options(x40, {\"pretty\": true}) != \"\"",
        "object.union({\"a\": x40}, {\"a\": y40}) != {}",
    ] {
        let begun = Instant::now();
        assert_eq!(confined(&doubled("[\"aaaaaaaa\"]", rest)), ERROR, "{rest}");
        assert!(begun.elapsed() < PATIENCE, "{rest}");
    }
}

#[test]
fn rules_end_within_a_gigabyte() {
    let long = (0..19).fold("  x0 := \"aaaaaaaa\"\n".to_owned(), |text, step| {
        text + &format!("  x{} := concat(\"\", [x{step}, x{step}])\n", step + 1)
    });
    let many = "numbers.range(1, 60000)";
    for rest in [
        format!(
            "{long}  count([concat(\"\", [x19, sprintf(\"%d\", [i])]) | some i in {many}]) > 0"
        ),
        format!(
            "{long}  count({{upper(concat(\"\", [x18, sprintf(\"%d\", [i])])): i | some i in {many}}}) > 0"
        ),
        format!("  count([[i, j] | some i in {many}; some j in {many}]) > 0"),
        format!("  count({{[i, j, {many}] | some i in {many}; some j in {many}}}) > 0"),
        format!("  count([array.concat({many}, [i]) | some i in {many}]) > 0"),
        format!("  count([numbers.range(i, i + 60000) | some i in {many}]) > 0"),
        format!(
            "  count([split(sprintf(\"%d\", [i + 100000]), \"\") | some i in {many}; some j in {many}]) > 0"
        ),
        "  count(numbers.range(1, 1000000000)) > 0".to_owned(),
    ] {
        let module = format!("package p\ndeny contains \"x\" if {{\n{rest}\n}}\n");
        let begun = Instant::now();
        assert_eq!(confined(&module), ERROR, "{module}");
        assert!(begun.elapsed() < PATIENCE, "{module}");
    }
}

#[test]
fn rules_print_nothing() {
    let printing = "package p\ndeny contains \"x\" if { print(input); input.x }";
    let found = Rules::load(&bundle(printing)).expect_err("it prints");
    assert_eq!((found[0].code, found[0].line), ("rego/print", 2));
}
