//! A way to a server on which the first answers never arrive: the connection ends when the server has
//! begun to answer, so that what was sent was taken, and its sender can't know.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// What an answer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP/1.1: with the first byte.
    Http,
    /// HTTP/2: with the first frame of headers.
    Grpc,
}

/// Bytes before each frame of HTTP/2.
const FRAME_HEAD: usize = 9;

/// The type of a frame of headers.
const HEADERS: u8 = 1;

/// Opens a way to a server; of its connections the first `cuts` are cut.
pub(crate) fn open(server: &str, wire: Wire, cuts: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.to_owned();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let client = client.unwrap();
            let Ok(upstream) = TcpStream::connect(&server) else { continue };
            let (from, to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || pass(from, to));
            thread::spawn(move || {
                if number < cuts {
                    // Whatever is wrong with the connection, it ends here.
                    let _cut = until_answer(&upstream, &client, wire);
                    let _ended =
                        (upstream.shutdown(Shutdown::Both), client.shutdown(Shutdown::Both));
                } else {
                    pass(upstream, client);
                }
            });
        }
    });
    address
}

/// Passes everything on.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _gone = io::copy(&mut from, &mut to);
    let _ended = to.shutdown(Shutdown::Write);
}

/// Passes on what comes before an answer.
fn until_answer(mut from: &TcpStream, mut to: &TcpStream, wire: Wire) -> io::Result<()> {
    if wire == Wire::Http {
        return from.read_exact(&mut [0]);
    }
    loop {
        let mut head = [0; FRAME_HEAD];
        from.read_exact(&mut head)?;
        let [high, middle, low, kind, ..] = head;
        if kind == HEADERS {
            return Ok(());
        }
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        from.read_exact(&mut payload)?;
        to.write_all(&[&head[..], &payload].concat())?;
    }
}
