//! Custom rules in Rego, for what documents can't say.
//!
//! ```text
//! files -> parsed, checked -> Rules -> one engine a thread -> what each event breaks
//! ```
//!
//! Rules have the names that conftest gave them: `deny` and `violation` break, `warn` warns, `mask`
//! redacts, `alert` tells. What they may do, and what is refused, is described in [`crate::manual::rego`].
//!
//! # Invariants
//!
//! - What a rule says depends on the event, the class and the bundle alone, save that it may run out of time.
//! - No record shows a text that a rule made of an event: only names, and texts that stand in the policy.
//! - No evaluation takes much longer than [`TIME_MAX`], and no lock is taken in one.

mod assemble;
mod budget;
mod data;
mod inherit;
mod judge;
mod lint;
mod meter;
mod place;
mod test;
mod value;
mod walk;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;

use regorus::Engine;
use regorus::unstable::{Expr, Module};

use self::assemble::{Take, assemble};
use self::walk::Visitor;
use super::Diagnostic;
use crate::core::policy::{Bundle, Condition, Enforcement};
use crate::core::record::{Path, is_rule};

pub(super) use self::assemble::is_module;
pub use self::inherit::InheritError;
pub use self::judge::{Covering, is_timeout};
pub use self::test::{LineCoverage, TestRule, Tests};

/// Longest that the rules of a policy may take for one event, all of them together; those that it inherits have as
/// much for each policy that they are of.
///
/// Asking costs some 10 microseconds an event and 2 a rule (`benches/policy.rs`); this is a thousand times what fifty
/// rules take, so that a busy machine does not make an error of an event, and a hostile rule costs a tenth of a second.
pub const TIME_MAX: Duration = Duration::from_millis(100);

/// Most bytes of an event that rules are asked about: four times the longest record.
pub const INPUT_BYTES_MAX: usize = 256 * 1_024;

/// Most bytes of a name in a record.
const NAME_BYTES_MAX: usize = 128;

/// The custom rules of a bundle, ready to judge.
pub struct Rules {
    /// What the engines of threads are told apart by.
    number: u64,
    engine: Engine,
    packages: Vec<Package>,
    /// Texts that stand in the modules and can be names: what a record may show of what a rule says.
    literals: BTreeSet<String>,
    needs: Vec<Path>,
    /// The rules of the policy that this one extends, which are asked first.
    inherited: Option<Box<Rules>>,
}

/// A package that has rules of the contract.
#[derive(Clone, Debug)]
struct Package {
    /// Its name, as `attestree.card`.
    name: String,
    files: BTreeSet<String>,
    entries: Vec<Entry>,
    classes: Vec<String>,
    when: Vec<Condition>,
    otherwise: Enforcement,
    is_guarded: bool,
}

/// A rule that is evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// What it says something about.
    role: Role,
    /// Its path, as the engine has it.
    path: String,
    /// Its name, as a record has it.
    name: String,
}

/// What a rule of the contract says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// What is wrong with an event.
    Deny,
    /// What is odd about it.
    Warn,
    /// What of it is not to be shown.
    Mask,
    /// What somebody has to be told.
    Alert,
}

/// What a document says about the rules of a package or file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The package, as `attestree.card`, or the file, as `rego/card.rego`.
    pub subject: String,
    /// The classes of events that the rules are asked about; all if there are none.
    pub classes: Vec<String>,
    /// What else holds of these events, tested without the engine.
    pub when: Vec<Condition>,
    /// What becomes of an event that breaks one.
    pub otherwise: Enforcement,
    /// Committed values that the rules see.
    pub needs: Vec<Path>,
}

/// Why a guard guards nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// There is no such package or file.
    #[error("{subject:?} is no package or file with rules: name one of {known}")]
    Unknown {
        /// What was named.
        subject: String,
        /// What could have been.
        known: String,
    },
    /// Another guard is about the same package.
    #[error("the package {package:?} is guarded twice: say it once")]
    Twice {
        /// The package.
        package: String,
    },
}

impl Rules {
    /// Loads the modules and data of a bundle; `None` if it has no modules.
    ///
    /// Every package counts for every event, and what its rules deny is quarantined, until [`Rules::guard`]
    /// says otherwise.
    pub fn load(bundle: &Bundle) -> Result<Option<Self>, Vec<Diagnostic>> {
        Ok(assemble(bundle, Take::Policy)?.map(|assembled| Self::new(assembled.engine)))
    }

    /// Takes an engine that was checked.
    fn new(mut engine: Engine) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut packages: Vec<Package> = Vec::new();
        let mut literals = Literals::default();
        for module in engine.get_modules() {
            for rule in &module.policy {
                walk::rule(rule, &mut literals);
            }
            let package = Package::new(module);
            match packages.iter_mut().find(|known| known.name == package.name) {
                Some(known) => known.merge(package),
                None => packages.push(package),
            }
        }
        packages.retain(|package| !package.entries.is_empty());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { number, engine, packages, literals: literals.0, needs: Vec::new(), inherited: None }
    }

    /// Takes what becomes of an event that breaks a rule about which no guard says anything.
    #[must_use]
    pub fn otherwise(mut self, enforcement: Enforcement) -> Self {
        for package in self.packages.iter_mut().filter(|package| !package.is_guarded) {
            package.otherwise = enforcement;
        }
        self
    }

    /// Takes what documents say about packages and files.
    pub fn guard(mut self, guards: &[Guard]) -> Result<Self, GuardError> {
        for guard in guards {
            let is_meant = |package: &&mut Package| {
                package.name == guard.subject || package.files.contains(&guard.subject)
            };
            let mut is_known = false;
            for package in self.packages.iter_mut().filter(is_meant) {
                if package.is_guarded {
                    return Err(GuardError::Twice { package: package.name.clone() });
                }
                package.is_guarded = true;
                package.classes.clone_from(&guard.classes);
                package.when.clone_from(&guard.when);
                package.otherwise = guard.otherwise;
                is_known = true;
            }
            if !is_known {
                let known: Vec<&str> =
                    self.packages.iter().map(|package| package.name.as_str()).collect();
                let (subject, known) = (guard.subject.clone(), known.join(", "));
                return Err(GuardError::Unknown { subject, known });
            }
            self.needs.extend(guard.needs.iter().cloned());
        }
        self.needs.sort_unstable();
        self.needs.dedup();
        Ok(self)
    }

    /// Returns the names that records may show of these rules, besides those of texts that they say.
    pub fn names(&self) -> Vec<&str> {
        let mut names = self.inherited.as_ref().map_or_else(Vec::new, |parent| parent.names());
        let entries = self.packages.iter().flat_map(|package| &package.entries);
        names.extend(entries.map(|entry| entry.name.as_str()));
        names
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("packages", &self.packages).finish_non_exhaustive()
    }
}

impl Package {
    /// Takes the rules of the contract that a module has.
    fn new(module: &Module) -> Self {
        let names = lint::package(module);
        let path: String = names.iter().fold("data".to_owned(), |path, name| step(&path, name));
        let name = names.join(".");
        let mut entries: Vec<Entry> = Vec::new();
        for rule in &module.policy {
            let Some(head) = walk::reference(walk::head(rule)) else { continue };
            let Some(own) = head.names.first() else { continue };
            let is_value = walk::arguments(rule).is_none();
            if let Some(role) = Role::of(own).filter(|_| is_value && head.names.len() == 1) {
                let entry =
                    Entry { role, path: step(&path, own), name: record_name(&[&name, own]) };
                if !entries.contains(&entry) {
                    entries.push(entry);
                }
            }
        }
        let files = BTreeSet::from([module.package.span.source.file().clone()]);
        let otherwise = Enforcement::Quarantine;
        let (classes, when) = (Vec::new(), Vec::new());
        Self { name, files, entries, classes, when, otherwise, is_guarded: false }
    }

    /// Takes what another module of the package has.
    fn merge(&mut self, other: Self) {
        self.files.extend(other.files);
        for entry in other.entries {
            if !self.entries.contains(&entry) {
                self.entries.push(entry);
            }
        }
    }
}

impl Role {
    /// Returns what a rule of this name says: `deny`, or `deny_` with more behind it, as conftest has it.
    fn of(name: &str) -> Option<Self> {
        match name.split('_').next()? {
            "deny" | "violation" => Some(Self::Deny),
            "warn" => Some(Self::Warn),
            "mask" => Some(Self::Mask),
            "alert" => Some(Self::Alert),
            _ => None,
        }
    }
}

/// Texts of a module that can be names in a record.
#[derive(Default)]
struct Literals(BTreeSet<String>);

impl Visitor for Literals {
    fn expression(&mut self, expression: &Expr) {
        if let Expr::String { value, .. } | Expr::RawString { value, .. } = expression
            && let Ok(text) = value.as_string()
            && is_rule(text)
        {
            self.0.insert(text.to_string());
        }
    }

    fn local(&mut self, _name: &str) {}
}

/// Returns the engine's path of something in a package.
fn step(path: &str, name: &str) -> String {
    let is_plain =
        name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
            && name.starts_with(|first: char| !first.is_ascii_digit());
    if is_plain { format!("{path}.{name}") } else { format!("{path}[{name:?}]") }
}

/// Returns the name that a record shows: `rego/attestree.card/deny`, with what no name may have as `-`.
fn record_name(parts: &[&str]) -> String {
    let text = format!("rego/{}", parts.join("/"));
    let plain = |character: char| match character {
        '.' | '_' | '/' | '-' => character,
        _ if character.is_ascii_alphanumeric() => character,
        _ => '-',
    };
    text.chars().map(plain).take(NAME_BYTES_MAX).collect()
}
