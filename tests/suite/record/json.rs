//! Canonical JSON against the published samples of RFC 8785, and what the strict reader refuses.

use attestree::core::record::json::{self, JsonFault, Limits, Number, Value, write_number};
use sha2::{Digest as _, Sha256};

/// Generous limits, each of which some test below runs into.
pub(super) const LIMITS: Limits = Limits { bytes: 4_096, depth: 16, values: 512 };

/// Doubles by their bits and their texts (RFC 8785, appendix B).
const APPENDIX_B: [(u64, &str); 24] = [
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

/// The first sample of RFC 8785, section 3.2.2, as published.
const SAMPLE: &str = r#"{
  "numbers": [333333333.33333329, 1E30, 4.50,
              2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}"#;

/// Its canonical form, without the two numbers that are not safe.
const SAMPLE_CANONICAL: &str = "{\"literals\":[null,true,false],\"numbers\":[4.5,0.002,1e-27],\
    \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";

/// The sample of RFC 8785, section 3.2.3, whose values say in which order the names come.
const ORDER: &str = r#"{
  "\u20ac": 5, "\r": 1, "\ufb33": 7, "1": 2, "\ud83d\ude00": 6, "\u0080": 3, "\u00f6": 4
}"#;

fn number(number: f64) -> String {
    let mut out = String::new();
    write_number(&mut out, number);
    out
}

fn canonical(text: &str) -> String {
    json::parse(text.as_bytes(), &LIMITS).unwrap().format()
}

fn fault(text: &[u8]) -> (JsonFault, usize) {
    let error = json::parse(text, &LIMITS).unwrap_err();
    (error.fault, error.byte)
}

#[test]
fn numbers_are_written_as_in_appendix_b() {
    for (bits, text) in APPENDIX_B {
        assert_eq!(number(f64::from_bits(bits)), text, "{bits:016x}");
        assert_eq!(text.parse(), Ok(f64::from_bits(bits)), "{bits:016x} is read as another");
    }
}

/// The number file of cyberphone/json-canonicalization is not kept but made: RFC 8785, appendix B, names
/// it, and its `testdata/README.md` says how, and gives the hash of its first lines.
#[test]
fn a_hundred_thousand_numbers_have_the_published_hash() {
    let fixed = include_str!("../../vectors/record/es6-doubles.txt");
    let fixed = fixed.lines().map(|line| u64::from_str_radix(line, 16).unwrap());
    let serial = (0..2_000).map(|step| 0x0010_0000_0000_0000 + step);
    let mut block = [0_u8; 32];
    let random = std::iter::from_fn(|| {
        block = Sha256::digest(block).into();
        Some(block)
    });
    // The file was made on a little-endian machine.
    let doubles =
        |block: [u8; 32]| block.as_chunks::<8>().0.to_vec().into_iter().map(u64::from_le_bytes);
    let usable = |bits: &u64| f64::from_bits(*bits).is_finite() && f64::from_bits(*bits) != 0.0;
    let random = random.flat_map(doubles).filter(usable);

    let mut hasher = Sha256::new();
    for bits in fixed.chain(serial).chain(random).take(100_000) {
        hasher.update(format!("{bits:x},{}\n", number(f64::from_bits(bits))));
    }
    let hash: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7");
}

#[test]
fn short_decimals_and_their_neighbours_are_written_like_any_other() {
    let counts = (1..3_000_000_u32).step_by(37).map(f64::from);
    for count in counts.chain([1e15 - 1.0, 1e15, 1e15 + 2.0, 123_456_789_012_345.0]) {
        let decimal = count / 1_000.0;
        for value in [decimal, decimal.next_down(), decimal.next_up()] {
            // The standard library writes the shortest digits as well, and of this size no exponent.
            assert_eq!(number(value), value.to_string());
            assert_eq!(number(-value), (-value).to_string());
        }
    }
}

#[test]
fn what_is_escaped_is_found_wherever_it_stands() {
    for special in ["\"", "\\", "\n", "\u{1f}", "\0", "\u{7f}", " ", "!", "\u{80}", "\u{22}\u{5c}"]
    {
        for before in 0..20 {
            for after in 0..10 {
                let text =
                    ["\u{e9}x".repeat(before).as_str(), special, &"y".repeat(after)].concat();
                let written = Value::from(text.as_str()).format();
                assert_eq!(written, serde_json::to_string(&text).unwrap());
                assert_eq!(canonical(&written), written);
            }
        }
    }
}

#[test]
fn the_samples_of_the_specification_get_their_canonical_form() {
    let safe = SAMPLE.replace("333333333.33333329, 1E30, ", "");
    assert_eq!(canonical(&safe), SAMPLE_CANONICAL);
    assert_eq!(number("333333333.33333329".parse().unwrap()), "333333333.3333333");
    assert_eq!(number(1e30), "1e+30");
    // What a reader would change is refused, where the specification lets it be changed.
    assert_eq!(fault(SAMPLE.as_bytes()), (JsonFault::Inexact, 16));
    assert_eq!(fault(b"[1E30]"), (JsonFault::Unsafe, 1));

    let order = json::parse(ORDER.as_bytes(), &LIMITS).unwrap();
    let values = order.as_object().unwrap().members().iter().map(|(_, value)| value.as_natural());
    assert!(values.eq((1..=7).map(Some)), "{order:?}");
}

#[test]
fn names_are_sorted_by_utf_16_units() {
    let names = [
        "",
        "a",
        "aa",
        "b",
        "\u{e9}",
        "\u{d7ff}",
        "\u{1f600}",
        "\u{10ffff}",
        "\u{e000}",
        "\u{ffff}",
    ];
    for (one, name) in names.iter().enumerate() {
        for (other, second) in names.iter().enumerate() {
            assert_eq!(json::compare(name, second), one.cmp(&other), "{name:?} {second:?}");
            let units = name.encode_utf16().cmp(second.encode_utf16());
            assert_eq!(json::compare(name, second), units, "{name:?} {second:?}");
        }
    }
}

#[test]
fn numbers_that_readers_would_change_are_refused() {
    for text in [
        "9007199254740991",
        "-9007199254740991",
        "0",
        "-0",
        "-0.0",
        "0e999999999999999999999999",
        "0.1",
        "0.10",
        "1e0",
        "1E+2",
        "123456789012345",
        "0.30000000000000004",
        "5e-324",
        "2.2250738585072014e-308",
        "4.50",
        "9007199254740990.0",
        "100000000000000000000000e-10",
        "0.00000000000000000000000000000012e31",
    ] {
        let value = json::parse(text.as_bytes(), &LIMITS).unwrap();
        let canonical = value.format();
        let again = json::parse_canonical(canonical.as_bytes(), &LIMITS);
        assert_eq!(again.as_ref(), Ok(&value), "{text}");
    }
    for text in [
        "9007199254740992",
        "-9007199254740992",
        "9007199254740993",
        "1e16",
        "1e400",
        "-1E999999999999999999999",
    ] {
        assert_eq!(fault(text.as_bytes()), (JsonFault::Unsafe, 0), "{text}");
    }
    for text in [
        "0.1000000000000000055511151231257827",
        "0.30000000000000002",
        "4e-324",
        "1e-400",
        "1e-99999999999999999999999",
        "1.00000000000000001",
        "4503599627370497.25",
    ] {
        assert_eq!(fault(text.as_bytes()), (JsonFault::Inexact, 0), "{text}");
    }
    assert_eq!((Number::new(f64::NAN), Number::new(f64::INFINITY)), (None, None));
    assert_eq!(Number::from_integer(json::NUMBER_MAX + 1), None);
    assert_eq!(Number::from_integer(-json::NUMBER_MAX).unwrap().integer(), Some(-json::NUMBER_MAX));
    assert_eq!(Number::new(0.5).unwrap().integer(), None);
}

#[test]
fn what_is_wrong_is_named_with_its_position() {
    let unexpected = |expected| JsonFault::Unexpected { expected };
    let cases: [(&[u8], JsonFault, usize); 40] = [
        (b"", JsonFault::End, 0),
        (b" \n", JsonFault::End, 2),
        (b"\xef\xbb\xbf{}", unexpected("a value"), 0),
        (b"{\"a\": \"\xff\"}", JsonFault::Utf8, 7),
        (b"\"\xed\xa0\x80\"", JsonFault::Utf8, 1),
        (b"\"\xc0\x80\"", JsonFault::Utf8, 1),
        (b"{} {}", JsonFault::Trailing, 3),
        (b"{}\0", JsonFault::Trailing, 2),
        (b"nul", unexpected("a value"), 0),
        (b"NaN", unexpected("a value"), 0),
        (b"+1", unexpected("a value"), 0),
        (b"'a'", unexpected("a value"), 0),
        (b"[1,]", unexpected("a value"), 3),
        (b"[1 2]", unexpected("',' or ']'"), 3),
        (b"[1", JsonFault::End, 2),
        (b"{\"a\":1,}", unexpected("a name in quotes"), 7),
        (b"{a:1}", unexpected("a name in quotes"), 1),
        (b"{\"a\" 1}", unexpected("':'"), 5),
        (b"{\"a\":1 \"b\":2}", unexpected("',' or '}'"), 7),
        (b"{\"a\"", JsonFault::End, 4),
        (b"{\"b\":1,\"a\":2,\"b\":3}", JsonFault::Duplicate, 13),
        (b"[{\"a\":{\"x\":1}, \"\\u0061\":2}]", JsonFault::Duplicate, 15),
        (b"\"a", JsonFault::End, 0),
        (b"\"a\nb\"", JsonFault::Control, 2),
        (b"\"\\x41\"", JsonFault::Escape, 1),
        (b"\"\\u12g4\"", JsonFault::Escape, 1),
        (b"\"\\u+123\"", JsonFault::Escape, 1),
        (b"\"\\u12", JsonFault::End, 5),
        (b"\"\\", JsonFault::End, 2),
        (b"\"\\ud800\"", JsonFault::Surrogate, 1),
        (b"\"\\ud800\\n\"", JsonFault::Surrogate, 1),
        (b"\"\\ud800\\ud800\"", JsonFault::Surrogate, 1),
        (b"\"\\udc00\"", JsonFault::Surrogate, 1),
        (b"01", JsonFault::Number, 0),
        (b"[-]", JsonFault::Number, 1),
        (b"[1.]", JsonFault::Number, 1),
        (b"[.5]", unexpected("a value"), 1),
        (b"[1e]", JsonFault::Number, 1),
        (b"-", JsonFault::End, 1),
        (b"[0x10]", unexpected("',' or ']'"), 2),
    ];
    for (text, want, byte) in cases {
        assert_eq!(fault(text), (want, byte), "{}", text.escape_ascii());
        assert!(
            serde_json::from_slice::<serde_json::Value>(text).is_err()
                || want == JsonFault::Duplicate
        );
    }
}

#[test]
fn a_position_is_given_for_people_too() {
    let text = "{\n  \"\u{20ac}\u{1f600}\": 1,\n  \"\u{20ac}\u{1f600}\" : [tru]\n}";
    let error = json::parse(text.as_bytes(), &LIMITS).unwrap_err();
    assert_eq!((error.byte, error.line, error.column), (33, 3, 11));
    assert_eq!(error.to_string(), "line 3, column 11 (byte 33): expected a value");
    let error = json::parse(&text.replace("tru", "true").into_bytes(), &LIMITS).unwrap_err();
    let want = "line 3, column 3 (byte 20): this name occurs twice in its object; \
                readers would differ about which one holds";
    assert_eq!(error.to_string(), want);
}

#[test]
fn limits_hold_at_their_edges() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(
        json::parse(nested(16).as_bytes(), &LIMITS).is_ok_and(|value| value.format() == nested(16))
    );
    assert_eq!(fault(nested(17).as_bytes()), (JsonFault::Depth { max: 16 }, 16));
    let bomb = "{\"a\":".repeat(500);
    assert_eq!(fault(bomb.as_bytes()), (JsonFault::Depth { max: 16 }, 80));

    let list = |values: usize| format!("[{}]", vec!["0"; values].join(","));
    assert_eq!(canonical(&list(511)), list(511));
    assert_eq!(fault(list(512).as_bytes()), (JsonFault::Values { max: 512 }, 1_023));

    let padded = |bytes: usize| format!("{:1$}", "{}", bytes).into_bytes();
    assert_eq!(json::parse(&padded(4_096), &LIMITS).unwrap().format(), "{}");
    assert_eq!(fault(&padded(4_097)), (JsonFault::TooLong { bytes: 4_097, max: 4_096 }, 4_096));
}

#[test]
fn of_each_value_one_text_is_canonical() {
    for text in
        ["{}", "[]", "\"\"", "null", "-1.5", "{\"a\":[1,\"\\u001f\\n/\"],\"b\":\"\u{7f}\u{20ac}\"}"]
    {
        assert_eq!(json::parse_canonical(text.as_bytes(), &LIMITS).unwrap().format(), text);
    }
    let others = [
        (" {}", 0),
        ("{} ", 2),
        ("[1, 2]", 3),
        ("{\"a\" :1}", 4),
        ("{\"b\":1,\"a\":2}", 0),
        ("1.0", 0),
        ("-0", 0),
        ("1e3", 0),
        ("[0.0000001]", 1),
        ("\"\\/\"", 1),
        ("\"\\u000A\"", 1),
        ("\"\\u001F\"", 1),
        ("\"\\u000a\"", 1),
        ("\"\\u0041\"", 1),
        ("\"\\ud83d\\ude00\"", 1),
    ];
    for (text, byte) in others {
        let error = json::parse_canonical(text.as_bytes(), &LIMITS).unwrap_err();
        assert_eq!((error.fault, error.byte), (JsonFault::Form, byte), "{text}");
        assert!(json::parse(text.as_bytes(), &LIMITS).is_ok_and(|value| value.format() != text));
    }
    let twice = json::parse_canonical(b"{\"a\":1,\"a\":1}", &LIMITS).unwrap_err();
    assert_eq!((twice.fault, twice.byte), (JsonFault::Duplicate, 7));
}

#[test]
fn members_stay_in_order_when_an_object_is_changed() {
    let value = json::parse(b"{\"d\":1,\"b\":2}", &LIMITS).unwrap();
    let mut object = value.as_object().unwrap().clone();
    assert_eq!(object.insert("c", Value::Null), None);
    assert_eq!(
        object.insert("d", Value::Bool(true)),
        Some(Number::from_integer(1).unwrap().into())
    );
    assert_eq!((object.remove("b").unwrap().as_natural(), object.remove("b")), (Some(2), None));
    assert_eq!((object.get("c"), object.get("a")), (Some(&Value::Null), None));
    assert_eq!(Value::from(object).format(), "{\"c\":null,\"d\":true}");
}
