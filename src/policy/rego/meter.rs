//! Builtins that make much of little, bounded before they begin.
//!
//! The engine looks at the clock between two steps of an evaluation, and a builtin is one step. Most of them
//! take as long as what they are given is; those here would fill the memory in one step, or run for minutes.
//! Each is asked first how much it is going to make, and those that make texts or collections have a budget together.
//! Whatever grows without them grows from step to step, and the clock ends it.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use regorus::unstable::{BUILTINS, Expr, Ref, Source, Span};
use regorus::{Engine, Value};

use super::{budget, value};
use crate::core::record::SUBMISSION_LIMITS;
use crate::core::record::json;

/// Most bytes of a text that one of these makes: four times the longest submission.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Most elements that one of these makes; a /16 network of addresses is as many.
const ELEMENTS_MAX: u64 = 65_536;

/// Most bits by which a number is shifted.
const SHIFT_MAX: u64 = 1_024;

/// Most digits of a width in a format, and of an exponent in a text.
const DIGITS_MAX: usize = 3;

/// Most bytes of a compiled pattern, as the engine has it.
const PATTERN_BYTES_MAX: usize = 100 * 1_024;

/// Most patterns that an engine keeps compiled.
const PATTERNS_MAX: usize = 256;

/// Returns whether what a builtin makes of arguments is within bounds.
type Fits = fn(&[Value]) -> bool;

/// A builtin of the engine, which returns `T`.
type Call<T> = fn(&Span, &[Ref<Expr>], &[Value], bool) -> T;

/// Bounded builtins: their names, and whether what they make of arguments is within bounds.
const BOUNDED: [(&str, Fits); 13] = [
    ("bits.lsh", |of| natural(of, 1).is_none_or(|shift| shift <= SHIFT_MAX)),
    ("concat", concat_fits),
    ("json.marshal_with_options", |of| of.get(1).is_none_or(|options| length(options) <= 256)),
    ("net.cidr_expand", cidr_fits),
    ("numbers.range", |of| distance(of).is_none_or(|length| length < ELEMENTS_MAX)),
    ("numbers.range_step", step_fits),
    ("regex.replace", pattern_fits),
    ("replace", |of| replaced(text(of, 0).len(), text(of, 1), text(of, 2)).is_some()),
    ("sprintf", |of| widths_fit(text(of, 0))),
    ("strings.replace_n", replace_all_fits),
    ("to_number", |of| exponent_fits(text(of, 0))),
    ("units.parse", |of| exponent_fits(text(of, 0))),
    ("units.parse_bytes", |of| exponent_fits(text(of, 0))),
];

/// Builtins that make a text or a collection out of what they are given, or walk through it in depth.
const MAKERS: [&str; 45] = [
    "array.concat",
    "array.reverse",
    "array.slice",
    "base64.decode",
    "base64.encode",
    "base64url.decode",
    "base64url.encode",
    "base64url.encode_no_pad",
    "format_int",
    "hex.decode",
    "hex.encode",
    "indexof_n",
    "intersection",
    "json.filter",
    "json.marshal",
    "json.remove",
    "lower",
    "max",
    "min",
    "object.filter",
    "object.keys",
    "object.remove",
    "object.subset",
    "object.union",
    "object.union_n",
    "regex.find_all_string_submatch_n",
    "regex.find_n",
    "regex.split",
    "set_diff",
    "sort",
    "split",
    "strings.reverse",
    "substring",
    "trim",
    "trim_left",
    "trim_prefix",
    "trim_right",
    "trim_space",
    "trim_suffix",
    "union",
    "upper",
    "urlquery.decode",
    "urlquery.encode",
    "yaml.marshal",
    "yaml.unmarshal",
];

/// A builtin would have made too much, or was given what it can't take. Says nothing of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum BuiltinError {
    #[error(
        "{name} would make more than a policy may: at most 4 MiB of text or 65,536 elements, and 16 MiB for an event"
    )]
    TooMuch { name: &'static str },
    #[error("{name} was given what it can't take")]
    Argument { name: &'static str },
}

/// Puts the bounded builtins before the engine's own.
///
/// # Panics
///
/// If one has been put there before.
pub(super) fn install(engine: &mut Engine) {
    let makers = MAKERS.into_iter().map(|name| (name, (|_| true) as Fits));
    for (name, fits) in BOUNDED.into_iter().chain(makers) {
        // Which there are depends on the features that the engine was built with.
        let Some((call, count)) = BUILTINS.get(name).copied() else { continue };
        let place = Place::new(count);
        let bounded = move |arguments: Vec<Value>| {
            if budget::weight(&arguments).is_none() || !fits(&arguments) {
                return Err(BuiltinError::TooMuch { name }.into());
            }
            let made = place.call(call, &arguments)?;
            if budget::spend(&made) { Ok(made) } else { Err(BuiltinError::TooMuch { name }.into()) }
        };
        let added = engine.add_extension(name.to_owned(), count, Box::new(bounded));
        added.expect("no builtin is in the table twice");
    }
    let unmarshal = |arguments: Vec<Value>| match read_json(&arguments) {
        Some(value) if budget::spend(&value) => Ok(value),
        Some(_) => Err(BuiltinError::TooMuch { name: "json.unmarshal" }.into()),
        None => Err(BuiltinError::Argument { name: "json.unmarshal" }.into()),
    };
    let is_valid = |arguments: Vec<Value>| Ok(Value::from(read_json(&arguments).is_some()));
    let mut patterns = Patterns::default();
    let matches = move |arguments: Vec<Value>| match patterns.matches(&arguments) {
        Some(is) => Ok(Value::from(is)),
        None => Err(BuiltinError::Argument { name: "regex.match" }.into()),
    };
    let added = engine
        .add_extension("json.unmarshal".to_owned(), 1, Box::new(unmarshal))
        .and_then(|()| engine.add_extension("json.is_valid".to_owned(), 1, Box::new(is_valid)))
        .and_then(|()| engine.add_extension("regex.match".to_owned(), 2, Box::new(matches)));
    added.expect("no builtin is added twice");
}

/// Where a builtin believes to be called: its messages name a place, which the engine adds again.
#[derive(Clone)]
struct Place {
    span: Span,
    parameters: Vec<Ref<Expr>>,
}

impl Place {
    fn new(count: u8) -> Self {
        let source = Source::from_contents("builtin".to_owned(), String::new());
        let source = source.expect("an empty source is short");
        let span = Span { source, line: 1, col: 1, start: 0, end: 0 };
        let parameter = || Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 };
        let parameters = (0..count).map(|_| Ref::new(parameter())).collect();
        Self { span, parameters }
    }

    /// Calls a builtin, which fails rather than be undefined.
    fn call<T>(&self, call: Call<T>, arguments: &[Value]) -> T {
        call(&self.span, &self.parameters, arguments, true)
    }
}

/// Patterns that were compiled before: an engine is of one thread, so that no lock is needed.
#[derive(Clone, Default)]
struct Patterns(HashMap<String, Regex>);

impl Patterns {
    /// Returns whether a text is like a pattern; `None` if the pattern is none, or too large.
    fn matches(&mut self, arguments: &[Value]) -> Option<bool> {
        let [Value::String(pattern), Value::String(text)] = arguments else { return None };
        if let Some(regex) = self.0.get(pattern.as_ref()) {
            return Some(regex.is_match(text));
        }
        let regex = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build().ok()?;
        let is = regex.is_match(text);
        if self.0.len() >= PATTERNS_MAX {
            // Patterns made of events would fill it for ever; those of the policy are soon back.
            self.0.clear();
        }
        self.0.insert(pattern.to_string(), regex);
        Some(is)
    }
}

/// Reads a text as events are read: within bounds, and with numbers that every reader has alike.
fn read_json(arguments: &[Value]) -> Option<Value> {
    let [Value::String(text)] = arguments else { return None };
    json::parse(text.as_bytes(), &SUBMISSION_LIMITS).ok().map(|value| value::of_json(&value))
}

fn text(arguments: &[Value], at: usize) -> &str {
    match arguments.get(at) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

fn natural(arguments: &[Value], at: usize) -> Option<u64> {
    arguments.get(at)?.as_u64().ok()
}

/// Returns about how many bytes the texts in a value have. What is given here was weighed before.
fn length(value: &Value) -> usize {
    budget::weight(core::slice::from_ref(value)).unwrap_or(usize::MAX)
}

fn concat_fits(arguments: &[Value]) -> bool {
    let separator = text(arguments, 0).len();
    let (count, bytes) = match arguments.get(1) {
        Some(collection @ Value::Array(values)) => (values.len(), length(collection)),
        Some(collection @ Value::Set(values)) => (values.len(), length(collection)),
        _ => (0, 0),
    };
    separator.saturating_mul(count).saturating_add(bytes) <= TEXT_BYTES_MAX
}

/// Returns how far two numbers are apart; `None` if they are none, about which the builtin has a message.
fn distance(arguments: &[Value]) -> Option<u64> {
    let [Value::Number(_), Value::Number(_), ..] = arguments else { return None };
    let number = |at: usize| arguments.get(at).and_then(|number| number.as_i64().ok());
    // What has no 64 bits, or a fraction, is as far away as can be.
    Some(number(0).zip(number(1)).map_or(u64::MAX, |(from, to)| from.abs_diff(to)))
}

fn step_fits(arguments: &[Value]) -> bool {
    let step = natural(arguments, 2).filter(|step| *step > 0);
    step.is_some_and(|step| distance(arguments).is_none_or(|length| length / step < ELEMENTS_MAX))
}

fn cidr_fits(arguments: &[Value]) -> bool {
    let (address, prefix) = text(arguments, 0).split_once('/').unwrap_or(("", ""));
    let bits: u32 = if address.contains(':') { 128 } else { 32 };
    // What is no prefix is for the builtin to refuse.
    prefix.parse::<u32>().map_or(true, |prefix| bits.saturating_sub(prefix) <= 16)
}

/// Returns the most bytes that remain of so many when each occurrence of a text gives way to another.
fn replaced(bytes: usize, old: &str, new: &str) -> Option<usize> {
    let occurrences = bytes / old.len().max(1) + 1;
    let grown = occurrences.checked_mul(new.len())?.checked_add(bytes)?;
    (grown <= TEXT_BYTES_MAX).then_some(grown)
}

fn replace_all_fits(arguments: &[Value]) -> bool {
    let Some(Value::Object(pairs)) = arguments.first() else { return true };
    let one = |bytes: usize, (old, new): (&Value, &Value)| match (old, new) {
        (Value::String(old), Value::String(new)) => replaced(bytes, old, new),
        _ => Some(bytes),
    };
    pairs.iter().try_fold(text(arguments, 1).len(), one).is_some()
}

fn pattern_fits(arguments: &[Value]) -> bool {
    let (bytes, new) = (text(arguments, 0).len(), text(arguments, 2));
    // Every `$` may stand for all that was matched.
    let copies = new.matches('$').count() + 1;
    let made = (bytes + 1).checked_mul(new.len()).zip(bytes.checked_mul(copies));
    made.is_some_and(|(new, old)| new.saturating_add(old) <= TEXT_BYTES_MAX)
}

/// Returns whether no width of a format has more than [`DIGITS_MAX`] digits, all of them ASCII's.
fn widths_fit(format: &str) -> bool {
    format.split('%').skip(1).all(|verb| {
        let width: &str = verb.strip_prefix('.').unwrap_or(verb);
        let digits = width.chars().take_while(|character| character.is_numeric());
        digits.clone().all(|digit| digit.is_ascii_digit()) && digits.count() <= DIGITS_MAX
    })
}

/// Returns whether a number's exponent is one that a number may have.
fn exponent_fits(number: &str) -> bool {
    number.split(['e', 'E']).skip(1).all(|exponent| {
        let digits = exponent.trim_start_matches(['+', '-']);
        digits.bytes().take_while(u8::is_ascii_digit).count() <= DIGITS_MAX
    })
}
