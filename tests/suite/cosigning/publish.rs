//! Several logs of one server, of which each is published in its own way.

use std::collections::BTreeMap;

use attestree::{
    core::checkpoint::SignedCheckpoint,
    proto::{
        Answer, AppendRequest, AppendResponse, CheckpointKind, GetCheckpointRequest,
        GetCheckpointResponse, Wait,
    },
    server::config::RawConfig,
    store::LogIdentity,
};
use tonic::Status;

use super::site::{reason, until, within};
use crate::{
    served::{ORIGIN, Served},
    witness::Watching,
};

/// The second log of the server.
const SECOND: &str = "log.example/second";

const LOGS: [(&str, LogIdentity); 2] = [(ORIGIN, LogIdentity::None), (SECOND, LogIdentity::None)];

/// Two logs with one real witness, and how each is published.
struct Pair {
    witness: Watching,
    _dir: tempfile::TempDir,
    served: Served,
}

impl Pair {
    fn start(publish: &str, publish_of: [(&str, &str); 1]) -> Self {
        // The keys are drawn from a seed: the same ones again, so that the witness can know them.
        let vkeys = Served::with(&LOGS, RawConfig::default()).vkeys.clone();
        let witness = Watching::start(&vkeys.iter().map(ToString::to_string).collect::<Vec<_>>());
        let dir = tempfile::tempdir().unwrap();
        let trust = dir.path().join("trust.policy");
        let url = witness.url("");
        std::fs::write(&trust, format!("witness w {} {url}\nquorum w\n", witness.vkey)).unwrap();
        let own = |(origin, word): (&str, &str)| (origin.to_owned(), word.to_owned());
        let raw = RawConfig {
            trust: Some(trust),
            checkpoint_interval_ms: Some(1),
            publish: Some(publish.to_owned()),
            publish_of: Some(BTreeMap::from(publish_of.map(own))),
            ..RawConfig::default()
        };
        let served = Served::with(&LOGS, raw);
        assert_eq!(served.vkeys, vkeys);
        Self { witness, _dir: dir, served }
    }

    async fn checkpoint(
        &self,
        log: &str,
        kind: CheckpointKind,
    ) -> Result<GetCheckpointResponse, Status> {
        let request =
            GetCheckpointRequest { log: log.to_owned(), kind: kind.into(), ..Default::default() };
        Ok(self.served.client().await.get_checkpoint(request).await?.into_inner())
    }

    async fn append(&self, log: &str, entry: &str) -> AppendResponse {
        let taken = async {
            let mut client = self.served.client().await;
            loop {
                let request = AppendRequest {
                    log: log.to_owned(),
                    entry: entry.to_owned().into(),
                    answer: Answer::Receipt.into(),
                    wait: Wait::Published.into(),
                    wait_ms: 20,
                    ..Default::default()
                };
                match client.append(request).await {
                    Ok(answer) => return answer.into_inner(),
                    Err(status) => assert_eq!(reason(&status), "WAITING", "{status:?}"),
                }
            }
        };
        within("the log takes an entry", taken).await
    }

    /// Waits until the witness has cosigned the first heads of both logs.
    async fn cosigned(&self) {
        let pipeline = self.served.running().pipeline();
        for log in pipeline.logs() {
            let has = || log.witnessed().unwrap().candidates().cosigned().is_some();
            until("the first head is cosigned", has).await;
        }
    }

    fn size(&self, log: usize, answer: &GetCheckpointResponse) -> u64 {
        let note = &answer.checkpoint.as_ref().unwrap().note;
        SignedCheckpoint::verify(note, &self.served.vkeys[log]).unwrap().head().size.get()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_log_is_published_as_its_own_key_says() {
    for (publish, own) in [("signed", (SECOND, "cosigned")), ("cosigned", (ORIGIN, "signed"))] {
        let mut pair = Pair::start(publish, [own]);
        pair.cosigned().await;
        pair.witness.stop();

        // The signed one answers at once, and shows what no witness has seen.
        let answer = pair.append(ORIGIN, "seen at once").await;
        assert!(answer.checkpoint.is_some() && answer.proof.is_some() && !answer.cosigned);
        let newest = pair.checkpoint(ORIGIN, CheckpointKind::Newest).await.unwrap();
        assert_eq!((pair.size(0, &newest), newest.cosigned), (1, false));

        // The cosigned one has the entry, and shows nobody.
        let answer = pair.append(SECOND, "unseen").await;
        assert_eq!((answer.leaf_index, answer.checkpoint, answer.proof), (0, None, None));
        for kind in [CheckpointKind::Newest, CheckpointKind::Candidate, CheckpointKind::Cosigned] {
            let shown = pair.checkpoint(SECOND, kind).await.unwrap();
            assert_eq!((pair.size(1, &shown), shown.cosigned), (0, true), "{kind:?}");
        }
        let cosigned = pair.checkpoint(ORIGIN, CheckpointKind::Cosigned).await.unwrap();
        assert_eq!(pair.size(0, &cosigned), 0);
    }
}
