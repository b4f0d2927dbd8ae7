//! A policy made ready to decide: names checked, and each place that it looks at looked up once an event.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::condition::{Condition, Test};
use super::slots::{Given, Numbers, Places, Slots};
use super::statement::{
    Action, Class, Enforcement, Enrichment, FieldType, Requirement, Rule, Statements, Target,
    Treatment, Trim,
};
use crate::core::record::json::Object;
use crate::core::record::{Path, PolicyDigest, is_class, is_rule};

/// Most classes, rules and treatments of one policy, each.
pub const STATEMENTS_MAX: usize = 4_096;

/// Beginnings of rule names that are not a policy's to give.
const RESERVED_RULES: [&str; 4] = ["record/", "class/", "detected/", "policy/"];

/// A policy that decides.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) digest: PolicyDigest,
    pub(super) enrichments: Vec<Enrichment>,
    pub(super) treatments: Vec<Treatment>,
    /// What events of a class don't show, by the number of the class.
    pub(super) trims: Vec<(usize, Vec<Path>)>,
    pub(super) classes: Vec<(String, Vec<usize>)>,
    pub(super) unknown_class: Option<Enforcement>,
    /// The rules about events of every class.
    pub(super) rules: Vec<ReadyRule>,
    /// The rules about events of each class, by the number of the class.
    pub(super) class_rules: Vec<Vec<Arc<ReadyRule>>>,
    places: Places,
}

/// A rule whose classes, conditions and requirements are numbers.
#[derive(Clone, Debug)]
pub(super) struct ReadyRule {
    pub(super) name: String,
    pub(super) classes: Vec<usize>,
    pub(super) when: Vec<usize>,
    pub(super) require: Vec<usize>,
    pub(super) otherwise: Enforcement,
}

/// Why statements make no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There are too many of one kind.
    #[error("a policy has at most {STATEMENTS_MAX} classes, rules and treatments each")]
    Statements,
    /// A class or rule has a name that no record can show, or one that is the program's own.
    #[error("{name:?} can't be the name of a class or rule")]
    Name {
        /// The name.
        name: String,
    },
    /// Two classes, or two rules, have one name.
    #[error("{name:?} is there twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// A rule is about a class that is not there.
    #[error("rule {rule:?} is about the class {class:?}, which the policy does not have")]
    UnknownClass {
        /// The rule.
        rule: String,
        /// The class.
        class: String,
    },
    /// What an event is of depends on what it is of.
    #[error(
        "the class {class:?} looks at /class: an event is of the class that it names in any case, so test other fields"
    )]
    Circular {
        /// The class.
        class: String,
    },
    /// Something is about a class that is not there.
    #[error("something is trimmed of the class {class:?}, which the policy does not have")]
    UnknownTrim {
        /// The class.
        class: String,
    },
    /// A treatment does not stand inside of what producers fill.
    #[error(
        "{path} can't be treated: only what is inside of /actor, /resource and /ctx, or whole with 'drop', 'commit' or 'token'"
    )]
    Place {
        /// The place.
        path: Path,
    },
    /// Two treated places overlap.
    #[error("{one} and {other} overlap: treat each value in one way")]
    Overlap {
        /// One place.
        one: Path,
        /// The other.
        other: Path,
    },
    /// A rule or class needs a value that the policy does not let it see.
    #[error(
        "{rule:?} needs the value at {path}, which the policy redacts: require 'any', or leave it as it is"
    )]
    Redacted {
        /// The rule or class.
        rule: String,
        /// The place.
        path: Path,
    },
}

impl Policy {
    /// Compiles the statements of the policy of a digest.
    pub fn compile(digest: PolicyDigest, statements: &Statements) -> Result<Self, PolicyError> {
        let Statements { classes, rules, treatments, unknown_class, enrichments, trims } =
            statements;
        let counts = [classes.len(), rules.len(), treatments.len(), enrichments.len(), trims.len()];
        if counts.into_iter().any(|count| count > STATEMENTS_MAX) {
            return Err(PolicyError::Statements);
        }
        check_names(classes.iter().map(|class| &class.name), is_class)?;
        check_names(rules.iter().map(|rule| &rule.name), |name| {
            is_rule(name) && !is_reserved(name)
        })?;
        check_names(enrichments.iter().map(|enrichment| &enrichment.name), is_class)?;
        treatments.iter().try_for_each(check_place)?;
        check_overlap(treatments)?;
        classes.iter().try_for_each(check_circle)?;
        let hidden = Hidden { treatments, trims };
        classes.iter().try_for_each(|class| hidden.check_conditions(&class.name, &class.when))?;
        rules.iter().try_for_each(|rule| hidden.check_rule(rule))?;

        let mut places = Numbers::default();
        let numbers: BTreeMap<&str, usize> =
            (0..).zip(classes).map(|(number, class)| (class.name.as_str(), number)).collect();
        let mut class_rules = vec![Vec::new(); classes.len()];
        let mut common = Vec::new();
        for rule in rules {
            let rule = ready(&mut places, rule, &numbers)?;
            if rule.classes.is_empty() {
                common.push(rule);
                continue;
            }
            let rule = Arc::new(rule);
            for class in rule.classes.iter().collect::<BTreeSet<_>>() {
                let rules: Option<&mut Vec<_>> = class_rules.get_mut(*class);
                rules.expect("classes are numbered").push(Arc::clone(&rule));
            }
        }
        let trim = |Trim { class, paths }: &Trim| {
            let unknown = || PolicyError::UnknownTrim { class: class.clone() };
            Ok((numbers.get(class.as_str()).copied().ok_or_else(unknown)?, paths.clone()))
        };
        Ok(Self {
            digest,
            enrichments: enrichments.clone(),
            treatments: treatments.clone(),
            trims: trims.iter().map(trim).collect::<Result<_, _>>()?,
            classes: classes
                .iter()
                .map(|class| (class.name.clone(), places.conditions(&class.when)))
                .collect(),
            unknown_class: *unknown_class,
            rules: common,
            class_rules,
            places: places.into_places(),
        })
    }

    /// Returns the digest of the policy.
    pub const fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// Makes ready to look at what a record shows of an event, and at what the server gives to it.
    pub(super) fn look<'e, 'a>(
        &self,
        members: &'e Object<'a>,
        server: &'e Given<'a>,
    ) -> Slots<'_, 'e, 'a> {
        Slots::new(&self.places, members, server)
    }

    /// Returns of each class whether the event names it, and whether its conditions hold.
    ///
    /// An event is of each class that it names or fits, so that naming one evades no other's rules.
    pub(super) fn classes_of(
        &self,
        slots: &Slots<'_, '_, '_>,
        claimed: Option<&str>,
    ) -> Vec<(bool, bool)> {
        self.classes
            .iter()
            .map(|(name, when)| (claimed == Some(name), !when.is_empty() && slots.hold(when)))
            .collect()
    }
}

impl Statements {
    /// Checks that conditions on events of some classes, or of all if there are none, look at nothing that is
    /// taken away of them. Its error names what the conditions are part of.
    pub fn check_seen(
        &self,
        name: &str,
        classes: &[String],
        when: &[Condition],
    ) -> Result<(), PolicyError> {
        let concerns = |trim: &&Trim| classes.is_empty() || classes.contains(&trim.class);
        let trims: Vec<Trim> = self.trims.iter().filter(concerns).cloned().collect();
        Hidden { treatments: &self.treatments, trims: &trims }.check_conditions(name, when)
    }
}

/// Makes a rule ready.
fn ready(
    places: &mut Numbers,
    rule: &Rule,
    numbers: &BTreeMap<&str, usize>,
) -> Result<ReadyRule, PolicyError> {
    let number = |class: &String| {
        let unknown =
            || PolicyError::UnknownClass { rule: rule.name.clone(), class: class.clone() };
        numbers.get(class.as_str()).copied().ok_or_else(unknown)
    };
    Ok(ReadyRule {
        name: rule.name.clone(),
        classes: rule.classes.iter().map(number).collect::<Result<_, _>>()?,
        when: places.conditions(&rule.when),
        require: rule.require.iter().map(|requirement| places.need(requirement)).collect(),
        otherwise: rule.otherwise,
    })
}

/// Returns whether a name is the program's own.
fn is_reserved(name: &str) -> bool {
    RESERVED_RULES.iter().any(|start| name.starts_with(start))
}

/// Checks that names have their form and differ.
fn check_names<'n>(
    names: impl Iterator<Item = &'n String>,
    is_name: impl Fn(&str) -> bool,
) -> Result<(), PolicyError> {
    let mut known = BTreeSet::new();
    for name in names {
        if !is_name(name) {
            return Err(PolicyError::Name { name: name.clone() });
        }
        if !known.insert(name) {
            return Err(PolicyError::Twice { name: name.clone() });
        }
    }
    Ok(())
}

/// Checks that the conditions of a class don't look at the class.
fn check_circle(class: &Class) -> Result<(), PolicyError> {
    let mut circular = false;
    let mut visit =
        |path: &Path, _: &Test| circular |= path.steps().next().as_deref() == Some("class");
    class.when.iter().for_each(|condition| condition.visit(&mut visit));
    let class = class.name.clone();
    if circular { Err(PolicyError::Circular { class }) } else { Ok(()) }
}

/// Checks that a treatment leaves every member its form: no text can stand for a whole object.
fn check_place(treatment: &Treatment) -> Result<(), PolicyError> {
    let Target::Path(path) = &treatment.target else { return Ok(()) };
    let mut steps = path.steps();
    let inside =
        steps.next().is_some_and(|first| matches!(first.as_ref(), "actor" | "resource" | "ctx"));
    let whole = steps.next().is_none();
    let masks = matches!(treatment.action, Action::Mask { .. });
    if inside && !(whole && masks) {
        Ok(())
    } else {
        Err(PolicyError::Place { path: path.clone() })
    }
}

/// Checks that nothing is redacted inside of what is redacted: what opens it could not be found again.
fn check_overlap(treatments: &[Treatment]) -> Result<(), PolicyError> {
    let mut places: Vec<(&Path, Vec<Cow<'_, str>>)> = treatments
        .iter()
        .filter_map(|treatment| match &treatment.target {
            Target::Path(path) => Some((path, path.steps().collect())),
            Target::Detected(_) => None,
        })
        .collect();
    while let Some((one, steps)) = places.pop() {
        let meets = |others: &[Cow<'_, str>]| {
            steps
                .iter()
                .zip(others)
                .all(|(step, other)| step == other || step == "*" || other == "*")
        };
        if let Some((other, _)) = places.iter().find(|(_, others)| meets(others)) {
            return Err(PolicyError::Overlap { one: (*other).clone(), other: one.clone() });
        }
    }
    Ok(())
}

/// What a policy takes away of events.
struct Hidden<'s> {
    treatments: &'s [Treatment],
    trims: &'s [Trim],
}

impl Hidden<'_> {
    /// Checks that a rule needs nothing that is taken away: dropped values at all, others with their type.
    fn check_rule(&self, rule: &Rule) -> Result<(), PolicyError> {
        self.check_conditions(&rule.name, &rule.when)?;
        for Requirement { path, field } in &rule.require {
            let concerns =
                |trim: &&Trim| rule.classes.is_empty() || rule.classes.contains(&trim.class);
            let mut trimmed = self.trims.iter().filter(concerns).flat_map(|trim| &trim.paths);
            if self.takes(path, *field != FieldType::Any)
                || trimmed.any(|target| covers(target, path))
            {
                return Err(PolicyError::Redacted { rule: rule.name.clone(), path: path.clone() });
            }
        }
        Ok(())
    }

    /// Checks that conditions look at nothing that is taken away. What decides the class of an event can't
    /// depend on it, so that for them every trim counts.
    fn check_conditions(&self, name: &str, when: &[Condition]) -> Result<(), PolicyError> {
        let mut hidden = None;
        let mut visit = |path: &Path, test: &Test| {
            let mut trimmed = self.trims.iter().flat_map(|trim| &trim.paths);
            if self.takes(path, *test != Test::Present)
                || trimmed.any(|target| covers(target, path))
            {
                hidden = Some(path.clone());
            }
        };
        when.iter().for_each(|condition| condition.visit(&mut visit));
        hidden.map_or(Ok(()), |path| Err(PolicyError::Redacted { rule: name.to_owned(), path }))
    }

    /// Returns whether a value is treated so that it can't be seen, or that it can't be seen to be there.
    fn takes(&self, path: &Path, by_value: bool) -> bool {
        self.treatments.iter().any(|treatment| {
            let Target::Path(target) = &treatment.target else { return false };
            covers(target, path)
                && (by_value
                    || treatment.action == Action::Drop
                    || target.steps().count() < path.steps().count())
        })
    }
}

/// Returns whether a target is a path or above it; `*` stands for any step.
fn covers(target: &Path, path: &Path) -> bool {
    let mut steps = path.steps();
    target.steps().all(|wanted| steps.next().is_some_and(|step| wanted == "*" || wanted == step))
}
