//! The text of a trust policy, read line by line and written again.

use core::fmt;
use std::collections::{HashMap, HashSet};

use super::{Group, Member, Quorum, TrustPolicy, TrustedLog, TrustedWitness};
use crate::core::{
    note::{Algorithm, KeyError, VerifierKey, text::parse_decimal},
    origin::{Origin, OriginError},
};

/// Most bytes of a policy file that is read.
///
/// A line with a name of 255 bytes twice, a key and an address of 2 KiB has less than 3 KiB, so that
/// this is room for hundreds of logs and witnesses; the specification asks for 32 each.
pub const POLICY_BYTES_MAX: usize = 1 << 20;

/// The name of the quorum that every checkpoint reaches.
pub(super) const NONE: &str = "none";

/// Why a text is no trust policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The text is too long.
    #[error("the policy has {bytes} bytes, more than {POLICY_BYTES_MAX}")]
    TooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// A line is wrong.
    #[error("line {line} of the policy: {problem}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        problem: PolicyProblem,
    },
    /// No line sets the quorum.
    #[error("the policy has no quorum line: add \"quorum none\" or \"quorum <name>\"")]
    NoQuorum,
}

/// What is wrong with a line of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// The line holds a control character.
    #[error("control characters other than tabs are not allowed; end lines with a line feed alone")]
    Control,
    /// The first word is not known.
    #[error("{word:?} is no kind of line: use log, witness, group or quorum")]
    Kind {
        /// The first word.
        word: String,
    },
    /// The line has too few or too many words.
    #[error("write {form:?}")]
    Form {
        /// How such a line is written.
        form: &'static str,
    },
    /// The key does not parse.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key is of a kind that does not belong there.
    #[error(
        "a log has an Ed25519 key (0x01), a witness a cosigning one (0x04); this is 0x{byte:02x}"
    )]
    Algorithm {
        /// The byte that names the algorithm.
        byte: u8,
    },
    /// The name of a log's key is no origin.
    #[error("the name of a log's key is its origin, and this is none: {0}")]
    Origin(#[from] OriginError),
    /// The public key is listed already.
    #[error("the same public key is listed above, under this name or another")]
    DuplicateKey,
    /// The name is defined already.
    #[error("{name:?} is defined above")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// `none` can't be defined, nor be a member of a group.
    #[error("\"none\" is reserved: it can only be the quorum")]
    Reserved,
    /// The name is not defined above.
    #[error("{name:?} is not defined above this line")]
    UnknownName {
        /// The name.
        name: String,
    },
    /// The name is a member of a group already.
    #[error("{name:?} is a member of a group already, and may count only once")]
    DuplicateMember {
        /// The name.
        name: String,
    },
    /// The number of members that must have witnessed is out of range.
    #[error("the threshold of a group of {members} is all, any or a number from 1 to {members}")]
    Threshold {
        /// Number of members listed.
        members: usize,
    },
    /// The quorum is set already.
    #[error("the quorum is set above: remove one of the two lines")]
    DuplicateQuorum,
}

impl TrustPolicy {
    /// Parses a policy file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLong { bytes: text.len() });
        }
        let mut parser = Parser::default();
        for (line, text) in (1..).zip(text.split('\n')) {
            parser.read_line(text).map_err(|problem| PolicyError::Line { line, problem })?;
        }
        let Parser { logs, witnesses, groups, quorum, .. } = parser;
        Ok(Self { logs, witnesses, groups, quorum: quorum.ok_or(PolicyError::NoQuorum)? })
    }
}

/// What the lines so far have defined.
#[derive(Default)]
struct Parser {
    logs: Vec<TrustedLog>,
    witnesses: Vec<TrustedWitness>,
    groups: Vec<Group>,
    quorum: Option<Quorum>,
    /// Witnesses and groups share their names.
    names: HashMap<String, Member>,
    /// What is a member of a group already.
    grouped: HashSet<Member>,
    log_keys: HashSet<[u8; 32]>,
    witness_keys: HashSet<[u8; 32]>,
}

impl Parser {
    /// Reads one line without its line feed.
    fn read_line(&mut self, line: &str) -> Result<(), PolicyProblem> {
        if line.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err(PolicyProblem::Control);
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        let Some((&kind, words)) = words.split_first() else { return Ok(()) };
        match kind {
            comment if comment.starts_with('#') => Ok(()),
            "log" => self.read_log(words),
            "witness" => self.read_witness(words),
            "group" => self.read_group(words),
            "quorum" => self.read_quorum(words),
            word => Err(PolicyProblem::Kind { word: word.to_owned() }),
        }
    }

    /// Reads what follows `log`.
    fn read_log(&mut self, words: &[&str]) -> Result<(), PolicyProblem> {
        let (vkey, url) = match *words {
            [vkey] => (vkey, None),
            [vkey, url] => (vkey, Some(url.to_owned())),
            _ => return Err(PolicyProblem::Form { form: "log <vkey> [<url>]" }),
        };
        let key = parse_key(vkey, Algorithm::Ed25519)?;
        let origin = Origin::parse(key.name().as_str())?;
        if !self.log_keys.insert(*key.public_bytes()) {
            return Err(PolicyProblem::DuplicateKey);
        }
        self.logs.push(TrustedLog { key, origin, url });
        Ok(())
    }

    /// Reads what follows `witness`.
    fn read_witness(&mut self, words: &[&str]) -> Result<(), PolicyProblem> {
        let (name, vkey, url) = match *words {
            [name, vkey] => (name, vkey, None),
            [name, vkey, url] => (name, vkey, Some(url.to_owned())),
            _ => return Err(PolicyProblem::Form { form: "witness <name> <vkey> [<url>]" }),
        };
        let key = parse_key(vkey, Algorithm::CosignatureV1)?;
        if !self.witness_keys.insert(*key.public_bytes()) {
            return Err(PolicyProblem::DuplicateKey);
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(TrustedWitness { name: name.to_owned(), key, url });
        Ok(())
    }

    /// Reads what follows `group`.
    fn read_group(&mut self, words: &[&str]) -> Result<(), PolicyProblem> {
        let &[name, threshold, ref names @ ..] = words else {
            return Err(PolicyProblem::Form { form: "group <name> all|any|<k> <member>..." });
        };
        let threshold = match threshold {
            "all" => Some(names.len()),
            "any" => Some(1),
            number => parse_decimal(number).and_then(|number| usize::try_from(number).ok()),
        };
        let threshold = threshold
            .filter(|threshold| (1..=names.len()).contains(threshold))
            .ok_or(PolicyProblem::Threshold { members: names.len() })?;
        let mut members = Vec::with_capacity(names.len());
        for &name in names {
            let member = self.defined(name)?;
            if !self.grouped.insert(member) {
                return Err(PolicyProblem::DuplicateMember { name: name.to_owned() });
            }
            members.push(member);
        }
        // Defined last, so that a group can't be a member of itself.
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { name: name.to_owned(), threshold, members });
        Ok(())
    }

    /// Reads what follows `quorum`.
    fn read_quorum(&mut self, words: &[&str]) -> Result<(), PolicyProblem> {
        let &[name] = words else {
            return Err(PolicyProblem::Form { form: "quorum <name>|none" });
        };
        if self.quorum.is_some() {
            return Err(PolicyProblem::DuplicateQuorum);
        }
        self.quorum = Some(match name {
            NONE => Quorum::Nobody,
            name => Quorum::Member(self.defined(name)?),
        });
        Ok(())
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), PolicyProblem> {
        if name == NONE {
            return Err(PolicyProblem::Reserved);
        }
        match self.names.insert(name.to_owned(), member) {
            Some(_) => Err(PolicyProblem::DuplicateName { name: name.to_owned() }),
            None => Ok(()),
        }
    }

    fn defined(&self, name: &str) -> Result<Member, PolicyProblem> {
        match self.names.get(name) {
            Some(&member) => Ok(member),
            None if name == NONE => Err(PolicyProblem::Reserved),
            None => Err(PolicyProblem::UnknownName { name: name.to_owned() }),
        }
    }
}

/// Parses a key of the algorithm that its line asks for.
fn parse_key(vkey: &str, algorithm: Algorithm) -> Result<VerifierKey, PolicyProblem> {
    let key = VerifierKey::parse(vkey)?;
    if key.algorithm() == algorithm {
        Ok(key)
    } else {
        Err(PolicyProblem::Algorithm { byte: key.algorithm().byte() })
    }
}

impl fmt::Display for TrustPolicy {
    /// Writes the policy file without comments.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for TrustedLog { key, url, .. } in &self.logs {
            write!(f, "log {key}")?;
            write_url(f, url.as_deref())?;
        }
        for TrustedWitness { name, key, url } in &self.witnesses {
            write!(f, "witness {name} {key}")?;
            write_url(f, url.as_deref())?;
        }
        for Group { name, threshold, members } in &self.groups {
            write!(f, "group {name} {threshold}")?;
            members.iter().try_for_each(|&member| write!(f, " {}", self.name(member)))?;
            f.write_str("\n")?;
        }
        writeln!(f, "quorum {}", self.quorum_name())
    }
}

fn write_url(f: &mut fmt::Formatter<'_>, url: Option<&str>) -> fmt::Result {
    match url {
        Some(url) => writeln!(f, " {url}"),
        None => f.write_str("\n"),
    }
}
