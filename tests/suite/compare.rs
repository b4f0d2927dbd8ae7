//! Two checkpoints compared through a log's own tiles: what convicts, and what does not.

use attestree::{
    client::{ClientError, Comparison, Server, TileClient, compare, trust_listed},
    core::{
        evidence::{Evidence, Judgement},
        tree::TreeHead,
        trust::TrustPolicy,
    },
};

use crate::liar::{Face, History, Liar, key, signed};

fn policy() -> TrustPolicy {
    trust_listed(&[key().verifier_key().clone()])
}

fn tiles(liar: &Liar) -> TileClient {
    TileClient::new(&Server::parse(&liar.url("log")).unwrap()).unwrap()
}

/// Compares what was seen before with a newer head, and what is shown now.
async fn shown(history: &History, older: TreeHead, newer: TreeHead) -> Comparison {
    let liar = Liar::start();
    liar.show("log", Face { history: Some(history.clone()), ..Face::default() });
    compare(&tiles(&liar), &signed(older), &signed(newer)).await
}

fn convicted(comparison: Comparison) -> Evidence {
    let Comparison::Guilty(evidence) = comparison else { panic!("{comparison:?}") };
    let verdict = evidence.judge(&policy());
    assert!(matches!(verdict, Judgement::Guilty { .. }), "{verdict:?}");
    assert_eq!(Evidence::parse(&evidence.format()).as_ref(), Ok(&*evidence));
    *evidence
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_only_appends_is_consistent_at_every_edge() {
    let history = History::honest(66_000);
    for (old, new) in [
        (0, 5),
        (1, 1),
        (1, 2),
        (7, 8),
        (255, 256),
        (255, 257),
        (256, 512),
        (300, 65_536),
        (65_535, 65_537),
        (65_536, 66_000),
        (65_800, 66_000),
    ] {
        let (older, newer) = (history.head(old), history.head(new));
        let proof = match old {
            0 => Vec::new(),
            _ => history.link(old, new).1,
        };
        for (one, other) in [(older, newer), (newer, older)] {
            let found = shown(&history, one, other).await;
            let Comparison::Consistent(found) = found else { panic!("{old}, {new}: {found:?}") };
            assert_eq!(found, proof, "{old}, {new}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_rewrite_convicts() {
    let history = History::honest(700);
    // What was signed before, and what is shown now.
    let rewritten: [(&str, History, u64); 5] = [
        ("a leaf is changed in a full tile", history.changed(3), 700),
        ("a leaf is changed at the edge", history.changed(599), 700),
        ("an entry is inserted late", history.inserted(100), 701),
        ("a truncated tree has grown again", history.truncated(512).grown(700, "other"), 700),
        ("the first leaf is changed in a tree that fills its tiles", history.changed(0), 512),
    ];
    for (name, other, size) in rewritten {
        for old in [1, 200, 511, 600].into_iter().filter(|old| *old < size) {
            let (older, newer) = (history.head(old), other.head(size));
            let found = shown(&other, older, newer).await;
            if other.head(old) == older {
                assert!(matches!(found, Comparison::Consistent(_)), "{name}, {old}: {found:?}");
            } else {
                assert_eq!(convicted(found).heads(), [older, newer], "{name}, {old}");
            }
        }
    }
    // Two roots of one size need no tiles.
    let other = history.changed(1);
    let found = shown(&History::honest(0), history.head(700), other.head(700)).await;
    assert_eq!(convicted(found).heads(), [history.head(700), other.head(700)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_that_do_not_fit_the_signature_convict_nobody() {
    let history = History::honest(700);
    let other = history.changed(3);
    let (older, newer) = (signed(history.head(300)), signed(history.head(700)));
    let liar = Liar::start();
    let honest = Face { history: Some(history.clone()), ..Face::default() };

    // Another tree's tiles; damage in each tile that the proof needs; tiles that are missing or short.
    let mut faces = vec![Face { history: Some(other), ..Face::default() }, Face::default()];
    for path in ["tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"] {
        let bytes = honest
            .history
            .as_ref()
            .unwrap()
            .resource(&attestree::core::tile::Resource::parse(path).unwrap());
        let bytes = bytes.unwrap();
        let mut flipped = bytes.clone();
        flipped[5] ^= 1;
        let short = bytes[..bytes.len() - 1].to_vec();
        for instead in [None, Some(flipped), Some(short), Some(vec![0; 8_193])] {
            let mut face = honest.clone();
            face.instead.insert(path.to_owned(), instead);
            faces.push(face);
        }
    }
    for face in faces {
        liar.show("log", face);
        let found = compare(&tiles(&liar), &older, &newer).await;
        let Comparison::Unresponsive(error) = found else { panic!("{found:?}") };
        assert!(error.evidence().is_none());
    }
    liar.show("log", honest);
    let found = compare(&tiles(&liar), &older, &newer).await;
    assert!(matches!(found, Comparison::Consistent(_)), "{found:?}");

    drop(liar);
    let gone = TileClient::new(&Server::parse("http://127.0.0.1:1/log").unwrap()).unwrap();
    let found = compare(&gone, &older, &newer).await;
    assert!(
        matches!(found, Comparison::Unresponsive(ClientError::Unreachable { .. })),
        "{found:?}"
    );
}

#[test]
fn a_comparison_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let history = History::honest(2);
    let tiles = TileClient::new(&Server::parse("http://127.0.0.1:1").unwrap()).unwrap();
    let (older, newer) = (signed(history.head(1)), signed(history.head(2)));
    is_send(&compare(&tiles, &older, &newer));
}
