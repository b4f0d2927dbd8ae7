//! The bytes of the spool.

use std::path::Path;

use attestree::ship::{
    Content, Fault, Form, Frame, HEADER_BYTES, Line, Part, decode, encode, header,
};

use super::line;
use crate::vector;

/// A segment with a place, a whole line, and the two parts of another, written in two goes.
pub(crate) fn segment() -> Vec<u8> {
    let id = *b"segment number 1";
    let mut bytes = header(&id, 7);
    let cut = |offset, parts, part, form| Line {
        part: Some(part),
        form,
        cursor: attestree::ship::Cursor { parts, ..line(3, offset, "").cursor },
        ..line(3, offset, "part")
    };
    let contents = [
        (7, Content::Place(line(2, 4_711, "").cursor)),
        (7, Content::Line(line(3, 6, "whole"))),
        (9, Content::Line(cut(10, 1, Part { number: 0, more: true }, Form::Json))),
        (9, Content::Line(cut(15, 0, Part { number: 1, more: false }, Form::Event))),
    ];
    for (number, (group, content)) in (7..).zip(contents) {
        encode(&mut bytes, &id, &Frame { number, group, content });
    }
    bytes
}

#[test]
fn the_format_is_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/ship/segment.spool");
    vector::compare(&path, &segment());
    let segment = decode(&segment()).unwrap();
    assert_eq!((segment.first, segment.next(), segment.frames.len()), (7, 11, 4));
}

#[test]
fn what_is_cut_off_anywhere_is_whole_up_to_there() {
    let bytes = segment();
    let whole = decode(&bytes).unwrap();
    for length in HEADER_BYTES..bytes.len() {
        let cut = decode(&bytes[..length]).unwrap();
        assert!(cut.length <= length);
        assert_eq!(cut.frames, whole.frames[..cut.frames.len()]);
    }
    for length in 0..HEADER_BYTES {
        assert_eq!(decode(&bytes[..length]).unwrap_err(), Fault::Foreign);
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_in_the_last_write() {
    let bytes = segment();
    let whole = decode(&bytes).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            match decode(&bytes) {
                Err(_) => {}
                // The frames before the last write are as they were.
                Ok(segment) => {
                    assert!(at >= HEADER_BYTES && segment.frames.len() >= 2, "byte {at}");
                    assert_eq!(segment.frames, whole.frames[..segment.frames.len()]);
                    assert!(segment.frames.len() < whole.frames.len());
                }
            }
        }
    }
}

#[test]
fn frames_of_another_segment_are_none() {
    let mut other = header(b"segment number 2", 7);
    other.extend_from_slice(&segment()[HEADER_BYTES..]);
    assert_eq!(decode(&other).unwrap().frames, []);
}
