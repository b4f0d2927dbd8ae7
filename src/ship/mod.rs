//! Lines of files, brought to a server: each at least once, and recorded once.
//!
//! ```text
//! files -look-> lines -append-> spool, durable -send-> server -acknowledge-> mark -> segment deleted
//! ```
//!
//! A file is read only as fast as its lines are durable in the spool, and a line leaves the spool only when the
//! server has said that it is in the log. Whatever ends this process, it goes on where the spool says. A
//! line that is sent again has the name that it had, by which the log knows it.
//!
//! # Invariants
//!
//! - Lines of one file are sent in their order, and batches one after another.
//! - What can't be kept is not read: a file is as good a place to wait as any.
//!
//! # Out of scope
//!
//! - What becomes of a line in the log: `crate::source`.
//! - Terminals: [`crate::cli`].

mod follow;
mod frame;
mod line;
mod mark;
mod run;
mod spool;
mod tail;

pub use follow::{Files, Round, Seen};
pub use frame::{Content, Fault, Frame, HEADER_BYTES, Segment, SegmentId, decode, encode, header};
pub use line::{Cursor, FileId, Form, HEAD_BYTES_MAX, Head, LINE_BYTES_MAX, Line, Part};
pub use run::{Done, Event, RunError, Settings, run};
pub use spool::{Batch, Kept, SPOOL_BYTES_MIN, Spool, SpoolError};
