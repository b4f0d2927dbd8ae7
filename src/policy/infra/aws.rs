//! What AWS can write down, and is not told to.

use super::catalogue::Duty;
use super::check::Findings;
use super::node::Value;
use super::stack::{Answer, Found, Resource, Stack};
use crate::policy::Severity;

/// A trail sees every region, and what is global.
pub(super) const TRAIL_REGIONS: Duty = Duty {
    severity: Severity::Error,
    why: "What happens in a region that no trail covers is written nowhere.",
    serves: "PCI DSS 10.2.1, NIST AU-12",
    fix: "set `is_multi_region_trail` (`IsMultiRegionTrail`) to true on one trail",
    judge: |stack, out| {
        let on = |trail: &Resource<'_>| trail.is_on(&[&["is_multi_region_trail"]]);
        // One trail that sees all regions is enough.
        if stack.of(&[TRAIL]).any(|trail| on(trail) == Answer::Yes) {
            return;
        }
        for trail in stack.of(&[TRAIL]) {
            let place = trail.place_of(&[&["is_multi_region_trail"]]);
            trail.report(on(trail), place, "covers one region only", out);
        }
    },
};

/// The files of a trail can be checked against signed digests.
pub(super) const TRAIL_VALIDATION: Duty = Duty {
    severity: Severity::Error,
    why: "Without digests nobody can tell whether a file of the trail was changed or removed.",
    serves: "PCI DSS 10.3.4, NIST AU-9(3)",
    fix: "set `enable_log_file_validation` (`EnableLogFileValidation`) to true",
    judge: |stack, out| {
        let paths: &[&[&str]] = &[&["enable_log_file_validation"]];
        for trail in stack.of(&[TRAIL]) {
            let what = "writes no digests of its files";
            trail.report(trail.is_on(paths), trail.place_of(paths), what, out);
        }
    },
};

/// A trail is running.
pub(super) const TRAIL_RUNS: Duty = Duty {
    severity: Severity::Error,
    why: "A trail that is there and switched off looks like logging and is none.",
    serves: "PCI DSS 10.2.1, NIST AU-12",
    fix: "set `enable_logging` (`IsLogging`) to true",
    judge: |stack, out| {
        let paths: &[&[&str]] = &[&["enable_logging"], &["is_logging"]];
        for trail in stack.of(&[TRAIL]) {
            // Terraform's and Pulumi's default is on.
            if paths.iter().any(|path| !trail.find(path).is_empty()) {
                let what = "is switched off";
                trail.report(trail.is_on(paths), trail.place_of(paths), what, out);
            }
        }
    },
};

/// Log groups keep a year.
pub(super) const GROUP_RETENTION: Duty = Duty {
    severity: Severity::Error,
    why: "Audit logs have to be there for twelve months, the last three of them at once.",
    serves: "PCI DSS 10.5.1, NIST AU-11",
    fix: "set `retention_in_days` (`RetentionInDays`) to 365 or more, or leave it out to keep everything",
    judge: |stack, out| {
        for group in stack.of(&[GROUP]) {
            // Absent and 0 both mean for ever.
            retention(group, "retention_in_days", true, out);
        }
    },
};

/// Log groups are encrypted under a key of one's own.
pub(super) const GROUP_KEY: Duty = Duty {
    severity: Severity::Warning,
    why: "A key of one's own decides who can read the log, apart from who administers the account.",
    serves: "PCI DSS 10.3.1, NIST AU-9",
    fix: "set `kms_key_id` (`KmsKeyId`) to a key whose policy admits the log's readers only",
    judge: |stack, out| {
        let paths: &[&[&str]] = &[&["kms_key_id"]];
        for group in stack.of(&[GROUP]) {
            let what = "is not encrypted under a key of its own";
            group.report(group.is_set(paths), group.place_of(paths), what, out);
        }
    },
};

/// Buckets write down who reads them.
pub(super) const BUCKET_ACCESS: Duty = Duty {
    severity: Severity::Error,
    why: "Who read an object of the bucket can't be said afterwards.",
    serves: "PCI DSS 10.2.1.1, NIST AU-12",
    fix: "send access logs to another bucket: `aws_s3_bucket_logging` (`LoggingConfiguration`)",
    judge: bucket_access,
};

/// Networks write down their connections.
pub(super) const FLOW_LOGS: Duty = Duty {
    severity: Severity::Error,
    why: "Where a connection came from, and whether it was refused, can't be said afterwards.",
    serves: "ISO 27001 8.15, NIST AU-12",
    fix: "add a flow log for the network: `aws_flow_log` (`AWS::EC2::FlowLog`) with traffic type ALL",
    judge: |stack, out| {
        let cover = stack.cover(&["aws_flow_log"], &[&["vpc_id"], &["resource_id"]]);
        for network in stack.of(&["aws_vpc"]) {
            network.report(cover.has(network), network.place, "has no flow log", out);
        }
    },
};

/// Databases send their logs away.
pub(super) const DATABASE_LOGS: Duty = Duty {
    severity: Severity::Error,
    why: "A log that stays in the database ends with it, and whoever administers one has the other.",
    serves: "PCI DSS 10.3.3, NIST AU-12",
    fix: "list the engine's audit log in `enabled_cloudwatch_logs_exports` (`EnableCloudwatchLogsExports`)",
    judge: |stack, out| {
        let paths: &[&[&str]] =
            &[&["enabled_cloudwatch_logs_exports"], &["enable_cloudwatch_logs_exports"]];
        for database in stack.of(&["aws_db_instance", "aws_rds_cluster"]) {
            // The logs of a cluster's member are the cluster's.
            if database.is_set(&[&["db_cluster_identifier"]]) == Answer::No {
                let what = "exports no log";
                database.report(database.is_set(paths), database.place_of(paths), what, out);
            }
        }
    },
};

/// Clusters write down what their administrators do.
pub(super) const CLUSTER_AUDIT: Duty = Duty {
    severity: Severity::Error,
    why: "What administrators do through the cluster's API is written nowhere.",
    serves: "PCI DSS 10.2.1.2, NIST AU-12",
    fix: "list \"audit\" in `enabled_cluster_log_types` (`Logging.ClusterLogging.EnabledTypes`)",
    judge: |stack, out| {
        let paths: &[&[&str]] = &[
            &["enabled_cluster_log_types"],
            &["logging", "cluster_logging", "enabled_types", "type"],
        ];
        for cluster in stack.of(&["aws_eks_cluster"]) {
            let what = "does not log its audit events";
            cluster.report(cluster.has_word(paths, "audit"), cluster.place_of(paths), what, out);
        }
    },
};

/// Load balancers write down who came.
pub(super) const BALANCER_ACCESS: Duty = Duty {
    severity: Severity::Error,
    why: "Where a request came from is known at the edge only.",
    serves: "PCI DSS 10.2.2, NIST AU-3",
    fix: "switch `access_logs` on (the attribute `access_logs.s3.enabled`)",
    judge: |stack, out| {
        for balancer in stack.of(&["aws_lb"]) {
            let kind = balancer.has_word(&[&["load_balancer_type"], &["type"]], "gateway");
            // A gateway passes packets on and has no access log.
            if kind != Answer::Yes {
                let what = "writes no access log";
                balancer.report(balancer_access(balancer), balancer.place, what, out);
            }
        }
    },
};

/// Firewalls write down what they refuse.
pub(super) const FIREWALL_LOGS: Duty = Duty {
    severity: Severity::Error,
    why: "An attack that was refused, or was not, can't be studied afterwards.",
    serves: "SOC 2 CC7.2, NIST AU-12",
    fix: "add `aws_wafv2_web_acl_logging_configuration` (`AWS::WAFv2::LoggingConfiguration`) for it",
    judge: |stack, out| {
        let cover = stack.cover(&["aws_wafv2_web_acl_logging_configuration"], &[&["resource_arn"]]);
        for firewall in stack.of(&["aws_wafv2_web_acl"]) {
            firewall.report(cover.has(firewall), firewall.place, "logs nothing", out);
        }
    },
};

/// Public zones write down what they are asked.
pub(super) const DNS_QUERIES: Duty = Duty {
    severity: Severity::Warning,
    why: "Names that are probed or abused show in the queries only.",
    serves: "SOC 2 CC7.2, NIST AU-12",
    fix: "add `aws_route53_query_log` (`QueryLoggingConfig`) for the zone",
    judge: |stack, out| {
        let cover = stack.cover(&["aws_route53_query_log"], &[&["zone_id"], &["hosted_zone_id"]]);
        for zone in stack.of(&["aws_route53_zone"]) {
            // Those of a private zone are logged by its resolver.
            let is_private = zone.is_set(&[&["vpc"], &["vpcs"]]) != Answer::No;
            let is_logged = zone.is_set(&[&["query_logging_config"]]) != Answer::No;
            if !is_private && !is_logged {
                zone.report(cover.has(zone), zone.place, "does not log its queries", out);
            }
        }
    },
};

/// Stages of an API write down who called.
pub(super) const API_ACCESS: Duty = Duty {
    severity: Severity::Error,
    why: "Who called the API, and what it answered, can't be said afterwards.",
    serves: "PCI DSS 10.2.1.1, NIST AU-12",
    fix: "set `access_log_settings` (`AccessLogSetting`) with a destination",
    judge: |stack, out| {
        let paths: &[&[&str]] = &[
            &["access_log_settings", "destination_arn"],
            &["access_log_setting", "destination_arn"],
        ];
        for stage in stack.of(&["aws_api_gateway_stage", "aws_apigatewayv2_stage"]) {
            let what = "writes no access log";
            stage.report(stage.is_set(paths), stage.place_of(paths), what, out);
        }
    },
};

/// Distributions write down who came.
pub(super) const CDN_ACCESS: Duty = Duty {
    severity: Severity::Error,
    why: "What the cache answers never reaches a server, and is logged here or nowhere.",
    serves: "PCI DSS 10.2.2, NIST AU-3",
    fix: "set `logging_config` (`DistributionConfig.Logging`) with a bucket",
    judge: |stack, out| {
        let paths: &[&[&str]] =
            &[&["logging_config", "bucket"], &["distribution_config", "logging", "bucket"]];
        for distribution in stack.of(&["aws_cloudfront_distribution"]) {
            let what = "writes no access log";
            distribution.report(
                distribution.is_set(paths),
                distribution.place_of(paths),
                what,
                out,
            );
        }
    },
};

/// Log groups outlive their stack.
pub(super) const KEPT_ON_DELETE: Duty = Duty {
    severity: Severity::Error,
    why: "Whoever deletes the stack deletes its logs with it.",
    serves: "PCI DSS 10.5.1, NIST AU-9",
    fix: "set `DeletionPolicy` and `UpdateReplacePolicy` to Retain",
    judge: |stack, out| {
        for group in stack.of(&[GROUP]) {
            for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
                let node = group.node.member(policy);
                if !group.node.word(policy).starts_with("Retain") {
                    let place = node.map_or(group.place, |node| node.place);
                    out.breach(place, format!("{} has no {policy} Retain", group.address));
                }
            }
        }
    },
};

/// A trail, by Terraform's name.
const TRAIL: &str = "aws_cloudtrail";
/// A log group, by Terraform's name.
const GROUP: &str = "aws_cloudwatch_log_group";

/// What PCI DSS 10.5.1 asks for: twelve months.
pub(super) const RETENTION_DAYS_MIN: u64 = 365;

/// Reports a retention in days that is too short, or absent where that does not mean for ever.
pub(super) fn retention(resource: &Resource<'_>, name: &str, is_endless: bool, out: &mut Findings) {
    let what = "keeps logs for less than 365 days";
    let place = resource.place_of(&[&[name]]);
    let answer = match resource.find(&[name]).first() {
        Some(Found::Unknown) => Answer::Later,
        Some(Found::Known(node)) => match node.text().and_then(|text| text.parse::<u64>().ok()) {
            Some(0) if is_endless => Answer::Yes,
            Some(days) if days >= RETENTION_DAYS_MIN => Answer::Yes,
            Some(_) | None => Answer::No,
        },
        None if is_endless => Answer::Yes,
        None => Answer::No,
    };
    resource.report(answer, place, what, out);
}

/// Reports buckets without an access log, other than those that hold the logs of others.
fn bucket_access(stack: &Stack<'_>, out: &mut Findings) {
    let separate = ["aws_s3_bucket_logging"];
    let cover = stack.cover(&separate, &[&["bucket"]]);
    let mut targets = vec![stack.cover(&separate, &[&["target_bucket"]])];
    let paths: &[&[&str]] = &[&["logging"], &["loggings"], &["logging_configuration"]];
    let inner: &[&[&str]] = &[
        &["logging", "target_bucket"],
        &["loggings", "target_bucket"],
        &["logging_configuration", "destination_bucket_name"],
    ];
    targets.push(stack.cover(&["aws_s3_bucket"], inner));
    for bucket in stack.of(&["aws_s3_bucket"]) {
        // To log the log's own bucket would log without end.
        if targets.iter().any(|cover| cover.has(bucket) == Answer::Yes) {
            continue;
        }
        let answer = super::stack::answer([bucket.is_set(paths), cover.has(bucket)]);
        bucket.report(answer, bucket.place_of(paths), "does not log who reads it", out);
    }
}

/// Returns whether a load balancer logs: a block of its own, or one of a list of names and values.
fn balancer_access(balancer: &Resource<'_>) -> Answer {
    let listed = balancer.find(&["load_balancer_attributes"]);
    let listed = listed.into_iter().flat_map(|found| match found {
        Found::Unknown => vec![Answer::Later],
        Found::Known(node) => {
            let named =
                node.items().iter().filter(|item| item.word("Key") == "access_logs.s3.enabled");
            let value = named.filter_map(|item| item.member("Value"));
            value
                .map(|value| match (&value.value, value.truth()) {
                    _ if (balancer.is_computed)(value) => Answer::Later,
                    (Value::Scalar { .. }, Some(true)) => Answer::Yes,
                    _ => Answer::No,
                })
                .collect()
        }
    });
    super::stack::answer(listed.chain([balancer.is_on(&[&["access_logs", "enabled"]])]))
}
