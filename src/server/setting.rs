//! Single keys of a configuration: where they are read, how they are checked, and what is wrong with them.

use core::{net::SocketAddr, time::Duration};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{alert::AlertFault, source::SourceError, telemetry, tls};

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
    /// Somebody who is to be told of alerts can't be.
    #[error("alerts.{name}: {fault}")]
    Alert {
        /// The sink.
        name: String,
        /// What is wrong.
        fault: AlertFault,
    },
    /// A key needs another one.
    #[error("{key} is given without {needs}; give both or neither")]
    Needs {
        /// The key that was given.
        key: &'static str,
        /// The key that is missing.
        needs: &'static str,
    },
    /// A source is wrong.
    #[error("the source {name:?} of [[sources]]: {error}")]
    Source {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: SourceError,
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

/// Reads a configuration file, if one is named.
pub(super) fn read_file<T: DeserializeOwned + Default>(
    path: Option<&Path>,
) -> Result<T, ConfigError> {
    let Some(path) = path else { return Ok(T::default()) };
    let text = fs::read_to_string(path)
        .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
    toml::from_str(&text)
        .map_err(|error| ConfigError::Parse { path: path.to_owned(), error: Box::new(error) })
}

/// Takes each named key from the first source that gives it. Every key is named, so that a new one can't be
/// forgotten; those in braces are not joined.
macro_rules! first_of {
    ($first:ident, $second:ident, { $($own:ident),* }: $($key:ident),* $(,)?) => {
        RawConfig { $($key: $first.$key.or($second.$key)),*, $($own),* }
    };
}
pub(super) use first_of;

/// Reads the address to listen on.
pub(super) fn parse_address(
    listen: Option<String>,
    default: &str,
) -> Result<SocketAddr, ConfigError> {
    let listen = listen.unwrap_or_else(|| default.to_owned());
    listen.parse().map_err(|_| ConfigError::Word {
        key: "listen",
        value: listen,
        allowed: "an IP address and a port, such as 127.0.0.1:6962 or [::1]:6962",
    })
}

/// Refuses to speak in the clear to other machines, unless that is asked for.
pub(super) fn check_plaintext(
    address: SocketAddr,
    tls: Option<&tls::Config>,
    insecure: Option<bool>,
) -> Result<(), ConfigError> {
    if tls.is_some() || address.ip().is_loopback() || insecure == Some(true) {
        return Ok(());
    }
    Err(ConfigError::Plaintext { address })
}

/// Checks that the files of TLS come together.
pub(super) fn parse_tls(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
) -> Result<Option<tls::Config>, ConfigError> {
    let needs = |key, needs| Err(ConfigError::Needs { key, needs });
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(tls::Config { certificate, key, client_ca })),
        (Some(_), None) => needs("tls_certificate", "tls_key"),
        (None, Some(_)) => needs("tls_key", "tls_certificate"),
        (None, None) if client_ca.is_some() => needs("tls_client_ca", "tls_certificate"),
        (None, None) => Ok(None),
    }
}

/// Checks a number, or takes its default.
pub(super) fn range(
    key: &'static str,
    given: Option<u64>,
    default: u64,
    min: u64,
    max: u64,
) -> Result<u64, ConfigError> {
    let value = given.unwrap_or(default);
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(ConfigError::Range { key, value, min, max })
    }
}

/// Checks a number of things that memory holds, or takes its default.
pub(super) fn count(
    key: &'static str,
    given: Option<u64>,
    default: u64,
    min: u64,
    max: u64,
) -> Result<usize, ConfigError> {
    Ok(usize::try_from(range(key, given, default, min, max)?).expect("64-bit addresses"))
}

/// Checks a number of seconds from 1 up, or takes its default.
pub(super) fn seconds(
    key: &'static str,
    given: Option<u64>,
    default: u64,
    max: u64,
) -> Result<Duration, ConfigError> {
    Ok(Duration::from_secs(range(key, given, default, 1, max)?))
}

/// Reads a word, or the default.
pub(super) fn word<T: core::str::FromStr>(
    key: &'static str,
    given: Option<String>,
    default: &str,
    allowed: &'static str,
) -> Result<T, ConfigError> {
    let value = given.unwrap_or_else(|| default.to_owned());
    value.parse().map_err(|_| ConfigError::Word { key, value, allowed })
}

/// Reads what is logged and how.
pub(super) fn parse_telemetry(
    level: Option<String>,
    form: Option<String>,
) -> Result<telemetry::Config, ConfigError> {
    Ok(telemetry::Config {
        level: word("log_level", level, "info", "off, error, warn, info, debug or trace")?,
        form: word("log_format", form, "text", "text or json")?,
    })
}
