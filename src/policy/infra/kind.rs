//! The names that one kind of resource has in each tool.

/// A kind of resource and its names.
pub(super) struct Kind {
    pub(super) terraform: &'static str,
    pub(super) cloudformation: Option<&'static str>,
    pub(super) pulumi: &'static [&'static str],
}

/// Returns Terraform's name of the kind that fits.
pub(super) fn kind(fits: impl Fn(&Kind) -> bool) -> Option<&'static str> {
    KINDS.iter().find(|kind| fits(kind)).map(|kind| kind.terraform)
}

const fn kind_of(
    terraform: &'static str,
    cloudformation: Option<&'static str>,
    pulumi: &'static [&'static str],
) -> Kind {
    Kind { terraform, cloudformation, pulumi }
}

/// The kinds that a check is about.
const KINDS: &[Kind] = &[
    kind_of(
        "aws_api_gateway_stage",
        Some("AWS::ApiGateway::Stage"),
        &["aws:apigateway/stage:Stage"],
    ),
    kind_of(
        "aws_apigatewayv2_stage",
        Some("AWS::ApiGatewayV2::Stage"),
        &["aws:apigatewayv2/stage:Stage"],
    ),
    kind_of(
        "aws_cloudfront_distribution",
        Some("AWS::CloudFront::Distribution"),
        &["aws:cloudfront/distribution:Distribution"],
    ),
    kind_of("aws_cloudtrail", Some("AWS::CloudTrail::Trail"), &["aws:cloudtrail/trail:Trail"]),
    kind_of(
        "aws_cloudwatch_log_group",
        Some("AWS::Logs::LogGroup"),
        &["aws:cloudwatch/logGroup:LogGroup"],
    ),
    kind_of("aws_db_instance", Some("AWS::RDS::DBInstance"), &["aws:rds/instance:Instance"]),
    kind_of("aws_eks_cluster", Some("AWS::EKS::Cluster"), &["aws:eks/cluster:Cluster"]),
    kind_of("aws_flow_log", Some("AWS::EC2::FlowLog"), &["aws:ec2/flowLog:FlowLog"]),
    kind_of(
        "aws_lb",
        Some("AWS::ElasticLoadBalancingV2::LoadBalancer"),
        &["aws:lb/loadBalancer:LoadBalancer", "aws:alb/loadBalancer:LoadBalancer"],
    ),
    kind_of("aws_rds_cluster", Some("AWS::RDS::DBCluster"), &["aws:rds/cluster:Cluster"]),
    kind_of("aws_route53_query_log", None, &["aws:route53/queryLog:QueryLog"]),
    kind_of("aws_route53_zone", Some("AWS::Route53::HostedZone"), &["aws:route53/zone:Zone"]),
    kind_of(
        "aws_s3_bucket",
        Some("AWS::S3::Bucket"),
        &["aws:s3/bucket:Bucket", "aws:s3/bucketV2:BucketV2"],
    ),
    kind_of(
        "aws_s3_bucket_logging",
        None,
        &["aws:s3/bucketLogging:BucketLogging", "aws:s3/bucketLoggingV2:BucketLoggingV2"],
    ),
    kind_of("aws_vpc", Some("AWS::EC2::VPC"), &["aws:ec2/vpc:Vpc"]),
    kind_of("aws_wafv2_web_acl", Some("AWS::WAFv2::WebACL"), &["aws:wafv2/webAcl:WebAcl"]),
    kind_of(
        "aws_wafv2_web_acl_logging_configuration",
        Some("AWS::WAFv2::LoggingConfiguration"),
        &["aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration"],
    ),
    kind_of("azurerm_key_vault", None, &["azure:keyvault/keyVault:KeyVault"]),
    kind_of(
        "azurerm_kubernetes_cluster",
        None,
        &["azure:containerservice/kubernetesCluster:KubernetesCluster"],
    ),
    kind_of(
        "azurerm_log_analytics_workspace",
        None,
        &["azure:operationalinsights/analyticsWorkspace:AnalyticsWorkspace"],
    ),
    kind_of(
        "azurerm_monitor_diagnostic_setting",
        None,
        &["azure:monitoring/diagnosticSetting:DiagnosticSetting"],
    ),
    kind_of("google_compute_subnetwork", None, &["gcp:compute/subnetwork:Subnetwork"]),
    kind_of("google_container_cluster", None, &["gcp:container/cluster:Cluster"]),
    kind_of(
        "google_logging_project_bucket_config",
        None,
        &["gcp:logging/projectBucketConfig:ProjectBucketConfig"],
    ),
    kind_of(
        "google_project_iam_audit_config",
        None,
        &["gcp:projects/iAMAuditConfig:IAMAuditConfig"],
    ),
];
