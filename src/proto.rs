//! The messages and services generated from `proto/attestree/v1`.

/// The generated code, which keeps none of the crate's rules.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications)]
mod generated {
    tonic::include_proto!("attestree.v1");
}

pub use generated::*;

/// The descriptor set of `proto/`, as reflection serves it.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/attestree.v1.binpb"));
