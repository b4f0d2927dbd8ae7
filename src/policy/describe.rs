//! A policy in words, as Markdown: the same policy gives the same text.

use core::fmt::Write as _;

use super::document::{Document, Level, Retention, Trigger};
use super::field::format_field;
use crate::core::policy::{Action, Condition, Enforcement, FieldType, Requirement, Target, Test};
use crate::core::record::{Path, PolicyDigest};

/// Describes a policy.
pub fn describe(document: &Document, digest: PolicyDigest) -> String {
    let mut out = String::new();
    heading(&mut out, document, digest);
    classes(&mut out, document);
    rules(&mut out, document);
    redactions(&mut out, document);
    let suppressed = document.suppressions.iter().map(|one| {
        let about = about(&one.classes, &one.when);
        [code(&one.name), about, one.window.to_string()]
    });
    table(
        &mut out,
        "Counted instead of recorded",
        ["Name", "Events", "Counts recorded every"],
        suppressed,
    );
    let alerts = document.alerts.iter().map(|one| {
        let about = about(&one.classes, &one.when);
        [
            code(&one.name),
            about,
            trigger(&one.trigger),
            one.to.iter().map(|to| escape(to)).collect::<Vec<_>>().join(", "),
        ]
    });
    table(&mut out, "Alerts", ["Name", "Events", "Raised by", "Told to"], alerts);
    let roles = document.access.iter().map(|one| {
        let can: Vec<&str> = one.can.iter().map(|permission| permission.name()).collect();
        let hidden = fields(&one.deny);
        let shown = if one.allow.is_empty() { "all".to_owned() } else { fields(&one.allow) };
        let seen = if hidden.is_empty() { shown } else { format!("{shown} but {hidden}") };
        [escape(&one.name), can.join(", "), globs(&one.classes), seen]
    });
    table(&mut out, "Access", ["Role", "May", "Classes", "Fields"], roles);
    let holds = document.holds.iter().map(|one| {
        let until = one.until.map_or_else(|| "it is lifted".to_owned(), |date| date.to_string());
        [code(&one.name), escape(&one.reason), globs(&one.classes), until]
    });
    table(&mut out, "Holds", ["Name", "Reason", "Classes", "Until"], holds);
    let sources = document.sources.iter().map(|one| {
        let numbered = if one.numbered { "yes" } else { "no" };
        let expected =
            one.expect.map_or_else(|| "any time".to_owned(), |period| period.to_string());
        [globs(&one.sources), numbered.to_owned(), expected]
    });
    table(&mut out, "Sources", ["Source", "Numbers its events", "Heard of within"], sources);
    let modules =
        document.rego.iter().map(|one| [code(&one.subject), about(&one.classes, &one.when)]);
    table(&mut out, "Custom rules", ["Module", "Events"], modules);
    approvals(&mut out, document);
    out
}

/// Writes the name and what holds of the whole policy.
fn heading(out: &mut String, document: &Document, digest: PolicyDigest) {
    let name = if document.name.is_empty() { "Policy" } else { &document.name };
    line(out, &format!("# {}", escape(name)));
    if let Some(description) = &document.description {
        line(out, &escape(description));
    }
    let mut facts = vec![format!("Digest `{digest}`.")];
    facts.extend(document.owner.iter().map(|owner| format!("Owner: {}.", escape(owner))));
    facts.extend(document.review_by.iter().map(|date| format!("To be reviewed by {date}.")));
    for parent in &document.extends {
        facts.push(format!("Extends {} (`{}`).", escape(&parent.name), parent.digest));
    }
    line(out, &facts.join(" "));
    let violation = document.on_violation.unwrap_or(Enforcement::Quarantine);
    let unknown = document.unknown_class.map_or("accept", word);
    line(
        out,
        &format!(
            "What breaks a rule: {}. What names an unknown class: {unknown}. Kept {}.",
            word(violation),
            kept(&document.retention)
        ),
    );
}

/// Writes the classes, each below a heading of its own.
fn classes(out: &mut String, document: &Document) {
    if document.classes.is_empty() {
        return;
    }
    line(out, "## Classes");
    for class in &document.classes {
        line(out, &format!("### {}", code(&class.name)));
        if let Some(description) = &class.description {
            line(out, &escape(description));
        }
        let mut items = Vec::new();
        items.push(match class.when.is_empty() {
            true => "Events that name it.".to_owned(),
            false => format!("Events that name it, or of which {}.", all(&class.when)),
        });
        if !class.require.is_empty() {
            items.push(format!("Must have {}.", required(&class.require)));
        }
        if class.required {
            items.push("Each of them has to be in the log.".to_owned());
        }
        match (class.log.success, class.log.failure) {
            (true, true) => {}
            (true, false) => items.push("Failures are counted, not recorded.".to_owned()),
            (false, true) => items.push("Successes are counted, not recorded.".to_owned()),
            (false, false) => items.push("They are counted, not recorded.".to_owned()),
        }
        if class.level != Level::default() {
            items.push(format!("Level of detail: {}.", class.level.name()));
        }
        items.extend(class.otherwise.map(|one| format!("What breaks this: {}.", word(one))));
        items.extend(class.retention.as_ref().map(|one| format!("Kept {}.", kept(one))));
        line(out, &list(&items));
    }
}

fn rules(out: &mut String, document: &Document) {
    let rows = document.rules.iter().map(|stated| {
        let rule = &stated.rule;
        let about = about(&rule.classes, &rule.when);
        [code(&rule.name), about, required(&rule.require), word(rule.otherwise).to_owned()]
    });
    table(out, "Rules", ["Name", "Events", "Must have", "Otherwise"], rows);
}

/// Writes what is taken out.
fn redactions(out: &mut String, document: &Document) {
    let rows = document.redactions.iter().map(|one| {
        let what = match &one.treatment.target {
            Target::Path(path) => field(path),
            Target::Detected(detector) => format!("anything like: {}", detector.name()),
        };
        let done = match &one.treatment.action {
            Action::Drop => "left out".to_owned(),
            Action::Mask { keep_last: 0 } => "masked".to_owned(),
            Action::Mask { keep_last } => format!("masked but the last {keep_last} characters"),
            Action::Commit { subject: None } => "committed".to_owned(),
            Action::Commit { subject: Some(subject) } => {
                format!("committed, erasable with {}", field(subject))
            }
            Action::Token { .. } => "replaced by a token".to_owned(),
        };
        [what, done]
    });
    table(out, "Never recorded as it came", ["What", "Becomes"], rows);
}

fn approvals(out: &mut String, document: &Document) {
    let Some(rule) = document.approvals.as_ref().filter(|rule| rule.threshold() > 0) else {
        return;
    };
    line(out, "## Approvals");
    let count = rule.threshold();
    line(out, &format!("The next policy needs {count} of these keys:"));
    let keys: Vec<String> = rule.keys().iter().map(|key| format!("`{key}`")).collect();
    line(out, &list(&keys));
}

/// Writes a paragraph.
fn line(out: &mut String, text: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    writeln!(out, "{text}").expect("a string takes text");
}

/// Writes a list.
fn list(items: &[String]) -> String {
    items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n")
}

/// Writes a table, unless it has no rows.
fn table<const N: usize>(
    out: &mut String,
    title: &str,
    heads: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let rows: Vec<[String; N]> = rows.collect();
    if rows.is_empty() {
        return;
    }
    line(out, &format!("## {title}"));
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = row(&heads.map(str::to_owned)) + &row(&heads.map(|_| "---".to_owned()));
    text.extend(rows.iter().map(|cells| row(cells)));
    line(out, text.trim_end());
}

/// Writes which events something is about.
fn about(classes: &[String], when: &[Condition]) -> String {
    let of = match classes {
        [] => "all".to_owned(),
        names => names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", "),
    };
    if when.is_empty() { of } else { format!("{of}, if {}", all(when)) }
}

fn all(conditions: &[Condition]) -> String {
    conditions.iter().map(condition).collect::<Vec<_>>().join(" and ")
}

/// Writes a condition in words.
pub(super) fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Field { path, test } => format!("{} {}", field(path), tested(test)),
        Condition::All(parts) | Condition::Any(parts) if parts.len() == 1 => all(parts),
        Condition::All(parts) => format!("({})", all(parts)),
        Condition::Any(parts) => {
            let parts: Vec<String> = parts.iter().map(self::condition).collect();
            format!("({})", parts.join(" or "))
        }
        Condition::Not(inner) => format!("not {}", self::condition(inner)),
    }
}

/// Writes a test in words.
fn tested(test: &Test) -> String {
    let each =
        |texts: &[String]| texts.iter().map(|text| code(text)).collect::<Vec<_>>().join(", ");
    match test {
        Test::Present => "is there".to_owned(),
        Test::Exact(text) => format!("is {}", code(text)),
        Test::OneOf(texts) => format!("is one of {}", each(texts)),
        Test::Prefix(text) => format!("begins with {}", code(text)),
        Test::Suffix(text) => format!("ends with {}", code(text)),
        Test::Glob(glob) => format!("is like {}", code(&glob.to_string())),
        Test::Pattern(pattern) => format!("matches {}", code(pattern.as_str())),
        Test::Network(networks) => {
            format!("is in {}", each(&networks.iter().map(ToString::to_string).collect::<Vec<_>>()))
        }
        Test::Range { least, most } => {
            let least = least.as_ref().map(|least| format!("at least {}", least.get()));
            let most = most.as_ref().map(|most| format!("at most {}", most.get()));
            format!("is {}", least.into_iter().chain(most).collect::<Vec<_>>().join(" and "))
        }
        Test::Boolean(truth) => format!("is {truth}"),
    }
}

fn trigger(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Match => "each".to_owned(),
        Trigger::Threshold { count, within, by } if by.is_empty() => {
            format!("{count} within {within}")
        }
        Trigger::Threshold { count, within, by } => {
            format!("{count} within {within} of the same {}", fields(by))
        }
        Trigger::Absence { within } => format!("none for {within}"),
    }
}

fn required(requirements: &[Requirement]) -> String {
    let one = |one: &Requirement| match one.field {
        FieldType::Any => field(&one.path),
        other => format!("{} ({})", field(&one.path), format!("{other:?}").to_lowercase()),
    };
    requirements.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn kept(retention: &Retention) -> String {
    let Retention { hot, warm, archive, total } = *retention;
    let stages = [("at hand", hot), ("warm", warm), ("in the archive", archive)];
    let mut parts: Vec<String> = stages
        .into_iter()
        .filter_map(|(name, period)| Some(format!("{name} for {}", period?)))
        .collect();
    parts.push(total.map_or_else(|| "for ever".to_owned(), |period| format!("{period} at all")));
    parts.join(", ")
}

const fn word(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Warn => "warn",
        Enforcement::Quarantine => "quarantine",
        Enforcement::Reject => "reject",
    }
}

fn fields(paths: &[Path]) -> String {
    paths.iter().map(field).collect::<Vec<_>>().join(", ")
}

fn field(path: &Path) -> String {
    code(&format_field(path))
}

fn globs(globs: &[crate::core::policy::Glob]) -> String {
    if globs.is_empty() {
        return "all".to_owned();
    }
    globs.iter().map(|glob| code(&glob.to_string())).collect::<Vec<_>>().join(", ")
}

/// Writes a text as code, which nothing in it can end.
fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest == 0 { format!("`{text}`") } else { format!("{fence} {text} {fence}") }
}

/// Escapes a text of a policy's author, in which Markdown and HTML mean nothing.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_control() {
            out.push(' ');
            continue;
        }
        if "\\`*_[]<>#|".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
