//! Admission: what was submitted, judged by a policy and made a record.
//!
//! A pure function of its arguments. Redaction runs first, so that the rules see what the record will
//! show, and whoever has the policy and the record comes to the same verdict.

use super::compile::Policy;
use super::redact::{Kept, Materials, Redacted};
use super::statement::Enforcement;
use crate::core::record::{
    Decision, Draft, Event, FormFault, Head, RecordId, Submission, SubmissionError, Timestamp,
    Verdict, commit_raw,
};

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'s> {
    /// The bytes as they came.
    pub bytes: &'s [u8],
    /// The authenticated principal that sent them.
    pub source: Option<&'s str>,
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
}

/// Judges a submission. Fails only for bytes that are no JSON object.
pub fn admit(
    policy: &Policy,
    arrival: &Arrival<'_>,
    materials: &mut impl Materials,
) -> Result<Admission, SubmissionError> {
    let mut event = match Submission::parse(arrival.bytes)?.event() {
        Ok(event) => event,
        Err(faults) => {
            let rules = faults.into_iter().map(|fault| FormFault::rule(fault).to_owned()).collect();
            return Ok(quarantine(policy, arrival, rules, materials));
        }
    };
    let redacted = Redacted::apply(&mut event, &policy.treatments, materials);
    if !redacted.exposed.is_empty() {
        let rules = redacted
            .exposed
            .iter()
            .map(|detector| format!("detected/{}", detector.name()))
            .collect();
        return Ok(quarantine(policy, arrival, rules, materials));
    }
    let Judgement { class, broken } = judge(policy, &event);
    if let Some(class) = class {
        event.classify(class);
    }
    let strictest = broken.iter().map(|(enforcement, _)| *enforcement).max();
    let mut rules: Vec<&str> = broken.iter().map(|(_, rule)| *rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let verdict = match strictest {
        None => Verdict::Accept,
        Some(Enforcement::Warn) => Verdict::Warn,
        Some(Enforcement::Quarantine) => {
            return Ok(quarantine(
                policy,
                arrival,
                rules.into_iter().map(str::to_owned).collect(),
                materials,
            ));
        }
        Some(Enforcement::Reject) => {
            return Ok(Admission::Refused(rules.into_iter().map(str::to_owned).collect()));
        }
    };
    let shown = event.members().get("class").and_then(|class| class.as_str());
    let month = month_subject(shown.unwrap_or("-"), arrival.now);
    let decision =
        Decision { source: arrival.source, verdict, rules, redactions: redacted.redactions };
    let head = Head { id: arrival.id, policy: Some(policy.digest) };
    let Ok((draft, spilled)) = Draft::event(&head, event, decision, || materials.salt()) else {
        return Ok(quarantine(policy, arrival, vec!["record/too-long".to_owned()], materials));
    };
    let named =
        redacted.openings.into_iter().chain(spilled.into_iter().map(|opening| (opening, None)));
    let mut kept: Vec<Kept> = named
        .map(|(opening, subject)| Kept {
            opening,
            subject: subject.unwrap_or_else(|| month.clone()),
        })
        .collect();
    kept.sort_unstable_by(|one, other| one.opening.path.cmp(&other.opening.path));
    Ok(Admission::Recorded(Admitted { draft, kept, verdict }))
}

/// What a policy says about an event.
struct Judgement<'p> {
    /// The first class whose conditions hold.
    class: Option<&'p str>,
    /// The rules that the event breaks.
    broken: Vec<(Enforcement, &'p str)>,
}

/// Judges what a record will show of an event.
fn judge<'p>(policy: &'p Policy, event: &Event<'_>) -> Judgement<'p> {
    let slots = policy.look(event.members());
    let claimed = event.members().get("class").and_then(|class| class.as_str());
    // An event is of each class that it names or fits, so that naming one evades no other's rules.
    let is_of: Vec<(bool, bool)> = policy
        .classes
        .iter()
        .map(|(name, when)| (claimed == Some(name.as_str()), !when.is_empty() && slots.hold(when)))
        .collect();
    let fits = is_of.iter().position(|(_, fits)| *fits);
    let class = fits.and_then(|number| policy.classes.get(number)).map(|(name, _)| name.as_str());

    let mut broken = Vec::new();
    let is_known = claimed.is_none() || is_of.iter().any(|(named, _)| *named);
    if let Some(enforcement) = policy.unknown_class.filter(|_| !is_known) {
        broken.push((enforcement, "class/unknown"));
    }
    for rule in &policy.rules {
        let concerns =
            |number: &usize| is_of.get(*number).is_some_and(|(named, fits)| *named || *fits);
        let is_about = rule.classes.is_empty() || rule.classes.iter().any(concerns);
        if is_about
            && slots.hold(&rule.when)
            && !rule.require.iter().all(|(slot, field)| slots.has(*slot, *field))
        {
            broken.push((rule.otherwise, rule.name.as_str()));
        }
    }
    Judgement { class, broken }
}

/// Records a submission without showing it.
fn quarantine(
    policy: &Policy,
    arrival: &Arrival<'_>,
    rules: Vec<String>,
    materials: &mut impl Materials,
) -> Admission {
    let (raw, opening) = commit_raw(materials.salt(), arrival.bytes);
    let rules = rules.iter().map(String::as_str).collect();
    let verdict = Verdict::Quarantine;
    let decision = Decision { source: arrival.source, verdict, rules, redactions: Vec::new() };
    let head = Head { id: arrival.id, policy: Some(policy.digest) };
    let draft = Draft::quarantine(&head, &decision, raw);
    let kept = vec![Kept { opening, subject: month_subject("-", arrival.now) }];
    Admission::Recorded(Admitted { draft, kept, verdict })
}

/// Returns the subject of what names none: one for each class and month.
fn month_subject(class: &str, now: Timestamp) -> String {
    let time = now.to_string();
    format!("class/{class}/{}", time.get(..7).expect("a time begins with its year and month"))
}
