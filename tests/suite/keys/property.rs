//! Sealed fields open in their place alone, and nothing that is random comes twice.

use std::collections::HashSet;

use attestree::core::number::{LeafIndex, LogNumber, UnixMillis};
use attestree::core::origin::Origin;
use attestree::core::record::{
    Disclosed, KeyId, Opening, Path, Place, RecordId, Salt, SealError, Secret,
};
use proptest::{collection::vec, prelude::*};
use zeroize::Zeroizing;

/// Everything that a sealed field is bound to.
#[derive(Clone, Debug)]
struct Sealed {
    key: [u8; 32],
    origin: u8,
    id: [u8; 10],
    field: u16,
    path: u8,
    salt: [u8; 32],
    value: Vec<u8>,
}

fn sealed() -> impl Strategy<Value = Sealed> {
    let parts = (
        any::<[u8; 32]>(),
        0_u8..4,
        any::<[u8; 10]>(),
        any::<u16>(),
        0_u8..4,
        any::<[u8; 32]>(),
        vec(any::<u8>(), 0..200),
    );
    parts.prop_map(|(key, origin, id, field, path, salt, value)| Sealed {
        key,
        origin,
        id,
        field,
        path,
        salt,
        value,
    })
}

impl Sealed {
    fn origin(&self) -> Origin {
        Origin::parse(&format!("log.example/{}", self.origin)).unwrap()
    }

    fn id(&self) -> RecordId {
        RecordId::new(UnixMillis(1), self.id)
    }

    fn opening(&self) -> Opening {
        Opening {
            path: Path::parse(&format!("/ctx/{}", self.path)).unwrap(),
            salt: Salt::new(self.salt),
            value: Zeroizing::new(self.value.clone()),
        }
    }

    fn row(&self) -> Vec<u8> {
        let origin = self.origin();
        let place = Place { origin: &origin, id: self.id(), field: self.field };
        place.seal(&Secret::new(self.key), &self.opening())
    }

    fn open(&self, row: &[u8]) -> Result<Opening, SealError> {
        let origin = self.origin();
        let place = Place { origin: &origin, id: self.id(), field: self.field };
        place.open(&Secret::new(self.key), row)
    }
}

proptest! {
    #[test]
    fn a_row_opens_in_its_place_alone(one in sealed(), other in sealed()) {
        let row = one.row();
        prop_assert_eq!(one.open(&row), Ok(one.opening()));
        prop_assert_eq!(KeyId::of_row(&row), Some(Secret::new(one.key).id()));
        let swapped = [
            Sealed { key: other.key, ..one.clone() },
            Sealed { origin: one.origin ^ 1, ..one.clone() },
            Sealed { id: other.id, ..one.clone() },
            Sealed { field: one.field ^ 1, ..one.clone() },
        ];
        for place in swapped {
            let same = place.key == one.key && place.id() == one.id()
                && place.origin == one.origin && place.field == one.field;
            prop_assert_eq!(place.open(&row).is_ok(), same);
        }
    }

    #[test]
    fn a_row_with_any_part_of_another_does_not_open(one in sealed(), other in sealed(), at in any::<prop::sample::Index>()) {
        let (row, strange) = (one.row(), other.row());
        prop_assume!(row != strange);
        prop_assert!(one.open(&strange).is_err() || one.key == other.key);
        let cut = at.index(row.len());
        let spliced: Vec<u8> =
            row[..cut].iter().chain(strange.iter().skip(cut)).copied().collect();
        prop_assert_eq!(one.open(&spliced).is_ok(), spliced == row);
        let mut flipped = row;
        flipped[cut] ^= 0x80;
        prop_assert_eq!(one.open(&flipped), Err(SealError));
    }

    /// Equal bytes at equal fields, sealed with one subject key, show whether the derived key and nonce
    /// are the same: a stream cipher repeats itself then.
    #[test]
    fn two_logs_and_two_ids_never_share_a_derived_key(one in sealed(), id in any::<[u8; 10]>()) {
        prop_assume!(RecordId::new(UnixMillis(1), id) != one.id());
        let body = |sealed: &Sealed| {
            let row = sealed.row();
            row[19 + "/ctx/0".len()..row.len() - 16].to_vec()
        };
        let log = Sealed { origin: one.origin ^ 1, ..one.clone() };
        let record = Sealed { id, ..one.clone() };
        let field = Sealed { field: one.field ^ 1, ..one.clone() };
        let bodies: HashSet<Vec<u8>> = [&one, &log, &record, &field].map(body).into();
        prop_assert_eq!(bodies.len(), 4);
    }

    #[test]
    fn keys_of_rows_sort_as_log_index_and_field(a in any::<(u32, u32, u16)>(), b in any::<(u32, u32, u16)>()) {
        let origin = Origin::parse("log.example/a").unwrap();
        let key = |(log, index, field): (u32, u32, u16)| {
            let place = Place { origin: &origin, id: RecordId::new(UnixMillis(1), [0; 10]), field };
            place.row_key(LogNumber(log), LeafIndex::new(index.into()).unwrap())
        };
        prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
    }

    #[test]
    fn a_disclosed_field_survives_its_text(text in "\\PC{0,40}", salt in any::<[u8; 32]>(), raw in vec(any::<u8>(), 0..80)) {
        let value = attestree::core::record::json::Value::from(text).format().into_bytes();
        let path = Path::parse("/actor/email").unwrap();
        let field = Opening { path, salt: Salt::new(salt), value: Zeroizing::new(value) };
        let path = Path::parse("/ctx/raw").unwrap();
        let whole = Opening { path, salt: Salt::new(salt), value: Zeroizing::new(raw) };
        for opening in [field, whole] {
            let disclosed = Disclosed::new(opening.clone()).unwrap();
            let parsed = Disclosed::parse(disclosed.format().as_bytes()).unwrap();
            prop_assert_eq!(parsed.opening(), &opening);
            prop_assert_eq!(parsed.format(), disclosed.format());
        }
    }
}

#[test]
fn what_is_no_disclosed_field_is_refused() {
    let salt = "A".repeat(43);
    let good = format!(r#"{{"path":"/a","salt":"{salt}","value":{{"b":[1,null]}}}}"#);
    Disclosed::parse(good.as_bytes()).unwrap();
    let bad = [
        "[]".to_owned(),
        String::new(),
        good.replace("/a", "a"),
        good.replace(&salt, &salt[1..]),
        good.replace("\"value\"", "\"raw\""),
        good.replace('}', ""),
        good.replacen('{', r#"{"index":7,"#, 1),
        good.replacen('{', r#"{"raw":"QQ","#, 1),
        format!(r#"{{"path":"/a","salt":"{salt}"}}"#),
        format!(r#"{{"path":"/a","raw":"QQ","salt":"{salt}"}}"#),
        format!(r#"{{"path":"/ctx/raw","raw":"Q","salt":"{salt}"}}"#),
    ];
    for text in bad {
        assert!(Disclosed::parse(text.as_bytes()).is_err(), "{text}");
    }
    let mut opening = Opening {
        path: Path::parse("/ctx/a").unwrap(),
        salt: Salt::new([0; 32]),
        value: Zeroizing::new(b"{ }".to_vec()),
    };
    assert_eq!(Disclosed::new(opening.clone()), None, "not canonical");
    opening.path = Path::parse("/ctx/raw").unwrap();
    assert!(Disclosed::new(opening).is_some());
}

#[test]
fn salts_never_repeat_whichever_generator_draws_them() {
    use attestree::server::random::Random;
    let mut first = Random::from_seed([1; 32]);
    let mut generators: Vec<Random> = (0..8).map(|_| first.fork()).collect();
    // A fork of a fork, and another process.
    let second = generators[0].fork();
    generators.extend([second, Random::from_seed([2; 32]), first]);
    let mut salts = HashSet::new();
    for _ in 0..2_000 {
        for generator in &mut generators {
            let mut salt = [0; 32];
            generator.fill(&mut salt);
            assert!(salts.insert(salt));
        }
    }
    assert_eq!(salts.len(), 22_000);
}
