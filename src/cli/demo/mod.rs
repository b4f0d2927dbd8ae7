//! `attestree demo`: the tour.
//!
//! Everything in it is real: a server, its database, its key, a file's lines, and an operator who
//! rewrites history with all of that in hand. What convicts him is computed, not told; a step that
//! does not come out as it should ends the tour with an error.

mod alarm;
mod input;
mod policy;
mod receiver;
mod sender;
mod stage;
mod witness;

use core::fmt::Display;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use super::output::{Output, base64};
use super::remote::block_on;
use crate::client::{Client, ClientError, Placed, Untrue};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::hash::TreeHash;
use crate::core::number::LeafIndex;
use crate::core::receipt::Receipt;
use crate::core::tree::TreeHead;
use crate::server::{cheat, fsck};

use alarm::Arrived;
use input::Input;
use stage::{Scene, Stage};

/// The options.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Takes a few seconds, uses a temporary directory and a free port of this machine, and leaves nothing
behind.

Examples:
  attestree demo
  attestree demo /var/log/auth.log")]
pub(super) struct Args {
    /// File whose lines are appended [default: this machine's package log, or a sample]
    file: Option<PathBuf>,
}

/// What the tour showed, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    source: String,
    entries: usize,
    vkey: String,
    receipt: String,
    held_size: u64,
    held_root: String,
    forged_root: String,
    forged_fsck_passed: bool,
    receipt_contradicts: bool,
    checkpoint_contradicts: bool,
    /// What a witness has written, which convicts the log.
    evidence: String,
    /// The digest of the policy that was agreed on, and of the one that is found in force.
    policy_agreed: String,
    policy_in_force: String,
    /// What a sender of this machine has caused, and who was told.
    alert: Arrived,
}

/// What a visitor takes home: one receipt and one older checkpoint.
struct Held {
    index: LeafIndex,
    entry: Bytes,
    receipt: Receipt,
    older: SignedCheckpoint,
    newest: SignedCheckpoint,
}

/// The voice of the tour.
struct Guide {
    output: Output,
    step: u8,
}

impl Guide {
    /// Begins a step.
    fn step(&mut self, title: &str) -> anyhow::Result<()> {
        self.step += 1;
        self.say("")?;
        self.say(format!("{}  {}", self.step, title).bold())
    }

    /// Says a line.
    fn say(&self, text: impl Display) -> anyhow::Result<()> {
        if self.output.is_json() {
            return Ok(());
        }
        Output::line(text)
    }

    /// Says what was proved.
    fn proved(&self, text: impl Display) -> anyhow::Result<()> {
        self.say(format!("   {} {text}", "ok".green()))
    }

    /// Says what contradicts.
    fn contradicts(&self, text: impl Display) -> anyhow::Result<()> {
        self.say(format!("   {} {text}", "!!".red()))
    }
}

/// Takes the tour.
pub(super) fn run(args: &Args, output: Output) -> anyhow::Result<()> {
    let input = input::read(args.file.as_deref())?;
    let mut guide = Guide { output, step: 0 };
    let stage = Stage::set_up()?;
    let held = honest_part(&mut guide, &stage, &input)?;
    let forged = cheat_part(&mut guide, &stage, &held)?;
    let scene = stage.serve(&stage.forged())?;
    let convicted = convict(&mut guide, &scene, &stage, &held, &forged);
    let caught = convicted.and_then(|()| witness::split_view(&mut guide, &scene, &stage, &held));
    scene.stop()?;
    let evidence = caught?;
    let scene = stage.serve_audit()?;
    let toured = policy::tour(&mut guide, &scene)
        .and_then(|found| Ok((found, alarm::tour(&mut guide, &scene)?)));
    scene.stop()?;
    let (found, alert) = toured?;
    guide.say("")?;
    guide.say("Next: attestree dev, attestree init --origin YOUR.HOST/log, attestree --help")?;
    let vkey = stage.vkey.to_string();
    stage.end()?;
    if !output.is_json() {
        return Ok(());
    }
    let shown = Shown {
        source: input.name,
        entries: input.lines.len(),
        vkey,
        receipt: String::from_utf8_lossy(&held.receipt.format()).into_owned(),
        held_size: held.newest.head().size.get(),
        held_root: base64(&held.newest.head().root),
        forged_root: base64(&forged.root),
        // A step that had come out otherwise would have ended the tour.
        forged_fsck_passed: true,
        receipt_contradicts: true,
        checkpoint_contradicts: true,
        evidence: String::from_utf8_lossy(&evidence).into_owned(),
        policy_agreed: found.agreed.to_string(),
        policy_in_force: found.in_force.to_string(),
        alert,
    };
    output.print(&shown, "")
}

/// A log, witnesses, receipts, a restart: what an honest operator does.
fn honest_part(guide: &mut Guide, stage: &Stage, input: &Input) -> anyhow::Result<Held> {
    guide.step("A log of its own")?;
    let scene = stage.serve(&stage.honest())?;
    guide.say(format!("   A server runs on {}.", scene.url()))?;
    guide.say("   You hold the log's public key, and trust nothing else:")?;
    guide.say(format!("   {}", stage.vkey.dimmed()))?;
    guide
        .say("   Three witnesses run as well. Each remembers the newest tree that it was shown.")?;

    let count = input.lines.len();
    let victim = input::victim(&input.lines);
    // The older checkpoint has to cover the entry that will be changed.
    let middle = (count / 2).max(victim + 1);
    let (first, rest) = input.lines.split_at(middle);
    guide.step(&format!("{count} lines of {} go in", input.name))?;
    let older = scene.append(first)?.checkpoint;
    let placed = if rest.is_empty() { None } else { Some(scene.append(rest)?) };
    let newest = placed.map_or_else(|| older.clone(), |placed: Placed| placed.checkpoint);
    guide.say("   Each was answered once it was on disk, in the tree and under a signature.")?;
    guide.proved(format!("{count} entries; the proof in every answer was checked here"))?;
    let newest = scene.cosigned(stage, &newest.head())?;
    guide.proved(format!(
        "2 of the 3 witnesses have signed the tree of {} entries too",
        newest.head().size
    ))?;

    let index = LeafIndex::new(u64::try_from(victim).context("count the lines")?);
    let index = index.context("count the lines")?;
    let entry = input.lines.get(victim).context("find the line")?.clone();
    guide.step(&format!("The receipt of entry {index}"))?;
    let receipt = block_on(async {
        let client = scene.connect().await?;
        Ok(client.prove_inclusion_at(index, &newest).await?.receipt())
    })?;
    guide.say(format!("   The line: {}", shorten(&entry)))?;
    for line in String::from_utf8_lossy(&receipt.format()).lines() {
        guide.say(format!("   | {line}").dimmed())?;
    }
    guide.say(
        "   Index, the hashes beside the way up the tree, and the signed root. You keep it.",
    )?;
    scene.stop()?;

    guide.step("Verified offline")?;
    guide.say("   The server is stopped. From the line, the receipt and the key alone:")?;
    let verified = receipt.verify(&entry, &stage.policy()).context("verify the receipt")?;
    let size = verified.head().size;
    guide.proved(format!("entry {index} is in the tree of {size} entries that the log signed"))?;

    restart(guide, stage, &older, &newest)?;
    Ok(Held { index, entry, receipt, older, newest })
}

/// Shows that a restart changed nothing.
fn restart(
    guide: &mut Guide,
    stage: &Stage,
    older: &SignedCheckpoint,
    newest: &SignedCheckpoint,
) -> anyhow::Result<()> {
    guide.step("Consistent across a restart")?;
    let scene = stage.serve(&stage.honest())?;
    let proved = block_on(async {
        let client = scene.connect().await?;
        Ok(client.prove_consistency(&older.head()).await?)
    })?;
    let (old, new) = (older.head(), proved.checkpoint.head());
    ensure!(new == newest.head(), "the restarted log signs the tree it signed before");
    guide.say("   The server runs again. You also kept an older checkpoint.")?;
    let hashes = proved.proof.len();
    guide.proved(format!(
        "{hashes} hashes prove that the tree of {} entries continues that of {}",
        new.size, old.size
    ))?;
    scene.stop()
}

/// The operator rewrites history, and everything inside it fits.
fn cheat_part(guide: &mut Guide, stage: &Stage, held: &Held) -> anyhow::Result<TreeHead> {
    guide.step("The operator cheats, and cheats well")?;
    let forged = input::forge(&held.entry);
    guide
        .say("   He has the disk, the code and the signing key. He copies the data and changes")?;
    guide.say(format!("   one line:  {}", shorten(&held.entry).red()))?;
    guide.say(format!("   to:        {}", shorten(&forged).red()))?;
    guide
        .say("   Then he recomputes every checksum and tile, and signs again with the real key.")?;
    let head = cheat::rewrite(&stage.honest(), &stage.forged(), held.index, &forged)?;

    let directory = fsck::Directory::open(&stage.forged())?;
    for log in directory.logs()? {
        let checked = log.check(|_progress| {})?.context("check the copy")?;
        guide.proved(format!(
            "fsck of his data: {} entries and {} tiles agree with the root",
            checked.entries, checked.tiles
        ))?;
    }
    drop(directory);
    let scene = stage.serve(&stage.forged())?;
    let (checkpoint, _audited) = scene.audit()?;
    ensure!(checkpoint.head() == head, "the forged log signs the forged tree");
    guide.proved("fsck over HTTP: every tile agrees, and the signature is the real key's")?;
    guide.say("   Nothing inside his log gives him away.")?;
    scene.stop()?;
    Ok(head)
}

/// Two things that others hold convict him.
fn convict(
    guide: &mut Guide,
    scene: &Scene,
    stage: &Stage,
    held: &Held,
    forged: &TreeHead,
) -> anyhow::Result<()> {
    guide.step("What convicts him: your receipt")?;
    let (index, kept) = (held.index, held.newest.head());
    let trusted = held.receipt.verify(&held.entry, &stage.policy());
    let trusted = trusted.context("verify the receipt")?.trusted.checkpoint;
    block_on(async {
        let client = scene.connect().await?;
        let claimed = client.prove_inclusion(index).await?;
        ensure!(
            claimed.leaf_hash != TreeHash::leaf(&held.entry),
            "the forged log holds another leaf"
        );
        guide.say(format!(
            "   Ask his log for entry {index}: its proof is for another line's hash."
        ))?;
        guide.say(format!(
            "   Both trees have {} entries, and the same key signed both:",
            kept.size
        ))?;
        guide.say(format!("   your receipt:  {}", trusted.head().root.green()))?;
        guide.say(format!("   his log:       {}", claimed.checkpoint.head().root.red()))?;
        ensure!(
            claimed.checkpoint.head() == *forged
                && forged.size == kept.size
                && forged.root != kept.root,
            "the two signed trees contradict each other"
        );
        guide.contradicts(
            "one key never honestly signs two trees of one size; you hold the proof",
        )?;

        guide.step("What convicts him: your older checkpoint")?;
        let old = held.older.head();
        guide.say(format!(
            "   Ask his log to prove that it continues the {} entries you knew.",
            old.size
        ))?;
        expect_contradiction(&client, &old).await?;
        guide.contradicts(
            "the proof does not verify, and none can: that history is not his any more",
        )
    })
}

/// Asks for a consistency proof that can't exist.
async fn expect_contradiction(client: &Client, old: &TreeHead) -> anyhow::Result<()> {
    match client.prove_consistency(old).await {
        Err(ClientError::Untrue(untrue)) if matches!(*untrue, Untrue::Proof { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => bail!("the forged log proved what is not so"),
    }
}

/// Returns the beginning of a line, as text.
fn shorten(line: &Bytes) -> String {
    const SHOWN: usize = 72;
    let text = String::from_utf8_lossy(line);
    let mut shown: String =
        text.chars().filter(|letter| !letter.is_control()).take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}
