//! The fuzzer's targets, run without a fuzzer: over the corpus, and over inputs derived from it.

use std::{
    collections::BTreeSet,
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use attestree::core::policy::Bundle;

use super::chain::log::Log;
use super::published::{
    CHECKPOINT_TEXT, INCLUSION, PETER_SKEY, SUMDB_VKEY, WITNESS_VKEY, checkpoint_note, policy_text,
    receipt_text,
};
use super::vector;

#[path = "../fuzz/targets.rs"]
mod targets;

/// How many inputs are derived for each target: a few seconds' worth in all.
const DERIVED: u32 = 3_000;

/// Parts of the formats, to be put where they hurt.
const WORDS: [&[u8]; 22] = [
    b"\n\n",
    b"\n",
    b" ",
    b"+",
    b"=",
    b"/",
    b"0",
    b"\0\0",
    b"\xff\xff",
    b"\xe2\x80\x94 ",
    b"x000/",
    b".p/",
    b"group g 18446744073709551615 w",
    b"extra ",
    b"index 4611686018427387903",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"{\"$c\":\"",
    b"[1e400,",
    b"\\ud83d\\u",
    b"&a ",
    b"*a ",
    b"!Ref ",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = folder().join("corpus").join(target);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs a target; a broken law is reported with the input that broke it.
fn run(name: &str, target: fn(&[u8]), input: &[u8]) {
    if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(|| target(input))) {
        eprintln!("target {name} breaks on b\"{}\"", input.escape_ascii());
        panic::resume_unwind(cause);
    }
}

/// Changes an input in up to four places, or joins it with another one.
fn derive(random: &mut ChaCha8Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut below = |limit: usize| {
        let limit = u64::try_from(limit).unwrap().max(1);
        usize::try_from(random.next_u64() % limit).unwrap()
    };
    let mut input = inputs[below(inputs.len())].clone();
    for _ in 0..=below(4) {
        let from = below(input.len() + 1);
        let to = (from + below(24)).min(input.len());
        match below(7) {
            0 if from < input.len() => input[from] ^= 1 << below(8),
            1 => drop(input.drain(from..to)),
            2 => input.extend_from_within(from..to),
            3 => drop(input.splice(from..from, WORDS[below(WORDS.len())].iter().copied())),
            4 => input.truncate(from),
            5 => {
                let other = &inputs[below(inputs.len())];
                let other = &other[below(other.len() + 1)..];
                drop(input.splice(from.., other.iter().copied()));
            }
            _ if from < input.len() => input[from] = u8::try_from(below(256)).unwrap(),
            _ => input.push(0),
        }
    }
    input
}

#[test]
fn every_target_has_a_fuzzer_and_a_corpus() {
    let names: BTreeSet<String> =
        targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names.len(), targets::TARGETS.len());
    for kept in ["fuzz_targets", "corpus"].map(|part| names_in(&folder().join(part))) {
        assert!(kept.is_superset(&names));
        // The auditor's tool has no decoders of foreign protocols.
        assert!(kept == names || !cfg!(feature = "sources"), "{kept:?} is not {names:?}");
    }
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        let source = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("targets::{name}(data)")), "{name}");
        assert!(corpus(&name).len() >= 2, "{name}");
    }
}

#[test]
fn every_law_holds_on_the_corpus_and_on_what_is_derived_from_it() {
    let mut random = ChaCha8Rng::seed_from_u64(0x6962);
    for &(name, target) in targets::TARGETS {
        let inputs = corpus(name);
        run(name, target, b"");
        for input in &inputs {
            run(name, target, input);
        }
        for _ in 0..DERIVED {
            run(name, target, &derive(&mut random, &inputs));
        }
        // Bytes without any form, of lengths that the proofs' parts have.
        for length in [1, 8, 31, 32, 40, 72, 200] {
            let mut bytes = vec![0; length];
            random.fill_bytes(&mut bytes);
            run(name, target, &bytes);
        }
    }
}

/// Returns the evidence of a vector that convicts.
fn conviction(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/evidence").join(name);
    let vector: serde_json::Value =
        serde_json::from_slice(&fs::read(file.with_extension("json")).unwrap()).unwrap();
    vector["evidence"].as_str().unwrap().to_owned()
}

/// Returns a file of the vectors.
fn file(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)).unwrap()
}

/// Returns the inputs of the targets about audit logs.
fn audit_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let records: serde_json::Value = serde_json::from_slice(&file("record/record.json")).unwrap();
    let entry = |name: &str| {
        let records = records.as_array().unwrap();
        let record = records.iter().find(|record| record["name"] == name).unwrap();
        record["entry"].as_str().unwrap().as_bytes().to_vec()
    };
    let submission: serde_json::Value =
        serde_json::from_slice(&file("record/submission.json")).unwrap();
    let submitted = submission["submission"].as_str().unwrap().as_bytes().to_vec();
    let mut log = Log::new();
    log.0.truncate(6);
    let files = ["policy.yaml", "rego/a.rego"].map(|path| (path.to_owned(), b"# text".to_vec()));
    vec![
        ("json", "submission", submitted.clone()),
        (
            "json",
            "numbers",
            b"[0,-1.5e-7,9007199254740991,{\"b\":[],\"a\":\"\\ud83d\\ude00\"}]".to_vec(),
        ),
        ("submission", "whole", submitted),
        ("submission", "faults", b"{\"t\":\"policy\",\"ctx\":{\"raw\":1},\"$c\":2}".to_vec()),
        ("record", "genesis", entry("genesis")),
        ("record", "event", log.written().remove(1)),
        ("record", "policy", log.written().remove(3)),
        ("bundle", "two", Bundle::new(files).unwrap().encode()),
        ("bundle", "empty-file", b"\x00\x01a\x00\x00\x00\x00".to_vec()),
        ("chain", "honest", log.written().join(&b'\n')),
        ("chain", "no-genesis", log.written().split_off(1).join(&b'\n')),
        ("path", "deep", b"/ctx/a~1b/0/c~0d".to_vec()),
        ("path", "short", b"/actor".to_vec()),
        ("infra", "terraform", file("infra/terraform/cloudtrail-multi-region.fail.json")),
        ("infra", "cloudformation", file("infra/cloudformation/log-group-encryption.pass.yaml")),
        ("infra", "pulumi", file("infra/pulumi/firewall-logs.pass.json")),
        ("infra", "kubernetes", file("infra/k8s-audit/anonymous-logged.pass.yaml")),
        ("otlp", "json", file("source/otlp/requests.in.json")),
        ("otlp", "protobuf", file("source/otlp/plain-protobuf.in.pb")),
        ("otlp", "hostile-json", file("source/otlp/hostile.in.json")),
        ("otlp", "hostile-protobuf", file("source/otlp/hostile-protobuf.in.pb")),
        ("kubernetes", "requests", file("source/kubernetes/requests.in.json")),
        ("kubernetes", "hostile", file("source/kubernetes/hostile.in.json")),
        ("ship", "text", file("source/ship/text.in.ndjson")),
        ("ship", "json", file("source/ship/json.in.ndjson")),
        ("ship", "refused", file("source/ship/refused.in.ndjson")),
        ("spool", "segment", file("ship/segment.spool")),
        ("spool", "torn", file("ship/segment.spool")[..300].to_vec()),
        ("syslog", "counted", file("source/syslog/counted.in.log")),
        ("syslog", "lines", file("source/syslog/lines.in.log")),
        ("syslog", "refused", file("source/syslog/refused.in.log")),
        ("syslog", "count-lost", file("source/syslog/count-lost.in.log")),
        ("cloudevents", "structured", file("source/cloudevents/structured.in.json")),
        ("cloudevents", "batch", file("source/cloudevents/batch.in.json")),
        ("cloudevents", "binary", file("source/cloudevents/binary.in.http")),
        ("cloudevents", "overlong", file("source/cloudevents/overlong.in.http")),
        ("hec", "events", file("source/hec/events.in.json")),
        ("hec", "lines", file("source/hec/lines.in.txt")),
        ("hec", "acks", b"{\"acks\":[0,1]}".to_vec()),
        ("opa", "decisions", file("source/opa/decisions.in.json")),
        ("opa", "decision", b"{\"decision_id\":\"1\",\"result\":{\"allow\":true}}".to_vec()),
        ("infra", "collector", file("infra/otel/queue-on-disk.pass.yaml")),
    ]
}

/// Returns the inputs that make the corpus.
fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let text = |target, name, text: &str| (target, name, text.as_bytes().to_vec());
    let extra = receipt_text().replace("index", "extra YmVzaWRl\nindex");
    let proof = INCLUSION.join("\n");
    let mut seeds = audit_seeds();
    seeds.extend([
        text("add_checkpoint", "first", &format!("old 0\n\n{}", checkpoint_note())),
        text("add_checkpoint", "proof", &format!("old 3\n{proof}\n\n{}", checkpoint_note())),
        text("note", "checkpoint", &checkpoint_note()),
        text("note", "empty-lines", &format!("\n\n{}", checkpoint_note())),
        text("checkpoint", "signed", &checkpoint_note()),
        text("checkpoint", "text", CHECKPOINT_TEXT),
        text("key", "log", SUMDB_VKEY),
        text("key", "witness", WITNESS_VKEY),
        text("key", "secret", PETER_SKEY),
        text("origin", "host", "log.example"),
        text("origin", "path", "log.example/audit/2026"),
        text("policy", "quorum", &policy_text()),
        text(
            "policy",
            "group",
            &format!("# any\n{}", policy_text().replace("quorum", "group g any vector\nquorum")),
        ),
        text("policy", "none", "quorum none"),
        text("receipt", "plain", &receipt_text()),
        text("receipt", "extra", &extra),
        text("evidence", "same-size", &conviction("same-size")),
        text("evidence", "prefix", &conviction("prefix")),
        text("evidence", "witnessed", &conviction("witnessed")),
        text("tile_path", "checkpoint", "checkpoint"),
        text("tile_path", "tile", "tile/0/x001/x234/067"),
        text("tile_path", "partial", "tile/1/000.p/17"),
        text("tile_path", "entries", "tile/entries/x019/669.p/112"),
        ("segment", "two-entries", b"\x00\x06leaf 0\x00\x01x".to_vec()),
        ("segment", "erased", [&b"\x00\x06leaf 0\x00\x00"[..], &[7; 32]].concat()),
    ]);
    for target in ["inclusion", "consistency", "range", "batch"] {
        // The first byte is the size less one, then come positions and changes.
        seeds.push((target, "honest", vec![99, 6, 6, 0, 0]));
        seeds.push((target, "one-leaf", vec![0, 0, 0, 0, 0]));
        seeds.push((target, "spoiled", vec![127, 2, 64, 127, 3, 0, 1, 1, 0, 3, 5, 9]));
        seeds.push((target, "numbers", [[0xff; 48], [0x3f; 48], [0x01; 48]].concat()));
    }
    seeds
}

#[test]
fn the_corpus_holds_the_published_vectors() {
    for (target, name, bytes) in seeds() {
        vector::compare(&folder().join("corpus").join(target).join(name), &bytes);
    }
}
