//! What is unknown, what refers to what, and what the tools call alike.

use attestree::policy::infra::check;
use attestree::policy::{Diagnostic, Severity};

fn judge(text: &str) -> Vec<Diagnostic> {
    check("input", text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns severity, code and line of each finding.
fn found(text: &str) -> Vec<(Severity, &'static str, usize)> {
    judge(text).into_iter().map(|found| (found.severity, found.code, found.line)).collect()
}

/// Returns a plan of resources, each as type, name, `after`, `after_unknown` and expressions.
fn plan(resources: &[(&str, &str, &str, &str, &str)]) -> String {
    let change = |(kind, name, after, unknown, _): &(&str, &str, &str, &str, &str)| {
        format!(
            r#"{{"address":"{kind}.{name}","mode":"managed","type":"{kind}","name":"{name}",
            "change":{{"actions":["create"],"after":{after},"after_unknown":{unknown}}}}}"#
        )
    };
    let config = |(kind, name, _, _, asked): &(&str, &str, &str, &str, &str)| {
        format!(r#"{{"address":"{kind}.{name}","expressions":{asked}}}"#)
    };
    let changes: Vec<String> = resources.iter().map(change).collect();
    let configs: Vec<String> = resources.iter().map(config).collect();
    format!(
        r#"{{"format_version":"1.2","resource_changes":[{}],
        "configuration":{{"root_module":{{"resources":[{}]}}}}}}"#,
        changes.join(","),
        configs.join(",")
    )
}

const KEY: &str = r#""kms_key_id":"arn:aws:kms:x""#;

#[test]
fn what_is_known_after_apply_is_a_note() {
    let asked = r#"{"retention_in_days":{"references":["var.days"]},"kms_key_id":{}}"#;
    let after = format!("{{{KEY}}}");
    let unknown = r#"{"retention_in_days":true}"#;
    let text = plan(&[("aws_cloudwatch_log_group", "a", &after, unknown, asked)]);
    let found = judge(&text);
    let [note] = &found[..] else { panic!("{found:?}") };
    assert_eq!((note.severity, note.code), (Severity::Note, "terraform/log-group-retention"));
    assert!(note.message.contains("aws_cloudwatch_log_group.a"), "{note}");
}

#[test]
fn what_only_the_provider_fills_in_is_not_set() {
    let unknown = r#"{"kms_key_id":true,"arn":true}"#;
    let text = plan(&[("aws_cloudwatch_log_group", "a", "{}", unknown, "{}")]);
    assert_eq!(found(&text), [(Severity::Warning, "terraform/log-group-encryption", 1)]);
    let asked = r#"{"kms_key_id":{"references":["aws_kms_key.a.arn","aws_kms_key.a"]}}"#;
    let text = plan(&[("aws_cloudwatch_log_group", "a", "{}", unknown, asked)]);
    assert_eq!(found(&text), []);
}

#[test]
fn a_flow_log_of_an_unknown_network_may_be_the_one() {
    let unknown = r#"{"vpc_id":true}"#;
    let of = |reference: &str| {
        let asked = format!(r#"{{"vpc_id":{{"references":["{reference}"]}}}}"#);
        plan(&[
            ("aws_vpc", "main", "{}", r#"{"id":true}"#, "{}"),
            ("aws_vpc", "other", "{}", r#"{"id":true}"#, "{}"),
            ("aws_flow_log", "f", "{}", unknown, &asked),
        ])
    };
    let both = judge(&of("module.network.vpc_id"));
    assert!(both.iter().all(|found| found.severity == Severity::Note), "{both:?}");
    assert_eq!(both.len(), 2);
    let one = judge(&of("aws_vpc.main.id"));
    let [found] = &one[..] else { panic!("{one:?}") };
    assert!(found.severity == Severity::Error && found.message.contains("aws_vpc.other"));
}

#[test]
fn a_flow_log_of_something_else_is_not_the_one_of_the_network() {
    let text = |target: &str| {
        format!(
            "Resources:
  Net: {{Type: AWS::EC2::VPC}}
  Sub: {{Type: AWS::EC2::Subnet, Properties: {{VpcId: !Ref Net}}}}
  Flow: {{Type: AWS::EC2::FlowLog, Properties: {{ResourceId: {target}, ResourceType: Subnet}}}}
"
        )
    };
    let code = "cloudformation/vpc-flow-logs";
    assert_eq!(found(&text("!Ref Sub")), [(Severity::Error, code, 2)]);
    assert_eq!(found(&text("subnet-0a1b")), [(Severity::Error, code, 2)]);
    // A parameter may be any network.
    assert_eq!(found(&text("!Ref Other")), [(Severity::Note, code, 2)]);
    assert_eq!(found(&text("!Ref Net")), []);
}

#[test]
fn references_are_followed_inside_of_modules_and_over_instances() {
    let text = r#"{"format_version":"1.2","resource_changes":[
      {"address":"module.net[\"a.b[0]\"].aws_vpc.main[0]","mode":"managed","type":"aws_vpc",
       "change":{"actions":["create"],"after":{},"after_unknown":{"id":true}}},
      {"address":"module.net[\"a.b[0]\"].aws_flow_log.f[0]","mode":"managed","type":"aws_flow_log",
       "change":{"actions":["create"],"after":{},"after_unknown":{"vpc_id":true}}}],
      "configuration":{"root_module":{"module_calls":{"net":{"module":{"resources":[
        {"address":"aws_vpc.main","expressions":{}},
        {"address":"aws_flow_log.f","expressions":{"vpc_id":{"references":["aws_vpc.main[0].id"]}}}
      ]}}}}}}"#;
    assert_eq!(found(text), []);
    let elsewhere = text.replace(r#"["aws_vpc.main[0].id"]"#, r#"["aws_vpc.main2.id"]"#);
    assert_eq!(found(&elsewhere), [(Severity::Note, "terraform/vpc-flow-logs", 2)]);
}

#[test]
fn one_trail_of_all_regions_is_enough() {
    let on = r#"{"is_multi_region_trail":true,"enable_log_file_validation":true}"#;
    let off = r#"{"is_multi_region_trail":false,"enable_log_file_validation":true}"#;
    let trail = "aws_cloudtrail";
    assert_eq!(found(&plan(&[(trail, "a", on, "{}", "{}"), (trail, "b", off, "{}", "{}")])), []);
    let both = plan(&[(trail, "a", off, "{}", "{}"), (trail, "b", off, "{}", "{}")]);
    assert_eq!(found(&both).len(), 2);
}

#[test]
fn a_replaced_log_group_is_destroyed_and_a_replaced_trail_is_not() {
    let replaced = |kind: &str| {
        let after =
            r#"{"is_multi_region_trail":true,"enable_log_file_validation":true,"kms_key_id":"k"}"#;
        plan(&[(kind, "a", after, "{}", "{}")]).replace(r#"["create"]"#, r#"["delete","create"]"#)
    };
    let codes =
        |text: String| found(&text).into_iter().map(|(_, code, _)| code).collect::<Vec<_>>();
    assert_eq!(codes(replaced("aws_cloudwatch_log_group")), ["terraform/log-destroyed"]);
    assert_eq!(codes(replaced("aws_cloudtrail")), [""; 0]);
}

const GROUP: &str = "Resources:
  Log:
    Type: AWS::Logs::LogGroup
    DeletionPolicy: Retain
    UpdateReplacePolicy: Retain
    Properties:
      KmsKeyId: KEY
      RetentionInDays: DAYS
";

#[test]
fn short_and_long_functions_of_a_template_are_alike() {
    let with = |key: &str, days: &str| found(&GROUP.replace("KEY", key).replace("DAYS", days));
    for key in [
        "!GetAtt Key.Arn",
        "{Fn::GetAtt: [Key, Arn]}",
        "!Ref Key",
        "{Ref: Key}",
        "!Sub '${Key.Arn}'",
    ] {
        assert_eq!(with(key, "400"), [], "{key}");
    }
    let days = [(Severity::Note, "cloudformation/log-group-retention", 6)];
    for open in ["!Ref Days", "{Ref: Days}", "!If [Prod, 400, 7]", "{Fn::If: [Prod, 400, 7]}"] {
        assert_eq!(
            with("k", open)[..].iter().map(|f| (f.0, f.1)).collect::<Vec<_>>(),
            [(days[0].0, days[0].1)],
            "{open}"
        );
    }
    // Whether a condition comes to a key is not known.
    let open = with("!If [Prod, !Ref Key, !Ref AWS::NoValue]", "400");
    assert_eq!(open[0].0, Severity::Note);
    // The place is that of the value.
    assert_eq!(with("k", "30"), [(Severity::Error, "cloudformation/log-group-retention", 8)]);
}

#[test]
fn a_template_may_be_json_and_its_truths_may_be_quoted() {
    let text = r#"{"Resources": {"T": {"Type": "AWS::CloudTrail::Trail", "Properties": {
        "IsLogging": "true", "IsMultiRegionTrail": "true", "EnableLogFileValidation": "false"}}}}"#;
    let all = judge(text);
    let [one] = &all[..] else { panic!("{all:?}") };
    assert_eq!(one.code, "cloudformation/cloudtrail-log-validation");
    assert_eq!((one.line, one.column, one.length), (2, 87, 7));
}

#[test]
fn anchors_and_merges_are_read() {
    let text = "x: &days
  RetentionInDays: 30
  KmsKeyId: k
Resources:
  Log:
    Type: AWS::Logs::LogGroup
    DeletionPolicy: Retain
    UpdateReplacePolicy: Retain
    Properties:
      <<: *days
      RetentionInDays: 400
  Other:
    Type: AWS::Logs::LogGroup
    DeletionPolicy: Retain
    UpdateReplacePolicy: Retain
    Properties: *days
";
    assert_eq!(found(text), [(Severity::Error, "cloudformation/log-group-retention", 2)]);
}

#[test]
fn what_a_preview_does_not_know_is_a_note() {
    let text = r#"{"steps":[{"op":"create","urn":"urn:pulumi:p::s::aws:cloudwatch/logGroup:LogGroup::a",
      "newState":{"type":"aws:cloudwatch/logGroup:LogGroup","inputs":{
        "retentionInDays":"04da6b54-80e4-46f7-96ec-b56ff0331ba9","kmsKeyId":"k"}}}]}"#;
    assert_eq!(found(text), [(Severity::Note, "pulumi/log-group-retention", 1)]);
}

#[test]
fn characters_outside_of_the_first_plane_are_read_as_json_escapes() {
    let text = r#"{"format_version":"1.2","resource_changes":[],"note":"\ud83d\ude00 \u003c \/"}"#;
    assert_eq!(found(text), []);
}
