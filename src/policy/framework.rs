//! Policies from what frameworks ask of audit logs.
//!
//! The table holds control numbers and our own words. A class or field stands here for a control that asks
//! for it; where a framework prescribes no retention, none of its own is used and the customary one is
//! marked. No policy makes anybody compliant: it supports controls.

use super::document::{
    Alert, Class, Date, Document, Level, Logging, Period, Place, Redaction, Retention, Trigger,
};
use super::field::parse_field;
use crate::core::policy::{
    Action, Condition, Detector, Enforcement, FieldType, Requirement, Target, Test, Treatment,
};
use crate::core::record::Path;

/// A framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framework {
    /// AICPA trust services criteria, 2017 with the points of focus of 2022.
    Soc2,
    /// ISO/IEC 27001:2022, Annex A.
    Iso27001,
    /// The HIPAA security rule, 45 CFR 164.
    Hipaa,
    /// PCI DSS 4.0.1, requirement 10.
    PciDss,
    /// The GDPR.
    Gdpr,
    /// NIST SP 800-53 revision 5, family AU.
    Nist80053,
}

use Framework::{Gdpr, Hipaa, Iso27001, Nist80053, PciDss, Soc2};

/// A class that controls ask for.
struct Wanted {
    name: &'static str,
    /// How the actions of its events begin.
    prefixes: &'static [&'static str],
    what: &'static str,
    /// Which control of which framework asks for it.
    controls: &'static [(Framework, &'static str)],
}

/// The classes, in the order of a policy.
const CLASSES: &[Wanted] = &[
    Wanted {
        name: "authentication",
        prefixes: &["auth."],
        what: "attempts to log in, good and bad",
        controls: &[
            (Soc2, "CC6.1"),
            (Iso27001, "A.8.15"),
            (Hipaa, "164.308(a)(5)(ii)(C)"),
            (PciDss, "10.2.1.4"),
            (Gdpr, "Art. 32(1)(b)"),
            (Nist80053, "AU-2"),
        ],
    },
    Wanted {
        name: "credential",
        prefixes: &["user.", "credential.", "role."],
        what: "accounts, credentials and rights change",
        controls: &[
            (Soc2, "CC6.2, CC6.3"),
            (Iso27001, "A.8.15"),
            (Hipaa, "164.312(a)(2)(i)"),
            (PciDss, "10.2.1.5"),
            (Nist80053, "AU-2"),
        ],
    },
    Wanted {
        name: "administration",
        prefixes: &["admin."],
        what: "everything that administrators do",
        controls: &[(Iso27001, "A.8.15"), (PciDss, "10.2.1.2"), (Nist80053, "AU-2")],
    },
    Wanted {
        name: "data-access",
        prefixes: &["data."],
        what: "somebody reads or changes protected data",
        controls: &[
            (Iso27001, "A.8.15"),
            (Hipaa, "164.312(b)"),
            (PciDss, "10.2.1.1"),
            (Gdpr, "Art. 5(2)"),
        ],
    },
    Wanted {
        name: "log-access",
        prefixes: &["log."],
        what: "logs are read, started, stopped or paused",
        controls: &[
            (Iso27001, "A.8.15"),
            (Hipaa, "164.308(a)(1)(ii)(D)"),
            (PciDss, "10.2.1.3, 10.2.1.6"),
            (Nist80053, "AU-9"),
        ],
    },
    Wanted {
        name: "configuration",
        prefixes: &["config."],
        what: "what a system does is changed",
        controls: &[
            (Soc2, "CC7.1, CC8.1"),
            (Iso27001, "A.8.9, A.8.15"),
            (Nist80053, "AU-12(3), CM-3"),
        ],
    },
    Wanted {
        name: "system-object",
        prefixes: &["object."],
        what: "objects of a system are made or deleted",
        controls: &[(PciDss, "10.2.1.7")],
    },
    Wanted {
        name: "deployment",
        prefixes: &["deploy."],
        what: "approved code goes to where it runs",
        controls: &[(Soc2, "CC8.1"), (Iso27001, "A.8.32")],
    },
    Wanted {
        name: "erasure",
        prefixes: &["erase."],
        what: "personal data is erased on request",
        controls: &[(Gdpr, "Art. 17, 5(2)")],
    },
];

/// Fields that every event must have: who, what happened, when and to what end (PCI DSS 10.2.2, AU-3).
const FIELDS: &[(&str, FieldType)] = &[
    ("actor.id", FieldType::Text),
    ("outcome", FieldType::Text),
    ("occurred_at", FieldType::Time),
];

/// Fields besides, of frameworks that ask for them by name.
const MORE_FIELDS: &[(Framework, &str, FieldType)] = &[
    (PciDss, "resource.id", FieldType::Text),
    (PciDss, "source", FieldType::Text),
    (Nist80053, "resource.id", FieldType::Text),
    (Nist80053, "source", FieldType::Text),
];

/// Days at hand and at all, whether the framework prescribes them or custom does, and where that stands.
struct Kept {
    framework: Framework,
    hot: u64,
    total: u64,
    why: &'static str,
}

/// How long logs are kept for each framework.
const RETENTION: &[Kept] = &[
    Kept {
        framework: PciDss,
        hot: 90,
        total: 365,
        why: "PCI DSS 10.5.1: 12 months, 3 of them at hand",
    },
    Kept {
        framework: Hipaa,
        hot: 90,
        total: 2_190,
        why: "HIPAA 164.316(b)(2)(i): 6 years of documentation; customary for logs",
    },
    Kept {
        framework: Soc2,
        hot: 90,
        total: 400,
        why: "SOC 2 prescribes none; customary for a year's report",
    },
    Kept { framework: Iso27001, hot: 90, total: 365, why: "ISO 27001 prescribes none; customary" },
    Kept { framework: Nist80053, hot: 90, total: 365, why: "AU-11 leaves it to you; customary" },
    Kept {
        framework: Gdpr,
        hot: 90,
        total: 365,
        why: "GDPR Art. 5(1)(e) asks for a limit, and leaves it to you",
    },
];

/// Makes a policy that supports what frameworks ask for.
pub fn generate(name: &str, owner: Option<&str>, frameworks: &[Framework]) -> Document {
    let mut frameworks = frameworks.to_vec();
    frameworks.sort_unstable();
    frameworks.dedup();
    let classes = CLASSES.iter().filter_map(|wanted| class(wanted, &frameworks)).collect();
    let (retention, why) = retention(&frameworks);
    let names: Vec<&str> = frameworks.iter().map(|one| one.name()).collect();
    let description = format!("Supports {}. Kept as long as: {}", names.join(", "), why.join("; "));
    Document {
        name: name.to_owned(),
        description: Some(description),
        owner: owner.map(str::to_owned),
        review_by: None::<Date>,
        classes,
        on_violation: Some(Enforcement::Quarantine),
        unknown_class: Some(Enforcement::Warn),
        redactions: redactions(&frameworks),
        retention,
        alerts: vec![brute_force()],
        ..Document::default()
    }
}

/// Makes a class, if a framework asks for it.
fn class(wanted: &Wanted, frameworks: &[Framework]) -> Option<Class> {
    let asked = wanted.controls.iter().filter(|(framework, _)| frameworks.contains(framework));
    let asked: Vec<String> =
        asked.map(|(framework, control)| format!("{} {control}", framework.name())).collect();
    if asked.is_empty() {
        return None;
    }
    let begins =
        |prefix: &&str| Condition::field(field("action"), Test::Prefix((*prefix).to_owned()));
    let mut when: Vec<Condition> = wanted.prefixes.iter().map(begins).collect();
    if when.len() > 1 {
        when = vec![Condition::Any(when)];
    }
    let more = MORE_FIELDS.iter().filter(|(framework, ..)| frameworks.contains(framework));
    let mut require: Vec<Requirement> = Vec::new();
    for (name, kind) in FIELDS.iter().copied().chain(more.map(|(_, name, kind)| (*name, *kind))) {
        let path = field(name);
        if !require.iter().any(|one| one.path == path) {
            require.push(Requirement { path, field: kind });
        }
    }
    Some(Class {
        name: wanted.name.to_owned(),
        description: Some(format!("{} ({})", capital(wanted.what), asked.join("; "))),
        when,
        require,
        required: true,
        log: Logging::default(),
        level: Level::default(),
        otherwise: None,
        retention: None,
        indexes: vec![vec![field("actor.id")], vec![field("action")]],
        place: Place::default(),
    })
}

/// Returns why logs are kept as long as they are for these frameworks.
pub(super) fn kept(frameworks: &[Framework]) -> Vec<&'static str> {
    retention(frameworks).1
}

/// Returns the longest retention of all, and why.
fn retention(frameworks: &[Framework]) -> (Retention, Vec<&'static str>) {
    let kept = RETENTION.iter().filter(|kept| frameworks.contains(&kept.framework));
    let (mut hot, mut total, mut why) = (0, 0, Vec::new());
    for one in kept {
        hot = hot.max(one.hot);
        total = total.max(one.total);
        why.push(one.why);
    }
    let days = |days: u64| (days > 0).then_some(Period { seconds: days * 86_400 });
    (Retention { hot: days(hot), total: days(total), ..Retention::default() }, why)
}

/// Returns what is taken out: secrets always, and what a framework protects.
fn redactions(frameworks: &[Framework]) -> Vec<Redaction> {
    let redaction = |target, action| Redaction {
        treatment: Treatment { target, action },
        epoch_days: None,
        place: Place::default(),
    };
    let secret = |detector| redaction(Target::Detected(detector), Action::Drop);
    let mut all = vec![secret(Detector::CloudKey), secret(Detector::Jwt), secret(Detector::Pem)];
    if frameworks.contains(&PciDss) {
        // At most the last four digits of a card number may be shown to everybody.
        all.push(redaction(Target::Detected(Detector::Card), Action::Mask { keep_last: 4 }));
    }
    if frameworks.iter().any(|one| matches!(one, Gdpr | Hipaa)) {
        let subject = Some(field("actor.id"));
        all.push(redaction(Target::Path(field("actor.email")), Action::Commit { subject }));
    }
    all
}

/// Returns the alert on guessed passwords, which every framework's monitoring has first.
fn brute_force() -> Alert {
    Alert {
        name: "alert/brute-force".to_owned(),
        classes: vec!["authentication".to_owned()],
        when: vec![Condition::field(field("outcome"), Test::Exact("failure".to_owned()))],
        trigger: Trigger::Threshold {
            count: 5,
            within: Period { seconds: 60 },
            by: vec![field("actor.id")],
        },
        to: vec!["security".to_owned()],
        place: Place::default(),
    }
}

fn field(name: &str) -> Path {
    parse_field(name).expect("the tables name fields")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

impl Framework {
    /// Every framework.
    pub const ALL: [Self; 6] = [Soc2, Iso27001, Hipaa, PciDss, Gdpr, Nist80053];

    /// Returns the name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Soc2 => "SOC 2",
            Self::Iso27001 => "ISO 27001",
            Self::Hipaa => "HIPAA",
            Self::PciDss => "PCI DSS",
            Self::Gdpr => "GDPR",
            Self::Nist80053 => "NIST 800-53",
        }
    }
}
