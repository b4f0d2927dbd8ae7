//! Documents written as YAML, in the form that `attestree/v1` has: what an import or a generator makes.
//!
//! Every field is taken apart by name, so that a new one does not compile before it is written.

mod condition;
mod yaml;

use super::document::{
    Alert, Class, Document, Hold, Logging, Period, Redaction, RegoModule, Retention, Role, Source,
    StatedRule, Suppression, Trigger,
};
use super::field::format_field;
use crate::core::policy::{
    Action, Enforcement, Enrichment, FieldType, Lookup, Requirement, Rule, Target, Treatment,
};
use crate::core::record::{ApprovalRule, Path, PolicyDigest};
use condition::conditions;
use yaml::Yaml;

/// Writes a document as YAML.
pub fn write(document: &Document) -> String {
    let Document {
        name,
        description,
        owner,
        review_by,
        metadata: _,
        extends,
        classes,
        rules,
        on_violation,
        unknown_class,
        redactions,
        enrichments,
        suppressions,
        retention,
        holds,
        access,
        alerts,
        sources,
        rego,
        approvals,
    } = document;
    let metadata = Yaml::map([
        ("name", (!name.is_empty()).then(|| Yaml::text(name))),
        ("description", description.as_ref().map(Yaml::text)),
        ("owner", owner.as_ref().map(Yaml::text)),
        ("review_by", review_by.map(Yaml::text)),
    ]);
    let parents =
        extends.iter().map(|parent| Yaml::text(format!("{}@{}", parent.name, hex(parent.digest))));
    let enforce = Yaml::map([
        ("on_violation", on_violation.map(enforcement)),
        ("unknown_class", unknown_class.map(enforcement)),
    ]);
    let classes = classes.iter().map(|one| (one.name.clone(), class(one))).collect();
    let document = Yaml::map([
        ("apiVersion", Some(Yaml::text("attestree/v1"))),
        ("kind", Some(Yaml::text("Policy"))),
        ("metadata", some(metadata)),
        ("extends", Yaml::list(parents)),
        ("classes", some(Yaml::Map(classes))),
        ("rules", Yaml::list(rules.iter().map(rule))),
        ("redact", Yaml::list(redactions.iter().map(redaction))),
        ("enrich", Yaml::list(enrichments.iter().map(enrichment))),
        ("suppress", Yaml::list(suppressions.iter().map(suppression))),
        ("retention", some(kept(retention))),
        ("hold", Yaml::list(holds.iter().map(hold))),
        ("access", Yaml::list(access.iter().map(role))),
        ("alerts", Yaml::list(alerts.iter().map(alert))),
        ("sources", Yaml::list(sources.iter().map(source))),
        ("enforce", some(enforce)),
        ("approvals", approvals.as_ref().map(approval)),
        ("rego", Yaml::list(rego.iter().map(module))),
    ]);
    document.document()
}

/// Leaves an empty map out.
fn some(map: Yaml) -> Option<Yaml> {
    (map != Yaml::Map(Vec::new())).then_some(map)
}

fn hex(digest: PolicyDigest) -> String {
    digest.as_bytes().iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn enforcement(enforcement: Enforcement) -> Yaml {
    Yaml::text(match enforcement {
        Enforcement::Warn => "warn",
        Enforcement::Quarantine => "quarantine",
        Enforcement::Reject => "reject",
    })
}

fn field(path: &Path) -> Yaml {
    Yaml::text(format_field(path))
}

fn texts<T: ToString>(texts: &[T]) -> Option<Yaml> {
    Yaml::list(texts.iter().map(|text| Yaml::text(text.to_string())))
}

fn period(period: Period) -> Yaml {
    Yaml::text(period)
}

/// Writes a class.
fn class(class: &Class) -> Yaml {
    let Class {
        name: _,
        description,
        when,
        require,
        required,
        log: Logging { success, failure },
        level,
        otherwise,
        retention,
        indexes,
        place: _,
    } = class;
    let log = Yaml::map([
        ("success", (!success).then(|| Yaml::word(false))),
        ("failure", (!failure).then(|| Yaml::word(false))),
    ]);
    let is_full = class.level == super::document::Level::default();
    let implied = *success && *failure && *level != super::document::Level::None;
    let index = indexes.iter().map(|paths| match paths.as_slice() {
        [only] => field(only),
        paths => Yaml::List(paths.iter().map(field).collect()),
    });
    Yaml::map([
        ("description", description.as_ref().map(Yaml::text)),
        ("match", conditions(when)),
        ("require", requirements(require)),
        ("required", (*required != implied).then(|| Yaml::word(required))),
        ("log", some(log)),
        ("level", (!is_full).then(|| Yaml::text(level.name()))),
        ("enforce", otherwise.map(enforcement)),
        ("retention", retention.as_ref().map(kept)),
        ("index", Yaml::list(index)),
    ])
}

/// Writes what events must have: a list of names, or a map where some have a type.
fn requirements(requirements: &[Requirement]) -> Option<Yaml> {
    if requirements.iter().all(|one| one.field == FieldType::Any) {
        return Yaml::list(requirements.iter().map(|one| field(&one.path)));
    }
    let typed = |one: &Requirement| {
        let name = format!("{:?}", one.field).to_lowercase();
        (format_field(&one.path), Yaml::text(name))
    };
    Some(Yaml::Map(requirements.iter().map(typed).collect()))
}

fn kept(retention: &Retention) -> Yaml {
    let Retention { hot, warm, archive, total } = *retention;
    Yaml::map([
        ("hot", hot.map(period)),
        ("warm", warm.map(period)),
        ("archive", archive.map(period)),
        ("total", total.map(period)),
    ])
}

fn rule(stated: &StatedRule) -> Yaml {
    let StatedRule { rule: Rule { name, classes, when, require, otherwise }, place: _ } = stated;
    Yaml::map([
        ("name", Some(Yaml::text(name))),
        ("classes", texts(classes)),
        ("when", conditions(when)),
        ("require", requirements(require)),
        ("enforce", Some(enforcement(*otherwise))),
    ])
}

/// Writes what is taken out.
fn redaction(redaction: &Redaction) -> Yaml {
    let Redaction { treatment: Treatment { target, action }, epoch_days, place: _ } = redaction;
    let (path, detect) = match target {
        Target::Path(path) => (Some(field(path)), None),
        Target::Detected(detector) => (None, Some(Yaml::text(detector.name()))),
    };
    let (name, keep_last, subject) = match action {
        Action::Drop => ("drop", None, None),
        Action::Mask { keep_last } => {
            ("mask", (*keep_last > 0).then(|| Yaml::word(keep_last)), None)
        }
        Action::Commit { subject } => ("commit", None, subject.as_ref().map(field)),
        Action::Token { .. } => ("token", None, None),
    };
    Yaml::map([
        ("path", path),
        ("detect", detect),
        ("action", Some(Yaml::text(name))),
        ("keep_last", keep_last),
        ("subject", subject),
        ("epoch", epoch_days.map(|days| Yaml::text(format!("{days}d")))),
    ])
}

/// Writes what is added.
fn enrichment(enrichment: &Enrichment) -> Yaml {
    let Enrichment { name, from, lookup } = enrichment;
    let pairs = |pairs: Vec<(String, String)>| {
        Yaml::Map(pairs.into_iter().map(|(key, label)| (key, Yaml::Text(label))).collect())
    };
    let name = ("name", Some(Yaml::text(name)));
    match lookup {
        Lookup::Table { entries, otherwise } => Yaml::map([
            name,
            ("from", Some(field(from))),
            ("map", Some(pairs(entries.clone().into_iter().collect()))),
            ("default", otherwise.as_ref().map(Yaml::text)),
        ]),
        Lookup::Networks(networks) => {
            let labels =
                networks.iter().map(|(network, label)| (network.to_string(), label.clone()));
            Yaml::map([name, ("from", Some(field(from))), ("cidr", Some(pairs(labels.collect())))])
        }
        Lookup::Members(names) => {
            let allowed = Yaml::list(names.iter().map(Yaml::text));
            Yaml::map([name, ("headers", Some(field(from))), ("allow", allowed)])
        }
    }
}

fn suppression(suppression: &Suppression) -> Yaml {
    let Suppression { name, classes, when, window, place: _ } = suppression;
    Yaml::map([
        ("name", Some(Yaml::text(name))),
        ("classes", texts(classes)),
        ("match", conditions(when)),
        ("every", Some(period(*window))),
    ])
}

fn hold(hold: &Hold) -> Yaml {
    let Hold { name, reason, classes, when, until, place: _ } = hold;
    Yaml::map([
        ("name", Some(Yaml::text(name))),
        ("reason", Some(Yaml::text(reason))),
        ("classes", texts(classes)),
        ("match", conditions(when)),
        ("until", until.map(Yaml::text)),
    ])
}

/// Writes who may do what.
fn role(role: &Role) -> Yaml {
    let Role { name, members, can, classes, allow, deny, place: _ } = role;
    let fields = Yaml::map([
        ("allow", Yaml::list(allow.iter().map(field))),
        ("deny", Yaml::list(deny.iter().map(field))),
    ]);
    let can = can.iter().map(|permission| Yaml::text(permission.name())).collect();
    Yaml::map([
        ("role", Some(Yaml::text(name))),
        ("members", texts(members)),
        ("can", Some(Yaml::List(can))),
        ("classes", texts(classes)),
        ("fields", some(fields)),
    ])
}

/// Writes what raises an alert.
fn alert(alert: &Alert) -> Yaml {
    let Alert { name, classes, when, trigger, to, place: _ } = alert;
    let (by, count, within, absent) = match trigger {
        Trigger::Match => (None, None, None, None),
        Trigger::Threshold { count, within, by } => {
            let by = Yaml::list(by.iter().map(field));
            (by, Some(Yaml::word(count)), Some(period(*within)), None)
        }
        Trigger::Absence { within } => (None, None, None, Some(period(*within))),
    };
    Yaml::map([
        ("name", Some(Yaml::text(name))),
        ("classes", texts(classes)),
        ("match", conditions(when)),
        ("group_by", by),
        ("count", count),
        ("within", within),
        ("absent_for", absent),
        ("to", texts(to)),
    ])
}

fn source(source: &Source) -> Yaml {
    let Source { sources, numbered, expect, place: _ } = source;
    let every = expect.map(|every| Yaml::map([("every", Some(period(every)))]));
    Yaml::map([
        ("match", Some(Yaml::map([("service", texts(sources))]))),
        ("seq", numbered.then(|| Yaml::text("required"))),
        ("expect", every),
    ])
}

fn approval(rule: &ApprovalRule) -> Yaml {
    Yaml::map([("keys", texts(rule.keys())), ("threshold", Some(Yaml::word(rule.threshold())))])
}

fn module(module: &RegoModule) -> Yaml {
    let RegoModule { subject, classes, when, otherwise, needs, place: _ } = module;
    let is_file = subject.starts_with("rego/");
    Yaml::map([
        ("file", is_file.then(|| Yaml::text(subject))),
        ("package", (!is_file).then(|| Yaml::text(subject))),
        ("classes", texts(classes)),
        ("when", conditions(when)),
        ("enforce", otherwise.map(enforcement)),
        ("needs", Yaml::list(needs.iter().map(field))),
    ])
}
