//! The server's configuration: its sources, its limits and its example.

use std::fs;

use attestree::server::config::{ConfigError, RawConfig};

const EXAMPLE: &str = include_str!("../../deploy/attestree.toml");

fn parse(text: &str) -> Result<String, String> {
    let raw = RawConfig::from_toml(text).map_err(|error| error.to_string())?;
    raw.parse().map(|config| config.to_string()).map_err(|error| error.to_string())
}

#[test]
fn the_example_holds_every_key_with_its_default() {
    assert_eq!(parse(EXAMPLE).unwrap(), parse("").unwrap());
    // Keys that are commented out have to exist as well.
    let all: String = EXAMPLE
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| rest.contains(" = ") && !rest.starts_with(' '))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let raw = RawConfig::from_toml(&all).unwrap();
    let debug = format!("{raw:?}");
    assert!(!debug.contains("None"), "a key is missing from the example: {debug}");
}

#[test]
fn the_first_source_that_names_a_key_wins() {
    let flags = RawConfig { pool_entries_max: Some(7), ..RawConfig::default() };
    let file = RawConfig::from_toml("pool_entries_max = 8\npool_log_percent = 50").unwrap();
    let config = flags.over(file).parse().unwrap();
    assert_eq!(config.limits.pool_entries, 7);
    assert_eq!(config.limits.log_percent, 50);
}

#[test]
fn unknown_keys_and_values_out_of_range_are_refused_with_the_way_out() {
    let refused = |text: &str, part: &str| {
        let error = parse(text).unwrap_err();
        assert!(error.contains(part), "{text:?} gave {error:?}");
    };
    refused("pool_entires = 5", "pool_entires");
    refused("pool_log_percent = 0", "use 1 to 100");
    refused("pool_log_percent = 101", "use 1 to 100");
    refused("connections_max = 0", "connections_max is 0");
    refused("listen = \"localhost\"", "an IP address and a port");
    refused("log_level = \"loud\"", "off, error, warn");
    refused("log_format = \"xml\"", "text or json");
    refused("tls_certificate = \"a.pem\"", "without tls_key");
    refused("tls_key = \"a.key\"", "without tls_certificate");
    refused("tls_client_ca = \"ca.pem\"", "without tls_certificate");
    refused("publish = \"cosigned\"", "publish is given without trust");
    refused("publish_of = { \"a.example/a\" = \"cosigned\" }", "publish_of is given without trust");
    refused("publish_of = { \"a.example/a\" = \"sealed\" }", "signed or cosigned");
    refused("trust_ca = \"ca.pem\"", "without trust");
    refused("data = \"d\"\nwatermark = \"d/mark\"", "move it out");
    refused("data = \"d\"\nkek = \"d/kek\"", "move it out");
}

#[test]
fn plaintext_is_for_loopback_unless_the_operator_insists() {
    let refused = RawConfig::from_toml("listen = \"0.0.0.0:6962\"").unwrap().parse();
    assert!(matches!(refused, Err(ConfigError::Plaintext { .. })));
    parse("listen = \"0.0.0.0:6962\"\ninsecure_plaintext = true").unwrap();
    parse("listen = \"[::1]:6962\"").unwrap();
    let tls = "listen = \"0.0.0.0:6962\"\ntls_certificate = \"a.pem\"\ntls_key = \"a.key\"";
    parse(tls).unwrap();
}

#[test]
fn the_watermark_lies_beside_the_data_directory() {
    for data in ["logs", "logs/", "logs/."] {
        let config = RawConfig { data: Some(data.into()), ..RawConfig::default() }.parse().unwrap();
        assert_eq!(config.watermark, std::path::Path::new("logs.watermark"), "{data}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.toml");
    let flags = attestree::server::Flags { config: Some(path.clone()), ..Default::default() };
    let error = flags.clone().read().unwrap_err().to_string();
    assert!(error.contains("none.toml"), "{error}");
    fs::write(&path, "listen = 5").unwrap();
    let error = flags.read().unwrap_err().to_string();
    assert!(error.contains("none.toml") && error.contains("listen"), "{error}");
}
