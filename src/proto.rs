//! The messages and services generated from `proto/attestree/v1`.

/// What was generated.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    reason = "generated code keeps none of the crate's rules"
)]
mod generated {
    tonic::include_proto!("attestree.v1");
}

pub use generated::*;

/// The descriptor set of `proto/`, as reflection serves it.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/attestree.v1.binpb"));
