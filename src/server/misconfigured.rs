//! Why a configuration is refused.

use core::net::SocketAddr;
use std::{io, path::PathBuf};

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("read the configuration {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration {path} is wrong: {error}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// A number is outside its range.
    #[error("{key} is {value}; use {min} to {max}")]
    Range {
        /// The key.
        key: &'static str,
        /// What was given.
        value: u64,
        /// The smallest that is allowed.
        min: u64,
        /// The largest that is allowed.
        max: u64,
    },
    /// A word is none of those allowed.
    #[error("{key} is {value:?}; use {allowed}")]
    Word {
        /// The key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A key needs another one.
    #[error("{key} is given without {needs}; give both or neither")]
    Needs {
        /// The key that was given.
        key: &'static str,
        /// The key that is missing.
        needs: &'static str,
    },
    /// Others could read and change what goes over the network.
    #[error(
        "{address} can be reached from other machines and TLS is off; give tls_certificate and tls_key, \
         listen on 127.0.0.1, or say --insecure-plaintext if something in front of it encrypts"
    )]
    Plaintext {
        /// The address.
        address: SocketAddr,
    },
    /// The watermark would be restored together with what it guards.
    #[error(
        "the watermark {path} lies inside the data directory, where a restored copy would bring its own; move it out"
    )]
    WatermarkInside {
        /// The file.
        path: PathBuf,
    },
    /// The key-encryption key would be copied together with what it wraps.
    #[error(
        "the key-encryption key {path} lies inside the data directory, where whoever copies the keys gets it too; \
         move it out and name it with kek"
    )]
    KekInside {
        /// The file.
        path: PathBuf,
    },
}
