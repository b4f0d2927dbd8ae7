//! A connection that breaks where a test says: between a sender and the server.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use crate::crash::process::PATIENCE;

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It holds.
    Nowhere,
    /// After so many bytes of what the sender sends.
    Request(usize),
    /// When the answer comes, of which the sender sees nothing.
    Answer,
}

/// A door in front of a server. Those who come break off in turn as planned, and after that go through.
pub struct Proxy {
    address: SocketAddr,
    plan: Arc<Mutex<VecDeque<Cut>>>,
    reached: Receiver<Reached>,
}

/// A connection that has come to its cut. It breaks when this is dropped, so that a test can do something to the
/// server before the sender knows.
pub struct Reached {
    pub cut: Cut,
    _held: Sender<()>,
}

impl Proxy {
    /// Opens a door to the server.
    pub fn open(server: SocketAddr, plan: &[Cut]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Mutex::new(plan.iter().copied().collect::<VecDeque<Cut>>()));
        let (reach, reached) = mpsc::channel();
        let planned = Arc::clone(&plan);
        // Ends with the process of the tests; what it holds is two sockets a sender.
        thread::spawn(move || {
            for sender in listener.incoming().map_while(Result::ok) {
                // Before the server is there again, senders find the door shut.
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let cut = planned.lock().unwrap().pop_front();
                let reach = reach.clone();
                thread::spawn(move || relay(sender, upstream, cut, &reach));
            }
        });
        Self { address, plan, reached }
    }

    /// Returns where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until a connection has come to its cut.
    pub fn reached(&self) -> Reached {
        self.reached.recv_timeout(PATIENCE).expect("a sender comes as far as the cut")
    }

    /// Returns whether every cut was made.
    pub fn is_done(&self) -> bool {
        self.plan.lock().unwrap().is_empty()
    }
}

/// Passes bytes on in both directions until one side ends, or the cut is reached.
fn relay(mut sender: TcpStream, mut server: TcpStream, cut: Option<Cut>, reach: &Sender<Reached>) {
    let (mut back, mut from) = (sender.try_clone().unwrap(), server.try_clone().unwrap());
    let hides_answer = cut == Some(Cut::Answer);
    let (told, reach_answer) = (cut, reach.clone());
    let answers = thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if hides_answer {
                hold(told, &reach_answer);
                break;
            }
            if back.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        for side in [&back, &from] {
            let _closed = side.shutdown(Shutdown::Both);
        }
    });
    let mut left = match cut {
        Some(Cut::Request(bytes)) => bytes,
        _ => usize::MAX,
    };
    let mut buffer = [0; 4_096];
    while left > 0 {
        let room = left.min(buffer.len());
        let Ok(count @ 1..) = sender.read(&mut buffer[..room]) else { break };
        left -= count;
        if server.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    if left == 0 {
        hold(cut, reach);
    }
    for side in [&sender, &server] {
        let _closed = side.shutdown(Shutdown::Both);
    }
    answers.join().unwrap();
}

/// Tells the test that the cut is reached, and waits until it goes on.
fn hold(cut: Option<Cut>, reach: &Sender<Reached>) {
    let (held, wait) = mpsc::channel();
    let reached = Reached { cut: cut.expect("only a cut is reached"), _held: held };
    if reach.send(reached).is_ok() {
        let _dropped = wait.recv();
    }
}
