//! The load generator sends what it says, and verifies what it gets.

use std::process::Command;

use attestree::server::LogIdentity;
use attestree::server::config::RawConfig;

use crate::served::{ORIGIN, Served};

/// Runs `load` against a server and returns its report.
fn load(served: &Served, arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_attestree"))
        .args(["load", "--json", "--server", &served.url("")])
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), errors.as_str()), (Some(0), ""));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the size of a log.
fn size(served: &Served, log: usize) -> u64 {
    served.running().pipeline().logs()[log].published().head().size.get()
}

#[test]
fn every_mode_appends_and_verifies_every_entry() {
    let served = Served::start();
    let mut expected = 0;
    for arguments in [
        &["--mode", "unary", "--callers", "8", "--connections", "2"][..],
        &["--mode", "unary", "--answer", "checkpoint"],
        &["--mode", "unary", "--answer", "index", "--keys"],
        &["--mode", "batch", "--batch", "64"],
        &["--mode", "batch", "--batch", "64", "--keys"],
        &["--mode", "batch", "--batch", "64", "--answer", "index"],
        &["--mode", "stream", "--in-flight", "100"],
        &["--mode", "stream", "--callers", "3", "--answer", "checkpoint", "--keys"],
        &["--mode", "http", "--callers", "4"],
        &["--mode", "unary", "--rate", "5000"],
        &["--mode", "stream", "--rate", "5000"],
    ] {
        let all =
            [&["--entries", "500", "--size", "40", "--verify-sample", "1"], arguments].concat();
        let report = load(&served, &all);
        expected += 500;
        assert_eq!(report["entries"], 500, "{arguments:?}");
        assert_eq!(report["verified"], 500, "{arguments:?}");
        assert_eq!(report["refused"], 0, "{arguments:?}");
        assert_eq!(size(&served, 0), expected, "{arguments:?}");
    }
}

#[test]
fn events_are_appended_and_compared_with_their_records() {
    let served = Served::audit(RawConfig::default());
    let mut expected = 1;
    for arguments in [
        &["--mode", "unary", "--callers", "8"][..],
        &["--mode", "batch", "--batch", "64"],
        &["--mode", "batch", "--batch", "64", "--keys"],
    ] {
        let all = [&["--events", "--entries", "500", "--size", "256"], arguments].concat();
        let report = load(&served, &[&all[..], &["--verify-sample", "1"]].concat());
        expected += 500;
        assert_eq!((&report["entries"], &report["verified"]), (&500.into(), &500.into()));
        assert_eq!(size(&served, 0), expected, "{arguments:?}");
    }
}

#[test]
fn bundles_are_read_back_and_verified() {
    let served = Served::start();
    let none = Command::new(env!("CARGO_BIN_EXE_attestree"))
        .args(["load", "--mode", "read", "--server", &served.url("")])
        .output()
        .unwrap();
    let error = String::from_utf8(none.stderr).unwrap();
    assert!(error.contains("append 256 entries first"), "{error}");

    load(&served, &["--mode", "batch", "--batch", "700", "--size", "40", "--entries", "700"]);
    let report = load(&served, &["--mode", "read", "--entries", "2560", "--verify-sample", "1"]);
    assert_eq!(report["entries"], 2_560);
    // Two full bundles, each read again and again; the last entry of each is proved once.
    assert_eq!(report["verified"], 2);
    let rate = |key: &str| report[key].as_f64().unwrap();
    let bytes = rate("megabytes_per_second") * 1e6 / rate("entries_per_second");
    assert!((bytes - 42.0).abs() < 0.001, "two bytes of length and the entry: {bytes}");
    assert_eq!(size(&served, 0), 700, "nothing was appended");
}

#[test]
fn callers_spread_over_all_logs() {
    let logs = [(ORIGIN, LogIdentity::None), ("log.example/second", LogIdentity::None)];
    let served = Served::with(&logs, RawConfig::default());
    let all = ["--all-logs", "--callers", "2", "--entries", "200", "--verify-sample", "1"];
    let report = load(&served, &all);
    assert_eq!(report["verified"], 200);
    assert_eq!(size(&served, 0) + size(&served, 1), 200);
    assert!(size(&served, 0) > 0 && size(&served, 1) > 0);
}

#[test]
fn raw_limits_are_measured_beside() {
    let served = Served::start();
    let dir = tempfile::tempdir().unwrap();
    let limits = dir.path().join("raw");
    let arguments = ["--mode", "batch", "--duration", "0.2", "--warmup", "0", "--baseline"];
    let report = load(&served, &[&arguments[..], &[limits.to_str().unwrap()]].concat());
    for limit in ["rocksdb", "echo", "sha256"] {
        assert!(report["limits"][limit].as_f64().unwrap() > 0.0, "{limit}: {report}");
    }
    assert!(report["limits"]["fdatasync"]["p50_us"].as_f64().unwrap() > 0.0);
    assert!(!limits.exists(), "the directory is removed");
}
