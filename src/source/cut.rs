//! Cuts a body of JSON into its items, so that each is read on its own and a bad one spoils no other.
//!
//! Only the outermost form is looked at, without recursion and without a copy. Bytes that are no UTF-8 can
//! stand in a string alone, where they end nothing: they are masked for the cut, and found by the reader of
//! the item they stand in.
//!
//! Where a form is broken, everything from there on is one piece. Nobody guesses where the next item could
//! begin: what looks like one might be text inside of another, chosen by a stranger.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{
    Deserializer as _,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::core::record::SUBMISSION_LIMITS;
use crate::core::record::json::Limits;

/// What an item may ask of the reader: it stands up to two levels deeper in an event than it came, beside
/// fewer than 1,024 values that a decoder adds.
pub(super) const ITEM_LIMITS: Limits = Limits {
    bytes: SUBMISSION_LIMITS.bytes,
    depth: SUBMISSION_LIMITS.depth - 2,
    values: SUBMISSION_LIMITS.values - 1_024,
};

/// A body in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The items, in order.
    pub(super) items: Vec<Bytes>,
    /// What was not cut: from where the form is broken, or the items became too many; often empty.
    pub(super) rest: Bytes,
}

/// Cuts an array into its elements, at most `max`; `None` if the body is no array.
pub(super) fn array(body: &Bytes, max: usize) -> Option<Cut> {
    let text = masked(body);
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let elements = deserializer.deserialize_seq(Elements { max }).ok()?;
    deserializer.end().ok()?;
    let items: Vec<Bytes> =
        elements.iter().map(|element| piece(body, &text, element.get())).collect();
    let last = elements.last().filter(|_| elements.len() == max);
    // What is left of an array whose elements became too many ends with its bracket.
    let rest = last.map(|last| {
        let rest = body.slice(end(&text, last.get())..);
        let trimmed = rest.trim_ascii();
        if trimmed == b"]" { Bytes::new() } else { rest }
    });
    Some(Cut { items, rest: rest.unwrap_or_default() })
}

/// Cuts values that follow one another with nothing but white space between them, at most `max`.
pub(super) fn stream(body: &Bytes, max: usize) -> Cut {
    let text = masked(body);
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<&RawValue>();
    let mut items = Vec::new();
    let mut end = 0;
    while items.len() < max {
        let Some(Ok(value)) = values.next() else { break };
        items.push(piece(body, &text, value.get()));
        end = values.byte_offset();
    }
    let rest = body.slice(end..);
    let is_space = rest.trim_ascii().is_empty();
    Cut { items, rest: if is_space { Bytes::new() } else { rest } }
}

/// Returns a text of the same length, with a question mark for every byte that is no UTF-8.
fn masked(body: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(body) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    Cow::Owned(text)
}

/// Returns the bytes of the body at which a part of its text stands.
fn piece(body: &Bytes, text: &str, part: &str) -> Bytes {
    let end = end(text, part);
    body.slice(end - part.len()..end)
}

/// Returns where a part of a text ends in it.
fn end(text: &str, part: &str) -> usize {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start + part.len()
}

/// Takes the first elements of an array, and passes over the others.
struct Elements {
    max: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut taken = Vec::new();
        while taken.len() < self.max {
            let Some(element) = elements.next_element()? else { return Ok(taken) };
            taken.push(element);
        }
        while let Some(IgnoredAny) = elements.next_element()? {}
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(cut: &Cut) -> (Vec<&[u8]>, &[u8]) {
        (cut.items.iter().map(|item| &item[..]).collect(), &cut.rest)
    }

    #[test]
    fn pieces_are_the_bytes_that_came() {
        let body = Bytes::from_static(b" [ {\"a\":1}, \"\xff\xfe,]\" ,[[]] ] ");
        let cut = array(&body, 3).unwrap();
        let whole: (Vec<&[u8]>, &[u8]) = (vec![b"{\"a\":1}", b"\"\xff\xfe,]\"", b"[[]]"], b"");
        assert_eq!(texts(&cut), whole);
        assert_eq!(array(&body, 4), Some(cut));
        assert_eq!(texts(&array(&body, 2).unwrap()).1, b" ,[[]] ] ");
        for broken in [&b"[1,2"[..], b"[1,]", b"{}", b"", b"[1]]", b"[\xff]"] {
            assert_eq!(array(&Bytes::copy_from_slice(broken), 9), None, "{broken:?}");
        }
    }

    #[test]
    fn a_broken_value_takes_what_follows_with_it() {
        let body = Bytes::from_static(b"{\"a\":1}{\"b\":\"\xff\"}\n7 {\"c\":}{\"d\":1}");
        let cut = stream(&body, 9);
        let (items, rest) = texts(&cut);
        assert_eq!(items, [&b"{\"a\":1}"[..], b"{\"b\":\"\xff\"}", b"7"]);
        assert_eq!(rest, b" {\"c\":}{\"d\":1}");
        assert_eq!(texts(&stream(&body, 1)).1, b"{\"b\":\"\xff\"}\n7 {\"c\":}{\"d\":1}");
        assert_eq!(texts(&stream(&Bytes::from_static(b"{} \n"), 1)), (vec![&b"{}"[..]], &b""[..]));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = [vec![b'['; 200_000], vec![b']'; 200_000]].concat();
        let bomb = Bytes::from([b"[", &deep[..], b",1]"].concat());
        assert_eq!(array(&bomb, 9).unwrap().items.len(), 2);
        assert_eq!(stream(&bomb, 9).items, [bomb]);
    }
}
