//! `check_log`: reads a log back through its public face and verifies all of it against all that
//! was ever promised.
//!
//! The laws, for every log:
//!
//! - The newest checkpoint's root is the root of the entries that are read back.
//! - Every checkpoint that anyone ever saw is the root of a prefix of them, and the log proves it.
//! - Every acknowledged entry stands at its index with its leaf hash, and the log proves it.
//! - No entry is there that nobody sent, and none stands twice.
//! - A batch is there as a whole and in one run, or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use attestree::{
    core::{
        hash::TreeHash,
        number::{LeafIndex, TreeSize},
        tree::{TreeHead, verify_consistency, verify_inclusion},
    },
    proto,
};

use super::{
    client::{Client, hashes},
    ledger::{Account, Book, Ledger},
    random::Random,
};

/// Inclusion and consistency proofs asked for in one audit of one log.
const PROOFS: usize = 24;

/// Audits every log of a ledger.
pub(crate) async fn check_logs(url: &str, ledger: &Ledger, random: &mut Random) {
    for account in ledger.values() {
        check_log(url, account, random).await;
    }
}

/// Audits one log.
pub(crate) async fn check_log(url: &str, account: &Account, random: &mut Random) {
    let book = Book::from(BTreeMap::from([(account.origin.clone(), account.clone())]));
    let mut client = Client::connect(url, &book).await.unwrap();
    let request = proto::GetCheckpointRequest { log: account.origin.clone(), ..Default::default() };
    let checkpoint = client.grpc.get_checkpoint(request).await.unwrap().into_inner().checkpoint;
    let head = book.see(&account.origin, &checkpoint.expect("a log has a checkpoint").note);
    let leaves = read_back(&mut client, &account.origin, head.size.get()).await;

    check_heads(account, &leaves, head);
    check_entries(account, &leaves);
    prove_consistency(&mut client, account, head, random).await;
    prove_inclusion(&mut client, account, head, random).await;
}

/// Reads every entry and returns the leaf hashes.
async fn read_back(client: &mut Client, origin: &str, size: u64) -> Vec<TreeHash> {
    let mut leaves = Vec::new();
    if size == 0 {
        return leaves;
    }
    let request = proto::ReadEntriesRequest { log: origin.to_owned(), from: 0, to: Some(size) };
    let mut messages = client.grpc.read_entries(request).await.unwrap().into_inner();
    while let Some(message) = messages.message().await.unwrap() {
        assert_eq!(message.from, leaves.len() as u64, "entries come in order");
        leaves.extend(message.entries.iter().map(|entry| TreeHash::leaf(entry)));
    }
    assert_eq!(leaves.len() as u64, size, "every entry below the checkpoint is read");
    leaves
}

/// Returns the roots of the prefixes of these sizes, by RFC 6962's rule and nothing of ours.
fn prefix_roots(leaves: &[TreeHash], sizes: &BTreeSet<u64>) -> BTreeMap<u64, TreeHash> {
    // The perfect subtrees of the prefix, the largest first: (number of leaves, hash).
    let mut stack: Vec<(u64, TreeHash)> = Vec::new();
    let root = |stack: &[(u64, TreeHash)]| {
        let mut hashes = stack.iter().rev().map(|(_, hash)| *hash);
        let last = hashes.next().unwrap_or_else(TreeHash::empty_root);
        hashes.fold(last, |right, left| TreeHash::node(&left, &right))
    };
    let mut roots = BTreeMap::from([(0, TreeHash::empty_root())]);
    for (size, leaf) in (1..).zip(leaves) {
        let mut subtree = (1, *leaf);
        while let Some((width, left)) = stack.pop_if(|(width, _)| *width == subtree.0) {
            subtree = (2 * width, TreeHash::node(&left, &subtree.1));
        }
        stack.push(subtree);
        if sizes.contains(&size) {
            roots.insert(size, root(&stack));
        }
    }
    roots
}

/// Checks every checkpoint that was seen against the entries.
fn check_heads(account: &Account, leaves: &[TreeHash], newest: TreeHead) {
    let heads = || account.seen.iter().map(|seen| seen.head).chain([newest]);
    let sizes = heads().map(|head| head.size.get()).collect();
    let roots = prefix_roots(leaves, &sizes);
    for head in heads() {
        assert!(
            head.size <= newest.size,
            "{}: a checkpoint of size {} was published, and the log has shrunk to {}",
            account.origin,
            head.size,
            newest.size,
        );
        assert_eq!(
            roots[&head.size.get()],
            head.root,
            "{}: the checkpoint of size {} is of another history",
            account.origin,
            head.size,
        );
    }
}

/// Checks the entries against what was sent and acknowledged.
fn check_entries(account: &Account, leaves: &[TreeHash]) {
    for ack in &account.acks {
        assert_eq!(
            leaves.get(ack.index as usize),
            Some(&ack.leaf),
            "{}: the acknowledged entry {} is lost or replaced",
            account.origin,
            ack.index,
        );
    }
    let sent = account.leaves();
    let mut places: HashMap<TreeHash, u64> = HashMap::new();
    for (index, leaf) in (0_u64..).zip(leaves) {
        assert!(sent.contains_key(leaf), "{}: nobody sent entry {index}", account.origin);
        let before = places.insert(*leaf, index);
        assert_eq!(before, None, "{}: entry {index} stands twice", account.origin);
    }
    for sent in &account.sent {
        let places: Vec<Option<u64>> =
            sent.entries.iter().map(|entry| places.get(&TreeHash::leaf(entry)).copied()).collect();
        let expected = |first: u64| (first..).map(Some).take(places.len());
        let whole = match places[0] {
            Some(first) => places.iter().copied().eq(expected(first)),
            None => places.iter().all(Option::is_none),
        };
        assert!(whole, "{}: a batch is torn: {places:?}", account.origin);
    }
}

/// Asks the log to prove that checkpoints of the past are prefixes of the newest.
async fn prove_consistency(
    client: &mut Client,
    account: &Account,
    newest: TreeHead,
    random: &mut Random,
) {
    let heads: BTreeMap<TreeSize, TreeHead> =
        account.seen.iter().map(|seen| (seen.head.size, seen.head)).collect();
    let heads: Vec<TreeHead> =
        heads.into_values().filter(|head| head.size > TreeSize::ZERO).collect();
    for old in sample(&heads, random) {
        let request = proto::ProveConsistencyRequest {
            log: account.origin.clone(),
            old_size: old.size.get(),
            new_size: Some(newest.size.get()),
        };
        let answer = client.grpc.prove_consistency(request).await.unwrap().into_inner();
        verify_consistency(&old, &newest, &hashes(&answer.hashes)).unwrap_or_else(|_| {
            panic!("{} proves {} to {}", account.origin, old.size, newest.size)
        });
    }
}

/// Asks the log to prove that acknowledged entries are in its newest tree.
async fn prove_inclusion(
    client: &mut Client,
    account: &Account,
    newest: TreeHead,
    random: &mut Random,
) {
    for ack in sample(&account.acks, random) {
        let request = proto::ProveInclusionRequest {
            log: account.origin.clone(),
            leaf: Some(proto::prove_inclusion_request::Leaf::LeafIndex(ack.index)),
            tree_size: Some(newest.size.get()),
        };
        let answer = client.grpc.prove_inclusion(request).await.unwrap().into_inner();
        let proof = hashes(&answer.proof.expect("an answer holds its proof").hashes);
        let index = LeafIndex::new(ack.index).unwrap();
        verify_inclusion(&ack.leaf, index, &newest, &proof)
            .unwrap_or_else(|_| panic!("{} proves its entry {}", account.origin, ack.index));
    }
}

/// Returns the last and some other elements.
fn sample<T: Copy>(all: &[T], random: &mut Random) -> Vec<T> {
    let Some(last) = all.last() else { return Vec::new() };
    if all.len() <= PROOFS {
        return all.to_vec();
    }
    let chosen = (1..PROOFS).map(|_| all[random.position(all.len())]);
    chosen.chain([*last]).collect()
}

/// Sends again what may be repeated without harm: what has a key, or a log that knows entries by
/// their hash. What was acknowledged keeps its index and is a duplicate.
pub(crate) async fn send_again(url: &str, book: &Book, hashed_origin: &str, random: &mut Random) {
    let mut client = Client::connect(url, book).await.unwrap();
    for (origin, account) in book.ledger() {
        let all: Vec<usize> = (0..account.sent.len()).collect();
        let repeatable =
            |number: &usize| !account.sent[*number].key.is_empty() || origin == hashed_origin;
        let open = all.iter().copied().filter(|&number| account.sent[number].answered.is_none());
        let mut numbers: Vec<usize> = open.filter(repeatable).collect();
        numbers.extend(sample(&all, random).into_iter().filter(repeatable));
        for number in numbers {
            let sent = account.sent[number].clone();
            if sent.entries.len() > 1 {
                client.repeat_batch(&origin, number, sent.entries).await.unwrap();
                continue;
            }
            let entry = sent.entries[0].clone();
            let duplicate = client.repeat(&origin, number, entry, sent.key).await.unwrap();
            assert!(
                duplicate || sent.answered.is_none(),
                "{origin}: what was acknowledged at {:?} is a duplicate when it comes again",
                sent.answered,
            );
        }
    }
}
