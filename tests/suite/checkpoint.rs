//! Checkpoints: the end-to-end vector, and every text that is none.

use attestree::core::{
    checkpoint::{CheckpointError, CheckpointText, SignedCheckpoint},
    hash::TreeHash,
    note::{SignedNote, VerifyError},
    number::TreeSize,
    origin::Origin,
    tree::TreeHead,
};
use proptest::prelude::*;

use super::published::{
    CHECKPOINT_ROOT, CHECKPOINT_TEXT, LOG_LINE, LOG_VKEY, WITNESS_LINE, WITNESS_VKEY,
    checkpoint_note, log_key, signing_key, vkey,
};

#[test]
fn the_published_checkpoint_verifies_and_is_signed_again_alike() {
    let note = checkpoint_note();
    let checkpoint = SignedCheckpoint::verify(note.as_bytes(), &vkey(LOG_VKEY)).unwrap();
    assert_eq!(checkpoint.origin().as_str(), "example.com/vector-log");
    assert_eq!(checkpoint.head().size.get(), 5);
    assert_eq!(checkpoint.head().root.to_base64(), CHECKPOINT_ROOT);
    // Every signature is kept, also that of the witness, which was not checked.
    assert_eq!(checkpoint.note(), note.as_bytes());

    let text = CheckpointText { origin: checkpoint.origin().clone(), head: checkpoint.head() };
    assert_eq!(text.to_string(), CHECKPOINT_TEXT);
    assert_eq!(format!("{}\n", log_key().sign(CHECKPOINT_TEXT)), LOG_LINE);
}

#[test]
fn a_checkpoint_needs_the_signature_of_its_log() {
    let verify =
        |note: &str, vkey_text| SignedCheckpoint::verify(note.as_bytes(), &vkey(vkey_text));
    let only_witness = [CHECKPOINT_TEXT, "\n", WITNESS_LINE].concat();
    let unsigned = CheckpointError::Signature(VerifyError::Unsigned);
    assert_eq!(verify(&only_witness, LOG_VKEY).unwrap_err(), unsigned);

    let forged = checkpoint_note().replace("\n5\n", "\n6\n");
    let name = vkey(LOG_VKEY).name().clone();
    let error = CheckpointError::Signature(VerifyError::Forged { name });
    assert_eq!(verify(&forged, LOG_VKEY).unwrap_err(), error);

    // A key of another name or kind never signs for the log, whatever it has signed.
    let other = signing_key("example.com/other-log", "other");
    let note =
        SignedNote::new(CHECKPOINT_TEXT.to_owned(), vec![other.sign(CHECKPOINT_TEXT)]).unwrap();
    let error = SignedCheckpoint::verify(note.to_string().as_bytes(), other.verifier_key());
    assert!(matches!(error, Err(CheckpointError::Key { .. })));
    let error = verify(&checkpoint_note(), WITNESS_VKEY).unwrap_err().to_string();
    assert_eq!(
        error,
        "witness.example/vector can't sign for example.com/vector-log: a log signs with an Ed25519 \
         key (0x01) that has its origin as name"
    );
}

#[test]
fn every_flipped_bit_of_a_checkpoint_fails() {
    let note = [CHECKPOINT_TEXT, "\n", LOG_LINE].concat().into_bytes();
    for bit in 0..8 * note.len() {
        let mut flipped = note.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(SignedCheckpoint::verify(&flipped, &vkey(LOG_VKEY)).is_err(), "bit {bit}");
    }
}

fn any_head() -> impl Strategy<Value = TreeHead> {
    (1..=TreeSize::MAX.get(), any::<[u8; 32]>()).prop_map(|(size, root)| TreeHead {
        size: TreeSize::new(size).unwrap(),
        root: TreeHash::from_bytes(root),
    })
}

proptest! {
    #[test]
    fn checkpoints_are_written_and_read_again(
        head in any_head(),
        origin in "[a-z0-9]{1,9}(\\.[a-z0-9]{1,9}){0,2}(/x[A-Za-z0-9_~-]{0,9}){0,3}",
    ) {
        let text = CheckpointText { origin: Origin::parse(&origin).unwrap(), head };
        prop_assert_eq!(CheckpointText::parse(&text.to_string()), Ok(text));
    }

    #[test]
    fn what_parses_is_canonical(size in "[0-9+-]{1,20}", root in "[A-Za-z0-9+/]{43}[=A]", end in "\n{0,2}") {
        let bytes = format!("a.example\n{size}\n{root}{end}");
        if let Ok(text) = CheckpointText::parse(&bytes) {
            prop_assert_eq!(text.to_string(), bytes);
        }
    }
}
