//! A witness as its clients see it, over HTTP (c2sp.org/tlog-witness).
//!
//! What a witness answers is a claim like any other: the signature lines are handed out unverified, and
//! a size that it says it has cosigned is only the place from which to prove.

use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{ClientError, Server, Untrue};
use crate::core::note::{
    NOTE_BYTES_MAX, NoteSignature, parse_signature_lines, text::parse_decimal,
};
use crate::core::number::TreeSize;
use crate::core::origin::Origin;
use crate::core::witness::{AddCheckpoint, origin_hash_hex};

/// Most bytes of a refusal that are kept: a sentence for a person.
const REFUSAL_BYTES_MAX: usize = 1_024;

/// One witness. Cheap to clone; connections are kept open between requests.
#[derive(Clone, Debug)]
pub struct WitnessClient {
    http: reqwest::Client,
    prefix: String,
    timeout: Duration,
}

/// What a witness says to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddCheckpointAnswer {
    /// It has cosigned: signature lines, of which none is verified. A mirror may send none.
    Cosigned(Vec<NoteSignature>),
    /// It has cosigned another size last, from which the proof has to start.
    ///
    /// Some witnesses answer so as well if they have cosigned another tree of the same size.
    Conflict {
        /// That size.
        size: TreeSize,
    },
    /// It refuses.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the witness says, in one line of printable characters.
        text: String,
    },
}

impl WitnessClient {
    /// Takes the server whose address is the witness's submission prefix; each request may take
    /// `timeout`.
    pub fn new(server: &Server, timeout: Duration) -> Result<Self, ClientError> {
        Ok(Self { http: server.http()?, prefix: server.url().to_owned(), timeout })
    }

    /// Returns the submission prefix, without a slash at the end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Sends a checkpoint and returns what the witness says.
    ///
    /// An error means that it said nothing that can be understood.
    pub async fn add_checkpoint(
        &self,
        request: &AddCheckpoint,
    ) -> Result<AddCheckpointAnswer, ClientError> {
        let url = format!("{}/add-checkpoint", self.prefix);
        let sending = self.http.post(&url).timeout(self.timeout).body(request.format()).send();
        let answer = sending.await.map_err(|source| self.unreachable(source))?;
        match answer.status().as_u16() {
            200 => {
                let body = self.read(answer, NOTE_BYTES_MAX, &url).await?;
                if body.is_empty() {
                    return Ok(AddCheckpointAnswer::Cosigned(Vec::new()));
                }
                let problem = "is no list of signature lines";
                let lines = parse_signature_lines(&body);
                let malformed = |_error| Untrue::Malformed { field: "the cosignature", problem };
                Ok(AddCheckpointAnswer::Cosigned(lines.map_err(malformed)?))
            }
            409 => {
                let body = self.read(answer, REFUSAL_BYTES_MAX, &url).await?;
                let text = str::from_utf8(&body).ok();
                let size = text.and_then(|text| parse_decimal(text.trim_end()));
                let problem = "is no tree size";
                let malformed = Untrue::Malformed { field: "the size of the conflict", problem };
                let size = size.and_then(TreeSize::new).ok_or(malformed)?;
                Ok(AddCheckpointAnswer::Conflict { size })
            }
            status => {
                let text = match self.read(answer, REFUSAL_BYTES_MAX, &url).await {
                    Ok(body) => sentence(&body),
                    // The status says enough.
                    Err(_) => String::new(),
                };
                Ok(AddCheckpointAnswer::Refused { status, text })
            }
        }
    }

    /// Returns the newest checkpoint of a log that the witness has cosigned, unverified; none if it says
    /// that there is none.
    pub async fn latest(&self, origin: &Origin) -> Result<Option<Bytes>, ClientError> {
        // Older witnesses know the origin itself; a slash in it is part of the one segment.
        let escaped = origin.as_str().replace('/', "%2F");
        for segment in [origin_hash_hex(origin), escaped] {
            let url = format!("{}/{segment}/checkpoint", self.prefix);
            let sending = self.http.get(&url).timeout(self.timeout).send();
            let answer = sending.await.map_err(|source| self.unreachable(source))?;
            match answer.status().as_u16() {
                200 => return self.read(answer, NOTE_BYTES_MAX, &url).await.map(Some),
                404 => {}
                status => return Err(ClientError::Http { url, status }),
            }
        }
        Ok(None)
    }

    /// Reads a body of at most `limit` bytes, whatever length it claims.
    async fn read(
        &self,
        mut answer: reqwest::Response,
        limit: usize,
        url: &str,
    ) -> Result<Bytes, ClientError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|source| self.unreachable(source))? {
            if body.len() + chunk.len() > limit {
                return Err(ClientError::TooLong { url: url.to_owned(), limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        let source = Box::new(source.without_url());
        ClientError::Unreachable { url: self.prefix.clone(), source }
    }
}

/// Takes what a stranger sent as one line that does no harm to a terminal or a log file.
fn sentence(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|character| !character.is_control()).collect()
}
