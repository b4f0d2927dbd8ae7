//! What a check is, and what it reports.

use core::fmt;

use super::node::{Node, Place, Value};
use super::stack::Stack;
use crate::policy::{Diagnostic, Severity};

/// A kind of file that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// What `terraform show -json PLAN` writes.
    Terraform,
    /// A template of AWS CloudFormation, in YAML or JSON.
    CloudFormation,
    /// What `pulumi preview --json` writes.
    Pulumi,
    /// A `Policy` of `audit.k8s.io`.
    KubernetesAudit,
    /// The configuration of an OpenTelemetry collector.
    Collector,
}

/// One logging duty that a format can break.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its stable name, `FORMAT/DUTY`, by which a finding can be silenced.
    pub code: &'static str,
    /// What it judges.
    pub format: Format,
    /// How bad a breach is; what can't be determined is a note.
    pub severity: Severity,
    /// Why it matters, in one sentence.
    pub why: &'static str,
    /// The controls it serves: PCI DSS 4.0.1 and NIST SP 800-53 revision 5.
    pub serves: &'static str,
    /// What to do about a breach.
    pub fix: &'static str,
    pub(super) judge: Judge,
}

/// The function of a check.
#[derive(Clone, Copy, Debug)]
pub(super) enum Judge {
    /// Judges the resources of a deployment.
    Stack(fn(&Stack<'_>, &mut Findings)),
    /// Judges a document as it is.
    Document(fn(&Node, &mut Findings)),
}

/// What one check has found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
}

/// One thing that was found.
#[derive(Debug)]
struct Finding {
    place: Place,
    message: String,
    is_open: bool,
}

/// What all checks have found in one file.
pub(super) struct Report<'a> {
    file: &'a str,
    diagnostics: Vec<Diagnostic>,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [
        Self::Terraform,
        Self::CloudFormation,
        Self::Pulumi,
        Self::KubernetesAudit,
        Self::Collector,
    ];

    /// Returns what the codes of its checks begin with.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Terraform => "terraform",
            Self::CloudFormation => "cloudformation",
            Self::Pulumi => "pulumi",
            Self::KubernetesAudit => "k8s-audit",
            Self::Collector => "otel",
        }
    }

    /// Recognises a document by members that only this format has.
    pub(super) fn of(document: &Node) -> Option<Self> {
        let has = |path: &[&str]| document.at(path).is_some();
        let is_map =
            |name| matches!(document.member(name), Some(Node { value: Value::Map(_), .. }));
        if document.word("apiVersion").starts_with("audit.k8s.io/") {
            (document.word("kind") == "Policy").then_some(Self::KubernetesAudit)
        } else if has(&["resource_changes"]) || has(&["format_version"]) && has(&["planned_values"])
        {
            // A major version that is not known may mean anything; before 1.1 it was 0.
            let major = document.word("format_version").split('.').next().unwrap_or_default();
            matches!(major, "" | "0" | "1").then_some(Self::Terraform)
        } else if has(&["AWSTemplateFormatVersion"]) || is_map("Resources") {
            Some(Self::CloudFormation)
        } else if has(&["steps"]) || has(&["changeSummary"]) {
            Some(Self::Pulumi)
        } else if is_map("service") && (has(&["receivers"]) || has(&["exporters"])) {
            Some(Self::Collector)
        } else {
            None
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terraform => "Terraform plan",
            Self::CloudFormation => "CloudFormation template",
            Self::Pulumi => "Pulumi preview",
            Self::KubernetesAudit => "Kubernetes audit policy",
            Self::Collector => "OpenTelemetry collector",
        })
    }
}

impl Check {
    /// Judges a deployment.
    pub(super) fn stack(&self, stack: &Stack<'_>, report: &mut Report<'_>) {
        if let Judge::Stack(judge) = self.judge {
            let mut findings = Findings::default();
            judge(stack, &mut findings);
            report.take(self, findings);
        }
    }

    /// Judges a document.
    pub(super) fn document(&self, document: &Node, report: &mut Report<'_>) {
        if let Judge::Document(judge) = self.judge {
            let mut findings = Findings::default();
            judge(document, &mut findings);
            report.take(self, findings);
        }
    }
}

impl Findings {
    /// Adds a breach.
    pub(super) fn breach(&mut self, place: Place, message: impl Into<String>) {
        self.found.push(Finding { place, message: message.into(), is_open: false });
    }

    /// Adds something that is not known before the deployment.
    pub(super) fn open(&mut self, place: Place, message: impl Into<String>) {
        self.found.push(Finding { place, message: message.into(), is_open: true });
    }
}

impl<'a> Report<'a> {
    /// Begins the report about a file.
    pub(super) const fn new(file: &'a str) -> Self {
        Self { file, diagnostics: Vec::new() }
    }

    /// Takes what a check has found.
    fn take(&mut self, check: &Check, findings: Findings) {
        for Finding { place, message, is_open } in findings.found {
            let severity = if is_open { Severity::Note } else { check.severity };
            self.diagnostics.push(Diagnostic {
                severity,
                code: check.code,
                message,
                help: Some(format!("{} ({})", check.fix, check.serves)),
                file: self.file.to_owned(),
                line: place.line,
                column: place.column,
                length: place.length,
            });
        }
    }

    /// Returns everything in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|found| (found.line, found.column, found.code));
        self.diagnostics
    }
}
