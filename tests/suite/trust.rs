//! Trust policies: every rule of the file, and which checkpoints they believe.

use std::fmt::Write as _;

use attestree::core::{
    note::{CosignatureTime, CosigningKey, NoteSignature, SignedNote},
    trust::{POLICY_BYTES_MAX, PolicyError, TrustError, TrustPolicy, Verified},
};
use proptest::prelude::*;

use super::published::{
    CHECKPOINT_TEXT, COSIGNATURE_SECONDS, LOG_LINE, LOG_VKEY, SUMDB_VKEY, WITNESS_LINE,
    WITNESS_VKEY, checkpoint_note, cosignature_time, cosigning_key, log_key, policy_text,
    signing_key,
};

#[test]
fn a_policy_says_what_it_lists() {
    let text = format!("witness w {WITNESS_VKEY} https://w.example\nlog {LOG_VKEY}\nquorum w");
    let policy = TrustPolicy::parse(&text).unwrap();
    let [log] = policy.logs() else { panic!("one log is listed") };
    assert_eq!((log.key.to_string().as_str(), &log.url), (LOG_VKEY, &None));
    assert_eq!(log.origin.as_str(), "example.com/vector-log");
    let [witness] = policy.witnesses() else { panic!("one witness is listed") };
    assert_eq!(witness.name, "w");
    assert_eq!(witness.key.to_string(), WITNESS_VKEY);
    assert_eq!(witness.url.as_deref(), Some("https://w.example"));
    let written = format!("log {LOG_VKEY}\nwitness w {WITNESS_VKEY} https://w.example\nquorum w\n");
    assert_eq!(policy.to_string(), written);
}

#[test]
fn a_policy_file_has_at_most_1_mib() {
    let longest = format!("quorum none\n{}", "#".repeat(POLICY_BYTES_MAX - 12));
    assert_eq!(TrustPolicy::parse(&longest).unwrap().logs(), []);
    let bytes = POLICY_BYTES_MAX + 1;
    assert_eq!(TrustPolicy::parse(&(longest + "#")), Err(PolicyError::TooLong { bytes }));
}

#[test]
fn hundreds_of_logs_witnesses_and_groups_are_read() {
    let mut text = String::new();
    let mut last = "w0".to_owned();
    for number in 0..300 {
        let log = signing_key(&format!("log.example/{number}"), &format!("log {number}"));
        let witness = cosigning_key("witness.example", &format!("witness {number}"));
        writeln!(text, "log {}", log.verifier_key()).unwrap();
        writeln!(text, "witness w{number} {}", witness.verifier_key()).unwrap();
        if number > 0 {
            writeln!(text, "group g{number} all {last} w{number}").unwrap();
            last = format!("g{number}");
        }
    }
    let policy = TrustPolicy::parse(&format!("{text}quorum {last}\n")).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (300, 300));
}

/// Signs the end-to-end checkpoint with the log and some witnesses, the first at second 0.
fn cosigned(witnesses: &[CosigningKey], mask: u32) -> String {
    let signed = witnesses.iter().enumerate().filter(|(position, _)| mask >> position & 1 == 1);
    let cosignatures = signed.map(|(position, key)| {
        key.sign(CHECKPOINT_TEXT, CosignatureTime::new(position.try_into().unwrap()).unwrap())
    });
    let signatures = [log_key().sign(CHECKPOINT_TEXT)].into_iter().chain(cosignatures).collect();
    SignedNote::new(CHECKPOINT_TEXT.to_owned(), signatures).unwrap().to_string()
}

#[test]
fn the_published_checkpoint_is_trusted() {
    let policy = TrustPolicy::parse(&policy_text()).unwrap();
    let Verified { checkpoint, log_key, witnesses } =
        policy.verify_checkpoint(checkpoint_note().as_bytes()).unwrap();
    assert_eq!(checkpoint.note(), checkpoint_note().as_bytes());
    assert_eq!(checkpoint.origin().as_str(), "example.com/vector-log");
    assert_eq!(checkpoint.head().size.get(), 5);
    assert_eq!(log_key.to_string(), LOG_VKEY);
    assert_eq!(witnesses, [("vector".to_owned(), cosignature_time())]);
    assert_eq!(witnesses[0].1.get(), COSIGNATURE_SECONDS);
}

/// Whether a quorum is reached by these of the three X and of the three Y witnesses.
type Rule = fn(u32, u32) -> bool;

#[test]
fn the_example_of_the_specification_holds_for_every_set_of_witnesses() {
    let witnesses: Vec<CosigningKey> = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
        .map(|name| cosigning_key(&format!("{name}.example"), name))
        .into();
    let mut text = format!("log {LOG_VKEY}\n");
    for (name, key) in ["X1", "X2", "X3", "Y1", "Y2", "Y3"].iter().zip(&witnesses) {
        writeln!(text, "witness {name} {}", key.verifier_key()).unwrap();
    }
    text += "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n";
    let text = text + "group X-and-Y all X-witnesses Y-witnesses\n";
    let rules: [(&str, Rule); 6] = [
        ("X-and-Y", |x, y| x.count_ones() >= 2 && y != 0),
        ("X-witnesses", |x, _| x.count_ones() >= 2),
        ("Y-witnesses", |_, y| y != 0),
        ("X2", |x, _| x & 2 != 0),
        ("Y3", |_, y| y & 4 != 0),
        ("none", |_, _| true),
    ];
    for (quorum, rule) in rules {
        let policy = TrustPolicy::parse(&format!("{text}quorum {quorum}\n")).unwrap();
        for mask in 0..64 {
            let result = policy.verify_checkpoint(cosigned(&witnesses, mask).as_bytes());
            let cosigned = usize::try_from(mask.count_ones()).unwrap();
            if rule(mask & 7, mask >> 3) {
                let verified = result.unwrap();
                assert_eq!(verified.witnesses.len(), cosigned);
                let times = verified.witnesses.iter().map(|(_, time)| 1 << time.get());
                assert_eq!(times.sum::<u32>(), mask);
            } else {
                let quorum = quorum.to_owned();
                assert_eq!(result, Err(TrustError::Quorum { quorum, cosigned, witnesses: 6 }));
            }
        }
    }
}

#[test]
fn a_checkpoint_of_another_log_is_not_trusted() {
    let verify = |policy: &str, note: &str| {
        TrustPolicy::parse(policy)
            .unwrap()
            .verify_checkpoint(note.as_bytes())
            .unwrap_err()
            .to_string()
    };
    let note = checkpoint_note();
    let unknown = "the policy lists no log example.com/vector-log";
    assert_eq!(verify("quorum none", &note), unknown);
    assert_eq!(verify(&format!("log {SUMDB_VKEY}\nquorum none"), &note), unknown);

    // Another listed log has signed: its key has not the name of the origin.
    let other = signing_key("example.com/other", "other");
    let policy = format!("log {LOG_VKEY}\nlog {}\nquorum none", other.verifier_key());
    let line = other.sign(CHECKPOINT_TEXT);
    let unsigned =
        "no key that the policy lists for example.com/vector-log has signed the checkpoint";
    assert_eq!(verify(&policy, &format!("{CHECKPOINT_TEXT}\n{line}\n")), unsigned);
    assert_eq!(verify(&policy_text(), &format!("{CHECKPOINT_TEXT}\n{WITNESS_LINE}")), unsigned);

    let text = CHECKPOINT_TEXT.replace("\n5\n", "\n05\n");
    assert!(verify(&policy, &format!("{text}\n{LOG_LINE}")).starts_with("the second line"));
    assert_eq!(verify(&policy, ""), "the note has no empty line between text and signatures");
}

#[test]
fn one_of_two_keys_of_a_log_is_enough() {
    let old = signing_key("example.com/vector-log", "the log's former key");
    let policy = format!("log {}\nlog {LOG_VKEY}\nquorum none", old.verifier_key());
    let policy = TrustPolicy::parse(&policy).unwrap();
    let verified = policy.verify_checkpoint(checkpoint_note().as_bytes()).unwrap();
    assert_eq!(verified.log_key.to_string(), LOG_VKEY);
}

#[test]
fn a_forged_signature_of_a_listed_key_spoils_the_note_even_if_it_is_not_needed() {
    let policy = format!("log {LOG_VKEY}\nwitness w {WITNESS_VKEY}\nquorum none");
    let policy = TrustPolicy::parse(&policy).unwrap();
    let forged = checkpoint_note().replace("QhStBw==", "QhStBg==");
    let error = policy.verify_checkpoint(forged.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "the signature of witness.example/vector does not verify");

    // An unknown witness's signature is passed over, whatever it is.
    let stranger = NoteSignature::parse("\u{2014} stranger AAAAAAA=").unwrap();
    let note = checkpoint_note() + &format!("{stranger}\n");
    assert_eq!(policy.verify_checkpoint(note.as_bytes()).unwrap().witnesses.len(), 1);
}

#[test]
fn every_flipped_bit_of_a_trusted_checkpoint_fails() {
    let policy = TrustPolicy::parse(&policy_text()).unwrap();
    let note = checkpoint_note().into_bytes();
    for bit in 0..8 * note.len() {
        let mut flipped = note.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(policy.verify_checkpoint(&flipped).is_err(), "bit {bit}");
    }
}

/// Any policy over six witnesses: each new group takes some of what is not yet a member.
fn any_policy() -> impl Strategy<Value = String> {
    proptest::collection::vec((any::<u64>(), 0..9_usize, any::<bool>()), 0..5).prop_map(|groups| {
        let mut text = format!("log {LOG_VKEY} url\n");
        let mut free: Vec<String> = Vec::new();
        for name in ["a", "b", "c", "d", "e", "f"] {
            let key = cosigning_key("w.example", name);
            writeln!(text, "witness {name} {}", key.verifier_key()).unwrap();
            free.push(name.to_owned());
        }
        let mut quorum = "none".to_owned();
        for (number, (mask, threshold, is_quorum)) in groups.into_iter().enumerate() {
            let (members, rest): (Vec<_>, Vec<_>) =
                free.into_iter().enumerate().partition(|(position, _)| mask >> position & 1 == 1);
            let members: Vec<String> = members.into_iter().map(|(_, name)| name).collect();
            free = rest.into_iter().map(|(_, name)| name).collect();
            if members.is_empty() {
                continue;
            }
            let threshold = threshold % members.len() + 1;
            writeln!(text, "group g{number} {threshold} {}", members.join(" ")).unwrap();
            free.push(format!("g{number}"));
            if is_quorum {
                quorum = format!("g{number}");
            }
        }
        format!("{text}quorum {quorum}\n")
    })
}

proptest! {
    #[test]
    fn policies_are_written_and_read_again(text in any_policy()) {
        let policy = TrustPolicy::parse(&text).unwrap();
        prop_assert_eq!(policy.to_string(), text);
    }

    #[test]
    fn one_more_cosignature_never_breaks_a_quorum(text in any_policy(), mask in 0..64_u32) {
        let policy = TrustPolicy::parse(&text).unwrap();
        let keys: Vec<CosigningKey> =
            ["a", "b", "c", "d", "e", "f"].map(|name| cosigning_key("w.example", name)).into();
        let is_trusted = |mask| policy.verify_checkpoint(cosigned(&keys, mask).as_bytes()).is_ok();
        prop_assert!(is_trusted(63));
        if is_trusted(mask) {
            for position in 0..6 {
                prop_assert!(is_trusted(mask | 1 << position));
            }
        }
    }
}

/// Returns a policy of five witnesses with these groups and quorum.
fn five(groups: &str) -> TrustPolicy {
    let witness = |number| {
        let key = cosigning_key("witness.example", &format!("witness {number}"));
        format!("witness w{number} {}\n", key.verifier_key())
    };
    let witnesses: String = (0..5).map(witness).collect();
    TrustPolicy::parse(&format!("{witnesses}{groups}")).unwrap()
}

/// Returns for each set of witnesses, as bits, whether a question about it is answered with yes.
fn sets(
    policy: &TrustPolicy,
    ask: impl Fn(&TrustPolicy, &dyn Fn(&str) -> bool) -> bool,
) -> Vec<bool> {
    let has = |set: u32, name: &str| set >> name[1..].parse::<u32>().unwrap() & 1 == 1;
    (0..32_u32).map(|set| ask(policy, &|name| has(set, name))).collect()
}

/// The definition, over all sets: `heard` meets every quorum if it shares a member with each.
#[test]
fn a_set_meets_every_quorum_exactly_if_it_shares_a_witness_with_each() {
    let thresholds = (1..=5).map(|q| format!("group g {q} w0 w1 w2 w3 w4\nquorum g"));
    let nested = [
        "group a 2 w0 w1 w2\ngroup b all w3 w4\ngroup g any a b\nquorum g".to_owned(),
        "group a any w0 w1\ngroup g all a w2\nquorum g".to_owned(),
        "quorum w3".to_owned(),
    ];
    for groups in thresholds.chain(nested) {
        let policy = five(&groups);
        assert!(policy.has_quorum());
        let quorum = sets(&policy, |policy, has| policy.quorum_reached(|w| has(&w.name)));
        let meets = sets(&policy, |policy, has| policy.meets_every_quorum(|w| has(&w.name)));
        for (heard, meets) in meets.into_iter().enumerate() {
            let every = (0..32_usize).all(|set| !quorum[set] || set & heard != 0);
            assert_eq!(meets, every, "{groups}: {heard:05b}");
        }
    }
    // Of n witnesses of which q are needed, n - q + 1 meet every quorum and fewer do not.
    for q in 1..=5_u32 {
        let policy = five(&format!("group g {q} w0 w1 w2 w3 w4\nquorum g"));
        let meets = sets(&policy, |policy, has| policy.meets_every_quorum(|w| has(&w.name)));
        for (heard, meets) in (0_u32..).zip(meets) {
            assert_eq!(meets, heard.count_ones() > 5 - q);
        }
    }
    let nobody = five("quorum none");
    assert!(!nobody.has_quorum());
    assert!(nobody.quorum_reached(|_| false) && !nobody.meets_every_quorum(|_| true));
}
