//! Foreign JSON: strict as a record's, but for numbers of 64 bits.

use attestree::core::record::SUBMISSION_LIMITS;
use attestree::core::record::json::{self, JsonFault};
use attestree::source::json::{key_of, read};

/// Returns the canonical text of what was read.
fn canonical(text: &str) -> String {
    read(text.as_bytes(), &SUBMISSION_LIMITS).unwrap().format()
}

#[test]
fn numbers_that_a_double_would_change_become_their_texts() {
    let cases = [
        ("9007199254740991", "9007199254740991"),
        ("9007199254740992", "\"9007199254740992\""),
        ("-9007199254740993", "\"-9007199254740993\""),
        ("18446744073709551615", "\"18446744073709551615\""),
        ("1e400", "\"1e400\""),
        ("0.10000000000000000001", "\"0.10000000000000000001\""),
        ("1.50", "1.5"),
        ("[1, 1e99 ,2]", "[1,\"1e99\",2]"),
        ("{\"b\":12345678901234567890, \"a\":1}", "{\"a\":1,\"b\":\"12345678901234567890\"}"),
    ];
    for (text, expected) in cases {
        assert_eq!(canonical(text), expected);
        let again = canonical(expected);
        assert_eq!(again, expected, "what was read is read as the same");
    }
}

#[test]
fn everything_else_is_read_as_strictly_as_a_record() {
    let cases: [(&[u8], JsonFault); 6] = [
        (b"{\"a\":1,\"a\":12345678901234567890}", JsonFault::Duplicate),
        (b"\"\xff\"", JsonFault::Utf8),
        (b"012345678901234567890", JsonFault::Number),
        (b"1.", JsonFault::End),
        (b"1e99 2", JsonFault::Trailing),
        (b"NaN", JsonFault::Unexpected { expected: "a value" }),
    ];
    for (text, fault) in cases {
        assert_eq!(read(text, &SUBMISSION_LIMITS).map_err(|error| error.fault), Err(fault));
    }
    let strict = json::parse(b"9007199254740993", &SUBMISSION_LIMITS);
    assert_eq!(strict.map_err(|error| error.fault), Err(JsonFault::Unsafe));
}

#[test]
fn a_body_is_named_by_its_hash() {
    let empty = b"body:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert_eq!(key_of(b""), empty);
    assert_ne!(key_of(b"a"), key_of(b"b"));
}
