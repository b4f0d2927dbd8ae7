//! SIGKILL while alerts flow: every one reaches its receiver at least once, in order.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::{
    DEPLOY, POLICY, index,
    latency::Place,
    receiver::{Act, Receiver},
    recorded,
};
use crate::{http_tiles::client, random::Random};

/// Rounds, each of which ends with a kill.
const KILLS: usize = 6;

/// Events of a round at most.
const EVENTS_MAX: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_repeat_alerts_and_never_skip_one() {
    let random = &mut Random::seeded("alerts");
    // A receiver that fails now and then, so that kills meet pauses too.
    let acts: Vec<Act> = (0..2_000)
        .map(|_| match random.below(30) {
            0 => Act::Cut,
            1 => Act::Answer(503, ""),
            _ => Act::Answer(200, ""),
        })
        .collect();
    let mut receiver = Receiver::start(&acts).await;
    let place = Place::new(&receiver);
    let mut taken = Vec::new();
    for round in 0..KILLS {
        let mut server = place.serve(round);
        if round == 0 {
            place.apply(POLICY).await;
        }
        let url = server.url();
        let goal = 1 + random.below(EVENTS_MAX);
        let mut writers = JoinSet::new();
        for _ in 0..4 {
            let url = format!("{url}/v1/events");
            writers.spawn(async move {
                for _ in 0..EVENTS_MAX {
                    // The server may be gone by then.
                    let post = client().post(&url).header("content-type", "application/json");
                    if post.body(DEPLOY).send().await.is_err() {
                        return;
                    }
                }
            });
        }
        for _ in 0..goal {
            taken.push(index(&receiver.next_taken().await));
        }
        // Some turns of the scheduler later: between a message and its being kept, or after it.
        for _ in 0..random.below(2_000) {
            tokio::task::yield_now().await;
        }
        server.kill();
        while writers.join_next().await.is_some() {}
        taken.extend(receiver.rest().iter().filter(|seen| seen.taken).map(index));
    }
    let mut server = place.serve(KILLS);
    let expected: Vec<u64> =
        recorded(&server.url()).await.into_iter().map(|(index, _)| index).collect();
    while taken.iter().max() != expected.last() {
        taken.push(index(&receiver.next_taken().await));
    }
    // Whatever was not taken before is the next one that was recorded.
    let mut known = BTreeSet::new();
    let firsts: Vec<u64> = taken.iter().copied().filter(|index| known.insert(*index)).collect();
    assert_eq!(firsts, expected);
    println!("{} alerts in {} messages over {KILLS} kills", expected.len(), taken.len());
    assert!(server.stop().success());
}
