//! What is wrong with a record in its place.

use core::fmt;

use crate::core::number::LeafIndex;
use crate::core::origin::Origin;
use crate::core::record::{PolicyDigest, RecordError, Timestamp};

/// A rule of audit logs that a record breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first record is another one.
    #[error("the log does not begin with its genesis record")]
    NoGenesis,
    /// A genesis record stands behind others.
    #[error("a genesis record stands in the middle of the log")]
    SecondGenesis,
    /// The genesis record is that of another log.
    #[error("the genesis record is of the log {found}")]
    Origin {
        /// The log that it names.
        found: Origin,
    },
    /// The entry is no record.
    #[error("it is no audit record: {0}")]
    Form(RecordError),
    /// The type is one that nothing may make.
    #[error("its type is reserved: nothing may make such a record")]
    Reserved,
    /// The time does not rise.
    #[error("its time {at} is not after {last}, that of the record before")]
    Time {
        /// That of the record before.
        last: Timestamp,
        /// That of this one.
        at: Timestamp,
    },
    /// A witness had seen the record before the time that it states.
    #[error("its time {at} is after {seen}, when a witness had seen it")]
    Late {
        /// That of the record.
        at: Timestamp,
        /// When the first witness cosigned a tree that holds it.
        seen: Timestamp,
    },
    /// A witness had not seen the record after the time that it states.
    #[error("its time {at} is before {unseen}, when a witness had not seen it: it is dated back")]
    Early {
        /// That of the record.
        at: Timestamp,
        /// When the last witness cosigned a tree that does not hold it.
        unseen: Timestamp,
    },
    /// The record names another policy than the one in force.
    #[error("it names the policy {}, and {} is in force", Named(found), Named(expected))]
    Policy {
        /// The one in force.
        expected: Option<PolicyDigest>,
        /// The one that is named.
        found: Option<PolicyDigest>,
    },
    /// A policy's files are not all there, or are not those of its digest.
    #[error("the parts of a policy are not complete, not in order, or not those of its digest")]
    Parts,
    /// A conflict is told of an entry that is not there yet.
    #[error("it tells of a conflict of entry {found}, which is not below it")]
    Conflict {
        /// The entry that it names.
        found: LeafIndex,
    },
    /// Too few have approved a policy.
    #[error(
        "the policy took force without the {threshold} approvals that the rule before it asks for"
    )]
    Approvals {
        /// How many it takes.
        threshold: usize,
    },
}

/// What a fault is about: a stable name, under which findings are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Every entry is a record.
    Form,
    /// Reserved types are not used.
    Reserved,
    /// The genesis record is the first, and only the first.
    Genesis,
    /// Times rise.
    Time,
    /// Times are those at which witnesses saw the log grow.
    Witnessed,
    /// Records name the policy in force.
    Policy,
    /// The files of a policy are in the log.
    Parts,
    /// Policies are approved.
    Approvals,
    /// Conflicts are told after their entries.
    Conflict,
}

impl Fault {
    /// Returns the rule that is broken.
    pub const fn rule(&self) -> Rule {
        match self {
            Self::NoGenesis | Self::SecondGenesis | Self::Origin { .. } => Rule::Genesis,
            Self::Form(_) => Rule::Form,
            Self::Reserved => Rule::Reserved,
            Self::Time { .. } => Rule::Time,
            Self::Late { .. } | Self::Early { .. } => Rule::Witnessed,
            Self::Policy { .. } => Rule::Policy,
            Self::Parts => Rule::Parts,
            Self::Approvals { .. } => Rule::Approvals,
            Self::Conflict { .. } => Rule::Conflict,
        }
    }
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 9] = [
        Self::Form,
        Self::Reserved,
        Self::Genesis,
        Self::Time,
        Self::Witnessed,
        Self::Policy,
        Self::Parts,
        Self::Approvals,
        Self::Conflict,
    ];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Reserved => "reserved",
            Self::Genesis => "genesis",
            Self::Time => "time",
            Self::Witnessed => "witnessed",
            Self::Policy => "policy",
            Self::Parts => "parts",
            Self::Approvals => "approvals",
            Self::Conflict => "conflict",
        }
    }

    /// Parses a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

/// A policy by its digest, or none.
struct Named<'a>(&'a Option<PolicyDigest>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(digest) => digest.fmt(f),
            None => f.write_str("none"),
        }
    }
}
