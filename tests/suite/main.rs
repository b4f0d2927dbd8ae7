//! The suite: everything that is tested through the crate's public face, in one binary so that
//! RocksDB is linked once.

mod checkpoint;
mod cosignature;
mod key;
mod note;
mod origin;
#[cfg(feature = "server")]
mod pipeline;
mod probes;
mod published;
mod receipt;
mod tile_path;
mod trust;
#[cfg(feature = "server")]
mod world;
