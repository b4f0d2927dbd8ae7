//! What detectors recognise, and what they let pass.

use attestree::core::policy::Detector;
use proptest::prelude::*;

fn found(detector: Detector, text: &str) -> Vec<&str> {
    detector.find(text).into_iter().map(|range| &text[range]).collect()
}

#[test]
fn card_numbers_are_found_by_their_check_digit() {
    let text = "cards 4111111111111111, 5500 0000 0000 0004;3400-000000-00009 on 2026-11-21 4222222222222 \u{20ac}6011000990139424";
    let cards = [
        "4111111111111111",
        "5500 0000 0000 0004",
        "3400-000000-00009",
        "4222222222222",
        "6011000990139424",
    ];
    assert_eq!(found(Detector::Card, text), cards);
    for none in [
        "4111111111111112",
        "411111111111111",
        "1111111111111117",
        "41111111111111111111",
        "x4111111111111111",
        "4111111111111111x",
        "4111  1111 1111 1111",
        "4111111111111111411111111111111141111111",
        "1795000000000001",
    ] {
        assert_eq!(found(Detector::Card, none), Vec::<&str>::new(), "{none}");
    }
}

#[test]
fn addresses_are_found_around_their_at() {
    let text = "mail a.b+c@example.com, <x_y%z@mail.sub-domain.example.org>. or me@example.co. But not @home";
    assert_eq!(
        found(Detector::Email, text),
        ["a.b+c@example.com", "x_y%z@mail.sub-domain.example.org", "me@example.co"]
    );
    for none in [
        "a@b",
        "a@",
        "@b.com",
        "a@b.c",
        "a@b..com",
        "a@.com",
        "a@1.2.3.4",
        "a @b.com",
        "git@host:path",
    ] {
        assert_eq!(found(Detector::Email, none), Vec::<&str>::new(), "{none}");
    }
}

#[test]
fn tokens_and_keys_are_found_by_their_form() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-bmF0_dXJl";
    assert_eq!(found(Detector::Jwt, &format!("Bearer {jwt}, then")), [jwt]);
    assert_eq!(
        found(Detector::Jwt, "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."),
        ["eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."]
    );
    assert_eq!(
        found(Detector::Jwt, "eyJhbGciOiJIUzI1NiJ9.c2ln.c2ln xeyJ.eyJ.x eyJ.eyJ"),
        Vec::<&str>::new()
    );

    let aws = concat!("AKIA", "IOSFODNN7EXAMPLE");
    let github = format!("ghp_{}", "a1".repeat(18));
    let text = format!("{aws} token={github} AKIAshort");
    assert_eq!(found(Detector::CloudKey, &text), [aws, &github]);

    let pem = "-----BEGIN EC PRIVATE KEY-----\nMHc=\n-----END EC PRIVATE KEY-----";
    let text = format!("a {pem} b {}", pem.replace("EC ", ""));
    assert_eq!(found(Detector::Pem, &text), [pem.to_owned(), pem.replace("EC ", "")]);
    assert_eq!(
        found(Detector::Pem, "x -----BEGIN PRIVATE KEY-----\nMHc"),
        ["-----BEGIN PRIVATE KEY-----\nMHc"]
    );
    assert_eq!(found(Detector::Pem, &pem.replace("PRIVATE", "PUBLIC")), Vec::<&str>::new());
}

#[test]
fn accounts_and_national_ids_are_found() {
    let text = "from GB82WEST12345698765432 to DE89 3704 0044 0532 0130 00 via FR1420041010050500013M02606.";
    let accounts =
        ["GB82WEST12345698765432", "DE89 3704 0044 0532 0130 00", "FR1420041010050500013M02606"];
    assert_eq!(found(Detector::Iban, text), accounts);
    for none in [
        "GB82WEST12345698765433",
        "gb82west12345698765432",
        "XGB82WEST12345698765432",
        "GB82WEST1234",
    ] {
        assert_eq!(found(Detector::Iban, none), Vec::<&str>::new(), "{none}");
    }
    assert_eq!(
        found(Detector::NationalId, "ssn 123-45-6789, nino AB123456C."),
        ["123-45-6789", "AB123456C"]
    );
    for none in [
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "123-00-4567",
        "123-45-0000",
        "1123-45-6789",
        "123-45-67890",
        "1-123-45-6789",
        "123-45-6789-1",
        "GB123456A",
        "DA123456A",
        "AB123456E",
        "AB123456CX",
    ] {
        assert_eq!(found(Detector::NationalId, none), Vec::<&str>::new(), "{none}");
    }
}

#[test]
fn every_detector_has_a_name() {
    for detector in Detector::ALL {
        assert_eq!(Detector::parse(detector.name()), Some(detector));
    }
    assert_eq!(Detector::parse("other"), None);
}

#[test]
fn a_long_hostile_text_takes_one_pass() {
    // A quadratic scanner would need 10^12 steps for one of these.
    let texts = [
        "4",
        "4 ",
        "@",
        "a@",
        "eyJ",
        "eyJ.",
        "AKIA",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "GB82 ",
        "123-45-",
    ];
    for text in texts {
        let text = text.repeat(1_000_000 / text.len());
        for detector in Detector::ALL {
            let ranges = detector.find(&text);
            assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{detector:?}");
        }
    }
}

proptest! {
    #[test]
    fn matches_stand_in_order_on_characters(text in "[0-9A-Z@.\\- eyJa\u{20ac}]{0,80}") {
        for detector in Detector::ALL {
            let ranges = detector.find(&text);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(ranges.iter().all(|range| range.start < range.end && text.get(range.clone()).is_some()));
        }
    }

    #[test]
    fn a_card_number_is_found_wherever_it_stands(digits in "[3-6][0-9]{11,17}", before in "[^0-9A-Za-z]{0,5}", after in "[^0-9A-Za-z]{0,5}") {
        let sum = |text: &str| -> u32 {
            let digits = text.chars().rev().map(|digit| digit.to_digit(10).unwrap());
            digits.enumerate().map(|(at, digit)| if at % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit }).sum()
        };
        let check = (10 - sum(&format!("{digits}0")) % 10) % 10;
        let card = format!("{digits}{check}");
        let text = format!("{before}{card}{after}");
        prop_assert_eq!(found(Detector::Card, &text), vec![card.as_str()]);
    }
}
