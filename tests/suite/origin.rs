//! Origins: their form, the routes they may not take, and which of them get in each other's way.

use attestree::core::origin::{
    LOG_ROUTES, ORIGIN_BYTES_MAX, Origin, OriginError, SERVER_ROUTES, prefix_conflict,
};
use proptest::prelude::*;

fn origin(text: &str) -> Origin {
    Origin::parse(text).unwrap()
}

#[test]
fn the_prefix_is_the_path() {
    for (text, prefix) in [
        ("log.example", ""),
        ("log.example/audit", "audit"),
        ("log.example/audit/2026", "audit/2026"),
    ] {
        assert_eq!(origin(text).http_prefix(), prefix);
        assert_eq!(origin(text).as_str(), text);
        assert_eq!(origin(text).to_string(), text);
    }
}

#[test]
fn every_route_is_reserved() {
    for route in LOG_ROUTES.into_iter().chain(SERVER_ROUTES) {
        for text in [format!("log.example/{route}"), format!("log.example/{route}/more")] {
            let segment = route.to_owned();
            assert_eq!(Origin::parse(&text), Err(OriginError::Reserved { segment }));
        }
    }
}

#[test]
fn logs_that_hide_each_other_conflict() {
    // Existing log, new log, whether the new one must be refused.
    for (existing, new, conflict) in [
        ("a.example", "b.example", true),
        ("a.example/log", "b.example/log", true),
        ("a.example/log", "b.example", true),
        ("a.example", "b.example/log", false),
        ("a.example/log", "a.example/other", false),
        ("a.example/log", "a.example/log/other", false),
        ("a.example/log/other", "a.example/log", false),
        ("a.example/log", "a.example/log/tile", true),
        ("a.example/log", "a.example/log/tile/0", true),
        ("a.example/log", "a.example/log/add", true),
        ("a.example/log", "a.example/log/checkpoint/x", true),
        ("a.example/log/tile/x", "b.example/log", true),
        ("a.example/log", "a.example/log/tiles", false),
        ("a.example/log", "a.example/logs/tile", false),
        ("a.example/log", "a.example/log/metrics", false),
    ] {
        assert_eq!(prefix_conflict(&origin(existing), &origin(new)), conflict, "{existing}, {new}");
    }
}

proptest! {
    #[test]
    fn what_parses_keeps_the_rules(text in "[a-z./~_-]{0,12}|.{0,20}") {
        let Ok(origin) = Origin::parse(&text) else { return Ok(()) };
        prop_assert_eq!(origin.as_str(), &text);
        prop_assert!((1..=ORIGIN_BYTES_MAX).contains(&text.len()));
        for segment in text.split('/') {
            prop_assert!(!matches!(segment, "" | "." | ".."));
            prop_assert!(segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b)));
        }
        let host = text.split('/').next().unwrap();
        let path = origin.http_prefix();
        let joined = if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") };
        prop_assert_eq!(joined, text);
    }
}
