//! From the intermediate form to what the core decides with.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Diagnostic, Severity};
use super::document::{Document, Level, Place, Redaction, Source};
use super::field::format_field;
use super::finding::{diagnostic, near};
use crate::core::policy::{
    Action, Class, Condition, Enforcement, FieldType, Policy, PolicyError, Requirement, Rule,
    Statements, Target, Test, Treatment, Trim,
};
use crate::core::record::{Path, PolicyDigest};

/// Where events have the bodies that a level leaves out.
const REQUEST_BODY: &str = "/ctx/request/body";
const RESPONSE_BODY: &str = "/ctx/response/body";

/// Most bytes of the name of a rule.
const NAME_BYTES_MAX: usize = 128;

impl Document {
    /// Returns the statements of the document, with the place of every name.
    pub fn statements(&self) -> (Statements, BTreeMap<String, Place>) {
        let mut places = BTreeMap::new();
        let mut statements = Statements {
            unknown_class: self.unknown_class,
            enrichments: self.enrichments.clone(),
            treatments: self.redactions.iter().map(treatment).collect(),
            ..Statements::default()
        };
        let mut names = BTreeSet::new();
        for class in &self.classes {
            let otherwise =
                class.otherwise.or(self.on_violation).unwrap_or(Enforcement::Quarantine);
            places.insert(class.name.clone(), class.place.clone());
            statements.classes.push(Class { name: class.name.clone(), when: class.when.clone() });
            for requirement in &class.require {
                let name = unique(&class.name, &requirement.path, &mut names);
                places.insert(name.clone(), class.place.clone());
                let require = vec![requirement.clone()];
                let classes = vec![class.name.clone()];
                statements.rules.push(Rule { name, classes, when: Vec::new(), require, otherwise });
            }
            let hidden: &[&str] = match class.level {
                Level::Metadata => &[REQUEST_BODY, RESPONSE_BODY],
                Level::Request => &[RESPONSE_BODY],
                Level::None | Level::Full => &[],
            };
            if !hidden.is_empty() {
                let paths = hidden.iter().filter_map(|path| Path::parse(path)).collect();
                statements.trims.push(Trim { class: class.name.clone(), paths });
            }
        }
        for stated in &self.rules {
            places.insert(stated.rule.name.clone(), stated.place.clone());
            statements.rules.push(stated.rule.clone());
        }
        for (number, source) in (1..).zip(self.sources.iter().filter(|source| source.numbered)) {
            let rule = numbered(number, source, self.on_violation);
            places.insert(rule.name.clone(), source.place.clone());
            statements.rules.push(rule);
        }
        (statements, places)
    }

    /// Compiles the document to what decides under a digest.
    pub(super) fn compile(&self, digest: PolicyDigest) -> Result<Policy, Vec<Diagnostic>> {
        let found = self.check();
        if !found.is_empty() {
            return Err(found);
        }
        let (statements, places) = self.statements();
        Policy::compile(digest, &statements).map_err(|error| vec![self.explain(&error, &places)])
    }

    /// Checks what only the whole document shows.
    fn check(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let known: BTreeSet<&str> = self.classes.iter().map(|class| class.name.as_str()).collect();
        let mut check = |classes: &[String], place: &Place| {
            for class in classes.iter().filter(|class| !known.contains(class.as_str())) {
                let help = near(class, known.iter().copied())
                    .map(|name| format!("did you mean '{name}'?"))
                    .or_else(|| Some("state it below 'classes'".to_owned()));
                let message = format!("there is no class '{class}'");
                let code = "policy/unknown-class";
                found.push(diagnostic(Severity::Error, place, code, message, help));
            }
        };
        self.rules.iter().for_each(|stated| check(&stated.rule.classes, &stated.place));
        self.suppressions.iter().for_each(|one| check(&one.classes, &one.place));
        self.alerts.iter().for_each(|one| check(&one.classes, &one.place));
        self.rego.iter().for_each(|one| check(&one.classes, &one.place));
        self.check_suppressions(&mut found);
        self.check_names(&mut found);
        found
    }

    /// Checks that nothing suppresses what has to be in the log.
    fn check_suppressions(&self, found: &mut Vec<Diagnostic>) {
        let required: BTreeSet<&str> = self
            .classes
            .iter()
            .filter(|class| class.required)
            .map(|class| class.name.as_str())
            .collect();
        for one in &self.suppressions {
            for class in one.classes.iter().filter(|class| required.contains(class.as_str())) {
                let message = format!(
                    "'{}' would suppress events of '{class}', which are required",
                    one.name
                );
                let help = Some(format!("say 'required: false' of '{class}', if none is missed"));
                found.push(diagnostic(
                    Severity::Error,
                    &one.place,
                    "policy/required-class",
                    message,
                    help,
                ));
            }
        }
    }

    /// Checks that records tell suppressions and alerts apart.
    fn check_names(&self, found: &mut Vec<Diagnostic>) {
        let mut names = BTreeSet::new();
        let suppressions = self.suppressions.iter().map(|one| (&one.name, &one.place));
        let alerts = self.alerts.iter().map(|one| (&one.name, &one.place));
        for (name, place) in suppressions.chain(alerts) {
            if !names.insert(name) {
                let message = format!("'{name}' is there twice");
                found.push(diagnostic(Severity::Error, place, "policy/twice", message, None));
            }
        }
    }

    /// Says where and what is wrong with statements.
    fn explain(&self, error: &PolicyError, places: &BTreeMap<String, Place>) -> Diagnostic {
        let redaction = |path: &Path| {
            let is_it = |target: &Target| matches!(target, Target::Path(target) if target == path);
            let mut those = self.redactions.iter().filter(|one| is_it(&one.treatment.target));
            those.next_back().map(|one| &one.place)
        };
        let (code, place, help) = match error {
            PolicyError::Statements => ("policy/too-many", None, None),
            PolicyError::Name { name } | PolicyError::Twice { name } => {
                ("policy/twice", places.get(name), None)
            }
            PolicyError::UnknownClass { rule, .. } => {
                ("policy/unknown-class", places.get(rule), None)
            }
            PolicyError::Circular { class } => ("policy/circular-class", places.get(class), None),
            PolicyError::UnknownTrim { class } => ("policy/unknown-class", places.get(class), None),
            PolicyError::Place { path } => ("policy/redaction", redaction(path), None),
            PolicyError::Overlap { other, .. } => ("policy/overlap", redaction(other), None),
            PolicyError::Redacted { rule, path } => {
                let help = format!("the field is '{}' here", format_field(path));
                ("policy/redacted", places.get(rule), Some(help))
            }
        };
        let place = place.cloned().unwrap_or_default();
        diagnostic(Severity::Error, &place, code, error.to_string(), help)
    }
}

/// Returns the treatment that a redaction states, with the epoch of its tokens.
fn treatment(Redaction { treatment, epoch_days, .. }: &Redaction) -> Treatment {
    let mut treatment = treatment.clone();
    if let (Action::Token { days }, Some(stated)) = (&mut treatment.action, epoch_days) {
        *days = u32::try_from(*stated).expect("an epoch has at most the days of a century");
    }
    treatment
}

/// Returns the rule that sources number their events.
fn numbered(number: usize, source: &Source, otherwise: Option<Enforcement>) -> Rule {
    let field = |path| Path::parse(path).expect("a constant path");
    let is_like = |glob: &crate::core::policy::Glob| {
        Condition::field(field("/source"), Test::Glob(glob.clone()))
    };
    Rule {
        name: format!("source-{number}/seq"),
        classes: Vec::new(),
        when: vec![Condition::Any(source.sources.iter().map(is_like).collect())],
        require: vec![Requirement { path: field("/seq"), field: FieldType::Integer }],
        otherwise: otherwise.unwrap_or(Enforcement::Quarantine),
    }
}

/// Returns the name of the rule that a class requires a field: `authentication/actor.id`.
fn unique(class: &str, path: &Path, names: &mut BTreeSet<String>) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-') {
            letter
        } else {
            '-'
        }
    };
    let field: String = format_field(path).trim_start_matches('/').chars().map(plain).collect();
    let mut name = format!("{class}/{field}");
    name.truncate(NAME_BYTES_MAX);
    // What differs in other letters, or far behind, is told apart by its number.
    let mut number = 1;
    while !names.insert(name.clone()) {
        number += 1;
        let end = format!("-{number}");
        name.truncate(NAME_BYTES_MAX - end.len());
        name.push_str(&end);
    }
    name
}
