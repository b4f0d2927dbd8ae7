//! The suite: everything that is tested through the crate's public face, in one binary so that
//! RocksDB is linked once.

#[cfg(feature = "server")]
mod pipeline;
#[cfg(feature = "server")]
mod world;
