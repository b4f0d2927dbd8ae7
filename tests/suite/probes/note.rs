//! Signed notes, right and wrong.

use attestree::core::note::{SignedNote, VerifierKey};
use serde_json::json;

use super::{Probe, check};
use crate::published::{
    C2SP_NOTE, C2SP_VKEY, ENOCH_LINE, ENOCH_VKEY, PETER_LINE, PETER_VKEY, PROVERB, SKYLIGHT_LINE,
    proverb, vkey,
};

/// Parses a note and verifies it; returns the names of the keys that have signed.
pub(crate) fn open(note: &[u8], vkeys: &[&str]) -> Result<Vec<String>, String> {
    let keys: Vec<VerifierKey> = vkeys.iter().map(|text| vkey(text)).collect();
    let note = SignedNote::parse(note).map_err(|error| error.to_string())?;
    let verified = note.verify(&keys).map_err(|error| error.to_string())?;
    assert_eq!(verified.text(), note.text());
    Ok(verified.signatures().iter().map(|signature| signature.key.name().to_string()).collect())
}

fn line_of(base64: &str) -> String {
    format!("\u{2014} PeterNeumann {base64}\n")
}

fn good_probes() -> Vec<Probe> {
    let good = |name, desc, note: &str, keys: &[&str]| {
        Probe::good(name, desc, json!({ "note": note, "keys": keys }))
    };
    let both = proverb(&[PETER_LINE, ENOCH_LINE].concat());
    let other_id = PETER_LINE.replace("x08g", "AAAA");
    vec![
        good("good-example", "the example of c2sp.org/signed-note", C2SP_NOTE, &[C2SP_VKEY]),
        good("good-one-key-of-two", "an unknown signature as well", &both, &[PETER_VKEY]),
        good("good-two-keys", "both are known", &both, &[ENOCH_VKEY, PETER_VKEY]),
        good("good-key-twice", "one key is listed twice", &both, &[PETER_VKEY, PETER_VKEY]),
        good(
            "good-signature-twice",
            "one signature stands there twice",
            &proverb(&PETER_LINE.repeat(2)),
            &[PETER_VKEY],
        ),
        good(
            "good-known-name-unknown-id",
            "a signature of another key of the same name",
            &proverb(&[&other_id, PETER_LINE].concat()),
            &[PETER_VKEY],
        ),
        good(
            "good-unknown-name-known-id",
            "a signature of another key with the same id",
            &proverb(&[&PETER_LINE.replace("Peter", "Paul"), PETER_LINE].concat()),
            &[PETER_VKEY],
        ),
    ]
}

fn bad_syntax_probes() -> Vec<Probe> {
    let bad = |name, desc, note: &str, error: &str| {
        Probe::bad(name, desc, json!({ "note": note, "keys": [PETER_VKEY] }), error)
    };
    let no_signatures = "the note has no empty line between text and signatures";
    let unterminated = "the note does not end with a line feed";
    let second = "signature line 2 of the note is malformed";
    let first = "signature line 1 of the note is malformed";
    let then = |line: &str| proverb(&[PETER_LINE, line].concat());
    let long_name = format!("\u{2014} {} AAAAAAA=\n", "n".repeat(256));
    vec![
        bad("empty", "nothing at all", "", no_signatures),
        bad("text-alone", "no signature", PROVERB, no_signatures),
        bad("no-signatures", "nothing after the empty line", &proverb(""), no_signatures),
        bad("no-text", "an empty line and a signature", &format!("\n{PETER_LINE}"), no_signatures),
        bad("no-empty-line", "no line between", &[PROVERB, PETER_LINE].concat(), no_signatures),
        bad("empty-line-after", "an empty line at the end", &then("\n"), no_signatures),
        bad("unterminated", "no final line feed", proverb(PETER_LINE).trim_end(), unterminated),
        bad(
            "control",
            "a control character",
            &then("\x01"),
            "byte 210 of the note is a control character",
        ),
        bad(
            "carriage-return",
            "lines end as on Windows",
            &proverb(PETER_LINE).replace('\n', "\r\n"),
            "byte 56 of the note is a control character",
        ),
        bad("junk-line", "a line that is no signature", &then("Unexpected line.\n"), second),
        bad("hyphen", "a hyphen for the dash", &then(&ENOCH_LINE.replace('\u{2014}', "-")), second),
        bad("name-space", "a space in the name", &then(&ENOCH_LINE.replace("hR", "h R")), second),
        bad("name-plus", "a + in the name", &then(&ENOCH_LINE.replace("hR", "h+R")), second),
        bad("name-empty", "no name", &then(&ENOCH_LINE.replace("EnochRoot", "")), second),
        bad("name-too-long", "256 bytes of name", &then(&long_name), second),
        bad("two-spaces", "two spaces", &then(&ENOCH_LINE.replace("Root ", "Root  ")), second),
        bad("space-after", "a space at the end", &then(&ENOCH_LINE.replace('\n', " \n")), second),
        bad("no-base64", "a name alone", &then("\u{2014} EnochRoot\n"), second),
        bad("empty-base64", "a name and a space", &then("\u{2014} EnochRoot \n"), second),
        bad("id-alone", "four bytes", &proverb(&line_of("x08gow==")), first),
        bad("no-padding", "padding left out", &proverb(&PETER_LINE.replace('=', "")), first),
        bad(
            "trailing-bits",
            "unused bits of base64 that are not zero",
            &proverb(&PETER_LINE.replace("nAM=", "nAN=")),
            first,
        ),
        bad("base64-url", "the other alphabet", &proverb(&PETER_LINE.replace('/', "_")), first),
    ]
}

fn bad_signature_probes() -> Vec<Probe> {
    let bad = |name, desc, note: &str, keys: &[&str], error: &str| {
        Probe::bad(name, desc, json!({ "note": note, "keys": keys }), error)
    };
    let unsigned = "none of the known keys has signed the note";
    let forged = "the signature of PeterNeumann does not verify";
    let changed = PETER_LINE.replace("ZJku", "ZJkv");
    vec![
        bad("no-known-keys", "no key is known", &proverb(PETER_LINE), &[], unsigned),
        bad(
            "other-key",
            "only another key is known",
            &proverb(PETER_LINE),
            &[ENOCH_VKEY],
            unsigned,
        ),
        bad("changed", "one bit of the signature", &proverb(&changed), &[PETER_VKEY], forged),
        bad(
            "changed-text",
            "one letter of the text",
            &proverb(PETER_LINE).replace("answer", "Answer"),
            &[PETER_VKEY],
            forged,
        ),
        bad(
            "longer-text",
            "one more line of text",
            &format!("{PROVERB}\n\n{PETER_LINE}"),
            &[PETER_VKEY],
            forged,
        ),
        bad(
            "forged-beside-good",
            "another known key has signed",
            &proverb(&[ENOCH_LINE, &changed].concat()),
            &[ENOCH_VKEY, PETER_VKEY],
            forged,
        ),
        bad(
            "forged-repeat",
            "a good signature of the same key before",
            &proverb(&[PETER_LINE, &changed].concat()),
            &[PETER_VKEY],
            forged,
        ),
        bad(
            "signature-too-long",
            "three bytes more than a signature has",
            &proverb(&PETER_LINE.replace("ZJku", "ABCDZJku")),
            &[PETER_VKEY],
            forged,
        ),
        bad(
            "signature-too-short",
            "one byte",
            &proverb(&line_of("x08goww=")),
            &[PETER_VKEY],
            forged,
        ),
        bad(
            "cosignature-by-log-key",
            "time and signature, as a witness makes them",
            &proverb(&line_of(
                &SKYLIGHT_LINE.trim_end().rsplit_once(' ').unwrap().1.replace("uKLPIA", "x08gow"),
            )),
            &[PETER_VKEY],
            forged,
        ),
    ]
}

pub(super) fn probes() -> Vec<Probe> {
    [good_probes(), bad_syntax_probes(), bad_signature_probes()].into_iter().flatten().collect()
}

#[test]
fn probes_of_notes_get_their_answers() {
    check("signed-note", &probes(), |probe| {
        let keys: Vec<&str> = probe.input["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key.as_str().unwrap())
            .collect();
        open(probe.text("note").as_bytes(), &keys).err()
    });
}
