//! Times of records, and ids that are made of them.

use attestree::core::number::UnixMillis;
use attestree::core::record::{RecordId, TIMESTAMP_BYTES, Timestamp, epoch};
use proptest::prelude::*;

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

#[test]
fn known_times_have_their_texts() {
    let known = [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        (1_796_083_200_000_000, "2026-12-01T00:00:00.000000Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ];
    for (micros, text) in known {
        assert_eq!(at(micros).to_string(), text);
        assert_eq!(Timestamp::parse(text), Some(at(micros)));
    }
    assert_eq!(Timestamp::from_micros(253_402_300_800_000_000), None);
}

#[test]
fn each_day_of_four_centuries_follows_the_one_before() {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut day = 0;
    for year in 1970..2371 {
        let february = if is_leap(year) { 29 } else { 28 };
        for (month, days) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
            for date in 1..=days {
                let text = format!("{year:04}-{month:02}-{date:02}T00:00:00.000000Z");
                assert_eq!(Timestamp::parse(&text), Some(at(day * 86_400_000_000)), "{text}");
                day += 1;
            }
            let beyond = format!("{year:04}-{month:02}-{:02}T00:00:00.000000Z", days + 1);
            assert_eq!(Timestamp::parse(&beyond), None, "{beyond}");
        }
    }
}

#[test]
fn producers_write_times_in_several_ways() {
    let same = [
        "2026-11-21T00:13:59.8Z",
        "2026-11-21T01:13:59.8+01:00",
        "2026-11-20T23:58:59.800000-00:15",
        "2026-11-21T00:13:59.800000999Z",
    ];
    for text in same {
        assert_eq!(
            Timestamp::parse_occurred(text),
            Timestamp::parse("2026-11-21T00:13:59.800000Z"),
            "{text}"
        );
    }
    let none = [
        "",
        "2026-11-21",
        "2026-11-21T00:13Z",
        "2026-11-21T00:13:59",
        "2026-11-21 00:13:59Z",
        "2026-11-21T00:13:59z",
        "2026-11-21T00:13:60Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T00:60:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-11-21T00:13:59.Z",
        "2026-11-21T00:13:59,8Z",
        "2026-11-21T00:13:59.8+1:00",
        "2026-11-21T00:13:59.8+0100",
        "2026-11-21T00:13:59.8+24:00",
        "2026-11-21T00:13:59.8ZZ",
        "+026-11-21T00:13:59Z",
        "2026-11-21T00:13:+9Z",
        "1970-01-01T00:30:00+01:00",
        "9999-12-31T23:59:59-00:01",
        "2026-11-2\u{e9}T00:13:59Z",
        "2026-11-21T0013:000Z",
    ];
    for text in none {
        assert_eq!(Timestamp::parse_occurred(text), None, "{text}");
    }
}

#[test]
fn an_epoch_has_thirty_days() {
    let day = 86_400_000_000;
    assert_eq!((epoch(at(0), 30), epoch(at(30 * day - 1), 30), epoch(at(30 * day), 30)), (0, 0, 1));
    assert_eq!(epoch(at(253_402_300_799_999_999), 1), 2_932_896);
}

proptest! {
    #[test]
    fn a_time_is_read_as_it_was_written(micros in 0..=253_402_300_799_999_999_u64) {
        let text = at(micros).to_string();
        prop_assert_eq!(text.len(), TIMESTAMP_BYTES);
        prop_assert_eq!(Timestamp::parse(&text), Some(at(micros)));
    }

    #[test]
    fn texts_sort_as_times(one in 0..=253_402_300_799_999_999_u64, other in 0..=253_402_300_799_999_999_u64) {
        prop_assert_eq!(at(one).to_string().cmp(&at(other).to_string()), one.cmp(&other));
    }

    #[test]
    fn an_id_is_read_as_it_was_written(millis in 0..1_u64 << 48, random in any::<[u8; 10]>()) {
        let id = RecordId::new(UnixMillis(millis), random);
        let text = id.to_string();
        prop_assert_eq!(RecordId::parse(&text), Some(id));
        prop_assert_eq!(u64::from_str_radix(&text.replace('-', "")[..12], 16), Ok(millis));
        prop_assert_eq!(&text[14..15], "7");
        prop_assert!("89ab".contains(&text[19..20]));
        prop_assert_ne!(RecordId::new(UnixMillis(millis), random.map(|byte| !byte)), id);
    }
}
