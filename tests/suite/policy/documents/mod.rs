//! Policies as documents.

mod extend;
mod form;
mod hostile;
mod language;
mod manual;
mod other;
mod property;
mod watched;

use attestree::core::number::UnixMillis;
use attestree::core::policy::{Admission, Arrival, Bundle, Materials, Seen, admit, admit_watched};
use attestree::core::record::{Body, Path, Record, RecordId, Salt, Secret, Timestamp, Verdict};
use attestree::policy::{Compiled, Diagnostic, compile};

/// Salts and keys by counting.
#[derive(Default)]
struct Counted(u16);

impl Materials for Counted {
    fn salt(&mut self) -> Salt {
        self.0 += 1;
        let [high, low] = self.0.to_be_bytes();
        Salt::new([[high, low]; 16].concat().try_into().unwrap())
    }

    fn token_key(&mut self, _path: &Path, days: u32) -> (Secret, u32) {
        (Secret::new([7; 32]), 20_550 / days)
    }
}

/// Returns the bundle of some files.
fn bundle(files: &[(&str, &str)]) -> Bundle {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    Bundle::new(files).unwrap()
}

/// Compiles a bundle of one document, which has no faults.
fn compiled(text: &str) -> Compiled {
    compile(&bundle(&[("policy.yaml", text)])).unwrap_or_else(|found| panic!("{found:#?}"))
}

/// Compiles a document of the native form from what follows its head.
fn policy(rest: &str) -> Compiled {
    compiled(&native(rest))
}

fn native(rest: &str) -> String {
    format!("apiVersion: attestree/v1\nkind: Policy\n{rest}")
}

/// Returns what is wrong with a bundle of one document.
fn findings(text: &str) -> Vec<Diagnostic> {
    match compile(&bundle(&[("policy.yaml", text)])) {
        Ok(_) => panic!("nothing is found in\n{text}"),
        Err(found) => found,
    }
}

/// Returns the text of the record, unless the event is refused, its verdict and the rules behind it.
fn admitted(compiled: &Compiled, event: &str) -> (Option<String>, Option<Verdict>, Vec<String>) {
    let now = Timestamp::parse("2026-11-21T00:14:00.000001Z").unwrap();
    let id = RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]);
    let arrival = Arrival {
        bytes: event.as_bytes(),
        source: Some("payments-7"),
        class: None,
        kept: false,
        id,
        now,
    };
    match admit(&compiled.policy, &arrival, &mut Counted::default(), &*compiled.custom).unwrap() {
        Admission::Refused(rules) => (None, None, rules),
        Admission::Recorded(admitted) => {
            let entry = admitted.draft.stamp(now);
            let record = Record::parse(&entry).unwrap();
            let Body::Event(event) = record.body() else { panic!("an event") };
            let rules = event.rules().to_vec();
            (Some(String::from_utf8(entry.clone()).unwrap()), Some(event.verdict()), rules)
        }
    }
}

/// Returns what whoever watches sees of an event.
fn seen(compiled: &Compiled, event: &str) -> Seen {
    let now = Timestamp::parse("2026-11-21T00:14:00.000001Z").unwrap();
    let id = RecordId::new(UnixMillis(1_795_000_000_000), [7; 10]);
    let arrival = Arrival {
        bytes: event.as_bytes(),
        source: Some("payments-7"),
        class: None,
        kept: false,
        id,
        now,
    };
    let (custom, watch) = (&*compiled.custom, &compiled.watch);
    let Ok(Admission::Recorded(admitted)) =
        admit_watched(&compiled.policy, watch, &arrival, &mut Counted::default(), custom)
    else {
        panic!("{event} is refused")
    };
    let entry = admitted.draft.stamp(now);
    let record = Record::parse(&entry).unwrap();
    let Body::Event(event) = record.body() else { panic!("an event") };
    let seen = Seen::of(watch, event, admitted.classes);
    // Who admits sees what whoever reads the record does.
    if let Some(early) = &admitted.seen {
        assert_eq!(**early, seen);
    }
    Seen { alerts: admitted.alerts, ..seen }
}

/// Returns the rules that an event breaks.
fn broken(compiled: &Compiled, event: &str) -> Vec<String> {
    admitted(compiled, event).2
}

/// Returns the text of the record of an event that is shown.
fn shown(compiled: &Compiled, event: &str) -> String {
    let (text, verdict, rules) = admitted(compiled, event);
    assert!(verdict.is_some_and(Verdict::shows_content), "{rules:?}");
    text.unwrap()
}
