//! Records: reading JSON, admission under a policy, and sealing what opens a commitment.
//!
//! The event has 1 KiB as it is sent, with 30 values. The policy has 100 rules in ten classes and
//! commits three fields; besides, it is measured with the detectors that every policy has reason to name.
//! Salts come from a counter: what randomness costs is the server's. Each benchmark asserts its result.

#![expect(clippy::indexing_slicing, reason = "a wrong index is a failed benchmark")]

use std::fmt::Write as _;
use std::hint::black_box;

use attestree::core::number::UnixMillis;
use attestree::core::origin::Origin;
use attestree::core::policy::{
    Action, Admission, Admitted, Arrival, Bundle, Class, Condition, Detector, Enforcement,
    FieldType, Glob, Materials, NoCustom, Policy, Requirement, Rule, Statements, Target, Test,
    Treatment, admit,
};
use attestree::core::record::{
    Path, Place, PolicyDigest, Record, RecordId, SUBMISSION_LIMITS, Salt, Secret, Timestamp,
    Verdict, json,
};
use attestree::policy::compile;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Rules of the policy.
const RULES: usize = 100;

/// Bytes of the event.
const EVENT_BYTES: usize = 1_024;

/// Salts that differ.
struct Counted(u64);

impl Materials for Counted {
    fn salt(&mut self) -> Salt {
        self.0 += 1;
        let mut salt = [0; 32];
        salt.iter_mut().zip(self.0.to_be_bytes()).for_each(|(byte, count)| *byte = count);
        Salt::new(salt)
    }

    fn token_key(&mut self, _path: &Path, _days: u32) -> (Secret, u32) {
        (Secret::new([1; 32]), 685)
    }
}

fn path(text: &str) -> Path {
    Path::parse(text).expect("a constant path")
}

/// Returns an event of [`EVENT_BYTES`].
fn event() -> Vec<u8> {
    let event = |filler: &str| {
        format!(
            r#"{{"ot":"2026-11-21T00:13:59.812345Z","class":"authentication","act":"auth.login.password","out":"failure","seq":1042,
"actor":{{"id":"u_8812","name":"Ada Example","email":"ada@example.com","roles":["admin","auditor"],"session":"5f3c9a7e"}},
"resource":{{"type":"realm","id":"payments-eu","owner":"team-payments","labels":{{"env":"prod","tier":"1"}}}},
"ctx":{{"ip":"192.0.2.44","port":44312,"user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","trace":"4bf92f3577b34da6a3ce929d0e0e4736",
"span":"00f067aa0ba902b7","request":{{"method":"POST","path":"/v1/login","status":401,"ms":12.5,"headers":{{"host":"api.example","accept":"*/*"}}}},
"attempt":3,"mfa":false,"reason":"wrong password","region":"eu-central-1","note":"{filler}"}}}}"#
        )
    };
    let filler = "x".repeat(EVENT_BYTES - event("").len());
    event(&filler).into_bytes()
}

/// Returns a policy of [`RULES`] rules, with detectors or without.
fn policy(detectors: &[Detector]) -> Policy {
    let is_like =
        |pattern: &str| vec![Condition::field(path("/act"), Test::Glob(Glob::new(pattern)))];
    let areas =
        ["auth", "db", "deploy", "config", "access", "admin", "data", "code", "system", "billing"];
    let classes = areas
        .iter()
        .map(|area| Class { name: format!("{area}-class"), when: is_like(&format!("{area}.*")) });
    let fields = [
        ("/actor/id", FieldType::Text),
        ("/out", FieldType::Text),
        ("/ot", FieldType::Time),
        ("/resource/type", FieldType::Text),
        ("/ctx/trace", FieldType::Text),
        ("/ctx/request/status", FieldType::Integer),
        ("/actor/email", FieldType::Any),
        ("/ctx/attempt", FieldType::Integer),
        ("/actor/roles", FieldType::Array),
        ("/resource/labels/env", FieldType::Text),
    ];
    let rule = |number: usize| {
        let (field, kind) = fields[number % fields.len()];
        let region = Condition::field(
            path("/ctx/region"),
            Test::OneOf(vec!["eu-central-1".to_owned(), "eu-west-1".to_owned()]),
        );
        Rule {
            name: format!("rule-{number}"),
            classes: if number < RULES / 2 {
                vec![format!("{}-class", areas[number / 5])]
            } else {
                Vec::new()
            },
            when: if number.is_multiple_of(2) { vec![region] } else { is_like("auth.*") },
            require: vec![Requirement { path: path(field), field: kind }],
            otherwise: Enforcement::Quarantine,
        }
    };
    let commit = |text: &str| {
        let action = Action::Commit { subject: Some(path("/actor/id")) };
        Treatment { target: Target::Path(path(text)), action }
    };
    let detect = |detector: &Detector| {
        let action = Action::Mask { keep_last: 4 };
        Treatment { target: Target::Detected(*detector), action }
    };
    let commits = ["/actor/email", "/actor/name", "/ctx/ip"].map(commit);
    let statements = Statements {
        classes: classes.collect(),
        rules: (0..RULES).map(rule).collect(),
        treatments: commits.into_iter().chain(detectors.iter().map(detect)).collect(),
        unknown_class: None,
        ..Statements::default()
    };
    Policy::compile(PolicyDigest::NONE, &statements).expect("the statements fit together")
}

/// Admits an event that keeps the rules; returns its record.
fn admitted(policy: &Policy, event: &[u8], materials: &mut Counted) -> Admitted {
    let id = RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]);
    let arrival = Arrival {
        bytes: event,
        source: Some("CN=payments"),
        class: None,
        kept: false,
        id,
        now: now(),
    };
    match admit(policy, &arrival, materials, &NoCustom) {
        Ok(Admission::Recorded(admitted)) => admitted,
        other => panic!("the event is not recorded: {other:?}"),
    }
}

fn now() -> Timestamp {
    Timestamp::from_micros(1_795_000_000_000_000).expect("this century")
}

fn reading(c: &mut Criterion) {
    let event = event();
    let entry = admitted(&policy(&[]), &event, &mut Counted(0)).draft.stamp(now());
    let mut group = c.benchmark_group("record");
    group.throughput(Throughput::Bytes(u64::try_from(event.len()).expect("an event is small")));
    group.bench_function("json/parse/1024", |b| {
        b.iter(|| json::parse(black_box(&event), &SUBMISSION_LIMITS));
    });
    let value = json::parse(&event, &SUBMISSION_LIMITS).expect("the event is JSON");
    group.bench_function("json/format/1024", |b| b.iter(|| black_box(&value).format()));
    group.bench_function("parse/1024", |b| b.iter(|| Record::parse(black_box(&entry))));
    assert_eq!(Record::parse(&entry).expect("a record").commitments().len(), 3);
    group.finish();
}

fn admission(c: &mut Criterion) {
    let event = event();
    assert_eq!(event.len(), EVENT_BYTES);
    let mut group = c.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    let mut materials = Counted(0);
    let detectors =
        [Detector::Card, Detector::Jwt, Detector::CloudKey, Detector::Pem, Detector::Iban];
    for (name, detectors) in [("admit/100", &detectors[..0]), ("admit-detect/100", &detectors[..])]
    {
        let policy = policy(detectors);
        let first = admitted(&policy, &event, &mut materials);
        assert_eq!((first.verdict, first.kept.len()), (Verdict::Accept, 3));
        group.bench_function(name, |b| {
            b.iter(|| admitted(&policy, black_box(&event), &mut materials));
        });
    }
    group.bench_function("compile/100", |b| b.iter(|| policy(black_box(&detectors))));
    group.finish();
}

/// Returns a bundle of so many rules: a class for every ten, each with a match of its own.
fn bundle(rules: usize) -> Bundle {
    let mut text = "apiVersion: attestree/v1\nkind: Policy\nclasses:\n".to_owned();
    for class in 0..rules / 10 {
        let fields: Vec<String> = (0..10).map(|field| format!("ctx.field-{field}")).collect();
        let fields = fields.join(", ");
        writeln!(text, "  class-{class}:\n    match: {{action: {{glob: 'area-{class}.*'}}, ctx.region: [eu, us]}}\n    require: [{fields}]")
            .expect("a string takes everything");
    }
    let files = [("policy.yaml".to_owned(), text.into_bytes())];
    Bundle::new(files).expect("one small file")
}

fn documents(c: &mut Criterion) {
    let mut group = c.benchmark_group("policy");
    for rules in [100, 1_000] {
        let bundle = bundle(rules);
        let compiled = compile(&bundle).unwrap_or_else(|found| panic!("{found:?}"));
        assert_eq!(compiled.document.statements().0.rules.len(), rules);
        group.bench_function(format!("compile/{rules}"), |b| {
            b.iter(|| compile(black_box(&bundle)).is_ok());
        });
    }
    group.finish();
}

fn sealing(c: &mut Criterion) {
    let kept = admitted(&policy(&[]), &event(), &mut Counted(0)).kept;
    let origin = Origin::parse("log.example/audit").expect("an origin");
    let id = RecordId::new(UnixMillis(0), [0; 10]);
    let (place, subject) = (Place { origin: &origin, id, field: 0 }, Secret::new([9; 32]));
    let row = place.seal(&subject, &kept[0].opening);
    assert_eq!(place.open(&subject, &row).as_ref(), Ok(&kept[0].opening));
    let mut group = c.benchmark_group("record");
    group
        .bench_function("seal/1", |b| b.iter(|| place.seal(black_box(&subject), &kept[0].opening)));
    group.bench_function("open/1", |b| b.iter(|| place.open(black_box(&subject), &row)));
    group.finish();
}

criterion_group!(benches, reading, admission, documents, sealing);
criterion_main!(benches);
