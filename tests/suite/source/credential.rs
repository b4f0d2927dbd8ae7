//! Tokens, their fingerprints, and where senders put them.

use attestree::core::credential::{Fingerprint, of_header, parse_fingerprints, token};

/// The SHA-256 of `abc` (FIPS 180-2, appendix B.1).
const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_token_has_a_prefix_and_all_of_its_bits() {
    assert_eq!(token(&[0; 32]), format!("att_{}", "A".repeat(43)));
    assert_eq!(token(&[255; 32]), format!("att_{}8", "_".repeat(42)));
}

#[test]
fn a_fingerprint_has_one_text() {
    let abc = Fingerprint::of(b"abc");
    assert_eq!(abc.to_string(), ABC);
    assert_eq!(Fingerprint::parse(ABC), Ok(abc));
    assert!(abc.is(&Fingerprint::parse(ABC).unwrap()) && !abc.is(&Fingerprint::of(b"abd")));
    for wrong in
        ["", "sha256:", &ABC[7..], &ABC[..70], &format!("{ABC}0"), &ABC.replace("ba", "bg")]
    {
        assert!(Fingerprint::parse(wrong).is_err(), "{wrong}");
    }
    // Digits in capitals, as openssl writes them.
    assert_eq!(Fingerprint::parse(&format!("sha256:{}", ABC[7..].to_uppercase())), Ok(abc));
}

#[test]
fn the_header_is_read_as_each_protocol_writes_it() {
    let found = |value: &str| {
        of_header(value.as_bytes()).map(|token| String::from_utf8(token.into_owned()).unwrap())
    };
    for value in [
        "Bearer abc",
        "bearer  abc ",
        "Splunk abc",
        "SPLUNK abc",
        "Basic eDphYmM=",
        "basic OmFiYw==",
    ] {
        assert_eq!(found(value).as_deref(), Some("abc"), "{value}");
    }
    let none = [
        "",
        "abc",
        "Bearer",
        "Bearer ",
        "Token abc",
        "Bearerabc",
        "Basic abc",
        "Basic YWJj",
        "Basic Og==",
        "Basic !",
    ];
    for value in none {
        assert_eq!(found(value), None, "{value}");
    }
}

#[test]
fn a_file_of_fingerprints_has_comments_and_names_its_wrong_line() {
    let text = format!("# senders\n\n  {ABC}\r\n#{ABC}\n{ABC}\n");
    assert_eq!(parse_fingerprints(&text).unwrap().len(), 2);
    assert_eq!(parse_fingerprints("").unwrap(), []);
    let (line, error) = parse_fingerprints(&format!("{ABC}\natt_secret\n")).unwrap_err();
    assert_eq!(line, 2);
    assert!(!error.to_string().contains("secret"));
}
