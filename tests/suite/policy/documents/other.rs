//! Forms that others print: of articles, flattened or not, and of Kubernetes.

use attestree::policy::{Period, compile};

use super::{bundle, compiled, findings, shown};

const CONFIGS: &str = "audit_configs:
  - action: delete_resource
    log_success: true
    log_failure: true
    user_filter: admin_only
";

const FLAT_CONFIGS: &str = "audit_configs:
 - action: delete_resource
 log_success: true
 log_failure: true
 user_filter: admin_only
";

const POLICY: &str = "logging_policy:
  access_logs:
    retention_period: 90_days
  authentication:
    log_failed_attempts: true
    log_successful_attempts: false
";

const FLAT_POLICY: &str = "logging_policy:
 access_logs:
 retention_period: 90_days
 authentication:
 log_failed_attempts: true
 log_successful_attempts: false
";

#[test]
fn both_forms_of_articles_come_to_classes() {
    let configs = compiled(CONFIGS);
    let text = shown(&configs, r#"{"act":"delete_resource","actor":{"roles":["admin"]}}"#);
    assert!(text.contains(r#""class":"delete_resource""#), "{text}");
    let text = shown(&configs, r#"{"act":"delete_resource","actor":{"roles":["user"]}}"#);
    assert!(!text.contains("class"), "{text}");
    let [warning] = configs.warnings.as_slice() else { panic!("{:?}", configs.warnings) };
    assert_eq!((warning.code, warning.line), ("policy/user-filter", 5));

    let policy = compiled(POLICY);
    let classes = &policy.document.classes;
    assert_eq!((classes[0].name.as_str(), classes[1].name.as_str()), ("access", "authentication"));
    assert_eq!(classes[0].retention.unwrap().total, Period::parse("90d"));
    assert!(classes[0].required && !classes[1].required && classes[1].log.failure);
    assert!(!classes[1].log.success);
    assert!(shown(&policy, r#"{"act":"auth.login"}"#).contains(r#""class":"authentication""#));
}

#[test]
fn flattened_forms_are_read_as_they_were() {
    for (form, flat) in [(CONFIGS, FLAT_CONFIGS), (POLICY, FLAT_POLICY)] {
        for flat in [flat.to_owned(), flat.replace("\n ", "\n")] {
            let (one, other) = (compiled(form), compiled(&flat));
            let warning = &other.warnings[0];
            assert_eq!(warning.code, "policy/flattened", "{flat}");
            assert_eq!(one.document.statements().0, other.document.statements().0, "{flat}");
            let logs = |compiled: &attestree::policy::Compiled| {
                compiled.document.classes.iter().map(|class| class.log).collect::<Vec<_>>()
            };
            assert_eq!(logs(&one), logs(&other));
        }
        assert!(compiled(form).warnings.iter().all(|one| one.code != "policy/flattened"));
    }
    let both = compiled(&format!("{FLAT_CONFIGS}---\n{FLAT_POLICY}"));
    assert_eq!(both.document.classes.len(), 3);
}

#[test]
fn findings_about_flattened_forms_are_where_the_file_has_them() {
    for (flat, column) in [(FLAT_CONFIGS.to_owned(), 15), (FLAT_CONFIGS.replace("\n ", "\n"), 14)] {
        let warnings = compiled(&flat).warnings;
        let places: Vec<_> = warnings.iter().map(|one| (one.code, one.line, one.column)).collect();
        assert!(places.contains(&("policy/flattened", 3, column - 13)), "{places:?}");
        assert!(places.contains(&("policy/user-filter", 5, column)), "{places:?}");
    }
}

#[test]
fn the_roles_of_administrators_can_be_named() {
    let section = format!("{POLICY}    user_filter: admin_only\n");
    for form in [CONFIGS, FLAT_CONFIGS, &section] {
        let named = compiled(&format!("admin_roles: [root, operator]\n{form}"));
        for (role, is_one) in [("root", true), ("operator", true), ("admin", false)] {
            let act = if form == section { "auth.x" } else { "delete_resource" };
            let text =
                shown(&named, &format!(r#"{{"act":"{act}","actor":{{"roles":["{role}"]}}}}"#));
            assert_eq!(text.contains(r#""class""#), is_one, "{role}: {text}");
        }
    }
    let none = format!("admin_roles: []\n{CONFIGS}");
    let found = findings(&none);
    assert!(found.iter().any(|one| (one.code, one.line) == ("policy/missing", 1)), "{found:?}");
}

#[test]
fn forms_stand_beside_each_other_in_one_bundle() {
    let native = "apiVersion: attestree/v1\nkind: Policy\nclasses: {own: {}}\n";
    let files = bundle(&[("a.yaml", CONFIGS), ("b.yml", POLICY), ("policy.yaml", native)]);
    let document = compile(&files).unwrap_or_else(|found| panic!("{found:#?}")).document;
    let names: Vec<&str> = document.classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, ["delete_resource", "access", "authentication", "own"]);
}

const KUBERNETES: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: ["RequestReceived"]
rules:
  - level: None
    users: ["system:kube-proxy"]
    verbs: ["watch"]
    resources: [{group: "", resources: ["endpoints", "services/status"]}]
  - level: None
    nonResourceURLs: ["/healthz*", "/version"]
  - level: RequestResponse
    resources: [{group: "", resources: ["pods"]}]
    namespaces: ["kube-system"]
  - level: Request
    resources: [{group: "apps"}]
  - level: Metadata
"#;

#[test]
fn the_first_rule_of_a_kubernetes_policy_that_fits_decides() {
    let policy = compiled(KUBERNETES);
    let event = |user: &str, rest: &str, stage: &str| {
        format!(
            r#"{{"actor":{{"id":"{user}"}},{rest},"ctx":{{"stage":"{stage}","verb":"watch","request":{{"body":1}},"response":{{"body":2}}}}}}"#
        )
    };
    let endpoints = r#""resource":{"type":"endpoints","group":""}"#;
    let status = r#""resource":{"type":"services","subresource":"status"}"#;
    let services = r#""resource":{"type":"services"}"#;
    let pods = r#""resource":{"type":"pods","namespace":"kube-system"}"#;
    let apps = r#""resource":{"type":"deployments","group":"apps"}"#;
    let done = "ResponseComplete";
    let cases = [
        (event("system:kube-proxy", endpoints, done), "kubernetes-1"),
        (event("system:kube-proxy", status, done), "kubernetes-1"),
        (event("system:kube-proxy", services, done), "kubernetes-5"),
        (event("alice", endpoints, done), "kubernetes-5"),
        (event("alice", pods, done), "kubernetes-3"),
        (event("alice", apps, done), "kubernetes-4"),
        (event("alice", apps, "RequestReceived"), "kubernetes-4-omitted"),
    ];
    for (event, class) in cases {
        let text = shown(&policy, &event);
        assert!(text.contains(&format!("\"class\":\"{class}\"")), "{class} {text}");
        let bodies = (text.contains(r#""body":1"#), text.contains(r#""body":2"#));
        let wanted = match class {
            "kubernetes-4" => (true, false),
            "kubernetes-5" => (false, false),
            _ => (true, true),
        };
        assert_eq!(bodies, wanted, "{class} {text}");
    }
    // Events that are not of Kubernetes are not its policy's.
    assert!(!shown(&policy, r#"{"actor":{"id":"alice"}}"#).contains("class"));
    let required: Vec<bool> = policy.document.classes.iter().map(|class| class.required).collect();
    assert_eq!(required.iter().filter(|required| **required).count(), 3);
}
