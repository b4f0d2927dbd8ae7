//! `attestree policy plan`: what applying a policy would change in a log, and the file that is approved.

use core::time::Duration;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::super::exit::{self, Exit};
use super::super::output::{self, Output};
use super::super::remote::{Remote, block_on};
use super::load::{self, Which, load};
use super::operator::{InForce, asked, named};
use super::replay::{self, Shown};
use super::report::note;
use super::{Show, diff};
use crate::cli::clock::now;
use crate::client::Governing;
use crate::core::origin::Origin;
use crate::core::policy::Bundle;
#[cfg(feature = "server")]
use crate::core::record::Record;
use crate::core::record::{ApprovalRule, ApproverKey, PolicyDigest, Timestamp};
use crate::policy::diff::{Change, diff as compare, files};
use crate::policy::{self, Compiled, Diagnostic};

/// What a plan says that it is.
const FORM: &str = "attestree/policy-plan/v1";

/// Most bytes of a plan: all changes of the largest policy in words.
const PLAN_BYTES_MAX: usize = 4 << 20;

/// Length of a day.
const DAY: Duration = Duration::from_hours(24);

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads the policy in force from the log itself, proved against a checkpoint that --trust accepts, and says what
the one in the directory would change. The plan binds approvals to this log, these two policies and a time.
With --replay, the newest records are judged by the new policy too: which verdicts would be others? What the
policy in force redacted stays redacted, and what a record only commits to is not known.

With --data the operator plans from the data directory, whether or not a server runs on it; nothing is proved
then, and the log is asked for nothing.

Exit codes:
  0 the same policy is in force   1 an error   2 there is something to apply

Examples:
  attestree policy plan policy --server https://logs.example.com --trust trust.policy -o change.plan
  attestree policy plan policy --data attestree-data --replay 10000
  attestree policy approve change.plan --key alice.skey -o alice.approval
  attestree policy apply policy --plan change.plan --approval alice.approval --data attestree-data")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// File to write the plan to, for those who approve
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Days after which the plan and its approvals end
    #[arg(long, value_name = "DAYS", default_value = "7", value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Judge this many of the newest records by the new policy, and say what becomes of their verdicts
    #[arg(long, value_name = "N")]
    replay: Option<u64>,
    /// Read the log in this data directory, and ask no server
    #[cfg(feature = "server")]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    show: Show,
}

/// What is printed, as JSON: the plan, and what it would have meant for records that are there.
#[derive(Debug, Serialize)]
struct Printed<'p> {
    #[serde(flatten)]
    plan: &'p Plan,
    #[serde(skip_serializing_if = "Option::is_none")]
    impact: Option<&'p Shown>,
}

/// What the log says.
struct Found {
    origin: Origin,
    /// What is in force, and its files.
    old: Option<(PolicyDigest, Bundle)>,
    rule: ApprovalRule,
    impact: Option<Shown>,
}

/// A plan, as its file and `--json` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    #[serde(rename = "plan")]
    form: String,
    origin: String,
    /// Absent for the first policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    new: String,
    expires: String,
    /// Who has to approve it.
    rule: Rule,
    changes: Vec<One>,
}

/// Who has to approve, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    keys: Vec<String>,
    threshold: usize,
}

/// A change, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct One {
    direction: String,
    subject: String,
    what: String,
}

/// What a plan binds approvals to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) origin: Origin,
    pub(super) old: PolicyDigest,
    pub(super) new: PolicyDigest,
    pub(super) expires: Timestamp,
    pub(super) rule: ApprovalRule,
}

/// Says what would change.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let loaded = load("plan", &args.which.policy, args.which.env.as_deref(), args.show, output)?;
    let Found { origin, old: in_force, rule, impact } = find(args, remote, &loaded.compiled)?;
    let new = loaded.bundle.digest();
    let old = in_force.as_ref().map_or(PolicyDigest::NONE, |(digest, _)| *digest);
    let in_force = in_force.as_ref().map(|(_, bundle)| bundle);
    let changes = changes(in_force, &loaded.bundle, &loaded.compiled.document)?;
    let micros = now()?.micros() + u64::try_from((DAY * args.days).as_micros())?;
    let expires = Timestamp::from_micros(micros).context("the plan ends after the year 9999")?;
    let bound = Bound { origin, old, new, expires, rule };
    let plan = Plan::new(&bound, &changes);
    // Whoever reads what is printed may stop early, as `head` does.
    if let Some(path) = args.output.as_ref().filter(|_| old != new) {
        let mut text = serde_json::to_string_pretty(&plan).context("write the plan")?;
        text.push('\n');
        output::write(path, text.as_bytes())?;
    }
    let printed = Printed { plan: &plan, impact: impact.as_ref() };
    let told = || {
        let sampled = impact.as_ref();
        let sampled =
            sampled.map(|shown| format!("under the new policy:\n{}\n", replay::text(shown)));
        sampled.unwrap_or_default() + &text(&bound, &changes)
    };
    let report = || {
        let mut report = load::report("plan", &args.which.policy, &loaded.bundle);
        report.findings = changes.iter().map(diff::finding).collect();
        report.findings.extend(impact.iter().flat_map(replay::findings));
        report.findings.push(note("policy/plan", summary(&bound)));
        report
    };
    args.show.tell(&printed, told, report, output)?;
    if old == new { Ok(()) } else { Err(exit::quietly(Exit::Different)) }
}

/// Asks the log what is in force, and what the new policy would have meant for its newest records.
fn find(args: &Args, remote: &Remote, new: &Compiled) -> anyhow::Result<Found> {
    #[cfg(feature = "server")]
    if let Some(data) = &args.data {
        return find_in(data, remote, args.replay, new);
    }
    block_on(async {
        let client = remote.connect().await?;
        let Governing { checkpoint, policy, rule } = client.governing().await?;
        let to = checkpoint.head().size.get();
        let impact = match args.replay {
            Some(last) => {
                let from = to.saturating_sub(last);
                Some(replay::walk(&client, from, to, Some(new), None).await?)
            }
            None => None,
        };
        let old = policy.map(|policy| (policy.record.digest, policy.bundle));
        Ok(Found { origin: client.trust().origin().clone(), old, rule, impact })
    })
}

/// Reads the same from a data directory.
#[cfg(feature = "server")]
fn find_in(
    data: &Path,
    remote: &Remote,
    last: Option<u64>,
    new: &Compiled,
) -> anyhow::Result<Found> {
    let named = remote.log.as_ref().map_or("", Origin::as_str);
    let log = crate::server::Governed::open(data, named)?;
    let crate::server::InForce { policy, rule } = log.in_force()?;
    let mut impact = None;
    if let Some(last) = last {
        let from = log.size().saturating_sub(last);
        let mut shown = Shown::new(from, log.size());
        for index in from..log.size() {
            let Some(entry) = log.entry(index)? else { continue };
            match Record::parse(&entry) {
                Ok(record) => shown.impact(index, &record, new, &[]),
                Err(_) => shown.no_record(),
            }
        }
        impact = Some(shown);
    }
    let old = policy.map(|(record, bundle)| (record.digest, bundle));
    Ok(Found { origin: log.origin().clone(), old, rule, impact })
}

/// Compares the policy in force with another.
fn changes(
    old: Option<&Bundle>,
    bundle: &Bundle,
    document: &policy::Document,
) -> anyhow::Result<Vec<Change>> {
    let Some(old) = old else { return Ok(Vec::new()) };
    let sentence = |found: Vec<Diagnostic>| {
        let first = found.first().map(|found| found.message.clone()).unwrap_or_default();
        anyhow::anyhow!("the policy in force can't be read by this version: {first}")
    };
    let before = policy::read_document(old).map_err(sentence)?.0;
    let mut changes = compare(&before, document);
    changes.extend(files(old, bundle));
    changes.sort_by_key(|change| change.direction);
    Ok(changes)
}

/// Writes a plan for people.
fn text(bound: &Bound, changes: &[Change]) -> String {
    let what = match bound.old {
        old if old == bound.new => String::new(),
        PolicyDigest::NONE => "no policy is in force: this is the first\n".to_owned(),
        _ => diff::text(changes, false) + "\n",
    };
    what + &summary(bound)
}

/// Writes what a plan binds, and who has to approve it.
fn summary(bound: &Bound) -> String {
    let Bound { origin, old, new, expires, rule } = bound;
    if old == new {
        return format!("{origin}: nothing to apply, {new} is in force");
    }
    let old = named(*old);
    format!("{origin}: {old} -> {new}, until {expires}\n{}", asked(rule))
}

impl Plan {
    /// Puts a plan together.
    fn new(bound: &Bound, changes: &[Change]) -> Self {
        let one = |change: &Change| One {
            direction: change.direction.name().to_owned(),
            subject: change.subject.clone(),
            what: change.what.clone(),
        };
        let rule = Rule {
            keys: bound.rule.keys().iter().map(ToString::to_string).collect(),
            threshold: bound.rule.threshold(),
        };
        Self {
            form: FORM.to_owned(),
            origin: bound.origin.to_string(),
            old: Some(bound.old)
                .filter(|old| *old != PolicyDigest::NONE)
                .map(|old| old.to_string()),
            new: bound.new.to_string(),
            expires: bound.expires.to_string(),
            rule,
            changes: changes.iter().map(one).collect(),
        }
    }

    /// Returns what it binds approvals to; `None` if a part has not its form.
    fn bound(&self) -> Option<Bound> {
        let old = self.old.as_deref().map_or(Some(PolicyDigest::NONE), PolicyDigest::parse)?;
        let keys = self.rule.keys.iter().map(|key| ApproverKey::parse(key));
        Some(Bound {
            origin: Origin::parse(&self.origin).ok()?,
            old,
            new: PolicyDigest::parse(&self.new)?,
            expires: Timestamp::parse(&self.expires)?,
            rule: ApprovalRule::new(keys.collect::<Option<_>>()?, self.rule.threshold)?,
        })
    }
}

/// Reads a plan that is not over.
pub(super) fn read(path: &Path) -> anyhow::Result<Bound> {
    let bytes = output::read_at_most(path, PLAN_BYTES_MAX)?;
    let path = path.display();
    let plan: Plan = serde_json::from_slice(&bytes)
        .with_context(|| format!("{path} is no plan; make one with `attestree policy plan -o`"))?;
    ensure!(plan.form == FORM, "{path} is a plan of another version: {:?}", plan.form);
    let bound = plan.bound().with_context(|| format!("{path} is damaged; make another plan"))?;
    ensure!(bound.expires > now()?, "{path} ended at {}; make another plan", bound.expires);
    Ok(bound)
}

impl Bound {
    /// Refuses to go on where the plan is not about this bundle in this log as it is.
    pub(super) fn check(&self, bundle: PolicyDigest, active: &InForce) -> anyhow::Result<()> {
        ensure!(
            self.origin == active.origin,
            "the plan is for {}, not for {}; name the log with --log",
            self.origin,
            active.origin
        );
        ensure!(
            self.new == bundle,
            "the policy changed since the plan was made: it is {bundle}, and the plan's is {}; make another plan",
            self.new
        );
        ensure!(
            self.old == active.digest,
            "another policy came into force since the plan was made: {}, and the plan replaces {}; make another plan",
            named(active.digest),
            named(self.old)
        );
        Ok(())
    }
}
