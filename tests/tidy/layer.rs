//! Who may know whom: the layers of the crate, and one owner for each dependency.

use crate::source::{Finding, Source, is_name};

/// The layers and what each may import, itself aside. The manual's page "architecture" explains the table.
const LAYERS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("store", &["core"]),
    ("client", &["core", "proto"]),
    ("monitor", &["core", "client"]),
    ("pipeline", &["core", "store"]),
    // Documents, Rego and reports: what becomes of a bundle before the core decides with it.
    ("policy", &["core"]),
    // Foreign protocols: bytes of a sender in, events out.
    ("source", &["core"]),
    // Follows files and sends their lines to a server, which is another process on another machine.
    ("ship", &["core", "client"]),
    // Reads alerts out of logs and brings them to people.
    ("alert", &["core", "pipeline", "openmetrics"]),
    // Asks the witnesses of a log.
    ("cosign", &["core", "store", "client", "pipeline"]),
    ("service", &["core", "store", "source", "pipeline", "openmetrics", "proto"]),
    // Its memory has a watermark like that of the logs.
    ("witness", &["core", "store", "client", "openmetrics", "proto"]),
    // What both daemons do with their counters.
    ("openmetrics", &[]),
    (
        "server",
        &[
            "core", "store", "client", "policy", "source", "pipeline", "alert", "cosign",
            "service", "witness", "proto",
        ],
    ),
    // Verbs that touch a directory call `server`; only that opens a store.
    ("cli", &["core", "client", "policy", "monitor", "ship", "server", "proto"]),
    ("main", &["server", "cli"]),
    ("proto", &[]),
    ("manual", &[]),
    ("lib", &[]),
];

/// Dependencies that are known in some folders only.
///
/// A dependency with one owner can be replaced there, and what it does is reviewed there. Those that are
/// absent here are known anywhere above the core.
const OWNERS: &[(&str, &[&str])] = &[
    // The engine under the store, and nothing of it above.
    ("rocksdb", &["src/store/"]),
    // The second root, the order of batch proofs, and an oracle of the tests.
    ("rs_merkle", &["src/core/tree/", "benches/"]),
    ("ct_merkle", &[]),
    ("ed25519_dalek", &["src/core/note/", "src/core/record/approval.rs"]),
    // rustls has a module of that name.
    ("aws_lc_rs", &["src/core/record/", "src/alert/webhook.rs", "src/server/tls.rs"]),
    (
        "zeroize",
        &["src/core/note/", "src/core/record/", "src/store/keys/", "src/server/", "src/cli/"],
    ),
    ("sha2", &["src/core/hash.rs", "src/core/note/", "benches/"]),
    ("base64", &["src/core/", "src/source/"]),
    // The protocol's edge.
    (
        "tonic",
        &[
            "src/service/",
            "src/client/",
            "src/server/",
            "src/cli/",
            "src/proto.rs",
            "tests/",
            "benches/",
        ],
    ),
    (
        "prost",
        &[
            "src/service/",
            "src/client/",
            "src/server/",
            "src/source/otlp/",
            "src/proto.rs",
            "build.rs",
            "tests/",
        ],
    ),
    ("tonic_health", &["src/service/", "src/server/", "tests/suite/"]),
    ("tonic_reflection", &["src/service/", "src/server/", "tests/suite/"]),
    ("opentelemetry_proto", &["src/source/otlp/", "src/service/", "tests/", "benches/"]),
    ("flate2", &["src/service/", "tests/"]),
    ("zstd", &["src/service/", "tests/"]),
    ("lettre", &["src/alert/", "src/server/"]),
    ("tonic_types", &["src/service/", "src/client/", "tests/"]),
    ("axum", &["src/service/", "src/server/", "src/witness/", "tests/"]),
    ("tower", &["src/service/", "src/server/", "src/client/", "tests/"]),
    ("tower_http", &["src/service/", "src/server/"]),
    ("hyper", &["src/service/", "src/server/"]),
    ("hyper_util", &["src/server/", "src/client/", "src/cli/"]),
    ("reqwest", &["src/client/", "src/alert/", "src/cli/"]),
    ("tokio_rustls", &["src/alert/", "src/server/", "tests/"]),
    ("rustls", &["src/server/", "src/client/", "src/alert/", "src/main.rs"]),
    (
        "prometheus_client",
        &[
            "src/pipeline/meter.rs",
            "src/alert/meter.rs",
            "src/service/",
            "src/openmetrics.rs",
            "src/witness/",
        ],
    ),
    // The machine's edge.
    ("rustix", &["src/store/", "src/server/", "src/witness/", "src/cli/"]),
    ("toml", &["src/server/"]),
    ("getrandom", &["src/server/", "src/cli/"]),
    ("rand_chacha", &["src/server/", "src/witness/", "src/cosign/", "src/cli/", "benches/"]),
    ("anyhow", &["src/server/", "src/cli/", "src/main.rs"]),
    // Policies as code.
    ("serde_saphyr", &["src/policy/"]),
    ("regorus", &["src/policy/rego/"]),
    ("regex", &["src/core/policy/", "src/policy/"]),
    ("ipnet", &["src/core/policy/", "src/policy/"]),
    ("quick_xml", &["src/cli/policy/"]),
    ("miette", &["src/cli/policy/"]),
    ("clap", &["src/server/", "src/cli/", "src/main.rs"]),
    ("clap_complete", &["src/cli/"]),
    ("clap_mangen", &["src/cli/"]),
    ("indicatif", &["src/cli/"]),
    ("anstream", &["src/cli/"]),
    ("owo_colors", &["src/cli/"]),
    ("tracing_subscriber", &["src/server/", "src/cli/", "src/main.rs"]),
];

/// Crates that would bring I/O, time or threads into the pure core.
const IMPURE: &[&str] =
    &["std::fs", "std::net", "std::io", "std::thread", "std::time", "std::env", "tokio", "tracing"];

/// Finds imports of a layer that the table does not allow.
pub(crate) fn imports(file: &Source) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let Some(layer) = file.layer() else { return Vec::new() };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![Finding::new(
            &file.path,
            0,
            format!("'{layer}' is no layer; add it to the table with a reason"),
        )];
    };
    let root = if layer == "main" { "attestree" } else { "crate" };
    let mut findings = Vec::new();
    for at in file.words(root) {
        for name in heads(&file.code[at + root.len()..]) {
            let known = LAYERS.iter().any(|(other, _)| *other == name);
            if known && name != layer && !allowed.contains(&name) {
                let text = format!("{layer} may not know {name}; it may import {allowed:?}");
                findings.push(Finding::new(&file.path, file.line_of(at), text));
            }
        }
    }
    if layer == "core" {
        for path in IMPURE {
            for at in paths(file, path) {
                let text = format!("the core is pure; what it needs of {path} is passed in");
                findings.push(Finding::new(&file.path, file.line_of(at), text));
            }
        }
    }
    findings
}

/// Returns the first names after the root of a path: one, or each of a braced group.
fn heads(rest: &str) -> Vec<&str> {
    let Some(rest) = rest.strip_prefix("::") else { return Vec::new() };
    let name = |text: &str| text.bytes().take_while(|byte| is_name(*byte)).count();
    let Some(group) = rest.strip_prefix('{') else { return vec![&rest[..name(rest)]] };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b',' | b'}' if depth == 0 => {
                let item = group[start..at].trim_start();
                names.push(&item[..name(item)]);
                start = at + 1;
                if byte == b'}' {
                    break;
                }
            }
            b'}' => depth -= 1,
            _ => {}
        }
    }
    names
}

/// Finds chains of `super` that leave their layer, where the table could not see them.
pub(crate) fn climbs(file: &Source) -> Vec<Finding> {
    let Some(inner) = file.path.strip_prefix("src/") else { return Vec::new() };
    // Modules on the way down from the root: the folders, and the file unless it is the folder's own.
    let depth = inner.split('/').count() - usize::from(inner.ends_with("/mod.rs"));
    let mut findings = Vec::new();
    for at in file.words("super") {
        let chain = &file.code[at..];
        let length = chain.split("::").take_while(|part| *part == "super").count();
        // The tests of a file stand in an inner module, one step further down.
        if length > depth {
            let text = "name what is outside the layer by a path from `crate::`";
            findings.push(Finding::new(&file.path, file.line_of(at), text));
        }
    }
    findings
}

/// Finds dependencies outside the folders that own them.
pub(crate) fn owners(file: &Source) -> Vec<Finding> {
    // Tests look at everything from outside, with whatever helps.
    if !file.is_rust() || file.path.starts_with("tests/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (dependency, owners) in OWNERS {
        if owners.iter().any(|owner| file.path.starts_with(owner)) {
            continue;
        }
        for at in paths(file, dependency) {
            let text = format!("{dependency} belongs to {owners:?}; use what they offer");
            findings.push(Finding::new(&file.path, file.line_of(at), text));
        }
    }
    findings
}

/// Returns where a path begins with `start`, as in `start::x`, `use start;` or `use start as x;`.
fn paths<'a>(file: &'a Source, start: &'a str) -> impl Iterator<Item = usize> + 'a {
    file.words(start).filter(move |at| {
        let (before, after) = (file.code[..*at].trim_end(), &file.code[at + start.len()..]);
        // `x::start::y` and `x.start` are other things of that name; `::start` is the dependency again.
        let outer = before.strip_suffix("::").map(str::as_bytes);
        let inner = outer
            .is_some_and(|outer| outer.last().is_some_and(|byte| is_name(*byte) || *byte == b'>'));
        let imported =
            before.ends_with("use") && (after.starts_with(';') || after.starts_with(" as "));
        !inner && !before.ends_with('.') && (after.starts_with("::") || imported)
    })
}

/// Finds generated messages outside the edge: the layers below speak in types of their own.
pub(crate) fn proto_tree(file: &Source) -> Vec<Finding> {
    let below = ["src/core/", "src/store/", "src/pipeline/"]
        .iter()
        .any(|folder| file.path.starts_with(folder));
    let find = |at| {
        Finding::new(
            &file.path,
            file.line_of(at),
            "messages are translated in service/ and client/",
        )
    };
    if below {
        file.words("include_proto").chain(paths(file, "proto")).map(find).collect()
    } else {
        Vec::new()
    }
}
