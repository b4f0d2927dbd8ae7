//! Cosignatures: the published vectors of Sunlight and of the end-to-end log.

use attestree::core::note::{CosignatureTime, NoteSignature, SignedNote, VerifierKey, VerifyError};
use proptest::prelude::*;

use super::published::{
    CHECKPOINT_TEXT, COSIGNATURE_SECONDS, SKYLIGHT_LINE, SKYLIGHT_TEXT, SKYLIGHT_VKEY,
    WITNESS_LINE, WITNESS_VKEY, cosignature_time, cosigning_key, vkey, witness_key,
};

/// Verifies a note with one key; returns the stated time.
fn time_of(text: &str, line: &str, key: &VerifierKey) -> Result<Option<u64>, VerifyError> {
    let note = SignedNote::parse(format!("{text}\n{line}").as_bytes()).unwrap();
    let verified = note.verify([key])?;
    assert_eq!(verified.signatures().len(), 1);
    Ok(verified.signature(key).unwrap().time.map(CosignatureTime::get))
}

#[test]
fn published_cosignatures_verify_with_their_time() {
    let published = [
        (SKYLIGHT_TEXT, SKYLIGHT_LINE, SKYLIGHT_VKEY),
        (CHECKPOINT_TEXT, WITNESS_LINE, WITNESS_VKEY),
    ];
    for (text, line, key) in published {
        assert_eq!(time_of(text, line, &vkey(key)), Ok(Some(COSIGNATURE_SECONDS)));
    }
}

#[test]
fn published_cosignatures_are_made_again_alike() {
    let skylight = cosigning_key("witness.example.org", "skylight test witness key");
    assert_eq!(skylight.verifier_key().to_string(), SKYLIGHT_VKEY);
    let line = skylight.sign(SKYLIGHT_TEXT, cosignature_time());
    assert_eq!(format!("{line}\n"), SKYLIGHT_LINE);
    let line = witness_key().sign(CHECKPOINT_TEXT, cosignature_time());
    assert_eq!(format!("{line}\n"), WITNESS_LINE);
}

#[test]
fn every_flipped_bit_of_a_cosignature_fails() {
    let good = NoteSignature::parse(WITNESS_LINE.trim_end()).unwrap();
    for bit in 0..8 * good.bytes().len() {
        let mut bytes = good.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let line = NoteSignature::new(good.name().clone(), good.id(), bytes).unwrap();
        let forged = VerifyError::Forged { name: good.name().clone() };
        let result = time_of(CHECKPOINT_TEXT, &format!("{line}\n"), &vkey(WITNESS_VKEY));
        assert_eq!(result, Err(forged), "bit {bit}");
    }
}

#[test]
fn cosignatures_of_any_other_length_fail() {
    let good = NoteSignature::parse(WITNESS_LINE.trim_end()).unwrap();
    let longer = [good.bytes(), &[0; 8]].concat();
    for length in (1..longer.len()).filter(|&length| length != good.bytes().len()) {
        let bytes = longer[..length].to_vec();
        let line = NoteSignature::new(good.name().clone(), good.id(), bytes).unwrap();
        let result = time_of(CHECKPOINT_TEXT, &format!("{line}\n"), &vkey(WITNESS_VKEY));
        assert!(result.is_err(), "{length} bytes");
    }
}

#[test]
fn a_time_has_63_bits() {
    assert_eq!(CosignatureTime::new(u64::MAX), None);
    assert_eq!(CosignatureTime::new(1 << 63), None);
    let last = CosignatureTime::new((1 << 63) - 1).unwrap();
    let line = witness_key().sign(CHECKPOINT_TEXT, last);
    let time = time_of(CHECKPOINT_TEXT, &format!("{line}\n"), &vkey(WITNESS_VKEY));
    assert_eq!(time, Ok(Some((1 << 63) - 1)));
}

#[test]
fn of_two_cosignatures_of_one_witness_the_later_counts() {
    let line =
        |seconds| witness_key().sign(CHECKPOINT_TEXT, CosignatureTime::new(seconds).unwrap());
    for order in [[7, 9, 8], [9, 8, 7], [8, 7, 9]] {
        let lines: String = order.map(|seconds| format!("{}\n", line(seconds))).concat();
        assert_eq!(time_of(CHECKPOINT_TEXT, &lines, &vkey(WITNESS_VKEY)), Ok(Some(9)));
    }
}

proptest! {
    #[test]
    fn a_cosignature_holds_for_its_text_and_time_alone(seconds in 0_u64..1 << 62, delta in 1_u64..99) {
        let key = witness_key();
        let line = key.sign(CHECKPOINT_TEXT, CosignatureTime::new(seconds).unwrap());
        let other_time = [&(seconds + delta).to_be_bytes()[..], &line.bytes()[8..]].concat();
        let moved = NoteSignature::new(line.name().clone(), line.id(), other_time).unwrap();
        let (line, moved) = (format!("{line}\n"), format!("{moved}\n"));
        prop_assert_eq!(time_of(CHECKPOINT_TEXT, &line, key.verifier_key()), Ok(Some(seconds)));
        prop_assert!(time_of(CHECKPOINT_TEXT, &moved, key.verifier_key()).is_err());
        prop_assert!(time_of(SKYLIGHT_TEXT, &line, key.verifier_key()).is_err());
    }
}
