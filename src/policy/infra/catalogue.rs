//! Every check with its code: one table.

use super::check::{Check, Findings, Format, Judge};
use super::node::Node;
use super::stack::Stack;
use super::{aws, cloud, collector, kubernetes};
use crate::policy::Severity::{self, Error, Warning};

/// A duty of a deployment, written once for every tool that describes deployments.
pub(super) struct Duty {
    pub(super) severity: Severity,
    pub(super) why: &'static str,
    pub(super) serves: &'static str,
    pub(super) fix: &'static str,
    pub(super) judge: fn(&Stack<'_>, &mut Findings),
}

const fn stack(code: &'static str, format: Format, duty: &Duty) -> Check {
    let Duty { severity, why, serves, fix, judge } = *duty;
    Check { code, format, severity, why, serves, fix, judge: Judge::Stack(judge) }
}

const fn terraform(code: &'static str, duty: &Duty) -> Check {
    stack(code, Format::Terraform, duty)
}

const fn cloudformation(code: &'static str, duty: &Duty) -> Check {
    stack(code, Format::CloudFormation, duty)
}

const fn pulumi(code: &'static str, duty: &Duty) -> Check {
    stack(code, Format::Pulumi, duty)
}

/// What a check of a document is: reason, controls and remedy.
type Text = (&'static str, &'static str, &'static str);

const fn audit(
    code: &'static str,
    severity: Severity,
    (why, serves, fix): Text,
    judge: fn(&Node, &mut Findings),
) -> Check {
    let format = Format::KubernetesAudit;
    Check { code, format, severity, why, serves, fix, judge: Judge::Document(judge) }
}

const fn otel(
    code: &'static str,
    severity: Severity,
    (why, serves, fix): Text,
    judge: fn(&Node, &mut Findings),
) -> Check {
    let format = Format::Collector;
    Check { code, format, severity, why, serves, fix, judge: Judge::Document(judge) }
}

/// Every check, by format and code.
pub const CHECKS: &[Check] = &[
    terraform("terraform/api-access-logs", &aws::API_ACCESS),
    terraform("terraform/azure-diagnostic-settings", &cloud::AZURE_DIAGNOSTICS),
    terraform("terraform/bucket-access-logs", &aws::BUCKET_ACCESS),
    terraform("terraform/cdn-access-logs", &aws::CDN_ACCESS),
    terraform("terraform/cloudtrail-enabled", &aws::TRAIL_RUNS),
    terraform("terraform/cloudtrail-log-validation", &aws::TRAIL_VALIDATION),
    terraform("terraform/cloudtrail-multi-region", &aws::TRAIL_REGIONS),
    terraform("terraform/cluster-audit-logs", &aws::CLUSTER_AUDIT),
    terraform("terraform/database-log-exports", &aws::DATABASE_LOGS),
    terraform("terraform/dns-query-logs", &aws::DNS_QUERIES),
    terraform("terraform/firewall-logs", &aws::FIREWALL_LOGS),
    terraform("terraform/gcp-audit-config", &cloud::GOOGLE_AUDIT),
    terraform("terraform/gcp-cluster-logs", &cloud::GOOGLE_CLUSTER_LOGS),
    terraform("terraform/gcp-subnet-flow-logs", &cloud::GOOGLE_FLOW_LOGS),
    terraform("terraform/load-balancer-access-logs", &aws::BALANCER_ACCESS),
    terraform("terraform/log-destroyed", &cloud::NOT_DESTROYED),
    terraform("terraform/log-group-encryption", &aws::GROUP_KEY),
    terraform("terraform/log-group-retention", &aws::GROUP_RETENTION),
    terraform("terraform/log-workspace-retention", &cloud::WORKSPACE_RETENTION),
    terraform("terraform/vpc-flow-logs", &aws::FLOW_LOGS),
    cloudformation("cloudformation/api-access-logs", &aws::API_ACCESS),
    cloudformation("cloudformation/bucket-access-logs", &aws::BUCKET_ACCESS),
    cloudformation("cloudformation/cdn-access-logs", &aws::CDN_ACCESS),
    cloudformation("cloudformation/cloudtrail-enabled", &aws::TRAIL_RUNS),
    cloudformation("cloudformation/cloudtrail-log-validation", &aws::TRAIL_VALIDATION),
    cloudformation("cloudformation/cloudtrail-multi-region", &aws::TRAIL_REGIONS),
    cloudformation("cloudformation/cluster-audit-logs", &aws::CLUSTER_AUDIT),
    cloudformation("cloudformation/database-log-exports", &aws::DATABASE_LOGS),
    cloudformation("cloudformation/dns-query-logs", &aws::DNS_QUERIES),
    cloudformation("cloudformation/firewall-logs", &aws::FIREWALL_LOGS),
    cloudformation("cloudformation/load-balancer-access-logs", &aws::BALANCER_ACCESS),
    cloudformation("cloudformation/log-deletion-policy", &aws::KEPT_ON_DELETE),
    cloudformation("cloudformation/log-group-encryption", &aws::GROUP_KEY),
    cloudformation("cloudformation/log-group-retention", &aws::GROUP_RETENTION),
    cloudformation("cloudformation/vpc-flow-logs", &aws::FLOW_LOGS),
    pulumi("pulumi/api-access-logs", &aws::API_ACCESS),
    pulumi("pulumi/azure-diagnostic-settings", &cloud::AZURE_DIAGNOSTICS),
    pulumi("pulumi/bucket-access-logs", &aws::BUCKET_ACCESS),
    pulumi("pulumi/cdn-access-logs", &aws::CDN_ACCESS),
    pulumi("pulumi/cloudtrail-enabled", &aws::TRAIL_RUNS),
    pulumi("pulumi/cloudtrail-log-validation", &aws::TRAIL_VALIDATION),
    pulumi("pulumi/cloudtrail-multi-region", &aws::TRAIL_REGIONS),
    pulumi("pulumi/cluster-audit-logs", &aws::CLUSTER_AUDIT),
    pulumi("pulumi/database-log-exports", &aws::DATABASE_LOGS),
    pulumi("pulumi/dns-query-logs", &aws::DNS_QUERIES),
    pulumi("pulumi/firewall-logs", &aws::FIREWALL_LOGS),
    pulumi("pulumi/gcp-audit-config", &cloud::GOOGLE_AUDIT),
    pulumi("pulumi/gcp-cluster-logs", &cloud::GOOGLE_CLUSTER_LOGS),
    pulumi("pulumi/gcp-subnet-flow-logs", &cloud::GOOGLE_FLOW_LOGS),
    pulumi("pulumi/load-balancer-access-logs", &aws::BALANCER_ACCESS),
    pulumi("pulumi/log-destroyed", &cloud::NOT_DESTROYED),
    pulumi("pulumi/log-group-encryption", &aws::GROUP_KEY),
    pulumi("pulumi/log-group-retention", &aws::GROUP_RETENTION),
    pulumi("pulumi/log-workspace-retention", &cloud::WORKSPACE_RETENTION),
    pulumi("pulumi/vpc-flow-logs", &aws::FLOW_LOGS),
    audit(
        "k8s-audit/administrators-logged",
        Error,
        (
            "What administrators do is what an audit log is for first.",
            "PCI DSS 10.2.1.2, NIST AU-12",
            "remove the rule, or raise its level to Metadata",
        ),
        kubernetes::administrators,
    ),
    audit(
        "k8s-audit/admission-changes-logged",
        Error,
        (
            "A webhook sees and changes every later request; what it was set to has to be known.",
            "PCI DSS 10.2.1.7, NIST AU-12",
            "log admissionregistration.k8s.io at Request",
        ),
        kubernetes::admission,
    ),
    audit(
        "k8s-audit/anonymous-logged",
        Error,
        (
            "Attempts to get in without a name are the first sign of an attack.",
            "PCI DSS 10.2.1.4, NIST AU-12",
            "limit the rule to /healthz*, /livez*, /readyz* and /version",
        ),
        kubernetes::anonymous,
    ),
    audit(
        "k8s-audit/api-version",
        Error,
        (
            "A policy that the API server does not read stops it, or leaves it without a log.",
            "NIST AU-12",
            "write `apiVersion`: audit.k8s.io/v1",
        ),
        kubernetes::version,
    ),
    audit(
        "k8s-audit/catch-all",
        Error,
        (
            "A request that no rule matches is not logged at all.",
            "PCI DSS 10.2.1, NIST AU-12",
            "end the rules with one that has a level of Metadata and nothing else",
        ),
        kubernetes::catch_all,
    ),
    audit(
        "k8s-audit/credential-changes-logged",
        Error,
        (
            "Who made which credential has to be known when it is abused.",
            "PCI DSS 10.2.1.5, NIST AU-12",
            "log serviceaccounts, their tokens and certificatesigningrequests at Metadata",
        ),
        kubernetes::credentials,
    ),
    audit(
        "k8s-audit/exec-logged",
        Error,
        (
            "A shell in a container leaves no other trace.",
            "PCI DSS 10.2.1.2, NIST AU-12",
            "log `pods/exec`, `pods/attach` and `pods/portforward` at Metadata or higher",
        ),
        kubernetes::shells,
    ),
    audit(
        "k8s-audit/known-level",
        Error,
        (
            "The API server refuses a policy with a level that it does not know.",
            "NIST AU-12",
            "write None, Metadata, Request or `RequestResponse`",
        ),
        kubernetes::levels,
    ),
    audit(
        "k8s-audit/objects-logged",
        Error,
        (
            "Which objects were made and removed, and by whom, has to be known.",
            "PCI DSS 10.2.1.7, NIST AU-12",
            "log the writing verbs of namespaces, pods and workloads at Metadata or higher",
        ),
        kubernetes::objects,
    ),
    audit(
        "k8s-audit/outcome-kept",
        Error,
        (
            "Without the last stage nobody knows whether the request succeeded.",
            "PCI DSS 10.2.2, NIST AU-3",
            "omit `RequestReceived` at most",
        ),
        kubernetes::outcome,
    ),
    audit(
        "k8s-audit/role-changes-logged",
        Error,
        (
            "Who was given which rights is in the body of the request, not in its metadata.",
            "PCI DSS 10.2.1.5, NIST AU-12",
            "log the writing verbs of rbac.authorization.k8s.io at Request or higher",
        ),
        kubernetes::roles,
    ),
    audit(
        "k8s-audit/rule-reachable",
        Warning,
        (
            "A rule that never decides looks like logging and is none.",
            "NIST AU-12",
            "move the rule before the one that matches everything, or remove it",
        ),
        kubernetes::reachable,
    ),
    audit(
        "k8s-audit/secret-reads-logged",
        Error,
        (
            "Who read a secret has to be known when it is abused.",
            "PCI DSS 10.2.1.1, NIST AU-12",
            "log get, list and watch of secrets at Metadata",
        ),
        kubernetes::secret_reads,
    ),
    audit(
        "k8s-audit/secrets-at-metadata-only",
        Error,
        (
            "The log would hold the secrets themselves, for everyone who reads it.",
            "PCI DSS 10.3.1, NIST AU-9",
            "log secrets, configmaps, tokens and tokenreviews at Metadata, before any rule that logs bodies",
        ),
        kubernetes::secrets,
    ),
    otel(
        "otel/component-defined",
        Error,
        (
            "The collector does not start with a component that nobody defines.",
            "NIST AU-12",
            "define it, or take it out of the pipeline",
        ),
        collector::defined,
    ),
    otel(
        "otel/exporter-gives-up",
        Warning,
        (
            "What could not be sent for five minutes is thrown away.",
            "PCI DSS 10.3.3, NIST AU-5",
            "set `retry_on_failure.max_elapsed_time` to 0, with a queue on disk",
        ),
        collector::patient,
    ),
    otel(
        "otel/exporter-in-clear",
        Error,
        (
            "Logs can be read and changed on their way.",
            "PCI DSS 10.3.2, NIST AU-9",
            "use `https`, and tls without insecure and `insecure_skip_verify`",
        ),
        collector::in_clear,
    ),
    otel(
        "otel/file-position-kept",
        Warning,
        (
            "Lines that were written while the collector was down are skipped or sent twice.",
            "PCI DSS 10.3.3, NIST AU-12",
            "set storage to a `file_storage` extension",
        ),
        collector::position,
    ),
    otel(
        "otel/logs-dropped-by-filter",
        Warning,
        (
            "Logs that are dropped before the log leave no trace that they were.",
            "PCI DSS 10.2.1, NIST AU-12",
            "drop them by the log's policy, which counts what it suppresses",
        ),
        collector::filtered,
    ),
    otel(
        "otel/logs-pipeline",
        Error,
        (
            "A collector without a pipeline of logs passes none on.",
            "PCI DSS 10.3.3, NIST AU-12",
            "add service.pipelines.logs",
        ),
        collector::pipeline,
    ),
    otel(
        "otel/logs-pipeline-ends-in-debug",
        Error,
        (
            "Logs that are only printed are gone with the terminal.",
            "PCI DSS 10.3.3, NIST AU-12",
            "add an exporter that sends them somewhere",
        ),
        collector::kept,
    ),
    otel(
        "otel/logs-pipeline-has-no-exporter",
        Error,
        (
            "What the pipeline takes in goes nowhere.",
            "PCI DSS 10.3.3, NIST AU-12",
            "list an exporter",
        ),
        collector::exporter,
    ),
    otel(
        "otel/logs-pipeline-has-no-receiver",
        Error,
        ("Nothing comes into the pipeline.", "PCI DSS 10.2.1, NIST AU-12", "list a receiver"),
        collector::receiver,
    ),
    otel(
        "otel/logs-sampled",
        Error,
        (
            "An audit log with some of the events proves nothing about the others.",
            "PCI DSS 10.2.1, NIST AU-12",
            "take the sampler out of the pipelines of logs",
        ),
        collector::sampled,
    ),
    otel(
        "otel/memory-limiter-first",
        Warning,
        (
            "A collector that runs out of memory ends, with all that it holds.",
            "NIST AU-5",
            "list `memory_limiter` first, so that senders are held back",
        ),
        collector::limited,
    ),
    otel(
        "otel/own-failures-visible",
        Error,
        (
            "That logging has failed has to be noticed at once.",
            "PCI DSS 10.7.2, NIST AU-5",
            "log errors of the collector and keep its metrics",
        ),
        collector::silent,
    ),
    otel(
        "otel/queue-on-disk",
        Warning,
        (
            "What waits in memory is lost when the collector ends.",
            "PCI DSS 10.3.3, NIST AU-5",
            "set `sending_queue.storage` to a `file_storage` extension, and list that in service.extensions",
        ),
        collector::queue,
    ),
    otel(
        "otel/receiver-open-to-all",
        Error,
        (
            "Anybody who reaches the port can write false entries.",
            "NIST AU-9, NIST AU-10",
            "listen on an inner address, or ask for `tls.client_ca_file` or auth",
        ),
        collector::open_door,
    ),
];

/// Returns the checks of a format as a table in Markdown, as it stands in the manual.
pub fn table(format: Format) -> String {
    let row = |check: &Check| {
        let Check { code, severity, why, serves, fix, .. } = check;
        format!("| `{code}` | {severity} | {why} | {serves} | {fix} |\n")
    };
    let head = "| code | severity | why | controls | remedy |\n|---|---|---|---|---|\n".to_owned();
    let checks = CHECKS.iter().filter(|check| check.format == format);
    checks.map(row).fold(head, |text, row| text + &row)
}
