//! Receipts, right and wrong.

use attestree::core::{
    receipt::{PROOF_HASHES_MAX, Receipt, ReceiptError},
    trust::TrustPolicy,
};
use serde_json::json;

use super::{Probe, check};
use crate::published::{ENTRY, INCLUSION, TESSERA_VKEY, WITNESS_LINE, policy_text, receipt_text};

/// Parses a receipt and verifies it; returns the message if it proves nothing.
pub(crate) fn error_of(receipt: &[u8], entry: &[u8], policy: &str) -> Option<String> {
    let policy = TrustPolicy::parse(policy).unwrap();
    match Receipt::parse(receipt) {
        Ok(receipt) => {
            receipt.verify(entry, &policy).err().map(|error: ReceiptError| error.to_string())
        }
        Err(error) => Some(error.to_string()),
    }
}

const TRUNCATED: &str = "the receipt ends before its checkpoint: a part of the file is missing";
const HEADER: &str = "a receipt begins with \"c2sp.org/tlog-proof@v1\"";
const EXTRA: &str = "\"extra\" must be followed by a space and base64";
const INDEX: &str = "expected \"index\", a space and a decimal below 2^62 without leading zeros";
const HASH: &str = "expected a hash as base64 of 32 bytes, or an empty line before the checkpoint";
const LINE: &str = "the line is longer than 65535 bytes or not ASCII";

/// What replaces the index line, the number of the line that is wrong, and the message.
const WRONG_LINES: [(&str, &str, &str, usize, &str); 16] = [
    ("extra-not-base64", "no base64", "extra !!notbase64!!\nindex 2", 2, EXTRA),
    ("extra-no-padding", "padding left out", "extra AA\nindex 2", 2, EXTRA),
    ("extra-no-space", "no space after the word", "extra\nindex 2", 2, INDEX),
    ("extra-twice", "two extra lines", "extra AAAA\nextra AAAA\nindex 2", 3, INDEX),
    ("extra-after-index", "extra data too late", "index 2\nextra AAAA", 3, HASH),
    ("index-missing", "an empty line for the index", "", 2, INDEX),
    ("index-word", "a word for the index", "index notanumber", 2, INDEX),
    ("index-negative", "a sign", "index -5", 2, INDEX),
    ("index-plus", "a sign", "index +2", 2, INDEX),
    ("index-leading-zero", "a leading zero", "index 02", 2, INDEX),
    ("index-empty", "no number", "index ", 2, INDEX),
    ("index-space", "a space after the number", "index 2 ", 2, INDEX),
    ("index-too-large", "an index that no tree has", "index 4611686018427387904", 2, INDEX),
    ("index-beyond-64-bits", "65 bits", "index 18446744073709551616", 2, INDEX),
    ("hash-not-base64", "no base64", "index 2\n!!notbase64!!", 3, HASH),
    ("hash-not-ascii", "a letter with an accent", "index 2\n\u{e9}", 3, LINE),
];

fn wrong_lines() -> Vec<Probe> {
    let receipt = receipt_text();
    let first = INCLUSION[0];
    let with_hash = |hash: &str| receipt.replace(first, hash);
    let proof_end = receipt.find("\n\n").unwrap();
    let too_many = "an inclusion proof has at most 63 hashes";
    let mut probes = vec![
        wrong_line("empty", "nothing at all", "", 1, TRUNCATED),
        wrong_line("header", "another version", &receipt.replace("@v1", "@v2"), 1, HEADER),
        wrong_line("header-space", "a space before it", &format!(" {receipt}"), 1, HEADER),
        wrong_line("header-alone", "one line", "c2sp.org/tlog-proof@v1\n", 2, TRUNCATED),
        wrong_line("carriage-return", "as on Windows", &receipt.replace('\n', "\r\n"), 1, HEADER),
        wrong_line(
            "no-empty-line",
            "no line before the checkpoint",
            &receipt.replace("\n\nexample", "\nexample"),
            6,
            HASH,
        ),
        wrong_line(
            "no-checkpoint",
            "nothing after the proof",
            &receipt[..proof_end + 2],
            7,
            TRUNCATED,
        ),
        wrong_line("hash-64-bytes", "64 bytes", &with_hash(&("A".repeat(86) + "==")), 3, HASH),
        wrong_line("hash-31-bytes", "31 bytes", &with_hash(&("A".repeat(42) + "==")), 3, HASH),
        wrong_line(
            "hash-trailing-bits",
            "unused bits that are not zero",
            &with_hash(&first.replace("U=", "V=")),
            3,
            HASH,
        ),
        wrong_line(
            "proof-too-long",
            "65 hashes",
            &with_hash(&[first; PROOF_HASHES_MAX].join("\n")),
            66,
            too_many,
        ),
    ];
    probes.extend(WRONG_LINES.map(|(name, desc, line, number, problem)| {
        wrong_line(name, desc, &receipt.replace("index 2", line), number, problem)
    }));
    probes
}

fn wrong_line(
    name: &'static str,
    desc: &'static str,
    receipt: &str,
    line: usize,
    problem: &str,
) -> Probe {
    let error = format!("line {line} of the receipt: {problem}");
    probe(name, desc, receipt, ENTRY, &policy_text(), &error)
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

const NOT_LEADING: &str = "the proof does not lead from this entry to the checkpoint's root: either these are not the \
     bytes that were logged at index 2, or the receipt was changed";

fn good() -> Vec<Probe> {
    let receipt = receipt_text();
    let extra = receipt.replace("index", "extra bm90aGluZyBwcm92ZXMgdGhpcw==\nindex");
    let good = |name, desc, receipt: &str| {
        let input = json!({ "receipt": receipt, "entry": "leaf 2", "policy": policy_text() });
        Probe::good(name, desc, input)
    };
    vec![
        good("good", "the end-to-end vector", &receipt),
        good("good-extra", "extra data, which proves nothing", &extra),
    ]
}

fn wrong_proofs() -> Vec<Probe> {
    let receipt = receipt_text();
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
    let twice = receipt.replace(INCLUSION[2], &[INCLUSION[2]; 2].join("\n"));
    let at_3 = NOT_LEADING.replace("index 2", "index 3");
    let beyond = "the receipt is for entry 5, but its checkpoint covers 5 entries";
    vec![
        entry("entry-other", "another entry of the log", b"leaf 3", NOT_LEADING),
        entry("entry-line-feed", "a line feed too many", b"leaf 2\n", NOT_LEADING),
        entry("entry-empty", "no entry", b"", "the entry is empty; send at least 1 byte"),
        bad("index-other", "another index", &receipt.replace("index 2", "index 3"), &at_3),
        bad("index-beyond", "no such leaf", &receipt.replace("index 2", "index 5"), beyond),
        bad("proof-first-missing", "one hash less", &without(0), NOT_LEADING),
        bad("proof-last-missing", "one hash less", &without(2), NOT_LEADING),
        bad("proof-hash-more", "the last hash twice", &twice, NOT_LEADING),
        bad("proof-swapped", "two hashes in the other order", &swapped, NOT_LEADING),
    ]
}

fn wrong_checkpoints() -> Vec<Probe> {
    let receipt = receipt_text();
    let bad = |name, desc, receipt: &str, policy: &str, error: &str| {
        let error = format!("the receipt's checkpoint is not trusted: {error}");
        probe(name, desc, receipt, ENTRY, policy, &error)
    };
    vec![
        bad(
            "checkpoint-no-note",
            "something that is no signed note",
            "c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n",
            &policy_text(),
            "the note has no empty line between text and signatures",
        ),
        bad(
            "checkpoint-forged",
            "a size that the log has not signed",
            &receipt.replace("\n5\n", "\n6\n"),
            &policy_text(),
            "the signature of example.com/vector-log does not verify",
        ),
        bad(
            "checkpoint-no-witness",
            "the witness has not signed",
            &receipt.replace(WITNESS_LINE, ""),
            &policy_text(),
            "the quorum \"vector\" is not reached: 0 of the policy's 1 witnesses have cosigned",
        ),
        bad(
            "policy-other",
            "a policy for another log",
            &receipt,
            &format!("log {TESSERA_VKEY}\nquorum none\n"),
            "the policy lists no log example.com/vector-log",
        ),
    ]
}

pub(super) fn probes() -> Vec<Probe> {
    [good(), wrong_lines(), wrong_proofs(), wrong_checkpoints()].into_iter().flatten().collect()
}

#[test]
fn probes_of_receipts_get_their_answers() {
    check("receipt", &probes(), |probe| {
        let (receipt, entry) = (probe.text("receipt"), probe.text("entry"));
        error_of(receipt.as_bytes(), entry.as_bytes(), probe.text("policy"))
    });
}
