//! The log's side of witnessing, over real sockets: candidates, quorums, and the guard before the first
//! signature.

mod alerts;
mod follow;
mod guard;
mod publish;
mod quorum;
mod restored;
pub(crate) mod site;
