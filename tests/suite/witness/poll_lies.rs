//! Every lie of a log that has its real key, told to witnesses that read it.

use std::fs;

use attestree::core::{
    evidence::{Evidence, Judgement},
    note::CosigningKey,
    tree::TreeHead,
    trust::TrustPolicy,
};

use super::{
    Watching, block_on,
    misbehaviour::own_key,
    poll::{failures, often, until},
};
use crate::{
    liar::{self, Face, History, Liar, ORIGIN},
    published::signing_key,
};

/// What becomes of a lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The log is frozen, and a file convicts it.
    Guilty,
    /// The log is frozen, and nothing is held against it.
    Frozen,
    /// It is counted as a failure to answer.
    Unresponsive,
    /// It is none, and is cosigned.
    Cosigned,
}

/// A witness that reads one face of the liar.
struct Reader {
    name: &'static str,
    watching: Watching,
}

impl Reader {
    fn start(liar: &Liar, name: &'static str) -> Self {
        let face = name.replace(' ', "-");
        let log = format!("{} {}", liar::key().verifier_key(), liar.url(&face));
        Self { name, watching: Watching::with(&[log], often()) }
    }

    fn show(&self, liar: &Liar, face: Face) {
        liar.show(&self.name.replace(' ', "-"), face);
    }

    fn latest(&self) -> Option<TreeHead> {
        block_on(self.watching.monitored(&liar::key())).map(|(head, _)| head)
    }

    fn assert_cosigns(&self, head: TreeHead) {
        until(self.name, || self.latest() == Some(head));
        assert_eq!(self.watching.frozen(ORIGIN), None, "{}", self.name);
    }

    /// Waits for the end of a lie that was told `before` so many failures.
    fn assert_ends(&self, end: End, before: u64, known: TreeHead, shown: TreeHead) {
        let name = self.name;
        match end {
            End::Cosigned => return self.assert_cosigns(shown),
            End::Unresponsive => {
                until(name, || failures(&self.watching, ORIGIN) > before);
                assert_eq!(self.watching.frozen(ORIGIN), None, "{name}");
            }
            End::Guilty | End::Frozen => until(name, || self.watching.frozen(ORIGIN).is_some()),
        }
        assert_eq!(self.latest(), Some(known), "{name}");
        assert_eq!(self.watching.evidence().len(), usize::from(end == End::Guilty), "{name}");
        for path in self.watching.evidence() {
            let evidence = Evidence::parse(&fs::read(path).unwrap()).unwrap();
            let policy = format!("log {}\nquorum none\n", liar::key().verifier_key());
            let judgement = evidence.judge(&TrustPolicy::parse(&policy).unwrap());
            assert!(matches!(judgement, Judgement::Guilty { .. }), "{name}: {judgement:?}");
        }
    }
}

/// Returns lies about a log of 700 entries that has shown 600.
fn lies(honest: &History) -> Vec<(&'static str, Face, End)> {
    let text = |head: TreeHead| format!("{ORIGIN}\n{}\n{}\n", head.size, head.root);
    let newest = text(honest.head(700));
    let stranger = signing_key(ORIGIN, "a stranger's key").sign(&newest);
    let unknown = format!("{newest}\n{stranger}\n").into_bytes();
    let forged = String::from_utf8(liar::note(honest.head(600), &[])).unwrap();
    let forged = forged.replace("600", "700").into_bytes();
    let with_note = |note: Vec<u8>| Face { note, ..Face::of(honest, 700) };
    let other_tiles = Face { history: Some(honest.changed(3)), ..Face::of(honest, 700) };
    let cut = honest.truncated(400).grown(700, "other");
    vec![
        ("a changed leaf", Face::of(&honest.changed(17), 700), End::Guilty),
        ("a changed leaf at the edge", Face::of(&honest.changed(599), 700), End::Guilty),
        ("a late insert", Face::of(&honest.inserted(5), 700), End::Guilty),
        ("another root of one size", Face::of(&honest.changed(17), 600), End::Guilty),
        ("a tree that was cut and has grown", Face::of(&cut, 700), End::Guilty),
        ("a rollback", Face::of(&cut, 500), End::Unresponsive),
        ("a truncated tree", Face::of(&honest.truncated(400), 400), End::Unresponsive),
        ("an old checkpoint again", Face::of(honest, 256), End::Unresponsive),
        ("a proof out of forged tiles", other_tiles, End::Unresponsive),
        ("a key that nobody knows", with_note(unknown), End::Unresponsive),
        ("a forged signature", with_note(forged), End::Unresponsive),
        ("a second signature", with_note(liar::note(honest.head(700), &[stranger])), End::Cosigned),
    ]
}

#[test]
fn each_lie_to_a_reader_is_taken_for_what_it_is() {
    let (liar, honest) = (Liar::start(), History::honest(700));
    let (known, newest) = (honest.head(600), honest.head(700));
    let told: Vec<_> = lies(&honest)
        .into_iter()
        .map(|(name, face, end)| (Reader::start(&liar, name), face, end))
        .collect();
    told.iter().for_each(|(reader, ..)| reader.show(&liar, Face::of(&honest, 600)));
    told.iter().for_each(|(reader, ..)| reader.assert_cosigns(known));
    let before: Vec<u64> =
        told.iter().map(|(reader, ..)| failures(&reader.watching, ORIGIN)).collect();
    for (reader, face, _) in &told {
        reader.show(&liar, face.clone());
    }
    for ((reader, _, end), before) in told.iter().zip(before) {
        reader.assert_ends(*end, before, known, newest);
    }
    // What convicts nobody is forgiven as soon as the log goes on.
    told.iter().for_each(|(reader, ..)| reader.show(&liar, Face::of(&honest, 700)));
    for (reader, _, end) in &told {
        match end {
            End::Guilty | End::Frozen => assert_eq!(reader.latest(), Some(known)),
            End::Unresponsive | End::Cosigned => reader.assert_cosigns(newest),
        }
    }
}

#[test]
fn a_split_view_convicts_at_each_reader_that_meets_the_other_side() {
    let liar = Liar::start();
    let first = History::honest(300).grown(700, "first");
    let other = History::honest(300).grown(700, "other");
    let readers = ["one", "two"].map(|name| Reader::start(&liar, name));
    for (reader, side) in readers.iter().zip([&first, &other]) {
        reader.show(&liar, Face::of(side, 500));
    }
    for (reader, side) in readers.iter().zip([&first, &other]) {
        reader.assert_cosigns(side.head(500));
    }
    for (reader, side) in readers.iter().zip([&other, &first]) {
        reader.show(&liar, Face::of(side, 600));
    }
    for (reader, (known, shown)) in readers.iter().zip([(&first, &other), (&other, &first)]) {
        reader.assert_ends(End::Guilty, 0, known.head(500), shown.head(600));
    }
}

#[test]
fn a_reader_that_meets_its_own_forgotten_cosignature_stops() {
    let (liar, honest) = (Liar::start(), History::honest(700));
    let reader = Reader::start(&liar, "forgetful");
    reader.show(&liar, Face::of(&honest, 600));
    reader.assert_cosigns(honest.head(600));
    let own: CosigningKey = own_key(&reader.watching);
    let note = liar::cosigned(honest.head(700), &own, 1_780_000_000);
    reader.show(&liar, Face { note, ..Face::of(&honest, 700) });
    reader.assert_ends(End::Frozen, 0, honest.head(600), honest.head(700));
}
