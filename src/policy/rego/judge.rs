//! What rules say about an event.

use core::num::NonZeroU32;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use regorus::utils::limits::{ExecutionTimerConfig, monotonic_now};
use regorus::{Engine, Value};

use super::place::TIME_OVER;
use super::{
    Entry, INPUT_BYTES_MAX, Package, Role, Rules, TIME_MAX, budget, place, record_name, value,
};
use crate::core::policy::{Action, Condition, Custom, CustomError, Enforcement, Target, Treatment};
use crate::core::record::json::{self, Member, Object};
use crate::core::record::{Path, is_rule};

/// Steps of an evaluation between two looks at the clock. A step takes some 100 ns, as a look does.
const STEPS: NonZeroU32 = NonZeroU32::new(16).expect("16 is not zero");

/// Most engines that a thread keeps: one for each log that it works for, and those of policies that were
/// replaced, which go as others come.
const ENGINES_MAX: usize = 8;

/// Returns whether rules could not decide in their time, so that they might in another.
pub fn is_timeout(error: &CustomError) -> bool {
    error.reason.contains(TIME_OVER)
}

thread_local! {
    /// Engines by the number of their rules, the last used at the end.
    static ENGINES: RefCell<Vec<(u64, Engine)>> = const { RefCell::new(Vec::new()) };
}

impl Custom for Rules {
    fn judge(
        &self,
        event: &Object<'_>,
        class: Option<&str>,
    ) -> Result<Vec<(Enforcement, String)>, CustomError> {
        let mut broken = self.before(|parent| parent.judge(event, class))?;
        broken.extend(self.here(|engine| self.judge_in(engine, event, class))?);
        Ok(broken)
    }

    fn treat(&self, event: &Object<'_>) -> Result<Vec<Treatment>, CustomError> {
        let mut hidden = self.before(|parent| parent.treat(event))?;
        hidden.extend(self.here(|engine| self.treat_in(engine, event))?);
        Ok(hidden)
    }

    fn alert(&self, event: &Object<'_>, class: Option<&str>) -> Result<Vec<String>, CustomError> {
        let mut alerts = self.before(|parent| parent.alert(event, class))?;
        alerts.extend(self.here(|engine| self.alert_in(engine, event, class))?);
        Ok(alerts)
    }

    fn needs(&self) -> &[Path] {
        &self.needs
    }
}

/// Rules that note which of their lines were evaluated. For tests: of one thread, and slower.
#[derive(Debug)]
pub struct Covering<'r> {
    rules: &'r Rules,
    engine: RefCell<Engine>,
}

impl<'r> Covering<'r> {
    /// Begins with no line covered.
    pub fn new(rules: &'r Rules) -> Self {
        let mut engine = rules.engine.clone();
        engine.set_enable_coverage(true);
        Self { rules, engine: RefCell::new(engine) }
    }

    /// Returns the engine, with what it noted.
    pub(super) fn into_engine(self) -> Engine {
        self.engine.into_inner()
    }
}

impl Custom for Covering<'_> {
    fn judge(
        &self,
        event: &Object<'_>,
        class: Option<&str>,
    ) -> Result<Vec<(Enforcement, String)>, CustomError> {
        let mut said = self.rules.before(|parent| parent.judge(event, class))?;
        let engine = &mut self.engine.borrow_mut();
        said.extend(guarded(engine, |engine| self.rules.judge_in(engine, event, class))?);
        Ok(said)
    }

    fn treat(&self, event: &Object<'_>) -> Result<Vec<Treatment>, CustomError> {
        let mut said = self.rules.before(|parent| parent.treat(event))?;
        let engine = &mut self.engine.borrow_mut();
        said.extend(guarded(engine, |engine| self.rules.treat_in(engine, event))?);
        Ok(said)
    }

    fn alert(&self, event: &Object<'_>, class: Option<&str>) -> Result<Vec<String>, CustomError> {
        let mut said = self.rules.before(|parent| parent.alert(event, class))?;
        let engine = &mut self.engine.borrow_mut();
        said.extend(guarded(engine, |engine| self.rules.alert_in(engine, event, class))?);
        Ok(said)
    }

    fn needs(&self) -> &[Path] {
        &self.rules.needs
    }
}

impl Rules {
    /// Asks the rules that are inherited, if there are any.
    fn before<T>(
        &self,
        ask: impl FnOnce(&Self) -> Result<Vec<T>, CustomError>,
    ) -> Result<Vec<T>, CustomError> {
        self.inherited.as_deref().map_or_else(|| Ok(Vec::new()), ask)
    }

    /// Runs with this thread's engine, which is made when it is first needed, and again after an error.
    fn here<T>(
        &self,
        run: impl FnOnce(&mut Engine) -> Result<T, CustomError>,
    ) -> Result<T, CustomError> {
        let kept = ENGINES.with_borrow_mut(|engines| {
            let position = engines.iter().position(|(number, _)| *number == self.number)?;
            Some(engines.remove(position).1)
        });
        let mut engine = kept.unwrap_or_else(|| self.engine.clone());
        // An engine that was stopped in the middle of something is not used again.
        let done = guarded(&mut engine, run)?;
        ENGINES.with_borrow_mut(|engines| {
            if engines.len() >= ENGINES_MAX {
                engines.remove(0);
            }
            engines.push((self.number, engine));
        });
        Ok(done)
    }

    /// Returns the rules that an event breaks.
    fn judge_in(
        &self,
        engine: &mut Engine,
        event: &Object<'_>,
        class: Option<&str>,
    ) -> Result<Vec<(Enforcement, String)>, CustomError> {
        let mut broken = Vec::new();
        self.each(engine, event, class, &[Role::Deny, Role::Warn], |package, entry, said| {
            let enforcement = match entry.role {
                Role::Warn => Enforcement::Warn,
                _ => package.otherwise,
            };
            let names = self.names_of(package, entry, said)?;
            broken.extend(names.into_iter().map(|name| (enforcement, name)));
            Ok(())
        })?;
        Ok(broken)
    }

    /// Returns the rules by which somebody has to be told of an event.
    fn alert_in(
        &self,
        engine: &mut Engine,
        event: &Object<'_>,
        class: Option<&str>,
    ) -> Result<Vec<String>, CustomError> {
        let mut alerts = Vec::new();
        self.each(engine, event, class, &[Role::Alert], |package, entry, said| {
            alerts.extend(self.names_of(package, entry, said)?);
            Ok(())
        })?;
        alerts.sort_unstable();
        alerts.dedup();
        Ok(alerts)
    }

    /// Returns what is not to be shown of an event.
    fn treat_in(
        &self,
        engine: &mut Engine,
        event: &Object<'_>,
    ) -> Result<Vec<Treatment>, CustomError> {
        let mut places: BTreeMap<Path, Action> = BTreeMap::new();
        let class = event.get("class").and_then(|class| class.as_str());
        self.each(engine, event, class, &[Role::Mask], |_, entry, said| {
            for mask in items(said) {
                let (path, action) = read_mask(&mask).ok_or_else(|| CustomError {
                    reason: format!("{} says what is no mask of OPA's form", entry.name),
                })?;
                // Of two masks of a place the one that leaves nothing holds.
                if places.get(&path) != Some(&Action::Drop) {
                    places.insert(path, action);
                }
            }
            Ok(())
        })?;
        let treatment = |(path, action)| Treatment { target: Target::Path(path), action };
        Ok(places.into_iter().map(treatment).collect())
    }

    /// Evaluates rules of some roles, of the packages that are asked about an event.
    fn each(
        &self,
        engine: &mut Engine,
        event: &Object<'_>,
        class: Option<&str>,
        roles: &[Role],
        mut take: impl FnMut(&Package, &Entry, Value) -> Result<(), CustomError>,
    ) -> Result<(), CustomError> {
        let has_role =
            |package: &&Package| package.entries.iter().any(|entry| roles.contains(&entry.role));
        let asked = self.packages.iter().filter(has_role);
        let asked: Vec<&Package> =
            asked.filter(|package| concerns(package, event, class)).collect();
        if asked.is_empty() {
            return Ok(());
        }
        engine.set_input(input(event, class)?);
        let clock = Clock::start();
        budget::begin();
        for package in asked {
            for entry in package.entries.iter().filter(|entry| roles.contains(&entry.role)) {
                engine.set_execution_timer_config(clock.rest()?);
                let said = engine.eval_rule(entry.path.clone());
                let said = said.map_err(|error| CustomError {
                    reason: format!("{}: {}", entry.name, place::reason(&format!("{error:#}"))),
                })?;
                take(package, entry, said)?;
            }
        }
        // Nobody reads what rules print while they judge; tests take it from an engine of their own.
        engine.take_prints().map(drop).map_err(|_| CustomError {
            reason: "the engine does not give back what was printed".to_owned(),
        })
    }

    /// Returns the names that a record shows of what a rule says.
    fn names_of(
        &self,
        package: &Package,
        entry: &Entry,
        said: Value,
    ) -> Result<Vec<String>, CustomError> {
        let name = |item: Value| match &item {
            Value::Bool(false) => Ok(None),
            Value::Bool(true) => Ok(Some(entry.name.clone())),
            Value::String(text) => Ok(Some(self.name_of(package, entry, text))),
            Value::Object(members) => match members.get(&Value::from("msg")) {
                Some(Value::String(text)) => Ok(Some(self.name_of(package, entry, text))),
                _ => Err(()),
            },
            _ => Err(()),
        };
        let names: Result<Vec<Option<String>>, ()> = items(said).into_iter().map(name).collect();
        let mut names: Vec<String> = names
            .map_err(|()| CustomError {
                reason: format!("{} says neither texts nor objects with a text 'msg'", entry.name),
            })?
            .into_iter()
            .flatten()
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Returns the name of a message: its own if it stands in the policy and can be a name, else its rule's.
    fn name_of(&self, package: &Package, entry: &Entry, text: &str) -> String {
        if is_rule(text) && self.literals.contains(text) {
            record_name(&[&package.name, text])
        } else {
            entry.name.clone()
        }
    }
}

/// Runs with an engine; a panic of it is an error like any other.
fn guarded<T>(
    engine: &mut Engine,
    run: impl FnOnce(&mut Engine) -> Result<T, CustomError>,
) -> Result<T, CustomError> {
    catch_unwind(AssertUnwindSafe(|| run(engine)))
        .unwrap_or_else(|_| Err(CustomError { reason: "the engine panicked".to_owned() }))
}

/// The time that the rules of an event have together.
struct Clock(Option<Duration>);

impl Clock {
    fn start() -> Self {
        Self(monotonic_now())
    }

    /// Returns what is left as the engine takes it.
    fn rest(&self) -> Result<ExecutionTimerConfig, CustomError> {
        let passed = self.0.zip(monotonic_now()).map(|(start, now)| now.saturating_sub(start));
        let rest = TIME_MAX.checked_sub(passed.unwrap_or_default());
        let over = || CustomError { reason: TIME_OVER.to_owned() };
        Ok(ExecutionTimerConfig { limit: rest.ok_or_else(over)?, check_interval: STEPS })
    }
}

/// Returns what rules see: the members of an event, with its class.
fn input(event: &Object<'_>, class: Option<&str>) -> Result<Value, CustomError> {
    let bytes: usize = event.members().iter().map(|(name, value)| name.len() + size(value)).sum();
    if bytes > INPUT_BYTES_MAX {
        return Err(CustomError {
            reason: format!("the event has more than the {INPUT_BYTES_MAX} bytes that rules see"),
        });
    }
    let mut input = value::of_object(event);
    if let (Some(class), Ok(members)) = (class, input.as_object_mut()) {
        members.insert(Value::from("class"), Value::from(class));
    }
    Ok(input)
}

/// Returns about how many bytes a value has as a text.
fn size(value: &json::Value<'_>) -> usize {
    match value {
        json::Value::Null | json::Value::Bool(_) | json::Value::Number(_) => 8,
        json::Value::String(text) => 2 + text.len(),
        json::Value::Array(values) => 2 + values.iter().map(size).sum::<usize>(),
        json::Value::Object(object) => {
            let member = |member: &Member<'_>| 4 + member.0.len() + size(&member.1);
            2 + object.members().iter().map(member).sum::<usize>()
        }
    }
}

/// Returns whether a package is asked about an event.
fn concerns(package: &Package, event: &Object<'_>, class: Option<&str>) -> bool {
    let is_of = |wanted: &String| class == Some(wanted.as_str());
    (package.classes.is_empty() || package.classes.iter().any(is_of))
        && package.when.iter().all(|condition| holds(condition, event, class))
}

/// Returns whether a condition holds of an event, by its class if that is what it looks at.
fn holds(condition: &Condition, event: &Object<'_>, class: Option<&str>) -> bool {
    match condition {
        Condition::Field { path, test } => {
            let class = class.filter(|_| path.as_str() == "/class");
            class.map_or_else(
                || path.find(event).is_some_and(|value| test.passes(value)),
                |class| test.holds(class),
            )
        }
        Condition::All(inner) => inner.iter().all(|condition| holds(condition, event, class)),
        Condition::Any(inner) => inner.iter().any(|condition| holds(condition, event, class)),
        Condition::Not(inner) => !holds(inner, event, class),
    }
}

/// Returns the single things that a rule says: the elements of a set or array, the values of an object that is
/// no message itself, or the one value.
fn items(said: Value) -> Vec<Value> {
    match &said {
        Value::Undefined => Vec::new(),
        Value::Set(values) => values.iter().cloned().collect(),
        Value::Array(values) => values.iter().cloned().collect(),
        _ => vec![said],
    }
}

/// Reads a mask as OPA's decision log has it: a pointer, or an object with `op`, `path` and maybe `value`.
///
/// Pointers may begin at `input`, as OPA's do. The value of an `upsert` is not taken: it could show
/// under a mask what the mask is to hide.
fn read_mask(mask: &Value) -> Option<(Path, Action)> {
    let (pointer, action) = match mask {
        Value::String(pointer) => (pointer.clone(), Action::Drop),
        Value::Object(members) => {
            let text = |name: &str| members.get(&Value::from(name))?.as_string().ok().cloned();
            let action = match text("op")?.as_ref() {
                "remove" => Action::Drop,
                "upsert" => Action::Mask { keep_last: 0 },
                _ => return None,
            };
            (text("path")?, action)
        }
        _ => return None,
    };
    let below = pointer.strip_prefix("/input").filter(|rest| rest.starts_with('/'));
    let path = Path::parse(below.unwrap_or(&pointer))?;
    let first = path.steps().next()?;
    if !matches!(first.as_ref(), "actor" | "resource" | "ctx") {
        return None;
    }
    // No text can stand for a whole member, which is an object.
    let action = if path.steps().nth(1).is_none() { Action::Drop } else { action };
    Some((path, action))
}
