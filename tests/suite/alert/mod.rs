//! Alerts on their way to people: what is sent, how often, and what becomes of it when nobody takes it.

mod config;
mod crash;
mod delivery;
mod latency;
mod mail;
mod message;
mod receiver;
mod syslog;

use std::path::PathBuf;

use attestree::server::{RawAlert, config::RawConfig};
use serde_json::Value;

use self::receiver::{Receiver, Seen};
use crate::{events::apply, http_tiles::client, served::Served};

/// Two rules: one that fires at each event of a class, and one that counts.
const POLICY: &str = "\
apiVersion: attestree/v1
kind: Policy
classes:
  authentication: {match: {action: 'auth.*'}}
  deployment: {match: {action: 'deploy.*'}}
alerts:
  - {name: failed-logins, match: {class: authentication, outcome: failure}, count: 5, within: 60s}
  - {name: deployed, classes: [deployment]}
";

/// An event that fires at once.
const DEPLOY: &str = r#"{"act":"deploy.start","out":"success"}"#;

/// An event of which five fire.
const FAILED: &str = r#"{"act":"auth.login","out":"failure"}"#;

/// Returns a webhook of a receiver.
fn webhook(name: &str, receiver: &Receiver) -> RawAlert {
    RawAlert {
        name: name.to_owned(),
        kind: "webhook".to_owned(),
        url: Some(format!("http://{}/hook", receiver.address())),
        timeout_seconds: Some(2),
        ..RawAlert::default()
    }
}

/// Starts a server with an audit log under a policy, that tells these sinks.
async fn served(policy: &str, alerts: Vec<RawAlert>) -> Served {
    let served = Served::audit(RawConfig { alerts, ..RawConfig::default() });
    apply(&served, policy).await.unwrap();
    served
}

/// Sends one event.
async fn send(url: &str, event: &str) {
    let request = client().post(format!("{url}/v1/events")).body(event.to_owned());
    let answer = request.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

/// Takes the indices of messages apart.
fn index(seen: &Seen) -> u64 {
    seen.json()["index"].as_u64().unwrap()
}

/// Returns every alert of a log, by index, as its record has it.
async fn recorded(url: &str) -> Vec<(u64, Value)> {
    let checkpoint = client().get(format!("{url}/checkpoint")).send().await.unwrap();
    let checkpoint = checkpoint.text().await.unwrap();
    let size: u64 = checkpoint.lines().nth(1).unwrap().parse().unwrap();
    let mut alerts = Vec::new();
    for bundle in 0..size.div_ceil(256) {
        let width = (size - 256 * bundle).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let path = format!("{url}/tile/entries/{bundle:03}{partial}");
        let bytes = client().get(path).send().await.unwrap().bytes().await.unwrap();
        let entries = attestree::core::bundle::parse_bundle(&bytes, width as usize).unwrap();
        for (index, entry) in (256 * bundle..).zip(entries) {
            let record: Value = serde_json::from_slice(entry).unwrap();
            if record["t"] == "alert" {
                alerts.push((index, record));
            }
        }
    }
    alerts
}

/// Returns the folder of what is kept of sinks.
fn kept(served: &Served) -> PathBuf {
    served.data().join("alerts")
}

/// Reads a metric; 0 if it is not shown.
async fn metric(served: &Served, line: &str) -> u64 {
    let text = client().get(served.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let found = text.lines().find_map(|shown| shown.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_default()
}
