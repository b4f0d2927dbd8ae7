//! What a policy looks at and asks of an event: each place, condition and requirement once, and only when
//! it is first asked for.

use core::cell::{Cell, OnceCell};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::condition::{Condition, Test};
use super::statement::{FieldType, Requirement};
use crate::core::record::json::{Object, Value};
use crate::core::record::{Path, Timestamp};

/// A condition on the values of slots.
#[derive(Clone, Debug)]
enum Check {
    Slot(usize, Test),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
}

/// What an event has in each slot, and what holds of it: each is found out when it is first asked for.
pub(super) struct Slots<'p, 'e, 'a> {
    places: &'p Places,
    members: &'e Object<'a>,
    server: &'e Given<'a>,
    values: Vec<Cell<Found<'e, 'a>>>,
    /// Of the conditions, and behind them of the requirements.
    answers: Vec<Cell<Option<bool>>>,
}

/// Members of a record that the server gives to an event.
#[derive(Debug, Default)]
pub(super) struct Given<'a> {
    pub(super) source: Option<Value<'a>>,
    /// The class of an event that names none, once it is known: what decides it does not look at it.
    pub(super) class: OnceCell<Value<'a>>,
}

/// What stands in a slot: not looked for yet, or nothing, or a value.
#[derive(Clone, Copy)]
enum Found<'e, 'a> {
    Unknown,
    Nothing,
    Value(&'e Value<'a>),
}

/// What a policy looks at and asks, each once however many rules have it in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// The places, as the steps that lead there.
    slots: Vec<Vec<String>>,
    /// The conditions.
    checks: Vec<Check>,
    /// The requirements, each of a slot.
    needs: Vec<(usize, FieldType)>,
}

/// The numbers of what was taken in.
#[derive(Default)]
pub(super) struct Numbers {
    places: Places,
    slots: BTreeMap<Path, usize>,
    /// By the text of the condition, which tells every two apart that differ.
    checks: BTreeMap<String, usize>,
    needs: HashMap<(usize, FieldType), usize>,
}

impl Numbers {
    /// Returns what was taken in.
    pub(super) fn into_places(self) -> Places {
        self.places
    }

    /// Returns the number of a place.
    fn slot(&mut self, path: &Path) -> usize {
        let slots = &mut self.places.slots;
        *self.slots.entry(path.clone()).or_insert_with(|| {
            slots.push(path.steps().map(Cow::into_owned).collect());
            slots.len() - 1
        })
    }

    /// Returns the number of a requirement.
    pub(super) fn need(&mut self, requirement: &Requirement) -> usize {
        let need = (self.slot(&requirement.path), requirement.field);
        let needs = &mut self.places.needs;
        *self.needs.entry(need).or_insert_with(|| {
            needs.push(need);
            needs.len() - 1
        })
    }

    /// Takes conditions, all of which have to hold.
    pub(super) fn conditions(&mut self, when: &[Condition]) -> Vec<usize> {
        when.iter().map(|condition| self.condition(condition)).collect()
    }

    /// Returns the number of a condition.
    fn condition(&mut self, condition: &Condition) -> usize {
        let text = format!("{condition:?}");
        if let Some(known) = self.checks.get(&text) {
            return *known;
        }
        let check = self.check(condition);
        let number = self.places.checks.len();
        self.places.checks.push(check);
        self.checks.insert(text, number);
        number
    }

    /// Takes conditions inside of another.
    fn checks(&mut self, when: &[Condition]) -> Vec<Check> {
        when.iter().map(|condition| self.check(condition)).collect()
    }

    /// Takes a condition.
    fn check(&mut self, condition: &Condition) -> Check {
        match condition {
            Condition::Field { path, test } => Check::Slot(self.slot(path), test.clone()),
            Condition::All(conditions) => Check::All(self.checks(conditions)),
            Condition::Any(conditions) => Check::Any(self.checks(conditions)),
            Condition::Not(condition) => Check::Not(Box::new(self.check(condition))),
        }
    }
}

impl<'p, 'e, 'a> Slots<'p, 'e, 'a> {
    /// Makes ready to look at what a record shows of an event, and at what the server gives to it.
    pub(super) fn new(places: &'p Places, members: &'e Object<'a>, server: &'e Given<'a>) -> Self {
        Self {
            places,
            members,
            server,
            values: vec![Cell::new(Found::Unknown); places.slots.len()],
            answers: vec![Cell::new(None); places.checks.len() + places.needs.len()],
        }
    }

    /// Returns whether conditions hold, all of them.
    #[inline]
    pub(super) fn hold(&self, checks: &[usize]) -> bool {
        checks.iter().all(|check| {
            once(&self.answers, *check, || {
                self.places.checks.get(*check).is_some_and(|check| self.holds(check))
            })
        })
    }

    /// Returns whether a condition holds.
    fn holds(&self, check: &Check) -> bool {
        match check {
            Check::Slot(slot, test) => self.value(*slot).is_some_and(|value| test.passes(value)),
            Check::All(checks) => checks.iter().all(|check| self.holds(check)),
            Check::Any(checks) => checks.iter().any(|check| self.holds(check)),
            Check::Not(check) => !self.holds(check),
        }
    }

    /// Returns whether a requirement is met.
    #[inline]
    pub(super) fn has(&self, need: usize) -> bool {
        once(&self.answers, self.places.checks.len() + need, || {
            let need = self.places.needs.get(need);
            need.is_some_and(|(slot, field)| {
                self.value(*slot).is_some_and(|value| is_field(value, *field))
            })
        })
    }

    /// Returns what stands in a slot.
    fn value(&self, slot: usize) -> Option<&'e Value<'a>> {
        let cell = self.values.get(slot)?;
        match cell.get() {
            Found::Nothing => None,
            Found::Value(value) => Some(value),
            Found::Unknown => {
                let value = self.find(slot);
                cell.set(value.map_or(Found::Nothing, Found::Value));
                value
            }
        }
    }

    /// Looks for what stands in a slot.
    fn find(&self, slot: usize) -> Option<&'e Value<'a>> {
        let (first, rest) = self.places.slots.get(slot)?.split_first()?;
        let given = || (first == "class").then(|| self.server.class.get()).flatten();
        match (first.as_str(), rest) {
            ("source", []) => self.server.source.as_ref(),
            (first, rest) => {
                let value = self.members.get(first).or_else(given)?;
                rest.iter().try_fold(value, |value, step| Path::step(value, step))
            }
        }
    }
}

/// Returns the answer that a cell has, or finds it out and keeps it.
#[inline]
fn once(answers: &[Cell<Option<bool>>], number: usize, find: impl FnOnce() -> bool) -> bool {
    let cell = answers.get(number);
    if let Some(known) = cell.and_then(Cell::get) {
        return known;
    }
    let answer = find();
    if let Some(cell) = cell {
        cell.set(Some(answer));
    }
    answer
}

/// Returns whether a value is what a field must be.
fn is_field(value: &Value<'_>, field: FieldType) -> bool {
    match (field, value) {
        (_, Value::Null) => false,
        (FieldType::Any, _)
        | (FieldType::Number, Value::Number(_))
        | (FieldType::Boolean, Value::Bool(_)) => true,
        (FieldType::Integer, Value::Number(number)) => number.integer().is_some(),
        (FieldType::Text, Value::String(text)) => !text.is_empty(),
        (FieldType::Time, Value::String(text)) => Timestamp::parse_occurred(text).is_some(),
        (FieldType::Address, Value::String(text)) => text.parse::<core::net::IpAddr>().is_ok(),
        (FieldType::Array, Value::Array(values)) => !values.is_empty(),
        (FieldType::Object, Value::Object(object)) => !object.members().is_empty(),
        _ => false,
    }
}
