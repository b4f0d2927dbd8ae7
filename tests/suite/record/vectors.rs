//! The vectors of records, which an independent script makes from the manual alone.
//!
//! `tests/interop/records.py write tests/vectors/record` makes them again; the test of strangers in
//! `interop.rs` runs it with `check`. A difference is a change of a format.

use std::path::PathBuf;

use attestree::core::hash::TreeHash;
use attestree::core::number::{LeafIndex, LogNumber};
use attestree::core::origin::Origin;
use attestree::core::policy::Bundle;
use attestree::core::record::{
    Approval, ApprovalRule, ApproverKey, Body, Commitment, Decision, DisclosureError, Draft, Head,
    KeyPurpose, Opening, Path, Place, PolicyDigest, Record, RecordId, Redaction, RedactionAction,
    Salt, SealError, Secret, Statement, Submission, System, Timestamp, Token, UNPARSED, Verdict,
    commit_raw,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value as Json;
use zeroize::Zeroizing;

/// Reads a file of vectors.
fn read(name: &str) -> Json {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors/record")
        .join(name)
        .with_extension("json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Reads the vectors of a file that holds a list of them.
fn list(name: &str) -> Vec<Json> {
    let list = read(name).as_array().unwrap().clone();
    assert!(!list.is_empty());
    list
}

fn text<'j>(vector: &'j Json, name: &str) -> &'j str {
    vector[name].as_str().unwrap_or_else(|| panic!("{vector} has no {name}"))
}

fn bytes(vector: &Json, name: &str) -> Vec<u8> {
    let text = text(vector, name);
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn array<const N: usize>(vector: &Json, name: &str) -> [u8; N] {
    bytes(vector, name).try_into().unwrap()
}

fn opening(vector: &Json) -> Opening {
    Opening {
        path: Path::parse(text(vector, "path")).unwrap(),
        salt: Salt::new(array(vector, "salt")),
        value: Zeroizing::new(text(vector, "value").as_bytes().to_vec()),
    }
}

#[test]
fn commitments_are_those_of_the_script() {
    for vector in list("commitment") {
        let opening = opening(&vector);
        assert_eq!(
            opening.commitment().as_bytes().to_vec(),
            bytes(&vector, "commitment"),
            "{vector}"
        );
        assert_eq!(
            Commitment::from_value(&opening.commitment().to_value()),
            Some(opening.commitment())
        );
        // What is hidden stays hidden where a program prints what it has.
        assert_eq!(format!("{:?}", opening.salt), "Salt(***)");
        assert!(!format!("{opening:?}").contains(text(&vector, "value")));
    }
}

#[test]
fn tokens_are_those_of_the_script() {
    for vector in list("token") {
        let (key, path) =
            (Secret::new(array(&vector, "key")), Path::parse(text(&vector, "path")).unwrap());
        let epoch = u32::try_from(vector["epoch"].as_u64().unwrap()).unwrap();
        let token = Token::new(&key, epoch, &path, text(&vector, "value").as_bytes());
        assert_eq!(token.to_value().format(), format!("{{\"$t\":\"{}\"}}", text(&vector, "token")));
        assert_eq!(Token::from_value(&token.to_value()), Some(token));
        assert_ne!(
            Token::new(&key, epoch ^ 1, &path, text(&vector, "value").as_bytes()).bytes,
            token.bytes
        );
    }
}

#[test]
fn disclosures_are_sealed_and_opened_as_by_the_script() {
    for vector in list("disclosure") {
        let (origin, id) = (
            Origin::parse(text(&vector, "origin")).unwrap(),
            RecordId::parse(text(&vector, "id")).unwrap(),
        );
        let field = u16::try_from(vector["field"].as_u64().unwrap()).unwrap();
        let place = Place { origin: &origin, id, field };
        let (subject, row) = (Secret::new(array(&vector, "subject_key")), bytes(&vector, "row"));
        assert_eq!(place.seal(&subject, &opening(&vector)), row);
        assert_eq!(place.open(&subject, &row), Ok(opening(&vector)));

        let other = Origin::parse("log.example/other").unwrap();
        let moved = [
            Place { origin: &other, ..place },
            Place { id: RecordId::new(attestree::core::number::UnixMillis(1), [0; 10]), ..place },
            Place { field: field ^ 1, ..place },
        ];
        assert!(moved.iter().all(|place| place.open(&subject, &row) == Err(SealError)));
        assert_eq!(place.open(&Secret::new([7; 32]), &row), Err(SealError));
        for at in 0..row.len() {
            let mut spoiled = row.clone();
            spoiled[at] ^= 1;
            assert_eq!(place.open(&subject, &spoiled), Err(SealError), "byte {at}");
            assert_eq!(place.open(&subject, &row[..at]), Err(SealError), "cut at {at}");
        }
        assert_eq!(format!("{subject:?}"), "Secret(***)");
        let key = place.row_key(LogNumber(7), LeafIndex::new(0x0102).unwrap());
        assert_eq!(key[..12], [0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(key[12..], field.to_be_bytes());
    }
}

#[test]
fn subject_keys_are_wrapped_as_by_the_script_and_wrapped_again() {
    for vector in list("subject-key") {
        let (origin, subject) =
            (Origin::parse(text(&vector, "origin")).unwrap(), text(&vector, "subject"));
        let (kek, key) = (Secret::new(array(&vector, "kek")), Secret::new(array(&vector, "key")));
        let purpose = KeyPurpose::Subject { origin: &origin, subject };
        assert_eq!(key.id().as_bytes().to_vec(), bytes(&vector, "id"));
        let wrapped = kek.wrap(&purpose, &key, array(&vector, "nonce"));
        assert_eq!(wrapped.to_vec(), bytes(&vector, "wrapped"));
        assert_eq!(kek.unwrap_key(&purpose, &wrapped), Ok(key.clone()));

        let rotated = Secret::new([9; 32]);
        let again = rotated.wrap(&purpose, &kek.unwrap_key(&purpose, &wrapped).unwrap(), [1; 12]);
        assert_eq!(rotated.unwrap_key(&purpose, &again), Ok(key));
        assert_eq!(kek.unwrap_key(&purpose, &again), Err(SealError));
        let other = KeyPurpose::Subject { origin: &origin, subject: "subject/other" };
        assert_eq!(kek.unwrap_key(&other, &wrapped), Err(SealError));
        for at in 0..wrapped.len() {
            let mut spoiled = wrapped;
            spoiled[at] ^= 1;
            assert_eq!(kek.unwrap_key(&purpose, &spoiled), Err(SealError), "byte {at}");
            assert_eq!(kek.unwrap_key(&purpose, &wrapped[..at]), Err(SealError), "cut at {at}");
        }
    }
}

#[test]
fn policies_have_the_digest_and_the_parts_of_the_script() {
    for vector in list("policy") {
        let file = |file: &Json| {
            let times = usize::try_from(file["times"].as_u64().unwrap()).unwrap();
            (text(file, "path").to_owned(), text(file, "text").repeat(times).into_bytes())
        };
        let bundle = Bundle::new(vector["files"].as_array().unwrap().iter().map(file)).unwrap();
        assert_eq!(bundle.digest().to_string(), text(&vector, "digest"));
        assert_eq!(bundle.encode().len() as u64, vector["bytes"].as_u64().unwrap());
        assert_eq!(Bundle::decode(&bundle.encode()), Ok(bundle.clone()));

        let parts = bundle.parts();
        let hash = |bytes: &[u8]| {
            TreeHash::digest(bytes).as_bytes().map(|byte| format!("{byte:02x}")).concat()
        };
        let hashes: Vec<String> = parts.iter().map(|part| hash(&part.bytes)).collect();
        assert_eq!(Json::from(hashes), vector["parts"]);
        assert_eq!(Bundle::assemble(&parts, bundle.digest()), Ok(bundle));
    }
}

#[test]
fn approvals_are_verified_as_the_script_signs_them() {
    for vector in list("approval") {
        let origin = Origin::parse(text(&vector, "origin")).unwrap();
        let (old, new) = (
            PolicyDigest::parse(text(&vector, "old")).unwrap(),
            PolicyDigest::parse(text(&vector, "new")).unwrap(),
        );
        let expires = Timestamp::parse(text(&vector, "expires")).unwrap();
        assert_eq!(
            Statement { origin: &origin, old, new, expires }.bytes(),
            bytes(&vector, "statement")
        );

        let signature = URL_SAFE_NO_PAD.decode(text(&vector, "sig")).unwrap().try_into().unwrap();
        let key = ApproverKey::parse(text(&vector, "key")).unwrap();
        let rule = ApprovalRule::new(vec![key], 1).unwrap();
        let approval = Approval { key, expires, signature };
        let at = Timestamp::from_micros(expires.micros() - 1).unwrap();
        let met =
            |approvals: &[Approval], old, new, at| rule.is_met(&origin, old, new, approvals, at);
        let one = std::slice::from_ref(&approval);
        assert!(met(one, old, new, at));
        assert!(!met(one, old, new, expires), "it has expired");
        assert!(!met(one, new, new, at), "it is for another change");
        assert!(!met(one, old, old, at), "it is for another policy");
        assert!(!met(&[], old, new, at));
        let later = Timestamp::from_micros(expires.micros() + 1).unwrap();
        assert!(
            !met(&[Approval { expires: later, ..approval.clone() }], old, new, at),
            "its end was moved"
        );
        let other = Origin::parse("log.example/other").unwrap();
        assert!(!rule.is_met(&other, old, new, one, at));

        // One key counts once, however often it approves.
        let bob = ApproverKey::parse(text(&list("approval")[1], "key")).unwrap();
        let alice = ApproverKey::parse(text(&list("approval")[0], "key")).unwrap();
        let two = ApprovalRule::new(vec![alice, bob], 2).unwrap();
        assert!(!two.is_met(&origin, old, new, &[approval.clone(), approval.clone()], at));
        assert!(ApprovalRule::NOBODY.is_met(&origin, old, new, &[], at));
        assert_eq!(ApprovalRule::new(vec![key, key], 1), None);
    }
}

#[test]
fn records_are_read_and_those_of_the_system_made_again() {
    let mut systems = 0;
    for vector in list("record") {
        let entry = text(&vector, "entry").as_bytes();
        let record = Record::parse(entry)
            .unwrap_or_else(|error| panic!("{}: {error}", text(&vector, "name")));
        assert_eq!(TreeHash::leaf(entry).as_bytes().to_vec(), bytes(&vector, "leaf_hash"));
        let head = Head { id: record.id(), policy: record.policy() };
        if let Body::System(system) = record.body() {
            let draft = Draft::system(&head, system).unwrap();
            assert_eq!(draft.len(), entry.len());
            assert_eq!(draft.stamp(record.at()), entry, "{}", text(&vector, "name"));
            systems += 1;
        }
        if let Body::System(System::Policy(policy)) = record.body() {
            let origin = Origin::parse("log.example/audit/2026").unwrap();
            let met = |rule: &ApprovalRule| {
                rule.is_met(
                    &origin,
                    PolicyDigest::NONE,
                    policy.digest,
                    &policy.approvals,
                    record.at(),
                )
            };
            assert_eq!(
                (policy.rule.threshold(), policy.rule.keys().len(), met(&policy.rule)),
                (2, 3, true)
            );
        }
    }
    assert_eq!(systems, 11);
}

#[test]
fn what_breaks_a_sentence_of_the_manual_is_no_record() {
    for vector in list("refused") {
        let refused = Record::parse(text(&vector, "entry").as_bytes());
        assert!(refused.is_err(), "{} is taken: {refused:?}", text(&vector, "name"));
    }
}

/// Returns the record of a name.
fn entry(name: &str) -> Vec<u8> {
    let records = list("record");
    let vector = records.iter().find(|vector| text(vector, "name") == name).unwrap();
    text(vector, "entry").as_bytes().to_vec()
}

#[test]
fn a_submission_becomes_the_record_of_the_script_and_is_disclosed_field_by_field() {
    let made = read("submission");
    let submitted = text(&made, "submission").as_bytes();
    let mut event = Submission::parse(submitted).unwrap().event().unwrap();
    let path = |text| Path::parse(text).unwrap();
    let email = event.commit(&path("/actor/email"), Salt::new(array(&made, "email_salt"))).unwrap();
    let ip = event.commit(&path("/ctx/z/1/ip"), Salt::new(array(&made, "ip_salt"))).unwrap();
    let epoch = u32::try_from(made["epoch"].as_u64().unwrap()).unwrap();
    let phone = path("/ctx/phone");
    let token =
        Token::new(&Secret::new(array(&made, "token_key")), epoch, &phone, b"\"+1 555 0100\"");
    event.replace(&phone, token.to_value()).unwrap();
    event.replace(&path("/ctx/card"), "***1111".into()).unwrap();

    let wanted = entry("event");
    let record = Record::parse(&wanted).unwrap();
    let head = Head { id: record.id(), policy: record.policy() };
    let redactions = vec![
        Redaction { path: phone, action: RedactionAction::Token },
        Redaction { path: path("/ctx/card"), action: RedactionAction::Mask },
    ];
    let rules = vec!["zone", "card/masked", "zone"];
    let decision =
        Decision { source: Some("CN=payments"), verdict: Verdict::Warn, rules, redactions };
    let (draft, spilled) =
        Draft::event(&head, event, decision, || panic!("nothing is spilled")).unwrap();
    assert_eq!(
        String::from_utf8(draft.stamp(record.at())).unwrap(),
        String::from_utf8(wanted.clone()).unwrap()
    );
    assert!(spilled.is_empty());

    let fields: Vec<Path> = record.commitments().into_iter().map(|(path, _)| path).collect();
    assert_eq!(fields, [path("/actor/email"), path("/ctx/z/1/ip")]);
    let verify = |opening: &Opening, path: &Path| {
        record.verify_disclosure(path, &opening.salt, &opening.value).map(|value| value.format())
    };
    assert_eq!(verify(&email, &email.path), Ok("\"a@example.com\"".to_owned()));
    assert_eq!(verify(&ip, &ip.path), Ok("\"192.0.2.1\"".to_owned()));
    assert_eq!(verify(&ip, &email.path), Err(DisclosureError));
    assert_eq!(
        record.verify_disclosure(&email.path, &email.salt, b"\"b@example.com\""),
        Err(DisclosureError)
    );
    assert_eq!(record.verify_disclosure(&email.path, &ip.salt, &email.value), Err(DisclosureError));
    assert_eq!(record.verify_raw(&email.salt, &email.value), Err(DisclosureError));
}

#[test]
fn a_quarantined_submission_is_the_record_of_the_script_and_is_disclosed_whole() {
    let made = read("submission");
    let submitted = text(&made, "submission").as_bytes();
    let (raw, opening) = commit_raw(Salt::new(array(&made, "raw_salt")), submitted);
    for (name, verdict, rule, class) in [
        ("quarantine", Verdict::Quarantine, "record/form-act", None),
        ("error", Verdict::Error, "record/form-act", None),
        ("unparsed", Verdict::Quarantine, "record/unparsed", Some(UNPARSED)),
    ] {
        let wanted = entry(name);
        let record = Record::parse(&wanted).unwrap();
        let head = Head { id: record.id(), policy: record.policy() };
        let rules = vec![rule];
        let decision =
            Decision { source: Some("CN=payments"), verdict, rules, redactions: Vec::new() };
        assert_eq!(Draft::hidden(&head, &decision, raw, class).stamp(record.at()), wanted);
        assert_eq!(record.verify_raw(&opening.salt, submitted), Ok(submitted));
        assert_eq!(record.verify_raw(&opening.salt, &submitted[1..]), Err(DisclosureError));
        assert_eq!(
            record.verify_disclosure(&opening.path, &opening.salt, submitted),
            Err(DisclosureError)
        );
    }
}
