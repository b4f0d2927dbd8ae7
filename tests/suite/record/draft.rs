//! What a producer can and can't make of a record.

use attestree::core::entry::ENTRY_BYTES_MAX;
use attestree::core::number::{LeafIndex, UnixMillis};
use attestree::core::record::json::{self, Object, Value};
use attestree::core::record::{
    ActivePolicy, AlertCause, ApprovalRule, Body, Decision, Draft, Engine, Event, FormFault, Head,
    KeyConflict, Opening, Path, PolicyDigest, PolicyPart, REDACTIONS_MAX, Record, RecordId,
    Redaction, RedactionAction, SUBMISSION_LIMITS, Salt, SourceNumber, Submission, SubmissionError,
    System, Tally, Timestamp, TooLong, Verdict,
};
use proptest::prelude::*;

const ACCEPTED: Decision<'_> =
    Decision { source: None, verdict: Verdict::Accept, rules: Vec::new(), redactions: Vec::new() };

fn head() -> Head {
    Head {
        id: RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]),
        policy: Some(PolicyDigest::from_bytes([8; 32])),
    }
}

fn at() -> Timestamp {
    Timestamp::from_micros(1_795_000_000_000_001).unwrap()
}

/// Salts that differ, which is all that matters here.
fn salts() -> impl FnMut() -> Salt {
    let mut number = 0_u8;
    move || {
        number = number.checked_add(1).expect("no test spills so many");
        Salt::new([number; 32])
    }
}

fn rules(submitted: &str) -> Vec<&'static str> {
    let faults = Submission::parse(submitted.as_bytes()).unwrap().event().unwrap_err();
    faults.into_iter().map(FormFault::rule).collect()
}

fn accepted(event: Event<'_>) -> Result<(Vec<u8>, Vec<Opening>), TooLong> {
    Draft::event(&head(), event, ACCEPTED, salts())
        .map(|(draft, openings)| (draft.stamp(at()), openings))
}

fn event(record: &Record<'_>) -> Vec<Redaction> {
    let Body::Event(event) = record.body() else { panic!("{record:?} is no event") };
    event.redactions().to_vec()
}

#[test]
fn what_only_the_server_makes_is_a_fault_of_a_submission() {
    for name in ["v", "t", "id", "at", "pv", "vd", "vr", "red", "tok", "$c", "$x"] {
        assert_eq!(rules(&format!("{{\"{name}\":1}}")), ["record/server-member"], "{name}");
    }
    for name in System::TYPES.into_iter().chain(["event", "erasure", "retention", "index"]) {
        assert_eq!(rules(&format!("{{\"t\":\"{name}\"}}")), ["record/server-member"], "{name}");
    }
    for name in ["claimed_source", "enriched", "raw"] {
        assert_eq!(
            rules(&format!("{{\"ctx\":{{\"{name}\":1}}}}")),
            ["record/server-member"],
            "{name}"
        );
    }
    assert_eq!(rules("{\"extra\":1}"), ["record/unknown-member"]);
    for place in ["{\"actor\":{\"$c\":\"x\"}}", "{\"ctx\":{\"a\":[{\"b\":{\"$t\":1}}]}}"] {
        assert_eq!(rules(place), ["record/reserved-name"], "{place}");
    }
    assert_eq!(rules(&format!("{{\"ctx\":{{\"{}\":1}}}}", "n".repeat(256))), ["record/long-name"]);
    let all = "{\"v\":1,\"t\":\"policy\",\"x\":1,\"act\":1,\"actor\":1,\"class\":1,\"ctx\":1,\"ot\":1,\"out\":1,\"resource\":1,\"seq\":\"1\",\"source\":1}";
    let names = [
        "server-member",
        "unknown-member",
        "form-act",
        "form-actor",
        "form-class",
        "form-ctx",
        "form-ot",
        "form-out",
        "form-resource",
        "form-seq",
        "form-source",
    ];
    assert_eq!(rules(all), names.map(|name| format!("record/{name}")));
}

#[test]
fn what_is_no_object_is_no_submission() {
    for text in ["[]", "1", "\"event\"", "null"] {
        assert_eq!(Submission::parse(text.as_bytes()), Err(SubmissionError::NotAnObject));
    }
    let error = Submission::parse(b"{\"act\":\"a\",\"act\":\"b\"}").unwrap_err();
    assert!(
        error.to_string().starts_with("line 1, column 12 (byte 11): this name occurs twice"),
        "{error}"
    );
}

#[test]
fn a_claimed_source_is_kept_apart_from_the_principal() {
    for text in ["{\"source\":\"me\"}", "{\"ctx\":{\"a\":1},\"source\":\"me\"}"] {
        let event = Submission::parse(text.as_bytes()).unwrap().event().unwrap();
        let decision = Decision { source: Some("CN=true"), ..ACCEPTED };
        let (draft, _) = Draft::event(&head(), event, decision, salts()).unwrap();
        let entry = draft.stamp(at());
        let record = Record::parse(&entry).unwrap();
        let Body::Event(event) = record.body() else { panic!() };
        assert_eq!(event.source(), Some("CN=true"));
        let claimed = Path::parse("/ctx/claimed_source").unwrap();
        assert_eq!(claimed.find(event.content()), Some(&"me".into()));
    }
}

#[test]
fn what_makes_a_record_too_long_is_spilled_longest_first() {
    let text = |length: usize| "x".repeat(length);
    let submitted = format!(
        "{{\"actor\":{{\"a\":\"{}\"}},\"ctx\":{{\"b\":\"{}\",\"c\":\"{}\",\"d\":1}},\"resource\":{{\"e\":\"{}\"}}}}",
        text(30_000),
        text(40_000),
        text(30_000),
        text(500)
    );
    let event = Submission::parse(submitted.as_bytes()).unwrap().event().unwrap();
    let (entry, openings) = accepted(event).unwrap();
    let record = Record::parse(&entry).unwrap();
    // 100,500 bytes: without the longest they fit.
    let spilled: Vec<&str> = openings.iter().map(|opening| opening.path.as_str()).collect();
    assert_eq!(spilled, ["/ctx/b"]);
    assert_eq!(event_actions(&record), [("/ctx/b".to_owned(), RedactionAction::Spill)]);
    let value = record.verify_disclosure(&openings[0].path, &openings[0].salt, &openings[0].value);
    assert_eq!(value, Ok(text(40_000).into()));

    // Of equals the first in order of paths.
    let submitted = format!(
        "{{\"actor\":{{\"a\":\"{0}\"}},\"ctx\":{{\"b\":\"{0}\"}},\"resource\":{{\"e\":\"{0}\"}}}}",
        text(33_000)
    );
    let event = Submission::parse(submitted.as_bytes()).unwrap().event().unwrap();
    let (entry, openings) = accepted(event).unwrap();
    let spilled: Vec<&str> = openings.iter().map(|opening| opening.path.as_str()).collect();
    assert_eq!(spilled, ["/actor/a", "/ctx/b"]);
    assert_eq!(Record::parse(&entry).unwrap().commitments().len(), 2);
}

fn event_actions(record: &Record<'_>) -> Vec<(String, RedactionAction)> {
    event(record)
        .into_iter()
        .map(|redaction| (redaction.path.to_string(), redaction.action))
        .collect()
}

#[test]
fn a_record_is_filled_to_the_last_byte_before_anything_is_spilled() {
    let submitted = |length: usize| format!("{{\"ctx\":{{\"a\":\"{}\"}}}}", "x".repeat(length));
    let length = |text: &str| {
        let event = Submission::parse(text.as_bytes()).unwrap().event().unwrap();
        let (entry, openings) = accepted(event).unwrap();
        Record::parse(&entry).unwrap();
        (entry.len(), openings.len())
    };
    let (empty, _) = length(&submitted(0));
    let full = ENTRY_BYTES_MAX - empty;
    assert_eq!(length(&submitted(full)), (ENTRY_BYTES_MAX, 0));
    let (spilled, openings) = length(&submitted(full + 1));
    assert!(spilled < 1_000 && openings == 1);
}

#[test]
fn what_can_not_be_spilled_does_not_fit() {
    let members: Vec<String> = (0..9_000).map(|number| format!("\"{number:05}\":\"\"")).collect();
    let submitted = format!("{{\"ctx\":{{{}}}}}", members.join(","));
    let event = Submission::parse(submitted.as_bytes()).unwrap().event().unwrap();
    assert_eq!(accepted(event), Err(TooLong));

    // As many redactions as a record names are taken, and one more is not.
    for (count, fits) in [(REDACTIONS_MAX, true), (REDACTIONS_MAX + 1, false)] {
        let path = |number: usize| Path::parse(&format!("/ctx/{number}")).unwrap();
        let redactions = (0..count)
            .map(|number| Redaction { path: path(number), action: RedactionAction::Drop })
            .collect();
        let event = Submission::parse(b"{}").unwrap().event().unwrap();
        let drafted = Draft::event(&head(), event, Decision { redactions, ..ACCEPTED }, salts());
        assert_eq!(drafted.is_ok_and(|(draft, _)| Record::parse(&draft.stamp(at())).is_ok()), fits);
    }
}

#[test]
fn what_was_redacted_is_not_spilled() {
    let text = "x".repeat(60_000);
    let submitted = format!(
        "{{\"ctx\":{{\"a\":[\"{text}\",1],\"b\":\"{text}\",\"c\":\"{}\"}}}}",
        "y".repeat(20_000)
    );
    let path = |text| Path::parse(text).unwrap();
    let mask = |text| Redaction { path: path(text), action: RedactionAction::Mask };
    for (committed, masked, wanted) in
        [(Some("/ctx/a/1"), None, "/ctx/b"), (None, Some("/ctx/b"), "/ctx/a")]
    {
        let mut event = Submission::parse(submitted.as_bytes()).unwrap().event().unwrap();
        if let Some(committed) = committed {
            event.commit(&path(committed), Salt::new([1; 32])).unwrap();
        }
        let redactions = masked.map(mask).into_iter().collect();
        let (draft, openings) =
            Draft::event(&head(), event, Decision { redactions, ..ACCEPTED }, salts()).unwrap();
        let entry = draft.stamp(at());
        let record = Record::parse(&entry).unwrap();
        let spilled: Vec<&str> = openings.iter().map(|opening| opening.path.as_str()).collect();
        assert_eq!(spilled, [wanted, "/ctx/c"]);
        for opening in &openings {
            record.verify_disclosure(&opening.path, &opening.salt, &opening.value).unwrap();
        }
    }
}

#[test]
fn only_what_shows_is_committed_and_only_once() {
    let submitted = b"{\"act\":\"a\",\"actor\":{\"a\":[1,2],\"n\":null},\"seq\":1}";
    let mut event = Submission::parse(submitted).unwrap().event().unwrap();
    let path = |text| Path::parse(text).unwrap();
    for text in ["/act", "/seq", "/actor/b", "/actor/n", "/actor/a/2", "/actor/a/0/x", "/ctx", "/v"]
    {
        assert_eq!(event.commit(&path(text), Salt::new([1; 32])), None, "{text}");
    }
    let opening = event.commit(&path("/actor/a/1"), Salt::new([1; 32])).unwrap();
    assert_eq!(opening.value.to_vec(), b"2");
    assert_eq!(event.commit(&opening.path, Salt::new([2; 32])), None);
    assert_eq!(event.replace(&opening.path, Value::Null), None);
    assert_eq!(event.remove(&path("/actor/a/0")).unwrap().as_natural(), Some(1));
    assert_eq!(path("/actor/a/0").find(event.members()), Some(&Value::Null));
    assert_eq!(event.remove(&opening.path), None);
    event.classify("first");
    event.classify("second");
    assert_eq!(event.members().get("class"), Some(&"first".into()));
}

#[test]
fn records_of_the_system_keep_their_bounds() {
    let source = || "CN=a".to_owned();
    let tally = |count, from, to| Tally {
        rule: "r".to_owned(),
        count,
        from,
        to,
        source: None,
        class: None,
    };
    let number = |seq| SourceNumber { source: source(), seq };
    let policy = |bytes| ActivePolicy {
        digest: PolicyDigest::NONE,
        bytes,
        rule: ApprovalRule::NOBODY,
        approvals: Vec::new(),
        source: None,
        engine: Engine { name: "e".to_owned(), version: "1".to_owned() },
    };
    let part = |part, parts, bytes: usize| PolicyPart {
        digest: PolicyDigest::NONE,
        part,
        parts,
        bytes: vec![0; bytes],
    };
    let conflict = |first, index| KeyConflict {
        source: source(),
        first: LeafIndex::new(first).unwrap(),
        index: LeafIndex::new(index).unwrap(),
    };
    let (early, late) = (Timestamp::default(), at());
    let good = [
        System::Gap { source: source(), from: 1, to: 2 },
        System::Late(number(1 << 52)),
        System::KeyConflict(conflict(3, 4)),
        System::Policy(policy(4 << 20)),
        System::PolicyPart(part(0, 2, 40_960)),
        System::PolicyPart(part(1, 2, 1)),
        System::Suppressed(tally(1, early, early)),
        System::Alert(AlertCause::Absence, tally(0, early, late)),
    ];
    for system in good {
        let entry = Draft::system(&head(), &system).unwrap().stamp(at());
        assert_eq!(Record::parse(&entry).unwrap().body(), &Body::System(system));
    }
    let bad = [
        System::Gap { source: source(), from: 2, to: 2 },
        System::Gap { source: String::new(), from: 1, to: 2 },
        System::Gap { source: source(), from: 1, to: 1 << 53 },
        System::Conflict(number(u64::MAX)),
        System::KeyConflict(conflict(4, 4)),
        System::KeyConflict(conflict(5, 4)),
        System::KeyConflict(conflict(3, 1 << 53)),
        System::KeyConflict(KeyConflict { source: String::new(), ..conflict(3, 4) }),
        System::Policy(policy(0)),
        System::Policy(policy((4 << 20) + 1)),
        System::PolicyPart(part(0, 2, 40_959)),
        System::PolicyPart(part(1, 2, 40_961)),
        System::PolicyPart(part(2, 2, 1)),
        System::PolicyPart(part(0, 104, 40_960)),
        System::Suppressed(tally(0, early, early)),
        System::Suppressed(tally(1, late, early)),
        System::Alert(AlertCause::Absence, tally(1, early, late)),
        System::Alert(AlertCause::Match, tally(0, early, late)),
    ];
    for system in bad {
        assert_eq!(Draft::system(&head(), &system), None, "{system:?}");
    }
}

/// Names of members, right and wrong.
const NAMES: [&str; 28] = [
    "act",
    "actor",
    "class",
    "ctx",
    "ot",
    "out",
    "resource",
    "seq",
    "source",
    "t",
    "v",
    "id",
    "at",
    "pv",
    "vd",
    "vr",
    "red",
    "tok",
    "x",
    "a",
    "b",
    "$c",
    "$t",
    "raw",
    "enriched",
    "claimed_source",
    "card/no~1",
    "\u{20ac}",
];

/// Texts of members, right and wrong.
const TEXTS: [&str; 12] = [
    "login",
    "success",
    "failure",
    "event",
    "policy",
    "2026-11-21T00:14:00Z",
    "2026-11-21T00:14:00.000001Z",
    "",
    "accept",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "685.AAAAAAAAAAAAAAAAAAAAAA",
    "a\u{1}b",
];

/// Objects of such names.
fn any_object(
    inner: impl Strategy<Value = Value<'static>>,
) -> impl Strategy<Value = Value<'static>> {
    prop::collection::btree_map(prop::sample::select(&NAMES[..]), inner, 0..5).prop_map(|members| {
        let mut object = Object::new();
        members.into_iter().for_each(|(name, value)| drop(object.insert(name, value)));
        Value::Object(object)
    })
}

/// Texts of submissions: often right, sometimes with what only the server may make.
fn any_submission() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(&TEXTS[..]).prop_map(Value::from),
        (0..5_i64).prop_map(|number| json::Number::from_integer(number).unwrap().into()),
        Just(Value::Null),
    ];
    let value = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            any_object(inner)
        ]
    });
    any_object(value).prop_map(|value| value.format())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    #[test]
    fn nothing_submitted_becomes_anything_but_an_event(submitted in any_submission()) {
        let submission = Submission::parse(submitted.as_bytes()).unwrap();
        let Ok(event) = submission.event() else { return Ok(()) };
        let (entry, _) = accepted(event).unwrap();
        let record = Record::parse(&entry).unwrap();
        prop_assert_eq!((record.id(), record.at(), record.policy()), (head().id, at(), head().policy));
        let Body::Event(event) = record.body() else { panic!("{submitted} became {record:?}") };
        prop_assert_eq!((event.verdict(), event.source(), event.rules().len()), (Verdict::Accept, None, 0));
        prop_assert!(record.commitments().is_empty());

        // Every submitted member is there as it was sent; a claimed source has moved.
        let sent = json::parse(submitted.as_bytes(), &SUBMISSION_LIMITS).unwrap();
        for (name, value) in sent.as_object().unwrap().members() {
            match name.as_ref() {
                "source" => prop_assert_eq!(Path::parse("/ctx/claimed_source").unwrap().find(event.content()), Some(value)),
                "ctx" => {
                    let mut context = event.content().get("ctx").and_then(Value::as_object).unwrap().clone();
                    context.remove("claimed_source");
                    prop_assert_eq!(&Value::Object(context), value);
                }
                name => prop_assert_eq!(event.content().get(name), Some(value)),
            }
        }
    }

    #[test]
    fn a_record_that_is_spoiled_is_none_or_another(submitted in any_submission(), at_byte in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let Ok(event) = Submission::parse(submitted.as_bytes()).unwrap().event() else { return Ok(()) };
        let (entry, _) = accepted(event).unwrap();
        let record = Record::parse(&entry).unwrap();
        let mut spoiled = entry.clone();
        spoiled[at_byte.index(entry.len())] = byte;
        if let Ok(other) = Record::parse(&spoiled) {
            prop_assert_eq!(other == record, spoiled == entry);
        }
    }
}
