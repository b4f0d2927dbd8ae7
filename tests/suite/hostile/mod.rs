//! What bad clients may do to the server: nothing to anyone else.
//!
//! Real sockets, a real process. Each test ends with the same law, [`site::Site::check`]: an append
//! still works, everything that was ever acknowledged is at its index, and the root is that of the
//! entries.

mod event;
mod flood;
mod grpc;
mod http;
mod http2;
mod memory;
pub(crate) mod raw;
pub(crate) mod server;
mod site;
mod slow;
mod source;
