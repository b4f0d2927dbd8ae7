//! What the process writes to its log.
//!
//! One line an event, to standard error. Messages are constant; what varies stands in fields, and
//! their names are a closed list: `origin`, `tree_size`, `old_size`, `leaf_index`, `entries`, `bytes`,
//! `policy`, `witness`, `sink`, `failures`, `elapsed_ms`, `error`, `address`. Entries, keys and client payloads are never
//! logged.

use core::{fmt, str::FromStr};
use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{fmt as form, layer::SubscriberExt as _, registry};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for Form {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// What is logged and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The least important level that is shown.
    pub level: LevelFilter,
    /// How lines look.
    pub form: Form,
}

/// Starts logging for the whole process; a second call changes nothing.
pub fn start(config: Config) {
    let colours = io::stderr().is_terminal();
    let lines = form::layer().with_writer(io::stderr).with_target(false);
    let registry = registry().with(config.level);
    let first = match config.form {
        Form::Text => {
            tracing::subscriber::set_global_default(registry.with(lines.with_ansi(colours)))
        }
        Form::Json => {
            tracing::subscriber::set_global_default(registry.with(lines.json().flatten_event(true)))
        }
    };
    if first.is_err() {
        tracing::debug!("logging was started before");
    }
}
