//! What a lying operator does: each lie once in a while, in any order, on top of one another.

use attestree::core::{
    note::{KeyName, NoteSignature, SigningKey},
    tree::TreeHead,
    witness::AddCheckpoint,
};

use super::{
    history::{Truth, bytes, checkpoint, tree_size},
    network::{Message, WITNESSES},
    operator::{Operator, made_up},
};
use crate::random::Random;

/// Most histories at a time.
const VIEWS_MAX: usize = 4;

/// A way to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lie {
    /// Readers and witnesses are shown histories that part here.
    Split,
    /// The last entries are dropped, and others follow.
    Rollback,
    /// An entry is put between old ones.
    LateInsert,
    /// An old entry becomes another.
    Change,
    /// The same, signed at the very size that was signed before.
    SameSize,
    /// An older, smaller tree is signed and shown again.
    Truncate,
    /// A request of the past is sent again.
    Replay,
    /// A proof is sent that proves nothing.
    ForgedProof,
    /// A checkpoint is signed by a key of the log's name that is not the log's.
    UnknownKey,
    /// The log's own signature is one of several, most of which nobody knows.
    Grease,
    /// A root is signed that is of no tree.
    MadeUp,
}

/// All of them.
pub(super) const LIES: [Lie; 11] = [
    Lie::Split,
    Lie::Rollback,
    Lie::LateInsert,
    Lie::Change,
    Lie::SameSize,
    Lie::Truncate,
    Lie::Replay,
    Lie::ForgedProof,
    Lie::UnknownKey,
    Lie::Grease,
    Lie::MadeUp,
];

/// Requests that go to witnesses, by their numbers.
pub(super) type Requests = Vec<(usize, Message)>;

/// Tells a lie; returns what is sent to witnesses for it.
pub(super) fn tell(
    lie: Lie,
    operator: &mut Operator,
    truth: &mut Truth,
    random: &mut Random,
) -> Requests {
    let view = operator.some_view(random);
    let size = operator.views[view].history.len();
    let room = operator.views.len() < VIEWS_MAX && size > 1;
    match lie {
        Lie::Split | Lie::Rollback | Lie::LateInsert | Lie::Change | Lie::SameSize if !room => {
            Vec::new()
        }
        Lie::Split => {
            let other = operator.part(view, |_same| {});
            reroute(operator, other, random);
            Vec::new()
        }
        Lie::Rollback => {
            let kept = random.position(size);
            let other = operator.part(view, |entries| entries.truncate(kept));
            operator.routes = [other; 2];
            Vec::new()
        }
        Lie::LateInsert => {
            let (at, entry) = (random.position(size), operator.entry());
            let other = operator.part(view, |entries| entries.insert(at, entry));
            reroute(operator, other, random);
            Vec::new()
        }
        Lie::Change | Lie::SameSize => {
            let (at, entry) = (random.position(size), operator.entry());
            let other = operator.part(view, |entries| entries[at] = entry);
            reroute(operator, other, random);
            let head = operator.views[other].history.head();
            if lie == Lie::Change {
                return Vec::new();
            }
            operator.sign(other, head, truth);
            push(operator, other)
        }
        Lie::Truncate if size < 2 => Vec::new(),
        Lie::Truncate => {
            let head = operator.views[view].history.head_at(1 + random.position(size - 1));
            operator.sign(view, head, truth);
            push(operator, view)
        }
        Lie::Replay if operator.sent.is_empty() => Vec::new(),
        Lie::Replay => {
            let (view, witness, body) = operator.sent[random.position(operator.sent.len())].clone();
            vec![(witness, Message::AddCheckpoint { view, body })]
        }
        Lie::ForgedProof => forge_proof(operator, view, random),
        Lie::UnknownKey => {
            let stranger = SigningKey::from_seed(operator.key.verifier_key().name().clone(), &[9; 32]);
            let note = checkpoint(&stranger, &operator.origin, operator.views[view].history.head(), vec![]);
            let body = AddCheckpoint { old_size: tree_size(0), proof: vec![], note: bytes(&note) };
            let message = Message::AddCheckpoint { view, body: body.format() };
            (0..WITNESSES).map(|witness| (witness, message.clone())).collect()
        }
        Lie::Grease => {
            let own = operator.key.verifier_key();
            let lines = [
                NoteSignature::new(KeyName::parse("grease.invalid").expect("a name"), [1; 4], vec![7; 64]),
                // The log's name with the id of no key: passed over as well.
                NoteSignature::new(own.name().clone(), [2; 4], vec![7; 64]),
            ];
            operator.views[view].grease = lines.into_iter().flatten().collect();
            Vec::new()
        }
        Lie::MadeUp => {
            let size = tree_size(size + random.position(4));
            let head = TreeHead { size, root: made_up(random) };
            if size == tree_size(0) {
                return Vec::new();
            }
            operator.sign(view, head, truth);
            push(operator, view)
        }
    }
}

/// Shows another view to some of the readers.
fn reroute(operator: &mut Operator, view: usize, random: &mut Random) {
    for route in &mut operator.routes {
        if random.chance(50) {
            *route = view;
        }
    }
}

/// Sends the newest candidate of a view to every witness.
fn push(operator: &mut Operator, view: usize) -> Requests {
    let request = |witness| Some((witness, operator.request(view, witness)?));
    (0..WITNESSES).filter_map(request).collect()
}

/// Sends a candidate with hashes in its proof that were never in a tree.
fn forge_proof(operator: &mut Operator, view: usize, random: &mut Random) -> Requests {
    let forge = |(witness, message): (usize, Message)| {
        let Message::AddCheckpoint { view, body } = message else { return (witness, message) };
        let mut request = AddCheckpoint::parse(&body).expect("a request of our own");
        match request.proof.len() {
            0 => request.proof.push(made_up(random)),
            hashes => request.proof[random.position(hashes)] = made_up(random),
        }
        (witness, Message::AddCheckpoint { view, body: request.format() })
    };
    push(operator, view).into_iter().map(forge).collect()
}
