//! The records of a log in order: an honest log breaks no rule, and each way to spoil one breaks its own.

pub(crate) mod log;

use std::collections::BTreeSet;

use attestree::core::{
    chain::{Chain, Fault, Rule, SKEW_MICROS},
    number::{LeafIndex, UnixMillis},
    origin::Origin,
    record::{ApprovalRule, Draft, Head, KeyConflict, PolicyDigest, RecordId, System},
};
use log::{EXPIRES, Log, START, Said, approve, bundle, origin};

impl Log {
    fn faults(&self) -> Vec<(u64, Rule)> {
        faults(&self.written())
    }
}

fn index(position: usize) -> LeafIndex {
    LeafIndex::new(u64::try_from(position).unwrap()).unwrap()
}

/// Returns the rules that each entry breaks, the end of the log told as its last entry.
fn faults(entries: &[Vec<u8>]) -> Vec<(u64, Rule)> {
    let mut chain = Chain::new(origin());
    let mut found = Vec::new();
    for (position, entry) in entries.iter().enumerate() {
        // What is kept at each step is as good as what goes on.
        chain = Chain::resume(origin(), chain.point());
        let index = index(position);
        let faults = chain.take(index, entry);
        found.extend(faults.iter().map(|fault| (index.get(), fault.rule())));
    }
    found.extend(chain.end().map(|fault| (chain.next() - 1, fault.rule())));
    found
}

/// Positions of the small log: see [`Log::new`].
const FIRST_PART: usize = 2;
const FIRST_POLICY: usize = 3;
const PARTS: [usize; 3] = [6, 7, 8];
const SECOND_POLICY: usize = 9;
const LAST: usize = 12;

#[test]
fn an_honest_log_breaks_no_rule() {
    let log = Log::new();
    assert_eq!(log.0.len(), LAST + 1);
    assert_eq!(log.faults(), []);
    // A tree may end anywhere but between the parts of a policy.
    for end in 1..=log.0.len() {
        let between = end == FIRST_POLICY || (PARTS[1]..=SECOND_POLICY).contains(&end);
        let found = faults(&log.written()[..end]);
        let expected =
            if between { vec![(u64::try_from(end).unwrap() - 1, Rule::Parts)] } else { vec![] };
        assert_eq!(found, expected, "{end}");
    }
}

#[test]
fn every_entry_that_is_removed_but_for_plain_ones_is_missed() {
    let log = Log::new().written();
    for at in 0..log.len() {
        let mut entries = log.clone();
        entries.remove(at);
        let found: BTreeSet<Rule> = faults(&entries).into_iter().map(|(_, rule)| rule).collect();
        let expected: &[Rule] = match at {
            // Without its rule nobody has to approve: what the log begins with is wrong alone.
            0 => &[Rule::Genesis],
            FIRST_POLICY => &[Rule::Parts, Rule::Policy, Rule::Approvals],
            FIRST_PART | 6..=8 => &[Rule::Parts],
            SECOND_POLICY => &[Rule::Parts, Rule::Policy],
            // Which events there were is what the tree proves.
            _ => &[],
        };
        let expected: BTreeSet<Rule> = expected.iter().copied().collect();
        assert_eq!(found, expected, "without {at}");
    }
}

#[test]
fn every_entry_that_is_there_twice_is_found() {
    let log = Log::new().written();
    for at in 0..log.len() {
        let mut entries = log.clone();
        entries.insert(at, log[at].clone());
        let again = u64::try_from(at).unwrap() + 1;
        assert!(faults(&entries).contains(&(again, Rule::Time)), "{at} twice");
    }
}

#[test]
fn every_two_entries_that_are_exchanged_are_found() {
    let log = Log::new().written();
    for one in 0..log.len() {
        for other in one + 1..log.len() {
            let mut entries = log.clone();
            entries.swap(one, other);
            let rules: BTreeSet<Rule> =
                faults(&entries).into_iter().map(|(_, rule)| rule).collect();
            assert!(rules.contains(&Rule::Time), "{one} and {other}: {rules:?}");
        }
    }
}

#[test]
fn a_conflict_is_told_after_both_of_its_entries() {
    let at = u64::try_from(LAST).unwrap() + 1;
    for told in [2, at - 1, at, at + 1, 1 << 40] {
        let mut log = Log::new();
        let (first, index) = (LeafIndex::new(1).unwrap(), LeafIndex::new(told).unwrap());
        let conflict = KeyConflict { source: "k8s-prod".to_owned(), first, index };
        log.say(System::KeyConflict(conflict), log.0[LAST].policy);
        let expected = if told < at { vec![] } else { vec![(at, Rule::Conflict)] };
        assert_eq!(log.faults(), expected, "{told}");
    }
}

#[test]
fn a_wrong_time_is_one_fault_where_it_stands() {
    for at in 1..=LAST {
        let mut log = Log::new();
        log.0[at].micros = log.0[at - 1].micros;
        assert_eq!(log.faults(), [(u64::try_from(at).unwrap(), Rule::Time)], "{at} does not rise");
        // A microsecond is enough.
        log.0[at].micros += 1;
        assert_eq!(log.faults(), []);
    }
}

#[test]
fn a_wrong_policy_is_one_fault_where_it_stands() {
    let others =
        [None, Some(PolicyDigest::from_bytes([9; 32])), Some(bundle("policy.yaml", 100).digest())];
    for at in 1..=LAST {
        for other in others {
            let mut log = Log::new();
            if log.0[at].policy == other {
                continue;
            }
            log.0[at].policy = other;
            assert_eq!(
                log.faults(),
                [(u64::try_from(at).unwrap(), Rule::Policy)],
                "{at} {other:?}"
            );
        }
    }
}

#[test]
fn a_genesis_record_stands_first_and_names_its_log() {
    let mut log = Log::new();
    let other = Origin::parse("log.example/other").unwrap();
    let Said::System(System::Genesis { rule, .. }) = &log.0[0].said else { panic!("a genesis") };
    let rule = rule.clone();
    log.0[0].said = Said::System(System::Genesis { origin: other, rule });
    assert_eq!(log.faults()[0], (0, Rule::Genesis));

    // A second one changes no rule: the policy behind it needs the approvals that it needed.
    for at in [1, 4, 5, 10, 12] {
        let mut log = Log::new();
        let rule = ApprovalRule::NOBODY;
        log.0[at].said = Said::System(System::Genesis { origin: origin(), rule });
        log.0[at].policy = None;
        assert_eq!(log.faults(), [(u64::try_from(at).unwrap(), Rule::Genesis)], "{at}");
    }
}

#[test]
fn only_who_may_approve_approves() {
    let old = bundle("policy.yaml", 100).digest();
    let new = bundle("policy.yaml", 100_000).digest();
    let at = (START + u64::try_from(SECOND_POLICY).unwrap()) * 1_000_000;
    let other = Origin::parse("log.example/other").unwrap();
    let spoiled = [
        ("one of two", vec![approve(2, &origin(), old, new, EXPIRES)]),
        ("nobody", vec![]),
        (
            "a stranger",
            vec![
                approve(2, &origin(), old, new, EXPIRES),
                approve(1, &origin(), old, new, EXPIRES),
            ],
        ),
        (
            "another log",
            vec![approve(2, &origin(), old, new, EXPIRES), approve(3, &other, old, new, EXPIRES)],
        ),
        (
            "another policy",
            vec![
                approve(2, &origin(), old, new, EXPIRES),
                approve(3, &origin(), new, old, EXPIRES),
            ],
        ),
        (
            "too late",
            vec![approve(2, &origin(), old, new, EXPIRES), approve(3, &origin(), old, new, at)],
        ),
    ];
    for (name, mut approvals) in spoiled {
        approvals.sort_by_key(|approval| approval.key);
        let mut log = Log::new();
        log.change(SECOND_POLICY, |policy| policy.approvals = approvals);
        assert_eq!(log.faults(), [(9, Rule::Approvals)], "{name}");
    }
    // The rule is that of the policy before: one that drops its own control needs the old approvals.
    let mut log = Log::new();
    log.change(FIRST_POLICY, |policy| policy.rule = ApprovalRule::NOBODY);
    log.change(SECOND_POLICY, |policy| policy.approvals.clear());
    assert_eq!(log.faults(), []);
    log.change(FIRST_POLICY, |policy| policy.approvals.clear());
    assert_eq!(log.faults(), [(3, Rule::Approvals)]);
}

#[test]
fn the_parts_of_a_policy_are_those_of_its_digest() {
    for at in PARTS {
        for change in 0..4 {
            let mut log = Log::new();
            let Said::System(System::PolicyPart(part)) = &mut log.0[at].said else {
                panic!("{at}")
            };
            match change {
                0 => part.bytes[0] ^= 1,
                1 => part.digest = PolicyDigest::from_bytes([9; 32]),
                2 => part.part = (part.part + 1) % 2,
                _ => part.parts += 1,
            }
            // A part of another length than its place asks for is no record at all.
            let Said::System(system) = &log.0[at].said else { unreachable!() };
            let head = Head { id: RecordId::new(UnixMillis(1), [7; 10]), policy: None };
            if Draft::system(&head, system).is_some() {
                let rules: BTreeSet<Rule> =
                    log.faults().into_iter().map(|(_, rule)| rule).collect();
                assert_eq!(rules, BTreeSet::from([Rule::Parts]), "{at} {change}");
            }
        }
    }
    // Events between, a length that is another, and a policy whose files are in no part.
    let mut log = Log::new();
    log.0.swap(PARTS[2], 10);
    log.0[PARTS[2]].policy = Some(bundle("policy.yaml", 100).digest());
    let micros: Vec<u64> = Log::new().0.iter().map(|entry| entry.micros).collect();
    log.0.iter_mut().zip(micros).for_each(|(entry, micros)| entry.micros = micros);
    assert!(log.faults().iter().any(|(at, rule)| *at == 8 && *rule == Rule::Parts));
    let mut log = Log::new();
    log.change(FIRST_POLICY, |policy| policy.bytes += 1);
    assert_eq!(log.faults(), [(3, Rule::Parts)]);
}

#[test]
fn what_is_no_record_is_found_and_the_rest_is_judged_on() {
    let reserved = |name: &str| {
        let record = String::from_utf8(Log::new().written().remove(LAST)).unwrap();
        record.replace("\"t\":\"event\"", &format!("\"t\":\"{name}\"")).into_bytes()
    };
    for name in ["erasure", "retention", "index"] {
        let mut entries = Log::new().written();
        entries[LAST] = reserved(name);
        assert_eq!(faults(&entries), [(12, Rule::Reserved)], "{name}");
    }
    for bytes in [&b"{}"[..], b"", b"entry 7", b"[]", b"\xff", &reserved("unknown")] {
        for at in [1, 4, 5, 10, 11, 12] {
            let mut entries = Log::new().written();
            entries[at] = bytes.to_vec();
            assert_eq!(faults(&entries), [(u64::try_from(at).unwrap(), Rule::Form)], "{at}");
        }
        let mut entries = Log::new().written();
        entries[0] = bytes.to_vec();
        assert_eq!(faults(&entries)[..2], [(0, Rule::Form), (0, Rule::Genesis)]);
        // Between the parts of a policy it is theirs as well.
        let mut entries = Log::new().written();
        entries[PARTS[1]] = bytes.to_vec();
        let rules: BTreeSet<Rule> = faults(&entries).into_iter().map(|(_, rule)| rule).collect();
        assert_eq!(rules, BTreeSet::from([Rule::Form, Rule::Parts]));
    }
}

#[test]
fn no_byte_of_a_policy_or_its_approvals_can_be_changed() {
    let log = Log::new().written();
    // What names no rule: the id, what the engine calls itself, and the rule for the next, which its files state.
    for at in [FIRST_PART, FIRST_POLICY] {
        let text = String::from_utf8(log[at].clone()).unwrap();
        for name in ["\"data\":\"", "\"digest\":\"", "\"sig\":\"", "\"bytes\":", "\"parts\":"] {
            for (start, _) in text.match_indices(name) {
                let start = start + name.len();
                let length = text[start..].find(['"', ',', '}']).unwrap();
                for byte in start..start + length {
                    let mut entries = log.clone();
                    entries[at][byte] ^= 1;
                    assert_ne!(faults(&entries), [], "byte {byte} of {at}");
                }
            }
        }
    }
}

/// Judges the small log with cosignatures: pairs of a size and a second after its start.
fn witnessed(log: &Log, seen: &[(u64, u64)]) -> Vec<Fault> {
    let mut chain = Chain::new(origin());
    for (size, second) in seen {
        chain.witnessed(*size, START + second);
    }
    let entries = log.written();
    let take = |(position, entry): (usize, &Vec<u8>)| chain.take(index(position), entry);
    entries.iter().enumerate().flat_map(take).collect()
}

#[test]
fn times_are_held_against_those_of_every_cosignature() {
    let skew = SKEW_MICROS / 1_000_000;
    // Entry `i` is of second `i`. A cosignature of size `s` at second `t` is good as long as no entry below `s` is
    // younger than `t + 5` and no other older than `t - 5`.
    for size in 0..=14 {
        for second in 0..=24 {
            let late = (0..13).filter(|entry| *entry < size && *entry > second + skew);
            let early = (0..13).filter(|entry| *entry >= size && *entry + skew < second);
            let expected = late.count() + early.count();
            let found = witnessed(&Log::new(), &[(size, second)]);
            assert_eq!(found.len(), expected, "size {size} at {second}: {found:?}");
            assert!(found.iter().all(|fault| fault.rule() == Rule::Witnessed));
        }
    }
    // Of several the strictest counts, in whatever order they are told.
    let seen = [(13, 13), (5, 5), (5, 4), (9, 9), (13, 12), (2, 2)];
    assert_eq!(witnessed(&Log::new(), &seen), []);
    assert_eq!(witnessed(&Log::new(), &[(13, 13), (13, 6)]).len(), 1);
    assert_eq!(witnessed(&Log::new(), &[(11, 11), (11, 18)]).len(), 2);
}

#[test]
fn what_a_witness_saw_holds_over_a_restart_and_without_end() {
    let log = Log::new();
    let entries = log.written();
    let mut chain = Chain::new(origin());
    for (position, entry) in entries.iter().enumerate().take(11) {
        assert_eq!(chain.take(index(position), entry), []);
    }
    // The tree of eleven entries is seen half a minute after: what comes is dated back.
    chain.witnessed(11, START + 40);
    let mut chain = Chain::resume(origin(), chain.point());
    let found = chain.take(index(11), &entries[11]);
    assert!(matches!(found[..], [Fault::Early { .. }]), "{found:?}");

    // Any number of sizes is told, and times that no record can have.
    let mut chain = Chain::new(origin());
    for size in 0..10_000 {
        chain.witnessed(size, START + 100);
    }
    chain.witnessed(1, u64::MAX);
    assert_eq!(chain.take(index(0), &entries[0]).len(), 1);
}

#[test]
fn rules_have_names_that_are_read_again() {
    for rule in Rule::ALL {
        assert_eq!(Rule::parse(rule.name()), Some(rule));
    }
    assert_eq!(Rule::parse("at"), None);
}

#[test]
fn what_was_read_is_held_against_cosignatures_that_come_later() {
    let skew = SKEW_MICROS / 1_000_000;
    let entries = Log::new().written();
    for read in 1..=13 {
        for size in 0..=14_u64 {
            for second in 0..=24 {
                let mut chain = Chain::new(origin());
                for (position, entry) in entries.iter().enumerate().take(read) {
                    assert_eq!(chain.take(index(position), entry), []);
                }
                let mut chain = Chain::resume(origin(), chain.point());
                let there = 0..u64::try_from(read).unwrap();
                // Times rise, so that the last below is the latest, and the first above the earliest.
                let last = there.clone().take_while(|entry| *entry < size).last();
                let late = last.filter(|entry| *entry > second + skew).map(|entry| (entry, true));
                let first = there.clone().find(|entry| *entry >= size);
                let early =
                    first.filter(|entry| *entry + skew < second).map(|entry| (entry, false));
                let found = chain.witnessed(size, START + second);
                let told = found.iter().map(|(entry, fault)| {
                    assert_eq!(fault.rule(), Rule::Witnessed);
                    (*entry, matches!(fault, Fault::Late { .. }))
                });
                let expected: Vec<_> = late.into_iter().chain(early).collect();
                assert_eq!(told.collect::<Vec<_>>(), expected, "{read} {size} {second}");
                // A checkpoint is shown again and again.
                assert_eq!(chain.witnessed(size, START + second), []);
                // What is read after it is judged by it as if it had been known from the start.
                for (position, entry) in entries.iter().enumerate().skip(read) {
                    let at = u64::try_from(position).unwrap();
                    let wrong = if at < size { at > second + skew } else { at + skew < second };
                    assert_eq!(!chain.take(index(position), entry).is_empty(), wrong);
                }
            }
        }
    }
}

#[test]
fn of_a_long_log_enough_times_are_remembered() {
    let text = String::from_utf8(Log::new().written().swap_remove(1)).unwrap();
    let event = |position: u64| {
        let micros = (START * 1_000 + position * 10) * 1_000;
        let at = attestree::core::record::Timestamp::from_micros(micros).unwrap();
        let from = text.find("\"at\":\"").unwrap() + 6;
        format!("{}{at}{}", &text[..from], &text[from + 27..]).into_bytes()
    };
    let mut chain = Chain::new(origin());
    // A hundred a second for two and a half minutes.
    for position in 0..15_000 {
        chain.take(LeafIndex::new(position).unwrap(), &event(position));
    }
    assert!(chain.point().times.len() <= 257);
    for size in [1, 100, 7_000, 13_000, 14_000, 14_999, 15_000] {
        let second = size / 100;
        // Nobody is accused wrongly; and of what is not long ago a second more than the skew is noticed.
        assert_eq!(chain.witnessed(size, START + second + 4), [], "{size}");
        let early = chain.witnessed(size, START + second + 7).len();
        assert!(early == usize::from(size < 15_000) || size < 10_000, "{size}");
        if second > 8 {
            assert_eq!(chain.witnessed(size, START + second - 4), [], "{size}");
            let late = chain.witnessed(size, START + second - 7).len();
            assert!(late == 1 || size < 10_000, "{size}");
        }
    }
}
