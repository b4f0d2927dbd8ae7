//! What is watched over time: against a plain model of every number, and over a restart after each event.

use std::collections::{BTreeMap, BTreeSet};

use attestree::core::policy::{
    Alert, Glob, Seen, Selector, Suppression, Trigger, Watch, WatchedSource, Watching,
};
use attestree::core::record::{AlertCause, Path, SourceNumber, System, Tally, Timestamp};
use proptest::prelude::*;

const SOURCE: &str = "CN=one";

fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000 + seconds * 1_000_000).unwrap()
}

fn seen(seq: Option<u64>) -> Seen {
    Seen {
        source: Some(SOURCE.to_owned()),
        class: None,
        seq,
        about: vec![(0, None)],
        counted: None,
        alerts: Vec::new(),
    }
}

/// A numbered source that is expected every ten seconds, noise that is told every minute, and a threshold.
fn watch() -> Watch {
    let source = WatchedSource {
        sources: vec![Glob::new(SOURCE)],
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
        (5, b"a", &[0; 8]),
        (5, b"a", &[0, 0, 0, 0, 0, 0, 0, 0, 2]),
        (5, b"a", &[0; 10]),
        (5, b"\xff", &[0; 9]),
        (7, b"a", &[0; 9]),
        (7, b"\0\0a", &[0; 8]),
        (7, b"\xff\xffa", b"\0\0\0\0\0\0\0\0\0s"),
        (7, b"\0\0a", b"\0\0\0\0\0\0\0\0\0\xff"),
        (8, b"a", &[0; 8]),
        (8, b"a", &[0; 16]),
        (8, b"a", &[1; 32]),
        (8, b"a", &[0xff; 16]),
        (9, b"a", &[0; 32]),
        (9, b"\0\0a", &[0; 24]),
        (9, b"\0\0a", &[0; 32]),
        (9, b"\0\0\xff", &[0; 16]),
        (9, b"\x04\0a", &[1; 32]),
        (10, b"a", &[]),
    ] {
        assert_eq!(watching.restore(kind, rest, content), None, "{kind} {content:?}");
    }
    // What was written before windows slid is read, and says nothing.
    let mut watching = Watching::default();
    assert_eq!(watching.restore(4, b"a", &[0; 24]), Some(()));
    assert_eq!(watching.restore(6, b"\0\0a", &[0; 40]), Some(()));
    assert_eq!(watching, Watching::default());
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
    Seen { about: vec![(0, Some(group))], ..seen(None) }
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
            times.retain(|time| now - time <= 10);
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

/// Alerts at so many events within so many seconds.
fn threshold(count: u64, seconds: u64) -> Watch {
    let trigger = Trigger::Threshold { count, seconds, by: Vec::new() };
    let (rule, select) = ("many".to_owned(), Selector::default());
    Watch { alerts: vec![Alert { rule, select, trigger, to: Vec::new() }], ..Watch::default() }
}

proptest! {
    #[test]
    fn a_threshold_is_reached_whenever_so_many_lie_within_its_seconds(
        wanted in prop_oneof![1..8_u64, 65..90_u64],
        window in 1..20_u64,
        steps in proptest::collection::vec((0..1_500_u64, 1..12_usize), 0..60),
    ) {
        let (watch, mut stored) = (threshold(wanted, window), BTreeMap::new());
        let mut watching = Watching::default();
        // Of more than 64 a sixty-fourth of the window may be between.
        let piece = if wanted <= 64 { 0 } else { window * 1_000_000 / 64 };
        let (mut now, mut times) = (1_780_000_000_000_000_u64, Vec::<u64>::new());
        for (millis, events) in steps {
            now += millis * 1_000;
            for _ in 0..events {
                now += 1;
                let at = Timestamp::from_micros(now).unwrap();
                let said = watching.observe(&watch, &seen(None), at);
                times.push(now);
                let within = |micros: u64| {
                    let least = now - micros;
                    times.iter().filter(|time| **time >= least).count() as u64 >= wanted
                };
                let fired = !said.is_empty();
                prop_assert!(fired || !within(window * 1_000_000), "a burst was missed");
                prop_assert!(!fired || within(window * 1_000_000 + piece), "there was no burst");
                if let [System::Alert(AlertCause::Threshold, tally)] = said.as_slice() {
                    prop_assert!(tally.count >= wanted && tally.from <= tally.to && tally.to == at);
                    times.clear();
                }
            }
            restart(&mut watching, &mut stored);
            prop_assert!(stored.values().all(|row| row.len() <= 66 * 16));
        }
    }

    #[test]
    fn each_source_of_a_pattern_is_listened_for_once_it_has_come(
        steps in proptest::collection::vec((0..5_u8, 0..8_u64), 0..80),
    ) {
        let (watch, mut stored, mut now) = (listening(), BTreeMap::new(), 0);
        let mut watching = Watching::default();
        watching.begin(&watch, seconds(0));
        // The one that is named is listened for from the beginning.
        let mut model = BTreeMap::from([("named".to_owned(), (0, false))]);
        for (step, after) in steps {
            now += after;
            let name = ["named", "pod-1", "pod-2", "other"].get(usize::from(step));
            if let Some(name) = name {
                let said = watching.observe(&watch, &from(name, None), seconds(now));
                prop_assert!(said.is_empty());
                if *name != "other" {
                    model.insert((*name).to_owned(), (now, false));
                }
            } else {
                let mut silent = Vec::new();
                for (source, (since, told)) in &mut model {
                    if !*told && now - *since >= 10 {
                        *told = true;
                        silent.push((source.clone(), *since));
                    }
                }
                let said = watching.tick(&watch, seconds(now)).into_iter();
                let mut told: Vec<_> = said.map(|system| match system {
                    System::Alert(AlertCause::Absence, tally) => {
                        (tally.source.unwrap(), tally.from)
                    }
                    other => panic!("{other:?}"),
                }).collect();
                told.sort();
                let silent: Vec<_> =
                    silent.into_iter().map(|(source, since)| (source, seconds(since))).collect();
                prop_assert_eq!(told, silent);
            }
            restart(&mut watching, &mut stored);
            watching.begin(&watch, seconds(now));
        }
    }
}

/// One source by name and others by a pattern, each of which has to be heard of every ten seconds.
fn listening() -> Watch {
    let source = WatchedSource {
        sources: vec![Glob::new("named"), Glob::new("pod-*")],
        rule: "source-1".to_owned(),
        numbered: true,
        heartbeat_seconds: Some(10),
    };
    Watch { sources: vec![source], ..Watch::default() }
}

/// An event of a source.
fn from(source: &str, seq: Option<u64>) -> Seen {
    Seen { source: Some(source.to_owned()), about: Vec::new(), ..seen(seq) }
}

#[test]
fn numbers_are_followed_of_each_source_of_a_pattern() {
    let (watch, mut watching) = (listening(), Watching::default());
    let mut take = |source, seq| watching.observe(&watch, &from(source, Some(seq)), seconds(0));
    for (source, seq) in [("pod-1", 5), ("pod-2", 9), ("other", 3), ("pod-1", 6), ("other", 9)] {
        assert_eq!(take(source, seq), [], "{source} {seq}");
    }
    let gap = |source: &str, from, to| System::Gap { source: source.to_owned(), from, to };
    assert_eq!(take("pod-2", 12), [gap("pod-2", 10, 12)]);
    assert_eq!(take("pod-1", 8), [gap("pod-1", 7, 8)]);
}

#[test]
fn more_sources_of_a_pattern_than_there_is_room_for_are_told_once() {
    let (watch, mut watching, mut stored) = (listening(), Watching::default(), BTreeMap::new());
    watching.begin(&watch, seconds(0));
    let pod = |number: u32| format!("pod-{number}");
    for number in 0..1_024 {
        assert_eq!(watching.observe(&watch, &from(&pod(number), None), seconds(1)), []);
    }
    let said = watching.observe(&watch, &from("pod-late", None), seconds(2));
    let [System::Alert(AlertCause::Threshold, tally)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((tally.rule.as_str(), tally.count), ("source-1", 1_025));
    assert_eq!(tally.source.as_deref(), Some("pod-late"));
    restart(&mut watching, &mut stored);
    watching.begin(&watch, seconds(2));
    assert_eq!(watching.observe(&watch, &from("pod-later", None), seconds(2)), []);
    // The one that is named has its place.
    assert_eq!(watching.observe(&watch, &from("named", None), seconds(3)), []);
    assert_eq!(watching.observe(&watch, &from(&pod(7), None), seconds(9)), []);
    assert_eq!(watching.timed_max(&watch), 1_025);
    // Those whose silence was told make room: each is listened for again when it comes.
    assert_eq!(watching.tick(&watch, seconds(11)).len(), 1_023);
    for number in 2_000..2_010 {
        assert_eq!(watching.observe(&watch, &from(&pod(number), None), seconds(12)), []);
    }
    restart(&mut watching, &mut stored);
    watching.begin(&watch, seconds(12));
    let silent = watching.tick(&watch, seconds(22));
    let silent: BTreeSet<String> = silent
        .into_iter()
        .filter_map(|system| match system {
            System::Alert(_, tally) => tally.source,
            _ => None,
        })
        .collect();
    let late: BTreeSet<String> =
        (2_000..2_010).map(pod).chain([pod(7), "named".to_owned()]).collect();
    assert_eq!(silent, late);
    // Of numbers there is more room, which is never freed.
    for number in 0..4_096 {
        watching.observe(&watch, &from(&pod(number), Some(1)), seconds(23));
    }
    let gap = watching.observe(&watch, &from(&pod(4_095), Some(3)), seconds(23));
    assert!(matches!(gap.as_slice(), [System::Gap { .. }]), "{gap:?}");
    assert!(
        about_numbers(watching.observe(&watch, &from("pod-x", Some(1)), seconds(23))).is_empty()
    );
    assert!(
        about_numbers(watching.observe(&watch, &from("pod-x", Some(9)), seconds(23))).is_empty()
    );
    assert!(
        about_numbers(watching.observe(&watch, &from("named", Some(1)), seconds(23))).is_empty()
    );
    let gap = about_numbers(watching.observe(&watch, &from("named", Some(9)), seconds(23)));
    assert_eq!(gap.len(), 1);
}

#[test]
fn a_source_that_another_rule_is_about_is_still_listened_for() {
    let (mut watch, mut watching) = (listening(), Watching::default());
    watching.begin(&watch, seconds(0));
    watching.observe(&watch, &from("pod-1", None), seconds(4));
    assert_eq!(watching.end(), []);
    watch.sources[0].rule = "source-2".to_owned();
    watching.begin(&watch, seconds(6));
    let silent: Vec<_> = watching
        .tick(&watch, seconds(16))
        .into_iter()
        .map(|system| match system {
            System::Alert(_, tally) => (tally.rule, tally.source.unwrap(), tally.from),
            other => panic!("{other:?}"),
        })
        .collect();
    let rule = || "source-2".to_owned();
    let named = (rule(), "named".to_owned(), seconds(0));
    assert_eq!(silent, [named, (rule(), "pod-1".to_owned(), seconds(4))]);
    watch.sources.clear();
    watching.begin(&watch, seconds(17));
    assert_eq!(watching.timed_max(&watch), 0);
}
