//! The write path without a network: submit to published, every commit synced to the disk that
//! holds the temporary directory.
//!
//! `pipeline/batch/N` keeps 8 atomic batches of N entries of 256 bytes in flight, `pipeline/unary/N`
//! keeps N single entries in flight. Throughput is in entries. `audit/...` does the same with events of 1 KiB
//! on an audit log, whose policy has 100 rules and commits three fields of each.

use std::{collections::VecDeque, hint::black_box, sync::Arc};

use attestree::{
    core::{
        policy::{
            Action, Class, Condition, Enforcement, FieldType, Requirement, Rule, Statements,
            Target, Test, Treatment,
        },
        record::{ApprovalRule, Path},
    },
    pipeline::{Content, Log, NewEntry, Pipeline, Submission, Ticket},
    store::LogIdentity,
};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/support/held.rs"]
#[allow(unreachable_pub, clippy::disallowed_methods, reason = "shared with the suite")]
mod held;
#[path = "../tests/suite/world.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "shared with the suite"
)]
mod world;

#[path = "../tests/suite/audit/site.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::indexing_slicing,
    clippy::type_complexity,
    clippy::unwrap_used,
    reason = "shared with the suite"
)]
mod site;

use site::Site;
use world::{World, block_on};

/// Length of an entry: that of a short audit event.
const ENTRY_BYTES: usize = 256;

/// Makes entries that do not repeat: a counter, then noise that does not compress.
struct Source(u64);

impl Source {
    fn submission(&mut self, entries: usize) -> Submission {
        let entries = (0..entries).map(|_| {
            self.0 += 1;
            let mut state = self.0;
            let mut bytes = Vec::with_capacity(ENTRY_BYTES);
            while bytes.len() < ENTRY_BYTES {
                // SplitMix64, so that the bytes are the same on each run and look random to lz4.
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                bytes.extend_from_slice(&(word ^ (word >> 31)).to_be_bytes());
            }
            NewEntry::new(Bytes::from(bytes), None)
        });
        Submission {
            atomic: true,
            ..Submission::new(entries.collect(), Bytes::new(), Content::Raw)
        }
    }
}

/// Keeps `width` submissions in flight until `rounds` of them are answered.
fn drive(pipeline: &Pipeline, log: &Arc<Log>, waiting: Vec<Submission>, width: usize) {
    let mut flight: VecDeque<Ticket> = VecDeque::with_capacity(width);
    for submission in waiting {
        if flight.len() == width {
            let ticket = flight.pop_front().expect("the flight is full");
            black_box(block_on(ticket).expect("the batch is published"));
        }
        flight.push_back(pipeline.submit(log, submission).expect("the pool has room"));
    }
    for ticket in flight {
        block_on(ticket).expect("the batch is published");
    }
}

fn pipeline(criterion: &mut Criterion) {
    let mut world = World::with_logs(1, LogIdentity::None);
    world.limits.log_percent = 100;
    let pipeline = world.open();
    let log = pipeline.log("").expect("the default log");
    let mut source = Source(0);
    let mut group = criterion.benchmark_group("pipeline");
    for (name, entries, width, rounds) in [
        ("unary/1", 1, 1, 64),
        ("unary/64", 1, 64, 2_048),
        ("batch/100", 100, 16, 64),
        ("batch/1000", 1_000, 8, 32),
    ] {
        group.throughput(Throughput::Elements((entries * rounds) as u64));
        group.sample_size(20);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (0..rounds).map(|_| source.submission(entries)).collect::<Vec<_>>(),
                |waiting| drive(&pipeline, &log, waiting, width),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
    pipeline.stop();
}

/// Returns a policy of 100 rules in ten classes that commits three fields.
fn statements() -> Statements {
    let path = |text: &str| Path::parse(text).expect("a constant path");
    let areas =
        ["auth", "db", "deploy", "config", "access", "admin", "data", "code", "system", "billing"];
    let like = |area: &str| vec![Condition::field(path("/act"), Test::Prefix(format!("{area}.")))];
    let class = |area: &&str| Class { name: format!("{area}-class"), when: like(area) };
    let places = ["/actor/id", "/out", "/resource/id", "/ctx/trace", "/ctx/reason"];
    let rule = |(number, (area, place)): (usize, (&&str, &&str))| Rule {
        name: format!("rule/{number}"),
        classes: vec![format!("{area}-class")],
        when: Vec::new(),
        require: vec![Requirement { path: path(place), field: FieldType::Text }],
        otherwise: Enforcement::Quarantine,
    };
    let pairs = areas.iter().cycle().zip(places.iter().cycle());
    let commit = |place: &str| Treatment {
        target: Target::Path(path(place)),
        action: Action::Commit { subject: None },
    };
    Statements {
        classes: areas.iter().map(class).collect(),
        rules: pairs.take(100).enumerate().map(rule).collect(),
        treatments: ["/actor/name", "/actor/mail", "/ctx/note"].map(commit).into(),
        ..Statements::default()
    }
}

/// Makes a submission of events of about a KiB.
fn events(entries: usize) -> Submission {
    let filler = "x".repeat(600);
    let text = format!(
        r#"{{"act":"auth.login","out":"success","actor":{{"id":"u_8812","name":"Ada Example","mail":"ada@example.com"}},"resource":{{"id":"payments-eu","labels":{{"env":"prod","tier":"1"}}}},"ctx":{{"trace":"4bf92f3577b34da6a3ce929d0e0e4736","reason":"none","note":"a note","agent":"{filler}","request":{{"method":"POST","status":401,"ms":12.5}}}}}}"#
    );
    let bytes = Bytes::from(text);
    let entry = NewEntry::new(bytes, None);
    Submission {
        atomic: true,
        ..Submission::new(vec![entry; entries], vec![7; 32].into(), Content::Event)
    }
}

fn audit(criterion: &mut Criterion) {
    let site = Site::new(&ApprovalRule::NOBODY);
    let pipeline = site.open();
    let log = pipeline.log("").expect("the default log");
    site::apply(&pipeline, &log, &site.state("bench", site::states(statements())));
    let mut group = criterion.benchmark_group("audit");
    for (name, entries, width, rounds) in [("unary/64", 1, 64, 2_048), ("batch/1000", 1_000, 8, 32)]
    {
        group.throughput(Throughput::Elements((entries * rounds) as u64));
        group.sample_size(20);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    // The clock stands, and times must not run ahead of it.
                    site.clock.pass(1_000);
                    (0..rounds).map(|_| events(entries)).collect::<Vec<_>>()
                },
                |waiting| drive(&pipeline, &log, waiting, width),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
    pipeline.stop();
}

criterion_group!(benches, pipeline, audit);
criterion_main!(benches);
