//! What becomes of a submission under a policy.

use std::collections::BTreeMap;

use attestree::core::number::UnixMillis;
use attestree::core::policy::{
    Action, Admission, Admitted, Arrival, Class, Condition, Custom, CustomError, Detector,
    Enforcement, FieldType, Glob, Kept, Materials, NoCustom, Policy, Requirement, Rule, Statements,
    Target, Test, Treatment, admit,
};
use attestree::core::record::json::{Number, Object, Value};
use attestree::core::record::{
    Body, Path, PolicyDigest, Record, RecordId, RedactionAction, Salt, Secret, Timestamp, Token,
    UNPARSED, Verdict,
};
use proptest::prelude::*;

const DIGEST: PolicyDigest = PolicyDigest::from_bytes([3; 32]);

/// Salts and keys by counting: what they are does not matter here.
#[derive(Default)]
struct Counted(u16);

impl Materials for Counted {
    fn salt(&mut self) -> Salt {
        self.0 += 1;
        let [high, low] = self.0.to_be_bytes();
        Salt::new([[high, low]; 16].concat().try_into().unwrap())
    }

    fn token_key(&mut self, path: &Path, _days: u32) -> (Secret, u32) {
        let byte = u8::try_from(path.as_str().len()).unwrap();
        (Secret::new([byte; 32]), 685)
    }
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T00:14:00.000001Z").unwrap()
}

fn treat(target: &str, action: Action) -> Treatment {
    Treatment { target: Target::Path(path(target)), action }
}

fn detect(detector: Detector, action: Action) -> Treatment {
    Treatment { target: Target::Detected(detector), action }
}

fn requirement(text: &str, field: FieldType) -> Requirement {
    Requirement { path: path(text), field }
}

fn rule(name: &str, class: &str, require: Vec<Requirement>, otherwise: Enforcement) -> Rule {
    Rule {
        name: name.to_owned(),
        classes: vec![class.to_owned()],
        when: Vec::new(),
        require,
        otherwise,
    }
}

/// A policy with a bit of everything.
fn statements() -> Statements {
    let class = |name: &str, pattern: &str| Class {
        name: name.to_owned(),
        when: vec![Condition::field(path("/act"), Test::Glob(Glob::new(pattern)))],
    };
    let production = Condition::field(
        path("/ctx/stage"),
        Test::OneOf(vec!["prod".to_owned(), "live".to_owned()]),
    );
    Statements {
        classes: vec![
            class("authentication", "auth.*"),
            class("deployment", "deploy.*"),
            Class { name: "debug".to_owned(), when: Vec::new() },
        ],
        rules: vec![
            rule(
                "who",
                "authentication",
                vec![
                    requirement("/actor/id", FieldType::Text),
                    requirement("/out", FieldType::Any),
                ],
                Enforcement::Quarantine,
            ),
            rule(
                "where",
                "authentication",
                vec![requirement("/ctx/ip", FieldType::Any)],
                Enforcement::Warn,
            ),
            Rule {
                when: vec![production],
                ..rule(
                    "approved",
                    "deployment",
                    vec![requirement("/ctx/approval", FieldType::Object)],
                    Enforcement::Reject,
                )
            },
        ],
        treatments: vec![
            treat("/actor/email", Action::Commit { subject: Some(path("/actor/id")) }),
            treat("/ctx/ip", Action::Commit { subject: None }),
            treat("/ctx/phone", Action::TOKEN),
            treat("/ctx/headers/*", Action::Drop),
            treat("/resource/account", Action::Mask { keep_last: 4 }),
            detect(Detector::Card, Action::Mask { keep_last: 4 }),
            detect(Detector::Pem, Action::Drop),
            detect(Detector::Email, Action::Commit { subject: None }),
        ],
        unknown_class: Some(Enforcement::Warn),
        ..Statements::default()
    }
}

fn policy() -> Policy {
    Policy::compile(DIGEST, &statements()).unwrap()
}

fn judged(policy: &Policy, submission: &str) -> Admission {
    let id = RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]);
    let arrival = Arrival {
        bytes: submission.as_bytes(),
        source: Some("CN=a"),
        class: None,
        kept: false,
        id,
        now: now(),
    };
    admit(policy, &arrival, &mut Counted::default(), &NoCustom).unwrap()
}

/// Returns the entry, its openings and its verdict.
fn recorded(submission: &str) -> (Vec<u8>, Vec<Kept>, Verdict) {
    let Admission::Recorded(Admitted { draft, kept, verdict, .. }) = judged(&policy(), submission)
    else {
        panic!("{submission} is refused")
    };
    (draft.stamp(now()), kept, verdict)
}

fn rules(entry: &[u8]) -> Vec<String> {
    let record = Record::parse(entry).unwrap();
    let Body::Event(event) = record.body() else { panic!() };
    event.rules().to_vec()
}

#[test]
fn an_event_that_keeps_the_rules_is_shown_with_what_is_redacted() {
    let submission = r#"{"act":"auth.login","out":"failure","actor":{"id":"u_1","email":"a@example.com"},
        "ctx":{"ip":"192.0.2.1","phone":"+1 555","headers":{"cookie":"x","auth":"y"},"note":"paid by 4111 1111 1111 1111, thanks"},
        "resource":{"account":"123456789","owner":"b@example.com","card":4111111111111111}}"#;
    let (entry, kept, verdict) = recorded(submission);
    assert_eq!(verdict, Verdict::Accept);
    let record = Record::parse(&entry).unwrap();
    assert_eq!((record.policy(), record.at()), (Some(DIGEST), now()));
    let Body::Event(event) = record.body() else { panic!() };
    assert_eq!(
        (event.verdict(), event.source(), event.content().get("class")),
        (Verdict::Accept, Some("CN=a"), Some(&"authentication".into()))
    );
    let value = |text| path(text).find(event.content()).map(Value::format);
    assert_eq!(value("/ctx/note").as_deref(), Some("\"paid by ***1111, thanks\""));
    assert_eq!(value("/resource/account").as_deref(), Some("\"***6789\""));
    assert_eq!(value("/resource/card").as_deref(), Some("\"***1111\""));
    assert_eq!(value("/ctx/headers").as_deref(), Some("{}"));
    let token = Token::new(&Secret::new([10; 32]), 685, &path("/ctx/phone"), b"\"+1 555\"");
    assert_eq!(path("/ctx/phone").find(event.content()), Some(&token.to_value()));

    let done: Vec<(&str, RedactionAction)> = event
        .redactions()
        .iter()
        .map(|redaction| (redaction.path.as_str(), redaction.action))
        .collect();
    use RedactionAction::{Drop, Mask};
    let wanted = [
        ("/ctx/headers/auth", Drop),
        ("/ctx/headers/cookie", Drop),
        ("/ctx/note", Mask),
        ("/ctx/phone", RedactionAction::Token),
        ("/resource/account", Mask),
        ("/resource/card", Mask),
    ];
    assert_eq!(done, wanted);

    // Openings come by field number, each under the subject that the policy names.
    let fields = record.commitments();
    let subjects: Vec<(&str, &str)> =
        kept.iter().map(|kept| (kept.opening.path.as_str(), kept.subject.as_str())).collect();
    let month = "class/authentication/2026-11";
    assert_eq!(
        subjects,
        [("/actor/email", "subject/u_1"), ("/ctx/ip", month), ("/resource/owner", month)]
    );
    for (kept, (path, commitment)) in kept.iter().zip(fields) {
        assert_eq!((&kept.opening.path, kept.opening.commitment()), (&path, commitment));
        record.verify_disclosure(&path, &kept.opening.salt, &kept.opening.value).unwrap();
    }
}

#[test]
fn what_breaks_a_rule_meets_its_enforcement() {
    let cases = [
        (
            r#"{"act":"auth.login","out":"failure","actor":{"id":"u"}}"#,
            Verdict::Warn,
            vec!["where"],
        ),
        (
            r#"{"act":"auth.login","out":"failure","actor":{"id":""},"ctx":{"ip":"x"}}"#,
            Verdict::Quarantine,
            vec!["who"],
        ),
        (r#"{"act":"auth.login","actor":{"id":"u"}}"#, Verdict::Quarantine, vec!["where", "who"]),
        (
            r#"{"act":"auth.login","out":"failure","actor":{"id":7},"ctx":{"ip":null}}"#,
            Verdict::Quarantine,
            vec!["where", "who"],
        ),
        (r#"{"act":"deploy.api","ctx":{"stage":"test"}}"#, Verdict::Accept, vec![]),
        (
            r#"{"act":"deploy.api","ctx":{"stage":"prod","approval":{"by":"x"}}}"#,
            Verdict::Accept,
            vec![],
        ),
        (r#"{"act":"other"}"#, Verdict::Accept, vec![]),
        (r#"{"act":"other","class":"strange"}"#, Verdict::Warn, vec!["class/unknown"]),
        (r#"{"act":"auth.login","class":"debug"}"#, Verdict::Quarantine, vec!["where", "who"]),
        (r#"{"class":"authentication"}"#, Verdict::Quarantine, vec!["where", "who"]),
        (
            r#"{"act":1,"t":"policy"}"#,
            Verdict::Quarantine,
            vec!["record/form-act", "record/server-member"],
        ),
        (r#"{"act":"paid 4111111111111111"}"#, Verdict::Quarantine, vec!["detected/card"]),
        (r#"{"ctx":{"a@example.com":1}}"#, Verdict::Quarantine, vec!["detected/email"]),
        (r#"{"class":"a-4111111111111111"}"#, Verdict::Quarantine, vec!["detected/card"]),
    ];
    for (submission, wanted, names) in cases {
        let (entry, kept, verdict) = recorded(submission);
        assert_eq!(
            (verdict, rules(&entry)),
            (wanted, names.iter().map(|name| (*name).to_owned()).collect()),
            "{submission}"
        );
        if verdict == Verdict::Quarantine {
            let record = Record::parse(&entry).unwrap();
            assert_eq!((kept.len(), kept[0].subject.as_str()), (1, "class/-/2026-11"));
            assert_eq!(
                record.verify_raw(&kept[0].opening.salt, submission.as_bytes()),
                Ok(submission.as_bytes())
            );
        }
    }
    let refused = judged(&policy(), r#"{"act":"deploy.api","ctx":{"stage":"live","approval":{}}}"#);
    assert_eq!(refused, Admission::Refused(vec!["approved".to_owned()]));
    let id = RecordId::new(UnixMillis(0), [0; 10]);
    let arrival =
        Arrival { bytes: b"{\"act\":}", source: None, class: None, kept: false, id, now: now() };
    let error = admit(&policy(), &arrival, &mut Counted::default(), &NoCustom).unwrap_err();
    assert_eq!(error.to_string(), "line 1, column 8 (byte 7): expected a value");
}

#[test]
fn field_types_are_told_apart() {
    use FieldType::{Address, Any, Array, Boolean, Integer, Number, Object, Text, Time};
    let values = [
        ("null", vec![]),
        ("true", vec![Any, Boolean]),
        ("1", vec![Any, Integer, Number]),
        ("1.5", vec![Any, Number]),
        ("\"\"", vec![Any]),
        ("\"x\"", vec![Any, Text]),
        ("\"::1\"", vec![Any, Text, Address]),
        ("\"192.0.2.1\"", vec![Any, Text, Address]),
        ("\"2026-11-21T00:14:00Z\"", vec![Any, Text, Time]),
        ("[]", vec![Any]),
        ("[0]", vec![Any, Array]),
        ("{}", vec![Any]),
        ("{\"a\":0}", vec![Any, Object]),
    ];
    for field in [Any, Text, Number, Integer, Boolean, Time, Address, Array, Object] {
        let require = vec![requirement("/ctx/x", field)];
        let rules =
            vec![Rule { classes: Vec::new(), ..rule("r", "", require, Enforcement::Reject) }];
        let policy =
            Policy::compile(DIGEST, &Statements { rules, ..Statements::default() }).unwrap();
        for (value, fields) in &values {
            let admitted = matches!(
                judged(&policy, &format!("{{\"ctx\":{{\"x\":{value}}}}}")),
                Admission::Recorded(_)
            );
            assert_eq!(admitted, fields.contains(&field), "{field:?} {value}");
        }
        assert!(matches!(judged(&policy, "{}"), Admission::Refused(_)));
    }
}

#[test]
fn what_is_recognised_is_treated_after_places_whatever_the_order() {
    let submission = r#"{"ctx":{"a":{"mail":"x@example.com","b":["4111111111111111 y@example.com"]},"n":"4111111111111111","m":"z@example.com"}}"#;
    let (commit, mask) = (Action::Commit { subject: None }, Action::Mask { keep_last: 2 });
    let orders = [
        vec![
            detect(Detector::Email, commit.clone()),
            treat("/ctx/a", commit.clone()),
            detect(Detector::Card, Action::Drop),
        ],
        vec![
            detect(Detector::Email, mask.clone()),
            detect(Detector::Card, commit.clone()),
            treat("/ctx/a/b", Action::Drop),
        ],
        vec![
            detect(Detector::Card, mask.clone()),
            detect(Detector::Email, Action::TOKEN),
            treat("/ctx/a/mail", mask),
        ],
        vec![
            treat("/ctx/a/*", commit.clone()),
            detect(Detector::Card, Action::TOKEN),
            detect(Detector::Email, Action::Drop),
        ],
        vec![
            treat("/ctx", commit),
            detect(Detector::Card, Action::TOKEN),
            detect(Detector::Email, Action::Drop),
        ],
    ];
    for treatments in orders {
        let policy = Policy::compile(
            DIGEST,
            &Statements { treatments: treatments.clone(), ..Statements::default() },
        )
        .unwrap();
        let Admission::Recorded(Admitted { draft, kept, verdict, .. }) =
            judged(&policy, submission)
        else {
            panic!()
        };
        let entry = draft.stamp(now());
        let record =
            Record::parse(&entry).unwrap_or_else(|error| panic!("{treatments:?}: {error}"));
        assert_eq!((verdict, record.commitments().len()), (Verdict::Accept, kept.len()));
        for kept in &kept {
            record
                .verify_disclosure(&kept.opening.path, &kept.opening.salt, &kept.opening.value)
                .unwrap();
        }
        let shown = String::from_utf8(entry).unwrap();
        assert!(
            !shown.contains("4111") && !shown.contains("example"),
            "{treatments:?} left {shown}"
        );
    }
}

/// Events with a card's number at a random place.
fn any_context() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::from("4111111111111111")),
        Just(Value::from("before 4111-1111-1111-1111 after".to_owned())),
        Just(Number::from_integer(4_111_111_111_111_111).unwrap().into()),
        "[a-z ]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let members = prop::collection::btree_map("[a-d/~]{0,3}", inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::Array),
            members.prop_map(|members: BTreeMap<String, _>| {
                let mut object = Object::new();
                members.into_iter().for_each(|(name, value)| drop(object.insert(name, value)));
                Value::Object(object)
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_record_shows_what_a_detector_finds(context in any_context(), action in prop::sample::select(&[0, 1, 2, 3][..])) {
        let action = [Action::Drop, Action::Mask { keep_last: 4 }, Action::TOKEN, Action::Commit { subject: None }][action].clone();
        let policy = Policy::compile(DIGEST, &Statements { treatments: vec![detect(Detector::Card, action)], ..Statements::default() }).unwrap();
        let submission = Value::from(Object::from([("ctx", Object::from([("x", context)]).into())])).format();
        let Admission::Recorded(Admitted { draft, verdict, .. }) = judged(&policy, &submission) else { panic!() };
        prop_assert_eq!(verdict, Verdict::Accept);
        let entry = draft.stamp(now());
        Record::parse(&entry).unwrap();
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let shown = String::from_utf8(entry).unwrap();
        prop_assert!(Detector::Card.find(&shown).is_empty(), "{}", shown);
        prop_assert!(!digits(&shown).contains("4111111111111111"), "{}", shown);
    }

    #[test]
    fn no_accepted_record_lacks_a_required_field(
        act in prop::sample::select(&["auth.login", "auth.", "other"][..]),
        members in prop::collection::btree_map(prop::sample::select(&["id", "email", "ip"][..]), "[a-z]{0,2}", 0..4),
        out in any::<bool>(),
    ) {
        let object = |names: &[&str]| {
            let shown = members.iter().filter(|(name, _)| names.contains(name));
            shown.map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect::<Vec<_>>().join(",")
        };
        let out = if out { ",\"out\":\"success\"" } else { "" };
        let submission = format!("{{\"act\":\"{act}\"{out},\"actor\":{{{}}},\"ctx\":{{{}}}}}", object(&["id", "email"]), object(&["ip"]));
        let (entry, _, verdict) = recorded(&submission);
        let record = Record::parse(&entry).unwrap();
        let Body::Event(event) = record.body() else { panic!() };
        let has = |text: &str| path(text).find(event.content()).is_some_and(|value| value.as_str() != Some(""));
        if act != "other" && verdict.shows_content() {
            prop_assert!(has("/actor/id") && has("/out"), "{}", submission);
            prop_assert_eq!(verdict == Verdict::Accept, path("/ctx/ip").find(event.content()).is_some());
        }
    }
}

/// Says what it was made to say, of every event.
struct Said(Result<Vec<(Enforcement, String)>, CustomError>);

impl Custom for Said {
    fn judge(
        &self,
        event: &Object<'_>,
        class: Option<&str>,
    ) -> Result<Vec<(Enforcement, String)>, CustomError> {
        assert_eq!(class, Some("authentication"));
        assert_eq!(event.get("source").and_then(Value::as_str), Some("CN=a"));
        self.0.clone()
    }
}

/// Returns the verdict and rules of a login under custom rules; `None` for the verdict of a refusal.
fn said(said: Result<Vec<(Enforcement, String)>, CustomError>) -> (Option<Verdict>, Vec<String>) {
    let submission =
        br#"{"act":"auth.login","actor":{"id":"u"},"out":"success","ctx":{"ip":"::1"}}"#;
    let id = RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]);
    let arrival = Arrival {
        bytes: submission,
        source: Some("CN=a"),
        class: None,
        kept: false,
        id,
        now: now(),
    };
    match admit(&policy(), &arrival, &mut Counted::default(), &Said(said)).unwrap() {
        Admission::Refused(rules) => (None, rules),
        Admission::Recorded(admitted) => {
            let entry = admitted.draft.stamp(now());
            let record = Record::parse(&entry).unwrap();
            let Body::Event(event) = record.body() else { panic!("an event") };
            assert_eq!(event.verdict(), admitted.verdict);
            (Some(admitted.verdict), event.rules().to_vec())
        }
    }
}

#[test]
fn custom_rules_are_heard_and_their_failure_is_an_error() {
    let broken = |enforcement| Ok(vec![(enforcement, "team/custom".to_owned())]);
    let custom = vec!["team/custom".to_owned()];
    assert_eq!(said(Ok(Vec::new())), (Some(Verdict::Accept), Vec::new()));
    assert_eq!(said(broken(Enforcement::Warn)), (Some(Verdict::Warn), custom.clone()));
    assert_eq!(said(broken(Enforcement::Quarantine)), (Some(Verdict::Quarantine), custom.clone()));
    assert_eq!(said(broken(Enforcement::Reject)), (None, custom));
    let failed = CustomError { reason: "out of time".to_owned() };
    assert_eq!(said(Err(failed)), (Some(Verdict::Error), vec!["policy/error".to_owned()]));
}

#[test]
fn what_is_no_event_is_kept_under_the_one_class_that_is_shown() {
    let id = RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]);
    let bytes = b"<34>Oct 11 22:14:15 mymachine su: no JSON";
    let arrival =
        Arrival { bytes, source: Some("CN=a"), class: Some(UNPARSED), kept: false, id, now: now() };
    let Ok(Admission::Recorded(admitted)) =
        admit(&policy(), &arrival, &mut Counted::default(), &NoCustom)
    else {
        panic!("it is recorded")
    };
    let entry = admitted.draft.stamp(now());
    let record = Record::parse(&entry).unwrap();
    let Body::Event(event) = record.body() else { panic!("an event") };
    assert_eq!(event.rules(), ["record/unparsed"]);
    assert_eq!(event.content().get("class").and_then(Value::as_str), Some("unparsed"));
    assert_eq!(record.verify_raw(&admitted.kept[0].opening.salt, bytes), Ok(&bytes[..]));
}
