//! Keys of notes, right and wrong.

use attestree::core::note::VerifierKey;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Probe, check};
use crate::published::{PETER_VKEY, SUMDB_VKEY, WITNESS_VKEY};

/// Writes a key with the id that belongs to it, computed here and not by the code under test.
pub(crate) fn with_id(name: &str, key: &[u8]) -> String {
    let hash = Sha256::digest([name.as_bytes(), b"\n", key].concat());
    format!(
        "{name}+{:02x}{:02x}{:02x}{:02x}+{}",
        hash[0],
        hash[1],
        hash[2],
        hash[3],
        STANDARD.encode(key)
    )
}

/// Returns the algorithm's byte and the key of a vkey.
pub(crate) fn key_bytes(vkey: &str) -> Vec<u8> {
    let (_, base64) = vkey.split_once('+').unwrap().1.split_once('+').unwrap();
    STANDARD.decode(base64).unwrap()
}

fn form_and_id() -> Vec<Probe> {
    let form = "not a key: a vkey is <name>+<8 hexadecimal digits>+<base64>, a skey begins with PRIVATE+KEY+";
    let id = "the key id does not match the key: a character was changed or lost";
    let bad = |name, desc, vkey: &str, error: &str| {
        Probe::bad(name, desc, json!({ "vkey": vkey }), error)
    };
    vec![
        Probe::good("good-log", "an Ed25519 key", json!({ "vkey": PETER_VKEY })),
        Probe::good("good-witness", "a cosigner's key", json!({ "vkey": WITNESS_VKEY })),
        Probe::good("good-plus-in-base64", "base64 with a +", json!({ "vkey": SUMDB_VKEY })),
        bad("empty", "nothing at all", "", form),
        bad("no-key", "name and id alone", "PeterNeumann+c74f20a3", form),
        bad("empty-key", "no bytes of key", "PeterNeumann+c74f20a3+", form),
        bad("line-feed", "a line feed at the end", &format!("{PETER_VKEY}\n"), form),
        bad(
            "id-upper-case",
            "upper-case digits",
            &PETER_VKEY.replace("c74f20a3", "C74F20A3"),
            form,
        ),
        bad(
            "id-sign",
            "a sign among the digits",
            &PETER_VKEY.replace("c74f20a3", "+74f20a3"),
            form,
        ),
        bad("id-short", "seven digits", &PETER_VKEY.replace("c74f20a3", "c74f20a"), form),
        bad("id-of-another", "another key's id", &PETER_VKEY.replace("c74f20a3", "af0cfe78"), id),
        bad("renamed", "another key's name", &PETER_VKEY.replace("Peter", "Paul"), id),
    ]
}

fn name_and_key() -> Vec<Probe> {
    let bad = |name, desc, vkey: &str, error: &str| {
        Probe::bad(name, desc, json!({ "vkey": vkey }), error)
    };
    let peter = key_bytes(PETER_VKEY);
    let longer = [&peter[..], b"\x04\x00\xca\x11"].concat();
    let unknown = [&[0x65], &peter[1..]].concat();
    let small_order = [&[0x01, 0x01], &[0; 31][..]].concat();
    let no_point = [&[0x01, 0x02], &[0; 31][..]].concat();
    let long_name = "n".repeat(256);
    vec![
        bad(
            "name-empty",
            "no name",
            &with_id("", &peter),
            "a key name has 1 to 255 bytes, this one has 0",
        ),
        bad(
            "name-too-long",
            "256 bytes of name",
            &with_id(&long_name, &peter),
            "a key name has 1 to 255 bytes, this one has 256",
        ),
        bad(
            "name-space",
            "a space in the name",
            &with_id("Peter Neumann", &peter),
            "' ' is not allowed in a key name",
        ),
        bad(
            "name-unicode-space",
            "a thin space in the name",
            &with_id("Peter\u{2009}Neumann", &peter),
            "'\\u{2009}' is not allowed in a key name",
        ),
        bad(
            "key-too-long",
            "three bytes too many",
            &with_id("PeterNeumann", &longer),
            "the key has 36 bytes instead of 32",
        ),
        bad(
            "algorithm-unknown",
            "an algorithm that nobody knows",
            &with_id("PeterNeumann", &unknown),
            "the key's algorithm is 0x65; Ed25519 keys of logs (0x01) and of witnesses (0x04) are known",
        ),
        bad(
            "point-of-small-order",
            "the neutral element, for which anyone can sign",
            &with_id("PeterNeumann", &small_order),
            "the key's bytes are no usable Ed25519 public key",
        ),
        bad(
            "no-point",
            "bytes that are no point of the curve",
            &with_id("PeterNeumann", &no_point),
            "the key's bytes are no usable Ed25519 public key",
        ),
    ]
}

pub(super) fn probes() -> Vec<Probe> {
    [form_and_id(), name_and_key()].into_iter().flatten().collect()
}

#[test]
fn probes_of_vkeys_get_their_answers() {
    check("vkey", &probes(), |probe| {
        VerifierKey::parse(probe.text("vkey")).err().map(|error| error.to_string())
    });
}
