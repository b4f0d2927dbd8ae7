//! The fuzzers' laws, held over seeds and their nearest neighbours on every run.

use super::fuzz_targets::TARGETS;

/// A text of the end-to-end vector: a checkpoint of size 5.
const CHECKPOINT: &str =
    "example.com/vector-log\n5\nNBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE=\n";

/// The signature lines of its log and of its witness, after their dash.
const SIGNATURES: [&str; 2] = [
    "example.com/vector-log WFOomFAIYi2lPazqV8OYkS8BA3STBwbv2Ciw9nSLI/fu+c1n2lBE3tTsqbzMFpxXBt46135DGvbwENefRFTtFeWtdgc=",
    "witness.example/vector lM0oeQAAAABpVGeAyQWwYS6FGu7svpHFgxcHfDz69EiOrL1pEJn3aZYQc+deqWJx5dSiCTnCyhnCRh235ndDQb347g+ai+HqQhStBw==",
];

/// The keys of both.
const LOG_KEY: &str =
    "example.com/vector-log+5853a898+AdNnO/eaYELmpXi5YKlhnnDBvHrRrmiMyjRbjNUdQ370";
const LOG_SECRET: &str =
    "PRIVATE+KEY+example.com/vector-log+5853a898+AVq6N69yaFdlvrQWsEX/S5nFuEZ1BtFIR6bf1CE20MXn";
const WITNESS_KEY: &str =
    "witness.example/vector+94cd2879+BOe3/QloEK2hfvaa6JT+0yBQZFB52pCAsESwmnLWGGfL";

/// The inclusion proof of leaf 2 in that tree.
const PROOF: [&str; 3] = [
    "WL0UluFoSqySAcLmh+565PUclqiw2B7zWDYouT0800U=",
    "/F9riP+FVPdbsvnm85wxsZNtRLaSdu33sSBalVuXYeM=",
    "gxFfiUeVX6/cKifn9MCFS72Nonuxs+NAXbVxya+Nvho=",
];

/// Returns the checkpoint with both signatures.
fn note() -> String {
    let lines: String = SIGNATURES.iter().map(|line| format!("\u{2014} {line}\n")).collect();
    format!("{CHECKPOINT}\n{lines}")
}

/// Returns valid input of a target, so that mutations come near to what is accepted.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let text = |text: &str| vec![text.as_bytes().to_vec()];
    match target {
        "bundle" => vec![b"\x00\x01a\x00\x02bc".to_vec(), [&[0; 2][..], &[7; 32]].concat()],
        "checkpoint" => text(CHECKPOINT),
        "checkpoint_note" | "signed_note" => text(&note()),
        "origin" => text("log.example/audit/2026"),
        "policy" => {
            text(&format!("log {LOG_KEY}\nwitness w {WITNESS_KEY}\ngroup g any w\nquorum g\n"))
        }
        "proof" => vec![proof_seed()],
        "receipt" => {
            let hashes: String = PROOF.iter().map(|hash| format!("{hash}\n")).collect();
            text(&format!("c2sp.org/tlog-proof@v1\nindex 2\n{hashes}\n{}", note()))
        }
        "skey" => text(LOG_SECRET),
        "tile" => vec![vec![1; 9_184], vec![1; 9_183]],
        "tile_path" => {
            ["checkpoint", "tile/0/x001/x234/067", "tile/1/000.p/17", "tile/entries/273.p/112"]
                .map(|path| path.as_bytes().to_vec())
                .into()
        }
        "vkey" => [LOG_KEY, WITNESS_KEY].map(|key| key.as_bytes().to_vec()).into(),
        other => panic!("no seed for {other}"),
    }
}

/// Returns index, size, root, leaf and inclusion proof as `proof` reads them.
fn proof_seed() -> Vec<u8> {
    use attestree::core::hash::TreeHash;
    let hash = |text: &str| TreeHash::parse_base64(text).unwrap();
    let hashes = [hash("NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE="), TreeHash::leaf(b"leaf 2")];
    // The target halves its numbers, to keep them in bounds.
    let mut seed: Vec<u8> = [2 * 2_u64, 5 * 2].into_iter().flat_map(u64::to_be_bytes).collect();
    for hash in hashes.into_iter().chain(PROOF.map(hash)) {
        seed.extend(hash.as_bytes());
    }
    seed
}

/// Calls `visit` with each near neighbour of a seed: one byte changed, removed or doubled, or the end cut off.
fn mutate(seed: &[u8], visit: impl Fn(&[u8])) {
    // The tile is long and its bytes are alike; a few places stand for all.
    let step = (seed.len() / 512).max(1);
    for at in (0..seed.len()).step_by(step) {
        for change in [0x01, 0x02, 0x20, 0x80, 0xff] {
            let mut changed = seed.to_vec();
            changed[at] ^= change;
            visit(&changed);
        }
        let (front, back) = seed.split_at(at);
        visit(front);
        visit(&[front, &back[1..]].concat());
        visit(&[front, &back[..1], back].concat());
        visit(&[front, b"\n", back].concat());
    }
}

#[test]
fn every_law_holds_around_its_seeds() {
    for (name, target) in TARGETS {
        target(b"");
        for seed in seeds(name) {
            target(&seed);
            mutate(&seed, target);
        }
    }
}

#[test]
fn every_target_has_a_fuzzer() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for (name, _) in TARGETS {
        assert!(
            manifest.contains(&format!("path = \"{name}.rs\"")),
            "{name} is not in tests/fuzz/Cargo.toml"
        );
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
