//! Syslog: messages, frames, and that no way of cutting a stream changes what comes of it.

use attestree::source::{
    Item,
    syslog::{Frame, Framing, Message, items},
};
use bytes::{Bytes, BytesMut};

use super::golden;

/// Most bytes of a message in these tests: short, so that the golden files hold longer ones.
const BYTES_MAX: usize = 256 + 128;

/// Takes a connection that brings its bytes in pieces of one length; returns every frame.
fn frames(came: &[u8], piece: usize, bytes_max: usize) -> Vec<Frame> {
    let mut framing = Framing::new(bytes_max);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in came.chunks(piece) {
        buffer.extend_from_slice(piece);
        while let Some(frame) = framing.next(&mut buffer) {
            frames.push(frame);
        }
        assert!(buffer.len() <= bytes_max + 11, "a message and its count at most are kept");
    }
    frames.extend(framing.end(&mut buffer));
    assert!(framing.is_between(&buffer) || buffer.is_empty());
    frames
}

fn decode(came: &Bytes) -> Vec<Item> {
    frames(came, came.len(), BYTES_MAX).iter().flat_map(items).collect()
}

#[test]
fn golden_files_hold() {
    assert_eq!(golden::compare_all("syslog", decode), 13);
}

#[test]
fn how_the_bytes_arrive_changes_nothing() {
    let count = golden::compare_all("syslog", |came| {
        let whole = frames(came, came.len(), BYTES_MAX);
        for piece in [1, 2, 3, 7, 64, 255, 384, 385] {
            assert_eq!(frames(came, piece, BYTES_MAX), whole, "in pieces of {piece}");
        }
        decode(came)
    });
    assert!(count > 0);
}

#[test]
fn nothing_but_counts_and_ends_of_lines_is_passed_over() {
    golden::compare_all("syslog", |came| {
        let kept: usize = frames(came, came.len(), BYTES_MAX)
            .iter()
            .map(|frame| match frame {
                Frame::Whole(bytes) | Frame::Piece(bytes) => bytes.len(),
            })
            .sum();
        let ends = came.split(|byte| *byte == b'\n').count() - 1;
        let digits = came.iter().filter(|byte| byte.is_ascii_digit() || **byte == b' ').count();
        assert!(kept + ends + digits >= came.len());
        decode(came)
    });
}

#[test]
fn a_frame_of_a_billion_bytes_needs_no_memory() {
    let mut framing = Framing::new(1_000);
    let mut came = BytesMut::from(&b"1000000000 <13>1 "[..]);
    assert_eq!(framing.next(&mut came), None);
    let mut pieces = 0;
    for _ in 0..100 {
        came.extend_from_slice(&[b'x'; 1_000]);
        while let Some(frame) = framing.next(&mut came) {
            assert!(matches!(frame, Frame::Piece(bytes) if bytes.len() == 1_000));
            pieces += 1;
        }
        assert!(came.len() < 1_000);
    }
    assert_eq!(pieces, 100);
    assert!(!framing.is_between(&came));
}

#[test]
fn every_priority_has_its_names() {
    for priority in 0..=191_u8 {
        let text = format!("<{priority}>1 - - - - - -");
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(message.facility * 8 + message.severity, priority);
        let items = items(&Frame::Whole(text.clone().into()));
        let is_authentication = [&b"\"class\":\"authentication\""[..]]
            .iter()
            .any(|class| items[0].bytes.windows(class.len()).any(|window| window == *class));
        assert_eq!(is_authentication, matches!(message.facility, 4 | 10));
    }
}

#[test]
fn more_elements_than_an_event_has_values_are_kept_as_they_came() {
    let elements = |count: usize| {
        let elements: String = (0..count).map(|number| format!("[e{number}]")).collect();
        items(&Frame::Whole(format!("<13>1 - - - - - {elements}").into()))
    };
    assert!(elements(16_000)[0].is_event);
    assert!(!elements(16_384)[0].is_event);
    assert!(!elements(150_000)[0].is_event);
    let params: String = (0..100_000).map(|_| " p=\"\"").collect();
    assert!(!items(&Frame::Whole(format!("<13>1 - - - - - [e{params}]").into()))[0].is_event);
}

#[test]
fn keys_of_two_hosts_or_programs_are_never_one() {
    let key = |host: &str, app: &str, id: &str| {
        let text = format!("<13>1 - {host} {app} - - [attestree@32473 id=\"{id}\"]");
        items(&Frame::Whole(text.into()))[0].key.clone().unwrap()
    };
    let long = "x".repeat(300);
    let keys = [
        key("a", "b", "c"),
        key("a", "b", "d"),
        key("b", "a", "c"),
        key("-", "b", "c"),
        key("a", "-", "b c"),
        key("a", "b", &long),
        key("a", "c", &long),
    ];
    for (at, one) in keys.iter().enumerate() {
        assert!(one.len() <= 256);
        assert!(keys[at + 1..].iter().all(|other| other != one));
    }
}
