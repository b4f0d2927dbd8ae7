//! Evidence convicts whoever signed two histories, and nobody else.

use std::{collections::BTreeMap, fs, path::Path};

use attestree::core::{
    checkpoint::{CheckpointText, SignedCheckpoint},
    evidence::{
        Contradiction, Doubt, EVIDENCE_BYTES_MAX, Evidence, EvidenceProblem, Flaw, Judgement, Which,
    },
    hash::TreeHash,
    note::{NOTE_BYTES_MAX, SignedNote, SigningKey},
    number::{LeafIndex, TreeSize},
    origin::Origin,
    tree::{Edge, NodeId, NodeReader, TreeHead, prove_consistency, root_at},
    trust::TrustPolicy,
};
use proptest::prelude::*;
use serde::Deserialize;

use crate::published::{LOG_VKEY, WITNESS_VKEY, log_key, signing_key};

/// A vector that `tests/interop/evidence.py` made.
#[derive(Debug, Deserialize)]
struct Vector {
    evidence: String,
    policy: String,
    verdict: String,
}

fn vectors() -> BTreeMap<String, Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/evidence");
    let read = |path: &Path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(&path)))
        .collect()
}

fn policy() -> TrustPolicy {
    TrustPolicy::parse(&format!("log {LOG_VKEY}\nquorum none\n")).unwrap()
}

fn is_guilty(evidence: &[u8]) -> bool {
    Evidence::parse(evidence)
        .is_ok_and(|evidence| matches!(evidence.judge(&policy()), Judgement::Guilty { .. }))
}

/// A small tree, all of it.
struct World(Edge);

impl World {
    /// Makes a tree whose leaf at `changed` is another one.
    fn new(size: u64, changed: Option<u64>) -> Self {
        let leaf = |index: u64| match changed == Some(index) {
            true => TreeHash::leaf(b"changed"),
            false => TreeHash::leaf(format!("leaf {index}").as_bytes()),
        };
        Self(Edge::empty().append(&(0..size).map(leaf).collect::<Vec<_>>()).edge)
    }

    fn signed(&self) -> SignedCheckpoint {
        sign(&log_key(), self.0.head())
    }

    /// Returns the root at a size, and the proof from there.
    fn link(&self, size: u64) -> (TreeHash, Vec<TreeHash>) {
        let size = TreeSize::new(size).unwrap();
        let proof = prove_consistency(self, size, self.0.head().size).unwrap();
        (root_at(self, size).unwrap(), proof)
    }
}

impl NodeReader for World {
    type Error = NodeId;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, NodeId> {
        nodes.iter().map(|&node| self.0.node(node).ok_or(node)).collect()
    }

    fn tail(&self, from: LeafIndex, size: TreeSize) -> Option<TreeHash> {
        self.0.tail(from, size)
    }
}

fn sign(key: &SigningKey, head: TreeHead) -> SignedCheckpoint {
    let origin = Origin::parse(key.verifier_key().name().as_str()).unwrap();
    let text = CheckpointText { origin, head }.to_string();
    let note = SignedNote::new(text.clone(), vec![key.sign(&text)]).unwrap().to_string();
    SignedCheckpoint::verify(note.as_bytes(), key.verifier_key()).unwrap()
}

/// Writes evidence as an accuser does who keeps to no rule.
fn accuse(
    older: &SignedCheckpoint,
    newer: &SignedCheckpoint,
    prefix: Option<(TreeHash, &[TreeHash])>,
) -> Vec<u8> {
    let mut text = "attestree-evidence@v1\nkind ".to_owned();
    match prefix {
        None => text += "same-size\n",
        Some((root, proof)) => {
            text += &format!("prefix\nroot {root}\n");
            text.extend(proof.iter().map(|hash| format!("proof {hash}\n")));
        }
    }
    for note in [older.note(), newer.note()] {
        text += &format!("note {}\n{}", note.len(), str::from_utf8(note).unwrap());
    }
    text.into_bytes()
}

#[test]
fn each_vector_gets_the_verdict_it_was_made_for() {
    let vectors = vectors();
    assert!(vectors.len() > 40);
    for (name, Vector { evidence, policy, verdict }) in vectors {
        let trust = TrustPolicy::parse(&policy).unwrap();
        let found = match Evidence::parse(evidence.as_bytes()) {
            Err(_) => "malformed",
            Ok(parsed) => {
                assert_eq!(parsed.format(), evidence.as_bytes(), "{name}");
                match parsed.judge(&trust) {
                    Judgement::Guilty { .. } => "guilty",
                    Judgement::Inconclusive { .. } => "inconclusive",
                    Judgement::Forged { .. } => "forged",
                }
            }
        };
        assert_eq!(found, verdict, "{name}");
    }
}

fn judged(name: &str) -> Judgement {
    let vector = vectors().remove(name).unwrap_or_else(|| panic!("no vector {name}"));
    let trust = TrustPolicy::parse(&vector.policy).unwrap();
    Evidence::parse(vector.evidence.as_bytes()).unwrap().judge(&trust)
}

#[test]
fn a_verdict_names_its_reason() {
    let size = |size| TreeSize::new(size).unwrap();
    let guilty = |contradiction, witnesses: &[&str]| Judgement::Guilty {
        key: Box::new(log_key().verifier_key().clone()),
        contradiction,
        witnesses: witnesses.iter().map(|&name| name.to_owned()).collect(),
    };
    let five = Contradiction::SameSize { size: size(5) };
    assert_eq!(judged("same-size"), guilty(five.clone(), &[]));
    assert_eq!(judged("witnessed"), guilty(five.clone(), &["vector"]));
    assert_eq!(judged("one-common-key"), guilty(five, &[]));
    let prefix = Contradiction::Prefix { older: size(3), newer: size(5) };
    assert_eq!(judged("prefix"), guilty(prefix, &[]));

    let origin = |text| Origin::parse(text).unwrap();
    let vector_log = || origin("example.com/vector-log");
    for (name, reason) in [
        ("same-tree", Doubt::Agree),
        ("continued", Doubt::Agree),
        ("sizes", Doubt::Sizes { first: size(3), second: size(5) }),
        ("newer-first", Doubt::Sizes { first: size(5), second: size(3) }),
        ("prefix-of-equal-size", Doubt::Sizes { first: size(5), second: size(5) }),
        ("empty", Doubt::Empty),
        ("two-logs", Doubt::Logs { first: origin("example.com/other"), second: vector_log() }),
        ("unknown-log", Doubt::UnknownLog { origin: vector_log() }),
        ("two-keys", Doubt::Keys),
        ("unsigned", Doubt::Unsigned { which: Which::First }),
        ("witness-alone", Doubt::Unsigned { which: Which::First }),
    ] {
        assert_eq!(judged(name), Judgement::Inconclusive { reason }, "{name}");
    }
    for (name, reason) in [
        ("signature-first", Flaw::Signature { which: Which::First }),
        ("signature-second", Flaw::Signature { which: Which::Second }),
        ("proof-short", Flaw::Proof),
        ("proof-other-root", Flaw::Proof),
        ("proof-of-63", Flaw::Proof),
    ] {
        assert_eq!(judged(name), Judgement::Forged { reason }, "{name}");
    }
}

#[test]
fn what_is_no_evidence_is_refused_at_its_line() {
    for (name, line, problem) in [
        ("header", 1, EvidenceProblem::Header),
        ("kind", 2, EvidenceProblem::Kind),
        ("kind-missing", 2, EvidenceProblem::Kind),
        ("root-in-same-size", 3, EvidenceProblem::Note),
        ("root-missing", 3, EvidenceProblem::Root),
        ("hash", 4, EvidenceProblem::Hash),
        ("proof-of-64", 67, EvidenceProblem::ProofLength),
        ("length-missing", 3, EvidenceProblem::Note),
        ("length-beyond", 3, EvidenceProblem::Note),
        ("truncated", 10, EvidenceProblem::Truncated),
        ("one-note", 9, EvidenceProblem::Truncated),
        ("trailing", 15, EvidenceProblem::Trailing { bytes: 1 }),
        ("nothing", 1, EvidenceProblem::Truncated),
    ] {
        let vector = vectors().remove(&format!("malformed-{name}")).unwrap();
        let error = Evidence::parse(vector.evidence.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.problem), (line, problem), "{name}");
    }
    let long = [b"attestree-evidence@v1\nkind prefix\nroot ".as_slice(), &[b'A'; 100]].concat();
    assert_eq!(Evidence::parse(&long).unwrap_err().problem, EvidenceProblem::Line);
}

/// Largest tree of the exhaustive tests.
const SIZE_MAX: u64 = 20;

#[test]
fn a_log_that_only_appends_is_never_convicted() {
    for new in 0..=SIZE_MAX {
        let newer = World::new(new, None);
        let signed = newer.signed();
        for old in 0..=SIZE_MAX {
            let older = World::new(old, None).signed();
            assert_eq!(Evidence::same_size(&older, &signed), None);
            assert!(!is_guilty(&accuse(&older, &signed, None)));
            if (1..=new).contains(&old) {
                let (root, proof) = newer.link(old);
                assert_eq!(Evidence::prefix(&older, &signed, root, proof.clone()), None);
                // Nor with another root in the place of the true one, whatever it is.
                for claimed in 1..=SIZE_MAX {
                    let other = World::new(claimed, Some(0)).0.head().root;
                    for root in [other, World::new(claimed, None).0.head().root] {
                        let evidence = accuse(&older, &signed, Some((root, &proof)));
                        assert!(!is_guilty(&evidence), "{old} of {new}, root of {claimed}");
                        assert_eq!(Evidence::prefix(&older, &signed, root, proof.clone()), None);
                    }
                }
            }
        }
    }
}

#[test]
fn every_changed_leaf_convicts() {
    for new in 1..=SIZE_MAX {
        let newer = World::new(new, None);
        let signed = newer.signed();
        for old in 1..=new {
            for changed in 0..old {
                let older = World::new(old, Some(changed)).signed();
                let evidence = if old == new {
                    Evidence::same_size(&older, &signed)
                } else {
                    let (root, proof) = newer.link(old);
                    Evidence::prefix(&older, &signed, root, proof)
                };
                let evidence = evidence.unwrap();
                assert!(is_guilty(&evidence.format()), "leaf {changed} of {old} in {new}");
                assert_eq!(Evidence::parse(&evidence.format()).as_ref(), Ok(&evidence));
                assert_eq!(evidence.heads(), [older.head(), signed.head()]);
            }
        }
    }
}

/// Returns convictions of each kind.
fn convictions() -> [Evidence; 3] {
    let newer = World::new(13, None);
    let prefix = |old: u64| {
        let (root, proof) = newer.link(old);
        let older = World::new(old, Some(2)).signed();
        Evidence::prefix(&older, &newer.signed(), root, proof).unwrap()
    };
    let other = World::new(13, Some(7)).signed();
    [Evidence::same_size(&other, &newer.signed()).unwrap(), prefix(7), prefix(8)]
}

#[test]
fn no_changed_byte_leaves_a_conviction() {
    for evidence in convictions() {
        let bytes = evidence.format();
        assert!(is_guilty(&bytes));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(!is_guilty(&flipped), "bit {bit} of byte {at}");
            }
            assert!(!is_guilty(&bytes[..at]), "the first {at} bytes");
            assert!(!is_guilty(&[&bytes[..at], &bytes[at + 1..]].concat()), "without byte {at}");
            assert!(!is_guilty(&[&bytes[..=at], &bytes[at..]].concat()), "byte {at} twice");
        }
    }
}

#[test]
fn a_pair_that_proves_nothing_makes_no_evidence() {
    let (newer, other) = (World::new(13, None), World::new(7, Some(2)).signed());
    let (root, proof) = newer.link(7);
    let foreign = signing_key("example.com/other", "other");
    let elsewhere = sign(&foreign, other.head());
    let signed = newer.signed();
    assert_eq!(Evidence::prefix(&elsewhere, &signed, root, proof.clone()), None);
    assert_eq!(Evidence::prefix(&signed, &other, root, proof.clone()), None);
    assert_eq!(Evidence::prefix(&other, &signed, other.head().root, proof.clone()), None);
    assert_eq!(Evidence::prefix(&other, &signed, root, proof[1..].to_vec()), None);
    let empty = sign(&log_key(), TreeHead::empty());
    assert_eq!(Evidence::prefix(&empty, &signed, signed.head().root, Vec::new()), None);
    let changed = World::new(13, Some(2)).0.head();
    assert_eq!(Evidence::same_size(&sign(&foreign, changed), &signed), None);
    assert!(Evidence::same_size(&sign(&log_key(), changed), &signed).is_some());
}

#[test]
fn the_longest_evidence_is_read() {
    let mut vector = vectors().remove("proof-of-63").unwrap();
    // Room is taken by signatures of strangers, as long as the note may be.
    let note = vector.evidence.rfind("note ").unwrap();
    let pad = |note: &str| {
        let mut note = note.to_owned();
        while note.len() < NOTE_BYTES_MAX {
            let left = NOTE_BYTES_MAX - note.len();
            let line = |bytes: usize| format!("\u{2014} s {}\n", "A".repeat(bytes));
            let room = (left.min(4_000) - line(0).len()) / 4 * 4;
            let name = "s".repeat(left.min(4_000) - line(room).len() + 1);
            note += &line(room).replace(" s ", &format!(" {name} "));
        }
        note
    };
    let second = vector.evidence.split_off(note);
    let first_at = vector.evidence.find("note ").unwrap();
    let first = vector.evidence.split_off(first_at);
    for part in [first, second] {
        let padded = pad(part.split_once('\n').unwrap().1);
        vector.evidence += &format!("note {}\n{padded}", padded.len());
    }
    assert_eq!(vector.evidence.len(), EVIDENCE_BYTES_MAX - "same-size".len() + "prefix".len());
    let parsed = Evidence::parse(vector.evidence.as_bytes()).unwrap();
    assert_eq!(parsed.format(), vector.evidence.as_bytes());
    assert_eq!(parsed.judge(&policy()), Judgement::Forged { reason: Flaw::Proof });
}

#[test]
fn a_witness_key_never_convicts_a_log() {
    let text = vectors().remove("witness-alone").unwrap();
    let line = format!("log {WITNESS_VKEY}\nquorum none\n");
    assert!(TrustPolicy::parse(&line).is_err());
    assert!(!is_guilty(text.evidence.as_bytes()));
}

proptest! {
    /// The accuser has every checkpoint that an honest log signed, and writes what it likes.
    #[test]
    fn an_accuser_without_the_key_never_convicts(
        old in 0..SIZE_MAX,
        new in 0..SIZE_MAX,
        root in any::<Option<[u8; 32]>>(),
        from in 1..SIZE_MAX,
        spoil in any::<(u8, u8)>(),
        is_prefix in any::<bool>(),
    ) {
        let (older, newer) = (World::new(old, None), World::new(new, None));
        let mut proof = if from <= new { newer.link(from).1 } else { Vec::new() };
        let (kind, at) = (spoil.0 % 4, usize::from(spoil.1));
        if !proof.is_empty() {
            let at = at % proof.len();
            match kind {
                0 => {}
                1 => drop(proof.remove(at)),
                2 => proof.insert(at, TreeHash::digest(&[spoil.1])),
                _ => proof.rotate_left(at),
            }
        }
        let root = root.map_or(newer.0.head().root, TreeHash::from_bytes);
        let prefix = is_prefix.then_some((root, proof.as_slice()));
        prop_assert!(!is_guilty(&accuse(&older.signed(), &newer.signed(), prefix)));
    }
}
