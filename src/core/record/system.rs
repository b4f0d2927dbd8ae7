//! What the server records of its own: nothing here can be made of a submission.
//!
//! ```text
//! {"at":"...","ctx":{"from":41,"to":44},"id":"...","source":"CN=payments","t":"gap","v":1}
//! ```
//!
//! # Invariants
//!
//! - A part of a policy has [`PART_BYTES`] bytes, the last one at least one.
//! - The later of two entries under one key has the larger index.
//! - Counts are at least one, ranges are not empty, and periods do not end before they begin.

use super::approval::{Approval, ApprovalRule};
use super::json::{Number, Object, Value};
use super::member::{has, is_source};
use super::name::{PolicyDigest, is_class, is_rule};
use super::text::{format_bytes, parse_bytes};
use super::time::Timestamp;
use crate::core::number::LeafIndex;
use crate::core::origin::Origin;

/// Bytes of each part of a policy but the last: in base64 they are 54,614 of a record's 65,535.
pub const PART_BYTES: usize = 40_960;

/// Most bytes of the files of a policy, as they are digested: one commit has to hold their records.
pub const POLICY_BYTES_MAX: usize = 4 << 20;

/// Most bytes of an engine's name or version.
const ENGINE_BYTES_MAX: usize = 64;

/// A record of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum System {
    /// The first record of a log.
    Genesis {
        /// The log.
        origin: Origin,
        /// Who has to approve the first policy.
        rule: ApprovalRule,
    },
    /// A policy that governs every index above this one.
    Policy(ActivePolicy),
    /// A part of the files of the policy that follows.
    PolicyPart(PolicyPart),
    /// Numbers of a source did not come: `from` and those below `to`.
    Gap {
        /// The source.
        source: String,
        /// The first missing number.
        from: u64,
        /// The number that came instead.
        to: u64,
    },
    /// A number that was missing has come.
    Late(SourceNumber),
    /// A number that was there has come again.
    Conflict(SourceNumber),
    /// Another event came under a key that a source has used.
    KeyConflict(KeyConflict),
    /// Events were not recorded one by one.
    Suppressed(Tally),
    /// A rule fired.
    Alert(AlertCause, Tally),
}

/// What a `policy` record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivePolicy {
    /// The digest of its files.
    pub digest: PolicyDigest,
    /// Bytes of its files, as they are digested.
    pub bytes: u64,
    /// The engine that decides by it.
    pub engine: Engine,
    /// Who has to approve the next one.
    pub rule: ApprovalRule,
    /// The approvals of this one, sorted by key.
    pub approvals: Vec<Approval>,
    /// The principal that applied it.
    pub source: Option<String>,
}

/// The engine that decides by a policy: replaying it needs the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A part of the files of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyPart {
    /// The digest of all files.
    pub digest: PolicyDigest,
    /// Number of this part, from 0.
    pub part: u64,
    /// How many there are.
    pub parts: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A number of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNumber {
    /// The source.
    pub source: String,
    /// The number.
    pub seq: u64,
}

/// Two events of a source under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConflict {
    /// The source.
    pub source: String,
    /// The first entry with the key.
    pub first: LeafIndex,
    /// The entry that came later.
    pub index: LeafIndex,
}

/// Events that a rule counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The rule.
    pub rule: String,
    /// How many events.
    pub count: u64,
    /// When the first of them came, or the silence began.
    pub from: Timestamp,
    /// When the last of them came, or the silence was noticed.
    pub to: Timestamp,
    /// Their source, if they have one in common.
    pub source: Option<String>,
    /// Their class, if they have one in common.
    pub class: Option<String>,
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertCause {
    /// One event.
    Match,
    /// Too many.
    Threshold,
    /// None, where some are expected.
    Absence,
}

impl AlertCause {
    /// Returns the text of a record.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Threshold => "threshold",
            Self::Absence => "absence",
        }
    }

    /// Parses the text of a record.
    fn parse(text: &str) -> Option<Self> {
        [Self::Match, Self::Threshold, Self::Absence]
            .into_iter()
            .find(|cause| cause.as_str() == text)
    }
}

impl System {
    /// Every type of such a record.
    pub const TYPES: [&str; 8] =
        ["genesis", "policy", "policy-part", "gap", "late", "conflict", "suppressed", "alert"];

    /// Returns the type of the record.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "genesis",
            Self::Policy(_) => "policy",
            Self::PolicyPart(_) => "policy-part",
            Self::Gap { .. } => "gap",
            Self::Late(_) => "late",
            Self::Conflict(_) | Self::KeyConflict(_) => "conflict",
            Self::Suppressed(_) => "suppressed",
            Self::Alert(..) => "alert",
        }
    }

    /// Returns the members that follow from the content; `None` if a value is out of its bounds.
    pub(super) fn members(&self) -> Option<Object<'static>> {
        let members = match self {
            Self::Genesis { origin, rule } => {
                let origin = Value::from(origin.as_str().to_owned());
                Object::from([(
                    "ctx",
                    Object::from([("origin", origin), ("rule", rule.to_value())]).into(),
                )])
            }
            Self::Policy(policy) => policy.members()?,
            Self::PolicyPart(part) => part.members()?,
            Self::Gap { source, from, to } => {
                let range = [("from", natural(*from)?), ("to", natural(*to)?)];
                Object::from([
                    ("ctx", Object::from(range).into()),
                    ("source", source.clone().into()),
                ])
            }
            Self::Late(number) | Self::Conflict(number) => Object::from([
                ("seq", natural(number.seq)?),
                ("source", number.source.clone().into()),
            ]),
            Self::KeyConflict(conflict) => conflict.members()?,
            Self::Suppressed(tally) => tally.members(None)?,
            Self::Alert(cause, tally) => tally.members(Some(*cause))?,
        };
        // One reader decides what is in its bounds, for both sides.
        (Self::parse(self.type_name(), &members).as_ref() == Some(self)).then_some(members)
    }

    /// Takes the content of a record of the system, without the members that every record has.
    pub(super) fn parse(type_name: &str, members: &Object<'_>) -> Option<Self> {
        let only =
            |required: &[&str], optional: &[&str]| has(members, required, optional).then_some(());
        match type_name {
            "genesis" => {
                only(&["ctx"], &[])?;
                let ctx = context(members, &["origin", "rule"])?;
                let origin = Origin::parse(ctx.get("origin")?.as_str()?).ok()?;
                Some(Self::Genesis { origin, rule: ApprovalRule::from_value(ctx.get("rule")?)? })
            }
            "policy" => {
                only(&["ctx"], &["source"])?;
                ActivePolicy::parse(members).map(Self::Policy)
            }
            "policy-part" => {
                only(&["ctx"], &[])?;
                PolicyPart::parse(members).map(Self::PolicyPart)
            }
            "gap" => {
                only(&["ctx", "source"], &[])?;
                let ctx = context(members, &["from", "to"])?;
                let (from, to) = (ctx.get("from")?.as_natural()?, ctx.get("to")?.as_natural()?);
                (from < to).then_some(Self::Gap { source: source(members)??, from, to })
            }
            "conflict" if members.get("ctx").is_some() => {
                only(&["ctx", "source"], &[])?;
                KeyConflict::parse(members).map(Self::KeyConflict)
            }
            "late" | "conflict" => {
                only(&["seq", "source"], &[])?;
                let number = SourceNumber {
                    source: source(members)??,
                    seq: members.get("seq")?.as_natural()?,
                };
                Some(if type_name == "late" { Self::Late(number) } else { Self::Conflict(number) })
            }
            "suppressed" | "alert" => {
                only(&["ctx"], &["source", "class"])?;
                Tally::parse(type_name, members)
            }
            _ => None,
        }
    }
}

impl ActivePolicy {
    /// Returns the members of a `policy` record.
    fn members(&self) -> Option<Object<'static>> {
        let engine = [
            ("name", self.engine.name.clone().into()),
            ("version", self.engine.version.clone().into()),
        ];
        let ctx = Object::from([
            ("approvals", Value::Array(self.approvals.iter().map(Approval::to_value).collect())),
            ("bytes", natural(self.bytes)?),
            ("digest", self.digest.to_string().into()),
            ("engine", Object::from(engine).into()),
            ("parts", natural(parts_of(self.bytes))?),
            ("rule", self.rule.to_value()),
        ]);
        Some(with_source(Object::from([("ctx", ctx.into())]), self.source.as_ref()))
    }

    /// Takes the members of a `policy` record.
    fn parse(members: &Object<'_>) -> Option<Self> {
        let ctx = context(members, &["approvals", "bytes", "digest", "engine", "parts", "rule"])?;
        let Value::Array(approvals) = ctx.get("approvals")? else { return None };
        let approvals: Vec<Approval> =
            approvals.iter().map(Approval::from_value).collect::<Option<_>>()?;
        let sorted =
            approvals.windows(2).all(|pair| matches!(pair, [one, other] if one.key < other.key));
        let engine = ctx
            .get("engine")?
            .as_object()
            .filter(|engine| has(engine, &["name", "version"], &[]))?;
        let text = |name| {
            let text = engine.get(name)?.as_str()?;
            super::name::is_line(text, ENGINE_BYTES_MAX).then(|| text.to_owned())
        };
        let bytes = ctx.get("bytes")?.as_natural()?;
        let is_size =
            bytes >= 1 && usize::try_from(bytes).is_ok_and(|bytes| bytes <= POLICY_BYTES_MAX);
        let is_form = sorted && is_size && ctx.get("parts")?.as_natural()? == parts_of(bytes);
        is_form.then_some(Self {
            digest: PolicyDigest::parse(ctx.get("digest")?.as_str()?)?,
            bytes,
            engine: Engine { name: text("name")?, version: text("version")? },
            rule: ApprovalRule::from_value(ctx.get("rule")?)?,
            approvals,
            source: source(members)?,
        })
    }
}

impl PolicyPart {
    /// Returns the members of a `policy-part` record.
    fn members(&self) -> Option<Object<'static>> {
        let ctx = Object::from([
            ("data", format_bytes(&self.bytes).into()),
            ("digest", self.digest.to_string().into()),
            ("part", natural(self.part)?),
            ("parts", natural(self.parts)?),
        ]);
        Some(Object::from([("ctx", ctx.into())]))
    }

    /// Takes the members of a `policy-part` record.
    fn parse(members: &Object<'_>) -> Option<Self> {
        let ctx = context(members, &["data", "digest", "part", "parts"])?;
        let bytes = parse_bytes(ctx.get("data")?.as_str()?)?;
        let (part, parts) = (ctx.get("part")?.as_natural()?, ctx.get("parts")?.as_natural()?);
        let is_size = if part + 1 < parts {
            bytes.len() == PART_BYTES
        } else {
            (1..=PART_BYTES).contains(&bytes.len())
        };
        let bound = u64::try_from(POLICY_BYTES_MAX).map(parts_of).ok()?;
        let digest = PolicyDigest::parse(ctx.get("digest")?.as_str()?)?;
        (is_size && part < parts && parts <= bound).then_some(Self { digest, part, parts, bytes })
    }
}

impl KeyConflict {
    /// Returns the members of a `conflict` record about a key.
    fn members(&self) -> Option<Object<'static>> {
        let ctx = [("first", natural(self.first.get())?), ("index", natural(self.index.get())?)];
        let source = self.source.clone().into();
        Some(Object::from([("ctx", Object::from(ctx).into()), ("source", source)]))
    }

    /// Takes the members of a `conflict` record about a key.
    fn parse(members: &Object<'_>) -> Option<Self> {
        let ctx = context(members, &["first", "index"])?;
        let index = |name| LeafIndex::new(ctx.get(name)?.as_natural()?);
        let (first, index) = (index("first")?, index("index")?);
        (first < index).then_some(Self { source: source(members)??, first, index })
    }
}

impl Tally {
    /// Returns the members of a `suppressed` record, or with a cause of an `alert`.
    fn members(&self, cause: Option<AlertCause>) -> Option<Object<'static>> {
        let mut ctx = Object::from([
            ("count", natural(self.count)?),
            ("from", self.from.to_string().into()),
            ("rule", self.rule.clone().into()),
            ("to", self.to.to_string().into()),
        ]);
        if let Some(cause) = cause {
            ctx.insert("kind", cause.as_str().into());
        }
        let mut members = with_source(Object::from([("ctx", ctx.into())]), self.source.as_ref());
        if let Some(class) = &self.class {
            members.insert("class", class.clone().into());
        }
        Some(members)
    }

    /// Takes the members of a `suppressed` or `alert` record.
    fn parse(type_name: &str, members: &Object<'_>) -> Option<System> {
        let is_alert = type_name == "alert";
        let names: &[&str] = if is_alert {
            &["count", "from", "kind", "rule", "to"]
        } else {
            &["count", "from", "rule", "to"]
        };
        let ctx = context(members, names)?;
        let time = |name| Timestamp::parse(ctx.get(name)?.as_str()?);
        let cause =
            if is_alert { Some(AlertCause::parse(ctx.get("kind")?.as_str()?)?) } else { None };
        let class = match members.get("class") {
            Some(class) => Some(class.as_str().filter(|class| is_class(class))?.to_owned()),
            None => None,
        };
        let tally = Self {
            rule: ctx.get("rule")?.as_str().filter(|rule| is_rule(rule))?.to_owned(),
            count: ctx.get("count")?.as_natural()?,
            from: time("from")?,
            to: time("to")?,
            source: source(members)?,
            class,
        };
        // Of absent events there are none.
        let counted = (tally.count == 0) == (cause == Some(AlertCause::Absence));
        let system = cause.map_or_else(
            || System::Suppressed(tally.clone()),
            |cause| System::Alert(cause, tally.clone()),
        );
        (counted && tally.from <= tally.to).then_some(system)
    }
}

/// Returns how many parts so many bytes make.
pub(super) fn parts_of(bytes: u64) -> u64 {
    bytes.div_ceil(u64::try_from(PART_BYTES).expect("a part is small"))
}

/// Returns a number of a record; `None` beyond 2^53-1.
fn natural(number: u64) -> Option<Value<'static>> {
    i64::try_from(number).ok().and_then(Number::from_integer).map(Value::Number)
}

/// Returns `ctx` if it has exactly these members.
fn context<'o, 'a>(members: &'o Object<'a>, names: &[&str]) -> Option<&'o Object<'a>> {
    members.get("ctx")?.as_object().filter(|context| has(context, names, &[]))
}

/// Returns the source, if there is one; `None` if it has no form.
#[expect(clippy::option_option, reason = "no source, and one that is wrong, are different things")]
fn source(members: &Object<'_>) -> Option<Option<String>> {
    match members.get("source") {
        Some(source) => Some(Some(source.as_str().filter(|source| is_source(source))?.to_owned())),
        None => Some(None),
    }
}

fn with_source(mut members: Object<'static>, source: Option<&String>) -> Object<'static> {
    if let Some(source) = source {
        members.insert("source", source.clone().into());
    }
    members
}
