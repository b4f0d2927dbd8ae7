//! What infrastructure as code says about logging, judged before it is deployed.
//!
//! ```text
//! bytes -> Node -> Format -> Stack (Terraform, CloudFormation, Pulumi) -> Diagnostics
//!                         -> the document itself (Kubernetes, OpenTelemetry)
//! ```
//!
//! A check is data and a function: [`CHECKS`] holds each with its stable code, the reason, the controls it
//! serves and the remedy. What a duty means is written once; Terraform, CloudFormation and Pulumi are read
//! into one view of resources, and each names the duties by codes of its own.
//!
//! A value that is not known before the deployment is neither right nor wrong: the finding is a note.
//!
//! # Out of scope
//!
//! - What the cloud does in fact: only what the file says is judged.
//! - Resources that the file does not mention, such as a trail that another stack makes.

mod aws;
mod catalogue;
mod check;
mod cloud;
mod cloudformation;
mod collector;
mod kind;
mod kubernetes;
mod node;
mod pulumi;
mod stack;
mod terraform;

pub use self::catalogue::{CHECKS, table};
pub use self::check::{Check, Format};
pub use self::node::INPUT_BYTES_MAX;

use super::{Diagnostic, Severity};
use check::Report;
use node::{Node, Place};

/// Judges a file: a Terraform plan (`terraform show -json`), a CloudFormation template in YAML or JSON, a
/// Pulumi preview (`pulumi preview --json`), a Kubernetes audit policy, or the configuration of an
/// OpenTelemetry collector.
///
/// Which one it is, the content says; the name stands in the findings alone. Returns what is wrong, in
/// the order of the file, or the one reason why the file can't be judged.
pub fn check(name: &str, bytes: &[u8]) -> Result<Vec<Diagnostic>, Diagnostic> {
    let refused = |code, place: Place, message: String, help: &str| Diagnostic {
        severity: Severity::Error,
        code,
        message,
        help: Some(help.to_owned()),
        file: name.to_owned(),
        line: place.line,
        column: place.column,
        length: place.length,
    };
    let documents = node::read(bytes).map_err(|error| {
        let help = "correct the file; a plan has to be JSON, as `terraform show -json` writes it";
        refused("infra/unreadable", error.place, error.reason, help)
    })?;
    let mut report = Report::new(name);
    let mut formats = Vec::new();
    for document in documents.iter().filter(|document| !document.is_null()) {
        let Some(format) = Format::of(document) else {
            let message = "this is nothing that is known here".to_owned();
            let help = "pass a Terraform plan as JSON, a CloudFormation template, a Pulumi preview as JSON, \
                        a Kubernetes audit policy, or a configuration of the OpenTelemetry collector";
            return Err(refused("infra/unknown-format", document.place, message, help));
        };
        judge(format, document, &mut report);
        formats.push(format);
    }
    if formats.is_empty() {
        let help = "pass the file that the deployment is made from";
        return Err(refused("infra/empty", Place::default(), "it is empty".to_owned(), help));
    }
    Ok(report.finish())
}

/// Runs every check of a format.
fn judge(format: Format, document: &Node, report: &mut Report<'_>) {
    let checks = CHECKS.iter().filter(|check| check.format == format);
    match format {
        Format::Terraform => {
            let stack = terraform::stack(document);
            checks.for_each(|check| check.stack(&stack, report));
        }
        Format::CloudFormation => {
            let stack = cloudformation::stack(document);
            checks.for_each(|check| check.stack(&stack, report));
        }
        Format::Pulumi => {
            let stack = pulumi::stack(document);
            checks.for_each(|check| check.stack(&stack, report));
        }
        Format::KubernetesAudit | Format::Collector => {
            checks.for_each(|check| check.document(document, report));
        }
    }
}
