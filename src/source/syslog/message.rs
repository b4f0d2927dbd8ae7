//! One message of RFC 5424, read to the letter.
//!
//! ```text
//! <34>1 2026-11-21T00:14:00.003Z web-7 sshd 812 LOGIN [attestree@32473 id="7f3a"] Failed password
//! ```
//!
//! What breaks the grammar of section 6 in any place is no message: there is no guess at what was meant, and
//! so no two readers that guess differently. Messages of RFC 3164, which has no grammar, are among these.

use std::borrow::Cow;

/// Most bytes of a name in structured data, and of MSGID.
const NAME_BYTES_MAX: usize = 32;

/// The largest priority: facility 23, severity 7.
const PRIORITY_MAX: u8 = 191;

/// The mark at the beginning of a text that is said to be UTF-8.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A message. What was the nil value is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What kind of program sent it, from 0 to 23.
    pub facility: u8,
    /// How bad it is, from 0 (emergency) to 7 (debug).
    pub severity: u8,
    /// When it occurred, in the form of RFC 3339; whether there is such a day is not looked at.
    pub timestamp: Option<&'a str>,
    /// HOSTNAME.
    pub host: Option<&'a str>,
    /// APP-NAME.
    pub app: Option<&'a str>,
    /// PROCID.
    pub process: Option<&'a str>,
    /// MSGID.
    pub id: Option<&'a str>,
    /// STRUCTURED-DATA; ids differ.
    pub elements: Vec<Element<'a>>,
    /// MSG.
    pub text: Option<Text<'a>>,
}

/// One element of the structured data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// SD-ID.
    pub id: &'a str,
    /// Names and values in the order in which they stand; a name may stand there again.
    pub params: Vec<(&'a str, Cow<'a, str>)>,
}

/// The free text of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// UTF-8, without the mark before it.
    Utf8(&'a str),
    /// Bytes that are no UTF-8, and do not claim to be.
    Bytes(&'a [u8]),
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// Parses one frame.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let priority = reader.priority()?;
        reader.tag(b"1 ")?;
        let timestamp = known(reader.field(32)?);
        if timestamp.is_some_and(|text| !is_timestamp(text)) {
            return None;
        }
        let (host, app) = (known(reader.field(255)?), known(reader.field(48)?));
        let (process, id) = (known(reader.field(128)?), known(reader.field(NAME_BYTES_MAX)?));
        let elements = reader.elements()?;
        let text = match reader.0.split_first() {
            None => None,
            Some((b' ', rest)) => Some(text(rest)?).filter(|text| *text != Text::Utf8("")),
            Some(_) => return None,
        };
        let (facility, severity) = (priority / 8, priority % 8);
        Some(Self { facility, severity, timestamp, host, app, process, id, elements, text })
    }

    /// Returns an element of the structured data.
    pub fn element(&self, id: &str) -> Option<&Element<'a>> {
        self.elements.iter().find(|element| element.id == id)
    }
}

impl Element<'_> {
    /// Returns the value of a name that stands here once.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.params.iter().filter(|(other, _)| *other == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }
}

impl<'a> Reader<'a> {
    /// Passes over bytes that are due.
    fn tag(&mut self, tag: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(tag)?;
        Some(())
    }

    /// Takes the bytes up to one that ends them, and that one.
    fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let at = self.0.iter().position(|byte| *byte == end)?;
        let taken = self.0.get(..at)?;
        self.0 = self.0.get(at + 1..)?;
        Some(taken)
    }

    /// Takes `<PRIVAL>`, which has no leading zeros.
    fn priority(&mut self) -> Option<u8> {
        self.tag(b"<")?;
        let digits = self.until(b'>')?;
        let is_form =
            matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.iter().all(u8::is_ascii_digit);
        let priority = str::from_utf8(digits).ok()?.parse().ok().filter(|_| is_form)?;
        (priority <= PRIORITY_MAX).then_some(priority)
    }

    /// Takes a field of the header and the space behind it.
    fn field(&mut self, bytes_max: usize) -> Option<&'a str> {
        let field = self.until(b' ')?;
        let is_form =
            (1..=bytes_max).contains(&field.len()) && field.iter().all(u8::is_ascii_graphic);
        str::from_utf8(field).ok().filter(|_| is_form)
    }

    /// Takes the structured data.
    fn elements(&mut self) -> Option<Vec<Element<'a>>> {
        if self.tag(b"-").is_some() {
            return Some(Vec::new());
        }
        let mut elements: Vec<Element<'a>> = Vec::new();
        while self.tag(b"[").is_some() {
            elements.push(self.element()?);
        }
        // Sorted, because a message may hold tens of thousands of them.
        let mut ids: Vec<&str> = elements.iter().map(|element| element.id).collect();
        ids.sort_unstable();
        let differ = ids.is_sorted_by(|one, other| one < other);
        (differ && !elements.is_empty()).then_some(elements)
    }

    /// Takes an element, whose bracket was taken, to its end.
    fn element(&mut self) -> Option<Element<'a>> {
        let id = self.name()?;
        let mut params = Vec::new();
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            match first {
                b']' => return Some(Element { id, params }),
                b' ' => {
                    let name = self.name()?;
                    self.tag(b"=\"")?;
                    params.push((name, self.value()?));
                }
                _ => return None,
            }
        }
    }

    /// Takes a name of structured data.
    fn name(&mut self) -> Option<&'a str> {
        let is_name = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
        let length =
            self.0.iter().take(NAME_BYTES_MAX + 1).take_while(|byte| is_name(byte)).count();
        let (name, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        str::from_utf8(name).ok().filter(|name| (1..=NAME_BYTES_MAX).contains(&name.len()))
    }

    /// Takes a value and the quote behind it. A backslash stands for itself unless it is before `"`, `\` or `]`.
    fn value(&mut self) -> Option<Cow<'a, str>> {
        let (mut at, mut escapes) = (0, false);
        loop {
            match self.0.get(at)? {
                b'"' => break,
                b']' => return None,
                b'\\' if matches!(self.0.get(at + 1), Some(b'"' | b'\\' | b']')) => {
                    escapes = true;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        let text = str::from_utf8(self.0.get(..at)?).ok()?;
        self.0 = self.0.get(at + 1..)?;
        if !escapes {
            return Some(text.into());
        }
        let mut plain = String::with_capacity(text.len());
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let escaped =
                characters.next_if(|next| character == '\\' && matches!(next, '"' | '\\' | ']'));
            plain.push(escaped.unwrap_or(character));
        }
        Some(plain.into())
    }
}

/// Returns what a field says, unless it is the nil value.
fn known(field: &str) -> Option<&str> {
    (field != "-").then_some(field)
}

/// Takes the free text; one that is marked as UTF-8 has to be it.
fn text(bytes: &[u8]) -> Option<Text<'_>> {
    match bytes.strip_prefix(BOM) {
        Some(marked) => str::from_utf8(marked).ok().map(Text::Utf8),
        None => Some(str::from_utf8(bytes).map_or(Text::Bytes(bytes), Text::Utf8)),
    }
}

/// Returns whether a text has the form of TIMESTAMP: RFC 3339 in upper case, at most six decimals.
fn is_timestamp(text: &str) -> bool {
    let shape = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                form => byte == form,
            })
    };
    let Some((time, rest)) = text.split_at_checked(19) else { return false };
    let decimals = rest
        .strip_prefix('.')
        .map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let Some(zone) = (match (rest.starts_with('.'), decimals) {
        (false, _) => Some(rest),
        (true, 1..=6) => rest.get(1 + decimals..),
        (true, _) => None,
    }) else {
        return false;
    };
    shape(time, "0000-00-00T00:00:00")
        && (zone == "Z" || shape(zone, "+00:00") || shape(zone, "-00:00"))
}
