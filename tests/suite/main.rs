//! The integration tests, in one binary so that RocksDB is linked once.

#[cfg(feature = "server")]
mod crash;
