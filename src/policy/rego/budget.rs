//! How much builtins may make for one event, all of their calls together, and how much they are given at once.
//!
//! Values share their parts: an array of an array twice is one array in memory, and twice as long as a text. Whoever
//! walks through one counts first, and stops counting at the bound.

use std::cell::Cell;

use regorus::Value;

/// Most bytes that builtins make for one event: 64 times the longest that rules see, and a quarter of a second's worth
/// of nothing but copying.
const BYTES_MAX: usize = 16 << 20;

/// Most bytes and values of what a builtin is given, written out.
pub(super) const WEIGHT_MAX: usize = 4 << 20;

/// About how many bytes an element takes: itself, and its part of a node of a tree.
const ELEMENT_BYTES: usize = 48;

thread_local! {
    /// What is left of the bytes for the event that this thread judges.
    static LEFT: Cell<usize> = const { Cell::new(BYTES_MAX) };
}

/// Begins with another event.
pub(super) fn begin() {
    LEFT.set(BYTES_MAX);
}

/// Takes what a value needs from what is left; returns whether there was as much.
pub(super) fn spend(value: &Value) -> bool {
    let bytes = match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.len().saturating_mul(ELEMENT_BYTES),
        Value::Set(values) => values.len().saturating_mul(ELEMENT_BYTES),
        Value::Object(members) => members.len().saturating_mul(2 * ELEMENT_BYTES),
        _ => 0,
    };
    let left = LEFT.get().checked_sub(bytes);
    LEFT.set(left.unwrap_or(0));
    left.is_some()
}

/// Returns how many bytes and values there are, written out; `None` beyond [`WEIGHT_MAX`].
pub(super) fn weight(values: &[Value]) -> Option<usize> {
    let mut left = WEIGHT_MAX;
    values.iter().try_for_each(|value| weigh(value, &mut left)).map(|()| WEIGHT_MAX - left)
}

/// Takes what a value weighs from what is left. No value is deep: what nests it is written in a module.
fn weigh(value: &Value, left: &mut usize) -> Option<()> {
    let own = if let Value::String(text) = value { text.len() + 1 } else { 1 };
    *left = left.checked_sub(own)?;
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| weigh(value, left)),
        Value::Set(values) => values.iter().try_for_each(|value| weigh(value, left)),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            weigh(name, left)?;
            weigh(value, left)
        }),
        _ => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MAX, Value, begin, spend, weight};

    #[test]
    fn what_is_shared_is_counted_as_often_as_it_is_written() {
        let mut value = Value::from("a");
        for _ in 0..10 {
            value = Value::from(vec![value.clone(), value]);
        }
        assert_eq!(weight(&[value.clone()]), Some(1_023 + 2 * 1_024));
        for _ in 0..50 {
            value = Value::from(vec![value.clone(), value]);
        }
        assert_eq!(weight(&[value]), None);
    }

    #[test]
    fn what_is_spent_is_gone_until_the_next_event() {
        begin();
        let half = Value::from("a".repeat(BYTES_MAX / 2));
        assert!(spend(&half) && spend(&half) && !spend(&Value::from("a")));
        begin();
        assert!(spend(&half));
    }
}
