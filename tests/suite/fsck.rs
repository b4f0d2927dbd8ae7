//! `fsck` finds each thing that can be wrong with a log, and names the first entry that is.
//!
//! The damage is done with valid checksums: what the database or the web server itself would notice
//! is not what `fsck` is for.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use attestree::{
    client::{
        Server, TileClient, Trust,
        audit::{self, audit},
        trust_listed,
    },
    core::{
        bundle,
        hash::TreeHash,
        number::{LeafIndex, LogNumber, TreeSize, UnixMillis},
        origin::Origin,
        tile::Resource,
        tree::{Edge, Tile, TileId},
    },
    server::{
        self, Init, LogIdentity,
        fsck::{Directory, Finding},
        random::Random,
    },
    store::{IdentityKey, IdentityRow, LogRows, Store, StoreConfig},
};
use axum::{Router, extract::State, http::StatusCode, http::Uri};

use crate::served::{ORIGIN, Served};

/// Entries of the damaged logs: two full tiles and a partial one.
const ENTRIES: u64 = 600;

fn leaf(index: u64) -> LeafIndex {
    LeafIndex::new(index).unwrap()
}

fn size(size: u64) -> TreeSize {
    TreeSize::new(size).unwrap()
}

fn entries(from: u64, to: u64) -> Vec<String> {
    (from..to).map(|number| format!("entry {number}")).collect()
}

/// Writes a log of two batches, the second changed by `damage`, and checks the directory.
fn check(identity: LogIdentity, damage: impl Fn(&mut LogRows)) -> Result<u64, Finding> {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    make(&data, identity);
    write(&data, identity, damage);
    check_directory(&data).unwrap()
}

/// Makes a directory of one empty log.
fn make(data: &Path, identity: LogIdentity) {
    let origin = Origin::parse(ORIGIN).unwrap();
    let init = Init {
        data: data.to_owned(),
        watermark: None,
        origin,
        identity,
        key: None,
        rule: None,
        kek: None,
    };
    server::init(init, &mut Random::from_seed([1; 32])).unwrap();
}

/// Checks a directory of one log; an error is what can't be read.
fn check_directory(data: &Path) -> anyhow::Result<Result<u64, Finding>> {
    let logs = Directory::open(data)?.logs()?;
    assert_eq!(logs.len(), 1);
    Ok(logs[0].check(|_progress| {})?.map(|progress| progress.entries))
}

fn write(data: &Path, identity: LogIdentity, damage: impl Fn(&mut LogRows)) {
    let store = Store::open(&data.join("db"), &StoreConfig::default()).unwrap();
    let mut edge = Edge::empty();
    for (from, to) in [(0, 100), (100, ENTRIES)] {
        let entries = entries(from, to);
        let leaves: Vec<TreeHash> =
            entries.iter().map(|entry| TreeHash::leaf(entry.as_bytes())).collect();
        let integration = edge.append(&leaves);
        let identities = match identity {
            LogIdentity::None => Vec::new(),
            LogIdentity::EntryHash => (from..)
                .zip(&leaves)
                .map(|(index, tag)| {
                    let key = IdentityKey::entry_hash(LogNumber(0), tag);
                    (key, IdentityRow { index: leaf(index), tag: *tag })
                })
                .collect(),
        };
        let bytes = entries.iter().map(String::as_bytes);
        let at = UnixMillis(1);
        let mut rows =
            LogRows::encode(LogNumber(0), at, edge.head(), bytes, &integration, identities);
        if from > 0 {
            damage(&mut rows);
        }
        store.commit(&[&rows]).unwrap();
        edge = integration.edge;
    }
}

/// Encodes a segment of other entries.
fn segment(entries: &[&str]) -> Vec<u8> {
    let mut segment = Vec::new();
    for entry in entries {
        bundle::encode_entry(&mut segment, entry.as_bytes());
    }
    segment
}

#[test]
fn undamaged_directory_passes() {
    for identity in [LogIdentity::None, LogIdentity::EntryHash] {
        assert_eq!(check(identity, |_rows| {}), Ok(ENTRIES));
    }
}

#[test]
fn changed_entry_is_named_by_its_tile() {
    let found = check(LogIdentity::None, |rows| {
        // Segments of the second batch: [100, 256), [256, 512), [512, 600).
        let changed = entries(256, 512);
        let mut changed: Vec<&str> = changed.iter().map(String::as_str).collect();
        changed[44] = "entry 999";
        rows.segments[1].1 = segment(&changed);
    });
    let expected = TreeHash::leaf(b"entry 999");
    let found = found.unwrap_err();
    let Finding::Node { index, height: 0, position: 44, expected: computed, .. } = found else {
        panic!("{found}")
    };
    assert_eq!((index, computed), (leaf(300), expected));
}

#[test]
fn changed_entry_outside_full_tiles_is_found_by_the_root() {
    let found = check(LogIdentity::None, |rows| {
        let changed = entries(512, ENTRIES);
        let mut changed: Vec<&str> = changed.iter().map(String::as_str).collect();
        changed[3] = "entry 999";
        rows.segments[2].1 = segment(&changed);
    });
    assert!(matches!(found, Err(Finding::Root { .. })), "{found:?}");
}

#[test]
fn missing_and_cut_segments_name_the_first_entry_without_one() {
    let found = check(LogIdentity::None, |rows| drop(rows.segments.remove(1)));
    assert_eq!(found, Err(Finding::Gap { index: leaf(256), next: leaf(512) }));
    let found = check(LogIdentity::None, |rows| drop(rows.segments.remove(2)));
    assert_eq!(found, Err(Finding::End { index: leaf(512), size: size(ENTRIES) }));
    let found = check(LogIdentity::None, |rows| {
        rows.segments[2].1.pop();
    });
    assert!(
        matches!(found, Err(Finding::Segment { index, .. }) if index == leaf(599)),
        "{found:?}"
    );
    let found = check(LogIdentity::None, |rows| {
        let one = segment(&["one too many"]);
        rows.segments[2].1.extend(one);
    });
    assert_eq!(found, Err(Finding::Beyond { index: leaf(600), first: leaf(512) }));
    let found = check(LogIdentity::None, |rows| {
        rows.segments.push((leaf(ENTRIES), segment(&["behind the head"])));
    });
    assert_eq!(found, Err(Finding::Beyond { index: leaf(600), first: leaf(600) }));
}

#[test]
fn what_can_not_be_read_is_named_by_its_entry() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    make(&data, LogIdentity::None);
    write(&data, LogIdentity::None, |_rows| {});
    // Opening it writes what the write-ahead log holds to tables.
    drop(Store::open(&data.join("db"), &StoreConfig::default()).unwrap());
    let mut said = Vec::new();
    for file in fs::read_dir(data.join("db")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "sst") {
            continue;
        }
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        // The beginning of a table is its first block of rows.
        damaged[8] ^= 1;
        fs::write(&path, damaged).unwrap();
        said.extend(check_directory(&data).err().map(|error| format!("{error:#}")));
        fs::write(&path, whole).unwrap();
    }
    for wanted in ["entry 0: its segment can't be read", "entries from 0: their tile can't be read"]
    {
        assert!(said.iter().any(|error| error.contains(wanted)), "{wanted}: {said:#?}");
    }
    assert_eq!(check_directory(&data).unwrap(), Ok(ENTRIES));
}

#[test]
fn overlapping_segments_are_found() {
    let found = check(LogIdentity::None, |rows| {
        let second = segment(&["entry 550"]);
        rows.segments.push((leaf(550), second));
    });
    assert_eq!(found, Err(Finding::Overlap { index: leaf(550) }));
}

#[test]
fn every_hash_of_a_tile_is_compared() {
    // A leaf hash, and one node of each stored height.
    let mut at = 0;
    for (height, count) in [(0, 256), (4, 16), (5, 8), (6, 4), (7, 2), (8, 1)] {
        let found = check(LogIdentity::None, |rows| rows.tiles[1].1[(at + count - 1) * 32] ^= 1);
        let found = found.unwrap_err();
        let Finding::Node { index, tile, height: named, position, .. } = found else {
            panic!("{found}")
        };
        assert_eq!((tile, named, position), (TileId { level: 0, index: 1 }, height, count - 1));
        assert_eq!(
            index,
            leaf(256 + (u64::try_from(count).unwrap() - 1) * (256 / u64::try_from(count).unwrap()))
        );
        at += count;
    }
    assert_eq!(at * 32, Tile::ENCODED_BYTES);
}

#[test]
fn missing_and_extra_tiles_are_found() {
    let found = check(LogIdentity::None, |rows| drop(rows.tiles.remove(1)));
    assert_eq!(
        found,
        Err(Finding::NoTile { index: leaf(256), tile: TileId { level: 0, index: 1 } })
    );
    let found = check(LogIdentity::None, |rows| {
        let tile = rows.tiles[1].1.clone();
        rows.tiles.push((TileId { level: 0, index: 2 }, tile));
    });
    assert_eq!(found, Err(Finding::TileBeyond { tile: TileId { level: 0, index: 2 } }));
    let found = check(LogIdentity::None, |rows| {
        rows.tiles[0].1.pop();
    });
    assert!(matches!(found, Err(Finding::TileLength { bytes: 9_183, .. })), "{found:?}");
}

#[test]
fn head_row_is_compared() {
    let found = check(LogIdentity::None, |rows| rows.head.head.root = TreeHash::empty_root());
    assert!(matches!(found, Err(Finding::Root { .. })), "{found:?}");
    let found = check(LogIdentity::None, |rows| rows.head.head.size = size(ENTRIES + 1));
    assert_eq!(found, Err(Finding::End { index: leaf(600), size: size(601) }));
}

#[test]
fn identities_lead_to_their_entries() {
    let found = check(LogIdentity::EntryHash, |rows| drop(rows.identities.remove(200)));
    assert_eq!(found, Err(Finding::NoIdentity { index: leaf(300) }));
    let found = check(LogIdentity::EntryHash, |rows| rows.identities[200].1.index = leaf(301));
    assert_eq!(found, Err(Finding::NoIdentity { index: leaf(300) }));
    // An identity may lead to an earlier entry only if that is the same one.
    let found = check(LogIdentity::EntryHash, |rows| rows.identities[200].1.index = leaf(7));
    assert_eq!(found, Err(Finding::Identity { index: leaf(7) }));
    let found = check(LogIdentity::None, |rows| {
        let row = IdentityRow { index: leaf(ENTRIES), tag: TreeHash::leaf(b"entry 5") };
        rows.identities.push((IdentityKey::idempotency(LogNumber(0), b"", b"key"), row));
    });
    assert_eq!(found, Err(Finding::Identity { index: leaf(ENTRIES) }));
}

/// What a web server that lies does to a resource.
#[derive(Clone)]
enum Lie {
    /// Nothing.
    None,
    /// It flips a bit of the resource's byte.
    Flip(&'static str, usize),
    /// It does not have the resource.
    Missing(&'static str),
    /// It leaves the last byte out.
    Cut(&'static str),
}

/// A web server between the log and its reader.
struct Proxy {
    upstream: String,
    lie: Mutex<Lie>,
    http: reqwest::Client,
}

async fn relay(State(proxy): State<Arc<Proxy>>, uri: Uri) -> Result<Vec<u8>, StatusCode> {
    let path = uri.path().trim_start_matches('/');
    let answer = proxy.http.get(format!("{}/{path}", proxy.upstream)).send().await.unwrap();
    if !answer.status().is_success() {
        return Err(StatusCode::NOT_FOUND);
    }
    let mut bytes = answer.bytes().await.unwrap().to_vec();
    match proxy.lie.lock().unwrap().clone() {
        Lie::Flip(of, at) if of == path => bytes[at] ^= 1,
        Lie::Missing(of) if of == path => return Err(StatusCode::NOT_FOUND),
        Lie::Cut(of) if of == path => drop(bytes.pop()),
        Lie::None | Lie::Flip(..) | Lie::Missing(_) | Lie::Cut(_) => {}
    }
    Ok(bytes)
}

/// Serves a log of 600 entries through a proxy and audits it under each lie.
async fn audited(lies: &[Lie]) -> Vec<Result<audit::Progress, audit::Finding>> {
    let served = Served::start();
    let url = served.url("");
    let server = Server::parse(&url).unwrap();
    let client = attestree::client::Client::connect(&server, None, None).await.unwrap();
    let batch = entries(0, ENTRIES)
        .into_iter()
        .map(|entry| attestree::client::NewEntry { bytes: entry.into(), key: bytes::Bytes::new() });
    client.append_batch(batch.collect()).await.unwrap();

    let http = server.http().unwrap();
    let proxy = Arc::new(Proxy { upstream: url, lie: Mutex::new(Lie::None), http });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(relay).with_state(Arc::clone(&proxy));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await });

    let tiles = TileClient::new(&Server::parse(&format!("http://{address}")).unwrap()).unwrap();
    let trust = Trust::new(trust_listed(&served.vkeys), Origin::parse(ORIGIN).unwrap());
    let checkpoint = tiles.checkpoint(&trust).await.unwrap();
    let mut found = Vec::new();
    for lie in lies {
        *proxy.lie.lock().unwrap() = lie.clone();
        found.push(audit(&tiles, &checkpoint, |_progress| {}).await.unwrap());
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_lie_of_a_web_server_is_found_where_it_is() {
    // Entry n has 2 + len("entry n") bytes; 7 + 2 for one digit, 8 + 2 for two, 9 + 2 for three.
    let entry_300 = (300 - 256) * 11 + 8;
    let found = audited(&[
        Lie::None,
        Lie::Flip("tile/entries/001", entry_300),
        Lie::Flip("tile/0/001", 44 * 32),
        Lie::Flip("tile/1/000.p/2", 32),
        Lie::Flip("tile/entries/002.p/88", 1),
        Lie::Missing("tile/entries/000"),
        Lie::Missing("tile/0/002.p/88"),
        Lie::Cut("tile/0/001"),
        Lie::Cut("tile/entries/001"),
    ])
    .await;
    assert!(
        matches!(&found[0], Ok(done) if (done.entries, done.tiles) == (ENTRIES, 4)),
        "{:?}",
        found[0]
    );
    assert!(
        matches!(&found[1], Err(audit::Finding::Leaf { index, .. }) if *index == leaf(300)),
        "{:?}",
        found[1]
    );
    assert!(
        matches!(&found[2], Err(audit::Finding::Leaf { index, .. }) if *index == leaf(300)),
        "{:?}",
        found[2]
    );
    assert!(
        matches!(&found[3], Err(audit::Finding::Node { index, position: 1, .. }) if *index == leaf(256)),
        "{:?}",
        found[3]
    );
    assert!(
        matches!(&found[4], Err(audit::Finding::Bundle { index, .. }) if *index >= leaf(512)),
        "{:?}",
        found[4]
    );
    let missing = |index, resource| {
        Err(audit::Finding::Missing { index: leaf(index), resource, status: 404 })
    };
    assert_eq!(found[5], missing(0, Resource::Entries { index: 0, width: 256 }));
    assert_eq!(found[6], missing(512, Resource::Tile { level: 0, index: 2, width: 88 }));
    assert!(
        matches!(&found[7], Err(audit::Finding::Length { index, .. }) if *index == leaf(256)),
        "{:?}",
        found[7]
    );
    assert!(
        matches!(&found[8], Err(audit::Finding::Bundle { index, .. }) if *index == leaf(511)),
        "{:?}",
        found[8]
    );
}
