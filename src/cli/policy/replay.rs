//! `attestree policy replay`: comes to the verdicts of a log's records again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::super::exit::{self, Exit};
use super::super::output::{Output, count};
use super::super::remote::{Remote, block_on};
use super::Show;
use super::disclosures::Disclosures;
use super::load::load;
use super::report::{Report, error, note};
use crate::client::{Client, LoggedPolicy};
use crate::core::number::LeafIndex;
use crate::core::record::{Body, Engine, Opening, PolicyDigest, Record, RecordedEvent, System};
use crate::policy::replay::{Again, Reason, Replay, Unknown, impact, replay};
use crate::policy::{self, Compiled, Diagnostic};

/// Records that are read before they are judged: 1,024 of 64 KiB are 64 MiB.
const CHUNK: u64 = 1_024;

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads records, proves them against a checkpoint that --trust accepts, and judges each by the policy that it
names, whose files are in the log too. Of what a record only commits to nothing is known: where rules need it,
and of an event that was quarantined, the verdict is undetermined. --disclosures opens it: what `attestree
disclose` prints, or the INDEX.openings.json of `attestree append --receipts`. Of which record they are, the
commitment says that they open. With --bundle another policy judges: what would it have said?

Exit codes:
  0 none is different   1 an error   2 some are

Examples:
  attestree policy replay --server https://logs.example.com --trust trust.policy
  attestree policy replay --last 1000 --bundle policy
  attestree disclose 7 --data attestree-data > 7.disclosure.json && attestree policy replay --disclosures .")]
pub(super) struct Args {
    /// Judge by this policy, and not by those that the records name
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Environment whose overlay is applied to --bundle
    #[arg(long, value_name = "NAME", requires = "bundle")]
    env: Option<String>,
    /// How many of the newest records
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    last: u64,
    /// Disclosed fields: a file, or a directory's *.openings.json and *.disclosure.json
    #[arg(long, value_name = "FILE|DIR")]
    disclosures: Option<PathBuf>,
    #[command(flatten)]
    show: Show,
}

/// What came of it, as JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct Shown {
    from: u64,
    to: u64,
    same: u64,
    different: Vec<Different>,
    undetermined: BTreeMap<&'static str, u64>,
    not_replayable: BTreeMap<&'static str, u64>,
    /// Disclosures that open nothing of these records.
    #[serde(skip_serializing_if = "Option::is_none")]
    unused_disclosures: Option<usize>,
}

/// A record whose verdict is another, as JSON.
#[derive(Debug, Serialize)]
struct Different {
    index: u64,
    verdict: &'static str,
    rules: Vec<String>,
    again: &'static str,
    again_rules: Vec<String>,
}

/// The policy that judges, made ready; `None` if this version can't.
struct Judge {
    digest: PolicyDigest,
    engine: Engine,
    compiled: Option<Compiled>,
}

/// Replays.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let show = args.show;
    let other = args.bundle.as_deref();
    let other = other.map(|path| load("replay", path, args.env.as_deref(), show, output));
    let other = other.transpose()?.map(|loaded| loaded.compiled);
    let mut disclosures = args.disclosures.as_deref().map(Disclosures::read).transpose()?;
    let mut shown = block_on(async {
        let client = remote.connect().await?;
        // That it is an audit log, the first record says.
        let to = client.governing().await?.checkpoint.head().size.get();
        let opened = disclosures.as_mut();
        walk(&client, to.saturating_sub(args.last), to, other.as_ref(), opened).await
    })?;
    shown.unused_disclosures = disclosures.map(|disclosures| disclosures.unused());
    let root = args.bundle.as_deref().map_or_else(String::new, |path| path.display().to_string());
    let report =
        || Report { verb: "replay", root, findings: findings(&shown), ..Report::default() };
    show.tell(&shown, || text(&shown), report, output)?;
    if shown.different.is_empty() { Ok(()) } else { Err(exit::quietly(Exit::Different)) }
}

/// Judges the records `[from, to)` in order: by another policy, or by those that they name.
pub(super) async fn walk(
    client: &Client,
    from: u64,
    to: u64,
    other: Option<&Compiled>,
    mut disclosures: Option<&mut Disclosures>,
) -> anyhow::Result<Shown> {
    let mut shown = Shown::new(from, to);
    let mut judge = match other {
        None => client.governing_before(from).await?.map(Judge::new),
        Some(_) => None,
    };
    let mut next = from;
    while next < to {
        let mut entries: Vec<(LeafIndex, Vec<u8>)> = Vec::new();
        let end = to.min(next + CHUNK);
        if let (Some(first), Some(end)) = (LeafIndex::new(next), LeafIndex::new(end)) {
            client.read(first, end, |index, entry| entries.push((index, entry.to_vec()))).await?;
        }
        next = end;
        for (index, entry) in &entries {
            let Ok(record) = Record::parse(entry) else {
                shown.no_record();
                continue;
            };
            let mut openings =
                || disclosures.as_deref_mut().map_or_else(Vec::new, |all| all.of(&record));
            match (record.body(), other) {
                (Body::Event(_), Some(other)) => {
                    shown.impact(index.get(), &record, other, &openings());
                }
                (Body::Event(_), None) => match &judge {
                    Some(judge) => judge.judge(&mut shown, index.get(), &record, &openings()),
                    None => shown.unreplayed("no policy was in force"),
                },
                (Body::System(System::Policy(active)), None) => {
                    judge = Some(Judge::new(client.with_files(*index, active.clone()).await?));
                }
                (Body::System(_), _) => {}
            }
        }
    }
    Ok(shown)
}

impl Judge {
    /// Makes a policy of the log ready.
    fn new(policy: LoggedPolicy) -> Self {
        let compiled = policy::compile(&policy.bundle).ok();
        Self { digest: policy.record.digest, engine: policy.record.engine, compiled }
    }

    /// Judges one record.
    fn judge(&self, shown: &mut Shown, index: u64, record: &Record<'_>, openings: &[Opening]) {
        let Body::Event(event) = record.body() else { return };
        match &self.compiled {
            Some(compiled) => {
                let policy = &compiled.policy;
                let again = replay(policy, &*compiled.custom, &self.engine, record, openings);
                shown.take(index, event, again);
            }
            None if record.policy() != Some(self.digest) => {
                shown.unreplayed("they name another policy than the one in force");
            }
            None => shown.unreplayed("this version can't read their policy"),
        }
    }
}

impl Shown {
    /// Begins with nothing judged of the records `[from, to)`.
    pub(super) fn new(from: u64, to: u64) -> Self {
        Self { from, to, ..Self::default() }
    }

    /// Counts an entry that is no record.
    pub(super) fn no_record(&mut self) {
        self.unreplayed("they are no records");
    }

    /// Judges an event's record by another policy than its own.
    pub(super) fn impact(
        &mut self,
        index: u64,
        record: &Record<'_>,
        other: &Compiled,
        openings: &[Opening],
    ) {
        if let Body::Event(event) = record.body() {
            self.take(index, event, impact(&other.policy, &*other.custom, record, openings));
        }
    }

    /// Counts what came of one record.
    fn take(&mut self, index: u64, event: &RecordedEvent<'_>, again: Replay) {
        match again {
            Replay::Same => self.same += 1,
            Replay::Different(again) => self.different.push(Different::new(index, event, again)),
            Replay::Undetermined(unknown) => {
                let why = match unknown {
                    Unknown::Submission => "what was submitted is not shown",
                    Unknown::Values(_) => "rules need values that are not shown",
                    Unknown::Time => "rules ran out of time",
                };
                *self.undetermined.entry(why).or_default() += 1;
            }
            Replay::NotReplayable(reason) => self.unreplayed(match reason {
                Reason::System => "the system made them",
                Reason::NoPolicy => "no policy was in force",
                Reason::OtherPolicy => "they name another policy than the one in force",
                Reason::OtherEngine(_) => "another version of the engine judged them",
                Reason::Disclosure(_) => "a disclosure does not fit",
            }),
        }
    }

    /// Counts a record that can't be judged again.
    fn unreplayed(&mut self, why: &'static str) {
        *self.not_replayable.entry(why).or_default() += 1;
    }
}

impl Different {
    fn new(index: u64, event: &RecordedEvent<'_>, again: Again) -> Self {
        Self {
            index,
            verdict: event.verdict().as_str(),
            rules: event.rules().to_vec(),
            again: again.verdict.map_or("reject", |verdict| verdict.as_str()),
            again_rules: again.rules,
        }
    }
}

/// Makes findings of it: another verdict is an error, and what can't be known a note.
pub(super) fn findings(shown: &Shown) -> Vec<Diagnostic> {
    let different = shown.different.iter().map(|one| error("policy/verdict", line(one)));
    different.chain([note("policy/replay", summary(shown))]).collect()
}

/// Writes what came of it for people.
pub(super) fn text(shown: &Shown) -> String {
    let lines = shown.different.iter().map(line);
    lines.chain([summary(shown)]).collect::<Vec<_>>().join("\n")
}

/// Counts what came of it.
fn summary(shown: &Shown) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (name, whys) in
        [("undetermined", &shown.undetermined), ("not replayable", &shown.not_replayable)]
    {
        lines.extend(whys.iter().map(|(why, number)| format!("{number} {name}: {why}")));
    }
    if let Some(unused) = shown.unused_disclosures.filter(|unused| *unused > 0) {
        let unused = count(unused as u64, "disclosure opens", "disclosures open");
        lines.push(format!("{unused} nothing of these records"));
    }
    let sum = |whys: &BTreeMap<&'static str, u64>| whys.values().sum::<u64>();
    let (undetermined, not) = (sum(&shown.undetermined), sum(&shown.not_replayable));
    let different = shown.different.len() as u64;
    let events = count(shown.same + different + undetermined + not, "event", "events");
    lines.push(format!(
        "{events} in [{}, {}): {} same, {different} different, {undetermined} undetermined, {not} not replayable",
        shown.from, shown.to, shown.same
    ));
    lines.join("\n")
}

fn line(different: &Different) -> String {
    let said = |verdict: &str, rules: &[String]| match rules {
        [] => verdict.to_owned(),
        rules => format!("{verdict} ({})", rules.join(", ")),
    };
    let before = said(different.verdict, &different.rules);
    format!(
        "entry {}: {before}, again {}",
        different.index,
        said(different.again, &different.again_rules)
    )
}
