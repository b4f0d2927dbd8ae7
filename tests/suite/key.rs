//! Keys of signed notes: the published ones, and every way to write one wrongly.

use attestree::core::note::{
    Algorithm, KeyError, KeyName, KeyNameError, NoteSignature, SigningKey, VerifierKey,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::{
    probes::key::{key_bytes, with_id},
    published::{
        C2SP_VKEY, ENOCH_VKEY, LOG_SKEY, LOG_VKEY, PETER_LINE, PETER_SKEY, PETER_VKEY, PROVERB,
        SKYLIGHT_VKEY, SUMDB_VKEY, TESSERA_SKEY, TESSERA_VKEY, WITNESS_VKEY, log_key, vkey,
        witness_key,
    },
};

const VKEYS: [&str; 8] = [
    PETER_VKEY,
    ENOCH_VKEY,
    C2SP_VKEY,
    SUMDB_VKEY,
    TESSERA_VKEY,
    SKYLIGHT_VKEY,
    LOG_VKEY,
    WITNESS_VKEY,
];

#[test]
fn published_vkeys_are_read_and_written_again() {
    for text in VKEYS {
        assert_eq!(vkey(text).to_string(), text);
        let id = format!("{:08x}", u32::from_be_bytes(vkey(text).id()));
        assert_eq!(text.split('+').nth(1), Some(id.as_str()));
        assert_eq!(with_id(vkey(text).name().as_str(), &key_bytes(text)), text);
    }
    assert_eq!(vkey(WITNESS_VKEY).algorithm(), Algorithm::CosignatureV1);
    assert_eq!(vkey(LOG_VKEY).algorithm(), Algorithm::Ed25519);
    assert_eq!(vkey(SUMDB_VKEY).id(), [0x03, 0x3d, 0xe0, 0xae]);
}

#[test]
fn every_proper_substring_of_a_vkey_fails() {
    for text in VKEYS {
        for from in 0..=text.len() {
            for to in from..=text.len() {
                let part = &text[from..to];
                assert_eq!(VerifierKey::parse(part).is_ok(), part == text, "{part}");
            }
        }
    }
}

#[test]
fn every_changed_byte_of_a_vkey_fails() {
    for text in VKEYS {
        for position in 0..text.len() {
            // The published tests increment each byte; every other change must fail as well.
            for change in 1..=u8::MAX {
                let mut bytes = text.as_bytes().to_vec();
                bytes[position] = bytes[position].wrapping_add(change);
                if let Ok(changed) = String::from_utf8(bytes) {
                    assert!(VerifierKey::parse(&changed).is_err(), "{changed}");
                }
            }
        }
    }
}

#[test]
fn published_skeys_are_read_and_written_again() {
    for (skey, vkey) in
        [(PETER_SKEY, PETER_VKEY), (TESSERA_SKEY, TESSERA_VKEY), (LOG_SKEY, LOG_VKEY)]
    {
        let key = SigningKey::parse(skey).unwrap();
        assert_eq!(*key.format(), skey);
        assert_eq!(key.verifier_key().to_string(), vkey);
    }
    assert_eq!(*log_key().format(), LOG_SKEY);
    assert_eq!(log_key().verifier_key().to_string(), LOG_VKEY);
    assert_eq!(witness_key().verifier_key().to_string(), WITNESS_VKEY);
}

#[test]
fn a_published_skey_makes_the_published_signature() {
    let signature = SigningKey::parse(PETER_SKEY).unwrap().sign(PROVERB);
    assert_eq!(format!("{signature}\n"), PETER_LINE);
    assert_eq!(NoteSignature::parse(PETER_LINE.trim_end()), Some(signature));
}

#[test]
fn every_proper_substring_and_changed_byte_of_a_skey_fails() {
    for from in 0..=PETER_SKEY.len() {
        for to in from..=PETER_SKEY.len() {
            let part = &PETER_SKEY[from..to];
            assert_eq!(SigningKey::parse(part).is_ok(), part == PETER_SKEY, "{part}");
        }
    }
    for position in 0..PETER_SKEY.len() {
        let mut bytes = PETER_SKEY.as_bytes().to_vec();
        bytes[position] += 1;
        assert!(SigningKey::parse(str::from_utf8(&bytes).unwrap()).is_err());
    }
}

#[test]
fn a_skey_is_no_vkey_and_a_cosigner_has_no_skey() {
    assert_eq!(SigningKey::parse(PETER_VKEY).unwrap_err(), KeyError::Form);
    assert_eq!(VerifierKey::parse(PETER_SKEY).unwrap_err(), KeyError::Form);
    let mut cosigner = vec![0x04];
    cosigner.extend_from_slice(&[7; 32]);
    let skey = format!("PRIVATE+KEY+{}", with_id("witness.example", &cosigner));
    assert_eq!(SigningKey::parse(&skey).unwrap_err(), KeyError::Algorithm { byte: 0x04 });
}

#[test]
fn secrets_are_not_shown() {
    // The seed of the key in each form in which it could slip into a log line.
    let seed = &key_bytes(PETER_SKEY.strip_prefix("PRIVATE+KEY+").unwrap())[1..];
    let shown = format!("{0:?} {0:#?}", SigningKey::parse(PETER_SKEY).unwrap());
    assert!(shown.contains("***"));
    assert!(!shown.contains(&STANDARD.encode(seed)));
    assert!(!shown.contains(&format!("{seed:?}")[1..12]));
    assert!(format!("{:?}", witness_key()).contains("***"));

    for position in "PRIVATE+KEY+PeterNeumann+c74f20a3+".len()..PETER_SKEY.len() {
        let mut bytes = PETER_SKEY.as_bytes().to_vec();
        bytes[position] = b'!';
        let error = SigningKey::parse(str::from_utf8(&bytes).unwrap()).unwrap_err();
        let message = format!("{error} {error:?}");
        assert!(!message.contains("EKFALVF") && !message.contains("XHKDFz"), "{message}");
    }
}

#[test]
fn a_key_that_anyone_can_sign_for_is_refused() {
    // The eight points of small order, by their canonical encodings.
    let points = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];
    for hex in points {
        let mut point = [0; 32];
        for (position, byte) in point.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * position..2 * position + 2], 16).unwrap();
        }
        for algorithm in [Algorithm::Ed25519, Algorithm::CosignatureV1] {
            let name = KeyName::parse("weak.example").unwrap();
            assert_eq!(VerifierKey::new(name, algorithm, &point), Err(KeyError::Point), "{hex}");
        }
    }
}

#[test]
fn a_key_name_has_1_to_255_bytes() {
    assert_eq!(KeyName::parse(""), Err(KeyNameError::Length { bytes: 0 }));
    assert_eq!(KeyName::parse(&"\u{e9}".repeat(128)), Err(KeyNameError::Length { bytes: 256 }));
    for name in ["a", &"a".repeat(255), "example.com/\u{65e5}\u{672c}", "a:b;c,d\"'"] {
        assert_eq!(KeyName::parse(name).unwrap().as_str(), name);
    }
    let refused =
        [' ', '\t', '\n', '\r', '+', '\0', '\x1f', '\u{85}', '\u{a0}', '\u{2028}', '\u{3000}'];
    for character in refused {
        let error = KeyNameError::Character { character };
        assert_eq!(KeyName::parse(&format!("a{character}b")), Err(error));
    }
}

proptest! {
    #[test]
    fn keys_of_any_seed_and_name_are_read_and_written_again(
        seed: [u8; 32],
        name in "[^\\s+\\x00-\\x1f]{1,60}",
    ) {
        let key = SigningKey::from_seed(KeyName::parse(&name).unwrap(), &seed);
        let again = SigningKey::parse(&key.format()).unwrap();
        prop_assert_eq!(again.verifier_key(), key.verifier_key());
        prop_assert_eq!(again.format(), key.format());
        prop_assert_eq!(&vkey(&key.verifier_key().to_string()), key.verifier_key());
        prop_assert_eq!(again.sign("text\n"), key.sign("text\n"));
    }

    #[test]
    fn any_text_that_parses_as_a_vkey_is_written_again(text in ".{0,80}") {
        if let Ok(key) = VerifierKey::parse(&text) {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}
