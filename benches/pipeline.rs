//! The write path without a network: submit to published, every commit synced to the disk that
//! holds the temporary directory.
//!
//! `pipeline/batch/N` keeps 8 atomic batches of N entries of 256 bytes in flight, `pipeline/unary/N`
//! keeps N single entries in flight. Throughput is in entries.

use std::{collections::VecDeque, hint::black_box, sync::Arc};

use attestree::{
    pipeline::{Content, Log, NewEntry, Pipeline, Submission, Ticket},
    store::LogIdentity,
};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/suite/world.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "shared with the suite"
)]
mod world;

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
            NewEntry { bytes: Bytes::from(bytes), key: None }
        });
        Submission {
            entries: entries.collect(),
            principal: Bytes::new(),
            content: Content::Raw,
            atomic: true,
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
    assert!(log.published().head().size.get() > 0, "something was published");
    pipeline.stop();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
