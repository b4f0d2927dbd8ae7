//! Inputs that are made to cost: each is refused or judged, in bounded time and memory.

use attestree::policy::Diagnostic;
use attestree::policy::infra::{INPUT_BYTES_MAX, check};

fn refused(bytes: &[u8]) -> Diagnostic {
    check("input", bytes).expect_err("this is refused")
}

#[test]
fn what_is_no_text_is_refused() {
    assert_eq!(refused(b"").code, "infra/empty");
    assert_eq!(refused(b"# nothing\n---\n...\n").code, "infra/empty");
    let error = refused(b"Resources:\n  a: \xff\n");
    assert!(error.code == "infra/unreadable" && error.message.contains("offset 16"), "{error}");
    assert_eq!(refused(&vec![b' '; INPUT_BYTES_MAX + 1]).code, "infra/unreadable");
}

#[test]
fn what_nobody_knows_is_refused_with_what_is_known() {
    for text in [
        "{}",
        "[]",
        "a: b",
        "kind: Policy",
        "apiVersion: audit.k8s.io/v1",
        "just a text",
        "{format_version: '2.0', resource_changes: []}",
    ] {
        let error = refused(text.as_bytes());
        assert_eq!(error.code, "infra/unknown-format", "{text}");
        assert!(error.help.unwrap().contains("Terraform"));
    }
}

#[test]
fn names_that_stand_twice_are_refused_with_their_place() {
    let error = refused(b"Resources: {}\nOutputs: {}\nResources: {}\n");
    assert_eq!((error.code, error.line, error.column), ("infra/unreadable", 3, 1));
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        for depth in [200, 20_000, 1_000_000] {
            let text = format!("steps: {}1{}", open.repeat(depth), close.repeat(depth));
            let text = if close.is_empty() { open.repeat(depth) + "1" } else { text };
            assert_eq!(refused(text.as_bytes()).code, "infra/unreadable", "{open} {depth}");
        }
    }
}

#[test]
fn aliases_are_bounded_in_number_and_depth() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let last = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![last; 10].join(","));
    }
    let error = refused(bomb.as_bytes());
    assert!(error.message.contains("values"), "{error}");

    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..400 {
        chain += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    let error = refused(chain.as_bytes());
    assert!(error.message.contains("levels"), "{error}");
    assert_eq!(refused(b"a: &a [*a]").code, "infra/unreadable");
    assert_eq!(refused(b"a: *nobody").code, "infra/unreadable");
}

#[test]
fn many_names_and_many_resources_take_linear_time() {
    // Quadratic time over these would take minutes.
    let names: String = (0..50_000).map(|at| format!("  k{at}: 1\n")).collect();
    assert_eq!(check("input", format!("Resources:\n{names}").as_bytes()), Ok(Vec::new()));
    let pair = |at: usize| {
        format!(
            "  V{at}: {{Type: AWS::EC2::VPC}}\n  F{at}: {{Type: AWS::EC2::FlowLog, Properties: \
             {{ResourceId: !Ref V{at}}}}}\n"
        )
    };
    let pairs: String = (0..10_000).map(pair).collect();
    assert_eq!(check("input", format!("Resources:\n{pairs}").as_bytes()), Ok(Vec::new()));
    let rules = "- {level: None}\n".repeat(20_000);
    let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}");
    assert!(check("input", text.as_bytes()).unwrap().len() >= 19_999);
    let rules = "- {level: None, namespaces: [a]}\n".repeat(20_000);
    let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}");
    assert!(check("input", text.as_bytes()).unwrap().len() >= 20_000);
    let names: String = (0..20_000).map(|at| format!("otlp/{at},")).collect();
    let exporters: String = (0..20_000).map(|at| format!("  otlp/{at}: {{}}\n")).collect();
    let text = format!(
        "exporters:\n{exporters}service: {{pipelines: {{logs: {{exporters: [{names}]}}}}}}"
    );
    assert!(check("input", text.as_bytes()).unwrap().len() >= 20_000);
}

#[test]
fn wrong_shapes_are_judged_without_a_fall() {
    let formats = [
        r#"{"format_version": "1.2", "resource_changes": X, "configuration": X}"#,
        r#"{"resource_changes": [{"type": "aws_cloudtrail", "address": "a[", "change": X}]}"#,
        r#"{"resource_changes": [{"type": "aws_lb", "change": {"actions": ["create"], "after": X, "after_unknown": X}}]}"#,
        "Resources: X\nAWSTemplateFormatVersion: X",
        "Resources: {A: {Type: AWS::CloudTrail::Trail, Properties: X}}",
        r#"{"steps": X}"#,
        r#"{"steps": [{"op": "create", "newState": X, "urn": X}]}"#,
        "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: X, omitStages: X}",
        "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: X, resources: X, users: X}]}",
        "{receivers: X, exporters: X, service: {pipelines: X, telemetry: X, extensions: X}}",
        "{receivers: X, exporters: {otlp: X}, service: {pipelines: {logs: {exporters: [otlp]}, logs/b: X}}}",
    ];
    for format in formats {
        for shape in ["null", "1", "\"\"", "[]", "{}", "[[]]", "[{}]", "{a: []}", "[null, 1, x]"] {
            let text = format.replace('X', shape);
            if let Err(error) = check("input", text.as_bytes()) {
                panic!("{text}: {error}");
            }
        }
    }
}

#[test]
fn a_large_plan_stands_in_one_line() {
    let resource = |at: usize| {
        format!(
            r#"{{"address":"aws_cloudwatch_log_group.g[{at}]","mode":"managed","type":"aws_cloudwatch_log_group",
            "change":{{"actions":["create"],"after":{{"name":"group {at}","tags":{{"a":"{}"}},"kms_key_id":"k",
            "retention_in_days":30}},"after_unknown":{{"arn":true}}}}}}"#,
            "x".repeat(200)
        )
        .replace('\n', " ")
    };
    let resources: Vec<String> = (0..5_000).map(resource).collect();
    let text =
        format!(r#"{{"format_version":"1.2","resource_changes":[{}]}}"#, resources.join(","));
    assert!(text.len() > 2_000_000 && !text.contains('\n'));
    let found = check("plan.json", text.as_bytes()).unwrap();
    assert_eq!(found.len(), 5_000);
    assert!(
        found.is_sorted_by_key(|found| found.column) && found.iter().all(|found| found.line == 1)
    );
    // Each is at its own number of days.
    let at = found[4_999].column - 1;
    assert_eq!(text.get(at..at + found[4_999].length), Some("30"));
}
