//! Finds what a path names.

use std::sync::Arc;

use super::source::Door;
use crate::{
    core::tile::Resource,
    pipeline::Log,
    service::{Desk, grpc::Denial},
};

/// What a path names.
#[derive(Debug)]
pub(super) enum Target {
    /// `/healthz`: the process is alive.
    Health,
    /// `/readyz`: the server takes entries.
    Ready,
    /// `/metrics`.
    Metrics,
    /// `/add` of a log.
    Add(Arc<Log>),
    /// `/v1/events` of a log.
    Events(Arc<Log>),
    /// What takes a foreign protocol.
    Source(Door),
    /// A checkpoint, tile or bundle of a log.
    Resource(Arc<Log>, Resource),
}

/// Finds what a path names.
pub(super) fn find(desk: &Desk, path: &str) -> Result<Target, Denial> {
    let path = path.strip_prefix('/').ok_or_else(nothing)?;
    match path {
        "healthz" => return Ok(Target::Health),
        "readyz" => return Ok(Target::Ready),
        "metrics" => return Ok(Target::Metrics),
        _ => {}
    }
    if let Some(door) = Door::find(path) {
        return Ok(Target::Source(door));
    }
    let mut denial = None;
    for (prefix, resource) in splits(path) {
        let log = match log_at(desk, prefix) {
            Some(Ok(log)) => log,
            Some(Err(error)) => return Err(error),
            None => continue,
        };
        match resource {
            "add" => return Ok(Target::Add(log)),
            "v1/events" => return Ok(Target::Events(log)),
            _ => {}
        }
        match Resource::parse(resource) {
            Ok(resource) => return Ok(Target::Resource(log, resource)),
            // A log whose own path holds "tile" may still match further to the right.
            Err(error) => denial = denial.or(Some(Denial::no_resource(&error))),
        }
    }
    Err(denial.unwrap_or_else(nothing))
}

/// Returns each way to read a path as a log's prefix and something below it.
fn splits(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let slashes = path.match_indices('/').map(|(at, _)| path.split_at(at));
    let below = slashes.map(|(prefix, rest)| (prefix, rest.strip_prefix('/').unwrap_or(rest)));
    // Only the root has an empty prefix: "//checkpoint" is no way to write "/checkpoint".
    let below = below.filter(|(prefix, _)| !prefix.is_empty());
    core::iter::once(("", path)).chain(below).filter(|(_, resource)| {
        matches!(*resource, "checkpoint" | "add" | "v1/events") || resource.starts_with("tile/")
    })
}

/// Returns the log that is served under a prefix.
fn log_at(desk: &Desk, prefix: &str) -> Option<Result<Arc<Log>, Denial>> {
    if prefix.is_empty() {
        return Some(desk.log(""));
    }
    let logs = desk.pipeline.logs();
    let found = logs.into_iter().find(|log| log.row().origin.http_prefix() == prefix);
    found.map(|log| desk.log(log.origin()))
}

fn nothing() -> Denial {
    Denial::nothing_here()
}
