//! `attestree policy explain`: why an event gets its verdict.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use super::super::output::{self, Output};
use super::Show;
use super::load::{Which, load};
use crate::policy::explain::{Explanation, explain};

/// Most bytes of an event.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Admits the event as a server with this policy would, without writing anything, and shows each class that it
is of, each rule that is about it and which fields that rule misses, and what is taken out of it.

Exit codes:
  0 explained, whatever the verdict   1 the policy or the event can't be read

Examples:
  attestree policy explain policy event.json
  echo '{\"act\":\"auth.login\",\"actor\":{\"id\":\"alice\"}}' | attestree policy explain policy -")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// File with the event as JSON; `-` is standard input
    #[arg(default_value = "-")]
    event: PathBuf,
    /// Principal that sends the event, as the server would know it
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    #[command(flatten)]
    show: Show,
}

/// An explanation as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    verdict: String,
    rules: Vec<String>,
    classes: Vec<Class>,
    checks: Vec<Check>,
    redacted: Vec<Hidden>,
    alerts: Vec<String>,
}

/// A value that the record does not show, as JSON.
#[derive(Debug, Serialize)]
struct Hidden {
    field: String,
    action: &'static str,
}

fn hidden(hidden: &crate::policy::explain::Hidden) -> Hidden {
    Hidden { field: crate::policy::format_field(&hidden.path), action: hidden.action }
}

/// A class, as JSON.
#[derive(Debug, Serialize)]
struct Class {
    name: String,
    named: bool,
    fits: bool,
}

/// A rule that is about the event, as JSON.
#[derive(Debug, Serialize)]
struct Check {
    rule: String,
    holds: bool,
    missing: Vec<String>,
    otherwise: &'static str,
}

/// Explains.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    let Which { policy, env } = &args.which;
    let loaded = load("explain", policy, env.as_deref(), args.show, output)?;
    let event = output::read_at_most(&args.event, EVENT_BYTES_MAX)?;
    let source = args.source.as_deref();
    let explanation = explain(&loaded.compiled, &event, source)
        .with_context(|| format!("read the event in {}", args.event.display()))?;
    let shown = shown(&explanation);
    if args.show.is_json(output) {
        return Output::new(true).print(&shown, "");
    }
    Output::line(text(&shown))
}

/// Makes the JSON of an explanation.
fn shown(explanation: &Explanation) -> Shown {
    let class = |class: &crate::policy::explain::Class| Class {
        name: class.name.clone(),
        named: class.is_named,
        fits: class.fits,
    };
    let check = |check: &crate::policy::explain::Check| Check {
        rule: check.rule.clone(),
        holds: check.missing.is_empty(),
        missing: check.missing.clone(),
        otherwise: check.otherwise,
    };
    Shown {
        verdict: explanation.verdict.clone(),
        rules: explanation.rules.clone(),
        classes: explanation.classes.iter().map(class).collect(),
        checks: explanation.checks.iter().map(check).collect(),
        redacted: explanation.redacted.iter().map(hidden).collect(),
        alerts: explanation.alerts.clone(),
    }
}

/// Writes an explanation for people.
fn text(shown: &Shown) -> String {
    let because = match shown.rules.as_slice() {
        [] => String::new(),
        rules => format!(", because of {}", rules.join(", ")),
    };
    let mut lines = vec![format!("{}{because}", shown.verdict)];
    for class in &shown.classes {
        let why = match (class.named, class.fits) {
            (true, true) => "it names it, and its conditions hold",
            (true, false) => "it names it",
            _ => "its conditions hold",
        };
        lines.push(format!("  class {}: {why}", class.name));
    }
    if shown.classes.is_empty() {
        lines.push("  no class: it names none that is known, and no conditions hold".to_owned());
    }
    for check in &shown.checks {
        lines.push(match check.holds {
            true => format!("  holds   {}", check.rule),
            false => {
                let missing = check.missing.join(", ");
                format!("  broken  {}: lacks {missing}; otherwise {}", check.rule, check.otherwise)
            }
        });
    }
    lines.extend(
        shown.redacted.iter().map(|one| format!("  hidden  {}: {}", one.field, one.action)),
    );
    lines.extend(shown.alerts.iter().map(|alert| format!("  counts  for {alert}")));
    lines.join("\n")
}
