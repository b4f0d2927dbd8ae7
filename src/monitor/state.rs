//! What a monitor remembers of one log, on disk.
//!
//! ```text
//! attestree-monitor@v2 <SHA-256 of the second line, in hexadecimal>
//! {"generation":7,"origin":"example.com/log","bundles":3,"nodes":["..."],"read":"<note>",...}
//! ```
//!
//! Two files for each log, named by the SHA-256 of its origin: `.state`, replaced as a whole by a
//! rename after it was synced, and `.mark` with the generation of the newest state, written after
//! it. A state that is behind its mark is an older copy, and is refused: going on from it would
//! forget checkpoints that the log has signed.
//!
//! # Invariants
//!
//! - Nothing that is read is believed for being there: the sum has to match, every note has to carry
//!   a signature by a key that the policy lists, and the frontier has to be that of the signed tree.
//! - Neither the frontier nor the tree that was read to its end ever gets smaller.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Settings;
use super::read::WIDE;
use super::records::{self, Records};
use crate::client::replace;
use crate::core::checkpoint::SignedCheckpoint;
use crate::core::hash::TreeHash;
use crate::core::number::TreeSize;
use crate::core::origin::Origin;
use crate::core::tree::Frontier;
use crate::core::trust::TrustPolicy;
use crate::core::witness::origin_hash_hex;

/// What the first line begins with.
const HEADER: &str = "attestree-monitor@v2 ";

/// What it began with before records were checked: such a log is read again from its beginning.
const HEADER_WITHOUT_RECORDS: &str = "attestree-monitor@v1 ";

/// Most bytes of a state that is read: two notes and those that wait, in JSON, a frontier, and 4 MiB of a
/// policy whose end was not read yet, in hexadecimal.
const STATE_BYTES_MAX: u64 = 16 << 20;

/// Most checkpoints that wait to be compared. Each source may leave as many as fit; the first ones
/// are kept, because they contradict a later tree for ever.
const PENDING_MAX: usize = 32;

/// Why what was kept of a log can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file can't be read or written.
    #[error("the state {} can't be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file was changed, or is something else.
    #[error(
        "{} is damaged or no state of a monitor ({problem}): restore it, or remove it with its .mark \
         to read the log again from its beginning",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A note in the file is not signed by a key that the policy lists.
    #[error(
        "{} holds a checkpoint that no key of the trust policy has signed: was the policy changed?",
        path.display()
    )]
    Unsigned {
        /// The file.
        path: PathBuf,
    },
    /// The file is an older copy.
    #[error(
        "{} is older than what was kept last (generation {found}, not {newest}): restore the newer \
         one, or remove it with its .mark to read the log again from its beginning",
        path.display()
    )]
    Backwards {
        /// The file.
        path: PathBuf,
        /// Its generation.
        found: u64,
        /// The newest generation that was kept.
        newest: u64,
    },
}

/// A checkpoint that could not be compared yet, and who showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// `log`, or `witness NAME`.
    pub(super) source: String,
    pub(super) checkpoint: SignedCheckpoint,
}

/// What a monitor remembers of one log.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Everything up to the last full bundle that was read.
    pub(super) frontier: Frontier,
    /// The newest checkpoint whose tree was read to its end.
    pub(super) read: Option<SignedCheckpoint>,
    /// The newest checkpoint that continues all others; its tree may not be read to its end.
    pub(super) newest: Option<SignedCheckpoint>,
    /// Checkpoints that could not be compared.
    pub(super) pending: Vec<Pending>,
    /// What is known of the records.
    pub(super) records: Records,
    /// Name of the file with the evidence, once the log is convicted.
    pub(super) convicted: Option<String>,
}

/// The second line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    generation: u64,
    origin: String,
    bundles: u64,
    nodes: Vec<String>,
    read: Option<String>,
    newest: Option<String>,
    pending: Vec<(String, String)>,
    records: Option<records::Stored>,
    convicted: Option<String>,
}

/// The state of one log with its files.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) state: State,
    origin: Origin,
    path: PathBuf,
    generation: u64,
    /// Size of the frontier and of the tree that was read, as they were kept last.
    sizes: (TreeSize, Option<TreeSize>),
}

impl State {
    fn new(origin: &Origin, is_audit: bool) -> Self {
        let records = Records::new(origin, is_audit);
        let (frontier, pending) = (Frontier::new(), Vec::new());
        Self { frontier, read: None, newest: None, pending, records, convicted: None }
    }

    /// Forgets what was read, so that its records are checked from the first on.
    fn read_again(self, origin: &Origin, is_audit: bool) -> Self {
        let Self { frontier, read, records, .. } = Self::new(origin, is_audit);
        Self { frontier, read, records, ..self }
    }

    /// Remembers a checkpoint that could not be compared, if there is room.
    pub(super) fn wait(&mut self, source: &str, checkpoint: &SignedCheckpoint) {
        let known = |pending: &Pending| pending.checkpoint.head() == checkpoint.head();
        if self.pending.len() < PENDING_MAX && !self.pending.iter().any(known) {
            let (source, checkpoint) = (source.to_owned(), checkpoint.clone());
            self.pending.push(Pending { source, checkpoint });
        }
    }

    /// Returns the size up to which everything was read.
    pub(super) fn read_size(&self) -> TreeSize {
        let read = self.read.as_ref().map_or(TreeSize::ZERO, |read| read.head().size);
        read.max(self.frontier.size())
    }

    fn sizes(&self) -> (TreeSize, Option<TreeSize>) {
        (self.frontier.size(), self.read.as_ref().map(|read| read.head().size))
    }
}

impl Kept {
    /// Reads what is kept of a log in a directory, or begins with nothing.
    ///
    /// Returns whether something was there.
    pub(super) fn open(
        settings: &Settings,
        origin: &Origin,
        policy: &TrustPolicy,
    ) -> Result<(Self, bool), StateError> {
        let path = settings.state.join(format!("{}.state", origin_hash_hex(origin)));
        let newest = read_mark(&path)?;
        let Some(text) = read_text(&path)? else {
            if let Some(newest) = newest {
                return Err(StateError::Backwards { path, found: 0, newest });
            }
            let state = State::new(origin, settings.audit);
            let sizes = state.sizes();
            return Ok((Self { state, origin: origin.clone(), path, generation: 0, sizes }, false));
        };
        let stored = parse(&path, &text, origin)?;
        let (generation, newest) = (stored.generation, newest.unwrap_or(0));
        if generation < newest {
            return Err(StateError::Backwards { path, found: generation, newest });
        }
        let state = restore(&path, stored, policy, origin)?;
        // An audit log that was not known to be one is read again as well.
        let is_unchecked = match state.records {
            Records::Unread { .. } => true,
            Records::Opaque => settings.audit,
            Records::Audit { .. } => false,
        };
        let state = if is_unchecked { state.read_again(origin, settings.audit) } else { state };
        let sizes = state.sizes();
        Ok((Self { state, origin: origin.clone(), path, generation, sizes }, true))
    }

    /// Returns the log.
    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Keeps the state durably: after a crash it is there, or the one before.
    pub(super) fn save(&mut self) -> Result<(), StateError> {
        let sizes = self.state.sizes();
        assert!(sizes.0 >= self.sizes.0 && sizes.1 >= self.sizes.1, "what was read stays read");
        let note = |checkpoint: &SignedCheckpoint| {
            String::from_utf8(checkpoint.note().to_vec()).expect("a note is UTF-8")
        };
        let state = &self.state;
        let stored = Stored {
            generation: self.generation + 1,
            origin: self.origin.to_string(),
            bundles: state.frontier.size().get() / WIDE,
            nodes: state.frontier.nodes().iter().map(ToString::to_string).collect(),
            read: state.read.as_ref().map(note),
            newest: state.newest.as_ref().map(note),
            pending: state
                .pending
                .iter()
                .map(|p| (p.source.clone(), note(&p.checkpoint)))
                .collect(),
            records: state.records.store(),
            convicted: state.convicted.clone(),
        };
        let body = serde_json::to_string(&stored).expect("strings and numbers are JSON") + "\n";
        let text = format!("{HEADER}{}\n{body}", sum(&body));
        let failed = |source| StateError::Io { path: self.path.clone(), source };
        replace(&self.path, text.as_bytes()).map_err(failed)?;
        self.generation += 1;
        self.sizes = sizes;
        // Only ever behind the state, so that a crash in between refuses nothing.
        replace(&mark(&self.path), format!("{}\n", self.generation).as_bytes()).map_err(failed)
    }
}

fn mark(path: &Path) -> PathBuf {
    path.with_extension("mark")
}

/// Returns the sum of the second line, with its line feed.
fn sum(body: &str) -> String {
    let hash = TreeHash::digest(body.as_bytes());
    hash.as_bytes().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn read_mark(path: &Path) -> Result<Option<u64>, StateError> {
    let path = mark(path);
    let problem = "expected a number";
    let number = read_text(&path)?.map(|text| {
        text.trim_end().parse().map_err(|_| StateError::Damaged { path: path.clone(), problem })
    });
    number.transpose()
}

/// Reads a file; `None` if it is not there.
fn read_text(path: &Path) -> Result<Option<String>, StateError> {
    let failed = |source| StateError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(meta) if meta.len() > STATE_BYTES_MAX => {
            let problem = "it is too large";
            return Err(StateError::Damaged { path: path.to_owned(), problem });
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).map_err(failed)
}

/// Takes the text of a state apart after comparing its sum.
fn parse(path: &Path, text: &str, origin: &Origin) -> Result<Stored, StateError> {
    let damaged = |problem| StateError::Damaged { path: path.to_owned(), problem };
    let (first, body) = text.split_once('\n').ok_or(damaged("it has no second line"))?;
    let known = [HEADER, HEADER_WITHOUT_RECORDS];
    let found = known.iter().find_map(|header| first.strip_prefix(header));
    let found = found.ok_or(damaged("the first line is another one"))?;
    if found != sum(body) {
        return Err(damaged("its sum does not match"));
    }
    let stored: Stored =
        serde_json::from_str(body).map_err(|_| damaged("the second line is no such JSON"))?;
    if stored.origin != origin.as_str() {
        return Err(damaged("it is of another log"));
    }
    Ok(stored)
}

/// Makes the state from its parts, every note verified again.
fn restore(
    path: &Path,
    stored: Stored,
    policy: &TrustPolicy,
    origin: &Origin,
) -> Result<State, StateError> {
    let verify = |note: &str| {
        let trusted = policy.verify_checkpoint(note.as_bytes()).ok();
        let checkpoint = trusted.map(|trusted| trusted.checkpoint);
        checkpoint
            .filter(|checkpoint| checkpoint.origin() == origin)
            .ok_or_else(|| StateError::Unsigned { path: path.to_owned() })
    };
    let size = stored.bundles.checked_mul(WIDE).and_then(TreeSize::new);
    let nodes: Option<Vec<TreeHash>> =
        stored.nodes.iter().map(|node| TreeHash::parse_base64(node)).collect();
    let frontier = size.zip(nodes).and_then(|(size, nodes)| Frontier::from_parts(size, nodes).ok());
    let problem = "the frontier does not have the hashes of its size";
    let pending = stored.pending.iter().map(|(source, note)| {
        let checkpoint = verify(note)?;
        Ok(Pending { source: source.clone(), checkpoint })
    });
    let frontier = frontier.ok_or(StateError::Damaged { path: path.to_owned(), problem })?;
    let records = match stored.records {
        None => Some(Records::new(origin, false)),
        Some(records) => Records::restore(records, origin),
    };
    let is_behind =
        |records: &Records| records.next().is_some_and(|next| next < frontier.size().get());
    let problem = "the records are not those of the frontier";
    let records = records.filter(|records| !is_behind(records));
    Ok(State {
        records: records.ok_or(StateError::Damaged { path: path.to_owned(), problem })?,
        frontier,
        read: stored.read.as_deref().map(verify).transpose()?,
        newest: stored.newest.as_deref().map(verify).transpose()?,
        pending: pending.collect::<Result<_, _>>()?,
        convicted: stored.convicted,
    })
}
