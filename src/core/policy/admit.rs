//! Admission: what was submitted, judged by a policy and made a record.
//!
//! A pure function of its arguments. Redaction runs first, so that the rules see what the record will
//! show, and whoever has the policy and the record comes to the same verdict.

use std::borrow::Cow;
use std::sync::Arc;

use super::compile::{Policy, ReadyRule};
use super::custom::{Custom, CustomError, Disclosed};
use super::detect::Detector;
use super::enrich::enrich;
use super::redact::{Kept, Materials, Redacted};
use super::slots::Given;
use super::statement::Enforcement;
use super::watch::{Seen, Watch};
use crate::core::record::json::{Object, Value};
use crate::core::record::{
    Decision, Draft, Head, Opening, RecordId, Submission, SubmissionError, Timestamp, UNPARSED,
    Verdict, commit_raw,
};

/// The rule behind an event that custom rules could not decide about.
const ERROR_RULE: &str = "policy/error";

/// Most alerts of custom rules about one event: each is a record.
const ALERTS_MAX: usize = 16;

/// The rule behind an event in which something is to be redacted to which no path leads.
const UNREACHED_RULE: &str = "record/path-too-long";

/// The rule behind bytes of which no event could be made.
const UNPARSED_RULE: &str = "record/unparsed";

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'s> {
    /// The bytes as they came.
    pub bytes: &'s [u8],
    /// The authenticated principal that sent them.
    pub source: Option<&'s str>,
    /// [`UNPARSED`] of bytes of which a receiver could make no event: they are quarantined under that class,
    /// the only one that a record shows of what it hides.
    pub class: Option<&'static str>,
    /// Whether it is recorded whatever it holds, because its sender would drop what is refused: what the policy
    /// rejects is quarantined by the same rules, and what is no JSON object is unparsed.
    pub kept: bool,
    /// The id that the record gets.
    pub id: RecordId,
    /// The time, of which the month matters: it names the keys of commitments without a subject.
    pub now: Timestamp,
}

/// What becomes of a submission.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is recorded, whatever the verdict.
    Recorded(Admitted),
    /// It is refused by these rules: sorted, once each.
    Refused(Vec<String>),
}

/// A record that waits for its index and time.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The record.
    pub draft: Draft,
    /// What opens its commitments, by field number.
    pub kept: Vec<Kept>,
    /// The verdict.
    pub verdict: Verdict,
    /// The classes that the event is of: none of what is not shown.
    pub classes: Vec<String>,
    /// The custom rules by which somebody has to be told of the event: sorted, once each, none of what is not
    /// shown.
    pub alerts: Vec<String>,
    /// What whoever watches sees of it, but for these alerts, if it is shown and of concern.
    pub seen: Option<Box<Seen>>,
}

/// What a policy says about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement<'p> {
    /// The first class whose conditions hold.
    pub class: Option<&'p str>,
    /// Every class that the event names, or whose conditions hold.
    pub classes: Vec<&'p str>,
    /// The rules that the event breaks, each with what becomes of it.
    pub broken: Vec<(Enforcement, Cow<'p, str>)>,
    /// Why custom rules could not decide, if they could not.
    pub failed: Option<CustomError>,
}

/// What follows of a judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'p> {
    /// The event is recorded with this verdict because of these rules: sorted, once each.
    Recorded(Verdict, Vec<Cow<'p, str>>),
    /// The event is refused by these rules: sorted, once each.
    Refused(Vec<Cow<'p, str>>),
}

impl<'p> Judgement<'p> {
    /// Returns what follows: of all that is said, the strictest.
    pub fn outcome(self) -> Outcome<'p> {
        let strictest = self.broken.iter().map(|(enforcement, _)| *enforcement).max();
        let mut rules: Vec<Cow<'p, str>> = self.broken.into_iter().map(|(_, rule)| rule).collect();
        if self.failed.is_some() {
            rules.push(ERROR_RULE.into());
        }
        rules.sort_unstable();
        rules.dedup();
        match strictest {
            Some(Enforcement::Reject) => Outcome::Refused(rules),
            _ if self.failed.is_some() => Outcome::Recorded(Verdict::Error, rules),
            Some(Enforcement::Quarantine) => Outcome::Recorded(Verdict::Quarantine, rules),
            Some(Enforcement::Warn) => Outcome::Recorded(Verdict::Warn, rules),
            None => Outcome::Recorded(Verdict::Accept, rules),
        }
    }
}

/// Judges a submission. Fails only for bytes that are no JSON object and not kept.
///
/// # Panics
///
/// If the arrival has another class than the one that it may have, or a custom rule a name that no record
/// can show.
pub fn admit(
    policy: &Policy,
    arrival: &Arrival<'_>,
    materials: &mut impl Materials,
    custom: &dyn Custom,
) -> Result<Admission, SubmissionError> {
    admit_watched(policy, &Watch::default(), arrival, materials, custom)
}

/// Judges a submission as [`admit`] does, and looks at what is to be watched while it is at hand.
///
/// # Panics
///
/// As [`admit`] does.
pub fn admit_watched(
    policy: &Policy,
    watch: &Watch,
    arrival: &Arrival<'_>,
    materials: &mut impl Materials,
    custom: &dyn Custom,
) -> Result<Admission, SubmissionError> {
    if arrival.class.is_some() {
        let rules = [UNPARSED_RULE.into()];
        return Ok(hidden(policy, arrival, Verdict::Quarantine, &rules, materials));
    }
    match Submission::parse(arrival.bytes) {
        Ok(submission) => {
            Ok(admit_submission(policy, watch, arrival, submission, materials, custom))
        }
        Err(_) if arrival.kept => {
            let arrival = Arrival { class: Some(UNPARSED), ..*arrival };
            admit_watched(policy, watch, &arrival, materials, custom)
        }
        Err(error) => Err(error),
    }
}

/// Judges a submission that is a JSON object.
fn admit_submission(
    policy: &Policy,
    watch: &Watch,
    arrival: &Arrival<'_>,
    submission: Submission<'_>,
    materials: &mut impl Materials,
    custom: &dyn Custom,
) -> Admission {
    let hide = |verdict, rules: &[Cow<'_, str>], materials: &mut _| {
        hidden(policy, arrival, verdict, rules, materials)
    };
    let mut event = match submission.event() {
        Ok(event) => event,
        Err(faults) => {
            let rules: Vec<_> = faults.into_iter().map(|fault| fault.rule().into()).collect();
            return hide(Verdict::Quarantine, &rules, materials);
        }
    };
    enrich(&mut event, &policy.enrichments);
    let Ok(masks) = custom.treat(event.members()) else {
        return hide(Verdict::Error, &[ERROR_RULE.into()], materials);
    };
    let treatments = match masks.as_slice() {
        [] => Cow::Borrowed(policy.treatments.as_slice()),
        masks => Cow::Owned([masks, &policy.treatments].concat()),
    };
    let mut redacted = Redacted::apply(&mut event, &treatments, materials);
    if !redacted.exposed.is_empty() || redacted.unreached {
        let rule = |detector: &Detector| format!("detected/{}", detector.name()).into();
        let unreached = redacted.unreached.then(|| UNREACHED_RULE.into());
        let rules: Vec<_> = redacted.exposed.iter().map(rule).chain(unreached).collect();
        return hide(Verdict::Quarantine, &rules, materials);
    }
    redacted.trim(&mut event, arrival.source, policy);
    let seen = Disclosed::new(custom, redacted.values(custom.needs()));
    let judgement = judge(policy, event.members(), arrival.source, &seen);
    if let Some(class) = judgement.class {
        event.classify(class);
    }
    let classes: Vec<_> = judgement.classes.iter().map(|class| (*class).to_owned()).collect();
    let (verdict, rules) = match judgement.outcome() {
        Outcome::Recorded(verdict, rules) if verdict.shows_content() => (verdict, rules),
        Outcome::Recorded(verdict, rules) => return hide(verdict, &rules, materials),
        Outcome::Refused(rules) if arrival.kept => {
            return hide(Verdict::Quarantine, &rules, materials);
        }
        Outcome::Refused(rules) => {
            return Admission::Refused(rules.into_iter().map(Cow::into_owned).collect());
        }
    };
    // Borrowed from what was submitted, or from the policy, so that it outlives the event.
    let class = match event.members().get("class") {
        Some(Value::String(class)) => class.clone(),
        _ => "-".into(),
    };
    let alerts = alerts(&seen, event.members(), arrival.source, &class);
    let rules = rules.iter().map(AsRef::as_ref).collect();
    let decision =
        Decision { source: arrival.source, verdict, rules, redactions: redacted.redactions };
    let head = Head { id: arrival.id, policy: Some(policy.digest) };
    let drafted = Draft::of_event(&head, &mut event, decision, || materials.salt());
    let Ok((draft, spilled)) = drafted else {
        return hide(Verdict::Quarantine, &["record/too-long".into()], materials);
    };
    // Looked at last, when what was spilled does not stand there any more.
    let look = || Seen::at(watch, verdict, arrival.source, event.members(), classes.clone());
    let seen = (watch.concerns(verdict) || !alerts.is_empty()).then(|| Box::new(look()));
    let kept = keep(redacted.openings, spilled, || month_subject(&class, arrival.now));
    Admission::Recorded(Admitted { draft, kept, verdict, classes, alerts, seen })
}

/// Returns what opens the commitments of a record by field number, with the subject of those that have none.
fn keep(
    named: Vec<(Opening, Option<String>)>,
    spilled: Vec<Opening>,
    subject: impl Fn() -> String,
) -> Vec<Kept> {
    let named = named.into_iter().chain(spilled.into_iter().map(|opening| (opening, None)));
    let mut kept: Vec<Kept> = named
        .map(|(opening, named)| Kept { opening, subject: named.unwrap_or_else(&subject) })
        .collect();
    kept.sort_unstable_by(|one, other| one.opening.path.cmp(&other.opening.path));
    kept
}

/// Judges what a record shows, or will show, of an event: its members without the server's own.
///
/// With [`Judgement::outcome`] that is the whole verdict, so that whoever has policy and record can repeat it.
///
/// `source` is the authenticated principal, where there is one.
pub fn judge<'p>(
    policy: &'p Policy,
    members: &Object<'_>,
    source: Option<&str>,
    custom: &dyn Custom,
) -> Judgement<'p> {
    let server = Given { source: source.map(Value::from), ..Given::default() };
    let slots = policy.look(members, &server);
    let claimed = members.get("class").and_then(|class| class.as_str());
    let is_of = policy.classes_of(&slots, claimed);
    let known = || policy.classes.iter().map(|(name, _)| name.as_str()).zip(&is_of);
    let class = known().find(|(_, (_, fits))| *fits).map(|(name, _)| name);
    let classes = known().filter(|(_, (named, fits))| *named || *fits).map(|(name, _)| name);
    let classes = classes.collect();
    // The record will show the class, so that rules see it as whoever replays the verdict does.
    if let Some(class) = class.filter(|_| claimed.is_none()) {
        let _first = server.class.set(class.into());
    }

    let mut broken = Vec::new();
    let is_known = claimed.is_none() || is_of.iter().any(|(named, _)| *named);
    if let Some(enforcement) = policy.unknown_class.filter(|_| !is_known) {
        broken.push((enforcement, "class/unknown".into()));
    }
    let mut check = |rule: &'p ReadyRule| {
        // Many rules ask for the same few things, which are known by then; conditions are dearer.
        if !rule.require.iter().all(|need| slots.has(*need)) && slots.hold(&rule.when) {
            broken.push((rule.otherwise, rule.name.as_str().into()));
        }
    };
    policy.rules.iter().for_each(&mut check);
    let concerns = |number: &usize| is_of.get(*number).is_some_and(|(named, fits)| *named || *fits);
    for (number, rules) in
        policy.class_rules.iter().enumerate().filter(|(number, _)| concerns(number))
    {
        // A rule of two classes is checked with the first of them that the event is of.
        let is_first =
            |rule: &&ReadyRule| rule.classes.iter().find(|class| concerns(class)) == Some(&number);
        rules.iter().map(Arc::as_ref).filter(is_first).for_each(&mut check);
    }
    let said = ask(custom, members, &server, claimed.or(class));
    let failed = match said {
        Ok(said) => {
            broken.extend(said.into_iter().map(|(enforcement, rule)| (enforcement, rule.into())));
            None
        }
        Err(error) => Some(error),
    };
    Judgement { class, classes, broken, failed }
}

/// Asks the custom rules, if there are any.
fn ask(
    custom: &dyn Custom,
    members: &Object<'_>,
    server: &Given<'_>,
    class: Option<&str>,
) -> Result<Vec<(Enforcement, String)>, CustomError> {
    if custom.is_empty() {
        return Ok(Vec::new());
    }
    let given = [("source", server.source.as_ref()), ("class", server.class.get())];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut shown = members.clone();
    for (name, value) in given {
        shown.insert(name, value.clone());
    }
    custom.judge(&shown, class)
}

/// Asks the custom rules whether somebody has to be told. That they could not decide is told as well.
fn alerts(
    custom: &dyn Custom,
    members: &Object<'_>,
    source: Option<&str>,
    class: &str,
) -> Vec<String> {
    if custom.is_empty() {
        return Vec::new();
    }
    let mut shown = members.clone();
    if let Some(source) = source {
        shown.insert("source", source.into());
    }
    let class = Some(class).filter(|class| *class != "-");
    let said = custom.alert(&shown, class);
    let mut alerts = said.unwrap_or_else(|_| vec![ERROR_RULE.to_owned()]);
    alerts.sort_unstable();
    alerts.dedup();
    alerts.truncate(ALERTS_MAX);
    alerts
}

/// Records a submission without showing it.
fn hidden(
    policy: &Policy,
    arrival: &Arrival<'_>,
    verdict: Verdict,
    rules: &[Cow<'_, str>],
    materials: &mut impl Materials,
) -> Admission {
    let (raw, opening) = commit_raw(materials.salt(), arrival.bytes);
    let rules = rules.iter().map(AsRef::as_ref).collect();
    let decision = Decision { source: arrival.source, verdict, rules, redactions: Vec::new() };
    let head = Head { id: arrival.id, policy: Some(policy.digest) };
    let draft = Draft::hidden(&head, &decision, raw, arrival.class);
    let kept = vec![Kept { opening, subject: month_subject("-", arrival.now) }];
    let (classes, alerts) = (Vec::new(), Vec::new());
    Admission::Recorded(Admitted { draft, kept, verdict, classes, alerts, seen: None })
}

/// Returns the subject of what names none: one for each class and month.
fn month_subject(class: &str, now: Timestamp) -> String {
    let time = now.to_string();
    format!("class/{class}/{}", time.get(..7).expect("a time begins with its year and month"))
}
