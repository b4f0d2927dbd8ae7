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
    match lie {
        Lie::Split | Lie::Rollback | Lie::LateInsert | Lie::Change | Lie::SameSize => {
            if operator.views.len() == VIEWS_MAX || size < 2 {
                return Vec::new();
            }
            let other = part(lie, operator, view, random);
            if lie != Lie::SameSize {
                return Vec::new();
            }
            let head = operator.views[other].history.head();
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
        Lie::UnknownKey => sign_strangely(operator, view),
        Lie::Grease => {
            operator.views[view].grease = grease(operator);
            Vec::new()
        }
        Lie::MadeUp => {
            let size = tree_size(size + 1 + random.position(4));
            operator.sign(view, TreeHead { size, root: made_up(random) }, truth);
            push(operator, view)
        }
    }
}

/// Makes a history that parts from another in the way of the lie, and shows it to some.
fn part(lie: Lie, operator: &mut Operator, view: usize, random: &mut Random) -> usize {
    let entry = operator.entry();
    let at = random.position(operator.views[view].history.len());
    let other = operator.part(view, |entries| match lie {
        Lie::Rollback => entries.truncate(at),
        Lie::LateInsert => entries.insert(at, entry),
        Lie::Change | Lie::SameSize => entries[at] = entry,
        // What follows makes the difference.
        _ => {}
    });
    for route in &mut operator.routes {
        if lie == Lie::Rollback || random.chance(50) {
            *route = other;
        }
    }
    other
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

/// Sends a checkpoint under a key that has the log's name and is not the log's.
fn sign_strangely(operator: &Operator, view: usize) -> Requests {
    let name = operator.key.verifier_key().name().clone();
    let stranger = SigningKey::from_seed(name, &[9; 32]);
    let head = operator.views[view].history.head();
    let note = bytes(&checkpoint(&stranger, &operator.origin, head, Vec::new()));
    let body = AddCheckpoint { old_size: tree_size(0), proof: Vec::new(), note }.format();
    let message = Message::AddCheckpoint { view, body };
    (0..WITNESSES).map(|witness| (witness, message.clone())).collect()
}

/// Returns signature lines of nobody: under a foreign name, and under the log's with the id of no key.
fn grease(operator: &Operator) -> Vec<NoteSignature> {
    let own = operator.key.verifier_key().name().clone();
    let foreign = KeyName::parse("grease.invalid").expect("a name");
    let line = |name, id| NoteSignature::new(name, id, vec![7; 64]).expect("64 bytes");
    vec![line(foreign, [1; 4]), line(own, [2; 4])]
}
