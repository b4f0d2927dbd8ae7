//! Judges events: on the threads of those who submit, and again in the sequencer where a newer policy
//! governs by then.

use super::{
    AuditParts, Entropy,
    handle::{Audited, Generation},
};
use crate::{
    core::{
        number::{LogNumber, UnixMillis},
        policy::{self, Admission, Arrival, Kept, Materials, Seen, Watch},
        record::{
            Body, Draft, Opening, Path, Record, RecordId, SALT_BYTES, SECRET_BYTES,
            SUBMISSION_LIMITS, Salt, Sealer, Secret, SubmissionError, Timestamp, Verdict, epoch,
            json::{self, Value},
        },
    },
    pipeline::{
        log::Log,
        vault::{Vault, VaultError},
    },
};

/// Random bytes that are drawn at once: an id and seven salts.
const DRAWN_BYTES: usize = 256;

/// A committed field of a record.
#[derive(Debug)]
pub(in crate::pipeline) struct Field {
    pub(super) opening: Opening,
    /// The subject whose key seals it.
    pub(super) subject: String,
    /// What is stored, if the key was at hand.
    pub(super) sealed: Option<Vec<u8>>,
}

/// An event that was made a record, but for its index and time.
#[derive(Debug)]
pub(in crate::pipeline) struct Judged {
    /// The number of the policy that judged it.
    pub(super) generation: u64,
    pub(super) id: RecordId,
    pub(super) draft: Draft,
    /// In the order of field numbers.
    pub(super) fields: Vec<Field>,
    pub(super) verdict: Verdict,
    /// What is seen of it, if anything is watched.
    pub(super) seen: Option<Seen>,
    /// The suppression that counts it instead of recording it.
    pub(in crate::pipeline) suppressed: Option<usize>,
}

/// Why an event becomes no record.
#[derive(Debug)]
pub(in crate::pipeline) enum Unjudged {
    /// It is no JSON object.
    Malformed(SubmissionError),
    /// The policy refuses it.
    Rejected(Vec<String>),
    /// A key of tokens can't be had.
    Vault(VaultError),
}

/// What was submitted.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct Event<'a> {
    pub(in crate::pipeline) bytes: &'a [u8],
    pub(in crate::pipeline) source: Option<&'a str>,
    pub(in crate::pipeline) class: Option<&'static str>,
    pub(in crate::pipeline) kept: bool,
}

/// Judges an event by a policy, and makes its record.
pub(in crate::pipeline) fn judge(
    log: &Log,
    audited: &Audited,
    generation: &Generation,
    event: Event<'_>,
    now: UnixMillis,
) -> Result<Judged, Unjudged> {
    let time = time_of(now);
    let mut draws = Draws::new(&audited.parts, log.number(), time);
    let id = RecordId::new(now, draws.take());
    let Event { bytes, source, class, kept } = event;
    let governed = &generation.governed;
    let arrival = Arrival { bytes, source, class, kept, id, now: time };
    let (watch, custom) = (&governed.watch, &*governed.custom);
    let admission = policy::admit_watched(&governed.policy, watch, &arrival, &mut draws, custom);
    // What was made under a key that is not the vault's is thrown away.
    if let Some(error) = draws.failed {
        return Err(Unjudged::Vault(error));
    }
    let admitted = match admission.map_err(Unjudged::Malformed)? {
        Admission::Recorded(admitted) => admitted,
        Admission::Refused(rules) => return Err(Unjudged::Rejected(rules)),
    };
    let is_hidden = !admitted.verdict.shows_content();
    let seen = match admitted.seen {
        Some(seen) => Some(Seen { alerts: admitted.alerts, ..*seen }),
        None => (is_hidden && watch.concerns(admitted.verdict))
            .then(|| see_hidden(watch, &admitted.draft, bytes)),
    };
    let suppressed = seen.as_ref().and_then(|seen| watch.suppresses(seen));
    let mut seals = Seals { log, vault: &*audited.parts.vault, id, last: None };
    let fields = (0..).zip(admitted.kept).map(|(field, kept)| seals.field(field, kept));
    Ok(Judged {
        generation: generation.number,
        id,
        fields: fields.collect(),
        draft: admitted.draft,
        verdict: admitted.verdict,
        seen,
        suppressed,
    })
}

/// Seals the fields of one record, as far as keys are at hand.
struct Seals<'a> {
    log: &'a Log,
    vault: &'a dyn Vault,
    id: RecordId,
    /// The last subject: most fields of a record are about the same one.
    last: Option<(String, Option<Sealer>)>,
}

impl Seals<'_> {
    /// Takes a committed field, and seals it if the key of its subject is at hand.
    fn field(&mut self, field: u16, kept: Kept) -> Field {
        let Kept { opening, subject } = kept;
        let (_, sealer) = match self.last.take().filter(|(last, _)| *last == subject) {
            Some(last) => self.last.insert(last),
            None => {
                let row = self.log.row();
                let key = self.vault.known_subject_key(row.number, &row.origin, &subject);
                let sealer = key.map(|key| Sealer::new(&row.origin, self.id, &key));
                self.last.insert((subject.clone(), sealer))
            }
        };
        let sealed = sealer.as_ref().map(|sealer| sealer.seal(field, &opening));
        Field { opening, subject, sealed }
    }
}

/// Looks at a record that does not show what was submitted, as whoever watches sees it.
fn see_hidden(watch: &Watch, draft: &Draft, submitted: &[u8]) -> Seen {
    let record = Record::parse(draft.text().as_bytes()).expect("the server's records have a form");
    let Body::Event(event) = record.body() else { unreachable!("events become events' records") };
    // Its number has come all the same, though the record does not show it.
    let value = json::parse(submitted, &SUBMISSION_LIMITS).ok();
    let object = value.as_ref().and_then(Value::as_object);
    let seq = object.and_then(|object| object.get("seq")).and_then(Value::as_natural);
    Seen { seq, ..Seen::of(watch, event, Vec::new()) }
}

/// Returns a time of the clock as records have it.
pub(super) fn time_of(now: UnixMillis) -> Timestamp {
    Timestamp::from_micros(now.0.saturating_mul(1_000)).expect("the clock is before the year 10000")
}

/// What one admission takes from the world.
struct Draws<'p> {
    parts: &'p AuditParts,
    log: LogNumber,
    now: Timestamp,
    drawn: [u8; DRAWN_BYTES],
    used: usize,
    failed: Option<VaultError>,
}

impl<'p> Draws<'p> {
    fn new(parts: &'p AuditParts, log: LogNumber, now: Timestamp) -> Self {
        Self { parts, log, now, drawn: [0; DRAWN_BYTES], used: DRAWN_BYTES, failed: None }
    }

    /// Takes random bytes, which nobody else gets.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > DRAWN_BYTES {
            let entropy: &dyn Entropy = &*self.parts.entropy;
            entropy.fill(&mut self.drawn);
            self.used = 0;
        }
        let from = self.used;
        self.used += N;
        let taken = self.drawn.get_mut(from..self.used).and_then(|slice| slice.as_mut_array());
        let taken: &mut [u8; N] = taken.expect("less is taken than is drawn at once");
        core::mem::replace(taken, [0; N])
    }
}

impl Materials for Draws<'_> {
    fn salt(&mut self) -> Salt {
        Salt::new(self.take::<SALT_BYTES>())
    }

    fn token_key(&mut self, path: &Path, days: u32) -> (Secret, u32) {
        let epoch = epoch(self.now, days);
        match self.parts.vault.token_key(self.log, path, epoch) {
            Ok(key) => (key, epoch),
            Err(error) => {
                self.failed = Some(error);
                (Secret::new(self.take::<SECRET_BYTES>()), epoch)
            }
        }
    }
}
