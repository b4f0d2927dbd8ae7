//! `attestree append`: entries or audit events in, receipts out.

mod verdict;

use core::time::Duration;
use std::collections::VecDeque;
use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use zeroize::Zeroizing;

use self::verdict::Verdicts;
use crate::cli::entries::{self, Content, Line};
use crate::cli::exit::{rejected, wrong_usage};
use crate::cli::output::{self, Output, base64};
use crate::cli::remote::{Remote, block_on};
use crate::client::retry::Backoff;
use crate::client::{Became, Client, ClientError, NewEntry, Placed, PlacedEvents, Recorded};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::number::LeafIndex;
use crate::core::record::Disclosed;

/// Most entries of one batch that a server takes.
const BATCH_ENTRIES_MAX: usize = 4_096;

/// Bytes after which a batch is sent, whatever its number of entries: half of what a server takes.
const BATCH_BYTES: usize = 8 << 20;

/// Longest prefix of idempotency keys: 256 bytes less a hyphen and a line number of 20 digits.
const PREFIX_BYTES_MAX: usize = 235;

/// The reason of a server's refusal to show a cosigned checkpoint where there is none yet.
const NOT_COSIGNED: &str = "NOT_COSIGNED";

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each line is an entry, without its newline; empty lines are passed over. Lines are sent in batches
and answered when they are durable and covered by a signed checkpoint, with one proof that is
verified here. Should a connection break, a batch is sent again under the same idempotency keys, so
no line is ever appended twice.

With --event, for a log of kind audit, the file is one JSON object and each line of standard input is
one. The record that comes back is compared with what was sent: whatever was changed, and is not named
as redacted, fails the verification. Beside a receipt stand the record and, readable by you alone, what
opens what it hides, as `attestree verify --disclosure` and `attestree policy replay` take it. An event that the log's policy quarantines is in the log and warned of; one that it rejects is
not, and the exit code is 3 when all others are.

Examples:
  attestree append /var/log/dpkg.log
  attestree append --whole release.tar.gz.sha256 --receipts receipts
  journalctl -f -o json | attestree append -
  attestree append today.log --key-prefix today-2026-11-21    (may be run again after a failure)
  attestree append --event login.json
  attestree append --event - --receipts receipts < events.ndjson")]
pub(super) struct Args {
    /// File with the entries; `-` is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Take the file as one entry
    #[arg(long)]
    whole: bool,
    /// Append audit events: the file is one JSON object, and so is each line of standard input
    #[arg(long, conflicts_with = "whole")]
    event: bool,
    /// Directory to write one receipt an entry to, as INDEX.tlog-proof
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
    /// Most entries of one batch
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = batch_size)]
    batch: usize,
    /// Beginning of the idempotency keys, which end in the line number [default: random]
    ///
    /// Running a command again with the same prefix and the same input appends nothing twice.
    #[arg(long, value_name = "TEXT")]
    key_prefix: Option<String>,
}

fn batch_size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| (1..=BATCH_ENTRIES_MAX).contains(size));
    size.ok_or_else(|| format!("use 1 to {BATCH_ENTRIES_MAX}"))
}

/// What was appended, as JSON.
#[derive(Debug, Default, Serialize)]
struct Appended {
    origin: String,
    entries: u64,
    duplicates: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_index: Option<u64>,
    tree_size: u64,
    root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<String>,
    /// Entries that the policy's quorum had not covered when they were answered.
    #[serde(skip_serializing_if = "is_zero")]
    not_cosigned: u64,
    /// What the policy of an audit log said.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdicts: Option<Verdicts>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Appends the input.
pub(super) fn run(args: Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let prefix = match args.key_prefix {
        Some(prefix) if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX => {
            let message = format!("--key-prefix takes 1 to {PREFIX_BYTES_MAX} bytes");
            return Err(wrong_usage(message));
        }
        Some(prefix) => prefix,
        None => random_prefix()?,
    };
    if let Some(dir) = &args.receipts {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    }
    let (input, length) = entries::open(&args.file)?;
    let content = if args.event { Content::Event } else { Content::Raw };
    let whole = args.whole || args.event && args.file != Path::new("-");
    block_on(async {
        let client = remote.connect().await?;
        // Entries are given only to a log that signs with a key that is believed.
        believed(&client).await?;
        let mut sender = Sender {
            client,
            prefix,
            content,
            receipts: args.receipts,
            bar: progress_bar(length),
            done: Appended { verdicts: args.event.then(Verdicts::default), ..Appended::default() },
            newest: None,
        };
        let sent = if whole {
            let bytes = entries::whole(input, &args.file, content)?;
            let offset = u64::try_from(bytes.len()).expect("an entry has 1 MiB at most");
            sender.send(vec![Line { number: 1, bytes, offset }]).await
        } else {
            sender.send_lines(input, &args.file, args.batch).await
        };
        sender.bar.finish_and_clear();
        // What was appended before a failure is reported too.
        let lost = sender.done.verdicts.as_ref().map_or(0, Verdicts::lost);
        if sent.is_ok() || sender.newest.is_some() {
            sender.summary(output)?;
        }
        sent?;
        match lost {
            0 => Ok(()),
            lost => Err(rejected(lost)),
        }
    })
}

/// Waits, for about half a minute, until the log shows a checkpoint that the policy accepts: a log that
/// has just started has none before its witnesses were heard.
async fn believed(client: &Client) -> anyhow::Result<()> {
    let mut backoff = Backoff::default();
    while let Err(error) = client.checkpoint().await {
        let waits =
            matches!(&error, ClientError::Refused(refused) if refused.reason == NOT_COSIGNED);
        match backoff.next(&error).filter(|_| waits) {
            Some(wait) => tokio::time::sleep(wait).await,
            None if waits => {
                return Err(anyhow::Error::new(error).context(
                    "nothing was appended: the log's witnesses do not make the quorum of the trust policy. \
                     See that they run, or append under a policy with \"quorum none\" and take the receipts \
                     to a cosigned head later, with `attestree receipt upgrade`",
                ));
            }
            None => return Err(error.into()),
        }
    }
    Ok(())
}

/// A prefix that no other run has.
fn random_prefix() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("ask the system for randomness")?;
    Ok(output::hex(&bytes))
}

/// A bar where the input's length is known, a spinner where it is not, nothing but on a terminal.
fn progress_bar(length: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => {
            let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {msg}";
            (ProgressBar::new(length), template)
        }
        None => (ProgressBar::no_length(), "{spinner} {bytes} {bytes_per_sec} {msg}"),
    };
    // Ten frames a second keep the terminal out of the measurements.
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
    bar
}

/// Sends batches one after another, so that entries keep their order.
struct Sender {
    client: Client,
    prefix: String,
    content: Content,
    receipts: Option<PathBuf>,
    bar: ProgressBar,
    done: Appended,
    newest: Option<SignedCheckpoint>,
}

impl Sender {
    /// Sends the lines of the input, as many at a time as wait, at most `batch`.
    async fn send_lines(
        &mut self,
        input: Box<dyn std::io::Read + Send>,
        path: &Path,
        batch: usize,
    ) -> anyhow::Result<()> {
        let mut lines = entries::lines(input, path, self.content);
        let mut found = Vec::with_capacity(batch);
        let mut waiting: VecDeque<Line> = VecDeque::new();
        let mut end = Ok(());
        while lines.recv_many(&mut found, batch).await > 0 {
            for line in found.drain(..) {
                match line {
                    Ok(line) => waiting.push_back(line),
                    // The lines before it are sent all the same.
                    Err(error) => end = Err(error),
                }
            }
            while !waiting.is_empty() {
                self.send(cut(&mut waiting)).await?;
            }
        }
        end
    }

    /// Sends one batch until it is answered, and keeps what the answer proves.
    async fn send(&mut self, mut lines: Vec<Line>) -> anyhow::Result<()> {
        let mut backoff = Backoff::default();
        while !lines.is_empty() {
            let entries: Vec<NewEntry> = lines
                .iter()
                .map(|line| NewEntry {
                    bytes: line.bytes.clone(),
                    key: Bytes::from(format!("{}-{}", self.prefix, line.number)),
                })
                .collect();
            match self.submit(entries).await {
                Ok((placed, became)) => return self.keep(&lines, &placed, &became).await,
                // What is no event, or is rejected, is left out; the others are sent again.
                Err(error) if self.left_out(&error, &mut lines) => {}
                // The same keys again: what was appended before the answer was lost is found.
                Err(error) => match backoff.next(&error) {
                    Some(wait) => self.wait(wait).await,
                    None => return Err(self.undone(error, &lines)),
                },
            }
        }
        Ok(())
    }

    /// Appends entries, or events and says what became of each.
    async fn submit(&self, entries: Vec<NewEntry>) -> Result<(Placed, Vec<Became>), ClientError> {
        match self.content {
            Content::Raw => Ok((self.client.append_batch(entries).await?, Vec::new())),
            Content::Event => {
                let PlacedEvents { placed, became } =
                    self.client.append_event_batch(entries).await?;
                Ok((placed, became))
            }
        }
    }

    /// Takes the line out that a batch was refused for; returns whether there is one.
    fn left_out(&mut self, error: &ClientError, lines: &mut Vec<Line>) -> bool {
        let ClientError::Refused(refused) = error else { return false };
        let Some(verdicts) = &mut self.done.verdicts else { return false };
        let position = refused.details.get("position").and_then(|text| text.parse().ok());
        let position = position.unwrap_or(usize::MAX);
        let Some(line) = lines.get(position) else { return false };
        let left_out = verdicts.refused(line.number, refused);
        if left_out {
            lines.remove(position);
        }
        left_out
    }

    async fn wait(&self, wait: Duration) {
        self.bar.set_message("waiting for the server");
        tokio::time::sleep(wait).await;
        self.bar.set_message("");
    }

    /// Says where the input stopped, and how to go on.
    fn undone(&self, error: ClientError, lines: &[Line]) -> anyhow::Error {
        let line = lines.first().map_or(0, |line| line.number);
        anyhow::Error::new(error).context(format!(
            "stopped at line {line}; to go on, run the same command again with --key-prefix {}",
            self.prefix
        ))
    }

    /// Counts a batch and writes its receipts.
    async fn keep(
        &mut self,
        lines: &[Line],
        placed: &Placed,
        became: &[Became],
    ) -> anyhow::Result<()> {
        let mut places = placed.places.iter();
        let became = became.iter().map(Some).chain(core::iter::repeat(None));
        for (line, became) in lines.iter().zip(became) {
            if let (Some(Became::Suppressed), Some(verdicts)) = (became, &mut self.done.verdicts) {
                verdicts.suppressed += 1;
                continue;
            }
            let place = places.next().expect("what is in the log has a place");
            self.done.entries += 1;
            self.done.not_cosigned += u64::from(!placed.cosigned);
            self.done.duplicates += u64::from(place.duplicate);
            self.done.bytes += u64::try_from(line.bytes.len()).expect("an entry is short");
            self.done.first_index.get_or_insert(place.index.get());
            self.done.last_index = Some(place.index.get());
            if let Some(dir) = &self.receipts {
                self.write_receipt(dir, placed, place.index).await?;
            }
            if let (Some(Became::Recorded(recorded)), Some(verdicts)) =
                (became, &mut self.done.verdicts)
            {
                verdicts.recorded(line.number, place.index.get(), recorded);
                if let Some(dir) = &self.receipts {
                    write_record(dir, place.index, recorded)?;
                }
            }
            self.bar.set_position(line.offset);
        }
        self.newest = Some(placed.checkpoint.clone());
        Ok(())
    }

    /// Writes one receipt: computed from the range proof, or fetched for an earlier entry.
    async fn write_receipt(
        &self,
        dir: &Path,
        placed: &Placed,
        index: LeafIndex,
    ) -> anyhow::Result<()> {
        let receipt = match placed.receipt(index) {
            Some(receipt) => receipt,
            None => self.client.prove_inclusion_at(index, &placed.checkpoint).await?.receipt(),
        };
        output::write(&dir.join(format!("{index}.tlog-proof")), &receipt.format())
    }

    /// Says what was appended, also where not everything was.
    fn summary(&mut self, output: Output) -> anyhow::Result<()> {
        let Some(newest) = &self.newest else {
            let verdicts = self.done.verdicts.as_ref().map_or_else(String::new, Verdicts::summary);
            return output.print(&self.done, format!("nothing to append{verdicts}"));
        };
        let done = Appended {
            origin: newest.origin().to_string(),
            tree_size: newest.head().size.get(),
            root: base64(&newest.head().root),
            receipts: self.receipts.as_ref().map(|dir| dir.display().to_string()),
            ..core::mem::take(&mut self.done)
        };
        let (first, last) = (done.first_index.unwrap_or(0), done.last_index.unwrap_or(0));
        let new = done.entries - done.duplicates;
        let at = if first == last {
            format!("index {first}")
        } else {
            format!("indices {first} to {last}")
        };
        let appended = match (new, done.duplicates) {
            (0, _) => format!("nothing new for {}: at {at} before", done.origin),
            (_, 0) => format!("appended {} to {}: {at}", output::entries(new), done.origin),
            (_, before) => format!(
                "appended {} to {}: {at}; {before} more were there before",
                output::entries(new),
                done.origin
            ),
        };
        let tree = output::entries(done.tree_size);
        let verdicts = done.verdicts.as_ref().map_or_else(String::new, Verdicts::summary);
        let mut text = format!("{appended}{verdicts}; proved in the signed tree of {tree}");
        if done.not_cosigned > 0 {
            let entries = output::entries(done.not_cosigned);
            text = format!(
                "{text}; {entries} not cosigned by the quorum yet: upgrade the receipts later"
            );
        }
        output.print(&done, text)
    }
}

/// Writes a record, and what opens what it hides: the values are the producer's own.
fn write_record(dir: &Path, index: LeafIndex, recorded: &Recorded) -> anyhow::Result<()> {
    output::write(&dir.join(format!("{index}.json")), &recorded.entry)?;
    let openings = recorded.echo.openings.iter();
    let disclosed = openings.filter_map(|opening| Disclosed::new(opening.clone()));
    let text = disclosed.fold(Zeroizing::new(String::new()), |mut text, field| {
        text.push_str(&field.format());
        text.push('\n');
        text
    });
    if text.is_empty() {
        return Ok(());
    }
    output::write_private(&dir.join(format!("{index}.openings.json")), text.as_bytes())
}

/// Takes the next batch off the front: as many lines as fit.
fn cut(waiting: &mut VecDeque<Line>) -> Vec<Line> {
    let mut bytes = 0;
    let mut batch = Vec::with_capacity(waiting.len());
    // One event has at most 1 MiB, so at least 8 fit.
    while let Some(line) = waiting.pop_front_if(|line| bytes + line.bytes.len() <= BATCH_BYTES) {
        bytes += line.bytes.len();
        batch.push(line);
    }
    batch
}
