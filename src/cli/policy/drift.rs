//! `attestree policy drift`: is the policy of the directory the one in force, and do sources go by it?
//!
//! A source reports the policy that it was configured with as the text of its digest in `ctx.policy` of an event.
//! What counts is its newest such event: of the authenticated source, or of the one that the event claims.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::super::exit::{self, Exit};
use super::super::log::admin;
use super::super::output::Output;
use super::super::remote::{Remote, block_on};
use super::Show;
use super::load::{self, Which};
use super::operator::{InForce, named};
use super::report::{Report, error};
use crate::client::Client;
use crate::core::number::LeafIndex;
use crate::core::origin::Origin;
use crate::core::record::json::Value;
use crate::core::record::{Body, PolicyDigest, Record, RecordedEvent};
use crate::policy::Diagnostic;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --data the log is asked: its records say which policy is in force, and are proved against a checkpoint
that --trust accepts. A source reports its policy as the text of the digest in ctx.policy of its events; of each
source that does so among the last records, the newest report counts.

With --data the server on this machine is asked over its socket, and sources are not looked at.

Exit codes:
  0 all the same   1 an error   2 drift

Examples:
  attestree policy drift policy --server https://logs.example.com --trust trust.policy
  attestree policy drift policy --data attestree-data
  attestree policy drift policy --format github")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Data directory of the running server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many of the newest records are searched for reports of sources
    #[arg(long, value_name = "N", default_value_t = 10_000, conflicts_with = "data")]
    last: u64,
    #[command(flatten)]
    show: Show,
}

/// What was compared, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    origin: String,
    directory: String,
    /// What is in force; absent if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_force: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    sources: Vec<Source>,
    drift: bool,
}

/// What a source reports, as JSON.
#[derive(Debug, Serialize)]
struct Source {
    #[serde(rename = "source")]
    name: String,
    /// Whether nobody but the event says that it is of this source.
    claimed: bool,
    digest: String,
    index: u64,
    drift: bool,
}

/// Whose event it is: whether it is only claimed, and the name.
type Name = (bool, String);

/// What was found.
struct Found {
    origin: Origin,
    in_force: PolicyDigest,
    index: Option<u64>,
    reports: BTreeMap<Name, (u64, String)>,
}

/// Compares.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let bundle = load::read(&args.which.policy, args.which.env.as_deref())?;
    let found = block_on(async {
        match &args.data {
            Some(data) => {
                let (mut admin, url) = admin(data).await?;
                let active = InForce::ask(&mut admin, &url, remote.log.as_ref()).await?;
                let InForce { origin, digest, index, .. } = active;
                Ok(Found { origin, in_force: digest, index, reports: BTreeMap::new() })
            }
            None => search(&remote.connect().await?, args.last).await,
        }
    })?;
    let shown = compare(found, bundle.digest());
    let report = || {
        let findings = findings(&shown);
        Report { findings, ..load::report("drift", &args.which.policy, &bundle) }
    };
    args.show.tell(&shown, || text(&shown), report, output)?;
    if shown.drift { Err(exit::quietly(Exit::Different)) } else { Ok(()) }
}

/// Reads what the log proves.
async fn search(client: &Client, last: u64) -> anyhow::Result<Found> {
    let governing = client.governing().await?;
    let mut reports = BTreeMap::new();
    let size = governing.checkpoint.head().size.get();
    let range = (LeafIndex::new(size.saturating_sub(last)), LeafIndex::new(size));
    if let (Some(from), Some(to)) = range
        && from < to
    {
        let take = |index: LeafIndex, entry: &[u8]| {
            // What is no record is for monitors to find.
            if let Some((name, digest)) = Record::parse(entry).ok().as_ref().and_then(report) {
                reports.insert(name, (index.get(), digest));
            }
        };
        client.read(from, to, take).await?;
    }
    let policy = governing.policy.as_ref();
    Ok(Found {
        origin: client.trust().origin().clone(),
        in_force: policy.map_or(PolicyDigest::NONE, |policy| policy.record.digest),
        index: policy.map(|policy| policy.index.get()),
        reports,
    })
}

/// Returns the policy that an event's source reports.
fn report(record: &Record<'_>) -> Option<(Name, String)> {
    let Body::Event(event) = record.body() else { return None };
    let policy = context(event, "policy")?;
    let claimed = || Some((true, context(event, "claimed_source")?));
    let name = event.source().map(|source| (false, source.to_owned())).or_else(claimed)?;
    Some((name, policy))
}

/// Returns a text of an event's context.
fn context(event: &RecordedEvent<'_>, name: &str) -> Option<String> {
    let context = event.content().get("ctx").and_then(Value::as_object)?;
    context.get(name)?.as_str().map(str::to_owned)
}

/// Compares everything with the directory.
fn compare(found: Found, directory: PolicyDigest) -> Shown {
    let Found { origin, in_force, index, reports } = found;
    let wanted = directory.to_string();
    let source = |((claimed, source), (index, digest)): (Name, (u64, String))| Source {
        drift: digest != wanted,
        name: source,
        claimed,
        digest,
        index,
    };
    let sources: Vec<Source> = reports.into_iter().map(source).collect();
    Shown {
        origin: origin.to_string(),
        in_force: Some(in_force).filter(|it| *it != PolicyDigest::NONE).map(named),
        index,
        drift: in_force != directory || sources.iter().any(|source| source.drift),
        sources,
        directory: wanted,
    }
}

/// Writes the comparison for people.
fn text(shown: &Shown) -> String {
    let sign = |drift| if drift { "drift" } else { "same " };
    let mut lines = vec![format!("       directory: {}", shown.directory)];
    lines.push(format!("{}  {}", sign(shown.is_elsewhere()), shown.in_force()));
    lines.extend(shown.sources.iter().map(|one| format!("{}  {}", sign(one.drift), one.text())));
    lines.join("\n")
}

/// Makes findings of what differs from the directory.
fn findings(shown: &Shown) -> Vec<Diagnostic> {
    let differs = |what: String| format!("{what}; the directory's is {}", shown.directory);
    let log = Some(shown.in_force()).filter(|_| shown.is_elsewhere());
    let log = log.map(|what| error("policy/drift", differs(what)));
    let sources = shown.sources.iter().filter(|source| source.drift);
    log.into_iter()
        .chain(sources.map(|source| error("policy/source-drift", differs(source.text()))))
        .collect()
}

impl Shown {
    /// Returns whether the log is governed by another policy, or by none.
    fn is_elsewhere(&self) -> bool {
        self.in_force.as_ref() != Some(&self.directory)
    }

    /// Says what is in force in the log.
    fn in_force(&self) -> String {
        let origin = &self.origin;
        match (&self.in_force, self.index) {
            (Some(digest), Some(index)) => {
                format!("{origin}: {digest}, put into force at index {index}")
            }
            _ => format!("{origin}: no policy is in force"),
        }
    }
}

impl Source {
    /// Says what the source reports.
    fn text(&self) -> String {
        let Self { name, claimed, digest, index, .. } = self;
        let kind = if *claimed { "claimed source" } else { "source" };
        format!("{kind} {name}: {digest}, at index {index}")
    }
}
