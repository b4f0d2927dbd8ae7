//! A real sender of this machine, and an alert that arrives while it sends.

use anyhow::{Context as _, ensure};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use tokio::time::timeout;

use super::{
    Guide,
    receiver::{Message, Receiver},
    sender::Sender,
    stage::AuditScene,
    stage::PATIENCE,
};
use crate::cli::remote::block_on;
use crate::client::{Client, Entry};
use crate::core::hash::TreeHash;
use crate::core::number::LeafIndex;
use crate::core::policy::Bundle;

/// The policy of this part.
const POLICY: &str = include_str!("alarm.yaml");

/// The rule in it.
const RULE: &str = "alert/failed-logins";

/// How many logins have to fail before it fires.
pub(super) const COUNT: u64 = 5;

/// Characters of a record that are shown in a line.
const LINE_CHARS: usize = 92;

/// The alert as it arrived, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Arrived {
    sender: String,
    rule: String,
    count: u64,
    index: u64,
    leaf_hash: String,
    /// From before the fifth message was sent to when the alert was there.
    elapsed_ms: u64,
}

/// Has a sender of this machine report failed logins, and waits for the alert.
pub(super) fn tour(guide: &mut Guide, scene: &AuditScene) -> anyhow::Result<Arrived> {
    let sender = block_on(async { Ok(Sender::of_this_machine().await) })?;
    guide.step(&format!("This machine reports: {}", sender.name()))?;
    let index = scene.apply(&bundle()?)?;
    guide
        .say(format!("   The log has a policy, record {index}, and somebody to tell of alerts:"))?;
    for line in POLICY.lines().skip_while(|line| !line.starts_with("alerts:")).skip(1) {
        guide.say(format!("   | {}", line.trim_start()).dimmed())?;
    }
    block_on(async {
        let mut receiver = Receiver::open(scene.listener()?)?;
        guide.say("   Somebody tries passwords, and a program of this machine says so:")?;
        guide.say(format!("   $ {}", sender.command(scene)).dimmed())?;
        let sent = sender.send(scene).await?;
        let (message, arrived) =
            timeout(PATIENCE, receiver.next(RULE)).await.context("wait for the alert")??;
        let elapsed = arrived.saturating_duration_since(sent).as_millis();
        let elapsed_ms = u64::try_from(elapsed).context("measure")?;

        let client = scene.connect().await?;
        let fifth = message.alert.index.checked_sub(1).context("find the fifth record")?;
        guide.say(
            "   The fifth of the messages is this record, which nobody had to write a client for:",
        )?;
        show(guide, &entry(&client, fifth).await?)?;
        prove(guide, scene, &client, &message, elapsed_ms).await?;
        let alert = message.alert;
        Ok(Arrived {
            sender: sender.name(),
            rule: alert.rule,
            count: alert.count,
            index: alert.index,
            leaf_hash: alert.leaf_hash,
            elapsed_ms,
        })
    })
}

/// Shows the alert, and that it is what its message says.
async fn prove(
    guide: &mut Guide,
    scene: &AuditScene,
    client: &Client,
    message: &Message,
    elapsed_ms: u64,
) -> anyhow::Result<()> {
    let alert = &message.alert;
    guide.step("An alert arrives")?;
    ensure!(alert.count == COUNT, "the alert counts {} failed logins", alert.count);
    guide.contradicts(format!(
        "{}: {} events within a minute; it is record {}",
        alert.rule, alert.count, alert.index
    ))?;
    guide.proved(format!("it was here {elapsed_ms} ms after the fifth message was sent"))?;
    let signature = message.signature.as_deref().context("find the signature of the message")?;
    let at = scene.secret().verify(signature, &message.body);
    at.context("verify the signature of the message")?;
    guide
        .proved("the message's signature verifies: it comes from this server, and is unchanged")?;
    let record = entry(client, alert.index).await?;
    ensure!(
        TreeHash::leaf(&record.bytes).to_base64() == alert.leaf_hash,
        "the record is the one that the message names"
    );
    show(guide, &record)?;
    let size = record.checkpoint.head().size;
    guide.proved(format!(
        "the alert is itself a record: entry {} is in the tree of {size} entries that the log signed",
        alert.index
    ))?;
    guide.say("   Who silences the messenger does not silence the log.")
}

/// Reads an entry, proved.
async fn entry(client: &Client, index: u64) -> anyhow::Result<Entry> {
    let index = LeafIndex::new(index).context("no log has an entry of such an index")?;
    Ok(client.entry(index).await?)
}

/// Shows the whole of a record, which is one line of JSON.
fn show(guide: &Guide, entry: &Entry) -> anyhow::Result<()> {
    let text = core::str::from_utf8(&entry.bytes).context("read a record")?;
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(LINE_CHARS).try_for_each(|line| {
        let line: String = line.iter().collect();
        guide.say(format!("   | {line}").dimmed())
    })
}

/// Returns the policy.
fn bundle() -> anyhow::Result<Bundle> {
    let file = ("policy.yaml".to_owned(), POLICY.as_bytes().to_vec());
    Bundle::new([file]).context("put the policy together")
}
