//! A line between senders and a server, that leads nowhere or breaks where a test says.
//!
//! A connection that ends before it comes to its cut leaves the cut to the next one: a server that is killed at
//! one cut ends what its sender has under way beside it.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use crate::crash::process::PATIENCE;

/// Bytes before each frame of HTTP/2.
const FRAME_HEAD: usize = 9;

/// The type of a frame of headers.
const HEADERS: u8 = 1;

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// It holds.
    Nowhere,
    /// After so many bytes of what the sender sends.
    Request(usize),
    /// When the answer comes, of which the sender sees nothing. What was sent was taken, and its sender can't know.
    Answer,
    /// The same over HTTP/2: with the first frame of headers that comes.
    GrpcAnswer,
}

/// A line. Those who come break off in turn as planned, and after that go through.
pub(crate) struct Line {
    address: SocketAddr,
    plan: Arc<Mutex<VecDeque<Cut>>>,
    reached: Option<Receiver<Reached>>,
    /// Where it leads; nowhere while the server is away.
    target: Arc<Mutex<Option<SocketAddr>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

/// A connection that has come to its cut. It breaks when this is dropped, so that a test can do something to the
/// server before the sender knows.
pub(crate) struct Reached {
    pub(crate) cut: Cut,
    _held: Sender<()>,
}

impl Line {
    /// Makes a line that breaks at nothing.
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self::breaking(server, &[])
    }

    /// Makes a line whose connections break as soon as they come to their cuts.
    pub(crate) fn breaking(server: SocketAddr, plan: &[Cut]) -> Self {
        Self { reached: None, ..Self::held(server, plan) }
    }

    /// Makes a line whose connections wait at their cuts; see [`Line::reached`].
    pub(crate) fn held(server: SocketAddr, plan: &[Cut]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Mutex::new(plan.iter().copied().collect::<VecDeque<Cut>>()));
        let (target, open) = (Arc::new(Mutex::new(Some(server))), Arc::default());
        let (reach, reached) = mpsc::channel();
        let line = Self {
            address,
            plan: Arc::clone(&plan),
            reached: Some(reached),
            target: Arc::clone(&target),
            open: Arc::clone(&open),
        };
        // Ends with the process of the tests; what it holds is two sockets a sender.
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = *target.lock().unwrap();
                // Nobody there: the connection ends at once, as if it were refused.
                let Some(far) = far.and_then(|far| TcpStream::connect(far).ok()) else { continue };
                let cut = plan.lock().unwrap().pop_front().unwrap_or(Cut::Nowhere);
                let copies = [near.try_clone().unwrap(), far.try_clone().unwrap()];
                open.lock().unwrap().extend(copies);
                let (reach, plan) = (reach.clone(), Arc::clone(&plan));
                thread::spawn(move || {
                    if !relay(&near, &far, cut, &reach) && cut != Cut::Nowhere {
                        plan.lock().unwrap().push_front(cut);
                    }
                });
            }
        });
        line
    }

    /// Returns where senders connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads elsewhere, or nowhere; connections that are open stay.
    pub(crate) fn lead(&self, target: Option<SocketAddr>) {
        *self.target.lock().unwrap() = target;
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            end(&stream);
        }
    }

    /// Waits until a connection has come to its cut.
    pub(crate) fn reached(&self) -> Reached {
        let reached = self.reached.as_ref().expect("the line waits at its cuts");
        reached.recv_timeout(PATIENCE).expect("a sender comes as far as the cut")
    }

    /// Returns whether every cut was made.
    pub(crate) fn is_done(&self) -> bool {
        self.plan.lock().unwrap().is_empty()
    }
}

/// Passes bytes on in both directions until one side ends, or the cut is reached; returns whether it was.
fn relay(sender: &TcpStream, server: &TcpStream, cut: Cut, reach: &Sender<Reached>) -> bool {
    let finish = |carried: io::Result<()>| {
        if carried.is_ok() {
            hold(cut, reach);
        }
        end(sender);
        end(server);
        carried.is_ok()
    };
    thread::scope(|scope| {
        let back = scope.spawn(|| finish(answers(server, sender, cut)));
        let max = match cut {
            Cut::Request(bytes) => bytes,
            _ => usize::MAX,
        };
        let forth = finish(carry(sender, server, max));
        back.join().unwrap() || forth
    })
}

/// Carries answers; returns at a cut, and an error when there are no more.
fn answers(mut from: &TcpStream, mut to: &TcpStream, cut: Cut) -> io::Result<()> {
    match cut {
        Cut::Nowhere | Cut::Request(_) => carry(from, to, usize::MAX),
        Cut::Answer => from.read_exact(&mut [0]),
        Cut::GrpcAnswer => loop {
            let mut head = [0; FRAME_HEAD];
            from.read_exact(&mut head)?;
            let [high, middle, low, kind, ..] = head;
            if kind == HEADERS {
                return Ok(());
            }
            let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
            from.read_exact(&mut payload)?;
            to.write_all(&[&head[..], &payload].concat())?;
        },
    }
}

/// Carries so many bytes one way; an error if they do not come.
fn carry(mut from: &TcpStream, mut to: &TcpStream, mut left: usize) -> io::Result<()> {
    let mut bytes = [0; 16 << 10];
    while left > 0 {
        let room = left.min(bytes.len());
        let count = from.read(&mut bytes[..room])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&bytes[..count])?;
        left -= count;
    }
    Ok(())
}

/// Ends a connection.
fn end(stream: &TcpStream) {
    let _gone_before = stream.shutdown(Shutdown::Both);
}

/// Tells the test that the cut is reached, and waits until it goes on.
fn hold(cut: Cut, reach: &Sender<Reached>) {
    let (held, wait) = mpsc::channel();
    let reached = Reached { cut, _held: held };
    if reach.send(reached).is_ok() {
        let _dropped = wait.recv();
    }
}
