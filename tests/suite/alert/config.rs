//! `[[alerts]]`: what is accepted, what is refused with the way out, and that no secret is shown.

use std::fs;

use attestree::{
    core::record::ApprovalRule,
    server::{self, Init, config::RawConfig, random::Random},
};

use super::receiver::Receiver;
use crate::{served::ORIGIN, tls::write};

const EXAMPLE: &str = include_str!("../../../deploy/attestree.toml");

fn parse(text: &str) -> Result<String, String> {
    let raw = RawConfig::from_toml(text).map_err(|error| error.to_string())?;
    raw.parse().map(|config| config.to_string()).map_err(|error| error.to_string())
}

fn sink(lines: &str) -> String {
    format!("[[alerts]]\nname = \"ops\"\n{lines}\n")
}

/// Every kind, with every key.
const KINDS: [&str; 6] = [
    "kind = \"webhook\"\nurl = \"https://hooks.example/x\"\nsecret = \"s\"\nca = \"ca.pem\"\nlog = \"log.example/a\"",
    "kind = \"webhook\"\nurl_file = \"u\"",
    "kind = \"slack\"\nurl_file = \"u\"",
    "kind = \"pagerduty\"\nurl = \"https://events.eu.pagerduty.com/v2/enqueue\"\nrouting_key = \"k\"",
    "kind = \"smtp\"\nserver = \"mail.example:587\"\ncredentials = \"c\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]",
    "kind = \"syslog\"\nserver = \"logs.example:6514\"\nca = \"ca.pem\"\ntimeout_seconds = 5",
];

#[test]
fn what_is_printed_is_read_again_as_the_same() {
    for kind in KINDS {
        let printed = parse(&sink(kind)).unwrap();
        let tables = &printed[printed.find("[[alerts]]").unwrap()..];
        let again = parse(tables).unwrap();
        assert_eq!(&again[again.find("[[alerts]]").unwrap()..], tables);
    }
    assert!(parse("").unwrap().lines().all(|line| !line.contains("alerts")));
}

#[test]
fn the_example_shows_every_kind() {
    let begin = EXAMPLE.find("# [[alerts]]").expect("the example has alerts");
    let lines =
        EXAMPLE[begin..].lines().take_while(|line| line.starts_with('#') || line.is_empty());
    let is_key = |line: &str| {
        let name = line.split_once(" = ").map_or("", |(name, _)| name);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let shown: Vec<&str> = lines.filter_map(|line| line.strip_prefix("# ")).collect();
    let text: String = shown
        .iter()
        .filter(|line| line.starts_with("[[") || is_key(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let printed = parse(&text).unwrap();
    for kind in ["webhook", "slack", "pagerduty", "smtp", "syslog"] {
        assert!(printed.contains(&format!("kind = \"{kind}\"")), "{kind} is missing: {printed}");
    }
}

#[test]
fn a_sink_that_cannot_be_one_is_refused_with_the_way_out() {
    let refused = |lines: &str, part: &str| {
        let error = parse(&sink(lines)).unwrap_err();
        assert!(error.contains(part), "{lines:?} gave {error:?}");
    };
    refused("kind = \"fax\"", "use webhook, slack, pagerduty, smtp or syslog");
    refused("kind = \"webhook\"", "alerts.ops: url is missing");
    refused("kind = \"webhook\"\nurl = \"https://a\"\nurl_file = \"b\"", "not both");
    refused("kind = \"webhook\"\nurl = \"https://u:p@a.example/\"", "url_file");
    refused("kind = \"slack\"\nurl = \"https://a.example/?token=x\"", "url_file");
    refused("kind = \"slack\"\nurl = \"https://a.example\"\nsecret = \"s\"", "secret is not for");
    refused("kind = \"pagerduty\"", "routing_key is missing");
    let smtp = "kind = \"smtp\"\nserver = \"mail.example:25\"\nfrom = \"a@b\"\nto = [\"c@d\"]";
    refused(&format!("{smtp}\nencryption = \"none\""), "in the clear");
    refused(&format!("{smtp}\nencryption = \"maybe\""), "starttls, tls or none");
    refused("kind = \"smtp\"\nserver = \"mail.example\"", "a host and a port");
    refused(
        "kind = \"smtp\"\nserver = \"mail.example:25\"\nfrom = \"a@b\"\nto = []",
        "to is missing",
    );
    refused("kind = \"syslog\"\nserver = \"logs.example:6514\"", "needs ca");
    refused(
        "kind = \"syslog\"\nserver = \"logs.example:514\"\nencryption = \"none\"",
        "in the clear",
    );
    refused(
        "kind = \"syslog\"\nserver = \"127.0.0.1:514\"\nencryption = \"none\"\nca = \"x\"",
        "ca is not for",
    );
    refused("kind = \"slack\"\nurl = \"https://a\"\ntimeout_seconds = 0", "use 1 to 300");
    refused("kind = \"slack\"\nurl = \"https://a\"\nlog = \"a b\"", "no origin");
    refused("kind = \"slack\"\nurl = \"https://a\"\nretries = 3", "retries");
    let twice = format!("{}{}", sink(KINDS[1]), sink(KINDS[2]));
    assert!(parse(&twice).unwrap_err().contains("two of that name"));
    for name in ["", "Ops", "a b", "a/b", "../x", &"x".repeat(64)] {
        let text = format!("[[alerts]]\nname = {name:?}\n{}", KINDS[1]);
        assert!(parse(&text).unwrap_err().contains("a name has 1 to 63"), "{name}");
    }
}

/// Tries to start a server over a new audit log with a sink; returns why it does not.
fn refusal(lines: &str, dir: &std::path::Path) -> String {
    let data = dir.join("data");
    if !data.exists() {
        let init = Init {
            data: data.clone(),
            watermark: None,
            origin: attestree::core::origin::Origin::parse(ORIGIN).unwrap(),
            identity: attestree::store::LogIdentity::None,
            key: None,
            rule: Some(ApprovalRule::NOBODY),
            kek: None,
        };
        server::init(init, &mut Random::from_seed([7; 32])).unwrap();
    }
    let raw = RawConfig::from_toml(&sink(lines)).unwrap();
    let raw = RawConfig { data: Some(data), listen: Some("127.0.0.1:0".to_owned()), ..raw };
    let start = || match server::start(raw.clone().parse().unwrap()) {
        Ok(_running) => Err("the server starts".to_owned()),
        // A process that another test starts may hold the lock for a moment.
        Err(error) if error.to_string().contains("in use by another") => Err(format!("{error:#}")),
        Err(error) => Ok(format!("{error:#}")),
    };
    crate::held::open(start).unwrap()
}

#[test]
fn secrets_that_others_can_read_or_guess_are_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let name = path.display();
    let webhook =
        format!("kind = \"webhook\"\nurl = \"https://hooks.example/\"\nsecret = \"{name}\"");
    assert!(refusal(&webhook, dir.path()).contains("read"), "it is not there");
    write(&path, &"s".repeat(31));
    assert!(refusal(&webhook, dir.path()).contains("could be guessed"));
    write(&path, &format!("{0}\n{0}", "s".repeat(40)));
    assert!(refusal(&webhook, dir.path()).contains("one line"));
    write(&path, &"s".repeat(5_000));
    assert!(refusal(&webhook, dir.path()).contains("too long"));
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert!(refusal(&webhook, dir.path()).contains("chmod 600"));
    write(&path, "http://hooks.example/\n");
    let hidden = format!("kind = \"slack\"\nurl_file = \"{name}\"");
    assert!(refusal(&hidden, dir.path()).contains("in the clear"));
    write(&path, "just-one-line\n");
    let smtp =
        "kind = \"smtp\"\nserver = \"127.0.0.1:25\"\nencryption = \"none\"\nto = [\"a@b.example\"]";
    let smtp = format!("{smtp}\nfrom = \"a@b.example\"\ncredentials = \"{name}\"");
    assert!(refusal(&smtp, dir.path()).contains("two lines"));
    let other = "kind = \"webhook\"\nurl = \"https://hooks.example/\"\nlog = \"log.example/other\"";
    assert!(refusal(other, dir.path()).contains("no audit log log.example/other"));
}

#[tokio::test]
async fn a_test_message_says_what_comes_back_and_names_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(&[]).await;
    let (file, url) = (dir.path().join("url"), dir.path().join("attestree.toml"));
    write(&file, &format!("http://{}/t0ken", receiver.address()));
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!(
        "[[alerts]]\nname = \"chat\"\nkind = \"slack\"\nurl_file = {file:?}\n\
         [[alerts]]\nname = \"dead\"\nkind = \"webhook\"\nurl = \"http://{dead}/\"\n"
    );
    write(&url, &text);
    let run = async |more: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_attestree"));
        let command = command.args(["alert", "test", "--config"]).arg(&url).args(more);
        let done = command.output().await.unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let (code, said) = run(&["--sink", "chat"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("chat: taken after") && said.contains("status 200"), "{said}");
    let seen = receiver.next().await;
    assert!(seen.head.starts_with("POST /t0ken ") && seen.body.contains("this is a test"));

    let (code, said) = run(&["--json"]).await;
    assert_eq!(code, Some(1), "{said}");
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["sink"], &lines[0]["taken"]), (&"chat".into(), &true.into()));
    assert_eq!((&lines[1]["sink"], &lines[1]["taken"]), (&"dead".into(), &false.into()));
    assert!(!said.contains("t0ken"), "{said}");
    let (code, _) = run(&["--sink", "nobody"]).await;
    assert_eq!(code, Some(1));
}
