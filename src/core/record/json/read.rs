//! The strict reader.
//!
//! It goes through the text once. Memory and time are linear in the text, and the [`Limits`] bound what a
//! text can make of few bytes: depth, which is recursion, and values, each of which costs more memory than
//! the two bytes it can be written in.

use std::borrow::Cow;

use super::{JsonError, JsonFault, Member, Number, Object, Value};

/// What a text may ask of its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the text.
    pub bytes: usize,
    /// Most levels of arrays and objects in one another.
    pub depth: usize,
    /// Most values, those inside of others counted as well.
    pub values: usize,
}

/// Members for which the reader has room at once: many events have no more in objects of one another.
const MEMBERS_EXPECTED: usize = 16;

/// Parses a text that holds one value, and white space around it.
pub fn parse<'a>(text: &'a [u8], limits: &Limits) -> Result<Value<'a>, JsonError> {
    Reader::read(text, limits, Form::Any)
}

/// Parses a text of a producer that counts in 64 bits: as [`parse`] does, but a number that a double would
/// change is its own text, a string.
pub fn parse_foreign<'a>(text: &'a [u8], limits: &Limits) -> Result<Value<'a>, JsonError> {
    Reader::read(text, limits, Form::Foreign)
}

/// Parses a text that must be the canonical one of its value (RFC 8785), without writing it again.
pub fn parse_canonical<'a>(text: &'a [u8], limits: &Limits) -> Result<Value<'a>, JsonError> {
    Reader::read(text, limits, Form::Canonical)
}

/// What is taken as a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Every form of a value.
    Any,
    /// The one of RFC 8785.
    Canonical,
    /// Every form, and numbers that no value holds as their texts.
    Foreign,
}

/// A fault and its offset, in a box: what is well makes no room for them.
type Stop = Box<(JsonFault, usize)>;

/// Returns what ends the reading.
#[cold]
#[expect(clippy::unnecessary_box_returns, reason = "the box is what the callers return")]
fn stop(fault: JsonFault, at: usize) -> Stop {
    Box::new((fault, at))
}

/// What is read, and how far it has been.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: usize,
    /// Members of the objects that the reader is in, those of the innermost last: each object takes its own
    /// when it is whole, so that it gets their exact room at once.
    members: Vec<Member<'a>>,
    limits: Limits,
    canonical: bool,
    foreign: bool,
}

#[expect(
    clippy::inline_always,
    reason = "an event has a hundred names and values, and each call costs as much as it does"
)]
impl<'a> Reader<'a> {
    /// Reads a whole text.
    fn read(bytes: &'a [u8], limits: &Limits, form: Form) -> Result<Value<'a>, JsonError> {
        let run = || {
            if bytes.len() > limits.bytes {
                let fault = JsonFault::TooLong { bytes: bytes.len(), max: limits.bytes };
                return Err(stop(fault, limits.bytes));
            }
            let utf8 = |error: core::str::Utf8Error| stop(JsonFault::Utf8, error.valid_up_to());
            let text = str::from_utf8(bytes).map_err(utf8)?;
            let (canonical, foreign) = (form == Form::Canonical, form == Form::Foreign);
            let members = Vec::with_capacity(MEMBERS_EXPECTED);
            let mut reader =
                Self { text, at: 0, values: 0, members, limits: *limits, canonical, foreign };
            reader.space()?;
            let mut value = Value::Null;
            reader.value(0, |_, read| value = read)?;
            reader.space()?;
            if reader.at < text.len() {
                return Err(stop(JsonFault::Trailing, reader.at));
            }
            Ok(value)
        };
        run().map_err(|stop: Stop| JsonError::new(stop.0, bytes, stop.1))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Returns the text from an offset to where the reader is; both are ends of characters.
    #[inline(always)]
    fn since(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).expect("the reader stops at ASCII characters")
    }

    /// Passes over white space, of which canonical text has none.
    #[inline(always)]
    fn space(&mut self) -> Result<(), Stop> {
        let start = self.at;
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        if self.canonical && self.at > start { Err(stop(JsonFault::Form, start)) } else { Ok(()) }
    }

    /// Passes over one byte that is due.
    #[inline(always)]
    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Stop> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(stop(JsonFault::Unexpected { expected }, self.at)),
            None => Err(stop(JsonFault::End, self.at)),
        }
    }

    /// Reads one value, which stands inside of `depth` others, and puts it where it belongs.
    ///
    /// Each kind is put for itself: a value that is handed up from here is copied while its parts are still on
    /// their way to memory, which shows in `record/json/parse/1024`.
    #[inline(always)]
    fn value(&mut self, depth: usize, put: impl FnOnce(&mut Self, Value<'a>)) -> Result<(), Stop> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(stop(JsonFault::Values { max: self.limits.values }, self.at));
        }
        match self.peek() {
            Some(b'{' | b'[') if depth >= self.limits.depth => {
                return Err(stop(JsonFault::Depth { max: self.limits.depth }, self.at));
            }
            Some(b'{') => {
                let object = self.object(depth + 1)?;
                put(self, Value::Object(object));
            }
            Some(b'[') => {
                let values = self.array(depth + 1)?;
                put(self, Value::Array(values));
            }
            Some(b'"') => {
                let text = self.string()?;
                put(self, Value::String(text));
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number_value()?;
                put(self, number);
            }
            Some(b't') => {
                self.word("true")?;
                put(self, Value::Bool(true));
            }
            Some(b'f') => {
                self.word("false")?;
                put(self, Value::Bool(false));
            }
            Some(b'n') => {
                self.word("null")?;
                put(self, Value::Null);
            }
            Some(_) => {
                return Err(stop(JsonFault::Unexpected { expected: "a value" }, self.at));
            }
            None => return Err(stop(JsonFault::End, self.at)),
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Stop> {
        let rest = self.text.get(self.at..).expect("the reader stops at ASCII characters");
        if !rest.starts_with(word) {
            return Err(stop(JsonFault::Unexpected { expected: "a value" }, self.at));
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads an array, at whose bracket the reader stands.
    fn array(&mut self, depth: usize) -> Result<Vec<Value<'a>>, Stop> {
        self.at += 1;
        self.space()?;
        let mut values = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(values);
        }
        loop {
            self.space()?;
            self.value(depth, |_, value| values.push(value))?;
            self.space()?;
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(values);
            }
            self.take(b',', "',' or ']'")?;
        }
    }

    /// Reads an object, at whose brace the reader stands, and puts its members in order.
    fn object(&mut self, depth: usize) -> Result<Object<'a>, Stop> {
        let start = self.at;
        let outside = self.members.len();
        self.members(depth)?;
        let members = self.members.split_off(outside);
        if self.canonical {
            let sorted =
                |pair: &[Member<'_>]| matches!(pair, [a, b] if super::compare(&a.0, &b.0).is_le());
            if !members.windows(2).all(sorted) {
                return Err(stop(JsonFault::Form, start));
            }
        }
        let duplicate = |name: Cow<'a, str>| stop(JsonFault::Duplicate, self.second(start, &name));
        Object::from_members(members).map_err(duplicate)
    }

    /// Reads the members of an object as they stand.
    fn members(&mut self, depth: usize) -> Result<(), Stop> {
        self.at += 1;
        self.space()?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.name()?;
            self.value(depth, |reader, value| reader.members.push((name, value)))?;
            self.space()?;
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(());
            }
            self.take(b',', "',' or '}'")?;
        }
    }

    /// Reads a name and the colon behind it.
    #[inline(always)]
    fn name(&mut self) -> Result<Cow<'a, str>, Stop> {
        self.space()?;
        if self.peek().is_some_and(|byte| byte != b'"') {
            return Err(stop(JsonFault::Unexpected { expected: "a name in quotes" }, self.at));
        }
        let name = self.string()?;
        self.space()?;
        self.take(b':', "':'")?;
        self.space()?;
        Ok(name)
    }

    /// Returns where a name stands for the second time in the object that begins at an offset.
    ///
    /// The object has been read once, so that nothing in it can fail again.
    fn second(&self, start: usize, name: &str) -> usize {
        let Self { text, limits, canonical, foreign, .. } = *self;
        let mut again = Self {
            text,
            at: start + 1,
            values: 0,
            members: Vec::new(),
            limits,
            canonical,
            foreign,
        };
        let mut seen = false;
        loop {
            let step = again.space();
            let at = again.at;
            match step.and_then(|()| again.name()) {
                Ok(found) if found == name && seen => return at,
                Ok(found) => seen |= found == name,
                Err(_) => return start,
            }
            if again.value(0, |_, _| ()).and_then(|()| again.space()).is_err() {
                return start;
            }
            again.at += 1;
        }
    }

    /// Reads a string; what has no escapes is borrowed.
    #[inline(always)]
    fn string(&mut self) -> Result<Cow<'a, str>, Stop> {
        let quote = self.at;
        self.take(b'"', "a string")?;
        let start = self.at;
        self.plain();
        if self.peek() != Some(b'"') {
            return self.escaped(quote).map(Cow::Owned);
        }
        let text = self.since(start);
        self.at += 1;
        Ok(Cow::Borrowed(text))
    }

    /// Reads the rest of a string, of which the reader has passed what stands for itself.
    fn escaped(&mut self, quote: usize) -> Result<String, Stop> {
        let mut text = self.since(quote + 1).to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(stop(JsonFault::Control, self.at)),
                None => return Err(stop(JsonFault::End, quote)),
            }
            let start = self.at;
            self.plain();
            text.push_str(self.since(start));
        }
    }

    /// Passes over characters that stand for themselves.
    #[inline(always)]
    fn plain(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += super::special_at(rest).unwrap_or(rest.len());
    }

    /// Reads one escape, or the two of a surrogate pair.
    fn escape(&mut self) -> Result<char, Stop> {
        let start = self.at;
        self.at += 1;
        let letter = self.peek().ok_or_else(|| stop(JsonFault::End, self.at))?;
        self.at += 1;
        let short = match letter {
            b'"' | b'\\' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'/' if !self.canonical => '/',
            b'/' => return Err(stop(JsonFault::Form, start)),
            b'u' => return self.code(start),
            _ => return Err(stop(JsonFault::Escape, start)),
        };
        Ok(short)
    }

    /// Reads what follows `\u`.
    fn code(&mut self, start: usize) -> Result<char, Stop> {
        let unit = self.unit(start)?;
        let code = match unit {
            0xD800..=0xDBFF => {
                let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
                if !rest.starts_with(b"\\u") {
                    return Err(stop(JsonFault::Surrogate, start));
                }
                self.at += 2;
                let low = self.unit(self.at - 2)?;
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err(stop(JsonFault::Surrogate, start));
                }
                0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
            }
            unit => unit,
        };
        let character = char::from_u32(code).ok_or_else(|| stop(JsonFault::Surrogate, start))?;
        let named = matches!(code, 0x8 | 0x9 | 0xA | 0xC | 0xD);
        let upper = self.since(start).bytes().any(|byte| byte.is_ascii_uppercase());
        if self.canonical && (code >= 0x20 || named || upper) {
            return Err(stop(JsonFault::Form, start));
        }
        Ok(character)
    }

    /// Reads four hexadecimal digits.
    fn unit(&mut self, start: usize) -> Result<u32, Stop> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.ok_or_else(|| stop(JsonFault::End, self.text.len()))?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let unit = digits.iter().try_fold(0, |unit, byte| Some(unit << 4 | digit(byte)?));
        self.at += 4;
        unit.ok_or_else(|| stop(JsonFault::Escape, start))
    }

    /// Reads a number, or what stands for one that a double would change.
    fn number_value(&mut self) -> Result<Value<'a>, Stop> {
        let start = self.at;
        match self.number() {
            Ok(number) => Ok(Value::Number(number)),
            Err(stop)
                if self.foreign && matches!(stop.0, JsonFault::Unsafe | JsonFault::Inexact) =>
            {
                Ok(Value::String(self.since(start).into()))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Reads a number by the grammar of RFC 8259, section 6.
    fn number(&mut self) -> Result<Number, Stop> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.at;
        self.digits(start)?;
        if self.since(whole).len() > 1 && self.since(whole).starts_with('0') {
            return Err(stop(JsonFault::Number, start));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits(start)?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits(start)?;
        }
        let number = Number::read(self.since(start)).map_err(|fault| stop(fault, start))?;
        if self.canonical {
            let mut text = String::new();
            super::write_number(&mut text, number.get());
            if text != self.since(start) {
                return Err(stop(JsonFault::Form, start));
            }
        }
        Ok(number)
    }

    /// Passes over one digit or more.
    fn digits(&mut self, start: usize) -> Result<(), Stop> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        match self.peek() {
            _ if self.at > from => Ok(()),
            Some(_) => Err(stop(JsonFault::Number, start)),
            None => Err(stop(JsonFault::End, self.at)),
        }
    }
}
