//! Receipts: the cases of c2sp.org/tlog-proof, the end-to-end vector, and every way to spoil one.

use attestree::core::{
    entry::ENTRY_BYTES_MAX,
    hash::TreeHash,
    note::{NOTE_BYTES_MAX, SignedNote},
    number::LeafIndex,
    receipt::{
        EXTRA_BYTES_MAX, PROOF_HASHES_MAX, RECEIPT_BYTES_MAX, Receipt, ReceiptError,
        ReceiptFormatError, ReceiptProblem,
    },
    trust::TrustPolicy,
};
use bytes::Bytes;
use proptest::prelude::*;

use super::{
    probes::receipt::error_of,
    published::{
        ENTRY, LOG_VKEY, cosignature_time, log_key, policy_text, receipt_text, signing_key, vkey,
        witness_key,
    },
};

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

fn policy() -> TrustPolicy {
    TrustPolicy::parse(&policy_text()).unwrap()
}

/// Parses a receipt and verifies it; returns the message if it proves nothing.
fn error_of(receipt: &[u8], entry: &[u8], policy: &str) -> Option<String> {
    let policy = TrustPolicy::parse(policy).unwrap();
    match Receipt::parse(receipt) {
        Ok(receipt) => {
            receipt.verify(entry, &policy).err().map(|error: ReceiptError| error.to_string())
        }
        Err(error) => Some(error.to_string()),
    }
}

fn form_probes() -> Vec<Probe> {
    let header = "a receipt begins with \"c2sp.org/tlog-proof@v1\"";
    let truncated = "the receipt ends before its checkpoint: a part of the file is missing";
    let extra = "\"extra\" must be followed by a space and base64";
    let index = "expected \"index\", a space and a decimal below 2^62 without leading zeros";
    let hash = "expected a hash as base64 of 32 bytes, or an empty line before the checkpoint";
    let line = "the line is longer than 65535 bytes or not ASCII";
    let first = INCLUSION[0];
    let with_index = |index: &str| receipt_text().replace("index 2", index);
    let with_hash = |hash: &str| receipt_text().replace(first, hash);
    let with_extra = |extra: &str| receipt_text().replace("index", &format!("{extra}\nindex"));
    let long_proof = with_hash(&[first; PROOF_HASHES_MAX].join("\n"));
    [
        ("empty", "nothing at all", String::new(), 1, truncated),
        ("header", "another first line", receipt_text().replace("@v1", "@v2"), 1, header),
        (
            "header-space",
            "a space before the first line",
            format!(" {}", receipt_text()),
            1,
            header,
        ),
        ("header-alone", "the first line alone", HEADER.to_owned(), 2, truncated),
        (
            "carriage-return",
            "lines end as on Windows",
            receipt_text().replace('\n', "\r\n"),
            1,
            header,
        ),
        (
            "no-empty-line",
            "no line before the checkpoint",
            receipt_text().replace("\n\nexample", "\nexample"),
            6,
            hash,
        ),
        (
            "no-checkpoint",
            "nothing after the proof",
            receipt_text().split_once("\n\n").unwrap().0.to_owned() + "\n\n",
            7,
            truncated,
        ),
        (
            "extra-not-base64",
            "extra data that is no base64",
            with_extra("extra !!notbase64!!"),
            2,
            extra,
        ),
        ("extra-no-padding", "padding left out", with_extra("extra AA"), 2, extra),
        ("extra-no-space", "no space after the word", with_extra("extra"), 2, index),
        ("extra-twice", "two extra lines", with_extra("extra AAAA\nextra AAAA"), 3, index),
        (
            "extra-after-index",
            "extra data after the index",
            with_index("index 2\nextra AAAA"),
            3,
            hash,
        ),
        ("index-missing", "no index", with_index(""), 2, index),
        ("index-word", "a word for the index", with_index("index notanumber"), 2, index),
        ("index-negative", "a sign", with_index("index -5"), 2, index),
        ("index-plus", "a sign", with_index("index +2"), 2, index),
        ("index-leading-zero", "a leading zero", with_index("index 02"), 2, index),
        ("index-empty", "no number", with_index("index "), 2, index),
        ("index-space", "a space after the number", with_index("index 2 "), 2, index),
        (
            "index-too-large",
            "the first index that no tree has",
            with_index("index 4611686018427387904"),
            2,
            index,
        ),
        (
            "index-beyond-64-bits",
            "a number of 65 bits",
            with_index("index 18446744073709551616"),
            2,
            index,
        ),
        ("hash-not-base64", "a hash that is no base64", with_hash("!!notbase64!!"), 3, hash),
        ("hash-64-bytes", "a hash of 64 bytes", with_hash(&("A".repeat(86) + "==")), 3, hash),
        ("hash-31-bytes", "a hash of 31 bytes", with_hash(&("A".repeat(42) + "==")), 3, hash),
        (
            "hash-trailing-bits",
            "unused bits that are not zero",
            with_hash(&first.replace("U=", "V=")),
            3,
            hash,
        ),
        ("hash-not-ascii", "a letter with an accent", with_hash("\u{e9}"), 3, line),
        ("proof-too-long", "65 hashes", long_proof, 66, "an inclusion proof has at most 63 hashes"),
    ]
    .map(|(name, desc, receipt, line, problem)| {
        let error = format!("line {line} of the receipt: {problem}");
        probe(name, desc, &receipt, ENTRY, &policy_text(), &error)
    })
    .into()
}

fn probe(
    name: &'static str,
    desc: &'static str,
    receipt: &str,
    entry: &[u8],
    policy: &str,
    error: &str,
) -> Probe {
    let entry = str::from_utf8(entry).unwrap();
    let input = json!({ "receipt": receipt, "entry": entry, "policy": policy });
    Probe::bad(name, desc, input, error)
}

fn verify_probes() -> Vec<Probe> {
    let receipt = receipt_text();
    let inclusion = |index: u64| {
        format!(
            "the proof does not lead from this entry to the checkpoint's root: either these are not \
             the bytes that were logged at index {index}, or the receipt was changed"
        )
    };
    let bad = |name, desc, receipt: &str, error: &str| {
        probe(name, desc, receipt, ENTRY, &policy_text(), error)
    };
    let entry = |name, desc, entry: &[u8], error: &str| {
        probe(name, desc, &receipt, entry, &policy_text(), error)
    };
    let without = |position: usize| receipt.replace(&format!("{}\n", INCLUSION[position]), "");
    let swapped = receipt
        .replace(INCLUSION[0], "#")
        .replace(INCLUSION[1], INCLUSION[0])
        .replace('#', INCLUSION[1]);
    let extra_hash = receipt.replace(INCLUSION[2], &[INCLUSION[2]; 2].join("\n"));
    let stranger = format!("log {}\nquorum none\n", TESSERA_VKEY);
    let untrusted = "the receipt's checkpoint is not trusted: ";
    let quorum =
        "the quorum \"vector\" is not reached: 0 of the policy's 1 witnesses have cosigned";
    let good_extra = receipt.replace("index", "extra bm90aGluZyBwcm92ZXMgdGhpcw==\nindex");
    let good = |name, desc, receipt: &str| {
        let input = json!({ "receipt": receipt, "entry": "leaf 2", "policy": policy_text() });
        Probe::good(name, desc, input)
    };
    vec![
        good("good", "the end-to-end vector", &receipt),
        good("good-extra", "extra data, which proves nothing", &good_extra),
        entry("entry-other", "another entry of the log", b"leaf 3", &inclusion(2)),
        entry("entry-line-feed", "a line feed too many", b"leaf 2\n", &inclusion(2)),
        entry("entry-empty", "no entry", b"", "the entry is empty; send at least 1 byte"),
        bad("index-other", "another index", &receipt.replace("index 2", "index 3"), &inclusion(3)),
        bad(
            "index-beyond",
            "an index that the tree does not have",
            &receipt.replace("index 2", "index 5"),
            "the receipt is for entry 5, but its checkpoint covers 5 entries",
        ),
        bad("proof-first-missing", "one hash less", &without(0), &inclusion(2)),
        bad("proof-last-missing", "one hash less", &without(2), &inclusion(2)),
        bad("proof-hash-more", "the last hash twice", &extra_hash, &inclusion(2)),
        bad("proof-swapped", "two hashes in the other order", &swapped, &inclusion(2)),
        bad(
            "checkpoint-no-note",
            "something that is no signed note",
            &format!("{HEADER}index 0\n\ncheckpoint\n"),
            &format!("{untrusted}the note has no empty line between text and signatures"),
        ),
        bad(
            "checkpoint-forged",
            "a size that the log has not signed",
            &receipt.replace("\n5\n", "\n6\n"),
            &format!("{untrusted}the signature of example.com/vector-log does not verify"),
        ),
        bad(
            "checkpoint-no-witness",
            "the witness has not signed",
            &receipt.replace(WITNESS_LINE, ""),
            &format!("{untrusted}{quorum}"),
        ),
        probe(
            "policy-other",
            "a policy for another log",
            &receipt,
            ENTRY,
            &stranger,
            &format!("{untrusted}the policy lists no log example.com/vector-log"),
        ),
    ]
}

pub(super) fn probes() -> Vec<Probe> {
    [form_probes(), verify_probes()].into_iter().flatten().collect()
}

#[test]
fn probes_of_receipts_get_their_answers() {
    probes::check("receipt", &probes(), |probe| {
        let (receipt, entry) = (probe.text("receipt"), probe.text("entry"));
        error_of(receipt.as_bytes(), entry.as_bytes(), probe.text("policy"))
    });
}

#[test]
fn the_published_receipt_proves_its_entry() {
    let receipt = Receipt::parse(receipt_text().as_bytes()).unwrap();
    assert_eq!(receipt.format(), receipt_text().as_bytes());
    let verified = receipt.verify(ENTRY, &policy()).unwrap();
    assert_eq!(verified.index.get(), 2);
    assert_eq!(verified.leaf, TreeHash::leaf(ENTRY));
    assert_eq!(verified.head().size.get(), 5);
    assert_eq!(verified.origin().as_str(), "example.com/vector-log");
    assert_eq!(verified.trusted.log_key, vkey(LOG_VKEY));
    assert_eq!(verified.trusted.witnesses, [("vector".to_owned(), cosignature_time())]);
}

#[test]
fn the_cases_of_the_specification_are_read_and_written_again() {
    let hash = |text: &str| TreeHash::digest(text.as_bytes());
    let cases = [
        ("index 0\n\ncheckpoint\n".to_owned(), None, 0, vec![]),
        (
            format!("index 5\n{}\n{}\n\ncheckpoint\n", hash("hash1"), hash("hash2")),
            None,
            5,
            vec![hash("hash1"), hash("hash2")],
        ),
        (
            format!("extra ZXh0cmEgaW5mb3JtYXRpb24=\nindex 10\n{}\n\ncheckpoint\n", hash("hash1")),
            Some(b"extra information".to_vec()),
            10,
            vec![hash("hash1")],
        ),
        ("extra \nindex 0\n\ncheckpoint\n".to_owned(), Some(vec![]), 0, vec![]),
    ];
    for (text, extra, index, proof) in cases {
        let text = format!("{HEADER}{text}");
        let index = LeafIndex::new(index).unwrap();
        let receipt = Receipt { extra, index, proof, note: Bytes::from_static(b"checkpoint\n") };
        assert_eq!(Receipt::parse(text.as_bytes()), Ok(receipt.clone()));
        assert_eq!(receipt.format(), text.as_bytes());
    }
}

#[test]
fn every_flipped_bit_of_a_receipt_fails() {
    let bytes = receipt_text().into_bytes();
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(error_of(&flipped, ENTRY, &policy_text()).is_some(), "bit {bit}");
    }
}

#[test]
fn every_cut_of_a_receipt_fails() {
    let bytes = receipt_text().into_bytes();
    for length in 0..bytes.len() {
        assert!(error_of(&bytes[..length], ENTRY, &policy_text()).is_some(), "{length} bytes");
    }
}

#[test]
fn the_only_entry_of_a_log_needs_no_hashes() {
    let text = format!("example.com/vector-log\n1\n{}\n", TreeHash::leaf(b"x"));
    let signatures = vec![log_key().sign(&text), witness_key().sign(&text, cosignature_time())];
    let note = SignedNote::new(text, signatures).unwrap().to_string();
    let index = LeafIndex::new(0).unwrap();
    let receipt = Receipt { extra: None, index, proof: vec![], note: note.into() };
    assert_eq!(receipt.verify(b"x", &policy()).unwrap().index, index);
    assert_eq!(receipt.verify(b"y", &policy()), Err(ReceiptError::Inclusion { index }));
    let longest = vec![7; ENTRY_BYTES_MAX];
    assert_eq!(receipt.verify(&longest, &policy()), Err(ReceiptError::Inclusion { index }));
    let too_long = receipt.verify(&[&longest[..], b"7"].concat(), &policy());
    assert!(matches!(too_long, Err(ReceiptError::Entry(_))));
}

#[test]
fn the_largest_receipt_is_read_and_no_larger_one() {
    let longest = Receipt {
        extra: Some(vec![7; EXTRA_BYTES_MAX]),
        index: LeafIndex::new((1 << 62) - 1).unwrap(),
        proof: vec![TreeHash::empty_root(); PROOF_HASHES_MAX],
        note: vec![b'n'; NOTE_BYTES_MAX].into(),
    };
    let bytes = longest.format();
    assert!(bytes.len() <= RECEIPT_BYTES_MAX);
    assert_eq!(Receipt::parse(&bytes), Ok(longest.clone()));

    let problem = ReceiptProblem::NoteLength;
    let longer = [&bytes[..], b"n"].concat();
    assert_eq!(Receipt::parse(&longer), Err(ReceiptFormatError { line: 68, problem }));
    let text = format!("{HEADER}index 0\n{}\n", "a".repeat(65 * 1_024));
    let problem = ReceiptProblem::Line;
    assert_eq!(Receipt::parse(text.as_bytes()), Err(ReceiptFormatError { line: 3, problem }));
    let longer = Receipt { extra: Some(vec![7; EXTRA_BYTES_MAX + 1]), ..longest };
    assert_eq!(Receipt::parse(&longer.format()), Err(ReceiptFormatError { line: 2, problem }));
}

#[test]
fn a_former_key_of_the_log_is_not_enough() {
    let other = signing_key("example.com/vector-log", "another key");
    let policy = format!("log {}\nquorum none\n", other.verifier_key());
    let error = error_of(receipt_text().as_bytes(), ENTRY, &policy).unwrap();
    assert!(error.contains("no key that the policy lists for example.com/vector-log"), "{error}");
}

proptest! {
    #[test]
    fn receipts_are_written_and_read_again(
        extra in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
        index in 0..1_u64 << 62,
        proof in proptest::collection::vec(any::<[u8; 32]>(), 0..=PROOF_HASHES_MAX),
        note in proptest::collection::vec(any::<u8>(), 1..200),
    ) {
        let index = LeafIndex::new(index).unwrap();
        let proof = proof.into_iter().map(TreeHash::from_bytes).collect();
        let receipt = Receipt { extra, index, proof, note: note.into() };
        prop_assert_eq!(Receipt::parse(&receipt.format()), Ok(receipt));
    }

    #[test]
    fn what_parses_is_canonical(
        extra in "(extra [A-D=]{0,8}\n)?",
        index in "(index )?[0-9+]{0,3}",
        hash in "(\n[A-D]{43}=)?",
        rest in "\n{1,3}[a-c]{0,2}",
    ) {
        let bytes = format!("{HEADER}{extra}{index}{hash}{rest}");
        if let Ok(receipt) = Receipt::parse(bytes.as_bytes()) {
            prop_assert_eq!(receipt.format(), bytes.as_bytes());
        }
    }
}
