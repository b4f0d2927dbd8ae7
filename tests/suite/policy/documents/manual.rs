//! The manual's examples, compiled as they stand there.

use super::{compiled, shown};

/// Returns the examples of the page on policies.
fn examples() -> Vec<&'static str> {
    let page = include_str!("../../../../src/manual/policy.md");
    page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_example_of_the_manual_compiles() {
    let examples = examples();
    assert_eq!(examples.len(), 3);
    for example in &examples {
        let compiled = compiled(example);
        assert!(!compiled.document.classes.is_empty(), "{example}");
    }
    let event = r#"{"act":"auth.login","out":"failure","ot":"2026-11-21T00:13:59Z","actor":{"id":"u_1","email":"a@example.com"},
        "ctx":{"source":{"ip":"10.1.2.3"},"request":{"headers":{"Host":"h","Cookie":"c"}}}}"#;
    let text = shown(&compiled(examples[0]), event);
    assert!(text.contains(r#""vd":"accept""#) && text.contains(r#""zone":"office""#), "{text}");
}
