//! Detectors: what looks like a secret or an identifier of a person, wherever it stands in a text.
//!
//! Each is a scanner of its own over the bytes of a text. It checks what can be checked, check digits where
//! there are any and that a match does not go on at either side, and looks at a bounded stretch for each
//! place where a match may begin, so that no text takes more than linear time.

use core::ops::Range;

/// Something that is recognised by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detector {
    /// A payment card's number: 13 to 19 digits, in groups or not, with their check digit (ISO/IEC 7812).
    Card,
    /// An e-mail address.
    Email,
    /// A JSON Web Token in compact form (RFC 7519, section 3).
    Jwt,
    /// A key of a cloud or code host, by its published prefix.
    CloudKey,
    /// A private key in PEM (RFC 7468).
    Pem,
    /// An international bank account number with its check digits (ISO 13616).
    Iban,
    /// A national id of a person: a social security number of the USA, or a national insurance number of
    /// the United Kingdom.
    NationalId,
}

/// Prefixes of keys, all of which begin with `A`, `g` or `x`, with how many characters of `[A-Za-z0-9_-]` follow at least.
const KEY_PREFIXES: [(&[u8], usize); 12] = [
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"AIza", 35),
    (b"ghp_", 36),
    (b"gho_", 36),
    (b"ghu_", 36),
    (b"ghs_", 36),
    (b"ghr_", 36),
    (b"github_pat_", 22),
    (b"glpat-", 20),
    (b"xoxb-", 20),
    (b"xoxp-", 20),
];

/// Most bytes of the local part of an address, and of a domain (RFC 5321, section 4.5.3.1).
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 255;

/// Most bytes between a key's `BEGIN` and `PRIVATE KEY`: the name of an algorithm.
const LABEL_BYTES_MAX: usize = 32;

impl Detector {
    /// Every detector.
    pub const ALL: [Self; 7] = [
        Self::Card,
        Self::Email,
        Self::Jwt,
        Self::CloudKey,
        Self::Pem,
        Self::Iban,
        Self::NationalId,
    ];

    /// Returns the name in policies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Email => "email",
            Self::Jwt => "jwt",
            Self::CloudKey => "cloud-key",
            Self::Pem => "pem",
            Self::Iban => "iban",
            Self::NationalId => "national-id",
        }
    }

    /// Returns the detector of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|detector| detector.name() == name)
    }

    /// Finds every match in a text, from left to right and without overlap.
    pub fn find(self, text: &str) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let mut found: Vec<Range<usize>> = Vec::new();
        if !self.is_possible(text) {
            return found;
        }
        let mut at = 0;
        while at < bytes.len() {
            let free = found.last().map_or(0, |last| last.end);
            match self.matches(bytes, at).filter(|range| range.start >= free) {
                Some(range) => {
                    at = range.end;
                    found.push(range);
                }
                None => at += 1,
            }
        }
        found
    }

    /// Returns whether a text can hold a match at all: one pass instead of many beginnings.
    fn is_possible(self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let digits = |least| {
            bytes.len() >= least
                && bytes.iter().filter(|byte| byte.is_ascii_digit()).count() >= least
        };
        match self {
            Self::Card => digits(13),
            Self::Email => bytes.contains(&b'@'),
            Self::Jwt => bytes.len() >= 8 && text.contains("eyJ"),
            Self::CloudKey => bytes.len() >= 20,
            Self::Pem => bytes.len() >= 27 && text.contains("-----BEGIN "),
            Self::Iban => bytes.len() >= 15 && digits(2),
            Self::NationalId => digits(6),
        }
    }

    /// Returns the match that is found at a byte: it begins there, save for an address, found at its `@`.
    fn matches(self, bytes: &[u8], at: usize) -> Option<Range<usize>> {
        let (before, rest) = bytes.split_at_checked(at)?;
        let first = *rest.first()?;
        let fresh = !before.last().is_some_and(u8::is_ascii_alphanumeric);
        let end = match self {
            Self::Email if first == b'@' => return address(bytes, at),
            Self::Card if fresh && matches!(first, b'2'..=b'6') => card(rest)?,
            Self::Jwt if fresh && rest.starts_with(b"eyJ") => jwt(rest)?,
            Self::CloudKey if fresh && matches!(first, b'A' | b'g' | b'x') => cloud_key(rest)?,
            Self::Pem if rest.starts_with(b"-----BEGIN ") => private_key(rest)?,
            Self::Iban if fresh && first.is_ascii_uppercase() => iban(rest)?,
            Self::NationalId if fresh => national_id(before, rest)?,
            _ => return None,
        };
        Some(at..at + end)
    }
}

/// Returns whether a match may end before these bytes.
fn ends(rest: &[u8]) -> bool {
    !rest.first().is_some_and(u8::is_ascii_alphanumeric)
}

/// Returns how many of the first bytes are of a kind.
fn run(bytes: &[u8], is_kind: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is_kind(**byte)).count()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Finds the longest card number: digits that single spaces or hyphens may group.
fn card(rest: &[u8]) -> Option<usize> {
    let mut digits = Vec::new();
    let mut longest = None;
    for (at, &byte) in rest.iter().enumerate() {
        let after = rest.get(at + 1..).unwrap_or_default();
        let grouped = matches!(byte, b' ' | b'-') && after.first().is_some_and(u8::is_ascii_digit);
        match byte {
            b'0'..=b'9' if digits.len() < 19 => digits.push(byte - b'0'),
            _ if grouped => continue,
            _ => break,
        }
        if digits.len() >= 13 && ends(after) && luhn(&digits) {
            longest = Some(at + 1);
        }
    }
    longest
}

/// Checks the last of the digits (ISO/IEC 7812-1, annex B).
fn luhn(digits: &[u8]) -> bool {
    let weigh = |(position, digit): (usize, &u8)| match (position % 2, u32::from(*digit)) {
        (0, digit) => digit,
        (_, digit @ 0..=4) => 2 * digit,
        (_, digit) => 2 * digit - 9,
    };
    digits.iter().rev().enumerate().map(weigh).sum::<u32>().is_multiple_of(10)
}

/// Finds the address around an `@`.
fn address(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let (before, rest) = bytes.split_at_checked(at)?;
    let is_local = |byte: &&u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
    };
    let local = before.iter().rev().take(LOCAL_BYTES_MAX).take_while(is_local).count();
    let domain = rest.get(1..)?;
    let length = run(domain, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let domain = domain.get(..length.min(DOMAIN_BYTES_MAX))?;
    // A full stop behind an address ends a sentence.
    let domain = domain.strip_suffix(b".").unwrap_or(domain);
    let top = domain.rsplit(|byte| *byte == b'.').next()?;
    let is_domain =
        domain.len() > top.len() + 1 && top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic);
    let empty_label = domain.split(|byte| *byte == b'.').any(<[u8]>::is_empty);
    (local > 0 && is_domain && !empty_label).then_some(at - local..at + 1 + domain.len())
}

/// Finds three parts in base64url, of which the first two begin as JSON objects do; the last may be empty.
fn jwt(rest: &[u8]) -> Option<usize> {
    let header = run(rest, is_word);
    let claims =
        rest.get(header..)?.strip_prefix(b".").filter(|claims| claims.starts_with(b"eyJ"))?;
    let length = run(claims, is_word);
    let signature = claims.get(length..)?.strip_prefix(b".")?;
    Some(header + 1 + length + 1 + run(signature, is_word))
}

/// Finds a key by its prefix.
fn cloud_key(rest: &[u8]) -> Option<usize> {
    let (prefix, least) = KEY_PREFIXES.iter().find(|(prefix, _)| rest.starts_with(prefix))?;
    let key = run(rest.get(prefix.len()..)?, is_word);
    (key >= *least).then_some(prefix.len() + key)
}

/// Finds a private key from its first line to its last, or to the end of the text.
fn private_key(rest: &[u8]) -> Option<usize> {
    let find =
        |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let what = b"PRIVATE KEY-----";
    let first = rest.get(..rest.len().min(11 + LABEL_BYTES_MAX + what.len()))?;
    let body = find(first, what)? + what.len();
    let last = find(rest.get(body..)?, b"-----END ").map(|at| body + at + 9);
    let closed = last.and_then(|last| Some(last + find(rest.get(last..)?, b"-----")? + 5));
    Some(closed.unwrap_or(rest.len()))
}

/// Finds the longest account number: 15 to 34 characters, which single spaces may group.
fn iban(rest: &[u8]) -> Option<usize> {
    let mut characters = Vec::new();
    let mut longest = None;
    for (at, &byte) in rest.iter().enumerate() {
        let is_due = match characters.len() {
            0 | 1 => byte.is_ascii_uppercase(),
            2 | 3 => byte.is_ascii_digit(),
            4..=33 => byte.is_ascii_digit() || byte.is_ascii_uppercase(),
            _ => false,
        };
        let after = rest.get(at + 1..).unwrap_or_default();
        if byte == b' '
            && !characters.is_empty()
            && characters.len().is_multiple_of(4)
            && !ends(after)
        {
            continue;
        }
        if !is_due {
            break;
        }
        characters.push(byte);
        if characters.len() >= 15 && ends(after) && is_iban(&characters) {
            longest = Some(at + 1);
        }
    }
    longest
}

/// Checks the third and fourth character (ISO 13616-1, with ISO/IEC 7064, MOD 97-10).
fn is_iban(characters: &[u8]) -> bool {
    let (front, rest) = characters.split_at(4);
    let value = |byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        letter => u32::from(letter - b'A') + 10,
    };
    let rest = rest.iter().chain(front).map(value).fold(0, |rest, value| {
        let shift = if value < 10 { 10 } else { 100 };
        (rest * shift + value) % 97
    });
    rest == 1
}

/// Finds a number of the USA, `123-45-6789`, or of the United Kingdom, `AB123456C`.
fn national_id(before: &[u8], rest: &[u8]) -> Option<usize> {
    let form = |pattern: &[u8]| {
        let same = |(kind, byte): (&u8, &u8)| match kind {
            b'0' => byte.is_ascii_digit(),
            b'A' => byte.is_ascii_uppercase(),
            other => byte == other,
        };
        let found =
            rest.get(..pattern.len()).filter(|found| pattern.iter().zip(*found).all(same))?;
        ends(rest.get(pattern.len()..)?).then_some(found)
    };
    if let Some(found) = form(b"000-00-0000") {
        let (area, group, serial) = (found.get(..3)?, found.get(4..6)?, found.get(7..)?);
        let is_number =
            !matches!(area, b"000" | b"666" | [b'9', ..]) && group != b"00" && serial != b"0000";
        let is_alone = before.last() != Some(&b'-') && rest.get(11) != Some(&b'-');
        return (is_number && is_alone).then_some(11);
    }
    let found = form(b"AA000000A")?;
    let [first, second, .., last] = found else { return None };
    let is_prefix = !b"DFIQUV".contains(first) && !b"DFIOQUV".contains(second);
    let is_issued =
        ![b"BG", b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"].contains(&&[*first, *second]);
    (is_prefix && is_issued && matches!(last, b'A'..=b'D')).then_some(9)
}
