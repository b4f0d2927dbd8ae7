//! Loads: one that is concurrent and endless, one that is short and always the same.

use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{
    client::{Client, Ended, Maker},
    ledger::Book,
    random::Random,
    site::{HASHED, PLAIN},
};

/// Most entries of a batch of the storm: more than a tile, so that some batches complete two.
const STORM_BATCH_MAX: u64 = 400;

/// What one task of the storm does over and over.
#[derive(Clone, Copy, Debug)]
enum Writer {
    /// Single entries with idempotency keys.
    Keyed,
    /// Single entries without.
    Bare,
    /// Batches.
    Batch,
    /// Streams of keyed entries.
    Stream,
    /// No writing: watches the checkpoints.
    Watcher,
}

/// The tasks per log.
const WRITERS: [Writer; 6] =
    [Writer::Keyed, Writer::Keyed, Writer::Bare, Writer::Batch, Writer::Stream, Writer::Watcher];

/// Writes to both logs from all sides until the server is gone.
pub(crate) async fn storm(url: &str, book: &Book, random: &mut Random) {
    let mut tasks = JoinSet::new();
    for origin in [PLAIN, HASHED] {
        for writer in WRITERS {
            let Ok(client) = Client::connect(url, book).await else { continue };
            let maker = Maker::new(&format!("{writer:?}"), random);
            tasks.spawn(repeat(writer, client, origin, maker));
        }
    }
    while let Some(ended) = tasks.join_next().await {
        let status = ended.expect("no promise was broken as it was made");
        assert_gone(&status);
    }
}

/// Does one thing until it fails.
async fn repeat(
    writer: Writer,
    mut client: Client,
    origin: &'static str,
    mut maker: Maker,
) -> Status {
    loop {
        let result = match writer {
            Writer::Keyed => {
                let (entry, key) = maker.keyed();
                client.append(origin, entry, key).await
            }
            Writer::Bare => client.append(origin, maker.entry(), Vec::new()).await,
            Writer::Batch => client.append_batch(origin, maker.batch(STORM_BATCH_MAX)).await,
            Writer::Stream => client.stream(origin, 64, &mut maker).await,
            Writer::Watcher => {
                client.watch(origin).await.and(Err(Status::unavailable("the watch ended")))
            }
        };
        if let Err(status) = result {
            return status;
        }
    }
}

/// Asserts that a failure is one that a dying server may cause, and no verdict on the submission.
pub(crate) fn assert_gone(status: &Status) {
    let gone = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal, Code::Aborted];
    assert!(gone.contains(&status.code()), "the server goes away, and refuses nothing: {status:?}");
}

/// Writes some of everything, one after another, and stops at the first failure.
pub(crate) async fn script(client: &mut Client, random: &mut Random) -> Ended {
    let mut maker = Maker::new("script", random);
    for origin in [PLAIN, HASHED] {
        for _ in 0..3 {
            let (entry, key) = maker.keyed();
            client.append(origin, entry, key).await?;
        }
        // Two tiles and a bit, whatever the size was.
        let batch = (0..530).map(|_| maker.entry()).collect();
        client.append_batch(origin, batch).await?;
        client.stream(origin, 12, &mut maker).await?;
        client.append(origin, maker.entry(), Vec::new()).await?;
    }
    Ok(())
}
