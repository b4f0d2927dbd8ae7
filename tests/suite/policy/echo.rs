//! Whatever a policy takes out of an event: the record it becomes is one that its producer accepts.

use std::collections::BTreeMap;

use attestree::core::number::UnixMillis;
use attestree::core::policy::{
    Action, Admission, Arrival, Class, Custom, CustomError, Detector, Enforcement, Enrichment,
    Lookup, Policy, Statements, Target, Treatment, Trim, admit,
};
use attestree::core::record::holds_made;
use attestree::core::record::json::{Number, Object, Value};
use attestree::core::record::{Given, Path, PolicyDigest, Record, RecordId, Timestamp, check_echo};
use proptest::prelude::*;

use super::rego::Fixed;

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

/// Masks of a custom rule: places that may overlap those of the policy.
struct Masks(Vec<Treatment>);

impl Custom for Masks {
    fn judge(
        &self,
        _event: &Object<'_>,
        _class: Option<&str>,
    ) -> Result<Vec<(Enforcement, String)>, CustomError> {
        Ok(Vec::new())
    }

    fn treat(&self, _event: &Object<'_>) -> Result<Vec<Treatment>, CustomError> {
        Ok(self.0.clone())
    }
}

/// Admits an event of the one class that there is, and has its record checked; returns the record.
fn echoed(statements: &Statements, masks: Vec<Treatment>, submission: &str) -> String {
    let policy = Policy::compile(PolicyDigest::from_bytes([3; 32]), statements).unwrap();
    let id = RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]);
    let now = Timestamp::parse("2026-11-21T00:14:00.000001Z").unwrap();
    let arrival =
        Arrival { bytes: submission.as_bytes(), source: None, class: None, kept: false, id, now };
    let Admission::Recorded(admitted) =
        admit(&policy, &arrival, &mut Fixed, &Masks(masks)).unwrap()
    else {
        panic!("no rule refuses anything")
    };
    let entry = admitted.draft.stamp(now);
    let shown = String::from_utf8(entry.clone()).unwrap();
    let record = Record::parse(&entry).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert_eq!(record.commitments().len(), admitted.kept.len(), "{shown}");
    let given = admitted.kept.into_iter().map(|kept| {
        let made = holds_made(&kept.opening.path);
        let value = made.then_some(kept.opening.value.as_slice());
        Given::new(kept.opening.path.clone(), kept.opening.salt, value)
    });
    check_echo(submission.as_bytes(), &entry, given.collect())
        .unwrap_or_else(|error| panic!("{error}: {submission} became {shown}"));
    shown
}

fn actions() -> [Action; 4] {
    let commit = Action::Commit { subject: Some(path("/actor/id")) };
    [Action::Drop, Action::Mask { keep_last: 20 }, TOKEN, commit]
}

const TOKEN: Action = Action::TOKEN;

fn detect(detector: Detector, action: Action) -> Treatment {
    Treatment { target: Target::Detected(detector), action }
}

fn treat(target: &str, action: Action) -> Treatment {
    Treatment { target: Target::Path(path(target)), action }
}

fn class(trims: &[&str]) -> Statements {
    let paths = trims.iter().map(|text| path(text)).collect();
    Statements {
        classes: vec![Class { name: "c".to_owned(), when: Vec::new() }],
        trims: vec![Trim { class: "c".to_owned(), paths }],
        ..Statements::default()
    }
}

#[test]
fn a_commitment_holds_the_text_as_it_was_before_it_was_masked() {
    let [_, mask, _, commit] = actions();
    let treatments = vec![detect(Detector::Card, mask), detect(Detector::Email, commit)];
    let statements = Statements { treatments, ..class(&[]) };
    let shown = echoed(
        &statements,
        Vec::new(),
        r#"{"class":"c","ctx":{"a":"4111111111111111 of x@example.com","b":"4111 1111 1111 1111"}}"#,
    );
    assert!(
        shown.contains(r#""red":[["/ctx/b","mask"]]"#) && shown.contains(r#""a":{"$c""#),
        "{shown}"
    );
}

#[test]
fn what_a_custom_mask_took_out_stays_out_of_a_commitment_around_it() {
    let [drop, _, _, commit] = actions();
    let statements = Statements { treatments: vec![treat("/ctx/a", commit)], ..class(&[]) };
    let masks = vec![treat("/ctx/a/secret", drop)];
    let shown = echoed(
        &statements,
        masks,
        r#"{"class":"c","ctx":{"a":{"secret":"s3","user":"joe","more":[1,null]}}}"#,
    );
    assert!(shown.contains(r#""red":[["/ctx/a/secret","drop"]]"#), "{shown}");
    assert!(shown.contains(r#""user":{"$c""#) && !shown.contains("joe"), "{shown}");
}

#[test]
fn what_a_level_leaves_out_takes_the_commitments_inside_with_it() {
    let [.., commit] = actions();
    let treatments = vec![treat("/ctx/body/card", commit.clone()), detect(Detector::Email, commit)];
    let statements = Statements { treatments, ..class(&["/ctx/body"]) };
    let shown = echoed(
        &statements,
        Vec::new(),
        r#"{"class":"c","ctx":{"body":{"card":1,"mail":"a@example.com"},"mail":"b@example.com"}}"#,
    );
    assert!(shown.contains(r#""red":[["/ctx/body","drop"]]"#), "{shown}");
}

#[test]
fn a_context_that_only_the_server_made_can_be_redacted_whole() {
    let [drop, _, token, commit] = actions();
    let lookup = Lookup::Table { entries: BTreeMap::new(), otherwise: Some("eu".to_owned()) };
    let enrichment = Enrichment { name: "zone".to_owned(), from: path("/act"), lookup };
    for action in [drop, token, commit] {
        let statements = Statements {
            treatments: vec![treat("/ctx", action)],
            enrichments: vec![enrichment.clone()],
            ..class(&[])
        };
        for submission in
            [r#"{"act":"a"}"#, r#"{"act":"a","ctx":{}}"#, r#"{"act":"a","ctx":{"b":1}}"#]
        {
            let shown = echoed(&statements, Vec::new(), submission);
            assert!(!shown.contains("zone"), "{shown}");
        }
    }
}

#[test]
fn what_no_path_leads_to_does_not_stay_in_the_clear() {
    for action in actions() {
        let treatments = vec![treat("/ctx/*/*/*/*/secret", action)];
        let statements = Statements { treatments, ..class(&[]) };
        // Three names as long as they can be, and one that makes the path of what is in it so long.
        let event = |bytes: usize, inner: &str| {
            let three = "n".repeat(255);
            let last = "n".repeat(bytes - "/ctx".len() - 3 * 256 - "//secret".len());
            format!(
                r#"{{"ctx":{{"{three}":{{"{three}":{{"{three}":{{"{last}":{{"{inner}":"s3cr3t"}}}}}}}}}}}}"#
            )
        };
        let reached = echoed(&statements, Vec::new(), &event(1_024, "secret"));
        assert!(reached.contains(r#""vd":"accept""#) && !reached.contains("s3cr3t"), "{reached}");
        let hidden = echoed(&statements, Vec::new(), &event(1_025, "secret"));
        assert!(hidden.contains(r#""vr":["record/path-too-long"]"#), "{hidden}");
        assert!(hidden.contains(r#""vd":"quarantine""#) && !hidden.contains("s3cr3t"), "{hidden}");
        // Where there is nothing to redact nothing is hidden.
        let plain = echoed(&statements, Vec::new(), &event(1_025, "public"));
        assert!(plain.contains(r#""vd":"accept""#), "{plain}");
    }
}

/// What may stand anywhere in an event.
fn any_value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(Value::from("4111111111111111 and x@example.com")),
        Just(Value::from("y@example.com")),
        Just(Number::from_integer(4_111_111_111_111_111).unwrap().into()),
        "[a-z ]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let members = prop::collection::btree_map("[a-c]", inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(Value::Array),
            members.prop_map(|members: BTreeMap<String, _>| {
                let mut object = Object::new();
                members.into_iter().for_each(|(name, value)| drop(object.insert(name, value)));
                Value::Object(object)
            }),
        ]
    })
}

/// Places, of which no two overlap that are far enough apart.
const PLACES: [&str; 8] =
    ["/ctx/a", "/ctx/b/*", "/ctx/b", "/ctx/a/b", "/ctx/*/c", "/actor", "/resource/a/0", "/ctx"];

/// Treatments of places, in any number; those of a policy must not overlap, which the caller sees to.
fn any_places(most: usize) -> impl Strategy<Value = Vec<Treatment>> {
    let place = prop::sample::select(PLACES.to_vec());
    let one = (place, 0..4_usize).prop_filter_map("a mask of a whole member", |(place, action)| {
        let whole = place.matches('/').count() == 1;
        (!whole || action != 1).then(|| treat(place, actions()[action].clone()))
    });
    prop::collection::vec(one, 0..most)
}

proptest! {
    #[test]
    fn every_honest_record_is_accepted_by_its_producer(
        (a, b, actor, resource) in (any_value(), any_value(), any_value(), any_value()),
        places in any_places(3),
        masks in any_places(3),
        detectors in prop::collection::vec((any::<bool>(), 0..4_usize), 0..3),
        trim in prop::option::of(prop::sample::select(PLACES.to_vec())),
        enriched in any::<bool>(),
    ) {
        let mut treatments = places;
        treatments.extend(detectors.into_iter().map(|(card, action)| {
            let detector = if card { Detector::Card } else { Detector::Email };
            detect(detector, actions()[action].clone())
        }));
        let trims: Vec<&str> = trim.filter(|trim| !trim.contains('*')).into_iter().collect();
        let from = path("/act");
        let lookup = Lookup::Table { entries: BTreeMap::new(), otherwise: Some("z@example.com".to_owned()) };
        let enrichment = Enrichment { name: "team".to_owned(), from, lookup };
        let enrichments = enriched.then_some(enrichment).into_iter().collect();
        let statements = Statements { treatments, enrichments, ..class(&trims) };
        // Those that overlap make no policy.
        prop_assume!(Policy::compile(PolicyDigest::NONE, &statements).is_ok());
        let object = |name: &'static str, value: Value<'static>| Value::from(Object::from([(name, value)]));
        let context = Object::from([("a", a), ("b", b)]);
        let submission = Object::from([
            ("act", "x".into()),
            ("class", "c".into()),
            ("actor", object("id", actor)),
            ("ctx", context.into()),
            ("resource", object("a", resource)),
        ]);
        echoed(&statements, masks, &Value::from(submission).format());
    }
}
