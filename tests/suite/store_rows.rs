//! Every stored byte: a change here is a change of the format and needs a version.

use attestree::{
    core::{
        hash::TreeHash,
        number::{LeafIndex, LogNumber, UnixMillis},
        tree::TreeHead,
    },
    store::{
        Extra, Fault, HeadRow, IdentityKey, IdentityRow, LogIdentity, LogKind, LogRow, LogState,
        SourceKey, Store, StoreConfig,
    },
};

use crate::store_world::{FAMILIES, Shelf, entry, log_row, raw, rows, size};

/// Bytes as lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal text, without its spaces.
fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The first 8 bytes of the SHA-256 of a row's other bytes.
fn sum(bytes: &[u8]) -> Vec<u8> {
    TreeHash::digest(bytes).as_bytes()[..8].to_vec()
}

/// The vkey of the key whose seed is 32 times 7, under the name `log.example/0`.
const VKEY: &str = "log.example/0+a018dab5+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";

#[test]
fn log_row_vector() {
    let row = log_row(LogNumber(0));
    assert_eq!(row.vkeys[0].to_string(), VKEY);
    let mut expected = unhex("01 01 01 01 0000019e70448800 0d");
    expected.extend(b"log.example/0");
    expected.extend(unhex("0001"));
    expected.extend(u16::try_from(VKEY.len()).unwrap().to_be_bytes());
    expected.extend(VKEY.as_bytes());
    expected.extend(sum(&expected));
    assert_eq!(hex(&row.encode()), hex(&expected));

    let other = LogRow {
        kind: LogKind::Audit,
        state: LogState::Closed,
        identity: LogIdentity::EntryHash,
        vkeys: Vec::new(),
        ..row
    };
    let mut expected = unhex("01 02 02 02 0000019e70448800 0d");
    expected.extend(b"log.example/0");
    expected.extend(unhex("0000"));
    expected.extend(sum(&expected));
    assert_eq!(hex(&other.encode()), hex(&expected));
}

#[test]
fn log_row_round_trips_and_nothing_else_decodes() {
    let mut row = log_row(LogNumber(0));
    row.vkeys.push(log_row(LogNumber(1)).vkeys[0].clone());
    let bytes = row.encode();
    let decoded = LogRow::decode(LogNumber(0), &bytes).unwrap();
    assert_eq!(decoded.encode(), bytes);
    assert_eq!(decoded.origin, row.origin);

    let (body, _) = bytes.split_at(bytes.len() - 8);
    for cut in 0..body.len() {
        let mut short = body[..cut].to_vec();
        short.extend(sum(&short));
        assert!(LogRow::decode(LogNumber(0), &short).is_err(), "cut to {cut} bytes");
    }
    let mut long = body.to_vec();
    long.push(0);
    long.extend(sum(&long));
    assert_eq!(LogRow::decode(LogNumber(0), &long).unwrap_err(), Fault::Length { bytes: 1 });
    for (at, value, fault) in [
        (0, 2, Fault::Version { version: 2 }),
        (1, 0, Fault::Content),
        (1, 3, Fault::Content),
        (2, 0, Fault::Content),
        (3, 3, Fault::Content),
        (13, b'/', Fault::Content),
    ] {
        let mut bad = body.to_vec();
        bad[at] = value;
        bad.extend(sum(&bad));
        assert_eq!(LogRow::decode(LogNumber(0), &bad).unwrap_err(), fault, "byte {at}");
    }
}

#[test]
fn head_row_vector() {
    let row = HeadRow {
        head: TreeHead { size: size(0x0102), root: TreeHash::from_bytes([0xaa; 32]) },
        previous: TreeHead { size: size(1), root: TreeHash::from_bytes([0xbb; 32]) },
        at: UnixMillis(0x0304),
    };
    let mut expected = unhex("01 0000000000000102");
    expected.extend([0xaa; 32]);
    expected.extend(unhex("0000000000000001"));
    expected.extend([0xbb; 32]);
    expected.extend(unhex("0000000000000304"));
    assert_eq!(hex(&sum(&expected)), "9e691bc6cd3c8254");
    expected.extend(sum(&expected));
    assert_eq!(hex(&row.encode()), hex(&expected));
    assert_eq!(expected.len(), HeadRow::ENCODED_BYTES);
    assert_eq!(HeadRow::decode(&expected).unwrap(), row);

    for at in 0..expected.len() {
        let mut bad = expected.clone();
        bad[at] ^= 0x10;
        assert!(HeadRow::decode(&bad).is_err(), "byte {at}");
        assert!(HeadRow::decode(&expected[..at]).is_err(), "cut to {at} bytes");
    }
}

#[test]
fn head_row_that_goes_back_does_not_decode() {
    let head =
        |number, byte| TreeHead { size: size(number), root: TreeHash::from_bytes([byte; 32]) };
    let at = UnixMillis(0);
    for (head, previous) in [(head(1, 0), head(2, 0)), (head(2, 0), head(2, 1))] {
        let bytes = HeadRow { head, previous, at }.encode();
        assert_eq!(HeadRow::decode(&bytes).unwrap_err(), Fault::Content);
    }
}

#[test]
fn identity_vectors() {
    let log = LogNumber(0x0102_0304);
    let digest = hex(TreeHash::digest(b"key").as_bytes());
    let key = IdentityKey::idempotency(log, b"alice", b"key");
    assert_eq!(hex(key.as_bytes()), format!("01020304 01 05 616c696365 {digest}").replace(' ', ""));
    let key = IdentityKey::idempotency(log, b"", b"key");
    assert_eq!(hex(key.as_bytes()), format!("01020304 01 00 {digest}").replace(' ', ""));
    assert_eq!(key.log(), Some(log));
    assert_eq!(key.leaf_hash(), None);
    let tag = TreeHash::from_bytes([0xdd; 32]);
    let both = [TreeHash::digest(b"key").as_bytes().as_slice(), tag.as_bytes()].concat();
    let counted = format!("01020304 03 00 {}", hex(TreeHash::digest(&both).as_bytes()));
    assert_eq!(hex(key.counted(&tag).as_bytes()), counted.replace(' ', ""));
    assert!(key.counted(&tag).is_counted() && !key.is_counted());

    let leaf = TreeHash::from_bytes([0xcc; 32]);
    let key = IdentityKey::entry_hash(log, &leaf);
    assert_eq!(hex(key.as_bytes()), format!("01020304 02 00 {}", "cc".repeat(32)).replace(' ', ""));
    assert_eq!(key.leaf_hash(), Some(leaf));

    // A principal of 254 bytes is kept, a longer one as its hash; no two of them collide.
    let kept = IdentityKey::idempotency(log, &[b'p'; 254], b"key");
    assert_eq!(kept.as_bytes().len(), 4 + 2 + 254 + 32);
    assert_eq!(kept.as_bytes()[5], 254);
    let hashed = IdentityKey::idempotency(log, &[b'p'; 255], b"key");
    assert_eq!(hashed.as_bytes().len(), 4 + 2 + 32 + 32);
    assert_eq!(hashed.as_bytes()[5], 255);
    let twin = IdentityKey::idempotency(log, TreeHash::digest(&[b'p'; 255]).as_bytes(), b"key");
    assert_ne!(hashed, twin);

    let row = IdentityRow { index: LeafIndex::new(0x0506).unwrap(), tag: leaf };
    assert_eq!(hex(&row.encode()), format!("0000000000000506{}", "cc".repeat(32)));
    assert_eq!(IdentityRow::decode(&row.encode()), Some(row));
    assert_eq!(IdentityRow::decode(&row.encode()[..39]), None);
    assert_eq!(IdentityRow::decode(&[row.encode().as_slice(), &[0]].concat()), None);
    assert_eq!(IdentityRow::decode(&[0xff; 40]), None);
}

#[test]
fn keys_and_rows_of_a_small_log() {
    let mut shelf = Shelf::new();
    shelf.append(&[b"a".to_vec(), b"bc".to_vec()]);
    shelf.append(&(2..257).map(|_| b"d".to_vec()).collect::<Vec<_>>());
    shelf.store().halt(shelf.log, "why").unwrap();

    let mut found = Vec::new();
    shelf
        .tamper(|db| {
            for family in FAMILIES {
                found.extend(
                    rows(db, family).into_iter().map(|(key, row)| (family, hex(&key), row)),
                );
            }
        })
        .unwrap();
    let keys: Vec<_> = found.iter().map(|(family, key, _)| (*family, key.as_str())).collect();
    let identity = |bytes: &[u8]| format!("000000000200{}", hex(TreeHash::leaf(bytes).as_bytes()));
    let mut identities = [identity(b"a"), identity(b"bc"), identity(b"d")];
    identities.sort();
    let expected = [
        ("meta", "00"),
        ("meta", "0100000000"),
        ("meta", "0200000000"),
        ("head", "00000000"),
        ("entry", "000000000000000000000000"),
        ("entry", "000000000000000000000002"),
        ("entry", "000000000000000000000100"),
        ("tile", "00000000000000000000010000"),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .chain(identities.iter().map(|key| ("identity", key.as_str())))
        .collect();
    assert_eq!(keys, expected);

    let row = |position: usize| hex(&found[position].2);
    assert_eq!(row(0), "00000001");
    assert_eq!(row(2), format!("01776879{}", hex(&sum(b"\x01why"))));
    assert_eq!(row(4), "00016100026263");
    assert_eq!(row(5), "000164".repeat(254));
    assert_eq!(row(6), "000164");
    let tile = &found[7].2;
    assert_eq!(tile.len(), 9_184);
    assert_eq!(tile[..32], *TreeHash::leaf(b"a").as_bytes());
    let first = found.iter().find(|(_, key, _)| *key == identity(b"a")).unwrap();
    assert_eq!(hex(&first.2), format!("0000000000000000{}", hex(TreeHash::leaf(b"a").as_bytes())));
}

#[test]
fn log_rows_are_read_in_the_order_of_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::init(&dir.path().join("db"), &StoreConfig::default()).unwrap();
    for number in [0, 255, 256, 70_000, u32::MAX] {
        store.create_log(&log_row(LogNumber(number))).unwrap();
    }
    let numbers: Vec<_> = store.logs().unwrap().into_iter().map(|row| row.number.0).collect();
    assert_eq!(numbers, [0, 255, 256, 70_000, u32::MAX]);
    for number in numbers {
        store.recover(LogNumber(number), None).unwrap();
        assert_eq!(store.tiles(LogNumber(number)).count(), 0);
    }
}

/// A key of the log that a shelf holds.
fn source(rest: &[u8]) -> SourceKey {
    SourceKey { log: LogNumber(0), kind: 2, rest: rest.to_vec() }
}

#[test]
fn rows_beside_the_log_are_written_with_its_entries() {
    let mut shelf = Shelf::grown(3, 3);
    let (mut batch, _) = shelf.rows(&[entry(3)]);
    let disclosure = unhex("00000000 0000000000000003 0000");
    batch.extra = vec![
        (Extra::Disclosure, disclosure.clone(), vec![1, 2, 3]),
        (Extra::Source, source(b"CN=a").encode(), SourceKey::row(&[7])),
    ];
    shelf.store().commit(&[&batch]).unwrap();
    shelf.reopen();
    assert_eq!(shelf.store().sources(LogNumber(0)).unwrap(), [(source(b"CN=a"), vec![7])]);
    assert!(shelf.store().sources(LogNumber(1)).unwrap().is_empty());
    let (dir, _files) = shelf.close();
    let db = raw(&dir);
    assert_eq!(rows(&db, "disclosure"), [(disclosure, vec![1, 2, 3])]);
    let row = [&[1, 7], sum(&[1, 7]).as_slice()].concat();
    assert_eq!(rows(&db, "source"), [(unhex("00000000 02 434e3d61"), row)]);
}

#[test]
fn store_made_before_there_were_records_gets_their_families() {
    let mut shelf = Shelf::grown(300, 100);
    let head = shelf.head();
    let (dir, _files) = core::mem::replace(&mut shelf, Shelf::new()).close();
    let mut db = raw(&dir);
    db.drop_cf("disclosure").unwrap();
    db.drop_cf("source").unwrap();
    drop(db);
    let config = StoreConfig::default();
    // Who only reads leaves it as it is, and finds nothing in them.
    let store = Store::open_read_only(&dir, &config).unwrap();
    assert!(store.sources(LogNumber(0)).unwrap().is_empty());
    store.stats().unwrap();
    assert_eq!(store.head(LogNumber(0)).unwrap().unwrap().head, head);
    drop(store);
    let store = Store::open(&dir, &config).unwrap();
    assert_eq!(store.recover(LogNumber(0), Some(head)).unwrap().edge.head(), head);
    drop(store);
    assert_eq!(rows(&raw(&dir), "source"), []);
}
