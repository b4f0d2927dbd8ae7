//! What the fuzzer runs: for each parser and verifier, the laws that hold on any input.
//!
//! The suite runs the same functions over the corpus and over inputs derived from it, so that they
//! keep building, and keep holding, where no fuzzer is installed.

use attestree::core::{
    bundle as segments,
    checkpoint::{CheckpointText, SignedCheckpoint},
    evidence::{EVIDENCE_BYTES_MAX, Evidence, Judgement},
    hash::TreeHash,
    note::{SignedNote, SigningKey, VerifierKey},
    number::{LeafIndex, TreeSize},
    origin::{Origin, prefix_conflict},
    receipt::Receipt,
    tile::Resource,
    tree::{
        Edge, NodeId, NodeReader, TreeHead, prove_batch, prove_consistency, prove_inclusion,
        prove_range, verify_batch, verify_consistency, verify_inclusion, verify_range,
    },
    trust::TrustPolicy,
    witness::{ADD_CHECKPOINT_BYTES_MAX, AddCheckpoint, WitnessedLog, contradicts, judge},
};

mod audit;
#[cfg(feature = "sources")]
mod posted;
#[cfg(feature = "sources")]
mod shipped;
#[cfg(feature = "sources")]
mod telemetry;

#[cfg(feature = "sources")]
pub use posted::{cloudevents, hec, opa};
#[cfg(feature = "sources")]
pub use shipped::{ship, spool, syslog};
#[cfg(feature = "sources")]
pub use telemetry::{kubernetes, otlp};

pub use audit::{bundle, chain, infra, json, path, policy_document, record, submission};

/// Panics if the input breaks a law.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("add_checkpoint", add_checkpoint),
    ("batch", batch),
    ("bundle", bundle),
    ("chain", chain),
    ("checkpoint", checkpoint),
    #[cfg(feature = "sources")]
    ("cloudevents", cloudevents),
    ("consistency", consistency),
    ("evidence", evidence),
    #[cfg(feature = "sources")]
    ("hec", hec),
    ("inclusion", inclusion),
    ("infra", infra),
    ("json", json),
    ("key", key),
    #[cfg(feature = "sources")]
    ("kubernetes", kubernetes),
    ("note", note),
    #[cfg(feature = "sources")]
    ("opa", opa),
    ("origin", origin),
    #[cfg(feature = "sources")]
    ("otlp", otlp),
    ("path", path),
    ("policy", policy),
    ("policy_document", policy_document),
    ("range", range),
    ("receipt", receipt),
    ("record", record),
    ("segment", segment),
    #[cfg(feature = "sources")]
    ("ship", ship),
    #[cfg(feature = "sources")]
    ("spool", spool),
    ("submission", submission),
    #[cfg(feature = "sources")]
    ("syslog", syslog),
    ("tile_path", tile_path),
];

/// The keys that the corpus is signed with.
const LOG_VKEY: &str =
    "example.com/vector-log+5853a898+AdNnO/eaYELmpXi5YKlhnnDBvHrRrmiMyjRbjNUdQ370";
const WITNESS_VKEY: &str =
    "witness.example/vector+94cd2879+BOe3/QloEK2hfvaa6JT+0yBQZFB52pCAsESwmnLWGGfL";

fn vkey(text: &str) -> VerifierKey {
    VerifierKey::parse(text).expect("the vkeys above are valid")
}

fn trust() -> TrustPolicy {
    let text = format!("log {LOG_VKEY}\nwitness w {WITNESS_VKEY}\nquorum w\n");
    TrustPolicy::parse(&text).expect("the policy above is valid")
}

/// A request that parses is written again alike, and is accepted for one log under its own signature alone.
pub fn add_checkpoint(data: &[u8]) {
    let Ok(request) = AddCheckpoint::parse(data) else { return };
    assert_eq!(request.format(), data);
    assert!(data.len() <= ADD_CHECKPOINT_BYTES_MAX);
    let key = vkey(LOG_VKEY);
    let origin = Origin::parse(key.name().as_str()).expect("the vkey has an origin as its name");
    let log = WitnessedLog { origin, keys: vec![key.clone()] };
    let latest = TreeHead { size: TreeSize::ZERO, root: TreeHash::empty_root() };
    for latest in [None, Some(&latest)] {
        if let Ok(accepted) = judge(&log, latest, &request) {
            assert_eq!(request.old_size, TreeSize::ZERO);
            let note = accepted.checkpoint().note();
            let verified = SignedCheckpoint::verify(note, &key);
            assert_eq!(verified.as_ref(), Ok(accepted.checkpoint()));
        }
    }
    let other = TreeHead { size: TreeSize::new(5).expect("5"), root: TreeHash::empty_root() };
    if let Some(checkpoint) = contradicts(&log, &other, &request) {
        assert_eq!(checkpoint.head().size, other.size);
        let verified = SignedCheckpoint::verify(&request.note, &key);
        assert_eq!(verified.map(|signed| signed.head()), Ok(checkpoint.head()));
    }
}

/// A note that parses is written again alike; its signatures can be checked.
pub fn note(data: &[u8]) {
    let Ok(note) = SignedNote::parse(data) else { return };
    assert_eq!(note.to_string().as_bytes(), data);
    let again = SignedNote::new(note.text().to_owned(), note.signatures().to_vec());
    assert_eq!(again.as_ref(), Ok(&note));
    if let Ok(verified) = note.verify(&[vkey(LOG_VKEY), vkey(WITNESS_VKEY)]) {
        assert!(matches!(verified.signatures().len(), 1 | 2));
    }
}

/// A checkpoint that parses is written again alike, and one that verifies is trusted with its bytes.
pub fn checkpoint(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Ok(checkpoint) = CheckpointText::parse(text)
    {
        assert_eq!(checkpoint.to_string(), text);
    }
    let verified = SignedCheckpoint::verify(data, &vkey(LOG_VKEY));
    if let Ok(checkpoint) = &verified {
        assert_eq!(checkpoint.note(), data);
    }
    if let Ok(trusted) = trust().verify_checkpoint(data) {
        assert_eq!(Ok(trusted.checkpoint), verified);
    }
}

/// A key that parses is written again alike.
pub fn key(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = SigningKey::parse(text) {
        assert_eq!(*key.format(), text);
    }
}

/// A policy that parses is written so that it is read alike, and can be asked.
pub fn policy(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(policy) = TrustPolicy::parse(text) else { return };
    assert_eq!(TrustPolicy::parse(&policy.to_string()).as_ref(), Ok(&policy));
    // Nobody has signed this, whatever the policy says.
    assert!(policy.verify_checkpoint(b"a.example\n1\n\n\xe2\x80\x94 a AAAAAAA=\n").is_err());
}

/// A receipt that parses is written again alike, and proves something about one entry at most.
pub fn receipt(data: &[u8]) {
    let Ok(receipt) = Receipt::parse(data) else { return };
    assert_eq!(receipt.format(), data);
    let entries: [&[u8]; 3] = [b"leaf 2", b"leaf 3", b""];
    let proved = entries.iter().filter(|entry| receipt.verify(entry, &trust()).is_ok()).count();
    assert!(proved <= 1);
}

/// Evidence that parses is written again alike, and what convicts names two roots of one size.
pub fn evidence(data: &[u8]) {
    let Ok(evidence) = Evidence::parse(data) else { return };
    assert_eq!(evidence.format(), data);
    assert!(data.len() <= EVIDENCE_BYTES_MAX);
    if let Judgement::Guilty { key, .. } = evidence.judge(&trust()) {
        assert_eq!(*key, vkey(LOG_VKEY));
        let [older, newer] = evidence.heads();
        assert!(older.size.get() > 0 && older.size <= newer.size && older.root != newer.root);
        for note in evidence.notes() {
            SignedCheckpoint::verify(note, &key).expect("the key signed both");
        }
    }
}

/// A path that parses is written again alike.
pub fn tile_path(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(resource) = Resource::parse(text) {
        assert_eq!(resource.to_string(), text);
    }
}

/// An origin that parses has a path that is a part of it, and is in its own way.
pub fn origin(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(origin) = Origin::parse(text) else { return };
    assert_eq!(origin.as_str(), text);
    assert!(text.ends_with(origin.http_prefix()));
    assert!(prefix_conflict(&origin, &origin));
}

/// What is read from a segment or bundle makes the same bytes again.
pub fn segment(data: &[u8]) {
    let mut written = Vec::new();
    let mut count = 0;
    let mut is_bundle = true;
    for entry in segments::decode(data) {
        match entry {
            Ok(segments::StoredEntry::Bytes(entry)) => segments::encode_entry(&mut written, entry),
            Ok(segments::StoredEntry::Erased(hash)) => {
                is_bundle = false;
                written.extend([0, 0]);
                written.extend(hash.as_bytes());
            }
            Err(_) => return assert!(segments::parse_bundle(data, count).is_err()),
        }
        count += 1;
    }
    assert_eq!(written, data);
    assert_eq!(segments::parse_bundle(data, count).is_ok(), is_bundle);
    assert!(segments::parse_bundle(data, count + 1).is_err());
    assert!(count == 0 || segments::parse_bundle(data, count - 1).is_err());
}

/// Only the honest inclusion proof verifies.
pub fn inclusion(data: &[u8]) {
    let mut input = Input(data);
    let (leaf, index, head) = (input.hash(), input.index(), input.head());
    // A head of the input's choice: a proof that verifies does not with one hash less.
    let proof = input.hashes();
    if verify_inclusion(&leaf, index, &head, &proof).is_ok() {
        let shorter = proof.split_last().map(|(_, rest)| rest);
        assert!(shorter.is_none_or(|rest| verify_inclusion(&leaf, index, &head, rest).is_err()));
    }

    let mut input = Input(data);
    let world = World::new(&mut input);
    let (proved, claimed) = (world.index(&mut input), world.index(&mut input));
    let honest = prove_inclusion(&world, proved, world.head().size).expect("the leaf is there");
    let proof = input.spoil(&honest);
    let is_honest = proved == claimed && proof == honest;
    let result = verify_inclusion(&leaf_hash(proved.get()), claimed, &world.head(), &proof);
    assert_eq!(result.is_ok(), is_honest);
}

/// Only the honest consistency proof verifies.
pub fn consistency(data: &[u8]) {
    let mut input = Input(data);
    let (old, new) = (input.head(), input.head());
    let proof = input.hashes();
    if verify_consistency(&old, &new, &proof).is_ok() {
        let shorter = proof.split_last().map(|(_, rest)| rest);
        assert!(shorter.is_none_or(|rest| verify_consistency(&old, &new, rest).is_err()));
    }

    let mut input = Input(data);
    let world = World::new(&mut input);
    let old = World::of(world.index(&mut input).get() + 1).head();
    let new = world.head();
    let honest = prove_consistency(&world, old.size, new.size).expect("0 < old <= new");
    let proof = input.spoil(&honest);
    assert_eq!(verify_consistency(&old, &new, &proof).is_ok(), proof == honest);
}

/// Only the honest range proof verifies.
pub fn range(data: &[u8]) {
    let mut input = Input(data);
    let (from, head) = (input.index(), input.head());
    let leaves: Vec<TreeHash> = (0..input.byte() % 8).map(|_| input.hash()).collect();
    let proof = input.hashes();
    if verify_range(&leaves, from, &head, &proof).is_ok() {
        let shorter = proof.split_last().map(|(_, rest)| rest);
        assert!(shorter.is_none_or(|rest| verify_range(&leaves, from, &head, rest).is_err()));
    }

    let mut input = Input(data);
    let world = World::new(&mut input);
    let (one, other) = (world.index(&mut input), world.index(&mut input));
    let (from, last) = (one.min(other), one.max(other));
    let to = LeafIndex::new(last.get() + 1).expect("the tree is small");
    let honest = prove_range(&world, from, to, world.head().size).expect("from < to <= size");
    let honest_leaves: Vec<TreeHash> = (from.get()..to.get()).map(leaf_hash).collect();
    let proof = input.spoil(&honest);
    let leaves = input.spoil(&honest_leaves);
    let is_honest = proof == honest && leaves == honest_leaves;
    assert_eq!(verify_range(&leaves, from, &world.head(), &proof).is_ok(), is_honest);
}

/// Only the honest batch proof verifies.
pub fn batch(data: &[u8]) {
    let mut input = Input(data);
    let head = input.head();
    let leaves: Vec<(LeafIndex, TreeHash)> =
        (0..input.byte() % 8).map(|_| (input.index(), input.hash())).collect();
    let proof = input.hashes();
    if verify_batch(&leaves, &head, &proof).is_ok() {
        let shorter = proof.split_last().map(|(_, rest)| rest);
        assert!(shorter.is_none_or(|rest| verify_batch(&leaves, &head, rest).is_err()));
    }

    let mut input = Input(data);
    let world = World::new(&mut input);
    let mut indices: Vec<LeafIndex> =
        (0..=input.byte() % 8).map(|_| world.index(&mut input)).collect();
    indices.sort_unstable();
    indices.dedup();
    let honest = prove_batch(&world, &indices, world.head().size).expect("all leaves are there");
    let honest_leaves: Vec<TreeHash> = indices.iter().map(|index| leaf_hash(index.get())).collect();
    let proof = input.spoil(&honest);
    let leaves = input.spoil(&honest_leaves);
    let is_honest = proof == honest && leaves == honest_leaves;
    let claim: Vec<(LeafIndex, TreeHash)> = indices.into_iter().zip(leaves.clone()).collect();
    let is_complete = claim.len() == honest_leaves.len() && leaves.len() == claim.len();
    let result = verify_batch(&claim, &world.head(), &proof);
    assert_eq!(result.is_ok() && is_complete, is_honest);
}

/// A small tree of known leaves.
struct World(Edge);

impl World {
    /// Takes the size from the input: 1 to 128 leaves.
    fn new(input: &mut Input<'_>) -> Self {
        Self::of(u64::from(input.byte() % 128) + 1)
    }

    fn of(size: u64) -> Self {
        let leaves: Vec<TreeHash> = (0..size).map(leaf_hash).collect();
        Self(Edge::empty().append(&leaves).edge)
    }

    fn head(&self) -> TreeHead {
        self.0.head()
    }

    fn index(&self, input: &mut Input<'_>) -> LeafIndex {
        let index = u64::from(input.byte()) % self.head().size.get();
        LeafIndex::new(index).expect("the tree is small")
    }
}

impl NodeReader for World {
    type Error = NodeId;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, NodeId> {
        nodes.iter().map(|&node| self.0.node(node).ok_or(node)).collect()
    }
}

/// Returns the hash of a leaf, alike in all these trees.
fn leaf_hash(index: u64) -> TreeHash {
    TreeHash::leaf(&index.to_be_bytes())
}

/// Values read one after another from the bytes of an input, zeros after its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = self.0.len().min(N);
        let (front, rest) = self.0.split_at(taken);
        bytes[..taken].copy_from_slice(front);
        self.0 = rest;
        bytes
    }

    fn hash(&mut self) -> TreeHash {
        TreeHash::from_bytes(self.bytes())
    }

    fn hashes(&mut self) -> Vec<TreeHash> {
        let (chunks, _) = self.0.as_chunks();
        chunks.iter().copied().map(TreeHash::from_bytes).collect()
    }

    fn index(&mut self) -> LeafIndex {
        // Most inputs would be far beyond; the remainder keeps small numbers as they are.
        LeafIndex::new(u64::from_be_bytes(self.bytes()) % (1 << 62)).expect("below 2^62")
    }

    fn head(&mut self) -> TreeHead {
        let size = TreeSize::new(u64::from_be_bytes(self.bytes()) % ((1 << 62) + 1));
        TreeHead { size: size.expect("at most 2^62"), root: self.hash() }
    }

    /// Changes a list of hashes as the input says, or leaves it as it is.
    fn spoil(&mut self, honest: &[TreeHash]) -> Vec<TreeHash> {
        let mut hashes = honest.to_vec();
        for _ in 0..self.byte() % 4 {
            let (kind, position) = (self.byte() % 4, usize::from(self.byte()));
            if hashes.is_empty() {
                hashes.push(self.hash());
                continue;
            }
            let position = position % hashes.len();
            match kind {
                0 => hashes.insert(position, hashes[position]),
                1 => drop(hashes.remove(position)),
                2 => hashes.rotate_left(position),
                _ => {
                    let mut bytes = *hashes[position].as_bytes();
                    let bit = self.byte();
                    bytes[usize::from(bit / 8)] ^= 1 << (bit % 8);
                    hashes[position] = TreeHash::from_bytes(bytes);
                }
            }
        }
        hashes
    }
}
