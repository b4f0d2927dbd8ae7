//! What Google Cloud and Azure can write down, and is not told to; and logs that a deployment destroys.

use super::aws::retention;
use super::catalogue::Duty;
use super::check::Findings;
use super::node::Node;
use super::stack::{Answer, Fate, Found, Stack, answer};
use crate::policy::Severity;

/// A project writes down who reads and writes data.
pub(super) const GOOGLE_AUDIT: Duty = Duty {
    severity: Severity::Error,
    why: "Who read or wrote data is logged only where it is asked for, and never for exempted members.",
    serves: "PCI DSS 10.2.1.1, NIST AU-12",
    fix: "list `ADMIN_READ`, `DATA_READ` and `DATA_WRITE` in `audit_log_config`, without `exempted_members`",
    judge: google_audit,
};

/// Subnetworks write down their connections.
pub(super) const GOOGLE_FLOW_LOGS: Duty = Duty {
    severity: Severity::Error,
    why: "Where a connection came from, and whether it was refused, can't be said afterwards.",
    serves: "ISO 27001 8.15, NIST AU-12",
    fix: "add a `log_config` block to the subnetwork",
    judge: |stack, out| {
        for network in stack.of(&["google_compute_subnetwork"]) {
            // What is reserved for proxies has no flow logs.
            let purpose = network.find(&["purpose"]);
            let is_plain = purpose.iter().all(|found| match found {
                Found::Unknown => true,
                Found::Known(node) => node.text().is_none_or(|text| text.starts_with("PRIVATE")),
            });
            if is_plain {
                let answer = network.is_set(&[&["log_config"]]);
                network.report(answer, network.place, "has no flow log", out);
            }
        }
    },
};

/// Clusters of Google Cloud send their logs away.
pub(super) const GOOGLE_CLUSTER_LOGS: Duty = Duty {
    severity: Severity::Error,
    why: "What happens in the cluster is lost with the node it happened on.",
    serves: "PCI DSS 10.3.3, NIST AU-12",
    fix: "remove `logging_service` = \"none\" and list `SYSTEM_COMPONENTS` in `logging_config`",
    judge: |stack, out| {
        let service: &[&[&str]] = &[&["logging_service"]];
        let parts: &[&str] = &["logging_config", "enable_components"];
        for cluster in stack.of(&["google_container_cluster"]) {
            if cluster.has_word(service, "none") == Answer::Yes {
                let place = cluster.place_of(service);
                out.breach(place, format!("{} sends its logs nowhere", cluster.address));
            } else if !cluster.find(parts).is_empty() {
                let answer = cluster.has_word(&[parts], "SYSTEM_COMPONENTS");
                let what = "does not log its own components";
                cluster.report(answer, cluster.place_of(&[parts]), what, out);
            }
        }
    },
};

/// Vaults and clusters of Azure have diagnostic settings, and those enable a log.
pub(super) const AZURE_DIAGNOSTICS: Duty = Duty {
    severity: Severity::Error,
    why: "Azure keeps no audit log of a vault or a cluster unless a diagnostic setting sends it somewhere.",
    serves: "PCI DSS 10.3.3, NIST AU-12",
    fix: "add `azurerm_monitor_diagnostic_setting` with an `enabled_log` block for it",
    judge: |stack, out| {
        let setting = "azurerm_monitor_diagnostic_setting";
        let cover = stack.cover(&[setting], &[&["target_resource_id"]]);
        for resource in stack.of(&["azurerm_key_vault", "azurerm_kubernetes_cluster"]) {
            let what = "has no diagnostic setting";
            resource.report(cover.has(resource), resource.place, what, out);
        }
        for setting in stack.of(&[setting]) {
            let paths: &[&[&str]] = &[&["enabled_log"], &["enabled_logs"], &["log"], &["logs"]];
            let what = "sends metrics and no log";
            setting.report(setting.is_set(paths), setting.place_of(paths), what, out);
        }
    },
};

/// Where logs are gathered, they are kept for a year.
pub(super) const WORKSPACE_RETENTION: Duty = Duty {
    severity: Severity::Error,
    why: "Audit logs have to be there for twelve months, and the default of both clouds is 30 days.",
    serves: "PCI DSS 10.5.1, NIST AU-11",
    fix: "set `retention_in_days` (`retention_days`) to 365 or more",
    judge: |stack, out| {
        for workspace in stack.of(&["azurerm_log_analytics_workspace"]) {
            retention(workspace, "retention_in_days", false, out);
        }
        for bucket in stack.of(&["google_logging_project_bucket_config"]) {
            retention(bucket, "retention_days", false, out);
        }
    },
};

/// A deployment does not destroy what logs.
pub(super) const NOT_DESTROYED: Duty = Duty {
    severity: Severity::Error,
    why: "A log that is destroyed, or made again empty, is what an intruder would do first.",
    serves: "PCI DSS 10.5.1, NIST AU-9",
    fix: "keep it, or export what it holds and have the removal approved",
    judge: |stack, out| {
        for resource in stack.all() {
            let holds = HOLDS.contains(&resource.kind);
            let lost = match resource.fate {
                Fate::Destroyed => holds || MAKES.contains(&resource.kind),
                Fate::Replaced => holds,
                Fate::Stays => false,
            };
            if lost {
                out.breach(resource.place, format!("{} is destroyed", resource.address));
            }
        }
    },
};

/// What holds logs.
const HOLDS: [&str; 3] = [
    "aws_cloudwatch_log_group",
    "azurerm_log_analytics_workspace",
    "google_logging_project_bucket_config",
];

/// What makes logs: replaced, it goes on.
const MAKES: [&str; 7] = [
    "aws_cloudtrail",
    "aws_flow_log",
    "aws_s3_bucket_logging",
    "aws_wafv2_web_acl_logging_configuration",
    "aws_route53_query_log",
    "azurerm_monitor_diagnostic_setting",
    "google_project_iam_audit_config",
];

/// Reports audit configurations that leave out kinds of access, or members.
fn google_audit(stack: &Stack<'_>, out: &mut Findings) {
    for config in stack.of(&["google_project_iam_audit_config"]) {
        let types: &[&[&str]] =
            &[&["audit_log_config", "log_type"], &["audit_log_configs", "log_type"]];
        let is_for_all = config.has_word(&[&["service"]], "allServices") == Answer::Yes;
        for kind in ["ADMIN_READ", "DATA_READ", "DATA_WRITE"].into_iter().filter(|_| is_for_all) {
            let answer = config.has_word(types, kind);
            config.report(answer, config.place_of(types), &format!("leaves out {kind}"), out);
        }
        let exempted: &[&[&str]] = &[
            &["audit_log_config", "exempted_members"],
            &["audit_log_configs", "exempted_members"],
        ];
        let found = exempted.iter().flat_map(|path| config.find(path));
        let full = answer(found.map(|found| match found {
            Found::Unknown => Answer::Later,
            Found::Known(node) if is_some(node) => Answer::Yes,
            Found::Known(_) => Answer::No,
        }));
        let none = match full {
            Answer::Yes => Answer::No,
            Answer::No => Answer::Yes,
            Answer::Later => Answer::Later,
        };
        let what = "exempts members from being logged";
        config.report(none, config.place_of(exempted), what, out);
    }
}

fn is_some(node: &Node) -> bool {
    !node.items().is_empty()
}
