//! `fsck` opens every committed field, and names what can't be opened.

use attestree::{
    core::record::{Disclosed, Path, Record},
    server::{
        FieldFinding,
        fsck::{Directory, Keys},
    },
};

use super::archive::{Archive, LOG, origin};

const ADA: &str =
    r#"{"act":"a","actor":{"email":"ada@example.com","id":"u_1"},"ctx":{"committed":[1,2]}}"#;
const BOB: &str = r#"{"act":"a","actor":{"email":"bob@example.com","id":"u_2"}}"#;
const BAD: &str = r#"{"act":7,"actor":{"email":"eve@example.com"}}"#;

/// Checks the fields of an archive, with its keys.
fn check(archive: &Archive) -> Result<(u64, bool), FieldFinding> {
    let directory = Directory::open(&archive.data()).unwrap();
    let keys = Keys::open(archive.place()).unwrap();
    let logs = directory.logs().unwrap();
    logs[0].check(|_| ()).unwrap().unwrap();
    let fields = logs[0].check_fields(keys.as_ref()).unwrap().expect("it is an audit log");
    fields.map(|fields| (fields.committed, fields.opened))
}

#[test]
fn every_field_of_a_sound_log_opens() {
    let mut archive = Archive::new();
    assert_eq!(check(&archive), Ok((0, true)));
    archive.append(&[ADA, BOB]);
    archive.append(&[BAD, ADA]);
    assert_eq!(check(&archive), Ok((6, true)));
    // In a copy without the keys the rows are there, and nobody can open them.
    std::fs::rename(archive.data().join("keys"), archive.root().join("elsewhere")).unwrap();
    assert_eq!(check(&archive), Ok((6, false)));
}

#[test]
fn missing_rows_are_counted_and_the_first_is_named() {
    let mut archive = Archive::new();
    archive.append(&[BOB]);
    archive.append_changed(&[ADA, BAD], |rows| {
        rows.extra.retain(|(_, key, _)| key[12..] != [0, 1] && key[11] != 2);
    });
    archive.append(&[ADA]);
    let finding = check(&archive).unwrap_err();
    let FieldFinding::Hole { index, path, holes } = &finding else { panic!("{finding}") };
    assert_eq!((index.get(), path.as_str(), *holes), (1, "/ctx/committed", 2));
}

#[test]
fn rows_of_no_field_are_found() {
    type Spoil = fn(&mut Vec<u8>);
    let moved: [(Spoil, u64, u16); 3] =
        [(|key| key[13] = 9, 0, 9), (|key| key[11] = 7, 7, 1), (|key| key[4] = 1, 1 << 56, 1)];
    for (spoil, wanted_index, wanted_field) in moved {
        let mut archive = Archive::new();
        archive.append_changed(&[ADA, BOB], |rows| {
            let (family, mut key, row) = rows.extra[1].clone();
            spoil(&mut key);
            rows.extra.push((family, key, row));
        });
        let finding = check(&archive).unwrap_err();
        let FieldFinding::Stray { index, field } = finding else { panic!("{finding}") };
        assert_eq!((index.get(), field), (wanted_index, wanted_field));
    }
}

#[test]
fn rows_in_each_others_place_do_not_open() {
    let mut archive = Archive::new();
    archive.append_changed(&[ADA, ADA], |rows| {
        let row = rows.extra[0].2.clone();
        rows.extra[0].2 = std::mem::replace(&mut rows.extra[2].2, row);
    });
    let finding = check(&archive).unwrap_err();
    let FieldFinding::Sealed { index, path } = &finding else { panic!("{finding}") };
    assert_eq!((index.get(), path.as_str()), (0, "/actor/email"));
}

#[test]
fn spoiled_rows_do_not_open() {
    for at in [0, 1, 20, 40] {
        let mut archive = Archive::new();
        archive.append_changed(&[ADA], |rows| rows.extra[1].2[at] ^= 1);
        match check(&archive).unwrap_err() {
            FieldFinding::Sealed { index, path } => {
                assert_eq!((index.get(), path.as_str()), (0, "/ctx/committed"));
            }
            // The id of another key, which is nobody's.
            FieldFinding::NoKey { index, .. } => assert_eq!((index.get(), at), (0, 1)),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn what_a_destroyed_key_sealed_is_a_finding() {
    let mut archive = Archive::new();
    archive.append(&[ADA, BOB]);
    assert!(archive.keys(9).destroy_subject(LOG, &origin(), "subject/u_2").unwrap());
    let finding = check(&archive).unwrap_err();
    let FieldFinding::NoKey { index, path } = &finding else { panic!("{finding}") };
    assert_eq!((index.get(), path.as_str()), (1, "/actor/email"));
}

#[test]
fn what_is_no_record_is_found() {
    let mut archive = Archive::new();
    archive.append(&[ADA]);
    archive.append_changed(&[BOB], |rows| {
        // The same length, so that the segment can still be read.
        let segment = &mut rows.segments[0].1;
        let at = segment.windows(5).position(|window| window == b"\"act\"").unwrap();
        segment[at + 1] = b'@';
    });
    let directory = Directory::open(&archive.data()).unwrap();
    let fields = directory.logs().unwrap()[0].check_fields(None).unwrap().unwrap();
    let finding = fields.unwrap_err();
    assert!(
        matches!(finding, FieldFinding::NoRecord { index, .. } if index.get() == 1),
        "{finding}"
    );
}

#[test]
fn each_field_is_disclosed_alone_and_verified_against_its_leaf() {
    let mut archive = Archive::new();
    archive.append(&[ADA, BAD]);
    let leaf = |index| attestree::core::number::LeafIndex::new(index).unwrap();
    let disclose = |index, path: Option<&str>| {
        let path = path.map(|path| Path::parse(path).unwrap());
        attestree::server::disclose(archive.place(), "", leaf(index), path.as_ref())
    };
    let all = disclose(0, None).unwrap();
    let texts: Vec<String> = all.iter().map(|field| field.format().to_string()).collect();
    assert!(texts[0].contains(r#""value":"ada@example.com""#), "{}", texts[0]);
    assert!(texts[1].contains(r#""value":[1,2]"#), "{}", texts[1]);
    let one = disclose(0, Some("/ctx/committed")).unwrap();
    assert_eq!(one, all[1..]);
    let raw = disclose(1, None).unwrap();
    assert_eq!(raw[0].opening().value.as_slice(), BAD.as_bytes());

    let (first, second) =
        (Record::parse(&archive.entries[0]).unwrap(), Record::parse(&archive.entries[1]).unwrap());
    for text in &texts {
        let field = Disclosed::parse(text.as_bytes()).unwrap();
        field.verify(&first).unwrap();
        field.verify(&second).unwrap_err();
        let forged = text.replace("ada", "eve").replace("[1,2]", "[1,3]");
        Disclosed::parse(forged.as_bytes()).unwrap().verify(&first).unwrap_err();
    }
    raw[0].verify(&second).unwrap();
    raw[0].verify(&first).unwrap_err();

    for (index, path, wanted) in [
        (0, Some("/actor/id"), "its committed fields are: /actor/email, /ctx/committed"),
        (2, None, "has no entry 2"),
    ] {
        let error = disclose(index, path).unwrap_err();
        assert!(format!("{error:#}").contains(wanted), "{error:#}");
    }
}

#[test]
fn rows_are_read_one_by_one_and_in_order() {
    let mut archive = Archive::new();
    archive.append(&[ADA, BOB, ADA]);
    let store = archive.store();
    let leaf = |index| attestree::core::number::LeafIndex::new(index).unwrap();
    let size = |size| attestree::core::number::TreeSize::new(size).unwrap();
    let rows: Vec<_> = store.disclosures(LOG, leaf(0), size(3)).map(Result::unwrap).collect();
    let places: Vec<(u64, u16)> =
        rows.iter().map(|(index, field, _)| (index.get(), *field)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]);
    assert_eq!(store.disclosures(LOG, leaf(1), size(2)).count(), 1);
    for (index, field, row) in rows {
        assert_eq!(store.disclosure(LOG, index, field).unwrap(), Some(row));
    }
    assert_eq!(store.disclosure(LOG, leaf(1), 1).unwrap(), None);
}
