//! Assembly: a configuration in, a running process out; and the verbs that need the files of a server.
//!
//! # Shutdown
//!
//! 1. `/readyz` and the health service say no, so that a balancer looks elsewhere.
//! 2. No connection is accepted any more; open ones are told to finish, and streams that would never
//!    end are ended after all their answers.
//! 3. What is still open at the deadline is dropped.
//! 4. The write path refuses submissions, commits and publishes what it has admitted, and stops.
//! 5. The administrator's socket is removed.
//!
//! After a failed write only 2 to 5 are left, and the process ends with an error.

mod admin;
mod alert;
mod backup;
pub mod baseline;
mod chain;
pub mod cheat;
pub mod clock;
mod close;
pub mod config;
mod cosigning;
pub mod cpu;
pub mod dev;
mod directory;
mod drop_unsigned;
pub mod echo;
mod ending;
mod fields;
mod files;
pub mod fsck;
mod gather;
mod governed;
mod governor;
mod init;
mod keyring;
mod keys;
mod listener;
mod patience;
pub mod random;
mod restore_tail;
mod running;
mod setting;
pub mod source;
mod syslog;
mod tail_source;
pub mod telemetry;
mod tls;
mod vault;
mod watch;
pub mod witness;

use core::net::SocketAddr;
use std::io::Write as _;

use anyhow::{Context as _, bail};

pub use self::{
    alert::{Address, AlertConfig, AlertFault, AlertTest, RawAlert, Receiver, test_alerts},
    backup::{backup, backup_keys},
    chain::ChainFinding,
    close::close,
    config::{Config, Flags},
    drop_unsigned::drop_unsigned,
    fields::{FieldFinding, Fields},
    governed::{Governed, InForce},
    init::{Init, init},
    keys::{
        KeyPlace, ListedKey, Rotated, create_keys, destroy_epoch, disclose, list_keys, rotate_kek,
    },
    restore_tail::{Restored, Unfit, restore_tail},
    running::{Running, start, start_by},
    tail_source::TailSource,
};
pub use crate::alert::webhook::{SIGNATURE_HEADER, SigningSecret};
pub use crate::pipeline::Stopped;
pub use crate::store::{LogIdentity, keys::KeptKey};

/// Runs a server until it is told to stop. The first line on standard output is its address, on demand as JSON.
pub fn run(flags: Flags, as_json: bool) -> anyhow::Result<()> {
    let config = flags.read()?;
    telemetry::start(config.telemetry);
    tracing::info!("the effective configuration:\n{config}");
    let has_tls = config.listener.tls.is_some();
    let running = start(config)?;
    running.wait(|| announce(has_tls, running.address(), as_json))?;
    match running.stop() {
        Stopped::Clean => Ok(()),
        Stopped::Poisoned => bail!(
            "the server stopped because a write failed or its result is not known; start it again, and it \
             takes up what the disk holds"
        ),
    }
}

/// Says on standard output where a daemon listens: the first line that it prints, which supervisors wait
/// for. No character of an address has to be escaped in JSON.
fn announce(has_tls: bool, address: SocketAddr, as_json: bool) -> anyhow::Result<()> {
    let url = format!("{}://{address}", if has_tls { "https" } else { "http" });
    let line = match as_json {
        true => format!("{{\"listening\":\"{url}\"}}"),
        false => format!("listening on {url}"),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("write to standard output")
}
