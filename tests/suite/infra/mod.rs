//! Infrastructure as code, judged: every check over its fixtures, and the page of the manual about them.

mod hostile;
mod view;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use attestree::policy::infra::{CHECKS, Check, Format, check, table};
use attestree::policy::{Diagnostic, Severity};

use super::vector;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/infra")
}

/// Returns the fixtures of a check that are there, in either notation.
fn fixture(check: &Check, verdict: &str) -> PathBuf {
    let found = ["json", "yaml"]
        .map(|kind| folder().join(format!("{}.{verdict}.{kind}", check.code)))
        .into_iter()
        .filter(|path| path.exists());
    let found: Vec<PathBuf> = found.collect();
    assert_eq!(found.len(), 1, "one {verdict}ing fixture of {}: {found:?}", check.code);
    found[0].clone()
}

fn judge(path: &Path) -> Vec<Diagnostic> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let found = check(name, &fs::read(path).unwrap());
    found.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_check_finds_its_breach_and_nothing_else() {
    for check in CHECKS {
        let path = fixture(check, "fail");
        let found = judge(&path);
        let codes: BTreeSet<&str> = found.iter().map(|found| found.code).collect();
        assert_eq!(codes, BTreeSet::from([check.code]), "{found:#?}");
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        for found in found {
            assert_eq!(found.severity, check.severity, "{found}");
            assert!((1..=lines).contains(&found.line) && found.column > 0, "{found}");
            assert!(found.length > 0 && path.ends_with(&found.file), "{found:?}");
            assert!(found.help.unwrap().starts_with(check.fix), "{}", check.code);
        }
    }
}

#[test]
fn no_check_finds_anything_where_its_duty_is_kept() {
    for check in CHECKS {
        let found = judge(&fixture(check, "pass"));
        assert!(found.iter().all(|found| found.code != check.code), "{found:#?}");
    }
}

#[test]
fn every_fixture_is_of_a_check() {
    let mut known = BTreeSet::new();
    for check in CHECKS {
        known.extend([fixture(check, "pass"), fixture(check, "fail")]);
    }
    let formats = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let found: BTreeSet<PathBuf> = formats
        .flat_map(|format| fs::read_dir(format).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    assert_eq!(found, known);
}

#[test]
fn every_format_has_ten_checks_and_every_check_says_why() {
    for format in Format::ALL {
        let checks: Vec<&Check> = CHECKS.iter().filter(|check| check.format == format).collect();
        assert!(checks.len() >= 10, "{format}: {}", checks.len());
        for check in checks {
            assert!(check.code.starts_with(&format!("{}/", format.name())), "{}", check.code);
            assert!(check.why.ends_with('.') && !check.fix.ends_with('.'), "{}", check.code);
            assert!(check.severity > Severity::Note, "{}", check.code);
            let known = ["PCI DSS 10.", "NIST AU-", "ISO 27001 8.15", "SOC 2 CC"];
            for control in check.serves.split(", ") {
                assert!(known.iter().any(|known| control.starts_with(known)), "{control}");
            }
        }
    }
    let codes: BTreeSet<&str> = CHECKS.iter().map(|check| check.code).collect();
    assert_eq!(codes.len(), CHECKS.len());
}

#[test]
fn the_manual_lists_every_check() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual/infra.md");
    let page = fs::read_to_string(&path).unwrap();
    let head = page.split("\n## ").next().unwrap();
    let mut whole = head.trim_end().to_owned() + "\n";
    for format in Format::ALL {
        whole += &format!("\n## {format} (`{}`)\n\n{}", format.name(), table(format));
    }
    vector::compare(&path, whole.as_bytes());
}
