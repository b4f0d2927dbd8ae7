//! What a producer notices of a server that changes what was submitted.

use attestree::core::number::UnixMillis;
use attestree::core::record::json::{self, Limits, Object, Value};
use attestree::core::record::{
    Decision, Draft, EchoError, Given, Head, Opening, Path, RecordId, Redaction, RedactionAction,
    Salt, Secret, Submission, Timestamp, Token, Verdict, check_echo, commit_raw,
};

const SUBMITTED: &str = r#" {"source":"payments-7","act":"auth.login","actor":{"email":"a@example.com","id":"u_1"},
    "ctx":{"card":"4111 1111 1111 1111","list":[1,{"deep":true,"n":null},"x"],"phone":"+49 30 1",
    "secret":"s","tags":["a","b"],"empty":{},"none":[]},"ot":"2026-11-21T01:13:59.8+01:00",
    "out":"failure","resource":{"id":"r"},"seq":1.042e3} "#;

const LIMITS: Limits = Limits { bytes: 1 << 20, depth: 32, values: 65_536 };

/// A record as an honest server makes it.
#[derive(Clone)]
struct Made {
    entry: Vec<u8>,
    openings: Vec<Opening>,
}

impl Made {
    /// Hands the openings out without the values, as a server does.
    fn given(&self) -> Vec<Given> {
        let given = |opening: &Opening| Given {
            path: opening.path.clone(),
            salt: opening.salt.clone(),
            value: None,
        };
        self.openings.iter().map(given).collect()
    }

    fn members(&self) -> Object<'_> {
        match json::parse(&self.entry, &LIMITS).unwrap() {
            Value::Object(members) => members,
            _ => unreachable!("a record is an object"),
        }
    }
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn salt(number: u8) -> Salt {
    Salt::new([number; 32])
}

fn head() -> Head {
    Head { id: RecordId::new(UnixMillis(1), [7; 10]), policy: None }
}

fn at() -> Timestamp {
    Timestamp::parse("2026-11-21T00:14:00.000001Z").unwrap()
}

fn decision(redactions: Vec<Redaction>) -> Decision<'static> {
    Decision { source: Some("CN=payments"), verdict: Verdict::Accept, rules: vec![], redactions }
}

/// Records an event as it is, but for what has to be spilled.
fn plain(submitted: &str) -> Made {
    let event = Submission::parse(submitted.as_bytes()).unwrap().event().unwrap();
    let mut next = 0;
    let salts = || {
        next += 1;
        salt(next)
    };
    let (draft, openings) = Draft::event(&head(), event, decision(vec![]), salts).unwrap();
    Made { entry: draft.stamp(at()), openings }
}

/// Records the event above with everything that can be done to values.
fn redacted() -> Made {
    let mut event = Submission::parse(SUBMITTED.as_bytes()).unwrap().event().unwrap();
    let places = ["/actor/email", "/ctx/list/1", "/ctx/empty"];
    let openings = (1..).zip(places).map(|(number, place)| {
        event.commit(&path(place), salt(number)).expect("something stands there")
    });
    let openings: Vec<Opening> = openings.collect();
    event.replace(&path("/ctx/card"), "***1111".into()).unwrap();
    let token = Token::new(&Secret::new([5; 32]), 685, &path("/ctx/phone"), b"\"+49 30 1\"");
    event.replace(&path("/ctx/phone"), token.to_value()).unwrap();
    event.remove(&path("/ctx/secret")).unwrap();
    event.remove(&path("/ctx/tags/0")).unwrap();
    let redactions = [
        ("/ctx/card", RedactionAction::Mask),
        ("/ctx/phone", RedactionAction::Token),
        ("/ctx/secret", RedactionAction::Drop),
        ("/ctx/tags/0", RedactionAction::Drop),
    ];
    let redactions =
        redactions.map(|(place, action)| Redaction { path: path(place), action }).to_vec();
    let (draft, spilled) =
        Draft::event(&head(), event, decision(redactions), || unreachable!("it fits")).unwrap();
    assert!(spilled.is_empty());
    Made { entry: draft.stamp(at()), openings }
}

fn quarantined() -> Made {
    let (raw, opening) = commit_raw(salt(1), SUBMITTED.as_bytes());
    let raw = raw.to_value().format();
    let id = head().id;
    let entry = format!(
        r#"{{"at":"{}","ctx":{{"raw":{raw}}},"id":"{id}","t":"event","v":1,"vd":"quarantine","vr":["a/b"]}}"#,
        at()
    );
    Made { entry: entry.into_bytes(), openings: vec![opening] }
}

/// Every place below some members, as the names that lead to it.
fn places(prefix: &[String], value: &Value<'_>, out: &mut Vec<Vec<String>>) {
    let mut step = |name: String, value: &Value<'_>| {
        let place = [prefix, &[name]].concat();
        out.push(place.clone());
        places(&place, value, out);
    };
    match value {
        Value::Object(object) => {
            object.members().iter().for_each(|(name, value)| step(name.to_string(), value));
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(at, value)| step(at.to_string(), value));
        }
        _ => {}
    }
}

/// Changes what stands at a place; `None` takes it out.
fn change<'a>(value: &mut Value<'a>, place: &[String], to: Option<Value<'a>>) {
    let (first, rest) = place.split_first().unwrap();
    match value {
        Value::Object(object) if rest.is_empty() => match to {
            Some(to) => drop(object.insert(first.clone(), to)),
            None => drop(object.remove(first)),
        },
        Value::Object(object) => change(object.member_mut(first).unwrap(), rest, to),
        Value::Array(values) if rest.is_empty() => match to {
            Some(to) => values[first.parse::<usize>().unwrap()] = to,
            None => drop(values.remove(first.parse().unwrap())),
        },
        Value::Array(values) => change(&mut values[first.parse::<usize>().unwrap()], rest, to),
        _ => unreachable!("the place was found"),
    }
}

/// Another value of the same type.
fn other(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Null => "x".into(),
        Value::Bool(one) => Value::Bool(!one),
        Value::Number(number) => json::Number::new(number.get() + 1.0).unwrap().into(),
        Value::String(text) => format!("{text}x").into(),
        Value::Array(values) if values.is_empty() => Value::Array(vec![Value::Null]),
        Value::Array(_) => Value::Array(vec![]),
        Value::Object(object) if object.members().is_empty() => {
            Object::from([("x", Value::Null)]).into()
        }
        Value::Object(_) => Object::new().into(),
    }
}

#[test]
fn an_honest_record_is_an_echo_and_gives_the_openings_back() {
    for made in [plain(SUBMITTED), redacted(), quarantined()] {
        let echo = check_echo(SUBMITTED.as_bytes(), &made.entry, made.given()).unwrap();
        let mut openings = made.openings.clone();
        openings.sort_by(|one, other| one.path.cmp(&other.path));
        assert_eq!(echo.openings, openings);
    }
    let made = redacted();
    let echo = check_echo(SUBMITTED.as_bytes(), &made.entry, made.given()).unwrap();
    assert_eq!((echo.verdict, echo.redactions.len()), (Verdict::Accept, 4));
    let made = quarantined();
    let echo = check_echo(SUBMITTED.as_bytes(), &made.entry, made.given()).unwrap();
    assert_eq!((echo.verdict, echo.rules), (Verdict::Quarantine, vec!["a/b".to_owned()]));
}

#[test]
fn every_change_of_what_was_submitted_is_noticed() {
    // What the server makes of its own, and what `red` names: it may be anything of its form.
    let own = ["/v", "/t", "/id", "/at", "/vd", "/vr", "/source", "/ctx/card", "/ctx/phone"];
    let mut changes = 0;
    for made in [plain(SUBMITTED), redacted()] {
        let is_own = |pointer: &str| {
            let named = made.members().get("red").is_some() || !pointer.starts_with("/ctx");
            named && own.iter().any(|own| pointer.starts_with(own))
        };
        let record = Value::Object(made.members());
        let mut all = Vec::new();
        places(&[], &record, &mut all);
        for place in all {
            let pointer = format!("/{}", place.join("/"));
            let found = path(&pointer).find(record.as_object().unwrap()).unwrap().clone();
            let mut changed = vec![None];
            if !is_own(&pointer) {
                let texts = ["", "y", "***"].map(Value::from);
                changed.extend(texts.into_iter().chain([other(&found), Value::Null]).map(Some));
            } else if place.len() == 1 {
                continue;
            }
            for to in changed.into_iter().filter(|to| to.as_ref() != Some(&found)) {
                let mut lie = record.clone();
                change(&mut lie, &place, to.clone());
                let lie = lie.format();
                let seen = check_echo(SUBMITTED.as_bytes(), lie.as_bytes(), made.given());
                assert!(seen.is_err(), "{pointer} became {to:?} unseen");
                changes += 1;
            }
        }
    }
    assert!(changes > 150, "{changes} changes");
}

#[test]
fn whatever_is_added_is_noticed() {
    let made = redacted();
    let record = Value::Object(made.members());
    for place in [
        &["resource", "more"][..],
        &["ctx", "more"],
        &["ctx", "enrichedx"],
        &["actor", "more"],
        &["class2"],
    ] {
        let place: Vec<String> = place.iter().map(ToString::to_string).collect();
        let mut lie = record.clone();
        change(&mut lie, &place, Some("x".into()));
        let seen = check_echo(SUBMITTED.as_bytes(), lie.format().as_bytes(), made.given());
        assert!(seen.is_err(), "{place:?}");
    }
    // To name what never was is a lie too.
    let mut lie = record.clone();
    let Value::Object(members) = &mut lie else { unreachable!() };
    let Some(Value::Array(red)) = members.member_mut("red") else { unreachable!() };
    red.insert(3, Value::Array(vec!["/ctx/shadow".into(), "drop".into()]));
    let seen = check_echo(SUBMITTED.as_bytes(), lie.format().as_bytes(), made.given());
    assert_eq!(seen, Err(EchoError::Added { path: "/ctx/shadow".to_owned() }));
}

#[test]
fn what_the_server_may_add_is_no_change() {
    let submitted = r#"{"act":"a"}"#;
    let made = plain(submitted);
    let mut members = made.members();
    members.insert("class", "authentication".into());
    let enriched = Object::from([("site", Value::from("berlin"))]);
    members.insert("ctx", Object::from([("enriched", enriched.into())]).into());
    let entry = Value::Object(members.clone()).format();
    check_echo(submitted.as_bytes(), entry.as_bytes(), vec![]).unwrap();

    // A commitment to it opens with what the server hands out, and to what the client did not submit.
    let whole = members.get("ctx").unwrap().format();
    let opening = Opening { path: path("/ctx"), salt: salt(1), value: whole.into_bytes().into() };
    members.insert("ctx", opening.commitment().to_value());
    let entry = Value::Object(members.clone()).format();
    let given = |value: Option<&[u8]>| {
        let value = value.map(|value| value.to_vec().into());
        vec![Given { path: path("/ctx"), salt: salt(1), value }]
    };
    check_echo(submitted.as_bytes(), entry.as_bytes(), given(Some(&opening.value))).unwrap();
    let unopened = Err(EchoError::Unopened { path: "/ctx".to_owned() });
    assert_eq!(check_echo(submitted.as_bytes(), entry.as_bytes(), given(None)), unopened);

    let other = br#"{"raven":1}"#;
    let opening = Opening { path: path("/ctx"), salt: salt(1), value: other.to_vec().into() };
    members.insert("ctx", opening.commitment().to_value());
    let entry = Value::Object(members).format();
    let added = Err(EchoError::Added { path: "/ctx/raven".to_owned() });
    assert_eq!(check_echo(submitted.as_bytes(), entry.as_bytes(), given(Some(other))), added);
}

#[test]
fn every_wrong_opening_is_noticed() {
    for made in [redacted(), quarantined()] {
        let refused = |given: Vec<Given>| {
            let seen = check_echo(SUBMITTED.as_bytes(), &made.entry, given);
            matches!(seen, Err(EchoError::Unopened { .. } | EchoError::Added { .. }))
        };
        for position in 0..made.openings.len() {
            let with = |spoil: &dyn Fn(&mut Vec<Given>)| {
                let mut given = made.given();
                spoil(&mut given);
                given
            };
            assert!(refused(with(&|given| given[position].salt = salt(99))));
            assert!(refused(with(&|given| given[position].path = path("/ctx/elsewhere"))));
            assert!(refused(with(&|given| given[position].value = Some(b"\"x\"".to_vec().into()))));
            assert!(refused(with(&|given| drop(given.remove(position)))));
            assert!(refused(with(&|given| given.push(given[position].clone()))));
        }
    }
}

#[test]
fn a_commitment_to_another_value_is_noticed_though_it_opens() {
    let made = redacted();
    for (place, value) in [
        ("/actor/email", &br#""b@example.com""#[..]),
        ("/ctx/list/1", br#"{"deep":true,"n":1}"#),
        ("/ctx/list/1", b"null"),
        ("/ctx/empty", br#"{"x":1}"#),
    ] {
        let opening = Opening { path: path(place), salt: salt(50), value: value.to_vec().into() };
        let mut lie = Value::Object(made.members());
        let steps: Vec<String> = opening.path.steps().map(std::borrow::Cow::into_owned).collect();
        change(&mut lie, &steps, Some(opening.commitment().to_value()));
        let mut given = made.given();
        given.retain(|given| given.path != opening.path);
        let value = Some(opening.value.clone());
        given.push(Given { path: opening.path.clone(), salt: salt(50), value });
        let seen = check_echo(SUBMITTED.as_bytes(), lie.format().as_bytes(), given.clone());
        assert!(seen.is_err(), "{place} opens to something else");
        given.last_mut().unwrap().value = None;
        let seen = check_echo(SUBMITTED.as_bytes(), lie.format().as_bytes(), given);
        assert_eq!(seen, Err(EchoError::Unopened { path: place.to_owned() }));
    }
    // A raw commitment to other bytes, which are handed out with it.
    let (raw, _) = commit_raw(salt(1), b"{}");
    let made = quarantined();
    let mut lie = made.members();
    lie.insert("ctx", Object::from([("raw", raw.to_value())]).into());
    let lie = Value::Object(lie).format();
    let given = Given { path: path("/ctx/raw"), salt: salt(1), value: Some(b"{}".to_vec().into()) };
    let seen = check_echo(SUBMITTED.as_bytes(), lie.as_bytes(), vec![given]);
    assert_eq!(seen, Err(EchoError::Unopened { path: "/ctx/raw".to_owned() }));
}

#[test]
fn what_is_spilled_opens_to_what_was_submitted() {
    let submitted = format!(
        r#"{{"ctx":{{"a":"{}","b":"{}","c":1}},"source":"me"}}"#,
        "x".repeat(40_000),
        "y".repeat(40_000)
    );
    let made = plain(&submitted);
    assert_eq!(made.openings.len(), 1);
    let echo = check_echo(submitted.as_bytes(), &made.entry, made.given()).unwrap();
    assert_eq!(echo.redactions[0].action, RedactionAction::Spill);
    let mut given = made.given();
    given[0].salt = salt(9);
    assert!(check_echo(submitted.as_bytes(), &made.entry, given).is_err());
}

#[test]
fn another_kind_of_record_is_no_echo() {
    let genesis = format!(
        r#"{{"at":"{}","ctx":{{"origin":"a","rule":{{"keys":[],"threshold":0}}}},"id":"{}","t":"genesis","v":1}}"#,
        at(),
        head().id
    );
    let seen = check_echo(SUBMITTED.as_bytes(), genesis.as_bytes(), vec![]);
    assert_eq!(seen, Err(EchoError::NotAnEvent));
    assert!(matches!(
        check_echo(SUBMITTED.as_bytes(), SUBMITTED.as_bytes(), vec![]),
        Err(EchoError::Record(_))
    ));
    let entry = plain(SUBMITTED).entry;
    assert!(matches!(check_echo(b"{", &entry, vec![]), Err(EchoError::Submission(_))));
    // What may not be submitted can't be shown.
    let seen = check_echo(br#"{"vd":"accept"}"#, &entry, vec![]);
    assert!(matches!(seen, Err(EchoError::Missing { .. })));
}
