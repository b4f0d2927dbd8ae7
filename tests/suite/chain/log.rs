//! A small log of records with two policies, made as a server makes one.

use attestree::core::{
    number::UnixMillis,
    origin::Origin,
    policy::Bundle,
    record::{
        ActivePolicy, Approval, ApprovalRule, ApproverKey, Decision, Draft, Engine, Head,
        PolicyDigest, RecordId, Salt, Statement, Submission, System, Timestamp, Verdict,
    },
};
use ed25519_dalek::{Signer as _, SigningKey};

/// When the first record was taken, in seconds; each later one is a second younger.
pub(crate) const START: u64 = 1_795_000_000;

/// What a record of the small log says, so that it can be made again with another head.
#[derive(Clone)]
pub(crate) enum Said {
    Event,
    System(System),
}

/// A record before it is written.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) said: Said,
    pub(crate) policy: Option<PolicyDigest>,
    pub(crate) micros: u64,
}

/// A small log, not yet written.
pub(crate) struct Log(pub(crate) Vec<Entry>);

pub(crate) fn origin() -> Origin {
    Origin::parse("log.example/liar").unwrap()
}

pub(crate) fn approver(name: u8) -> SigningKey {
    SigningKey::from_bytes(&[name; 32])
}

pub(crate) fn key(name: u8) -> ApproverKey {
    ApproverKey::new(approver(name).verifying_key().to_bytes()).unwrap()
}

pub(crate) fn time(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

/// Has someone approve that one policy takes the place of another, for a day.
pub(crate) fn approve(
    name: u8,
    origin: &Origin,
    old: PolicyDigest,
    new: PolicyDigest,
    expires: u64,
) -> Approval {
    let expires = time(expires);
    let statement = Statement { origin, old, new, expires }.bytes();
    Approval { key: key(name), expires, signature: approver(name).sign(&statement).to_bytes() }
}

pub(crate) fn bundle(name: &str, bytes: usize) -> Bundle {
    Bundle::new([(name.to_owned(), vec![b'#'; bytes])]).unwrap()
}

pub(crate) const EXPIRES: u64 = (START + 86_400) * 1_000_000;

impl Log {
    /// Genesis, an event, a policy of one part, two events, one of three parts, an event, a gap, an event.
    pub(crate) fn new() -> Self {
        let mut log = Self(Vec::new());
        let rule = ApprovalRule::new(vec![key(1), key(2)], 1).unwrap();
        log.say(System::Genesis { origin: origin(), rule: rule.clone() }, None);
        log.event(None);
        let first = bundle("policy.yaml", 100);
        let both = ApprovalRule::new(vec![key(2), key(3)], 2).unwrap();
        log.apply(&first, None, both.clone(), &[1]);
        log.event(Some(first.digest()));
        log.event(Some(first.digest()));
        let second = bundle("policy.yaml", 100_000);
        log.apply(&second, Some(first.digest()), both, &[2, 3]);
        log.event(Some(second.digest()));
        let gap = System::Gap { source: "CN=a".to_owned(), from: 3, to: 5 };
        log.say(gap, Some(second.digest()));
        log.event(Some(second.digest()));
        log
    }

    pub(crate) fn push(&mut self, said: Said, policy: Option<PolicyDigest>) {
        let seconds = START + u64::try_from(self.0.len()).unwrap();
        self.0.push(Entry { said, policy, micros: seconds * 1_000_000 });
    }

    pub(crate) fn say(&mut self, system: System, policy: Option<PolicyDigest>) {
        self.push(Said::System(system), policy);
    }

    pub(crate) fn event(&mut self, policy: Option<PolicyDigest>) {
        self.push(Said::Event, policy);
    }

    pub(crate) fn apply(
        &mut self,
        new: &Bundle,
        old: Option<PolicyDigest>,
        rule: ApprovalRule,
        by: &[u8],
    ) {
        for part in new.parts() {
            self.say(System::PolicyPart(part), old);
        }
        let from = old.unwrap_or(PolicyDigest::NONE);
        let approve = |name: &u8| approve(*name, &origin(), from, new.digest(), EXPIRES);
        let mut approvals: Vec<Approval> = by.iter().map(approve).collect();
        approvals.sort_by_key(|approval| approval.key);
        let policy = ActivePolicy {
            digest: new.digest(),
            bytes: u64::try_from(new.encode().len()).unwrap(),
            engine: Engine { name: "attestree".to_owned(), version: "1".to_owned() },
            rule,
            approvals,
            source: None,
        };
        self.say(System::Policy(policy), old);
    }

    /// Changes what the `policy` record at an index says.
    pub(crate) fn change(&mut self, index: usize, change: impl FnOnce(&mut ActivePolicy)) {
        let Said::System(System::Policy(policy)) = &mut self.0[index].said else {
            panic!("{index}")
        };
        change(policy);
    }

    pub(crate) fn written(&self) -> Vec<Vec<u8>> {
        self.0.iter().map(Entry::write).collect()
    }
}

impl Entry {
    pub(crate) fn write(&self) -> Vec<u8> {
        let head = Head {
            id: RecordId::new(UnixMillis(self.micros / 1_000), [7; 10]),
            policy: self.policy,
        };
        let draft = match &self.said {
            Said::System(system) => Draft::system(&head, system).unwrap(),
            Said::Event => {
                let submission = Submission::parse(b"{\"act\":\"auth.login\"}").unwrap();
                let rules = Vec::new();
                let (source, redactions, verdict) = (None, Vec::new(), Verdict::Accept);
                let decision = Decision { source, verdict, rules, redactions };
                let salt = || Salt::new([1; 32]);
                Draft::event(&head, submission.event().unwrap(), decision, salt).unwrap().0
            }
        };
        draft.stamp(time(self.micros))
    }
}
