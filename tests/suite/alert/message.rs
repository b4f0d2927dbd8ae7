//! What each kind of receiver is sent, byte by byte: `tests/vectors/alert/`.

use std::path::{Path, PathBuf};

use attestree::{
    alert::{
        Kind, Notice, mail, pagerduty, slack, syslog,
        webhook::{self, SigningSecret},
    },
    core::{hash::TreeHash, number::UnixMillis, origin::Origin, record::Timestamp},
};
use serde_json::Value;

use crate::vector::compare;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/alert").join(name)
}

fn time(micros: u64) -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000 + micros).unwrap()
}

/// An alert of a kind, as a record may show it.
fn notice(kind: Kind) -> Notice {
    let count = match kind {
        Kind::Match => 1,
        Kind::Threshold => 5,
        Kind::Absence | Kind::Test => 0,
    };
    Notice {
        origin: Origin::parse("log.example/audit").unwrap(),
        index: 57,
        leaf_hash: TreeHash::leaf(b"record"),
        at: time(12_500_001),
        kind,
        rule: "failed-logins".to_owned(),
        count,
        from: time(0),
        to: time(12_500_000),
        source: Some("CN=payments,O=M\u{fc}ller & Sons".to_owned()),
        class: Some("authentication".to_owned()),
        policy: Some("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU".to_owned()),
    }
}

/// An alert whose names want to be something else than names. No record has such a rule.
fn hostile() -> Notice {
    let name = "a\r\nBcc: x@evil.example\r\n\r\n<!channel> *b* `c` </x>|d \"]\\ \u{202e}e\u{0}\u{2028}@here";
    Notice {
        rule: name.to_owned(),
        source: Some(format!("{name}{}", "\u{1f600}".repeat(100_000))),
        class: Some(String::new()),
        policy: None,
        ..notice(Kind::Threshold)
    }
}

/// Checks that a text of half a million bytes makes no such message.
fn bounded(bytes: &[u8]) {
    assert!(bytes.len() < 20_000, "{} bytes", bytes.len());
}

fn mailed(notice: &Notice) -> Vec<u8> {
    let from = "Attestree <attestree@log.example>".parse().unwrap();
    let to = ["oncall@log.example", "soc@log.example"].map(|to| to.parse().unwrap());
    mail::message(notice, &from, &to).unwrap().formatted()
}

#[test]
fn every_message_is_what_is_kept() {
    let all = [Kind::Match, Kind::Threshold, Kind::Absence, Kind::Test].map(notice);
    for notice in all {
        let kind = notice.kind.as_str();
        compare(&file(&format!("{kind}.webhook.json")), webhook::body(&notice).as_bytes());
        compare(&file(&format!("{kind}.slack.json")), slack::body(&notice).as_bytes());
        let paged = pagerduty::body(&notice, "R0UT1NGKEY");
        compare(&file(&format!("{kind}.pagerduty.json")), paged.as_bytes());
        compare(&file(&format!("{kind}.mail.eml")), &mailed(&notice));
        compare(&file(&format!("{kind}.syslog.txt")), &syslog::frame(&notice));
    }
}

#[test]
fn names_stay_names_in_bodies_of_json() {
    let notice = hostile();

    let body: Value = serde_json::from_str(&webhook::body(&notice)).unwrap();
    bounded(webhook::body(&notice).as_bytes());
    let rule = body["rule"].as_str().unwrap();
    assert!(
        rule.starts_with("a??Bcc") && !rule.contains(['\r', '\n', '\0', '\u{202e}', '\u{2028}'])
    );

    // Nothing of a name stands outside of a code span, and none ends a span.
    let body: Value = serde_json::from_str(&slack::body(&notice)).unwrap();
    let text = body["text"].as_str().unwrap();
    bounded(text.as_bytes());
    let outside: String = text.split('`').step_by(2).collect();
    assert!(!outside.contains(['<', '>', '@']) && !outside.contains("*b*"), "{outside}");
    assert!(text.split('`').count() % 2 == 1, "every span is closed: {text}");
    assert!(!text.contains("<!channel>") && text.contains("&lt;!channel&gt;"), "{text}");

    let body: Value = serde_json::from_str(&pagerduty::body(&notice, "key")).unwrap();
    let at_most = |value: &Value, chars: usize| {
        let text = value.as_str().unwrap();
        assert!(text.chars().count() <= chars && !text.contains('\n'), "{text}");
    };
    at_most(&body["payload"]["summary"], 1_024);
    at_most(&body["dedup_key"], 255);
}

#[test]
fn names_stay_names_in_mail() {
    let mail = String::from_utf8(mailed(&hostile())).unwrap();
    bounded(mail.as_bytes());
    let (head, text) = mail.split_once("\r\n\r\n").unwrap();
    let names: Vec<&str> = head
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split_once(':').unwrap().0)
        .collect();
    let known = [
        "From",
        "Date",
        "Message-ID",
        "Subject",
        "Content-Type",
        "MIME-Version",
        "To",
        "Content-Transfer-Encoding",
    ];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    assert!(!text.contains('\0'));
}

#[test]
fn names_stay_names_in_syslog() {
    let frame = syslog::frame(&hostile());
    bounded(&frame);
    let frame = String::from_utf8(frame).unwrap();
    let (length, message) = frame.split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), message.len());
    assert!(!message.contains(['\n', '\r', '\0']), "{message}");
    let data = message.split_once(" [").unwrap().1;
    // A quote inside of a value is escaped, so that the names are ours alone.
    let mut names = Vec::new();
    let mut rest = data.strip_prefix("attestree@32473").unwrap();
    while let Some(inner) = rest.strip_prefix(' ') {
        let (name, value) = inner.split_once("=\"").unwrap();
        names.push(name.to_owned());
        let mut escaped = false;
        let end = value.bytes().position(|byte| {
            let is_end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            is_end
        });
        rest = &value[end.unwrap() + 1..];
    }
    assert!(rest.starts_with("] "), "{rest}");
    let known = [
        "id",
        "origin",
        "index",
        "leaf_hash",
        "rule",
        "kind",
        "count",
        "from",
        "to",
        "source",
        "class",
    ];
    assert_eq!(names, known);
}

#[test]
fn a_signature_is_that_of_the_time_and_the_body() {
    // RFC 4231, test case 2, has this key; the text is ours: HMAC-SHA-256("Jefe", "1780000000.{}").
    let secret = SigningSecret::new(b"Jefe");
    let signed = secret.sign(UnixMillis(1_780_000_000_999), b"{}");
    let expected = "t=1780000000,v1=";
    assert!(signed.starts_with(expected), "{signed}");
    assert_eq!(signed.len(), expected.len() + 64);
    compare(&file("signature.txt"), signed.as_bytes());

    let at = secret.verify(&signed, b"{}");
    assert_eq!(at, Some(UnixMillis(1_780_000_000_000)), "receivers see when it was sent");
    let others = [
        signed.replace("t=1780000000", "t=1780000001"),
        signed.replace("v1=", "v2="),
        format!("{signed}00"),
        signed[..signed.len() - 1].to_owned(),
        signed[..signed.len() - 64].to_owned(),
        String::new(),
    ];
    for other in others {
        assert_eq!(secret.verify(&other, b"{}"), None, "{other}");
    }
    assert_eq!(secret.verify(&signed, b"{ }"), None);
    assert_eq!(SigningSecret::new(b"Jeff").verify(&signed, b"{}"), None);
}

#[test]
fn repeats_have_the_same_name_and_other_alerts_another() {
    let one = notice(Kind::Threshold);
    let next = Notice { index: 58, ..one.clone() };
    let other = Notice { source: None, ..one.clone() };
    let id = |mail: Vec<u8>| {
        let mail = String::from_utf8(mail).unwrap();
        mail.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned()
    };
    assert_eq!(id(mailed(&one)), id(mailed(&one)));
    assert_ne!(id(mailed(&one)), id(mailed(&next)));
    let dedup = |notice: &Notice| {
        let body: Value = serde_json::from_str(&pagerduty::body(notice, "key")).unwrap();
        body["dedup_key"].as_str().unwrap().to_owned()
    };
    // One incident, however often the rule fires about a source.
    assert_eq!(dedup(&one), dedup(&next));
    assert_ne!(dedup(&one), dedup(&other));
    let empty = Notice { source: Some(String::new()), ..one };
    assert_ne!(dedup(&other), dedup(&empty));
}
