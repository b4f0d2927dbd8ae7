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
    let mut raw = RawConfig::from_toml(&uncommented()).unwrap();
    let sources = raw.sources.take().unwrap();
    raw.sources = Some(vec![sources[0].clone()]);
    let debug = format!("{raw:?}");
    assert!(!debug.contains("None"), "a key is missing from the example: {debug}");
}

/// Returns the example with every key that is commented out.
fn uncommented() -> String {
    let is_said =
        |rest: &&str| rest.starts_with("[[") || (rest.contains(" = ") && !rest.starts_with(' '));
    let said = |line: &'static str| line.strip_prefix('#').filter(is_said).unwrap_or(line);
    EXAMPLE.lines().map(|line| format!("{}\n", said(line))).collect()
}

#[test]
fn the_sources_of_the_example_are_right() {
    let raw = RawConfig::from_toml(&uncommented()).unwrap();
    let config = raw.parse().unwrap().to_string();
    for part in ["name = \"cluster-a\"", "kind = \"otlp\"", "open = true", "rate = 10000"] {
        assert!(config.contains(part), "{part} in {config}");
    }
    // What is printed is what the file would have.
    assert_eq!(parse(&config).unwrap(), config);
}

#[test]
fn a_source_that_is_wrong_is_refused_by_its_name() {
    let refused = |text: &str, part: &str| {
        let error = parse(&format!("[[sources]]\n{text}")).unwrap_err();
        assert!(error.contains(part), "{text:?} gave {error:?}");
    };
    let named = |rest: &str| format!("name = \"a\"\nkind = \"otlp\"\n{rest}");
    refused("kind = \"otlp\"", "name");
    refused("name = \"A\"\nkind = \"otlp\"\nopen = true", "use 1 to 63 of a to z");
    refused("name = \"\"\nkind = \"otlp\"\nopen = true", "use 1 to 63 of a to z");
    refused("name = \"a\"\nkind = \"beats\"\nopen = true", "use otlp, kubernetes");
    refused(&named(""), "give tokens, certificates, or open");
    refused(&named("open = true\ntokens = \"t\""), "give tokens, certificates, or open");
    refused("name = \"a\"\nkind = \"syslog\"\ntokens = \"t\"", "so that nobody gets in");
    refused(&named("certificates = [\"sha256:00\"]"), "64 hexadecimal digits");
    let fingerprint = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    refused(&named(&format!("certificates = [\"{fingerprint}\"]")), "without tls_client_ca");
    refused(&named("open = true\nlog = \"a b\""), "name a log by its origin");
    refused(&named("open = true\nbody_bytes_max = 1"), "body_bytes_max is 1; use 1024 to");
    refused(&named("open = true\nitems_max = 0"), "items_max is 0; use 1 to");
    refused(&named("open = true\nrate = 0"), "rate is 0; use 1 to");
    refused(&named("open = true\ncluster = \"c\""), "kind kubernetes only");
    refused("name = \"a\"\nkind = \"kubernetes\"\nopen = true\ncluster = \"a b\"", "cluster is");
    refused(&named("open = true\ntoken = \"t\""), "unknown field `token`");
    refused(&named(""), "the source \"a\" of [[sources]]");
    let open = named("open = true");
    let error =
        parse(&format!("listen = \"0.0.0.0:1\"\ninsecure_plaintext = true\n[[sources]]\n{open}"));
    assert!(error.unwrap_err().contains("other machines can reach"));
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
