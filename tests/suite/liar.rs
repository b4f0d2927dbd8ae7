//! A log that lies: it has the real key, and shows whatever history it likes to whom it likes.
//!
//! Each *face* is a prefix of one HTTP server: `http://HOST/<face>` is a log with checkpoint, tiles and
//! bundles of one [`History`], or a witness that remembers a note. Tests change a face between two
//! requests, and build any lie from three things: a history, the size that is shown, and the note.

use std::{
    collections::{BTreeMap, HashMap},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use attestree::core::{
    checkpoint::{CheckpointText, SignedCheckpoint},
    hash::TreeHash,
    note::{CosignatureTime, CosigningKey, NoteSignature, SignedNote, SigningKey},
    number::TreeSize,
    origin::Origin,
    tile::Resource,
    tree::{Frontier, NodeId, NodeReader, TreeHead, prove_consistency, root_at},
};
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::oneshot;

use crate::published::signing_key;

/// The origin of the log that lies.
pub const ORIGIN: &str = "log.example/liar";

/// Entries, and the tree over them.
#[derive(Clone, Debug)]
pub struct History {
    entries: Vec<Vec<u8>>,
    /// The hashes of each tile level: of leaves, of full tiles of leaves, and so on.
    levels: Vec<Vec<TreeHash>>,
}

impl History {
    /// Takes entries.
    pub fn new(entries: Vec<Vec<u8>>) -> Self {
        let mut levels = vec![entries.iter().map(|entry| TreeHash::leaf(entry)).collect()];
        while levels.last().is_some_and(|hashes: &Vec<TreeHash>| hashes.len() >= 256) {
            let (chunks, _) = levels.last().unwrap().as_chunks::<256>();
            levels.push(chunks.iter().map(|chunk| root(chunk)).collect());
        }
        Self { entries, levels }
    }

    /// Makes the entries `entry 0`, `entry 1`, ...
    pub fn honest(size: u64) -> Self {
        Self::new((0..size).map(|index| format!("entry {index}").into_bytes()).collect())
    }

    /// Puts another entry in the place of one.
    pub fn changed(&self, index: usize) -> Self {
        let mut entries = self.entries.clone();
        entries[index] = b"changed".to_vec();
        Self::new(entries)
    }

    /// Inserts an entry late, which moves all behind it.
    pub fn inserted(&self, index: usize) -> Self {
        let mut entries = self.entries.clone();
        entries.insert(index, b"inserted".to_vec());
        Self::new(entries)
    }

    /// Takes the last entries away.
    pub fn truncated(&self, size: u64) -> Self {
        Self::new(self.entries[..usize::try_from(size).unwrap()].to_vec())
    }

    /// Appends entries that no other history has.
    pub fn grown(&self, size: u64, name: &str) -> Self {
        let mut entries = self.entries.clone();
        for index in entries.len()..usize::try_from(size).unwrap() {
            entries.push(format!("{name} {index}").into_bytes());
        }
        Self::new(entries)
    }

    /// Returns the head of the first `size` entries.
    pub fn head(&self, size: u64) -> TreeHead {
        let mut frontier = Frontier::new();
        let leaves = &self.levels[0][..usize::try_from(size).unwrap()];
        leaves.iter().for_each(|leaf| frontier.push_leaf(*leaf));
        let root = if size == 0 { TreeHash::empty_root() } else { frontier.root() };
        TreeHead { size: TreeSize::new(size).unwrap(), root }
    }

    /// Returns the root of the first `old` of `new` entries, and the proof that it is.
    pub fn link(&self, old: u64, new: u64) -> (TreeHash, Vec<TreeHash>) {
        let [old, new] = [old, new].map(|size| TreeSize::new(size).unwrap());
        (root_at(self, old).unwrap(), prove_consistency(self, old, new).unwrap())
    }

    /// Returns a tile or a bundle, if the history reaches so far.
    pub fn resource(&self, resource: &Resource) -> Option<Vec<u8>> {
        let range = |index: u64, width: u16| {
            let from = usize::try_from(index * 256).unwrap();
            from..from + usize::from(width)
        };
        match *resource {
            Resource::Checkpoint => None,
            Resource::Tile { level, index, width } => {
                let hashes = self.levels.get(usize::from(level))?.get(range(index, width))?;
                Some(hashes.iter().flat_map(TreeHash::as_bytes).copied().collect())
            }
            Resource::Entries { index, width } => {
                let mut bundle = Vec::new();
                for entry in self.entries.get(range(index, width))? {
                    bundle.extend(u16::try_from(entry.len()).unwrap().to_be_bytes());
                    bundle.extend(entry);
                }
                Some(bundle)
            }
        }
    }
}

impl NodeReader for History {
    type Error = NodeId;

    fn read_nodes(&self, nodes: &[NodeId]) -> Result<Vec<TreeHash>, NodeId> {
        let read = |node: &NodeId| {
            let end = usize::try_from(node.end()).unwrap();
            let leaves = self.levels[0].get(end - (1 << node.level())..end);
            leaves.map(root).ok_or(*node)
        };
        nodes.iter().map(read).collect()
    }
}

/// Returns the root of a perfect subtree.
fn root(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len() / 2);
            TreeHash::node(&root(left), &root(right))
        }
    }
}

/// Returns the key of the log, which the liar has.
pub fn key() -> SigningKey {
    signing_key(ORIGIN, "the key of a log that lies")
}

/// Signs a head with the log's key, and adds signature lines.
pub fn note(head: TreeHead, extra: &[NoteSignature]) -> Vec<u8> {
    let text = CheckpointText { origin: Origin::parse(ORIGIN).unwrap(), head }.to_string();
    let mut signatures = vec![key().sign(&text)];
    signatures.extend_from_slice(extra);
    SignedNote::new(text, signatures).unwrap().to_string().into_bytes()
}

/// Signs a head with the log's key, and has a witness cosign it.
pub fn cosigned(head: TreeHead, witness: &CosigningKey, seconds: u64) -> Vec<u8> {
    let text = CheckpointText { origin: Origin::parse(ORIGIN).unwrap(), head }.to_string();
    note(head, &[witness.sign(&text, CosignatureTime::new(seconds).unwrap())])
}

/// Signs a head, and verifies that as a client does.
pub fn signed(head: TreeHead) -> SignedCheckpoint {
    SignedCheckpoint::verify(&note(head, &[]), key().verifier_key()).unwrap()
}

/// What is served under one prefix.
#[derive(Clone, Debug, Default)]
pub struct Face {
    /// The tiles and bundles, whatever the checkpoint says.
    pub history: Option<History>,
    /// The checkpoint.
    pub note: Vec<u8>,
    /// What a witness at this prefix remembers.
    pub remembered: Option<Vec<u8>>,
    /// Files that are served instead, by their paths below the prefix; none for one that is missing.
    pub instead: BTreeMap<String, Option<Vec<u8>>>,
}

impl Face {
    /// Shows the first `size` entries of a history, signed.
    pub fn of(history: &History, size: u64) -> Self {
        let note = note(history.head(size), &[]);
        Self { history: Some(history.clone()), note, ..Self::default() }
    }

    /// Is a witness that remembers a note.
    pub fn witness(remembered: Vec<u8>) -> Self {
        Self { remembered: Some(remembered), ..Self::default() }
    }

    fn answer(&self, path: &str) -> Option<Vec<u8>> {
        if let Some(instead) = self.instead.get(path) {
            return instead.clone();
        }
        match path.split_once('/') {
            None if path == "checkpoint" && !self.note.is_empty() => Some(self.note.clone()),
            Some((hash, "checkpoint")) if hash.len() == 64 => self.remembered.clone(),
            _ => self.history.as_ref()?.resource(&Resource::parse(path).ok()?),
        }
    }
}

/// The faces of a running liar, and how often each file was asked for.
#[derive(Debug, Default)]
struct Faces {
    faces: HashMap<String, Face>,
    asked: HashMap<String, u64>,
}

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Liar {
    address: SocketAddr,
    faces: Arc<Mutex<Faces>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Liar {
    /// Starts to lie on a port that the system chooses.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let faces = Arc::new(Mutex::new(Faces::default()));
        let (stop, stopped) = oneshot::channel();
        let app = Router::new().route("/{face}/{*path}", get(answer)).with_state(faces.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let ended = async { drop(stopped.await) };
                // Open connections are not waited for.
                tokio::select! {
                    served = axum::serve(listener, app) => served.unwrap(),
                    () = ended => {}
                }
            });
        });
        Self { address, faces, stop: Some(stop), thread: Some(thread) }
    }

    /// Shows something under a prefix from the next request on.
    pub fn show(&self, face: &str, what: Face) {
        self.faces.lock().unwrap().faces.insert(face.to_owned(), what);
    }

    /// Answers nothing under a prefix any more.
    pub fn hide(&self, face: &str) {
        self.faces.lock().unwrap().faces.remove(face);
    }

    /// Returns the address of a prefix.
    pub fn url(&self, face: &str) -> String {
        format!("http://{}/{face}", self.address)
    }

    /// Returns how often a path was asked for, `face/file`.
    pub fn asked(&self, path: &str) -> u64 {
        self.faces.lock().unwrap().asked.get(path).copied().unwrap_or(0)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Answers a request as the face says at the moment.
async fn answer(
    State(faces): State<Arc<Mutex<Faces>>>,
    Path((face, path)): Path<(String, String)>,
) -> Response {
    let mut faces = faces.lock().unwrap();
    *faces.asked.entry(format!("{face}/{path}")).or_default() += 1;
    match faces.faces.get(&face).and_then(|face| face.answer(&path)) {
        Some(bytes) => bytes.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
