//! What is watched over time: against a plain model of every number, and over a restart after each event.

use std::collections::{BTreeMap, BTreeSet};

use attestree::core::policy::{
    Alert, Seen, Selector, Suppression, Trigger, Watch, WatchedSource, Watching,
};
use attestree::core::record::{AlertCause, Path, SourceNumber, System, Tally, Timestamp, Verdict};
use proptest::prelude::*;

const SOURCE: &str = "CN=one";

fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000 + seconds * 1_000_000).unwrap()
}

fn seen(seq: Option<u64>) -> Seen {
    Seen {
        source: Some(SOURCE.to_owned()),
        class: None,
        classes: Vec::new(),
        action: None,
        outcome: None,
        seq,
        verdict: Verdict::Accept,
        groups: Vec::new(),
        alerts: Vec::new(),
    }
}

/// A numbered source that is expected every ten seconds, noise that is told every minute, and a threshold.
fn watch() -> Watch {
    let source = WatchedSource {
        source: SOURCE.to_owned(),
        rule: "source/one".to_owned(),
        numbered: true,
        heartbeat_seconds: Some(10),
    };
    let every = || Selector::default();
    Watch {
        sources: vec![source],
        suppressions: vec![Suppression {
            rule: "quiet".to_owned(),
            select: every(),
            every_seconds: 60,
        }],
        alerts: vec![Alert {
            rule: "many".to_owned(),
            select: every(),
            trigger: Trigger::Threshold { count: 4, seconds: 5, by: Vec::new() },
            to: Vec::new(),
        }],
        required: Vec::new(),
    }
}

/// What is said about numbers alone.
fn about_numbers(said: Vec<System>) -> Vec<System> {
    said.into_iter()
        .filter(|system| {
            matches!(system, System::Gap { .. } | System::Late(_) | System::Conflict(_))
        })
        .collect()
}

/// Says the same by remembering every number.
#[derive(Default)]
struct Model {
    came: BTreeSet<u64>,
    next: Option<u64>,
    first: u64,
}

impl Model {
    fn take(&mut self, seq: u64) -> Vec<System> {
        let source = SOURCE.to_owned();
        let next = *self.next.get_or_insert(seq);
        if self.came.is_empty() {
            self.first = seq;
        }
        let is_new = self.came.insert(seq) && seq >= self.first;
        if seq >= next {
            self.next = Some(seq + 1);
            let gap = System::Gap { source, from: next, to: seq };
            return if seq > next { vec![gap] } else { Vec::new() };
        }
        let number = SourceNumber { source, seq };
        vec![if is_new { System::Late(number) } else { System::Conflict(number) }]
    }
}

/// Takes the rows that have changed into what is stored, and starts again from there.
fn restart(watching: &mut Watching, stored: &mut BTreeMap<(u8, Vec<u8>), Vec<u8>>) {
    for (kind, rest, content) in watching.take_rows() {
        stored.insert((kind, rest), content);
    }
    let mut again = Watching::default();
    for ((kind, rest), content) in &*stored {
        again.restore(*kind, rest, content).unwrap();
    }
    *watching = again;
}

proptest! {
    #[test]
    fn every_number_is_told_as_a_model_tells_it_over_restarts(
        numbers in proptest::collection::vec(0..40_u64, 0..60),
    ) {
        let (watch, mut model, mut stored) = (watch(), Model::default(), BTreeMap::new());
        let mut watching = Watching::default();
        for (at, seq) in (0..).zip(numbers) {
            let said = watching.observe(&watch, &seen(Some(seq)), seconds(at * 20));
            prop_assert_eq!(about_numbers(said), model.take(seq));
            restart(&mut watching, &mut stored);
        }
    }

    #[test]
    fn what_is_restored_goes_on_as_what_was_not(
        steps in proptest::collection::vec((0..4_u8, 0..30_u64), 0..60),
    ) {
        let (watch, mut stored, mut now) = (watch(), BTreeMap::new(), 0);
        let (mut one, mut other) = (Watching::default(), Watching::default());
        one.begin(&watch, seconds(0));
        other.begin(&watch, seconds(0));
        let mut counted = 0;
        for (step, after) in steps {
            now += after;
            let act = |watching: &mut Watching| match step {
                0 => watching.observe(&watch, &seen(None), seconds(now)),
                1 => {
                    watching.suppress(&watch, 0, &seen(None), seconds(now));
                    Vec::new()
                }
                2 => watching.tick(&watch, seconds(now)),
                _ => watching.end(),
            };
            let (said, again) = (act(&mut one), act(&mut other));
            prop_assert_eq!(&said, &again);
            prop_assert!(step != 2 || !one.is_due(&watch, seconds(now)), "what was due was told");
            counted += u64::from(step == 1);
            for system in said {
                if let System::Suppressed(tally) = system {
                    prop_assert_eq!(core::mem::take(&mut counted), tally.count);
                }
            }
            restart(&mut other, &mut stored);
        }
    }
}

#[test]
fn rows_that_have_not_their_form_are_not_taken() {
    let mut watching = Watching::default();
    for (kind, rest, content) in [
        (2, b"a".as_slice(), [0; 7].as_slice()),
        (2, b"a", &[0; 16]),
        (3, b"a", &[0; 16]),
        (4, b"a", &[0; 25]),
        (5, b"a", &[0; 8]),
        (5, b"a", &[0, 0, 0, 0, 0, 0, 0, 0, 2]),
        (5, b"\xff", &[0; 9]),
        (6, b"a", &[0; 40]),
        (6, b"\0\0a", &[0; 24]),
        (6, b"\0\0a", &[0; 48]),
        (6, b"\0\0\xff", &[0; 40]),
        (6, b"\x04\0a", &[1; 40]),
        (7, b"a", &[]),
    ] {
        assert_eq!(watching.restore(kind, rest, content), None, "{kind} {content:?}");
    }
}

#[test]
fn a_number_left_out_long_ago_is_a_conflict_when_it_comes_after_all() {
    let (watch, mut watching) = (watch(), Watching::default());
    for gap in 0..66 {
        watching.observe(&watch, &seen(Some(gap * 2)), seconds(0));
    }
    let told = |watching: &mut Watching, seq| {
        about_numbers(watching.observe(&watch, &seen(Some(seq)), seconds(0))).remove(0)
    };
    assert!(matches!(told(&mut watching, 1), System::Conflict(_)));
    assert!(matches!(told(&mut watching, 3), System::Late(_)));
}

/// Alerts at the third event of a group within ten seconds.
fn grouped() -> Watch {
    let by = vec![Path::parse("/actor/id").unwrap()];
    let trigger = Trigger::Threshold { count: 3, seconds: 10, by };
    let alert =
        Alert { rule: "each".to_owned(), select: Selector::default(), trigger, to: Vec::new() };
    Watch { alerts: vec![alert], ..Watch::default() }
}

/// An event of a group.
fn of(group: u32) -> Seen {
    let group = [group.to_be_bytes(); 4].concat().try_into().unwrap();
    Seen { groups: vec![(0, group)], ..seen(None) }
}

proptest! {
    #[test]
    fn groups_count_apart_as_a_model_counts_them_over_restarts(
        steps in proptest::collection::vec((0..4_u32, 0..6_u64), 0..80),
    ) {
        let (watch, mut stored, mut now) = (grouped(), BTreeMap::new(), 0);
        let mut watching = Watching::default();
        let mut model: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (group, after) in steps {
            now += after;
            let said = watching.observe(&watch, &of(group), seconds(now));
            let times = model.entry(group).or_default();
            if times.first().is_some_and(|first| now - first >= 10) {
                times.clear();
            }
            times.push(now);
            let mut wanted = Vec::new();
            if times.len() == 3 {
                let (from, to) = (seconds(times[0]), seconds(now));
                let (rule, source, class) = ("each".to_owned(), None, None);
                let tally = Tally { rule, count: 3, from, to, source, class };
                wanted.push(System::Alert(AlertCause::Threshold, tally));
                times.clear();
            }
            prop_assert_eq!(said, wanted);
            restart(&mut watching, &mut stored);
        }
        // Four groups take no more than four rows, however often they begin anew.
        prop_assert!(stored.len() <= 4);
        prop_assert!(watching.end().is_empty());
        restart(&mut watching, &mut stored);
        prop_assert_eq!(watching, Watching::default());
    }
}

#[test]
fn a_flood_of_groups_hides_none() {
    let (watch, mut watching, mut stored) = (grouped(), Watching::default(), BTreeMap::new());
    let mut alerts = Vec::new();
    // The first has two of three; then come more groups than there is room for.
    for group in [0, 0].into_iter().chain(1..=1_030) {
        alerts.extend(watching.observe(&watch, &of(group), seconds(1)));
    }
    let counts = alerts.iter().map(|system| match system {
        System::Alert(AlertCause::Threshold, tally) => tally.count,
        other => panic!("{other:?}"),
    });
    // Seven had to go: the first with its two events, and six of one each.
    assert_eq!(counts.collect::<Vec<_>>(), [3, 3]);
    restart(&mut watching, &mut stored);
    assert_eq!(stored.len(), 1_025);
    // When the time is over, those that have to go are forgotten.
    for group in 2_000..2_020 {
        assert_eq!(watching.observe(&watch, &of(group), seconds(12)), []);
    }
}
