//! The records of audit logs, checked as they are read.
//!
//! A log is an audit log if its first entry is its genesis record, or if the caller says so. Of each rule that
//! is broken the first entry is told, and how many more there are is counted: what stands in a log stays there,
//! so that the finding comes again with every start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MonitorError;
use super::event::Kind;
use super::follow::Follower;
use super::read::Look;
use crate::core::chain::{Chain, Fault, Point, Rule};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::number::LeafIndex;
use crate::core::origin::Origin;
use crate::core::record::{ApprovalRule, ApproverKey, PolicyDigest, PolicyPart, Timestamp};

/// What is known of the records of a log.
#[derive(Clone, Debug)]
pub(super) enum Records {
    /// Nothing was read.
    Unread {
        /// The chain that it is if it turns out to be an audit log: witnesses are heard before.
        chain: Chain,
        /// Whether the caller says that it is one.
        is_audit: bool,
    },
    /// The log does not begin as an audit log does: its entries may be anything.
    Opaque,
    /// The log is an audit log.
    Audit {
        chain: Chain,
        /// The rules that it breaks.
        broken: BTreeMap<Rule, Broken>,
    },
}

/// A rule that records break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Broken {
    /// The first of them.
    index: u64,
    /// How many there are.
    entries: u64,
    /// What is wrong with the first.
    reason: String,
}

/// What is kept of the records of a log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, on its way to or from a file"
)]
pub(super) enum Stored {
    /// See [`Records::Opaque`].
    Opaque,
    /// See [`Records::Audit`].
    Audit {
        next: u64,
        last: Option<String>,
        policy: Option<String>,
        keys: Vec<String>,
        threshold: usize,
        /// Digest, number of parts, and the bytes of those that were read, in hexadecimal.
        parts: Option<(String, u64, Vec<String>)>,
        unseen: Option<String>,
        /// Absent from what was kept before times were.
        #[serde(default)]
        times: Vec<(u64, String)>,
        broken: BTreeMap<String, Broken>,
    },
}

impl Records {
    /// Begins with the first entry of a log.
    pub(super) fn new(origin: &Origin, is_audit: bool) -> Self {
        Self::Unread { chain: Chain::new(origin.clone()), is_audit }
    }

    /// Takes that a witness saw a size at a second.
    fn witnessed(&mut self, size: u64, seconds: u64) {
        match self {
            Self::Unread { chain, .. } => drop(chain.witnessed(size, seconds)),
            Self::Audit { chain, broken } => {
                for (index, fault) in chain.witnessed(size, seconds) {
                    // After a start what is known already is told again.
                    if broken.get(&fault.rule()).is_none_or(|one| one.index != index) {
                        note(broken, index, &fault);
                    }
                }
            }
            Self::Opaque => {}
        }
    }

    /// Takes the end of a tree that was read whole.
    pub(super) fn end(&mut self) {
        if let Self::Audit { chain, broken } = self
            && let Some(fault) = chain.end()
        {
            note(broken, chain.next().saturating_sub(1), &fault);
        }
    }

    /// Returns the rules that are broken.
    fn broken(&self) -> impl Iterator<Item = (&Rule, &Broken)> {
        let broken = match self {
            Self::Audit { broken, .. } => Some(broken),
            Self::Unread { .. } | Self::Opaque => None,
        };
        broken.into_iter().flatten()
    }

    /// Returns what is kept; nothing before something was read.
    pub(super) fn store(&self) -> Option<Stored> {
        let (chain, broken) = match self {
            Self::Unread { .. } => return None,
            Self::Opaque => return Some(Stored::Opaque),
            Self::Audit { chain, broken } => (chain, broken),
        };
        let Point { next, last, policy, rule, parts, unseen, times } = chain.point();
        let bytes = || parts.iter().map(|part| hex(&part.bytes)).collect();
        Some(Stored::Audit {
            next,
            last: last.map(|at| at.to_string()),
            policy: policy.map(|digest| digest.to_string()),
            keys: rule.keys().iter().map(ToString::to_string).collect(),
            threshold: rule.threshold(),
            parts: parts.first().map(|part| (part.digest.to_string(), part.parts, bytes())),
            unseen: unseen.map(|at| at.to_string()),
            times: times.iter().map(|(index, at)| (*index, at.to_string())).collect(),
            broken: broken
                .iter()
                .map(|(rule, one)| (rule.name().to_owned(), one.clone()))
                .collect(),
        })
    }

    /// Takes what was kept, if every part of it has its form.
    pub(super) fn restore(stored: Stored, origin: &Origin) -> Option<Self> {
        let Stored::Audit { next, last, policy, keys, threshold, parts, unseen, times, broken } =
            stored
        else {
            return Some(Self::Opaque);
        };
        let time = |text: &Option<String>| match text {
            Some(text) => Timestamp::parse(text).map(Some),
            None => Some(None),
        };
        let policy = match policy {
            Some(text) => Some(PolicyDigest::parse(&text)?),
            None => None,
        };
        let keys = keys.iter().map(|key| ApproverKey::parse(key)).collect::<Option<_>>()?;
        let parts = match parts {
            Some(parts) => restore_parts(parts)?,
            None => Vec::new(),
        };
        let rule = ApprovalRule::new(keys, threshold)?;
        let (last, unseen) = (time(&last)?, time(&unseen)?);
        let taken = times.iter().map(|(index, at)| Some((*index, Timestamp::parse(at)?)));
        let times: Vec<(u64, Timestamp)> = taken.collect::<Option<_>>()?;
        let rises = times.iter().zip(times.iter().skip(1)).all(|(one, other)| one.0 < other.0);
        if !rises || times.last().is_some_and(|(index, _)| *index >= next) {
            return None;
        }
        let point = Point { next, last, policy, rule, parts, unseen, times };
        let broken = broken.into_iter().map(|(rule, one)| Some((Rule::parse(&rule)?, one)));
        let broken = broken.collect::<Option<_>>()?;
        Some(Self::Audit { chain: Chain::resume(origin.clone(), point), broken })
    }

    /// Returns the index that comes next, of an audit log.
    pub(super) const fn next(&self) -> Option<u64> {
        match self {
            Self::Audit { chain, .. } => Some(chain.next()),
            Self::Unread { .. } | Self::Opaque => None,
        }
    }
}

impl Look for Records {
    fn look(&mut self, index: LeafIndex, entry: &[u8]) {
        if let Self::Unread { chain, is_audit } = self {
            *self = if *is_audit || chain.begins_with(entry) {
                Self::Audit { chain: chain.clone(), broken: BTreeMap::new() }
            } else {
                Self::Opaque
            };
        }
        if let Self::Audit { chain, broken } = self
            // Shown again after a crash.
            && index.get() >= chain.next()
        {
            for fault in chain.take(index, entry) {
                note(broken, index.get(), &fault);
            }
        }
    }
}

impl Follower {
    /// Takes the times at which the policy's witnesses have cosigned a checkpoint of the log.
    pub(super) fn witnessed(&mut self, checkpoint: &SignedCheckpoint) {
        // Without a quorum, which says how many have to, and not whether those that did are to be believed.
        let policy = self.settings.policy.without_quorum();
        let Ok(verified) = policy.verify_checkpoint(checkpoint.note()) else { return };
        let size = checkpoint.head().size.get();
        let kept = self.kept.as_mut().expect("the state is open");
        for (_, time) in verified.witnesses {
            kept.state.records.witnessed(size, time.get());
        }
    }

    /// Tells of the rules that the log's records break.
    pub(super) async fn judge_records(&mut self) -> Result<(), MonitorError> {
        let told = |(rule, one): (&Rule, &Broken)| {
            (format!("records {}", rule.name()), format!("entry {}: {}", one.index, one.reason))
        };
        let found: Vec<(String, String)> = self.kept().state.records.broken().map(told).collect();
        for (source, reason) in found {
            self.found(&source, Kind::Invalid, reason, None).await?;
        }
        Ok(())
    }
}

/// Counts a fault, and remembers the first of its rule.
fn note(broken: &mut BTreeMap<Rule, Broken>, index: u64, fault: &Fault) {
    let first = || Broken { index, entries: 0, reason: fault.to_string() };
    broken.entry(fault.rule()).or_insert_with(first).entries += 1;
}

fn restore_parts((digest, parts, bytes): (String, u64, Vec<String>)) -> Option<Vec<PolicyPart>> {
    let digest = PolicyDigest::parse(&digest)?;
    let part = |(part, text): (u64, &String)| {
        Some(PolicyPart { digest, part, parts, bytes: unhex(text)? })
    };
    (0..).zip(&bytes).map(part).collect()
}

/// Returns bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("a nibble is a digit");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Returns the bytes of hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    pairs.iter().map(byte).collect()
}
