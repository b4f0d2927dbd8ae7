//! The configuration of an OpenTelemetry collector: what becomes of logs on their way.
//!
//! `service.pipelines` names what each kind of signal passes through, in order; a pipeline of logs is
//! called `logs` or `logs/NAME`. Components are named `TYPE` or `TYPE/NAME`.

use std::collections::BTreeSet;

use super::check::Findings;
use super::node::{Member, Node, Place};

/// Exporters that keep nothing.
const FORGETFUL: [&str; 3] = ["debug", "logging", "nop"];

/// Exporters with the queue and the retries of the collector's exporter helper, whose defaults are known.
const QUEUED: [&str; 2] = ["otlp", "otlphttp"];

/// Receivers that read files or journals from where they were.
const READERS: [&str; 2] = ["filelog", "journald"];

/// Returns the pipelines of logs.
fn pipelines(document: &Node) -> impl Iterator<Item = &Member> {
    let all = document.at(&["service", "pipelines"]).map_or(&[][..], Node::members);
    all.iter().filter(|pipeline| kind(&pipeline.name) == "logs")
}

/// Returns the type of a component, without its name.
fn kind(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// Returns the names of one part of a pipeline, with their places.
fn parts<'a>(pipeline: &'a Member, part: &str) -> Vec<(&'a str, Place)> {
    let items = pipeline.node.member(part).map_or(&[][..], Node::items);
    items.iter().filter_map(|item| Some((item.text()?, item.place))).collect()
}

/// Returns the components of one part that the pipelines of logs use, each once.
fn used<'a>(document: &'a Node, part: &str) -> Vec<(&'a str, &'a Member)> {
    let defined = document.member(part).map_or(&[][..], Node::members);
    let names: BTreeSet<&str> = pipelines(document)
        .flat_map(|pipeline| parts(pipeline, part))
        .map(|(name, _)| name)
        .collect();
    let is_used = |member: &&Member| names.contains(&&*member.name);
    defined.iter().filter(is_used).map(|member| (&*member.name, member)).collect()
}

fn is_variable(node: &Node) -> bool {
    node.text().is_some_and(|text| text.starts_with("${"))
}

/// Reports a collector without a pipeline of logs.
pub(super) fn pipeline(document: &Node, out: &mut Findings) {
    if pipelines(document).next().is_none() {
        let service = document.at(&["service", "pipelines"]).or_else(|| document.member("service"));
        let place = service.map_or(document.place, |node| node.place);
        out.breach(place, "no pipeline of logs");
    }
}

/// Reports pipelines that nothing comes into.
pub(super) fn receiver(document: &Node, out: &mut Findings) {
    for pipeline in pipelines(document).filter(|one| parts(one, "receivers").is_empty()) {
        out.breach(pipeline.place, format!("{} has no receiver", pipeline.name));
    }
}

/// Reports pipelines that nothing comes out of.
pub(super) fn exporter(document: &Node, out: &mut Findings) {
    for pipeline in pipelines(document).filter(|one| parts(one, "exporters").is_empty()) {
        out.breach(pipeline.place, format!("{} has no exporter", pipeline.name));
    }
}

/// Reports components that a pipeline of logs names and nobody defines.
pub(super) fn defined(document: &Node, out: &mut Findings) {
    let names = |part: &str| -> BTreeSet<&str> {
        let components = document.member(part).map_or(&[][..], Node::members);
        components.iter().map(|component| &*component.name).collect()
    };
    let connectors = names("connectors");
    for part in ["receivers", "processors", "exporters"] {
        let known = names(part);
        for (name, place) in pipelines(document).flat_map(|pipeline| parts(pipeline, part)) {
            // A connector is an exporter of one pipeline and a receiver of another.
            let connects = part != "processors" && connectors.contains(name);
            if !connects && !known.contains(name) {
                out.breach(place, format!("{name} is not defined under {part}"));
            }
        }
    }
}

/// Reports pipelines whose exporters keep nothing.
pub(super) fn kept(document: &Node, out: &mut Findings) {
    for pipeline in pipelines(document) {
        let exporters = parts(pipeline, "exporters");
        let all_forget = exporters.iter().all(|(name, _)| FORGETFUL.contains(&kind(name)));
        if let Some((name, place)) = exporters.first().filter(|_| all_forget) {
            out.breach(*place, format!("{} ends in {name}, which keeps nothing", pipeline.name));
        }
    }
}

/// Reports exporters that send without encryption, or without looking at whom they send to.
pub(super) fn in_clear(document: &Node, out: &mut Findings) {
    for (name, exporter) in used(document, "exporters") {
        let endpoint = exporter.node.member("endpoint");
        let address = endpoint.and_then(Node::text).unwrap_or_default();
        let host = address.split("://").last().unwrap_or_default();
        if ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| host.starts_with(own)) {
            continue;
        }
        if let Some(endpoint) = endpoint.filter(|_| address.starts_with("http://")) {
            out.breach(endpoint.place, format!("{name} sends logs in the clear"));
        }
        for option in ["insecure", "insecure_skip_verify"] {
            let Some(node) = exporter.node.at(&["tls", option]) else { continue };
            if node.truth() == Some(true) {
                out.breach(node.place, format!("{name} sets {option}"));
            } else if is_variable(node) {
                out.open(node.place, format!("{name} takes {option} from outside"));
            }
        }
    }
}

/// Reports exporters that throw away what could not be sent for a while.
pub(super) fn patient(document: &Node, out: &mut Findings) {
    for (name, exporter) in used(document, "exporters") {
        if !QUEUED.contains(&kind(name)) {
            continue;
        }
        let retry = |option| exporter.node.at(&["retry_on_failure", option]);
        if let Some(off) = retry("enabled").filter(|node| node.truth() == Some(false)) {
            out.breach(off.place, format!("{name} never tries again"));
            continue;
        }
        let limit = retry("max_elapsed_time");
        match limit.and_then(Node::text) {
            Some("0" | "0s" | "0m" | "0h") => {}
            Some(text) if text.starts_with("${") => {
                let place = limit.map_or(exporter.place, |node| node.place);
                out.open(
                    place,
                    format!("{name} takes the time after which it gives up from outside"),
                );
            }
            limited => {
                let place = limit.map_or(exporter.place, |node| node.place);
                let after = limited.unwrap_or("five minutes");
                out.breach(place, format!("{name} throws logs away after {after} of failure"));
            }
        }
    }
}

/// Reports exporters whose queue is lost with the process.
pub(super) fn queue(document: &Node, out: &mut Findings) {
    let service = document.member("service");
    let extensions: BTreeSet<&str> =
        service.map(|service| service.words("extensions").collect()).unwrap_or_default();
    for (name, exporter) in used(document, "exporters") {
        if !QUEUED.contains(&kind(name)) {
            continue;
        }
        let queue = exporter.node.member("sending_queue");
        let place = queue.map_or(exporter.place, |queue| queue.place);
        match queue.and_then(|queue| queue.member("storage")).and_then(Node::text) {
            Some(storage) if extensions.contains(&storage) => {}
            Some(storage) => {
                out.breach(
                    place,
                    format!("{name} queues in {storage}, which service.extensions lacks"),
                );
            }
            None => out.breach(place, format!("{name} queues in memory")),
        }
    }
}

/// Reports processors that throw logs away by a rule.
pub(super) fn filtered(document: &Node, out: &mut Findings) {
    for (name, processor) in used(document, "processors") {
        if kind(name) == "filter" && processor.node.member("logs").is_some() {
            out.breach(processor.place, format!("{name} drops logs that nobody counts"));
        }
    }
}

/// Reports processors that throw logs away by chance.
pub(super) fn sampled(document: &Node, out: &mut Findings) {
    for (name, processor) in used(document, "processors") {
        if kind(name) != "probabilistic_sampler" {
            continue;
        }
        let share = processor.node.member("sampling_percentage");
        let is_all = share.and_then(Node::text).and_then(|text| text.parse::<f64>().ok());
        match share {
            Some(share) if is_variable(share) => {
                out.open(share.place, format!("{name} takes its share from outside"));
            }
            _ if is_all.is_some_and(|share| share >= 100.0) => {}
            _ => out.breach(processor.place, format!("{name} keeps some logs and drops others")),
        }
    }
}

/// Reports pipelines that take in more than there is memory.
pub(super) fn limited(document: &Node, out: &mut Findings) {
    for pipeline in pipelines(document) {
        let first = parts(pipeline, "processors").first().copied();
        if first.is_none_or(|(name, _)| kind(name) != "memory_limiter") {
            let place = first.map_or(pipeline.place, |(_, place)| place);
            out.breach(place, format!("{} does not begin with memory_limiter", pipeline.name));
        }
    }
}

/// Reports receivers that take logs from anybody.
pub(super) fn open_door(document: &Node, out: &mut Findings) {
    for (name, receiver) in used(document, "receivers") {
        let protocols = receiver.node.member("protocols").map_or(&[][..], Node::members);
        let doors = protocols.iter().map(|protocol| &protocol.node);
        for door in doors.chain([&receiver.node]) {
            let Some(endpoint) = door.member("endpoint") else { continue };
            let is_public = ["0.0.0.0", "[::]", ":"]
                .iter()
                .any(|all| endpoint.text().is_some_and(|text| text.starts_with(all)));
            let is_guarded =
                door.member("auth").is_some() || door.at(&["tls", "client_ca_file"]).is_some();
            if is_public && !is_guarded {
                out.breach(endpoint.place, format!("{name} takes logs from anybody"));
            }
        }
    }
}

/// Reports receivers that forget where they were.
pub(super) fn position(document: &Node, out: &mut Findings) {
    for (name, receiver) in used(document, "receivers") {
        if READERS.contains(&kind(name)) && receiver.node.member("storage").is_none() {
            out.breach(receiver.place, format!("{name} forgets where it was when it ends"));
        }
    }
}

/// Reports a collector that says nothing about its own failures.
pub(super) fn silent(document: &Node, out: &mut Findings) {
    let telemetry = |kind| document.at(&["service", "telemetry", kind, "level"]);
    let is = |node: &&Node, words: &[&str]| {
        node.text().is_some_and(|text| words.iter().any(|word| word.eq_ignore_ascii_case(text)))
    };
    let quiet = ["dpanic", "panic", "fatal"];
    if let Some(level) = telemetry("logs").filter(|level| is(level, &quiet)) {
        out.breach(level.place, "errors of the collector are not logged");
    }
    if let Some(level) = telemetry("metrics").filter(|level| is(level, &["none"])) {
        out.breach(level.place, "what the collector drops is not counted");
    }
}
