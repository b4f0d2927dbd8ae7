//! A data directory whose audit log a test writes by itself, with the server's own keys.

use std::path::PathBuf;

use attestree::{
    core::{
        hash::TreeHash,
        note::{KeyName, SignedNote, SigningKey},
        number::{LeafIndex, LogNumber, UnixMillis},
        origin::Origin,
        policy::{
            Action, Admission, Arrival, Detector, Materials, NoCustom, Policy, Statements, Target,
            Treatment, admit,
        },
        record::{
            ApprovalRule, Draft, Head, Path, Place, PolicyDigest, RecordId, Salt, Secret, System,
            Timestamp, epoch,
        },
        tree::Edge,
    },
    server::{self, KeyPlace, random::Random},
    store::{
        Extra, LogIdentity, LogKind, LogRow, LogRows, LogState, Store, StoreConfig, Watermark,
        keys::KeyStore,
    },
};

use crate::held;

/// The log.
pub const LOG: LogNumber = LogNumber(0);

/// The time at which everything is written: in epoch 692.
pub const NOW: u64 = 1_795_219_200_000;

/// A data directory with one audit log.
pub struct Archive {
    root: tempfile::TempDir,
    pub edge: Edge,
    pub entries: Vec<Vec<u8>>,
    /// The policy that its records name.
    digest: PolicyDigest,
}

/// What an admission draws.
struct Drawn<'a> {
    keys: &'a KeyStore,
    random: &'a mut Random,
}

impl Materials for Drawn<'_> {
    fn salt(&mut self) -> Salt {
        let mut salt = [0; 32];
        self.random.fill(&mut salt);
        Salt::new(salt)
    }

    fn token_key(&mut self, path: &Path, days: u32) -> (Secret, u32) {
        let epoch = epoch(now(), days);
        (self.keys.token_key(LOG, path, epoch).unwrap(), epoch)
    }
}

fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000).unwrap()
}

pub fn origin() -> Origin {
    Origin::parse("log.example/audit").unwrap()
}

fn signer() -> SigningKey {
    SigningKey::from_seed(KeyName::parse("log.example/audit").unwrap(), &[7; 32])
}

/// Returns the policy of an archive.
pub fn policy() -> Policy {
    policy_of(PolicyDigest::from_bytes([3; 32]))
}

/// Returns a policy that drops, masks, makes tokens of and commits to what is named so.
fn policy_of(digest: PolicyDigest) -> Policy {
    let treat = |path: &str, action| {
        let target = Target::Path(Path::parse(path).unwrap());
        Treatment { target, action }
    };
    let subject = Some(Path::parse("/actor/id").unwrap());
    let treatments = vec![
        treat("/ctx/dropped", Action::Drop),
        treat("/ctx/masked", Action::Mask { keep_last: 0 }),
        treat("/ctx/token", Action::TOKEN),
        treat("/ctx/committed", Action::Commit { subject: None }),
        treat("/actor/email", Action::Commit { subject }),
        treat("/actor/id", Action::TOKEN),
        Treatment { target: Target::Detected(Detector::Card), action: Action::Drop },
    ];
    let statements = Statements { treatments, ..Statements::default() };
    Policy::compile(digest, &statements).unwrap()
}

impl Archive {
    /// Makes a directory with an empty audit log and its keys.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let digest = policy().digest();
        let archive = Self { root, edge: Edge::empty(), entries: Vec::new(), digest };
        std::fs::create_dir(archive.data()).unwrap();
        let store = held::open(|| Store::init(&archive.data().join("db"), &StoreConfig::default()))
            .unwrap();
        Watermark::create(&archive.root.path().join("data.watermark")).unwrap();
        let row = LogRow {
            number: LOG,
            origin: origin(),
            kind: LogKind::Audit,
            state: LogState::Open,
            identity: LogIdentity::None,
            vkeys: vec![signer().verifier_key().clone()],
            created: UnixMillis(NOW),
        };
        store.create_log(&row).unwrap();
        drop(store);
        server::create_keys(archive.place(), &mut Random::from_seed([1; 32])).unwrap();
        archive
    }

    /// Returns the data directory.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Returns the directory around it.
    pub fn root(&self) -> PathBuf {
        self.root.path().to_owned()
    }

    /// Returns the file of the KEK.
    pub fn kek(&self) -> PathBuf {
        self.root.path().join("data.kek")
    }

    /// Returns where the keys are; the file of the KEK is the default one.
    pub fn place(&self) -> KeyPlace<'static> {
        // A test's directory lives as long as the test.
        let data: &'static std::path::Path = Box::leak(self.data().into_boxed_path());
        KeyPlace { data, kek: None }
    }

    /// Opens the store.
    pub fn store(&self) -> Store {
        held::open(|| Store::open(&self.data().join("db"), &StoreConfig::default())).unwrap()
    }

    /// Opens the keys.
    pub fn keys(&self, seed: u8) -> KeyStore {
        let kek = std::fs::read_to_string(self.kek()).unwrap();
        let open = || {
            let kek = Box::new(Secret::parse(kek.trim_end()).unwrap());
            let random = Box::new(Random::from_seed([seed; 32]));
            KeyStore::open(&self.data().join("keys"), kek, random)
        };
        held::open(open).unwrap()
    }

    /// Commits the records of some submissions in one batch; `change` may spoil what is written.
    pub fn append_changed(&mut self, submitted: &[&str], change: impl FnOnce(&mut LogRows)) {
        let seed = u8::try_from(self.entries.len()).unwrap();
        let keys = self.keys(2 + seed);
        let mut random = Random::from_seed([100 + seed; 32]);
        let (policy, origin) = (policy_of(self.digest), origin());
        let (mut entries, mut extra) = (Vec::new(), Vec::new());
        for (index, bytes) in (self.edge.size().get()..).zip(submitted) {
            let mut ten = [0; 10];
            random.fill(&mut ten);
            let mut drawn = Drawn { keys: &keys, random: &mut random };
            let id = RecordId::new(UnixMillis(NOW), ten);
            let arrival = Arrival {
                bytes: bytes.as_bytes(),
                source: None,
                class: None,
                kept: false,
                id,
                now: now(),
            };
            let admitted = admit(&policy, &arrival, &mut drawn, &NoCustom).unwrap();
            let Admission::Recorded(admitted) = admitted else { panic!("{bytes} is refused") };
            let subjects: Vec<&str> = admitted.kept.iter().map(|kept| &*kept.subject).collect();
            let secrets = keys.subject_keys(LOG, &origin, &subjects).unwrap();
            for ((field, kept), secret) in (0..).zip(&admitted.kept).zip(secrets) {
                let place = Place { origin: &origin, id, field };
                let key = place.row_key(LOG, LeafIndex::new(index).unwrap());
                let row = place.seal(&secret, &kept.opening);
                extra.push((Extra::Disclosure, key.to_vec(), row));
            }
            let at = Timestamp::from_micros(NOW * 1_000 + index).unwrap();
            entries.push(admitted.draft.stamp(at));
        }
        self.commit(entries, extra, change);
    }

    /// Makes a directory whose log begins with its genesis, so that its records stand in order.
    pub fn founded() -> Self {
        let mut archive = Self { digest: PolicyDigest::NONE, ..Self::new() };
        let genesis = System::Genesis { origin: origin(), rule: ApprovalRule::NOBODY };
        let head = Head { id: RecordId::new(UnixMillis(NOW), [9; 10]), policy: None };
        let genesis = Draft::system(&head, &genesis).unwrap().stamp(now());
        archive.commit(vec![genesis], Vec::new(), |_| ());
        archive
    }

    /// Commits a batch of entries with what opens their commitments.
    fn commit(
        &mut self,
        entries: Vec<Vec<u8>>,
        extra: Vec<(Extra, Vec<u8>, Vec<u8>)>,
        change: impl FnOnce(&mut LogRows),
    ) {
        let store = self.store();
        let leaves: Vec<TreeHash> = entries.iter().map(|entry| TreeHash::leaf(entry)).collect();
        let previous = self.edge.head();
        let integration = self.edge.append(&leaves);
        let bytes = entries.iter().map(Vec::as_slice);
        let at = UnixMillis(NOW);
        let mut rows = LogRows::encode(LOG, at, previous, bytes, &integration, Vec::new());
        rows.extra = extra;
        change(&mut rows);
        store.commit(&[&rows]).unwrap();
        self.edge = integration.edge;
        self.entries.extend(entries);
    }

    /// Commits the records of some submissions in one batch.
    pub fn append(&mut self, submitted: &[&str]) {
        self.append_changed(submitted, |_| ());
    }

    /// Returns the receipt of the only entry and the trust policy that it verifies under.
    pub fn receipt(&self) -> (String, String) {
        assert_eq!(self.entries.len(), 1, "the proof of more is longer");
        let text = format!("{}\n1\n{}\n", origin(), self.edge.head().root);
        let note = SignedNote::new(text.clone(), vec![signer().sign(&text)]).unwrap();
        let receipt = format!("c2sp.org/tlog-proof@v1\nindex 0\n\n{note}");
        (receipt, format!("log {}\nquorum none\n", signer().verifier_key()))
    }
}
