//! What a crash may do to the server: nothing that was promised.
//!
//! | test | what happens | where |
//! |---|---|---|
//! | kill | SIGKILL at random moments under concurrent load, in start-up as well | [`kill`] |
//! | fault | an error or a kill at the n-th call of each write-side system call | [`fault`] |
//! | power loss | un-synced writes and names are lost or torn at arbitrary moments | [`power`] |
//! | marks | the same while the first marks of new logs are written | [`mark`] |
//! | restore | an older copy, damage, a foreign key or format: refused with the way out | [`restore`] |
//! | tail | an older copy gets what it lacks from the tiles, or is left as it is | [`tail`] |
//! | init | the same faults while a log is made | [`init`] |
//! | events | kills, failed syncs and power loss under events, with the keys beside an audit log | [`event`] |
//! | effect | each effect of a cycle fails, done or not done, in process | [`effect`] |
//!
//! A server whose syncs do nothing fails the test of power loss: the test of that test.
//!
//! After each the log is opened again and audited; see [`audit`] for the laws.
//!
//! `ATTESTREE_CRASH_SEED` repeats a run. `ATTESTREE_CRASH_KILLS`, `_FAULTS` and `_IMAGES` say how
//! much is done (kills; instances of each system call; images); without them a run of all takes
//! about two minutes of two cores.

mod audit;
mod client;
mod disk;
mod effect;
mod event;
mod fault;
mod image;
mod init;
mod instance;
mod kill;
mod ledger;
mod load;
mod mark;
mod node;
mod power;
pub(crate) mod process;
mod random;
mod recorder;
mod restore;
pub(crate) mod site;
mod tail;
mod trace;

use tokio::runtime::Runtime;

/// Reads one of the numbers that tune these tests.
#[allow(clippy::disallowed_methods, reason = "the tests' own settings, not the server's")]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(format!("ATTESTREE_CRASH_{name}")).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("ATTESTREE_CRASH_{name} is a number: {text}")))
}

/// Starts what drives the clients.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
