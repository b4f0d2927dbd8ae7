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
