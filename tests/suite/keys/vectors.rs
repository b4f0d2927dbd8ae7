//! The rows of the key store are those that an independent script makes from the manual.

use std::path::PathBuf;

use attestree::core::number::LogNumber;
use attestree::core::origin::Origin;
use attestree::core::record::{KeyPurpose, Path, Secret};
use attestree::store::keys::KeyStore;
use rocksdb::{DB, IteratorMode, Options};
use serde_json::Value as Json;

use super::seeded;

fn vectors() -> Vec<Json> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/record/kept-key.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn bytes(vector: &Json, name: &str) -> Vec<u8> {
    decode(vector[name].as_str().unwrap_or_else(|| panic!("{vector} has no {name}")))
}

fn decode(text: &str) -> Vec<u8> {
    let digits = (0..text.len()).step_by(2);
    digits.map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn secret(vector: &Json, name: &str) -> Secret {
    Secret::new(bytes(vector, name).try_into().unwrap())
}

/// Writes the rows of the script into an empty key store, past the store.
fn scripted() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("keys");
    let kek = Box::new(secret(&vectors()[0], "kek"));
    drop(KeyStore::create(&dir, kek, seeded(1)).unwrap());
    let db = DB::open(&Options::default(), &dir).unwrap();
    for vector in vectors() {
        db.put(bytes(&vector, "stored"), bytes(&vector, "row")).unwrap();
        if vector["found"].is_string() {
            db.put(bytes(&vector, "found"), bytes(&vector, "found_row")).unwrap();
        }
    }
    (root, dir)
}

#[test]
fn keys_of_the_script_are_found_by_what_they_are_for() {
    let (_root, dir) = scripted();
    let first = &vectors()[0];
    let kek = Secret::parse(first["text"].as_str().unwrap()).unwrap();
    assert_eq!(kek.format().as_str(), first["text"].as_str().unwrap());
    assert_eq!(kek.id().as_bytes().to_vec(), bytes(first, "kek_id"));
    let store = KeyStore::open_read_only(&dir, Box::new(kek)).unwrap();
    let mut kinds = Vec::new();
    for vector in vectors() {
        let log = LogNumber(u32::try_from(vector["log"].as_u64().unwrap()).unwrap());
        kinds.push(vector["kind"].as_str().unwrap().to_owned());
        let found = match kinds.last().unwrap().as_str() {
            "identity" => store.identity_secret(log).unwrap(),
            "subject" => {
                let origin = Origin::parse(vector["origin"].as_str().unwrap()).unwrap();
                let subject = vector["subject"].as_str().unwrap();
                let key = store.subject_keys(log, &origin, &[subject]).unwrap().remove(0);
                assert_eq!(store.subject_key(log, key.id()).unwrap(), Some(key.clone()));
                key
            }
            "token" => {
                let path = Path::parse(vector["path"].as_str().unwrap()).unwrap();
                let epoch = u32::try_from(vector["epoch"].as_u64().unwrap()).unwrap();
                store.token_key(log, &path, epoch).unwrap()
            }
            _ => continue,
        };
        assert_eq!(found, secret(&vector, "key"), "{vector}");
    }
    assert_eq!(kinds, ["store", "identity", "subject", "subject", "token"]);
}

/// Randomness that was written down.
struct Told(Vec<u8>);

impl attestree::store::keys::Entropy for Told {
    fn fill(&mut self, bytes: &mut [u8]) {
        let rest = self.0.split_off(bytes.len());
        bytes.copy_from_slice(&std::mem::replace(&mut self.0, rest));
    }
}

#[test]
fn rows_are_written_as_by_the_script() {
    for vector in vectors().iter().filter(|vector| vector["kind"] == "subject") {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("keys");
        let nonces: Vec<Vec<u8>> = vector["nonces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| decode(n.as_str().unwrap()))
            .collect();
        let made = [bytes(vector, "names"), nonces[0].clone()].concat();
        drop(
            KeyStore::create(&dir, Box::new(secret(vector, "kek")), Box::new(Told(made))).unwrap(),
        );
        let drawn = [bytes(vector, "key"), nonces[0].clone(), nonces[1].clone()].concat();
        let store =
            KeyStore::open(&dir, Box::new(secret(vector, "kek")), Box::new(Told(drawn))).unwrap();
        let origin = Origin::parse(vector["origin"].as_str().unwrap()).unwrap();
        let subject = vector["subject"].as_str().unwrap();
        store.subject_keys(LogNumber(7), &origin, &[subject]).unwrap();
        drop(store);

        let db = DB::open_for_read_only(&Options::default(), &dir, false).unwrap();
        let rows: Vec<(Vec<u8>, Vec<u8>)> = db
            .iterator(IteratorMode::Start)
            .map(|row| row.map(|(key, row)| (key.into(), row.into())).unwrap())
            .collect();
        let wanted = vec![
            (vec![0], vec![0, 0, 0, 1]),
            (bytes(&vectors()[0], "stored"), bytes(&vectors()[0], "row")),
            (bytes(vector, "stored"), bytes(vector, "row")),
            (bytes(vector, "found"), bytes(vector, "found_row")),
        ];
        assert_eq!(rows, wanted);
    }
}

#[test]
fn purposes_do_not_stand_for_each_other() {
    let (kek, key) = (Secret::new([1; 32]), Secret::new([2; 32]));
    let (one, other) = (super::origin(), Origin::parse("log.example/other").unwrap());
    let purposes = [
        KeyPurpose::Names,
        KeyPurpose::Identity { log: LogNumber(0) },
        KeyPurpose::Identity { log: LogNumber(1) },
        KeyPurpose::Token { log: LogNumber(0), epoch: 0, path: "/ctx/a" },
        KeyPurpose::Token { log: LogNumber(0), epoch: 0, path: "/ctx/b" },
        KeyPurpose::Token { log: LogNumber(0), epoch: 1, path: "/ctx/a" },
        KeyPurpose::Token { log: LogNumber(1), epoch: 0, path: "/ctx/a" },
        KeyPurpose::Subject { origin: &one, subject: "subject/a" },
        KeyPurpose::Subject { origin: &one, subject: "subject/b" },
        KeyPurpose::Subject { origin: &other, subject: "subject/a" },
    ];
    for (at, purpose) in purposes.iter().enumerate() {
        let wrapped = kek.wrap(purpose, &key, [3; 12]);
        for (tried, other) in purposes.iter().enumerate() {
            assert_eq!(kek.unwrap_key(other, &wrapped).is_ok(), tried == at, "{other:?}");
        }
    }
}
