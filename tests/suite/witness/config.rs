//! The witness's configuration: its sources, its limits and its example.

use attestree::server::{
    config::ConfigError,
    witness::{RawConfig, config::WitnessConfigError},
};

use super::{log, named};
use crate::published::{WITNESS_VKEY, signing_key};

const EXAMPLE: &str = include_str!("../../../deploy/witness.toml");
const UNIT: &str = include_str!("../../../deploy/attestree-witness.service");

fn parse(text: &str) -> Result<String, String> {
    let raw = RawConfig::from_toml(text).map_err(|error| error.to_string())?;
    raw.parse().map(|config| config.to_string()).map_err(|error| error.to_string())
}

#[test]
fn the_example_holds_every_key_with_its_default() {
    assert_eq!(parse(EXAMPLE).unwrap(), parse("").unwrap());
    // Keys that are commented out have to exist as well.
    let uncommented = |line: &str| {
        let key =
            line.strip_prefix('#').filter(|rest| rest.contains(" = ") && !rest.starts_with(' '));
        key.unwrap_or(line).to_owned() + "\n"
    };
    let raw = RawConfig::from_toml(&EXAMPLE.lines().map(uncommented).collect::<String>()).unwrap();
    let debug = format!("{raw:?}");
    assert!(!debug.contains("None"), "a key is missing from the example: {debug}");
    assert_eq!(raw.parse().unwrap().logs.len(), 1);
}

#[test]
fn the_unit_runs_what_it_installs() {
    assert!(UNIT.contains("attestree witness serve --config /etc/attestree/witness.toml"));
    assert!(UNIT.contains("attestree witness init --data /var/lib/attestree-witness/data"));
}

#[test]
fn wrong_keys_and_logs_are_refused_with_the_way_out() {
    let refused = |text: &str, part: &str| {
        let error = parse(text).unwrap_err();
        assert!(error.contains(part), "{text:?} gave {error:?}");
    };
    refused("poll = 5", "poll");
    refused("poll_seconds = 0", "use 1 to 86400");
    refused("requests_max = 0", "use 1 to 65536");
    refused("listen = \"localhost\"", "an IP address and a port");
    refused("log_level = \"loud\"", "off, error, warn");
    refused("tls_certificate = \"a.pem\"", "without tls_key");
    refused("data = \"d\"\nwatermark = \"d/mark\"", "move it out");
    refused("webhook = \"alarms here\"", "is no address");
    refused("listen = \"0.0.0.0:6963\"", "TLS is off");
    let vkey = named(&log("log.example/a"));
    refused("log = [\"log.example/a\"]", "write it as 'VKEY [URL]'");
    refused(&format!("log = [\"{vkey} ftp://log.example\"]"), "is no address");
    refused(&format!("log = [\"{WITNESS_VKEY}\"]"), "a witness's key");
    let spaced = named(&signing_key("no/./origin", "x"));
    refused(&format!("log = [\"{spaced}\"]"), "has to be the log's origin");
    refused(
        &format!("log = [\"{vkey} http://a.example\", \"{vkey} http://b.example\"]"),
        "two URLs",
    );
}

#[test]
fn keys_of_one_log_are_joined() {
    let (old, new) = (log("log.example/a"), signing_key("log.example/a", "the next"));
    let other = log("log.example/b");
    let entries = vec![
        format!("{} \t http://a.example/a", named(&old)),
        named(&other),
        named(&new),
        named(&old),
    ];
    let raw = RawConfig { log: Some(entries), ..RawConfig::default() };
    let logs = raw.parse().unwrap().logs;
    assert_eq!(logs.len(), 2);
    assert_eq!(logs[0].log.keys, [old.verifier_key().clone(), new.verifier_key().clone()]);
    assert_eq!(logs[0].url.as_deref(), Some("http://a.example/a"));
    assert_eq!((logs[1].log.keys.len(), &logs[1].url), (1, &None));
}

#[test]
fn plaintext_is_for_loopback_unless_the_operator_insists() {
    let refused = RawConfig::from_toml("listen = \"0.0.0.0:6963\"").unwrap().parse();
    assert!(matches!(refused, Err(WitnessConfigError::Key(ConfigError::Plaintext { .. }))));
    parse("listen = \"0.0.0.0:6963\"\ninsecure_plaintext = true").unwrap();
    parse("listen = \"[::1]:6963\"").unwrap();
}
