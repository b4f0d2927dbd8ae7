//! `fsck` of an audit log: records that are wrong among the others are found, whatever the tree says.

use attestree::{
    core::{
        chain::Rule,
        hash::TreeHash,
        number::LeafIndex,
        record::{ApprovalRule, Draft, Head, PolicyDigest, RecordId, System, Timestamp},
    },
    server::{ChainFinding, fsck::Directory},
    store::{Entry, LogRows},
};
use bytes::Bytes;

use super::{
    append::statements,
    site::{ORIGIN, Site, apply, check, events, states, submit},
};

/// Checks the log of a site.
fn fsck(site: &Site) -> Result<u64, ChainFinding> {
    let log = Directory::open(site.dir.path()).unwrap().logs().unwrap().remove(0);
    log.check(|_| ()).unwrap().unwrap();
    log.check_records().unwrap().expect("it is an audit log")
}

/// A log with a policy and some events, one of them with an idempotency key.
fn site() -> Site {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").unwrap();
    apply(&pipeline, &log, &site.state("one", states(statements())));
    let mut keyed = events(&[r#"{"class":"login"}"#, r#"{"ctx":{"secret":1}}"#]);
    keyed.entries[0].key = Some(Bytes::from_static(b"key"));
    submit(&pipeline, &log, keyed);
    assert_eq!(check(&pipeline, &log).len(), 5);
    pipeline.stop();
    site
}

/// Appends an entry past the write path, as whoever has the disk and the key can.
fn forge(site: &Site, entry: &[u8]) {
    let store = site.store();
    let row = store.logs().unwrap().remove(0);
    let head = store.head(row.number).unwrap().unwrap().head;
    let edge = store.edge(&row, head).unwrap();
    let integration = edge.append(&[TreeHash::leaf(entry)]);
    let at = store.head(row.number).unwrap().unwrap().at;
    let rows = LogRows::encode(row.number, at, head, [entry].into_iter(), &integration, Vec::new());
    store.commit(&[&rows]).unwrap();
}

/// The text of the entry at an index.
fn entry(site: &Site, index: u64) -> String {
    let store = site.store();
    let row = store.logs().unwrap().remove(0);
    let found = store.entry(row.number, LeafIndex::new(index).unwrap()).unwrap().unwrap();
    let Entry::Bytes(bytes) = found else { panic!("nothing is erased") };
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A record of the system at the end of time.
fn system(policy: Option<PolicyDigest>, system: &System) -> Vec<u8> {
    let id = RecordId::new(attestree::core::number::UnixMillis(1), [7; 10]);
    let at = Timestamp::parse("2099-01-01T00:00:00.000000Z").unwrap();
    Draft::system(&Head { id, policy }, system).unwrap().stamp(at)
}

#[test]
fn a_sound_log_passes() {
    assert_eq!(fsck(&site()), Ok(5));
}

#[test]
fn what_does_not_follow_is_found() {
    let digest = |site: &Site| {
        let text = entry(site, 4);
        let from = text.find(r#""pv":""#).unwrap() + 6;
        PolicyDigest::parse(&text[from..from + 43]).unwrap()
    };
    let genesis = |_: &Site| System::Genesis {
        origin: attestree::core::origin::Origin::parse(ORIGIN).unwrap(),
        rule: ApprovalRule::NOBODY,
    };
    let gap = System::Gap { source: "CN=a".to_owned(), from: 1, to: 2 };
    type Make = Box<dyn Fn(&Site) -> Vec<u8>>;
    let (other, none) = (gap.clone(), gap);
    let forged: [(Make, Rule); 5] = [
        (Box::new(|site| entry(site, 4).into_bytes()), Rule::Time),
        (Box::new(|_| b"{}".to_vec()), Rule::Form),
        (Box::new(move |site| system(None, &genesis(site))), Rule::Genesis),
        (Box::new(move |_| system(None, &none)), Rule::Policy),
        (Box::new(move |_| system(Some(PolicyDigest::from_bytes([3; 32])), &other)), Rule::Policy),
    ];
    for (number, (make, expected)) in forged.iter().enumerate() {
        let site = site();
        forge(&site, &make(&site));
        let finding = fsck(&site).unwrap_err();
        assert_eq!((finding.index.get(), finding.fault.rule()), (5, *expected), "{number}");
    }
    // A policy that stands again where its files are not, and one that nobody approved.
    let site = site();
    let text = entry(&site, 2);
    let System::Policy(policy) =
        (match attestree::core::record::Record::parse(text.as_bytes()).unwrap().body() {
            attestree::core::record::Body::System(system) => system.clone(),
            attestree::core::record::Body::Event(_) => panic!("it is a policy"),
        })
    else {
        panic!("it is a policy")
    };
    forge(&site, &system(Some(digest(&site)), &System::Policy(policy)));
    assert_eq!(fsck(&site).unwrap_err().fault.rule(), Rule::Parts);
}
