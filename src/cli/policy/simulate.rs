//! `attestree policy simulate`: fires scenarios at a server, and holds what its log proves against what they expect.

use core::time::Duration;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use bytes::Bytes;

use super::super::exit::{self, Exit, wrong_usage};
use super::super::output::{self, Output};
use super::super::remote::{Remote, block_on};
use super::Show;
use super::report::{Case, Outcome, Report};
use crate::client::retry::Backoff;
use crate::client::{AppendedEvent, Client, ClientError, NewEntry, Watch};
use crate::core::number::LeafIndex;
use crate::core::policy::FILE_BYTES_MAX;
use crate::core::record::{Body, Record, System};
use crate::policy::test::{Became, Scenario, Shot};
use crate::policy::{self, Compiled};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sends the events of scenarios to a server whose log has a policy in force, reads the log back, proves every
record that it reads against a checkpoint that --trust accepts, and compares what became of the last event,
and the alerts that were raised meanwhile, with what the scenario expects. What is sent stays in that log.

A scenario is a test as `attestree policy test` runs it; one that says when its events come ('at') or from
whom ('source') is skipped, for the server decides that. 'times' repeats an event, 'after' waits before each:
  - name: failed logins are told
    event: {act: auth.login, out: failure, actor: {id: \"mallory-${run}\"}}
    times: 5
    expect: {verdict: accept, alerts: [alert/brute-force]}
'${run}' is something new in each run, so that what an earlier run has counted does not count again. Alerts
that others raise while a scenario runs count as its own.

Exit codes:
  0 all as expected   1 something is not, or can't be read

Examples:
  attestree policy simulate policy/tests/scenarios/*.yaml
  attestree policy simulate attack.yaml --server http://127.0.0.1:6962 --log log.example/audit
  attestree policy simulate attack.yaml --run 'brute force' --format junit > attack.xml")]
pub(super) struct Args {
    /// Files of scenarios
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    /// Run only scenarios whose name contains this
    #[arg(long, value_name = "TEXT")]
    run: Option<String>,
    /// Seconds to wait for the alerts that a scenario expects, after its last event
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3_600))]
    wait: u64,
    /// Fire at a server that is not on this machine
    #[arg(long)]
    remote: bool,
    #[command(flatten)]
    show: Show,
}

/// A file of scenarios.
struct File {
    path: String,
    scenarios: Vec<Scenario>,
}

/// What fires.
struct Range {
    client: Client,
    /// What is in force there.
    compiled: Compiled,
    /// What `${run}` becomes.
    run: String,
    /// How many events were sent.
    sent: u64,
    wait: Duration,
}

/// What was read of the log since a scenario began.
struct Seen {
    /// The next index to read.
    next: u64,
    /// The last event's index, and its bytes once they were read.
    index: Option<u64>,
    entry: Option<Vec<u8>>,
    alerts: BTreeSet<String>,
}

/// What became of an event, as its answer says.
enum Answer {
    /// It stands at this index, with these bytes unless it stood there before.
    Recorded(u64, Option<Bytes>),
    Suppressed,
    Rejected(Vec<String>),
    Malformed,
}

/// Fires the scenarios.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    if !args.remote && !remote.server()?.is_local() {
        return Err(wrong_usage(format!(
            "{} is not this machine, and what scenarios send stays in its log; say --remote if that is meant",
            remote.server
        )));
    }
    let mut report = Report { verb: "simulate", ..Report::default() };
    let files = files(&args.scenarios, &mut report)?;
    if !report.findings.is_empty() {
        args.show.print(&report, output)?;
        return Err(exit::quietly(Exit::Failed));
    }
    let is_meant = |name: &str| args.run.as_ref().is_none_or(|run| name.contains(run));
    block_on(async {
        let mut range = Range::open(remote, Duration::from_secs(args.wait)).await?;
        for file in &files {
            for scenario in file.scenarios.iter().filter(|one| is_meant(one.name())) {
                let outcome = match scenario.skipped() {
                    Some(why) => Outcome::Skipped(why.to_owned()),
                    None => range.fire(scenario).await?,
                };
                let (name, line) = (scenario.name().to_owned(), scenario.line());
                report.cases.push(Case { file: file.path.clone(), line, name, outcome });
            }
        }
        Ok(())
    })?;
    ensure!(!report.cases.is_empty(), "there is no such scenario");
    args.show.print(&report, output)?;
    if report.tally().failed > 0 { Err(exit::quietly(Exit::Failed)) } else { Ok(()) }
}

/// Reads the scenarios; what is wrong with them goes to the report.
fn files(paths: &[PathBuf], report: &mut Report) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in paths {
        let content = output::read_at_most(path, FILE_BYTES_MAX)?;
        let path = Path::new(path).display().to_string();
        report.sources.insert(path.clone(), String::from_utf8_lossy(&content).into_owned());
        match Scenario::load(&path, &content) {
            Ok(scenarios) => files.push(File { path, scenarios }),
            Err(found) => report.findings.extend(found),
        }
    }
    Ok(files)
}

impl Range {
    /// Connects to the log, and takes the policy that is in force there.
    async fn open(remote: &Remote, wait: Duration) -> anyhow::Result<Self> {
        let client = remote.connect().await?;
        let policy = client.governing().await?.policy.context(
            "no policy is in force in the log, so that nothing can be expected of it; see `attestree policy apply`",
        )?;
        let compiled = policy::compile(&policy.bundle)
            .map_err(|_| anyhow::anyhow!("this version can't read the policy in force"))?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).context("ask the system for randomness")?;
        Ok(Self { client, compiled, run: output::hex(&random), sent: 0, wait })
    }

    /// Fires one scenario and compares.
    async fn fire(&mut self, scenario: &Scenario) -> anyhow::Result<Outcome> {
        // Opened first, so that no checkpoint comes unnoticed between reading and waiting.
        let mut watch = self.client.watch().await?;
        let next = self.client.checkpoint().await?.head().size.get();
        let mut seen = Seen { next, index: None, entry: None, alerts: BTreeSet::new() };
        let mut last = None;
        // Each run has a name of its own for each scenario: what one has counted is not the next one's.
        let run = format!("{}{:x}", self.run, self.sent);
        for shot in scenario.shots(&run) {
            tokio::time::sleep(shot.after).await;
            let answer = self.send(&shot).await?;
            last = Some((shot, answer));
        }
        let Some((shot, answer)) = last else { return Ok(Outcome::Skipped("it is empty".into())) };
        seen.index = if let Answer::Recorded(index, _) = &answer { Some(*index) } else { None };
        let wanted = scenario.alerts();
        seen.read(&self.client, None).await?;
        if !seen.has(wanted) {
            // Whether it came in time shows in what was seen.
            let search = seen.search(&self.client, &mut watch, wanted);
            if let Ok(searched) = tokio::time::timeout(self.wait, search).await {
                searched?;
            }
        }
        let wrong = self.compare(scenario, &shot, &answer, &seen)?;
        Ok(if wrong.is_empty() { Outcome::Passed } else { Outcome::Failed(wrong) })
    }

    /// Sends an event until it is answered.
    async fn send(&mut self, shot: &Shot) -> anyhow::Result<Answer> {
        self.sent += 1;
        let key = Bytes::from(format!("simulate-{}-{}", self.run, self.sent));
        let mut backoff = Backoff::default();
        loop {
            let event = NewEntry { bytes: Bytes::from(shot.bytes.clone()), key: key.clone() };
            match self.client.append_event(event).await {
                Ok(appended) => return Ok(Answer::of(appended)),
                Err(ClientError::Refused(refused)) if refused.reason == "POLICY" => {
                    let rules = refused.details.get("rules").map_or("", String::as_str);
                    let mut rules: Vec<String> =
                        rules.split_whitespace().map(str::to_owned).collect();
                    rules.sort_unstable();
                    return Ok(Answer::Rejected(rules));
                }
                Err(ClientError::Refused(refused)) if refused.reason == "MALFORMED" => {
                    return Ok(Answer::Malformed);
                }
                Err(error) => match backoff.next(&error) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(error.into()),
                },
            }
        }
    }

    /// Returns what is not as the scenario expects.
    fn compare(
        &self,
        scenario: &Scenario,
        shot: &Shot,
        answer: &Answer,
        seen: &Seen,
    ) -> anyhow::Result<Vec<String>> {
        let became = match answer {
            Answer::Recorded(index, echo) => {
                let Some(entry) = &seen.entry else {
                    return Ok(vec![format!(
                        "entry {index}: expected in the log, found nothing in time"
                    )]);
                };
                ensure!(
                    echo.as_ref().is_none_or(|echo| echo == entry),
                    "the log has another entry at {index} than the one that it answered with"
                );
                let record = Record::parse(entry)
                    .with_context(|| format!("read entry {index} as a record"))?;
                let became = Became::Recorded(&record);
                return Ok(scenario.compare(&self.compiled, shot, &became, &seen.alerts));
            }
            Answer::Suppressed => Became::Suppressed,
            Answer::Rejected(rules) => Became::Rejected(rules.clone()),
            Answer::Malformed => Became::Malformed,
        };
        Ok(scenario.compare(&self.compiled, shot, &became, &seen.alerts))
    }
}

impl Answer {
    fn of(answer: AppendedEvent) -> Self {
        use crate::client::Became;
        let Some(appended) = answer.appended else { return Self::Suppressed };
        let index = appended.index.get();
        match answer.became {
            Became::Recorded(recorded) => Self::Recorded(index, Some(recorded.entry)),
            Became::Before => Self::Recorded(index, None),
            Became::Suppressed => Self::Suppressed,
        }
    }
}

impl Seen {
    /// Returns whether the last event's entry is there, if it has one, and all of these alerts.
    fn has(&self, alerts: &[String]) -> bool {
        let is_there = self.index.is_none() || self.entry.is_some();
        is_there && alerts.iter().all(|alert| self.alerts.contains(alert))
    }

    /// Reads the log until all is there; for ever, if it does not come.
    async fn search(
        &mut self,
        client: &Client,
        watch: &mut Watch,
        alerts: &[String],
    ) -> anyhow::Result<()> {
        while !self.has(alerts) {
            let next = watch.next().await?;
            if next.is_none() {
                *watch = client.watch().await?;
            }
            self.read(client, next.map(|checkpoint| checkpoint.head().size.get())).await?;
        }
        Ok(())
    }

    /// Reads what the log has below a size, or below its newest one, each entry proved.
    async fn read(&mut self, client: &Client, size: Option<u64>) -> anyhow::Result<()> {
        let size = match size {
            Some(size) => size,
            None => client.checkpoint().await?.head().size.get(),
        };
        let range = (LeafIndex::new(self.next), LeafIndex::new(size));
        let (Some(from), Some(to)) = range else { return Ok(()) };
        if from >= to {
            return Ok(());
        }
        let mut take = |index: LeafIndex, entry: &[u8]| {
            // What is no record is for monitors to find.
            match Record::parse(entry).as_ref().map(Record::body) {
                Ok(Body::System(System::Alert(_, tally))) => {
                    self.alerts.insert(tally.rule.clone());
                }
                _ if self.index == Some(index.get()) => self.entry = Some(entry.to_vec()),
                _ => {}
            }
        };
        client.read(from, to, &mut take).await?;
        self.next = size;
        Ok(())
    }
}
