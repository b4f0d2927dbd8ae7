//! What the witnesses remember of a log, compared with what it shows.
//!
//! A log that shows two histories has to show one of them to each witness. A witness's newest
//! checkpoint is public, and carries the log's signature, so a monitor that asks every witness sees
//! both sides of a split view.

use super::MonitorError;
use super::event::Kind;
use super::follow::Follower;
use crate::client::{ClientError, Comparison, Untrue, WitnessClient, compare};
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::evidence::Evidence;
use crate::core::note::VerifierKey;

/// A witness whose memory is compared.
#[derive(Clone, Debug)]
pub struct Witness {
    /// What the policy calls it.
    pub name: String,
    /// Its key.
    pub key: VerifierKey,
    /// Where it is.
    pub client: WitnessClient,
}

impl Follower {
    /// Asks every witness for the newest checkpoint that it has cosigned, and compares.
    pub(super) async fn ask_witnesses(&mut self) -> Result<(), MonitorError> {
        let settings = self.settings.clone();
        let origin = self.origin();
        let mut asking = tokio::task::JoinSet::new();
        for (at, witness) in settings.witnesses.iter().enumerate() {
            let (client, origin) = (witness.client.clone(), origin.clone());
            asking.spawn(async move { (at, client.latest(&origin).await) });
        }
        let mut seen: Vec<SignedCheckpoint> = Vec::new();
        let mut answers = asking.join_all().await;
        answers.sort_by_key(|(at, _)| *at);
        for (at, answer) in answers {
            let witness = settings.witnesses.get(at).expect("each answer is of a witness");
            let source = format!("witness {}", witness.name);
            let remembered = match answer.and_then(|note| match note {
                Some(note) => Ok(Some(self.cosigned(witness, &note)?)),
                None => Ok(None),
            }) {
                Ok(Some(checkpoint)) => checkpoint,
                // It has never cosigned for this log.
                Ok(None) => {
                    self.well(&source).await;
                    continue;
                }
                Err(error) => {
                    self.failed(&source, &error).await?;
                    continue;
                }
            };
            for other in &seen {
                if let Some(evidence) = Evidence::same_size(other, &remembered) {
                    self.accuse(&source, &evidence).await?;
                }
            }
            self.compare_remembered(&source, &remembered).await?;
            seen.push(remembered);
        }
        Ok(())
    }

    /// Compares what a witness remembers with the newest checkpoint.
    async fn compare_remembered(
        &mut self,
        source: &str,
        remembered: &SignedCheckpoint,
    ) -> Result<(), MonitorError> {
        let newest = self.newest();
        match compare(&self.tiles, remembered, &newest).await {
            Comparison::Consistent(_) => {
                self.witnessed(remembered);
                self.well(source).await;
            }
            Comparison::Guilty(evidence) => self.accuse(source, &evidence).await?,
            Comparison::Unresponsive(error) => {
                self.wait(source, remembered)?;
                let (theirs, ours) = (remembered.head().size, newest.head().size);
                let reason = format!(
                    "the witness has cosigned a tree of {theirs} entries, the log shows one of {ours}, \
                     and its tiles do not link the two: {}",
                    super::chain(&error)
                );
                let kind = if error.is_untrue() { Kind::Untrue } else { Kind::Unresponsive };
                self.found(source, kind, reason, None).await?;
            }
        }
        Ok(())
    }

    /// Verifies that a note is a checkpoint of this log that the witness has cosigned.
    fn cosigned(&self, witness: &Witness, note: &[u8]) -> Result<SignedCheckpoint, ClientError> {
        let checkpoint = self.keys.verify_checkpoint(note).map_err(Untrue::from)?.checkpoint;
        let origin = self.origin();
        if *checkpoint.origin() != origin {
            let (expected, found) = (origin.to_string(), checkpoint.origin().to_string());
            return Err(Untrue::Origin { expected, found }.into());
        }
        let parsed = crate::core::note::SignedNote::parse(note);
        let signed = parsed.is_ok_and(|note| note.verify([&witness.key]).is_ok());
        let problem = "is not cosigned by the witness that shows it";
        let unsigned = Untrue::Malformed { field: "the witness's checkpoint", problem };
        if signed { Ok(checkpoint) } else { Err(unsigned.into()) }
    }
}
