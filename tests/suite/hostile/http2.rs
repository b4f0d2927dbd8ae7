//! Frames of HTTP/2 (RFC 9113) in orders and amounts that attack the server.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::site::Site;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The error code of a stream beyond the limit (RFC 9113, section 7).
const REFUSED_STREAM: u32 = 7;
/// What the server announces as its limit, `STREAMS_MAX` of the listener.
const STREAMS_MAX: u32 = 1_024;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Returns the header block of `POST /add` (RFC 7541): indexed fields, and literals without indexing.
fn post_add() -> Vec<u8> {
    // :method POST, :scheme http, :path /add, :authority x.
    [&[0x83, 0x86, 0x04, 4][..], b"/add", &[0x01, 1], b"x"].concat()
}

/// Sends the preface, empty settings and some frames.
async fn attack(site: &Site, frames: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(site.server.address()).await.unwrap();
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, b""), frames].concat();
    // The server reads on while we write only if its answers are read, so both at once.
    let (mut reader, mut writer) = stream.split();
    let mut ignored = vec![0; 1 << 16];
    let write = writer.write_all(&opening);
    tokio::pin!(write);
    loop {
        tokio::select! {
            // It may have put us out before all was sent.
            _written = &mut write => break,
            read = reader.read(&mut ignored) => if read.map_or(true, |bytes| bytes == 0) { break },
        }
    }
    stream
}

/// Returns (kind, stream, payload) of the frames that come until the connection is closed.
fn frames_of(bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let stream = u32::from_be_bytes(rest[5..9].try_into().unwrap());
        let Some(payload) = rest.get(9..9 + length) else { break };
        frames.push((rest[3], stream, payload.to_vec()));
        rest = &rest[9 + length..];
    }
    frames
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_one_by_one() {
    let mut site = Site::start(&[]).await;
    let mut stream = TcpStream::connect(site.server.address()).await.unwrap();
    // Requests whose bodies never come.
    let mut sent = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    let beyond = STREAMS_MAX + 100;
    for number in 0..beyond {
        sent.extend(frame(HEADERS, END_HEADERS, 2 * number + 1, &post_add()));
    }
    stream.write_all(&sent).await.unwrap();
    let mut received = Vec::new();
    let mut refused = 0;
    while refused < 100 {
        let read = timeout(Duration::from_secs(30), stream.read_buf(&mut received)).await;
        assert_ne!(
            read.expect("streams beyond the limit are refused").unwrap(),
            0,
            "the connection is kept"
        );
        let resets = frames_of(&received).into_iter().filter(|(kind, ..)| *kind == RST_STREAM);
        refused = resets
            .inspect(|(_, stream, code)| {
                assert_eq!(*code, REFUSED_STREAM.to_be_bytes(), "stream {stream}");
                assert!(*stream > 2 * STREAMS_MAX, "stream {stream} is within the limit");
            })
            .count();
    }
    drop(stream);
    site.check().await;
}

#[tokio::test]
async fn floods_of_frames_end_with_their_connection() {
    let mut site = Site::start(&[]).await;
    let before = site.server.resident_bytes_max();
    let many = |count: usize, one: &[u8]| one.repeat(count);
    let opened = frame(HEADERS, END_HEADERS, 1, &post_add());
    let rapid_resets: Vec<u8> = (0..20_000_u32)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            let cancel = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            [frame(HEADERS, END_HEADERS | END_STREAM, stream, &post_add()), cancel].concat()
        })
        .collect();
    let endless_headers = [
        frame(HEADERS, 0, 1, &post_add()),
        many(
            2_000,
            &frame(
                CONTINUATION,
                0,
                1,
                &[&[0x00, 1, b'x', 0x7f, 0x81, 0x7e][..], &[b'y'; 16_000]].concat(),
            ),
        ),
    ]
    .concat();
    // One long header in the dynamic table, then named again and again: a few bytes each.
    let bomb =
        [&[0x40, 1, b'x', 0x7f, 0xe1, 0x1e][..], &[b'y'; 4_000], &many(10_000, &[0xbe])].concat();
    for (name, frames) in [
        ("pings", many(100_000, &frame(PING, 0, 0, b"12345678"))),
        ("settings", many(50_000, &frame(SETTINGS, 0, 0, b""))),
        ("empty data", [opened.clone(), many(200_000, &frame(DATA, 0, 1, b""))].concat()),
        ("rapid resets", rapid_resets),
        ("endless headers", endless_headers),
        ("a header bomb", frame(HEADERS, END_HEADERS, 1, &[post_add(), bomb].concat())),
        ("a long frame", [vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1], vec![0; 100_000]].concat()),
        (
            "a window too large",
            many(2, &frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())),
        ),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("data on no stream", frame(DATA, 0, 7, b"x")),
        ("an even stream", frame(HEADERS, END_HEADERS, 2, &post_add())),
        ("unknown frames", many(50_000, &frame(0xfa, 0xff, 0, b"unknown"))),
        ("a goaway", frame(GOAWAY, 0, 0, &[0; 8])),
    ] {
        let stream = attack(&site, &frames).await;
        site.append(format!("beside {name}")).await;
        drop(stream);
    }
    let grown = site.server.resident_bytes_max() - before;
    assert!(grown < 128 << 20, "floods of at most 32 MiB took {grown} bytes");
    site.check().await;
}
