//! The laws of what comes over a connection or off a disk: syslog, shipped lines, and the spool between.

use attestree::ship as spooled;
use attestree::source::ship as envelopes;
use attestree::source::syslog::{Frame, Framing, items as messages};
use bytes::{Bytes, BytesMut};

use super::posted::check;

/// Most bytes of a message: few, so that inputs have longer ones.
const MESSAGE_BYTES_MAX: usize = 100;

/// Cuts a connection that brings its bytes in pieces of one length.
fn frames(data: &[u8], piece: usize) -> Vec<Frame> {
    let mut framing = Framing::new(MESSAGE_BYTES_MAX);
    let mut came = BytesMut::new();
    let mut frames = Vec::new();
    for piece in data.chunks(piece) {
        came.extend_from_slice(piece);
        while let Some(frame) = framing.next(&mut came) {
            frames.push(frame);
        }
        assert!(came.len() <= MESSAGE_BYTES_MAX + 11);
    }
    frames.extend(framing.end(&mut came));
    frames
}

/// How the bytes arrive changes no frame, a frame has its bounds, and whatever is in one is kept.
pub fn syslog(data: &[u8]) {
    let whole = frames(data, data.len().max(1));
    for piece in [1, 7, 64] {
        assert_eq!(frames(data, piece), whole);
    }
    for frame in &whole {
        let (Frame::Whole(bytes) | Frame::Piece(bytes)) = frame;
        assert!(bytes.len() <= MESSAGE_BYTES_MAX + 11);
        let items = messages(frame);
        assert_eq!(items.is_empty(), bytes.is_empty());
        check(&items, false);
    }
    check(&messages(&Frame::Whole(Bytes::copy_from_slice(data))), false);
}

/// Every line of a body is kept, each for itself.
pub fn ship(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let items = envelopes::items(&body, usize::MAX).unwrap();
    check(&items, true);
    let lines = data.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let alone =
        lines.flat_map(|line| envelopes::items(&Bytes::copy_from_slice(line), usize::MAX).unwrap());
    assert_eq!(items, alone.collect::<Vec<_>>());
}

/// What of a segment is read is written again alike, and is whole wherever it is cut off behind that.
pub fn spool(data: &[u8]) {
    let Ok(segment) = spooled::decode(data) else { return };
    let mut bytes = spooled::header(&segment.id, segment.first);
    segment.frames.iter().for_each(|frame| spooled::encode(&mut bytes, &segment.id, frame));
    assert_eq!(bytes, data[..segment.length]);
    let again = spooled::decode(&bytes).expect("what was written is a segment");
    assert_eq!((again.frames, again.length), (segment.frames, segment.length));
}
