//! Origins, right and wrong.

use attestree::core::origin::Origin;
use serde_json::json;

use super::{Probe, check};

fn good() -> Vec<Probe> {
    let good = |name, desc, origin: &str| Probe::good(name, desc, json!({ "origin": origin }));
    vec![
        good("good-host", "a host alone", "log.example"),
        good("good-path", "a path", "log.example/audit/2026"),
        good("good-characters", "every kind of character", "A-z_0.9~x/..a/.b/c../-"),
        good("good-route-as-host", "the host is no part of the path", "tile"),
        good("good-route-later", "a route that is not first", "log.example/a/tile/checkpoint"),
        good("good-route-as-part", "a segment that begins like a route", "log.example/tiles"),
    ]
}

fn bad_characters() -> Vec<Probe> {
    let bad = |name, desc, origin: &str, error: &str| {
        Probe::bad(name, desc, json!({ "origin": origin }), error)
    };
    let character = |character: char, position: usize| {
        format!(
            "{character:?} at byte {position} is not allowed: use letters, digits, '.', '_', '~', '-' \
             and '/'"
        )
    };
    vec![
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
    ]
}

fn bad_segments() -> Vec<Probe> {
    let bad = |name, desc, origin: &str, error: &str| {
        Probe::bad(name, desc, json!({ "origin": origin }), error)
    };
    let segment = |number: usize| {
        format!("segment {number} is empty, \".\" or \"..\": name it, or remove it with its slash")
    };
    let reserved = |name: &str| {
        format!("the path begins with {name:?}, which the server needs for itself: choose another")
    };
    vec![
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

pub(super) fn probes() -> Vec<Probe> {
    [good(), bad_characters(), bad_segments()].into_iter().flatten().collect()
}

#[test]
fn probes_of_origins_get_their_answers() {
    check("origin", &probes(), |probe| {
        Origin::parse(probe.text("origin")).err().map(|error| error.to_string())
    });
}
