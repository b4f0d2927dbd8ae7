//! `attestree prove`: proofs against the newest checkpoint.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::checkpoint::{Shown, tiles_url};
use super::entry::index;
use super::exit::{unverified, wrong_usage};
use super::keep;
use super::output::{self, Output, base64, base64_list};
use super::remote::{Remote, block_on};
use crate::client::{Client, TileClient, TileTree, Trust, verify};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::hash::TreeHash;
use crate::core::number::{LeafIndex, TreeSize};
use crate::core::receipt::Receipt;
use crate::core::tree::TreeHead;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to prove.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Prove that an entry is in the log
    #[command(after_help = "\
Examples:
  attestree prove inclusion 7
  attestree prove inclusion 7 --entry 7.entry     (and that it is these bytes)
  attestree prove inclusion --entry 7.entry       (find it, on a log with entry-hash identity)")]
    Inclusion(Inclusion),
    /// Prove that the log was only appended to since a checkpoint that you hold
    #[command(after_help = "\
Exit code 2 means that the log was rewritten, or lies: keep the checkpoint. If it is signed and the log's
tiles show the other history, evidence is written that convicts the log: see `attestree verify-evidence`.

Examples:
  attestree prove consistency last-week.checkpoint
  attestree prove consistency 7.tlog-proof        (a receipt holds a checkpoint too)
  attestree prove consistency --size 5 --root NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE=")]
    Consistency(Consistency),
}

/// The options of `prove inclusion`.
#[derive(Debug, clap::Args)]
struct Inclusion {
    /// Index of the entry, from 0
    #[arg(value_parser = index, required_unless_present = "entry")]
    index: Option<LeafIndex>,
    /// File with the entry's bytes, which are compared; `-` is standard input
    #[arg(long, value_name = "FILE")]
    entry: Option<PathBuf>,
}

/// The options of `prove consistency`.
#[derive(Debug, clap::Args)]
struct Consistency {
    /// File with a checkpoint, or a receipt, that you hold
    #[arg(value_name = "FILE", required_unless_present = "size", conflicts_with = "size")]
    held: Option<PathBuf>,
    /// Size of the older tree
    #[arg(long, requires = "root")]
    size: Option<u64>,
    /// Root of the older tree, in base64
    #[arg(long, requires = "size", value_parser = hash)]
    root: Option<TreeHash>,
    /// Make the proof from the log's tiles over HTTP [default: derived from --server]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    tiles: Option<String>,
}

fn hash(text: &str) -> Result<TreeHash, &'static str> {
    TreeHash::parse_base64(text).ok_or("a hash is the base64 of 32 bytes, 44 characters")
}

/// Proves and prints.
pub(super) fn run(args: &Args, remote: &Remote, output: Output) -> anyhow::Result<()> {
    match &args.what {
        What::Inclusion(args) => block_on(inclusion(args, remote, output)),
        What::Consistency(args) => block_on(consistency(args, remote, output)),
    }
}

/// An inclusion proof, as JSON.
#[derive(Debug, Serialize)]
struct ShownInclusion {
    index: u64,
    leaf_hash: String,
    proof: Vec<String>,
    checkpoint: Shown,
}

/// Proves that an entry is in the log.
async fn inclusion(args: &Inclusion, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let entry = args.entry.as_deref().map(output::read).transpose()?;
    let leaf = entry.as_deref().map(TreeHash::leaf);
    let client = remote.connect().await?;
    let proved = match (args.index, leaf) {
        (Some(index), _) => client.prove_inclusion(index).await?,
        (None, Some(leaf)) => client.prove_leaf_hash(leaf).await?,
        (None, None) => return Err(wrong_usage("give an index, or the entry with --entry FILE")),
    };
    if leaf.is_some_and(|leaf| leaf != proved.leaf_hash) {
        return Err(unverified(format!(
            "the log holds another entry at index {}: its leaf hash is {}, that of the given bytes {}",
            proved.index,
            proved.leaf_hash,
            leaf.map(|leaf| base64(&leaf)).unwrap_or_default()
        )));
    }
    let head = proved.checkpoint.head();
    let text = format!(
        "proved: leaf {} at index {} is in the signed tree of {} of {}",
        proved.leaf_hash,
        proved.index,
        output::entries(head.size.get()),
        proved.checkpoint.origin()
    );
    let shown = ShownInclusion {
        index: proved.index.get(),
        leaf_hash: base64(&proved.leaf_hash),
        proof: base64_list(&proved.proof),
        checkpoint: Shown::from(&proved.checkpoint),
    };
    output.print(&shown, text)
}

/// A consistency proof, as JSON.
#[derive(Debug, Serialize)]
struct ShownConsistency {
    old_size: u64,
    old_root: String,
    proof: Vec<String>,
    checkpoint: Shown,
}

/// Proves that the log continues an older tree.
async fn consistency(args: &Consistency, remote: &Remote, output: Output) -> anyhow::Result<()> {
    let (proof, old, checkpoint) = if let Some(tiles) = &args.tiles {
        let (client, trust) = remote.tiles(tiles_url(tiles)).await?;
        let held = held(args, &trust)?;
        let checkpoint = client.checkpoint(&trust).await?;
        let proof = match over_tiles(&client, &held.head, &checkpoint).await {
            Err(error) => return Err(held.convict(Some(&client), &checkpoint, error).await),
            Ok(proof) => proof,
        };
        (proof, held.head, checkpoint)
    } else {
        let client = remote.connect().await?;
        let held = held(args, client.trust())?;
        let newest = client.checkpoint().await?;
        match over_grpc(&client, &held.head, &newest).await {
            Err(error) => {
                let tiles = remote.tiles(None).await.ok().map(|(tiles, _)| tiles);
                return Err(held.convict(tiles.as_ref(), &newest, error).await);
            }
            Ok((proof, checkpoint)) => (proof, held.head, checkpoint),
        }
    };
    let text = format!(
        "proved: the signed tree of {} of {} continues the tree of {}",
        output::entries(checkpoint.head().size.get()),
        checkpoint.origin(),
        output::entries(old.size.get())
    );
    let shown = ShownConsistency {
        old_size: old.size.get(),
        old_root: base64(&old.root),
        proof: base64_list(&proof),
        checkpoint: Shown::from(&checkpoint),
    };
    output.print(&shown, text)
}

/// Makes the proof from the newest tree's tiles.
async fn over_tiles(
    client: &TileClient,
    old: &TreeHead,
    newest: &SignedCheckpoint,
) -> anyhow::Result<Vec<TreeHash>> {
    check_growth(old, newest)?;
    let proof = TileTree::open(client, newest).await?.consistency(old.size).await?;
    verify::consistency(old, &newest.head(), &proof).map_err(|_| rewritten(old))?;
    Ok(proof)
}

/// Asks the server for the proof; a proof that fails is the log's fault.
async fn over_grpc(
    client: &Client,
    old: &TreeHead,
    newest: &SignedCheckpoint,
) -> anyhow::Result<(Vec<TreeHash>, SignedCheckpoint)> {
    check_growth(old, newest)?;
    match client.prove_consistency(old).await {
        Ok(proved) => Ok((proved.proof, proved.checkpoint)),
        Err(error) if error.is_untrue() => {
            Err(anyhow::Error::new(error).context(rewritten(old).to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// An older tree that the caller holds.
struct Held {
    head: TreeHead,
    /// Its checkpoint, if the log has signed what is held.
    checkpoint: Option<SignedCheckpoint>,
}

impl Held {
    /// Turns a failed proof into evidence, where both trees are signed and the tiles give it.
    async fn convict(
        &self,
        tiles: Option<&TileClient>,
        newest: &SignedCheckpoint,
        error: anyhow::Error,
    ) -> anyhow::Error {
        match (&self.checkpoint, tiles) {
            (Some(held), Some(tiles)) => keep::convict(tiles, held, newest, error).await,
            _ => error,
        }
    }
}

/// Says what a failed consistency proof means.
fn rewritten(old: &TreeHead) -> anyhow::Error {
    unverified(format!(
        "the log does not continue the tree of {} entries that you hold: its history was rewritten, \
         or you are shown another log; keep your checkpoint, it is the evidence",
        old.size
    ))
}

/// Refuses a log that has fewer entries than it once signed.
fn check_growth(old: &TreeHead, newest: &SignedCheckpoint) -> anyhow::Result<()> {
    let size = newest.head().size;
    if size < old.size {
        return Err(unverified(format!(
            "the log shows a signed tree of {size} entries and once signed one of {}: entries were \
             taken away, or an old copy is served; keep your checkpoint, it is the evidence",
            old.size
        )));
    }
    Ok(())
}

/// Returns the older tree: of the file, whose signatures are verified, or as given.
fn held(args: &Consistency, trust: &Trust) -> anyhow::Result<Held> {
    let held = match (&args.held, args.size, args.root) {
        (Some(path), _, _) => {
            let checkpoint = held_file(path, trust)?;
            Held { head: checkpoint.head(), checkpoint: Some(checkpoint) }
        }
        (None, Some(size), Some(root)) => {
            let size = TreeSize::new(size).ok_or_else(|| wrong_usage("no log grows that large"))?;
            Held { head: TreeHead { size, root }, checkpoint: None }
        }
        (None, _, _) => return Err(wrong_usage("give a checkpoint file, or --size and --root")),
    };
    if held.head.size == TreeSize::ZERO {
        return Err(wrong_usage(
            "the older tree is empty, and every tree continues that one; nothing is to be proved",
        ));
    }
    Ok(held)
}

/// Reads the checkpoint that a checkpoint or receipt file holds, and verifies its signatures.
fn held_file(path: &Path, trust: &Trust) -> anyhow::Result<SignedCheckpoint> {
    let bytes = output::read(path)?;
    // A receipt says what it is in its first line; everything else is taken as a checkpoint.
    let note = match Receipt::parse(&bytes) {
        Ok(receipt) => receipt.note,
        Err(_) => bytes.into(),
    };
    trust
        .verify(&note)
        .map_err(crate::client::ClientError::from)
        .with_context(|| format!("verify {}", path.display()))
}
