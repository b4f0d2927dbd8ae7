//! The rules of witnesses: what is a request, what is accepted, and in which order it is refused.

use attestree::core::{
    checkpoint::SignedCheckpoint,
    hash::TreeHash,
    note::{CosigningKey, NoteError, NoteSignature, SignedNote, SigningKey, parse_signature_lines},
    number::{LeafIndex, TreeSize},
    origin::Origin,
    tree::{Edge, NodeId, NodeReader, TreeHead, prove_consistency},
    witness::{
        ADD_CHECKPOINT_BYTES_MAX, AddCheckpoint, AddCheckpointError, PROOF_HASHES_MAX, Refusal,
        WitnessedLog, contradicts, cosigned_beyond, judge, origin_hash_hex,
    },
};
use bytes::Bytes;

use super::published::{
    CHECKPOINT_TEXT, LOG_LINE, WITNESS_LINE, checkpoint_note, cosignature_time, cosigning_key,
    log_key, signing_key, witness_key,
};

/// Largest tree of the exhaustive tests.
const SIZE_MAX: u64 = 40;

/// A log of leaves `0`, `1`, ... in memory; a second history differs from leaf `parting` on.
pub struct Tree {
    leaves: Vec<TreeHash>,
}

impl Tree {
    pub fn new(size: u64, parting: u64) -> Self {
        let leaf = |index: u64| {
            let side = if index < parting { "" } else { "other " };
            TreeHash::leaf(format!("{side}{index}").as_bytes())
        };
        Self { leaves: (0..size).map(leaf).collect() }
    }

    pub fn head(&self, size: u64) -> TreeHead {
        Edge::empty().append(&self.leaves[..usize::try_from(size).unwrap()]).edge.head()
    }

    /// Returns the hashes of the first leaves, as a tile has them.
    #[cfg(feature = "server")]
    pub fn leaf_bytes(&self, size: u64) -> Vec<u8> {
        let leaves = &self.leaves[..usize::try_from(size).unwrap()];
        leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect()
    }

    pub fn proof(&self, old: u64, new: u64) -> Vec<TreeHash> {
        if old == 0 {
            return Vec::new();
        }
        prove_consistency(self, size(old), size(new)).unwrap()
    }
}

impl NodeReader for Tree {
    type Error = core::convert::Infallible;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, Self::Error> {
        let node = |node: &NodeId| {
            let width = 1_usize << node.level();
            let from = usize::try_from(node.index()).unwrap() * width;
            Edge::empty().append(&self.leaves[from..from + width]).edge.head().root
        };
        Ok(nodes.iter().map(node).collect())
    }

    fn tail(&self, _: LeafIndex, _: TreeSize) -> Option<TreeHash> {
        None
    }
}

pub fn size(size: u64) -> TreeSize {
    TreeSize::new(size).unwrap()
}

pub fn witnessed(key: &SigningKey) -> WitnessedLog {
    let vkey = key.verifier_key().clone();
    WitnessedLog { origin: Origin::parse(vkey.name().as_str()).unwrap(), keys: vec![vkey] }
}

/// Signs a head as the log would.
pub fn note(key: &SigningKey, head: &TreeHead) -> SignedNote {
    let name = key.verifier_key().name().as_str();
    let text = format!("{name}\n{}\n{}\n", head.size, head.root);
    let line = key.sign(&text);
    SignedNote::new(text, vec![line]).unwrap()
}

pub fn request(old: u64, proof: Vec<TreeHash>, note: &SignedNote) -> AddCheckpoint {
    AddCheckpoint { old_size: size(old), proof, note: Bytes::from(note.to_string()) }
}

#[test]
fn from_every_size_to_every_size_exactly_the_right_proof_is_accepted() {
    let (key, tree) = (log_key(), Tree::new(SIZE_MAX, SIZE_MAX));
    let log = witnessed(&key);
    for known in 0..=SIZE_MAX {
        let latest = (known > 0).then(|| tree.head(known));
        for old in 0..=SIZE_MAX {
            for new in 0..=SIZE_MAX {
                let (head, proof) = (tree.head(new), tree.proof(old.min(new), new));
                let asked = request(old, proof, &note(&key, &head));
                let answer = judge(&log, latest.as_ref(), &asked);
                match answer {
                    Ok(accepted) => {
                        assert_eq!((accepted.checkpoint().head(), old), (head, known));
                        assert!(old <= new);
                        assert_eq!(accepted.log_key(), key.verifier_key());
                    }
                    Err(Refusal::OldTooLarge { .. }) => assert!(old > new),
                    Err(Refusal::Conflict { latest }) => {
                        assert!(old <= new && old != known);
                        assert_eq!(latest, size(known));
                    }
                    Err(other) => panic!("{known} {old} {new}: {other}"),
                }
            }
        }
    }
}

#[test]
fn every_wrong_proof_is_refused_and_convicts_nobody() {
    let (key, tree) = (log_key(), Tree::new(SIZE_MAX, SIZE_MAX));
    let log = witnessed(&key);
    for old in 0..=SIZE_MAX {
        for new in old..=SIZE_MAX {
            let (latest, head) = (tree.head(old), tree.head(new));
            let right = tree.proof(old, new);
            let mut wrong = vec![[right.as_slice(), &[head.root]].concat()];
            for position in 0..right.len() {
                let mut changed = right.clone();
                changed[position] = TreeHash::leaf(b"something else");
                wrong.push(changed);
                let mut shorter = right.clone();
                shorter.remove(position);
                wrong.push(shorter);
            }
            for proof in wrong {
                let asked = request(old, proof, &note(&key, &head));
                let refusal = judge(&log, Some(&latest), &asked).unwrap_err();
                assert_eq!(refusal, Refusal::Proof { old: size(old), new: size(new) });
                assert_eq!(contradicts(&log, &latest, &asked), None);
            }
        }
    }
}

#[test]
fn no_second_history_is_ever_accepted() {
    let key = log_key();
    let log = witnessed(&key);
    for parting in 0..16 {
        let (first, second) = (Tree::new(16, 16), Tree::new(16, parting));
        for old in parting + 1..=16 {
            let latest = first.head(old);
            for new in old..=16 {
                let head = second.head(new);
                for proof in [second.proof(old, new), first.proof(old, new)] {
                    let asked = request(old, proof, &note(&key, &head));
                    let refusal = judge(&log, Some(&latest), &asked).unwrap_err();
                    assert_eq!(refusal.status(), 422);
                    let fork = matches!(&refusal, Refusal::Fork { latest: cosigned, checkpoint }
                        if *cosigned == latest && checkpoint.head() == head);
                    assert_eq!(fork, old == new, "{refusal}");
                    assert_eq!(contradicts(&log, &latest, &asked).is_some(), old == new);
                }
            }
        }
    }
}

/// One request with everything wrong; mending one thing after the other shows the order.
#[test]
fn the_checks_come_in_the_order_of_the_specification() {
    let (key, stranger) = (log_key(), signing_key("example.com/vector-log", "another key"));
    let tree = Tree::new(9, 9);
    let log = witnessed(&key);
    let latest = Some(tree.head(5));
    let status = |asked: &AddCheckpoint| judge(&log, latest.as_ref(), asked).unwrap_err().status();

    let junk = AddCheckpoint { old_size: size(9), proof: vec![], note: Bytes::from("junk") };
    assert_eq!(status(&junk), 400);
    let elsewhere = signing_key("example.com/elsewhere", "another key");
    assert_eq!(status(&request(9, vec![], &note(&elsewhere, &tree.head(7)))), 404);
    assert_eq!(status(&request(9, vec![], &note(&stranger, &tree.head(7)))), 403);
    assert_eq!(status(&request(9, vec![], &note(&key, &tree.head(7)))), 400);
    assert_eq!(status(&request(4, vec![], &note(&key, &tree.head(7)))), 409);
    assert_eq!(status(&request(5, vec![], &note(&key, &tree.head(7)))), 422);
    let good = request(5, tree.proof(5, 7), &note(&key, &tree.head(7)));
    assert_eq!(judge(&log, latest.as_ref(), &good).unwrap().checkpoint().head(), tree.head(7));
}

#[test]
fn an_impossible_empty_tree_is_refused_after_the_signature_was_checked() {
    let (key, stranger) = (log_key(), signing_key("example.com/vector-log", "another key"));
    let log = witnessed(&key);
    let head = TreeHead { size: TreeSize::ZERO, root: TreeHash::leaf(b"x") };
    let refusal = |old: u64, key: &SigningKey, latest: Option<&TreeHead>| {
        judge(&log, latest, &request(old, vec![], &note(key, &head))).unwrap_err()
    };
    assert_eq!(refusal(0, &stranger, None).status(), 403);
    assert_eq!(refusal(0, &key, None), Refusal::EmptyRoot);
    assert_eq!(refusal(0, &key, Some(&TreeHead::empty())), Refusal::EmptyRoot);
    let tree = Tree::new(3, 3);
    assert_eq!(refusal(0, &key, Some(&tree.head(3))), Refusal::Conflict { latest: size(3) });
    assert_eq!(refusal(1, &key, None).status(), 400);

    // From nothing, a proof is an error: there is nothing that it could prove.
    let asked = request(0, vec![head.root], &note(&key, &tree.head(3)));
    assert_eq!(judge(&log, None, &asked).unwrap_err().status(), 422);
}

#[test]
fn a_known_key_must_hold_in_every_line_and_unknown_lines_are_passed_over() {
    let key = log_key();
    let log = witnessed(&key);
    let text = CHECKPOINT_TEXT;
    let grease =
        "\u{2014} grease.invalid MTIzNDU2Nzg=\n\u{2014} example.com/vector-log AAAAAGdyZWFzZQ==\n";
    let forged = LOG_LINE.replace("WFOomF", "WFOomG");
    let asked = |lines: &str| {
        let note = Bytes::from(format!("{text}\n{lines}"));
        AddCheckpoint { old_size: TreeSize::ZERO, proof: vec![], note }
    };
    let status = |lines: &str| judge(&log, None, &asked(lines)).map_err(|no| no.status());
    assert_eq!(status(grease).unwrap_err(), 403);
    assert_eq!(status(&forged).unwrap_err(), 403);
    assert_eq!(status(&format!("{LOG_LINE}{forged}")).unwrap_err(), 403);
    for lines in [
        LOG_LINE.to_owned(),
        format!("{grease}{LOG_LINE}{WITNESS_LINE}"),
        LOG_LINE.repeat(100),
        grease.repeat(49) + WITNESS_LINE + LOG_LINE,
    ] {
        let accepted = status(&lines).unwrap();
        // What is kept has the log's signature alone, once.
        let kept = format!("{text}\n{LOG_LINE}");
        assert_eq!(accepted.checkpoint().note(), kept.as_bytes());
        let again = SignedCheckpoint::verify(kept.as_bytes(), key.verifier_key()).unwrap();
        assert_eq!(&again, accepted.checkpoint());
    }
    assert_eq!(status(&LOG_LINE.repeat(101)).unwrap_err(), 400);
}

#[test]
fn any_key_of_the_log_may_sign_and_keys_of_others_never() {
    let (old, new) = (log_key(), signing_key("example.com/vector-log", "the next key"));
    let mut log = witnessed(&old);
    log.keys.push(new.verifier_key().clone());
    let head = Tree::new(3, 3).head(3);
    for key in [&old, &new] {
        let accepted = judge(&log, None, &request(0, vec![], &note(key, &head))).unwrap();
        assert_eq!(accepted.log_key(), key.verifier_key());
    }
    // A key under another name, and a cosigner's key, vouch for nothing.
    let other = signing_key("example.com/other", "tlog vector log key");
    let cosigner = cosigning_key("example.com/vector-log", "tlog vector log key");
    let text = note(&old, &head).text().to_owned();
    for (vkey, line) in [
        (other.verifier_key().clone(), other.sign(&text)),
        (cosigner.verifier_key().clone(), cosigner.sign(&text, cosignature_time())),
    ] {
        let log = WitnessedLog { origin: log.origin.clone(), keys: vec![vkey] };
        let asked = request(0, vec![], &SignedNote::new(text.clone(), vec![line]).unwrap());
        assert_eq!(judge(&log, None, &asked).unwrap_err().status(), 403);
    }
}

#[test]
fn a_witness_recognises_what_it_must_have_cosigned_and_forgot() {
    let (key, own) = (log_key(), witness_key());
    let tree = Tree::new(9, 9);
    let other = Tree::new(9, 4);
    let beyond = |latest: Option<&TreeHead>, head: &TreeHead, signer: &CosigningKey| {
        let note = note(&key, head);
        let line = signer.sign(note.text(), cosignature_time());
        let note = note.with_signatures(vec![line]).unwrap();
        cosigned_beyond(own.verifier_key(), latest, &request(0, vec![], &note))
    };
    let known = tree.head(5);
    for size in 0..=9 {
        let expected = (size > 5).then(|| tree.head(size));
        assert_eq!(beyond(Some(&known), &tree.head(size), &own), expected);
    }
    assert_eq!(beyond(None, &tree.head(1), &own), Some(tree.head(1)));
    assert_eq!(beyond(Some(&known), &other.head(5), &own), Some(other.head(5)));
    // Another witness's cosignature, or one of ours that does not hold, says nothing.
    let stranger = cosigning_key("witness.example/vector", "another key");
    assert_eq!(beyond(Some(&known), &tree.head(9), &stranger), None);
    let note = note(&key, &tree.head(9));
    let moved = own.sign(CHECKPOINT_TEXT, cosignature_time());
    let forged = note.with_signatures(vec![moved]).unwrap();
    let asked = request(0, vec![], &forged);
    assert_eq!(cosigned_beyond(own.verifier_key(), Some(&known), &asked), None);
}

#[test]
fn a_request_is_read_as_it_is_written() {
    let tree = Tree::new(9, 9);
    for (old, proof) in [(0, vec![]), (3, tree.proof(3, 9)), (1, vec![tree.head(1).root; 63])] {
        let asked = request(old, proof, &note(&log_key(), &tree.head(9)));
        assert_eq!(AddCheckpoint::parse(&asked.format()), Ok(asked));
    }
    let note = Bytes::from(checkpoint_note());
    let asked = AddCheckpoint { old_size: TreeSize::MAX, proof: vec![], note };
    let body = format!("old 4611686018427387904\n\n{}", checkpoint_note());
    assert_eq!(asked.format(), body.as_bytes());
    assert_eq!(AddCheckpoint::parse(body.as_bytes()), Ok(asked));
}

#[test]
fn bodies_that_are_no_request_are_refused() {
    use AddCheckpointError::{Hash, NoteLength, Old, ProofLength, TooLong, Truncated};
    let hash = TreeHash::empty_root().to_base64();
    let note = checkpoint_note();
    let error = |body: &str| AddCheckpoint::parse(body.as_bytes()).unwrap_err();
    for first in [
        "",
        "old",
        "old\n",
        "old \n",
        "old 01\n",
        "old +1\n",
        "old -1\n",
        "old 1 \n",
        " old 1\n",
        "old  1\n",
        "OLD 1\n",
        "old 1\r\n",
        "new 1\n",
        "old 4611686018427387905\n",
        "\n",
        "old 0x1\n",
        "old 18446744073709551616\n",
        "old 1\u{e9}\n",
        "old 00000000000000000000000000000001\n",
    ] {
        assert_eq!(error(&format!("{first}{hash}\n\n{note}")), Old, "{first:?}");
    }
    assert_eq!(error("old 1\n"), Truncated);
    assert_eq!(error("old 1\n\n"), Truncated);
    assert_eq!(error(&format!("old 1\n{hash}\n")), Truncated);
    for wrong in ["x", &hash[1..], &format!("{hash}="), &hash.replace('=', "A"), "\u{2014}", " "] {
        let body = format!("old 1\n{hash}\n{wrong}\n\n{note}");
        assert_eq!(error(&body), Hash { line: 3 }, "{wrong:?}");
    }
    let with_proof = |count: usize| format!("old 1\n{}\n{note}", format!("{hash}\n").repeat(count));
    AddCheckpoint::parse(with_proof(PROOF_HASHES_MAX).as_bytes()).unwrap();
    assert_eq!(error(&with_proof(PROOF_HASHES_MAX + 1)), ProofLength);
    assert_eq!(error(&format!("old 1\n\n{}", "x".repeat(65_537))), NoteLength { bytes: 65_537 });
    let bytes = ADD_CHECKPOINT_BYTES_MAX + 1;
    assert_eq!(error(&"x".repeat(bytes)), TooLong { bytes });
    let not_utf8 = AddCheckpoint::parse(b"old 1\n\xff\n\nnote");
    assert_eq!(not_utf8, Err(Hash { line: 2 }));
}

#[test]
fn every_cut_of_a_request_is_refused() {
    let tree = Tree::new(9, 9);
    let key = log_key();
    let body = request(3, tree.proof(3, 9), &note(&key, &tree.head(9))).format();
    for length in 0..body.len() {
        let judged = AddCheckpoint::parse(&body[..length])
            .map(|asked| judge(&witnessed(&key), Some(&tree.head(3)), &asked));
        assert!(!matches!(judged, Ok(Ok(_))), "{length}");
    }
}

#[test]
fn the_monitoring_path_is_the_hash_of_the_origin() {
    // printf 'example.com/vector-log' | sha256sum
    let origin = Origin::parse("example.com/vector-log").unwrap();
    let expected = TreeHash::digest(b"example.com/vector-log");
    let hex: String = expected.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(origin_hash_hex(&origin), hex);
    assert_eq!(hex.len(), 64);
}

#[test]
fn signature_lines_alone_are_read_within_the_limits_of_a_note() {
    let lines = parse_signature_lines(format!("{WITNESS_LINE}{LOG_LINE}").as_bytes()).unwrap();
    assert_eq!(
        lines.iter().map(|line| format!("{line}\n")).collect::<String>(),
        [WITNESS_LINE, LOG_LINE].concat()
    );
    let error = |bytes: &[u8]| parse_signature_lines(bytes).unwrap_err();
    assert_eq!(error(b""), NoteError::NoSignatures);
    assert_eq!(error(b"\n"), NoteError::Signature { line: 1 });
    assert_eq!(error(WITNESS_LINE.trim_end().as_bytes()), NoteError::Unterminated);
    assert_eq!(error(format!("{WITNESS_LINE}\n").as_bytes()), NoteError::Signature { line: 2 });
    let many = error(WITNESS_LINE.repeat(101).as_bytes());
    assert_eq!(many, NoteError::TooManySignatures { signatures: 101 });
    assert_eq!(error(&[b'x'; 65_537]), NoteError::TooLong { bytes: 65_537 });
    assert_eq!(error(b"\xff\n"), NoteError::Encoding { position: 0 });
}

#[test]
fn of_two_lines_of_one_key_the_later_cosignature_stays() {
    let own = witness_key();
    let sign = |seconds| {
        own.sign(CHECKPOINT_TEXT, attestree::core::note::CosignatureTime::new(seconds).unwrap())
    };
    let log = NoteSignature::parse(LOG_LINE.trim_end()).unwrap();
    let note = SignedNote::new(CHECKPOINT_TEXT.to_owned(), vec![sign(7), log.clone()]).unwrap();
    for (added, kept) in [(vec![sign(9), sign(8)], 9), (vec![sign(6)], 7), (vec![], 7)] {
        let joined = note.with_signatures(added).unwrap();
        assert_eq!(joined.signatures(), [sign(kept), log.clone()]);
    }
    // A line that states no time never takes the place of one that is there.
    let false_log = NoteSignature::new(log.name().clone(), log.id(), vec![1; 64]).unwrap();
    assert_eq!(note.with_signatures(vec![false_log]).unwrap(), note);
    let many = (0..99).map(|index| {
        let name = attestree::core::note::KeyName::parse(&format!("w{index}")).unwrap();
        NoteSignature::new(name, [0; 4], vec![1]).unwrap()
    });
    let many: Vec<_> = many.collect();
    assert_eq!(note.with_signatures(many[..98].to_vec()).unwrap().signatures().len(), 100);
    let error = note.with_signatures(many).unwrap_err();
    assert_eq!(error, NoteError::TooManySignatures { signatures: 101 });
}
