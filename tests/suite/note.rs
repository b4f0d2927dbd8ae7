//! Signed notes: the published ones, their limits, and every way to write one wrongly.

use attestree::core::hash::TreeHash;
use attestree::core::note::{
    Algorithm, KeyName, NOTE_BYTES_MAX, NoteError, NoteSignature, SIGNATURES_MAX, SignedNote,
    VerifierKey, VerifyError,
};
use proptest::prelude::*;

use super::{
    probes::note::open,
    published::{
        C2SP_NOTE, C2SP_VKEY, ENOCH_LINE, ENOCH_VKEY, PETER_LINE, PETER_VKEY, PROVERB, proverb,
        signing_key, vkey,
    },
};

#[test]
fn every_key_that_has_signed_is_named_once() {
    let note = proverb(&[PETER_LINE, ENOCH_LINE, PETER_LINE].concat());
    let both = Ok(vec!["PeterNeumann".to_owned(), "EnochRoot".to_owned()]);
    assert_eq!(open(note.as_bytes(), &[ENOCH_VKEY, PETER_VKEY]), both);
    assert_eq!(open(note.as_bytes(), &[ENOCH_VKEY]), Ok(vec!["EnochRoot".to_owned()]));
}

#[test]
fn a_text_may_hold_empty_lines_and_whole_notes() {
    let key = signing_key("example.com/nested", "nested");
    for text in ["\n", "\n\n\n", "a\n\nb\n", C2SP_NOTE] {
        let note = SignedNote::new(text.to_owned(), vec![key.sign(text)]).unwrap();
        let again = SignedNote::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!(again.text(), text);
        assert_eq!(again, note);
        assert_eq!(again.verify([key.verifier_key()]).unwrap().signatures().len(), 1);
        // The key that signed the note inside has not signed the one outside.
        assert_eq!(again.verify(&[vkey(C2SP_VKEY)]).unwrap_err(), VerifyError::Unsigned);
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_position() {
    for (bytes, position) in [(&b"\xff"[..], 0), (b"a\xc0\x80", 1), (b"\xed\xa0\x80", 0)] {
        let note = [bytes, proverb(PETER_LINE).as_bytes()].concat();
        assert_eq!(SignedNote::parse(&note), Err(NoteError::Encoding { position }));
    }
}

#[test]
fn every_control_character_but_the_line_feed_is_refused() {
    for byte in (0..0x20).filter(|&byte| byte != b'\n') {
        let text = format!("a{}b\n", char::from(byte));
        let note = format!("{text}\n{PETER_LINE}");
        assert_eq!(SignedNote::parse(note.as_bytes()), Err(NoteError::Control { position: 1 }));
        let signature = NoteSignature::parse(PETER_LINE.trim_end()).unwrap();
        assert_eq!(SignedNote::new(text, vec![signature]), Err(NoteError::Control { position: 1 }));
    }
}

#[test]
fn a_note_has_1_to_100_signatures() {
    for count in [1, 16, SIGNATURES_MAX] {
        let note = proverb(&PETER_LINE.repeat(count));
        assert_eq!(open(note.as_bytes(), &[PETER_VKEY]), Ok(vec!["PeterNeumann".to_owned()]));
    }
    let signature = NoteSignature::parse(PETER_LINE.trim_end()).unwrap();
    for signatures in [SIGNATURES_MAX + 1, 150] {
        let refused = Err(NoteError::TooManySignatures { signatures });
        assert_eq!(SignedNote::parse(proverb(&PETER_LINE.repeat(signatures)).as_bytes()), refused);
        let lines = vec![signature.clone(); signatures];
        assert_eq!(SignedNote::new(PROVERB.to_owned(), lines), refused);
    }
    assert_eq!(SignedNote::new(PROVERB.to_owned(), vec![]), Err(NoteError::NoSignatures));
    assert_eq!(SignedNote::new("a".to_owned(), vec![signature]), Err(NoteError::Unterminated));
}

#[test]
fn a_note_has_at_most_64_kib() {
    let key = signing_key("example.com/long", "long");
    let rest = format!("\n\n{}\n", key.sign("")).len();
    let longest = "a".repeat(NOTE_BYTES_MAX - rest) + "\n";
    let note = SignedNote::new(longest.clone(), vec![key.sign(&longest)]).unwrap();
    assert_eq!(note.to_string().len(), NOTE_BYTES_MAX);
    assert_eq!(SignedNote::parse(note.to_string().as_bytes()), Ok(note.clone()));
    let longer = format!("a{longest}");
    let refused = Err(NoteError::TooLong { bytes: NOTE_BYTES_MAX + 1 });
    assert_eq!(SignedNote::parse(format!("a{note}").as_bytes()), refused);
    assert_eq!(SignedNote::new(longer.clone(), vec![key.sign(&longer)]), refused);
}

#[test]
fn every_flipped_bit_of_a_signed_note_fails() {
    let note = proverb(PETER_LINE).into_bytes();
    for bit in 0..8 * note.len() {
        let mut flipped = note.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&flipped, &[PETER_VKEY]).is_err(), "bit {bit}");
    }
}

#[test]
fn every_lost_or_doubled_byte_of_a_signed_note_fails() {
    let note = proverb(PETER_LINE).into_bytes();
    for position in 0..note.len() {
        let mut changed = note.clone();
        changed.remove(position);
        assert!(open(&changed, &[PETER_VKEY]).is_err(), "without byte {position}");
        let mut changed = note.clone();
        changed.insert(position, note[position]);
        assert!(open(&changed, &[PETER_VKEY]).is_err(), "byte {position} twice");
        assert!(open(&note[..position], &[PETER_VKEY]).is_err(), "cut at {position}");
    }
}

#[test]
fn a_signature_has_one_form() {
    // The order of the group, little-endian (RFC 8032, section 5.1): adding it to the second half of
    // a signature gives the same scalar, and a second signature to whoever does not compare.
    let mut order = [0; 32];
    order[..16].copy_from_slice(&0x14de_f9de_a2f7_9cd6_5812_631a_5cf5_d3ed_u128.to_be_bytes());
    order[..16].reverse();
    order[31] = 0x10;
    let good = NoteSignature::parse(PETER_LINE.trim_end()).unwrap();
    let mut bytes = good.bytes().to_vec();
    let mut carry = 0;
    for (byte, summand) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(summand) + carry;
        *byte = sum.to_be_bytes()[1];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    let line = NoteSignature::new(good.name().clone(), good.id(), bytes).unwrap();
    let forged = Err("the signature of PeterNeumann does not verify".to_owned());
    assert_eq!(open(proverb(&format!("{line}\n")).as_bytes(), &[PETER_VKEY]), forged);
}

#[test]
fn two_keys_with_one_name_and_id_are_ambiguous() {
    // Two points of the curve, found by trying, of which the key ids collide.
    let [one, other] = ["ambiguous 17984", "ambiguous 56367"].map(|phrase| {
        let point = TreeHash::digest(phrase.as_bytes());
        let name = KeyName::parse("twin.example").unwrap();
        VerifierKey::new(name, Algorithm::Ed25519, point.as_bytes()).unwrap()
    });
    assert_ne!(one, other);
    assert_eq!(one.id(), other.id());
    let note = SignedNote::parse(proverb(PETER_LINE).as_bytes()).unwrap();
    let peter = vkey(PETER_VKEY);
    let name = one.name().clone();
    assert_eq!(note.verify([&peter, &one, &other]).unwrap_err(), VerifyError::Ambiguous { name });
    // The same key listed twice is no question.
    assert_eq!(note.verify([&peter, &one, &one]).unwrap().signatures().len(), 1);
}

#[test]
fn a_signature_line_needs_a_byte_of_signature() {
    let name = KeyName::parse("example.com").unwrap();
    assert_eq!(NoteSignature::new(name.clone(), [0; 4], vec![]), None);
    let signature = NoteSignature::new(name, [1, 2, 3, 4], vec![5]).unwrap();
    assert_eq!(signature.to_string(), "\u{2014} example.com AQIDBAU=");
    assert_eq!(NoteSignature::parse("\u{2014} example.com AQIDBAU="), Some(signature));
}

/// Any text that a note can have.
fn any_text() -> impl Strategy<Value = String> {
    proptest::collection::vec("[^\\x00-\\x1f]{0,30}\n", 1..6).prop_map(|lines| lines.concat())
}

fn any_signature() -> impl Strategy<Value = NoteSignature> {
    let bytes = proptest::collection::vec(any::<u8>(), 1..90);
    ("[^\\s+\\x00-\\x1f]{1,30}", any::<[u8; 4]>(), bytes).prop_map(|(name, id, bytes)| {
        NoteSignature::new(KeyName::parse(&name).unwrap(), id, bytes).unwrap()
    })
}

proptest! {
    #[test]
    fn notes_are_written_and_read_again(
        text in any_text(),
        signatures in proptest::collection::vec(any_signature(), 1..20),
    ) {
        let note = SignedNote::new(text, signatures).unwrap();
        prop_assert_eq!(SignedNote::parse(note.to_string().as_bytes()), Ok(note));
    }

    #[test]
    fn what_parses_is_canonical(
        text in any_text(),
        lines in proptest::collection::vec("(\u{2014} [a-c+]{0,2} [A-D=]{0,9}|\u{2014}|)", 1..4),
    ) {
        let bytes = format!("{text}\n{}\n", lines.join("\n"));
        if let Ok(note) = SignedNote::parse(bytes.as_bytes()) {
            prop_assert_eq!(note.to_string(), bytes);
        }
    }

    #[test]
    fn a_key_verifies_its_own_text_and_no_other(text in any_text(), other in any_text(), seed: u64) {
        let key = signing_key("example.com/any", &seed.to_string());
        let signature = key.sign(&text);
        prop_assert_eq!(&signature, &key.sign(&text));
        let is_signed = |text: String| {
            let note = SignedNote::new(text, vec![signature.clone()]).unwrap();
            note.verify([key.verifier_key()]).is_ok()
        };
        prop_assert!(is_signed(text.clone()));
        prop_assert_eq!(is_signed(other.clone()), other == text);
    }
}
