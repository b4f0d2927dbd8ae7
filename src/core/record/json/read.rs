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

/// A fault and its offset.
type Stop = (JsonFault, usize);

/// What is read, and how far it has been.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: usize,
    limits: Limits,
    canonical: bool,
    foreign: bool,
}

impl<'a> Reader<'a> {
    /// Reads a whole text.
    fn read(bytes: &'a [u8], limits: &Limits, form: Form) -> Result<Value<'a>, JsonError> {
        let run = || {
            if bytes.len() > limits.bytes {
                let fault = JsonFault::TooLong { bytes: bytes.len(), max: limits.bytes };
                return Err((fault, limits.bytes));
            }
            let utf8 = |error: core::str::Utf8Error| (JsonFault::Utf8, error.valid_up_to());
            let text = str::from_utf8(bytes).map_err(utf8)?;
            let (canonical, foreign) = (form == Form::Canonical, form == Form::Foreign);
            let mut reader = Self { text, at: 0, values: 0, limits: *limits, canonical, foreign };
            reader.space()?;
            let value = reader.value(0)?;
            reader.space()?;
            if reader.at < text.len() {
                return Err((JsonFault::Trailing, reader.at));
            }
            Ok(value)
        };
        run().map_err(|(fault, byte)| JsonError::new(fault, bytes, byte))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Returns the text from an offset to where the reader is; both are ends of characters.
    fn since(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).expect("the reader stops at ASCII characters")
    }

    /// Passes over white space, of which canonical text has none.
    fn space(&mut self) -> Result<(), Stop> {
        let start = self.at;
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        if self.canonical && self.at > start { Err((JsonFault::Form, start)) } else { Ok(()) }
    }

    /// Passes over one byte that is due.
    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Stop> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err((JsonFault::Unexpected { expected }, self.at)),
            None => Err((JsonFault::End, self.at)),
        }
    }

    /// Reads one value, which stands inside of `depth` others.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Stop> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err((JsonFault::Values { max: self.limits.values }, self.at));
        }
        match self.peek() {
            Some(b'{' | b'[') if depth >= self.limits.depth => {
                Err((JsonFault::Depth { max: self.limits.depth }, self.at))
            }
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number_value(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err((JsonFault::Unexpected { expected: "a value" }, self.at)),
            None => Err((JsonFault::End, self.at)),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Stop> {
        let rest = self.text.get(self.at..).expect("the reader stops at ASCII characters");
        if !rest.starts_with(word) {
            return Err((JsonFault::Unexpected { expected: "a value" }, self.at));
        }
        self.at += word.len();
        Ok(value)
    }

    /// Reads an array, at whose bracket the reader stands.
    fn array(&mut self, depth: usize) -> Result<Value<'a>, Stop> {
        self.at += 1;
        self.space()?;
        let mut values = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(values));
        }
        loop {
            self.space()?;
            values.push(self.value(depth)?);
            self.space()?;
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(Value::Array(values));
            }
            self.take(b',', "',' or ']'")?;
        }
    }

    /// Reads an object, at whose brace the reader stands, and puts its members in order.
    fn object(&mut self, depth: usize) -> Result<Value<'a>, Stop> {
        let start = self.at;
        let members = self.members(depth)?;
        if self.canonical {
            let sorted =
                |pair: &[Member<'_>]| matches!(pair, [a, b] if super::compare(&a.0, &b.0).is_le());
            if !members.windows(2).all(sorted) {
                return Err((JsonFault::Form, start));
            }
        }
        let duplicate = |name: Cow<'a, str>| (JsonFault::Duplicate, self.second(start, &name));
        Object::from_members(members).map(Value::Object).map_err(duplicate)
    }

    /// Reads the members of an object as they stand.
    fn members(&mut self, depth: usize) -> Result<Vec<Member<'a>>, Stop> {
        self.at += 1;
        self.space()?;
        let mut members = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(members);
        }
        loop {
            let name = self.name()?;
            members.push((name, self.value(depth)?));
            self.space()?;
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(members);
            }
            self.take(b',', "',' or '}'")?;
        }
    }

    /// Reads a name and the colon behind it.
    fn name(&mut self) -> Result<Cow<'a, str>, Stop> {
        self.space()?;
        if self.peek().is_some_and(|byte| byte != b'"') {
            return Err((JsonFault::Unexpected { expected: "a name in quotes" }, self.at));
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
        let mut again = Self { at: start + 1, values: 0, ..*self };
        let mut seen = false;
        loop {
            let step = again.space();
            let at = again.at;
            match step.and_then(|()| again.name()) {
                Ok(found) if found == name && seen => return at,
                Ok(found) => seen |= found == name,
                Err(_) => return start,
            }
            if again.value(0).and_then(|_| again.space()).is_err() {
                return start;
            }
            again.at += 1;
        }
    }

    /// Reads a string; what has no escapes is borrowed.
    fn string(&mut self) -> Result<Cow<'a, str>, Stop> {
        let quote = self.at;
        self.take(b'"', "a string")?;
        let start = self.at;
        let mut text: Option<String> = None;
        let mut plain = start;
        loop {
            self.plain();
            match self.peek() {
                Some(b'"') => {
                    let last = self.since(plain);
                    self.at += 1;
                    return Ok(match text {
                        None => Cow::Borrowed(last),
                        Some(text) => Cow::Owned(text + last),
                    });
                }
                Some(b'\\') => {
                    let text = text.get_or_insert_default();
                    text.push_str(self.since(plain));
                    text.push(self.escape()?);
                    plain = self.at;
                }
                Some(_) => return Err((JsonFault::Control, self.at)),
                None => return Err((JsonFault::End, quote)),
            }
        }
    }

    /// Passes over characters that stand for themselves.
    fn plain(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += super::special_at(rest).unwrap_or(rest.len());
    }

    /// Reads one escape, or the two of a surrogate pair.
    fn escape(&mut self) -> Result<char, Stop> {
        let start = self.at;
        self.at += 1;
        let letter = self.peek().ok_or((JsonFault::End, self.at))?;
        self.at += 1;
        let short = match letter {
            b'"' | b'\\' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'/' if !self.canonical => '/',
            b'/' => return Err((JsonFault::Form, start)),
            b'u' => return self.code(start),
            _ => return Err((JsonFault::Escape, start)),
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
                    return Err((JsonFault::Surrogate, start));
                }
                self.at += 2;
                let low = self.unit(self.at - 2)?;
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err((JsonFault::Surrogate, start));
                }
                0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
            }
            unit => unit,
        };
        let character = char::from_u32(code).ok_or((JsonFault::Surrogate, start))?;
        let named = matches!(code, 0x8 | 0x9 | 0xA | 0xC | 0xD);
        let upper = self.since(start).bytes().any(|byte| byte.is_ascii_uppercase());
        if self.canonical && (code >= 0x20 || named || upper) {
            return Err((JsonFault::Form, start));
        }
        Ok(character)
    }

    /// Reads four hexadecimal digits.
    fn unit(&mut self, start: usize) -> Result<u32, Stop> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.ok_or((JsonFault::End, self.text.len()))?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let unit = digits.iter().try_fold(0, |unit, byte| Some(unit << 4 | digit(byte)?));
        self.at += 4;
        unit.ok_or((JsonFault::Escape, start))
    }

    /// Reads a number, or what stands for one that a double would change.
    fn number_value(&mut self) -> Result<Value<'a>, Stop> {
        let start = self.at;
        match self.number() {
            Ok(number) => Ok(Value::Number(number)),
            Err((JsonFault::Unsafe | JsonFault::Inexact, _)) if self.foreign => {
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
            return Err((JsonFault::Number, start));
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
        let number = Number::read(self.since(start)).map_err(|fault| (fault, start))?;
        if self.canonical {
            let mut text = String::new();
            super::write_number(&mut text, number.get());
            if text != self.since(start) {
                return Err((JsonFault::Form, start));
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
            Some(_) => Err((JsonFault::Number, start)),
            None => Err((JsonFault::End, self.at)),
        }
    }
}
