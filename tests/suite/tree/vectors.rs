//! Published vectors of RFC 6962 trees, and our own vectors for every format of the tree.
//!
//! The verdicts in `tests/vectors/tree` follow from how each probe was made, never from our verifiers.

use std::path::PathBuf;

use attestree::core::bundle::{StoredEntry, decode, encode_entry};
use attestree::core::hash::TreeHash;
use attestree::core::tree::{
    Edge, Tile, TileId, TreeHead, prove_batch, prove_consistency, prove_inclusion, prove_range,
    verify_batch, verify_consistency, verify_inclusion, verify_range,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::world::*;
use crate::vector::compare;

/// Takes a hash written in hexadecimal.
fn hex(text: &str) -> TreeHash {
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    assert_eq!(text.len(), 64);
    TreeHash::from_bytes(std::array::from_fn(byte))
}

/// Takes a hash written in base64.
fn base64(text: &str) -> TreeHash {
    TreeHash::parse_base64(text).unwrap()
}

/// Entries of the tests of Certificate Transparency (transparency-dev/merkle, testonly).
const CT_ENTRIES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

/// Roots of the first 0 to 8 of [`CT_ENTRIES`].
const CT_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn the_hashes_and_roots_of_certificate_transparency() {
    let leaf = "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56";
    assert_eq!(TreeHash::leaf(b"L123456"), hex(leaf));

    let leaves: Vec<_> = CT_ENTRIES.iter().map(|entry| TreeHash::leaf(entry)).collect();
    for (size, root) in CT_ROOTS.iter().enumerate() {
        let edge = Edge::empty().append(&leaves[..size]).edge;
        assert_eq!(edge.head().root, hex(root), "size {size}");
        assert_eq!(frontier(&leaves[..size]).root(), hex(root));
    }
}

/// Subtree roots over [`CT_ENTRIES`], named by their leaves: one, or from and to.
const NODE_1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const NODE_4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const NODE_2_4: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const NODE_4_6: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const NODE_6_8: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const NODE_4_8: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

#[test]
fn the_proofs_of_certificate_transparency() {
    let leaves: Vec<_> = CT_ENTRIES.iter().map(|entry| TreeHash::leaf(entry)).collect();
    let tiled = Tiled::grow(&leaves, 3);
    let inclusion: [(u64, u64, &[&str]); 4] = [
        (0, 8, &[NODE_1, NODE_2_4, NODE_4_8]),
        (5, 8, &[NODE_4, NODE_6_8, CT_ROOTS[4]]),
        (2, 3, &[CT_ROOTS[2]]),
        (1, 5, &[CT_ROOTS[1], NODE_2_4, NODE_4]),
    ];
    for (index, size, expected) in inclusion {
        let proof = prove_inclusion(&tiled, leaf_index(index), tree_size(size)).unwrap();
        assert_eq!(proof, expected.iter().map(|hash| hex(hash)).collect::<Vec<_>>());
    }
    let consistency: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (1, 8, &[NODE_1, NODE_2_4, NODE_4_8]),
        (6, 8, &[NODE_4_6, NODE_6_8, CT_ROOTS[4]]),
        (2, 5, &[NODE_2_4, NODE_4]),
    ];
    for (old, new, expected) in consistency {
        let proof = prove_consistency(&tiled, tree_size(old), tree_size(new)).unwrap();
        assert_eq!(proof, expected.iter().map(|hash| hex(hash)).collect::<Vec<_>>());
    }
}

/// Trees over the entries `leaf 0`, `leaf 1`, ..., made with an independent implementation.
#[test]
fn the_end_to_end_vector() {
    let all = leaves(300);
    for (size, root) in [
        (1, "G7l9zCFjXUfiZj79/QoXRobZjdcBNS3SzQbotD/T0wU="),
        (2, "/F9riP+FVPdbsvnm85wxsZNtRLaSdu33sSBalVuXYeM="),
        (3, "1Pksj7uJcg6ztVZ3x9fvrd/rENEaGoSguo8aIzN/qpU="),
        (5, "NBUVmC1lDiNSDb1U1/zwr6G3DMOhakEdRk3JwayWwwE="),
        (255, "1xWSohnUBnZj7t4kf5tUw/ngKQaC1V3gm0lbB/HeQck="),
        (256, "z17/2xHQknou31Ow5zx4N/ZZQU4AU32l2Q61xMSf8nQ="),
        (257, "hVuTaqAMuYtRFEhCSa0514pr6TYj4mwB6OSH3AIYSlo="),
        (300, "56/ILTiUT8eTBUUygJHUWCMojB9zTL2sBjlnE+vUtdU="),
    ] {
        let edge = Edge::empty().append(&all[..size]).edge;
        assert_eq!(edge.head().root, base64(root), "size {size}");
    }

    let tiled = Tiled::grow(&all, 300);
    let inclusion = [
        "WL0UluFoSqySAcLmh+565PUclqiw2B7zWDYouT0800U=",
        "/F9riP+FVPdbsvnm85wxsZNtRLaSdu33sSBalVuXYeM=",
        "gxFfiUeVX6/cKifn9MCFS72Nonuxs+NAXbVxya+Nvho=",
    ];
    let proof = prove_inclusion(&tiled, leaf_index(2), tree_size(5)).unwrap();
    assert_eq!(proof, inclusion.map(base64));
    let consistency = [
        "qze6NNHf4pAV3nF6bVdkqPsCnDp6D1tkuTtUNRiFv3w=",
        "WL0UluFoSqySAcLmh+565PUclqiw2B7zWDYouT0800U=",
        "/F9riP+FVPdbsvnm85wxsZNtRLaSdu33sSBalVuXYeM=",
        "gxFfiUeVX6/cKifn9MCFS72Nonuxs+NAXbVxya+Nvho=",
    ];
    let prove = |old, new| prove_consistency(&tiled, tree_size(old), tree_size(new)).unwrap();
    assert_eq!(prove(3, 5), consistency.map(base64));
    assert_eq!((prove(256, 300).len(), prove(257, 300).len()), (1, 8));
}

/// Returns where a vector is.
fn path_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tree").join(name)
}

/// Compares a file of probes with what was generated, and returns what the file holds.
fn compare_probes<P: Serialize + DeserializeOwned>(name: &str, generated: &[P]) -> Vec<P> {
    assert!(!generated.is_empty());
    let mut text = serde_json::to_string_pretty(generated).unwrap();
    text.push('\n');
    compare(&path_of(name), text.as_bytes());
    serde_json::from_slice(&std::fs::read(path_of(name)).unwrap()).unwrap()
}

/// Writes hashes in base64.
fn texts(hashes: &[TreeHash]) -> Vec<String> {
    hashes.iter().map(|hash| hash.to_base64()).collect()
}

/// Reads hashes in base64.
fn hashes(texts: &[String]) -> Vec<TreeHash> {
    texts.iter().map(|text| base64(text)).collect()
}

/// Returns a few false proofs, each with what was done to the true one.
fn false_proofs(proof: &[TreeHash]) -> Vec<(&'static str, Vec<TreeHash>)> {
    let foreign = TreeHash::leaf(b"foreign");
    let mut false_proofs = vec![
        ("foreign hash in front", [&[foreign], proof].concat()),
        ("foreign hash at the end", [proof, &[foreign]].concat()),
    ];
    if let [first, rest @ ..] = proof {
        let flipped = flip(&proof[proof.len() - 1], 7);
        let last = &proof[..proof.len() - 1];
        false_proofs.extend([
            ("no hash", Vec::new()),
            ("first hash dropped", rest.to_vec()),
            ("last hash dropped", last.to_vec()),
            ("first hash doubled", [&[*first], proof].concat()),
            ("first hash foreign", [&[foreign], rest].concat()),
            ("bit flipped in the first hash", [&[flip(first, 200)], rest].concat()),
            ("bit flipped in the last hash", [last, &[flipped]].concat()),
        ]);
    }
    if let [first, second, rest @ ..] = proof {
        false_proofs.push(("first two hashes exchanged", [&[*second, *first], rest].concat()));
    }
    // With one hash, dropping the first is dropping all of them, and so on: each proof once.
    let mut seen = Vec::new();
    false_proofs.retain(|(_, proof)| {
        !seen.contains(proof) && {
            seen.push(proof.clone());
            true
        }
    });
    false_proofs
}

/// One claim of inclusion.
#[derive(Clone, Serialize, Deserialize)]
struct InclusionProbe {
    desc: String,
    want_error: bool,
    leaf_index: u64,
    tree_size: u64,
    leaf_hash: String,
    root: String,
    proof: Vec<String>,
}

#[test]
fn inclusion_probes() {
    let all = leaves(300);
    let mut probes = Vec::new();
    for (index, size) in [(0, 1), (0, 2), (2, 3), (2, 5), (4, 5), (6, 8), (255, 257), (256, 257)] {
        let leaves = &all[..size];
        let true_probe = InclusionProbe {
            desc: format!("leaf {index} of {size}"),
            want_error: false,
            leaf_index: index as u64,
            tree_size: size as u64,
            leaf_hash: leaves[index].to_base64(),
            root: mth(leaves).to_base64(),
            proof: texts(&path(index, leaves)),
        };
        let mut add = |what: &str, change: &dyn Fn(&mut InclusionProbe)| {
            let mut probe = true_probe.clone();
            change(&mut probe);
            probe.desc = format!("{}: {what}", true_probe.desc);
            probe.want_error = true;
            probes.push(probe);
        };
        for (what, proof) in false_proofs(&path(index, leaves)) {
            add(what, &|probe| probe.proof = texts(&proof));
        }
        add("leaf index one higher", &|probe| probe.leaf_index += 1);
        add("leaf index beyond the tree", &|probe| probe.leaf_index += size as u64);
        add("tree size 0", &|probe| probe.tree_size = 0);
        add("tree size doubled", &|probe| probe.tree_size *= 2);
        add("bit flipped in the leaf hash", &|probe| {
            probe.leaf_hash = flip(&leaves[index], 0).to_base64();
        });
        add("bit flipped in the root", &|probe| {
            probe.root = flip(&mth(leaves), 255).to_base64();
        });
        add("root of the empty tree", &|probe| probe.root = TreeHash::empty_root().to_base64());
        probes.push(true_probe);
    }
    for probe in compare_probes("inclusion.json", &probes) {
        let (leaf, index) = (base64(&probe.leaf_hash), leaf_index(probe.leaf_index));
        let head = TreeHead { size: tree_size(probe.tree_size), root: base64(&probe.root) };
        let verdict = verify_inclusion(&leaf, index, &head, &hashes(&probe.proof));
        assert_eq!(verdict.is_err(), probe.want_error, "{}", probe.desc);
    }
}

/// One claim of consistency.
#[derive(Clone, Serialize, Deserialize)]
struct ConsistencyProbe {
    desc: String,
    want_error: bool,
    old_size: u64,
    new_size: u64,
    old_root: String,
    new_root: String,
    proof: Vec<String>,
}

#[test]
fn consistency_probes() {
    let all = leaves(300);
    let mut probes = Vec::new();
    for (old, new) in
        [(1, 1), (1, 2), (2, 5), (3, 5), (4, 8), (6, 8), (7, 7), (256, 257), (257, 300)]
    {
        let (old_root, new_root) = (mth(&all[..old]), mth(&all[..new]));
        let true_probe = ConsistencyProbe {
            desc: format!("{old} to {new}"),
            want_error: false,
            old_size: old as u64,
            new_size: new as u64,
            old_root: old_root.to_base64(),
            new_root: new_root.to_base64(),
            proof: texts(&subproof(old, &all[..new], true)),
        };
        let mut add = |what: &str, change: &dyn Fn(&mut ConsistencyProbe)| {
            let mut probe = true_probe.clone();
            change(&mut probe);
            probe.desc = format!("{}: {what}", true_probe.desc);
            probe.want_error = true;
            probes.push(probe);
        };
        for (what, proof) in false_proofs(&subproof(old, &all[..new], true)) {
            add(what, &|probe| probe.proof = texts(&proof));
        }
        add("old size 0", &|probe| probe.old_size = 0);
        add("old size 0, root of the empty tree, no hash", &|probe| {
            probe.old_size = 0;
            probe.old_root = TreeHash::empty_root().to_base64();
            probe.proof.clear();
        });
        add("old size above the new", &|probe| probe.old_size = probe.new_size + 1);
        add("bit flipped in the old root", &|probe| {
            probe.old_root = flip(&old_root, 8).to_base64();
        });
        add("bit flipped in the new root", &|probe| {
            probe.new_root = flip(&new_root, 9).to_base64();
        });
        probes.push(true_probe);
    }
    for probe in compare_probes("consistency.json", &probes) {
        let head = |size, root: &str| TreeHead { size: tree_size(size), root: base64(root) };
        let old = head(probe.old_size, &probe.old_root);
        let new = head(probe.new_size, &probe.new_root);
        let verdict = verify_consistency(&old, &new, &hashes(&probe.proof));
        assert_eq!(verdict.is_err(), probe.want_error, "{}", probe.desc);
    }
}

/// One claim about several leaves: a range (consecutive indices) or a batch.
#[derive(Clone, Serialize, Deserialize)]
struct LeavesProbe {
    desc: String,
    want_error: bool,
    leaf_indices: Vec<u64>,
    leaf_hashes: Vec<String>,
    tree_size: u64,
    root: String,
    proof: Vec<String>,
}

/// Makes a true probe and its mutations.
fn leaves_probes(
    all: &[TreeHash],
    indices: &[u64],
    size: usize,
    proof: &[TreeHash],
) -> Vec<LeavesProbe> {
    let root = mth(&all[..size]);
    let leaves: Vec<_> = indices.iter().map(|index| all[position(*index)]).collect();
    let true_probe = LeavesProbe {
        desc: format!("leaves {indices:?} of {size}"),
        want_error: false,
        leaf_indices: indices.to_vec(),
        leaf_hashes: texts(&leaves),
        tree_size: size as u64,
        root: root.to_base64(),
        proof: texts(proof),
    };
    let mut probes = vec![true_probe.clone()];
    let mut add = |what: &str, change: &dyn Fn(&mut LeavesProbe)| {
        let mut probe = true_probe.clone();
        change(&mut probe);
        probe.desc = format!("{}: {what}", true_probe.desc);
        probe.want_error = true;
        probes.push(probe);
    };
    for (what, proof) in false_proofs(proof) {
        add(what, &|probe| probe.proof = texts(&proof));
    }
    add("no leaves", &|probe| {
        probe.leaf_indices.clear();
        probe.leaf_hashes.clear();
    });
    add("last leaf left out", &|probe| {
        probe.leaf_indices.pop();
        probe.leaf_hashes.pop();
    });
    add("bit flipped in the first leaf hash", &|probe| {
        probe.leaf_hashes[0] = flip(&leaves[0], 1).to_base64();
    });
    add("tree size 0", &|probe| probe.tree_size = 0);
    add("all leaf indices beyond the tree", &|probe| {
        probe.leaf_indices.iter_mut().for_each(|index| *index += size as u64);
    });
    add("bit flipped in the root", &|probe| probe.root = flip(&root, 31).to_base64());
    probes
}

#[test]
fn range_probes() {
    let all = leaves(300);
    let tiled = Tiled::grow(&all, 300);
    let mut probes = Vec::new();
    for (from, to, size) in
        [(0, 1, 1), (0, 5, 5), (1, 3, 5), (2, 4, 4), (3, 6, 11), (254, 258, 300)]
    {
        let (first, last) = (leaf_index(from), leaf_index(to));
        let proof = prove_range(&tiled, first, last, tree_size(size as u64)).unwrap();
        let indices: Vec<_> = (from..to).collect();
        probes.extend(leaves_probes(&all, &indices, size, &proof));
    }
    for probe in compare_probes("range.json", &probes) {
        let from = leaf_index(probe.leaf_indices.first().copied().unwrap_or(0));
        let head = TreeHead { size: tree_size(probe.tree_size), root: base64(&probe.root) };
        let verdict = verify_range(&hashes(&probe.leaf_hashes), from, &head, &hashes(&probe.proof));
        assert_eq!(verdict.is_err(), probe.want_error, "{}", probe.desc);
    }
}

#[test]
fn batch_probes() {
    let all = leaves(300);
    let tiled = Tiled::grow(&all, 300);
    let mut probes = Vec::new();
    let cases: [(&[u64], usize); 7] = [
        (&[0], 1),
        (&[2], 6),
        (&[0, 1], 2),
        (&[0, 3], 5),
        (&[1, 2, 6], 7),
        (&[4, 5, 10], 11),
        (&[0, 255, 256, 299], 300),
    ];
    for (indices, size) in cases {
        let batch: Vec<_> = indices.iter().map(|index| leaf_index(*index)).collect();
        let proof = prove_batch(&tiled, &batch, tree_size(size as u64)).unwrap();
        let positions: Vec<_> = indices.iter().map(|index| position(*index)).collect();
        assert_eq!(proof, from_rs(rs_tree(size).proof(&positions).proof_hashes()));
        probes.extend(leaves_probes(&all, indices, size, &proof));
        if let [first, second, ..] = indices {
            let mut exchanged = probes[probes.len() - 1].clone();
            exchanged.desc = format!("leaves {first} and {second} of {size}, exchanged");
            exchanged.root = mth(&all[..size]).to_base64();
            exchanged.leaf_indices.swap(0, 1);
            exchanged.leaf_hashes.swap(0, 1);
            let mut doubled = exchanged.clone();
            doubled.desc = format!("leaf {second} of {size}, twice");
            doubled.leaf_indices[1] = doubled.leaf_indices[0];
            probes.extend([exchanged, doubled]);
        }
    }
    for probe in compare_probes("batch.json", &probes) {
        let indices = probe.leaf_indices.iter().map(|index| leaf_index(*index));
        let leaves: Vec<_> = indices.zip(hashes(&probe.leaf_hashes)).collect();
        let head = TreeHead { size: tree_size(probe.tree_size), root: base64(&probe.root) };
        let verdict = verify_batch(&leaves, &head, &hashes(&probe.proof));
        assert_eq!(verdict.is_err(), probe.want_error, "{}", probe.desc);
    }
}

#[test]
fn the_encoding_of_a_tile() {
    let integration = Edge::empty().append(&leaves(256));
    let [(id, tile)] = integration.tiles.as_slice() else { panic!("256 leaves fill one tile") };
    assert_eq!(*id, TileId { level: 0, index: 0 });
    compare(&path_of("tile.bin"), &tile.encode());

    let stored = Tile::decode(&std::fs::read(path_of("tile.bin")).unwrap()).unwrap();
    assert!(stored.check());
    assert_eq!(stored.root(), base64("z17/2xHQknou31Ow5zx4N/ZZQU4AU32l2Q61xMSf8nQ="));
}

#[test]
fn the_encoding_of_a_segment() {
    let erased = TreeHash::leaf(b"erased");
    let mut bytes = Vec::new();
    encode_entry(&mut bytes, b"a");
    encode_entry(&mut bytes, &[0xff; 300]);
    bytes.extend([0, 0]);
    bytes.extend(erased.as_bytes());
    encode_entry(&mut bytes, b"leaf 3");
    compare(&path_of("segment.bin"), &bytes);

    let stored = std::fs::read(path_of("segment.bin")).unwrap();
    let entries: Vec<_> = decode(&stored).collect::<Result<_, _>>().unwrap();
    let expected = [
        StoredEntry::Bytes(b"a"),
        StoredEntry::Bytes(&[0xff; 300]),
        StoredEntry::Erased(erased),
        StoredEntry::Bytes(b"leaf 3"),
    ];
    assert_eq!(entries, expected);
}
