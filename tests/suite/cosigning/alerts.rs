//! The alert rules speak of metrics that there are.

use std::collections::BTreeSet;

use attestree::{
    proto::Wait,
    server::{RawAlert, config::RawConfig, source::RawSource},
};

use super::site::{Mode, Site, Witness};
use crate::{
    events::apply,
    http_tiles::client,
    served::Served,
    witness::{Watching, log, named, poll::often, step},
    witness_rules::Tree,
};

const RULES: &str = include_str!("../../../deploy/alerts.yaml");

/// Returns the names of our metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word).filter(|name| name.starts_with("attestree_")).collect()
}

/// Returns the metrics of a real witness that has cosigned a log, and can't read it.
async fn witness_metrics() -> String {
    let (key, tree) = (log("log.example/a"), Tree::new(9, 9));
    // Nobody listens there: a port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let log = format!("{} http://{gone}/a", named(&key));
    let watching = Watching::with(&[log], often());
    assert_eq!(watching.add(&step(&key, &tree, 0, 5)).await.0, 200);
    loop {
        let (_, _, metrics) = watching.get("/metrics").await;
        if metrics.contains("attestree_witness_poll_failures_total{") {
            return metrics;
        }
    }
}

/// A policy that alerts at the event below.
const POLICY: &str = "\
apiVersion: attestree/v1
kind: Policy
classes:
  deployment: {match: {action: 'deploy.*'}}
alerts:
  - {name: deployed, classes: [deployment]}
";

/// An event in a line of a file.
const LINE: &str = r#"{"file":"a","form":"event","id":"1","line":"{\"act\":\"deploy.start\",\"ot\":\"2026-11-21T12:00:00Z\"}"}"#;

/// Returns the metrics of a server with a source, and with a sink that can't be reached.
async fn delivery_metrics() -> String {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = RawSource {
        name: "files".to_owned(),
        kind: "ship".to_owned(),
        open: Some(true),
        ..RawSource::default()
    };
    let sink = RawAlert {
        name: "ops".to_owned(),
        kind: "webhook".to_owned(),
        url: Some(format!("http://{gone}/")),
        ..RawAlert::default()
    };
    let (sources, alerts) = (Some(vec![source]), vec![sink]);
    let served = Served::audit(RawConfig { sources, alerts, ..RawConfig::default() });
    apply(&served, POLICY).await.unwrap();
    let answer = client().post(served.url("/v1/ship")).body(LINE).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    loop {
        let answer = client().get(served.url("/metrics")).send().await.unwrap();
        let metrics = answer.text().await.unwrap();
        if metrics.contains("attestree_alert_failed_total{") {
            return metrics;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_names_metrics_that_a_server_or_its_witnesses_have() {
    let a = Witness::start(&["a.example"], Mode::Honest).await;
    let b = Witness::start(&["b.example"], Mode::Failing).await;
    let lines = a.lines(true) + &b.lines(true);
    let trust = format!("{lines}group g any a.example b.example\nquorum g\n");
    // Of a quorum of any, all have to be heard.
    b.behave(Mode::Honest);
    let site = Site::start(&trust, RawConfig::default());
    site.append("entry", Wait::Cosigned, 60_000).await;
    b.behave(Mode::Failing);
    let asked = b.requests();
    site.append("another", Wait::Cosigned, 60_000).await;
    while b.requests() == asked {
        b.asked().await;
    }
    let expressions: Vec<&str> =
        RULES.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    let rules = RULES.lines().filter(|line| line.trim().starts_with("- alert: ")).count();
    assert!(rules >= 5 && expressions.len() == rules, "{rules} rules");
    // A failure is counted after the answer has arrived.
    loop {
        let metrics = site.get("/metrics").await.text().await.unwrap();
        if !metrics.contains("attestree_witness_failures_total{") {
            continue;
        }
        let all = metrics + &witness_metrics().await + &delivery_metrics().await;
        let known = names(&all);
        for expression in expressions {
            let named = names(expression);
            assert!(!named.is_empty(), "{expression} names none of our metrics");
            for name in named {
                assert!(known.contains(name), "{name} is not in /metrics");
            }
        }
        return;
    }
}
