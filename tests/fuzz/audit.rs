//! The laws of audit logs: what is read as JSON, as a record, as a submission, as the files of a policy, and as
//! infrastructure.

use attestree::core::chain::Chain;
use attestree::core::entry::ENTRY_BYTES_MAX;
use attestree::core::number::{LeafIndex, UnixMillis};
use attestree::core::origin::Origin;
use attestree::core::policy::Bundle;
use attestree::core::record::json::{parse, parse_canonical};
use attestree::core::record::{
    Body, Decision, Draft, Head, Path, RECORD_LIMITS, Record, RecordId, SUBMISSION_LIMITS, Salt,
    Submission, Timestamp, Verdict,
};
use attestree::policy::infra::{CHECKS, check};
use attestree::policy::{Diagnostic, Severity, compile};

/// JSON that is read is written canonically, and read again alike; what is refused has a place in the text.
pub fn json(data: &[u8]) {
    match parse(data, &SUBMISSION_LIMITS) {
        Ok(value) => {
            let text = value.format();
            assert_eq!(parse_canonical(text.as_bytes(), &SUBMISSION_LIMITS), Ok(value));
            let is_canonical = parse_canonical(data, &SUBMISSION_LIMITS).is_ok();
            assert_eq!(is_canonical, text.as_bytes() == data);
        }
        Err(error) => {
            assert!(error.byte <= data.len() && error.line >= 1 && error.column >= 1);
            assert!(parse_canonical(data, &SUBMISSION_LIMITS).is_err());
        }
    }
}

/// A record is canonical, its commitments stand in order, and nothing opens one but what was committed.
pub fn record(data: &[u8]) {
    let Ok(record) = Record::parse(data) else { return };
    assert!(data.len() <= ENTRY_BYTES_MAX);
    let value = parse_canonical(data, &RECORD_LIMITS).expect("a record is canonical");
    assert_eq!(value.format().as_bytes(), data);
    let commitments = record.commitments();
    assert!(commitments.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let salt = Salt::new([7; 32]);
    for (path, _) in &commitments {
        assert!(record.verify_disclosure(path, &salt, b"\"x\"").is_err());
    }
    assert!(record.verify_raw(&salt, data).is_err());
}

/// What is submitted becomes an event's record or is quarantined, and in neither does the producer say what the
/// server says.
pub fn submission(data: &[u8]) {
    let Ok(submission) = Submission::parse(data) else { return };
    let id = RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]);
    let (head, at) = (Head { id, policy: None }, Timestamp::default());
    let (source, rules, redactions) = (None, Vec::new(), Vec::new());
    let decision = Decision { source, verdict: Verdict::Accept, rules, redactions };
    let salt = || Salt::new([9; 32]);
    let entry = match submission.event() {
        Ok(event) => match Draft::event(&head, event, decision, salt) {
            Ok((draft, openings)) => {
                let entry = draft.stamp(at);
                let record = Record::parse(&entry).expect("what is made is a record");
                for opening in openings {
                    let opened =
                        record.verify_disclosure(&opening.path, &opening.salt, &opening.value);
                    opened.expect("what was spilled can be shown");
                }
                entry
            }
            Err(_) => return,
        },
        Err(faults) => {
            let names: Vec<&str> = faults.iter().map(|fault| fault.rule()).collect();
            assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("record/")));
            let (commitment, opening) =
                attestree::core::record::commit_raw(Salt::new([9; 32]), data);
            let rules = names.into_iter().collect();
            let decision = Decision { verdict: Verdict::Quarantine, rules, ..decision };
            let entry = Draft::hidden(&head, &decision, commitment, None).stamp(at);
            let record = Record::parse(&entry).expect("what is made is a record");
            assert_eq!(record.verify_raw(&opening.salt, data), Ok(data));
            entry
        }
    };
    let record = Record::parse(&entry).expect("what is made is a record");
    assert!(matches!(record.body(), Body::Event(_)));
    assert!((record.id(), record.at(), record.policy()) == (id, at, None));
}

/// The files of a policy have one encoding, and its parts make it again.
pub fn bundle(data: &[u8]) {
    let Ok(bundle) = Bundle::decode(data) else { return };
    assert_eq!(bundle.encode(), data);
    assert_eq!(Bundle::assemble(&bundle.parts(), bundle.digest()).as_ref(), Ok(&bundle));
    let files = bundle.files().iter().map(|(path, content)| (path.clone(), content.clone()));
    assert_eq!(Bundle::new(files), Ok(bundle));
}

/// Lines are the entries of a log: each is judged, and alike after a start.
pub fn chain(data: &[u8]) {
    let origin = Origin::parse("log.example/liar").expect("an origin");
    let (mut whole, mut resumed) = (Chain::new(origin.clone()), Chain::new(origin.clone()));
    for (index, entry) in (0..).zip(data.split(|byte| *byte == b'\n').take(64)) {
        let index = LeafIndex::new(index).expect("few lines");
        if let Some(&first) = entry.first() {
            let seconds = 1_795_000_000 + u64::from(first);
            whole.witnessed(index.get(), seconds);
            resumed.witnessed(index.get(), seconds);
        }
        let faults = whole.take(index, entry);
        assert_eq!(faults, resumed.take(index, entry));
        assert!(Record::parse(entry).is_ok() || !faults.is_empty());
        resumed = Chain::resume(origin.clone(), resumed.point());
    }
    assert_eq!(whole.end(), resumed.end());
}

/// What is judged as infrastructure has findings of known checks, in the order of the file and in it.
pub fn infra(data: &[u8]) {
    let found = match check("input", data) {
        Ok(found) => found,
        Err(error) => return assert!(error.code.starts_with("infra/") && error.help.is_some()),
    };
    // YAML breaks lines at returns as well.
    let lines = 1 + data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    for one in &found {
        assert!(CHECKS.iter().any(|check| check.code == one.code));
        assert!(one.line <= lines && (one.line == 0 || one.column > 0), "{one}");
    }
    assert!(found.is_sorted_by_key(|one| (one.line, one.column, one.code)));
    assert_eq!(check("input", data).as_ref(), Ok(&found));
}

/// A document is a policy or is told what is wrong with it and where; alike each time, and with the digest of its
/// file.
pub fn policy_document(data: &[u8]) {
    let file = ("policy.yaml".to_owned(), data.to_vec());
    let Ok(bundle) = Bundle::new([file]) else { return };
    let lines = 1 + data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    let placed = |one: &Diagnostic| one.line <= lines + 1 && (one.line == 0 || one.column > 0);
    match compile(&bundle) {
        Ok(compiled) => {
            assert_eq!(compiled.policy.digest(), bundle.digest());
            for warning in &compiled.warnings {
                assert!(warning.severity != Severity::Error && placed(warning), "{warning:?}");
            }
            let again = compile(&bundle).map_err(|found| format!("{found:?}"));
            assert_eq!(again.expect("what compiled once compiles").document, compiled.document);
        }
        Err(found) => {
            assert!(found.iter().any(|one| one.severity == Severity::Error), "{found:?}");
            assert!(found.iter().all(placed), "{found:?}");
        }
    }
}

/// A path that is read is written alike.
pub fn path(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some(path) = Path::parse(text) {
        assert_eq!(path.as_str(), text);
    }
}
