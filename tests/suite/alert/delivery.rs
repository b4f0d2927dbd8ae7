//! Alerts over real sockets: tried until they are taken, set aside where that can never be, in order, and
//! taken up again where they were.

use std::{fs, thread, time::Duration};

use attestree::{
    core::number::LogNumber,
    server::{self, RawAlert, Running, config::RawConfig},
    store::{Store, StoreConfig},
};
use serde_json::Value;

use super::{
    DEPLOY, FAILED, POLICY, index, kept, metric,
    receiver::{Act, Receiver},
    recorded, send, served, webhook,
};
use crate::{
    held,
    served::{ORIGIN, Served},
    tls::write,
};

/// The indices of the alerts that a log has recorded.
async fn indices(served: &Served) -> Vec<u64> {
    recorded(&served.url("")).await.into_iter().map(|(index, _)| index).collect()
}

/// Sends events that fire, and returns the indices of all alerts.
async fn fire(served: &Served, events: usize) -> Vec<u64> {
    for _ in 0..events {
        send(&served.url(""), DEPLOY).await;
    }
    indices(served).await
}

#[tokio::test]
async fn a_message_says_what_the_record_says_and_is_signed() {
    let mut receiver = Receiver::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    write(&secret, &format!("{}\n", "s".repeat(32)));
    let sink = RawAlert { secret: Some(secret), ..webhook("ops", &receiver) };
    let served = served(POLICY, vec![sink]).await;
    for _ in 0..5 {
        send(&served.url(""), FAILED).await;
    }
    let seen = receiver.next().await;
    let (body, alerts) = (seen.json(), recorded(&served.url("")).await);
    let [(index, record)] = alerts.as_slice() else { panic!("one alert: {alerts:?}") };
    assert_eq!((&body["index"], &body["time"]), (&Value::from(*index), &record["at"]));
    assert_eq!((&body["origin"], &body["policy"]), (&ORIGIN.into(), &record["pv"]));
    for name in ["rule", "kind", "count", "from", "to"] {
        assert_eq!(body[name], record["ctx"][name], "{name}");
    }
    assert_eq!((&body["kind"], &body["count"]), (&"threshold".into(), &5.into()));
    assert_eq!(seen.header("idempotency-key"), body["id"].as_str());
    assert_eq!(body["proof"], format!("attestree receipt {index} --log {ORIGIN}"));
    let signature = seen.header("attestree-signature").unwrap();
    let (time, tag) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let signed = attestree::alert::webhook::SigningSecret::new("s".repeat(32).as_bytes());
    let time = attestree::core::number::UnixMillis(1_000 * time.parse::<u64>().unwrap());
    assert_eq!(signed.sign(time, seen.body.as_bytes()), signature);
    assert_eq!(tag.len(), 64);
    assert_eq!(receiver.rest().len(), 0, "nothing else fires");
}

#[tokio::test]
async fn a_receiver_that_fails_gets_every_alert_in_order() {
    let acts = [
        Act::Answer(500, ""),
        Act::Cut,
        Act::Answer(200, ""),
        Act::Answer(503, ""),
        Act::Answer(401, ""),
    ];
    let mut receiver = Receiver::start(&acts).await;
    let served = served(POLICY, vec![webhook("ops", &receiver)]).await;
    let recorded = fire(&served, 4).await;
    let mut tried = Vec::new();
    let mut taken = Vec::new();
    while taken.len() < recorded.len() {
        let seen = receiver.next().await;
        tried.push(index(&seen));
        let id = format!("{ORIGIN}#{}", index(&seen));
        assert_eq!(seen.header("idempotency-key"), Some(id.as_str()));
        taken.extend(seen.taken.then(|| index(&seen)));
    }
    assert_eq!(taken, recorded, "each once, in order");
    let [a, b, c, d] = recorded[..] else { panic!("four alerts") };
    assert_eq!(tried, [a, a, a, b, b, b, c, d]);
    let failed =
        |reason: &str| format!("attestree_alert_failed_total{{sink=\"ops\",reason=\"{reason}\"}}");
    assert_eq!(metric(&served, &failed("refused")).await, 2);
    assert_eq!(metric(&served, &failed("unreachable")).await, 1);
    assert_eq!(metric(&served, &failed("configuration")).await, 1);
}

#[tokio::test]
async fn a_receiver_is_left_alone_as_long_as_it_asks_and_given_up_when_it_hangs() {
    let acts = [Act::Answer(429, "retry-after: 3\r\n"), Act::Hang];
    let mut receiver = Receiver::start(&acts).await;
    let served = served(POLICY, vec![webhook("ops", &receiver)]).await;
    send(&served.url(""), DEPLOY).await;
    let throttled = receiver.next().await;
    let hung = receiver.next().await;
    assert!(hung.at - throttled.at >= Duration::from_secs(3), "it asked for three seconds");
    let taken = receiver.next().await;
    // The sink's own two seconds, and half of the second pause.
    assert!(taken.at - hung.at >= Duration::from_millis(2_500) && taken.taken);
    let failed = "attestree_alert_failed_total{sink=\"ops\",reason=\"timeout\"}";
    assert_eq!(metric(&served, failed).await, 1);
}

#[tokio::test]
async fn what_a_receiver_will_never_take_is_set_aside_and_the_next_one_comes() {
    let acts =
        [Act::Answer(400, ""), Act::Answer(200, ""), Act::Answer(413, ""), Act::Answer(422, "")];
    let mut receiver = Receiver::start(&acts).await;
    let served = served(POLICY, vec![webhook("ops", &receiver)]).await;
    let recorded = fire(&served, 5).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(index(&receiver.next().await));
    }
    assert_eq!(seen, recorded, "none is tried again");
    let kept = fs::read_to_string(kept(&served).join("ops.undelivered")).unwrap();
    let lines: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let aside: Vec<u64> =
        lines.iter().map(|line| line["alert"]["index"].as_u64().unwrap()).collect();
    assert_eq!(aside, [recorded[0], recorded[2], recorded[3]]);
    assert!(lines[0]["failure"].as_str().unwrap().contains("status 400: ok"), "{kept}");
    let aside = "attestree_alert_undelivered_total{sink=\"ops\"}";
    assert_eq!(metric(&served, aside).await, 3);
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_nobody_else() {
    let mut hanging = Receiver::start(&vec![Act::Hang; 100]).await;
    let mut well = Receiver::start(&[]).await;
    let slow = RawAlert { timeout_seconds: Some(300), ..webhook("hanging", &hanging) };
    let served = served(POLICY, vec![slow, webhook("well", &well)]).await;
    let recorded = fire(&served, 3).await;
    let mut taken = Vec::new();
    while taken.len() < 3 {
        taken.push(index(&well.next_taken().await));
    }
    assert_eq!(taken, recorded);
    assert_eq!(index(&hanging.next().await), recorded[0], "the first one is still under way");
    assert_eq!(hanging.rest().len(), 0);
    let waiting = format!("attestree_alert_waiting{{sink=\"hanging\",origin=\"{ORIGIN}\"}}");
    assert!(metric(&served, &waiting).await >= 1);
}

#[tokio::test]
async fn a_rule_names_who_is_told_and_a_name_that_nobody_has_means_everybody() {
    let (mut ops, mut soc) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    let policy = "\
apiVersion: attestree/v1
kind: Policy
classes:
  a: {match: {action: a}}
  b: {match: {action: b}}
  c: {match: {action: c}}
  d: {match: {action: d}}
alerts:
  - {name: a, classes: [a], to: [soc]}
  - {name: b, classes: [b], to: [ops, nobody]}
  - {name: c, classes: [c], to: [nobody]}
  - {name: d, classes: [d]}
";
    let other = RawAlert {
        // Of another log, so that its name is nobody's here.
        log: Some("log.example/first".to_owned()),
        ..webhook("soc", &soc)
    };
    let served = served(policy, vec![webhook("ops", &ops), other]).await;
    for action in ["a", "b", "c", "d"] {
        send(&served.url(""), &format!(r#"{{"act":"{action}"}}"#)).await;
    }
    let recorded = indices(&served).await;
    let [a, b, c, d] = recorded[..] else { panic!("four alerts") };
    for (receiver, expected) in [(&mut soc, [a, c, d]), (&mut ops, [b, c, d])] {
        let mut told = Vec::new();
        while told.len() < 3 {
            told.push(index(&receiver.next().await));
        }
        assert_eq!((told, receiver.rest().len()), (expected.to_vec(), 0));
    }
}

/// Starts a server over the directory of one that was stopped, with other sinks.
fn resumed(served: &Served, alerts: Vec<RawAlert>) -> Result<Running, String> {
    let start = || {
        let config = RawConfig { alerts: alerts.clone(), ..served.raw() }.parse().unwrap();
        let started = thread::spawn(|| server::start(config)).join().unwrap();
        started.map_err(|error| format!("{error:#}"))
    };
    held::open(start)
}

fn stop(running: Running) {
    thread::spawn(|| running.stop()).join().unwrap();
}

#[tokio::test]
async fn a_sink_goes_on_where_it_was_and_a_new_one_begins_with_what_comes() {
    let (mut ops, mut late) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    let mut served = served(POLICY, vec![webhook("ops", &ops)]).await;
    let first = fire(&served, 1).await[0];
    assert_eq!(index(&ops.next().await), first);
    served.stop();

    // Nobody is told in this run, and the alert is only found by a search of the next one.
    let running = resumed(&served, Vec::new()).unwrap();
    let url = format!("http://{}", running.address());
    send(&url, DEPLOY).await;
    let second = recorded(&url).await[1].0;
    stop(running);

    let sinks = vec![webhook("ops", &ops), webhook("late", &late)];
    let running = resumed(&served, sinks.clone()).unwrap();
    let url = format!("http://{}", running.address());
    let missed = ops.next().await;
    assert_eq!(index(&missed), second);
    send(&url, DEPLOY).await;
    let third = recorded(&url).await[2].0;
    assert_eq!((index(&ops.next().await), index(&late.next().await)), (third, third));
    stop(running);

    // A place that is damaged is not taken for a new sink's.
    let file = kept(&served).join("ops.0.cursor");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 2]).unwrap();
    let refused = resumed(&served, sinks.clone()).err().unwrap();
    assert!(refused.contains("ops.0.cursor is damaged"), "{refused}");
    fs::write(&file, &whole).unwrap();
    let running = resumed(&served, sinks).unwrap();
    let url = format!("http://{}", running.address());
    send(&url, DEPLOY).await;
    let fourth = recorded(&url).await[3].0;
    assert_eq!(index(&late.next().await), fourth);
    let mut told = index(&ops.next().await);
    if told == third {
        // The stop may have come between the message and its being kept.
        told = index(&ops.next().await);
    }
    assert_eq!(told, fourth);
    stop(running);
}

#[tokio::test]
async fn logs_that_take_no_more_entries_are_read_to_their_end() {
    let (hanging, mut well) =
        (Receiver::start(&vec![Act::Hang; 100]).await, Receiver::start(&[]).await);
    let mut served = served(POLICY, vec![webhook("ops", &hanging)]).await;
    let recorded = fire(&served, 2).await;
    served.stop();

    let close =
        || server::close(&served.data(), None, ORIGIN).map_err(|error| format!("{error:#}"));
    held::open(close).unwrap();
    let running = resumed(&served, vec![webhook("ops", &well)]).unwrap();
    assert_eq!(index(&well.next().await), recorded[0]);
    assert_eq!(index(&well.next().await), recorded[1]);
    stop(running);

    // The same from a log that is halted, and so is not even opened.
    fs::remove_dir_all(kept(&served)).unwrap();
    fs::create_dir(kept(&served)).unwrap();
    let open = || Store::open(&served.data().join("db"), &StoreConfig::default());
    let store = held::open(open).unwrap();
    store.halt(LogNumber(0), "the test says so").unwrap();
    drop(store);
    let stored = r#"{"sink":"ops","origin":"log.example/first","next":0}"#;
    let digest = attestree::core::hash::TreeHash::digest(stored.as_bytes());
    let sum: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("attestree-alerts@v1 {sum}\n{stored}\n");
    fs::write(kept(&served).join("ops.0.cursor"), text).unwrap();
    let running = resumed(&served, vec![webhook("ops", &well)]).unwrap();
    assert_eq!(index(&well.next().await), recorded[0]);
    assert_eq!(index(&well.next().await), recorded[1]);
    stop(running);
}

#[tokio::test]
async fn a_log_that_is_made_while_the_server_runs_is_told_of_from_its_beginning() {
    let mut receiver = Receiver::start(&[]).await;
    let served = served(POLICY, vec![webhook("ops", &receiver)]).await;
    let request = attestree::proto::CreateLogRequest {
        origin: "log.example/second".to_owned(),
        kind: attestree::proto::LogKind::Audit.into(),
        identity: attestree::proto::Identity::None.into(),
        ..Default::default()
    };
    crate::events::admin(&served).await.create_log(request).await.unwrap();
    let bundle = crate::events::bundle(POLICY).encode().into();
    let request = attestree::proto::ApplyPolicyRequest {
        log: "log.example/second".to_owned(),
        bundle,
        ..Default::default()
    };
    crate::events::admin(&served).await.apply_policy(request).await.unwrap();
    send(&served.url("/second"), DEPLOY).await;
    let body = receiver.next().await.json();
    assert_eq!(body["origin"], "log.example/second");
}
