//! Who may send in a foreign protocol, how much, and into which log.
//!
//! # Invariants
//!
//! - Two sources have different names; two of one kind share no token and no certificate, and at most one of a
//!   kind is open. So a credential belongs to one source, and the source decides the log.
//! - Of tokens their SHA-256 is kept, and every one of a kind is compared, whichever fits.

mod channel;
mod coding;
mod meter;
mod rate;
mod take;

use core::{fmt, str::FromStr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

pub(super) use self::coding::{Body, Coding, decode};
use self::{channel::Channels, rate::Bucket};
pub use self::{
    meter::{Became, SourceMeter, SourceMeters},
    take::Placed,
};
use super::{Desk, receiving::Receiving};
use crate::{core::credential::Fingerprint, pipeline::Clock};

/// A foreign protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// Logs of OpenTelemetry.
    Otlp,
    /// The audit webhook of Kubernetes.
    Kubernetes,
    /// `CloudEvents` over HTTP.
    CloudEvents,
    /// The HTTP event collector of Splunk.
    Hec,
    /// Decision logs of the Open Policy Agent.
    Opa,
    /// Syslog over TCP.
    Syslog,
    /// Lines of files, from `attestree ship`.
    Ship,
}

impl SourceKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Otlp,
        Self::Kubernetes,
        Self::CloudEvents,
        Self::Hec,
        Self::Opa,
        Self::Syslog,
        Self::Ship,
    ];

    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Otlp => "otlp",
            Self::Kubernetes => "kubernetes",
            Self::CloudEvents => "cloudevents",
            Self::Hec => "hec",
            Self::Opa => "opa",
            Self::Syslog => "syslog",
            Self::Ship => "ship",
        }
    }
}

impl FromStr for SourceKind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(())
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much a source may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes of a body, as it comes and as it is decoded.
    pub body_bytes: usize,
    /// Most items of a request.
    pub items: usize,
    /// Most items a second, over time.
    pub rate: Option<u32>,
}

/// What a source is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceParts {
    /// Its name, which records show.
    pub name: String,
    /// Its protocol.
    pub kind: SourceKind,
    /// The origin of its log; empty for the default one.
    pub log: String,
    /// The cluster that it watches, if that is not called like the source.
    pub cluster: Option<String>,
    /// The tokens that it is known by.
    pub tokens: Vec<Fingerprint>,
    /// The client certificates that it is known by.
    pub certificates: Vec<Fingerprint>,
    /// Whether nobody is asked who he is.
    pub open: bool,
    /// How much it may bring.
    pub bounds: Bounds,
}

/// A sender, or several, known by the same name.
#[derive(Debug)]
pub struct Source {
    parts: SourceParts,
    /// The tokens that it is known by at present.
    tokens: RwLock<Vec<Fingerprint>>,
    bucket: Option<Mutex<Bucket>>,
    meter: SourceMeter,
    receiving: Receiving,
    channels: Channels,
}

impl Source {
    /// Returns the name, which records show.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// Returns the protocol.
    pub fn kind(&self) -> SourceKind {
        self.parts.kind
    }

    /// Returns the origin of its log; empty for the default one.
    pub fn log(&self) -> &str {
        &self.parts.log
    }

    /// Returns the name of the cluster that it watches.
    pub fn cluster(&self) -> &str {
        self.parts.cluster.as_deref().unwrap_or(&self.parts.name)
    }

    /// Returns how much it may bring.
    pub fn bounds(&self) -> &Bounds {
        &self.parts.bounds
    }

    /// Returns its counters.
    pub fn meter(&self) -> &SourceMeter {
        &self.meter
    }

    /// Returns the channels on which its senders ask for acknowledgements.
    pub(super) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Returns the budget of requests that are being read.
    pub(super) fn receiving(&self) -> &Receiving {
        &self.receiving
    }

    /// Takes items out of the rate, or returns how long to wait.
    fn pace(&self, items: usize, clock: &dyn Clock) -> Result<(), core::time::Duration> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(items, clock.monotonic())
    }

    /// Returns whether the credentials are this source's. Looks at all of them.
    fn knows(&self, token: Option<&Fingerprint>, principal: Option<&Fingerprint>) -> bool {
        let held = |all: &[Fingerprint], one: Option<&Fingerprint>| {
            one.is_some_and(|one| all.iter().fold(false, |found, other| found | other.is(one)))
        };
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        held(&tokens, token) | held(&self.parts.certificates, principal)
    }
}

/// Why a request belongs to no source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unadmitted {
    /// No source of this kind is configured.
    Off,
    /// There is no credential.
    Missing,
    /// There is one, and it is no source's of this kind.
    Wrong,
}

impl Unadmitted {
    /// Returns the reason, the label under which refusals are counted.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Off => "NO_SOURCE",
            Self::Missing => "TOKEN_MISSING",
            Self::Wrong => "TOKEN_WRONG",
        }
    }
}

/// The sources of a server.
#[derive(Debug)]
pub struct Sources {
    all: Vec<Arc<Source>>,
    /// Counts what belongs to none.
    strangers: SourceMeter,
}

/// Two sources can't be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourcesError {
    /// They have the same name.
    #[error("two sources are called {name:?}; give each a name of its own")]
    Name {
        /// The name.
        name: String,
    },
    /// They share a credential.
    #[error(
        "the {kind} sources {one:?} and {other:?} share a token or a certificate; give each its own, or it \
         can't be told whose a request is"
    )]
    Shared {
        /// Their kind.
        kind: SourceKind,
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// Both are open.
    #[error("the {kind} sources {one:?} and {other:?} are both open; one of a kind can be")]
    Open {
        /// Their kind.
        kind: SourceKind,
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
}

impl Sources {
    /// Takes the sources of a server. Their bodies are read at the expense of `receiving`.
    pub fn new(
        parts: Vec<SourceParts>,
        meters: &SourceMeters,
        receiving: &Receiving,
    ) -> Result<Self, SourcesError> {
        check_apart(&parts)?;
        let source = |mut parts: SourceParts| {
            let tokens = RwLock::new(core::mem::take(&mut parts.tokens));
            let bucket = parts.bounds.rate.map(|rate| Mutex::new(Bucket::new(rate)));
            let meter = meters.of(&parts.name);
            meter.show();
            let (receiving, channels) = (receiving.clone(), Channels::default());
            Arc::new(Source { parts, tokens, bucket, meter, receiving, channels })
        };
        let all = parts.into_iter().map(source).collect();
        Ok(Self { all, strangers: meters.of("") })
    }

    /// Returns whether there is a source of a kind.
    pub fn has(&self, kind: SourceKind) -> bool {
        self.all.iter().any(|source| source.kind() == kind)
    }

    /// Takes other tokens for the sources, which are found by their names.
    pub fn renew(&self, parts: Vec<SourceParts>) {
        for SourceParts { name, tokens, .. } in parts {
            if let Some(source) = self.all.iter().find(|source| source.name() == name) {
                *source.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
            }
        }
    }

    /// Finds the source of a request. Every source of the kind is looked at, whichever fits.
    fn find(
        &self,
        kind: SourceKind,
        token: Option<&[u8]>,
        principal: &Bytes,
    ) -> Result<&Arc<Source>, Unadmitted> {
        let presented = token.map(Fingerprint::of);
        let principal = Fingerprint::from_slice(principal);
        let (mut is_any, mut asks_certificates) = (false, false);
        let (mut known, mut open) = (None, None);
        for source in self.all.iter().filter(|source| source.kind() == kind) {
            is_any = true;
            asks_certificates |= !source.parts.certificates.is_empty();
            if source.knows(presented.as_ref(), principal.as_ref()) {
                known = Some(source);
            }
            if source.parts.open {
                open = Some(source);
            }
        }
        let has_any = presented.is_some() || (asks_certificates && principal.is_some());
        match (known.or(open), is_any, has_any) {
            (Some(source), ..) => Ok(source),
            (None, false, _) => Err(Unadmitted::Off),
            (None, true, false) => Err(Unadmitted::Missing),
            (None, true, true) => Err(Unadmitted::Wrong),
        }
    }
}

/// Checks that all sources can be told apart.
pub fn check_apart(parts: &[SourceParts]) -> Result<(), SourcesError> {
    let pairs = parts.iter().enumerate();
    let mut pairs =
        pairs.flat_map(|(at, one)| parts.iter().skip(at + 1).map(move |other| (one, other)));
    pairs.try_for_each(|(one, other)| apart(one, other))
}

/// Checks that two sources can be told apart.
fn apart(one: &SourceParts, other: &SourceParts) -> Result<(), SourcesError> {
    if one.name == other.name {
        return Err(SourcesError::Name { name: one.name.clone() });
    }
    if one.kind != other.kind {
        return Ok(());
    }
    let (kind, first, second) = (one.kind, one.name.clone(), other.name.clone());
    let shares =
        |all: &[Fingerprint], others: &[Fingerprint]| all.iter().any(|one| others.contains(one));
    if shares(&one.tokens, &other.tokens) || shares(&one.certificates, &other.certificates) {
        return Err(SourcesError::Shared { kind, one: first, other: second });
    }
    if one.open && other.open {
        return Err(SourcesError::Open { kind, one: first, other: second });
    }
    Ok(())
}

impl Desk {
    /// Returns whether there is a source of a kind.
    pub fn offers(&self, kind: SourceKind) -> bool {
        self.sources.all.iter().any(|source| source.kind() == kind)
    }

    /// Returns whether a client certificate, or none, is that of a source.
    pub fn knows(&self, kind: SourceKind, principal: &Bytes) -> bool {
        self.sources.find(kind, None, principal).is_ok()
    }

    /// Finds the source of a request by its token or its client certificate.
    pub fn source(
        &self,
        kind: SourceKind,
        token: Option<&[u8]>,
        principal: &Bytes,
    ) -> Result<Arc<Source>, Unadmitted> {
        let found = self.sources.find(kind, token, principal).map(Arc::clone);
        found.inspect_err(|unadmitted| self.sources.strangers.refuse(unadmitted.reason()))
    }
}
