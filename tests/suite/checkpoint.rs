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

const ROOT: &str = "NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE=";

pub(super) fn probes() -> Vec<Probe> {
    let size = "the second line of the checkpoint is no tree size: it must be a decimal up to 2^62 \
                without leading zeros";
    let root = "the third line of the checkpoint is no root: it must be the base64 of 32 bytes";
    let lines =
        |count: usize| format!("the text of a checkpoint has three lines, this one has {count}");
    let good = |name, desc, text: String| Probe::good(name, desc, json!({ "text": text }));
    let bad = |name, desc, text: String, error: &str| {
        Probe::bad(name, desc, json!({ "text": text }), error)
    };
    let sized = |size: &str| format!("example.com/log\n{size}\n{ROOT}\n");
    let rooted = |root: &str| format!("example.com/log\n5\n{root}\n");
    vec![
        good("good", "the end-to-end vector", CHECKPOINT_TEXT.to_owned()),
        good("good-largest", "the largest size", sized("4611686018427387904")),
        good("good-empty", "an empty tree", format!("a.example\n0\n{}\n", TreeHash::empty_root())),
        bad("empty", "nothing at all", String::new(), &lines(0)),
        bad("two-lines", "no root", "example.com/log\n5\n".to_owned(), &lines(2)),
        bad("extension", "an extension line", rooted(&format!("{ROOT}\nextension")), &lines(4)),
        bad("empty-line", "an empty line at the end", rooted(&format!("{ROOT}\n")), &lines(4)),
        bad(
            "unterminated",
            "no final line feed",
            rooted(ROOT).trim_end().to_owned(),
            "the note does not end with a line feed",
        ),
        bad(
            "origin-empty",
            "an empty first line",
            format!("\n5\n{ROOT}\n"),
            "the first line of the checkpoint is no origin: an origin has 1 to 255 bytes, this one has 0",
        ),
        bad(
            "origin-schema",
            "a URL for an origin",
            format!("https://example.com/log\n5\n{ROOT}\n"),
            "the first line of the checkpoint is no origin: leave out everything up to \"://\": an \
             origin begins with the host name",
        ),
        bad("size-empty", "an empty second line", sized(""), size),
        bad("size-leading-zero", "a leading zero", sized("05"), size),
        bad("size-plus", "a sign", sized("+5"), size),
        bad("size-minus", "a negative size", sized("-1"), size),
        bad("size-space", "a space after the size", sized("5 "), size),
        bad("size-hexadecimal", "hexadecimal digits", sized("0x5"), size),
        bad("size-other-digits", "digits of another script", sized("\u{665}"), size),
        bad("size-too-large", "one more than the largest", sized("4611686018427387905"), size),
        bad("size-beyond-64-bits", "a number of 65 bits", sized("18446744073709551616"), size),
        bad("root-empty", "an empty third line", rooted(""), root),
        bad("root-no-padding", "padding left out", rooted(ROOT.trim_end_matches('=')), root),
        bad(
            "root-trailing-bits",
            "unused bits that are not zero",
            rooted(&ROOT.replace("E=", "F=")),
            root,
        ),
        bad(
            "root-too-short",
            "31 bytes",
            rooted("NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWww=="),
            root,
        ),
        bad(
            "root-too-long",
            "33 bytes",
            rooted("NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwEA"),
            root,
        ),
        bad("root-hexadecimal", "hexadecimal digits", rooted(&"34".repeat(32)), root),
        bad("root-space", "a space before the root", rooted(&format!(" {ROOT}")), root),
        bad(
            "empty-tree-with-root",
            "size 0 with the root of another tree",
            sized("0"),
            "the checkpoint gives an empty tree a root other than that of the empty tree",
        ),
    ]
}

#[test]
fn probes_of_checkpoints_get_their_answers() {
    probes::check("checkpoint", &probes(), |probe| {
        CheckpointText::parse(probe.text("text")).err().map(|error| error.to_string())
    });
}

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
