//! The client returns what is proved, or nothing.

use std::{fs, path::Path};

use attestree::{
    client::{
        Client, ClientError, NewEntry, Server, TileClient, TileTree, Trust, Untrue, server::Tls,
        trust_listed,
    },
    core::{
        evidence::Judgement,
        hash::TreeHash,
        note::{KeyName, SignedNote, SigningKey},
        number::{LeafIndex, TreeSize},
        origin::Origin,
        tree::{TreeHead, verify_inclusion},
    },
    proto::{Answer, AppendBatchRequest, AppendRequest},
    server::{LogIdentity, config::RawConfig},
};
use bytes::Bytes;
use prost::Message;
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::served::{ORIGIN, Served};

fn leaf(index: u64) -> LeafIndex {
    LeafIndex::new(index).unwrap()
}

fn entry(text: impl Into<String>) -> NewEntry {
    NewEntry { bytes: text.into().into(), key: Bytes::new() }
}

fn trust(served: &Served) -> Trust {
    Trust::new(trust_listed(&served.vkeys), Origin::parse(ORIGIN).unwrap())
}

async fn connect(served: &Served) -> Client {
    let server = Server::parse(&served.url("")).unwrap();
    Client::connect(&server, None, Some(trust_listed(&served.vkeys))).await.unwrap()
}

/// Appends entries `n`, `n + 1`, ... in batches as large as they may be.
async fn fill(client: &Client, from: u64, to: u64) {
    let all: Vec<NewEntry> = (from..to).map(|number| entry(format!("entry {number}"))).collect();
    for batch in all.chunks(4_096) {
        client.append_batch(batch.to_vec()).await.unwrap();
    }
}

/// Calls `check` with each message that differs from `message` in one bit and still decodes.
fn each_flipped_bit<M: Message + Default>(message: &M, mut check: impl FnMut(usize, M)) -> usize {
    let bytes = message.encode_to_vec();
    let mut checked = 0;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(changed) = M::decode(flipped.as_slice()) {
            check(bit, changed);
            checked += 1;
        }
    }
    checked
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_bit_of_a_receipt_is_flipped_the_answer_is_true_or_refused() {
    let served = Served::start();
    let client = connect(&served).await;
    fill(&client, 0, 300).await;
    let request = AppendRequest {
        entry: "the entry".into(),
        answer: Answer::Receipt.into(),
        ..AppendRequest::default()
    };
    let answer = served.client().await.append(request).await.unwrap().into_inner();
    let hash = TreeHash::leaf(b"the entry");
    let appended = client.appended(hash, &answer).unwrap();
    assert_eq!((appended.index, appended.duplicate), (leaf(300), false));
    verify_inclusion(&hash, leaf(300), &appended.checkpoint.head(), &appended.proof).unwrap();

    let checked = each_flipped_bit(&answer, |bit, changed| {
        if let Ok(found) = client.appended(hash, &changed) {
            assert_eq!((found.index, &found.proof), (appended.index, &appended.proof), "bit {bit}");
            assert_eq!(found.checkpoint.head(), appended.checkpoint.head(), "bit {bit}");
        }
    });
    assert!(checked > 1_000, "only {checked} changes decoded");
    let other = TreeHash::leaf(b"another entry");
    assert!(matches!(client.appended(other, &answer), Err(Untrue::Proof { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_bit_of_a_batch_is_flipped_the_answer_is_true_or_refused() {
    let served = Served::with(&[(ORIGIN, LogIdentity::EntryHash)], RawConfig::default());
    let client = connect(&served).await;
    fill(&client, 0, 300).await;
    // New entries, one of them twice, and two that were there before.
    let texts = ["a", "entry 7", "b", "a", "entry 280", "c", "entry 7"];
    let request = AppendBatchRequest {
        entries: texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect(),
        answer: Answer::Receipt.into(),
        ..AppendBatchRequest::default()
    };
    let answer = served.client().await.append_batch(request).await.unwrap().into_inner();
    let leaves: Vec<TreeHash> = texts.iter().map(|text| TreeHash::leaf(text.as_bytes())).collect();
    let placed = client.placed(&leaves, &answer).unwrap();
    let indices: Vec<u64> = placed.places.iter().map(|place| place.index.get()).collect();
    assert_eq!(indices, [300, 7, 301, 300, 280, 302, 7]);
    let duplicates: Vec<bool> = placed.places.iter().map(|place| place.duplicate).collect();
    assert_eq!(duplicates, [false, true, false, true, true, false, true]);

    let policy = trust_listed(&served.vkeys);
    let receipt = placed.receipt(leaf(301)).unwrap();
    receipt.verify(b"b", &policy).unwrap();
    assert_eq!(placed.receipt(leaf(7)), None, "what was there before is not of the batch");

    let checked = each_flipped_bit(&answer, |bit, changed| {
        if let Ok(found) = client.placed(&leaves, &changed) {
            assert_eq!(found.places, placed.places, "bit {bit}");
        }
    });
    assert!(checked > 1_000, "only {checked} changes decoded");
    let mut shorter = leaves.clone();
    shorter.pop();
    client.placed(&shorter, &answer).unwrap_err();
    let mut swapped = leaves.clone();
    swapped.swap(0, 2);
    client.placed(&swapped, &answer).unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_answers_in_order_and_goes_on_after_a_refusal() {
    let served = Served::start();
    let client = connect(&served).await;
    let entries = (0..1_000).map(|number| match number {
        500 => entry(""),
        number => entry(format!("entry {number}")),
    });
    let answers = client.append_stream(tokio_stream::iter(entries)).await.unwrap();
    let answers: Vec<_> = answers.collect().await;
    assert_eq!(answers.len(), 1_000);
    let mut next = 0;
    for (number, answer) in answers.into_iter().enumerate() {
        match answer.unwrap() {
            Ok(appended) => {
                assert_eq!(appended.index, leaf(next));
                assert_eq!(
                    appended.leaf_hash,
                    TreeHash::leaf(format!("entry {number}").as_bytes())
                );
                next += 1;
            }
            Err(refused) => assert_eq!((number, refused.code), (500, Code::InvalidArgument)),
        }
    }
    assert_eq!(next, 999);
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_checkpoints_continue_one_another() {
    let served = Served::start();
    let client = connect(&served).await;
    let mut watch = client.watch().await.unwrap();
    let mut sizes = Vec::new();
    for number in 0..5 {
        sizes.push(watch.next().await.unwrap().unwrap().head().size.get());
        client.append(entry(format!("entry {number}"))).await.unwrap();
    }
    assert_eq!(sizes, [0, 1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_read_back_proved() {
    let served = Served::start();
    let client = connect(&served).await;
    fill(&client, 0, 5_000).await;
    let mut read = Vec::new();
    client
        .read(leaf(100), leaf(4_900), |index, bytes| read.push((index, bytes.to_vec())))
        .await
        .unwrap();
    let expected =
        (100..4_900).map(|number| (leaf(number), format!("entry {number}").into_bytes()));
    assert!(read.into_iter().eq(expected));
    assert_eq!(client.entry(leaf(77)).await.unwrap().bytes, "entry 77");
    let refused = client.entry(leaf(5_000)).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(refused) if refused.code == Code::OutOfRange));
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_give_the_same_proofs_as_grpc() {
    let served = Served::start();
    let client = connect(&served).await;
    let tiles = TileClient::new(&Server::parse(&served.url("")).unwrap()).unwrap();
    let (trust, mut filled) = (trust(&served), 0);
    // One tile level, its edges, and a third level.
    for size in [1, 2, 255, 256, 257, 1_000, 65_535, 65_536, 65_537, 66_000] {
        fill(&client, filled, size).await;
        let old = client.checkpoint().await.unwrap().head();
        filled = size;
        let checkpoint = tiles.checkpoint(&trust).await.unwrap();
        assert_eq!(checkpoint.head(), old);
        let tree = TileTree::open(&tiles, &checkpoint).await.unwrap();
        let indices = [0, 1, 254, 255, 256, 511, 12_345, 65_279, 65_280, 65_535, 65_536, size - 1];
        for index in indices.into_iter().filter(|index| *index < size) {
            let (hash, receipt) = tree.receipt(leaf(index)).await.unwrap();
            let inclusion = client.prove_inclusion_at(leaf(index), &checkpoint).await.unwrap();
            assert_eq!(
                (hash, receipt),
                (inclusion.leaf_hash, inclusion.receipt()),
                "{index} of {size}"
            );
            let bytes = tree.entry(leaf(index)).await.unwrap();
            assert_eq!(bytes, format!("entry {index}"), "{index} of {size}");
        }
        for old in [1, 2, 255, 256, 257, 1_000, 65_535, 65_536, 65_537, size] {
            if old > size {
                continue;
            }
            let old = TreeSize::new(old).unwrap();
            let head = TreeHead { size: old, root: tree.root_at(old).await.unwrap() };
            let proof = tree.consistency(old).await.unwrap();
            assert_eq!(
                proof,
                client.prove_consistency(&head).await.unwrap().proof,
                "{old} to {size}"
            );
        }
        assert!(matches!(tree.receipt(leaf(size)).await, Err(ClientError::Ask(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_is_not_believed() {
    let served = Served::start();
    let server = Server::parse(&served.url("")).unwrap();
    let key = SigningKey::from_seed(KeyName::parse(ORIGIN).unwrap(), &[9; 32]);
    let policy = trust_listed(&[key.verifier_key().clone()]);
    let client = Client::connect(&server, None, Some(policy)).await.unwrap();
    let refused = client.checkpoint().await.unwrap_err();
    assert!(refused.is_untrue(), "{refused}");
    let refused = client.append(entry("entry")).await.unwrap_err();
    assert!(refused.is_untrue(), "{refused}");
}

#[test]
fn two_trees_of_one_size_are_a_split_view() {
    let key = SigningKey::from_seed(KeyName::parse(ORIGIN).unwrap(), &[3; 32]);
    let origin = Origin::parse(ORIGIN).unwrap();
    let trust = Trust::new(trust_listed(&[key.verifier_key().clone()]), origin);
    let note = |size: u64, root: TreeHash| {
        let text = format!("{ORIGIN}\n{size}\n{root}\n");
        let signature = key.sign(&text);
        SignedNote::new(text, vec![signature]).unwrap().to_string().into_bytes()
    };
    let [first, second] = [b"first", b"other"].map(|entry| TreeHash::leaf(entry));
    trust.verify(&note(1, first)).unwrap();
    trust.verify(&note(1, first)).unwrap();
    let found = trust.verify(&note(1, second)).unwrap_err();
    assert_eq!(found.to_string(), "the log signed two different trees of 1 entries");
    let Untrue::SplitView { evidence } = found else { panic!("{found}") };
    assert_eq!(evidence.notes(), [&note(1, first), &note(1, second)]);
    assert!(matches!(evidence.judge(trust.policy()), Judgement::Guilty { .. }));

    // A newer tree is remembered in the place of the older.
    trust.verify(&note(2, second)).unwrap();
    assert!(matches!(trust.verify(&note(2, first)), Err(Untrue::SplitView { .. })));
    trust.verify(&note(1, first)).unwrap();
}

/// Writes a certificate authority, and a certificate of it for `localhost` with its key.
fn certificates(dir: &Path, name: &str) -> [String; 3] {
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let pems = [authority.pem(), certificate.pem(), key.serialize_pem()];
    for (kind, pem) in ["ca", "cert", "key"].iter().zip(&pems) {
        let path = dir.join(format!("{name}.{kind}"));
        fs::write(&path, pem).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    pems
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_serves_grpc_and_tiles_to_whom_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let [ca, ..] = certificates(dir.path(), "server");
    let [_, cert, key] = certificates(dir.path(), "client");
    let path = |name: &str| Some(dir.path().join(name));
    let raw = RawConfig {
        tls_certificate: path("server.cert"),
        tls_key: path("server.key"),
        tls_client_ca: path("client.ca"),
        ..RawConfig::default()
    };
    let served = Served::with(&[(ORIGIN, LogIdentity::None)], raw);
    let url = format!("https://localhost:{}", served.address().port());
    let ca = Some(ca.into_bytes());
    let identity = Some((cert.into_bytes(), key.into_bytes()));
    let known = Server::parse(&url).unwrap().with_tls(Tls { ca: ca.clone(), identity });
    let client = Client::connect(&known, None, None).await.unwrap();
    client.append(entry("over TLS")).await.unwrap();
    let tiles = TileClient::new(&known).unwrap();
    assert_eq!(tiles.checkpoint(client.trust()).await.unwrap().head().size.get(), 1);

    let stranger = Server::parse(&url).unwrap().with_tls(Tls { ca, identity: None });
    let refused = Client::connect(&stranger, None, None).await.unwrap_err();
    assert!(matches!(refused, ClientError::Unreachable { .. }), "{refused}");
    let refused = TileClient::new(&stranger).unwrap().checkpoint(client.trust()).await.unwrap_err();
    assert!(matches!(refused, ClientError::Unreachable { .. }), "{refused}");
    let doubtful = Server::parse(&url).unwrap();
    let refused = Client::connect(&doubtful, None, None).await.unwrap_err();
    assert!(matches!(refused, ClientError::Unreachable { .. }), "{refused}");
}
