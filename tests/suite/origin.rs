//! Origins: their form, the routes they may not take, and which of them get in each other's way.

use attestree::core::origin::{
    LOG_ROUTES, ORIGIN_BYTES_MAX, Origin, OriginError, SERVER_ROUTES, prefix_conflict,
};
use proptest::prelude::*;
use serde_json::json;

use super::probes::{self, Probe};

pub(super) fn probes() -> Vec<Probe> {
    let good = |name, desc, origin: &str| Probe::good(name, desc, json!({ "origin": origin }));
    let bad = |name, desc, origin: &str, error: &str| {
        Probe::bad(name, desc, json!({ "origin": origin }), error)
    };
    let character = |character: char, position: usize| {
        format!(
            "{character:?} at byte {position} is not allowed: use letters, digits, '.', '_', '~', '-' \
             and '/'"
        )
    };
    let segment = |number: usize| {
        format!("segment {number} is empty, \".\" or \"..\": name it, or remove it with its slash")
    };
    let reserved = |name: &str| {
        format!("the path begins with {name:?}, which the server needs for itself: choose another")
    };
    vec![
        good("good-host", "a host alone", "log.example"),
        good("good-path", "a path", "log.example/audit/2026"),
        good("good-characters", "every kind of character", "A-z_0.9~x/..a/.b/c../-"),
        good("good-route-as-host", "the host is no part of the path", "tile"),
        good("good-route-later", "a route that is not first", "log.example/a/tile/checkpoint"),
        good("good-route-as-part", "a segment that begins like a route", "log.example/tiles"),
        bad("empty", "nothing at all", "", "an origin has 1 to 255 bytes, this one has 0"),
        bad(
            "too-long",
            "256 bytes",
            &"o".repeat(256),
            "an origin has 1 to 255 bytes, this one has 256",
        ),
        bad(
            "schema",
            "a URL",
            "https://log.example/audit",
            "leave out everything up to \"://\": an origin begins with the host name",
        ),
        bad("port", "a port", "log.example:443/audit", &character(':', 11)),
        bad("space", "a space", "log example", &character(' ', 3)),
        bad("percent", "an escape", "log.example/%61", &character('%', 12)),
        bad("plus", "a + can't be in a key name", "log.example/a+b", &character('+', 13)),
        bad("not-ascii", "a letter with an accent", "log.example/\u{e9}", &character('\u{e9}', 12)),
        bad("line-feed", "a line feed", "log.example\n", &character('\n', 11)),
        bad("backslash", "a backslash", "log.example\\a", &character('\\', 11)),
        bad("slash-first", "an empty host", "/audit", &segment(1)),
        bad("slash-last", "a slash at the end", "log.example/", &segment(2)),
        bad("slash-twice", "an empty segment", "log.example//audit", &segment(2)),
        bad("dot", "a segment that paths leave out", "log.example/a/./b", &segment(3)),
        bad("dots", "a segment that leads upwards", "log.example/a/..", &segment(3)),
        bad("dots-host", "a host of dots", "..", &segment(1)),
        bad(
            "route-checkpoint",
            "a log's own route",
            "log.example/checkpoint",
            &reserved("checkpoint"),
        ),
        bad(
            "route-tile",
            "a route with more behind it",
            "log.example/tile/audit",
            &reserved("tile"),
        ),
        bad("route-add", "where entries are posted", "log.example/add", &reserved("add")),
        bad("route-metrics", "the server's figures", "log.example/metrics", &reserved("metrics")),
        bad("route-healthz", "the server's health", "log.example/healthz/x", &reserved("healthz")),
        bad("route-readyz", "the server's readiness", "log.example/readyz", &reserved("readyz")),
        bad(
            "route-service",
            "a gRPC service",
            "log.example/attestree.v1.LogService/Append",
            &reserved("attestree.v1.LogService"),
        ),
        bad(
            "route-reflection",
            "a service of gRPC itself",
            "log.example/grpc.health.v1.Health",
            &reserved("grpc.health.v1.Health"),
        ),
    ]
}

#[test]
fn probes_of_origins_get_their_answers() {
    probes::check("origin", &probes(), |probe| {
        Origin::parse(probe.text("origin")).err().map(|error| error.to_string())
    });
}

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
