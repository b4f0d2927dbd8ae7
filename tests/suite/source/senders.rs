//! Real senders: curl, the SDK of CloudEvents, syslog-ng and `attestree ship`, with what `deploy/sources` has for them.
//!
//! A line breaks their connections, in the middle of a request or before its answer, and the server is killed at these
//! points and started again. In the end the log holds each event that a sender sent, once.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Instant,
};

use serde_json::Value;

use super::{
    child::{Child, Told, tally, wait},
    line::{Cut, Line},
};
use crate::{
    crash::process::{PATIENCE, Process},
    hostile::{raw, server::BINARY},
    needs::skip,
    python::python,
};

/// Where Debian puts it, which is not on the PATH of every user.
const SYSLOG_NG: &str = "/usr/sbin/syslog-ng";

/// Events that the SDK sends.
const SDK_EVENTS: u32 = 300;

/// Messages that go through syslog-ng: some ten batches.
const MESSAGES: u32 = 5_000;

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sources").join(name)
}

/// Runs curl to its end, with what it needs to send again what was not answered.
fn curl(credential: &str, address: SocketAddr, path: &str, more: &[&str]) {
    let credential = format!("authorization: {credential}");
    let url = format!("http://{address}{path}");
    let done = Command::new("curl")
        .args(["-sS", "--fail", "--retry", "5", "--retry-all-errors", "--retry-max-time", "120"])
        .args(["-H", &credential])
        .args(more)
        .arg(url)
        .output()
        .unwrap();
    assert!(done.status.success(), "{path}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn what_curl_sends_over_broken_connections_is_recorded_once() {
    let child = Child::start(&["cloudevents", "hec", "opa"], "");
    let cuts = [Cut::Request(200), Cut::Answer];
    let event = r#"{"specversion":"1.0","type":"t","source":"/curl","id":"1","data":"curl"}"#;
    let decisions = child.scratch("decisions.json");
    fs::write(&decisions, r#"[{"decision_id":"1","path":"curl","result":false}]"#).unwrap();
    let packed = Command::new("gzip").arg(&decisions).status().unwrap();
    assert!(packed.success());
    let packed = format!("@{}.gz", decisions.display());
    // OPA reads the token from the file that its configuration names, without the white space around it.
    let (opa, file) = opa_service();
    fs::write(child.scratch(&file), format!("{}\n", child.token())).unwrap();
    let read = fs::read_to_string(child.scratch(&file)).unwrap();
    let (bearer, splunk) = (format!("Bearer {}", read.trim()), format!("Splunk {}", child.token()));
    for (path, credential, more) in [
        (
            "/v1/cloudevents",
            &bearer,
            vec!["-H", "content-type: application/cloudevents+json", "-d", event],
        ),
        (
            "/services/collector",
            &splunk,
            vec!["-d", r#"{"event":"curl","fields":{"event_id":"1"}}"#],
        ),
        // The resource that OPA adds to the URL of its service.
        (
            &*format!("{opa}/logs"),
            &bearer,
            vec!["-H", "content-encoding: gzip", "--data-binary", &packed],
        ),
    ] {
        let line = Line::held(child.address(), &cuts);
        let address = line.address();
        thread::scope(|scope| {
            scope.spawn(|| curl(credential, address, path, &more));
            for cut in cuts {
                assert_eq!(line.reached().cut, cut);
            }
        });
        assert!(line.is_done());
    }
    let records = child.records();
    let sources: Vec<&str> = records.iter().filter_map(|told| told.source.as_deref()).collect();
    assert_eq!(sources, ["of-cloudevents", "of-hec", "of-opa"]);
    assert!(records.iter().all(|told| told.shown));
    child.fsck();
}

/// Returns the path of the service in OPA's configuration, and the name of the file with its token.
fn opa_service() -> (String, String) {
    let text = fs::read_to_string(deployed("opa.yaml")).unwrap();
    let config: Value = serde_saphyr::from_str(&text).unwrap();
    let service = config["decision_logs"]["service"].as_str().unwrap();
    let service = &config["services"][service];
    let token = service["credentials"]["bearer"]["token_path"].as_str().unwrap();
    assert_eq!(config["decision_logs"]["resource"], Value::Null, "the default is /logs");
    let url = service["url"].as_str().unwrap().strip_prefix("https://").unwrap();
    (url[url.find('/').unwrap()..].to_owned(), token.rsplit('/').next().unwrap().to_owned())
}

/// Kills the server at each of so many cuts, and starts it again on the same port; returns which they were.
fn kill_at(child: &mut Child, line: &Line, count: usize) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for _ in 0..count {
        let reached = line.reached();
        child.kill_and_resume();
        cuts.push(reached.cut);
    }
    cuts
}

#[test]
fn what_the_sdk_of_cloudevents_sends_is_recorded_once_through_kills() {
    let modules = "cloudevents.core.bindings.http";
    let Some(python) = python("the SDK of CloudEvents", modules) else { return };
    let mut child = Child::start(&["cloudevents"], "");
    let cuts = [Cut::Nowhere, Cut::Request(300), Cut::Answer, Cut::Nowhere, Cut::Answer];
    let line = Line::held(child.address(), &cuts);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/cloud_events.py");
    let (url, count) =
        (format!("http://{}/v1/cloudevents", line.address()), SDK_EVENTS.to_string());
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
    command.args(["--url", &url, "--token", child.token(), "--count", &count]);
    let (mut sender, said) = Process::start(&mut command, child.scratch("sender"));
    assert_eq!(kill_at(&mut child, &line, 3), [cuts[1], cuts[2], cuts[4]]);
    assert!(sender.wait().success(), "{}", sender.stderr());
    let said = said.recv().unwrap();
    assert!(said.starts_with(&format!("{SDK_EVENTS} events sent, ")), "{said}");
    println!("{said}");

    let records = child.records();
    let ids = tally(records.iter().map(|told| told.ctx["cloudevents"]["id"].as_str().unwrap()));
    assert_eq!(ids.len(), SDK_EVENTS as usize);
    assert!(ids.values().all(|&times| times == 1), "{ids:?}");
    for told in &records {
        let number = &told.ctx["data"]["number"];
        assert_eq!(told.ctx["cloudevents"]["id"], format!("id {number} \u{20ac}"));
        assert_eq!(told.record["resource"]["id"], format!("object \"{number}\" 100%"));
        assert_eq!(told.ctx["data"]["text"], "\u{e9} \"quoted\"");
        assert!(told.shown && told.record["ot"].as_str().unwrap().starts_with("2026-11-21T12:00"));
    }
    child.fsck();
}

/// Returns syslog-ng with its module http, or says why there is none.
fn syslog_ng() -> Option<Command> {
    let version = Command::new(SYSLOG_NG).arg("--version").output();
    let modules = version.map(|done| String::from_utf8_lossy(&done.stdout).into_owned());
    match modules {
        Ok(modules) if modules.contains("http") => Some(Command::new(SYSLOG_NG)),
        other => {
            skip(format_args!(
                "syslog-ng over HTTP: it or its module http is not here; ./deploy/test says how they are had: {other:?}"
            ));
            None
        }
    }
}

/// Writes the deployed configuration with other values in its `@define` lines.
fn configure(values: &[(&str, &str)], path: &Path) {
    let mut left: BTreeSet<&str> = values.iter().map(|(name, _)| *name).collect();
    let text = fs::read_to_string(deployed("syslog-ng-hec.conf")).unwrap();
    let lines = text.lines().map(|line| {
        let named = line.strip_prefix("@define attestree-").and_then(|rest| rest.split_once(' '));
        let value = named.and_then(|(name, _)| values.iter().find(|(other, _)| *other == name));
        let Some((name, value)) = value else { return line.to_owned() + "\n" };
        left.remove(name);
        format!("@define attestree-{name} \"{value}\"\n")
    });
    let text: String = lines.collect();
    assert!(left.is_empty(), "the configuration has no {left:?}");
    fs::write(path, text).unwrap();
}

/// Connects to a socket as soon as it is there.
fn connect(socket: &Path) -> UnixDatagram {
    let begun = Instant::now();
    loop {
        let datagram = UnixDatagram::unbound().unwrap();
        match datagram.connect(socket) {
            Ok(()) => return datagram,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "syslog-ng does not listen: {error}"),
        }
        thread::yield_now();
    }
}

/// Returns the texts that are in the log.
fn texts(records: &[Told]) -> impl Iterator<Item = &str> {
    records.iter().filter_map(|told| told.ctx["event"].as_str())
}

#[test]
fn what_syslog_ng_ships_over_http_is_recorded_once_through_kills_and_cuts() {
    let Some(mut command) = syslog_ng() else { return };
    let mut child = Child::start(&["hec"], "");
    // Within the shortest request: whichever connection has the cut comes to it.
    let mut cuts = [Cut::Request(400), Cut::Answer, Cut::Request(300), Cut::Answer];
    let line = Line::held(child.address(), &cuts);
    // Paths of sockets are short.
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let url = format!("http://{}/services/collector/event", line.address());
    let (socket, token) = (path("log"), child.token().to_owned());
    let buffer = place.path().to_str().unwrap();
    let values = [("url", &*url), ("token", &token), ("socket", &socket), ("buffer", buffer)];
    let config = path("conf");
    configure(&values, Path::new(&config));
    command.args(["-F", "--no-caps", "-f", &config, "-R", &path("persist"), "-c", &path("ctl")]);
    command.args(["-p", &path("pid")]);
    let (mut sender, _said) = Process::start(&mut command, child.scratch("sender"));
    let log = connect(Path::new(&socket));
    for number in 0..MESSAGES {
        let message =
            format!("<38>Nov 21 12:00:00 app[7]: message {number} \"quoted\" \\ \u{20ac}");
        log.send(message.as_bytes()).unwrap();
    }
    let mut reached = kill_at(&mut child, &line, 2);
    reached.extend([line.reached().cut, line.reached().cut]);
    // Its connections overtake one another.
    reached.sort_unstable();
    cuts.sort_unstable();
    assert_eq!(reached, cuts);
    let of_sender = |text: &&str| text.starts_with("message ");
    let records =
        child.await_records(|all| texts(all).filter(of_sender).count() >= MESSAGES as usize);
    let tally = tally(texts(&records).filter(of_sender));
    assert_eq!(tally.len(), MESSAGES as usize);
    assert!(tally.values().all(|&times| times == 1));
    let whole = |told: &Told| told.shown && told.ctx["fields"]["event_id"].is_string();
    assert!(records.iter().all(whole));
    // The batch whose answer was hidden came again.
    let metrics = wait(raw::get(child.address(), "/metrics"));
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let repeats = "attestree_source_items_total{source=\"of-hec\",result=\"duplicate\"} ";
    let repeats = metrics.lines().find_map(|line| line.strip_prefix(repeats)).unwrap();
    assert!((1..=MESSAGES).contains(&repeats.parse().unwrap()), "{repeats}");
    sender.send(rustix::process::Signal::TERM);
    sender.wait();
    child.fsck();
}

#[test]
fn what_fluent_bit_is_configured_to_send_is_recorded_once() {
    let text = fs::read_to_string(deployed("fluent-bit-hec.conf")).unwrap();
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut sections: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for line in lines {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push((name, Vec::new()));
        } else {
            let (key, value) = line.split_once(' ').unwrap();
            sections.last_mut().unwrap().1.push((key, value.trim()));
        }
    }
    let value = |section: &str, key: &str| {
        let (_, pairs) = sections.iter().find(|(name, _)| *name == section).unwrap();
        let found: Vec<&str> =
            pairs.iter().filter(|(other, _)| *other == key).map(|(_, value)| *value).collect();
        assert_eq!(found.len(), 1, "{section} {key}");
        found[0]
    };
    assert_eq!(value("OUTPUT", "name"), "splunk");
    assert_eq!(value("OUTPUT", "retry_limit"), "no_limits");
    assert_eq!(value("INPUT", "storage.type"), "filesystem");
    let id = value("FILTER", "uuid_key");
    assert_eq!(value("OUTPUT", "event_field"), format!("{id} ${id}"));
    assert_eq!((id, value("OUTPUT", "splunk_token")), ("event_id", "${ATTESTREE_TOKEN}"));
    assert_eq!(value("OUTPUT", "compress"), "gzip");

    // Debian has no Fluent Bit, so curl sends a chunk of that form, to the path that its output has, and again.
    let child = Child::start(&["hec"], "");
    let event = |number: u32| {
        let id = format!("5f0c7f3e-0000-4000-8000-{number:012}");
        serde_json::json!({
            "time": 1_795_219_200.25 + f64::from(number),
            "sourcetype": value("OUTPUT", "event_sourcetype"),
            "event": {"log": format!("line {number}"), "event_id": id},
            "fields": {"event_id": id},
        })
    };
    let chunk = child.scratch("chunk");
    fs::write(&chunk, (0..50).map(|number| event(number).to_string()).collect::<String>()).unwrap();
    assert!(Command::new("gzip").arg(&chunk).status().unwrap().success());
    let chunk = format!("@{}.gz", chunk.display());
    let more = ["-H", "content-encoding: gzip", "--data-binary", &chunk];
    let line = Line::held(child.address(), &[Cut::Answer]);
    let (splunk, address) = (format!("Splunk {}", child.token()), line.address());
    thread::scope(|scope| {
        scope.spawn(|| curl(&splunk, address, "/services/collector/event", &more));
        assert_eq!(line.reached().cut, Cut::Answer);
    });
    let records = child.records();
    let lines = tally(records.iter().map(|told| told.ctx["event"]["log"].as_str().unwrap()));
    assert_eq!((lines.len(), records.len()), (50, 50));
    assert!(records.iter().all(|told| told.shown && told.ctx["hec"]["sourcetype"] == "fluent-bit"));
    child.fsck();
}

/// Returns the command of a unit of systemd, as systemd would read it.
fn exec_start(unit: &str) -> Vec<String> {
    let unit = unit.replace("\\\n", " ");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    line.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect()
}

#[test]
fn the_unit_of_ship_sends_what_is_logged_and_loses_nothing_in_a_kill() {
    let unit = fs::read_to_string(deployed("attestree-ship.service")).unwrap();
    let child = Child::start(&["ship"], "");
    let state = child.scratch("state");
    fs::create_dir(&state).unwrap();
    let token = child.scratch("ship.token");
    fs::write(&token, format!("{}\n", child.token())).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    // Everything in the command that is of another machine, and nothing else.
    let places = [
        ("/usr/local/bin/attestree", BINARY.to_owned()),
        ("/var/log/auth.log*", child.scratch("auth.log*").display().to_string()),
        ("${STATE_DIRECTORY}/spool", state.join("spool").display().to_string()),
        ("https://log.example.org:6962", child.url("")),
        ("/etc/attestree/ship.token", token.display().to_string()),
    ];
    let mut words = exec_start(&unit);
    for (there, here) in places {
        let found: Vec<&mut String> = words.iter_mut().filter(|word| **word == there).collect();
        assert_eq!(found.len(), 1, "{there} is in {unit}");
        found.into_iter().for_each(|word| here.clone_into(word));
    }
    assert!(unit.contains("\nStateDirectory=attestree-ship\n"), "it has a place for its spool");
    let start = |run: u32| {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        Process::start(&mut command, child.scratch(&format!("ship-{run}"))).0
    };
    let log = child.scratch("auth.log");
    let lines = |from: u32, to: u32| (from..to).map(|n| format!("line {n}\n")).collect::<String>();
    fs::write(&log, lines(0, 500)).unwrap();
    let mut ship = start(1);
    let _some = child.await_records(|records| !records.is_empty());
    ship.send(rustix::process::Signal::KILL);
    ship.wait();
    fs::rename(&log, child.scratch("auth.log.1")).unwrap();
    fs::write(&log, lines(500, 1_000)).unwrap();
    ship = start(2);
    let records = child.await_records(|records| records.len() >= 1_000);
    ship.send(rustix::process::Signal::TERM);
    assert!(ship.wait().success(), "{}", ship.stderr());
    let lines = tally(records.iter().map(|told| told.ctx["file"]["line"].as_str().unwrap()));
    assert_eq!((lines.len(), records.len()), (1_000, 1_000));
    child.fsck();
}
