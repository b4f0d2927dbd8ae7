//! What a crash may do to an audit log: nothing that was promised to those who send events.
//!
//! | test | what happens | where |
//! |---|---|---|
//! | kill | SIGKILL under a storm of events, while policies change | [`kill`] |
//! | fault | the sync of a new key fails, not done or done all the same | [`fault`] |
//! | power loss | un-synced writes of both databases and of the key-encryption key are lost or torn | [`power`] |
//!
//! The laws are in [`check`]: every record that was acknowledged is there and opens, what was counted is
//! counted, the numbers of a source go on, and each record was judged by the policy below it.

mod book;
mod check;
mod fault;
mod kill;
mod place;
mod power;
mod writer;

/// The log.
const AUDIT: &str = "crash.example/audit";

/// Returns the policy of a number. Its rule puts that number into the record of each login.
///
/// `source` is who numbers its events.
fn policy(number: usize, source: &str) -> String {
    format!(
        "\
apiVersion: attestree/v1
kind: Policy
classes:
  login: {{match: {{action: login}}}}
  noise: {{match: {{action: noise}}, required: false}}
rules:
  - {{name: v{number}, classes: [login], require: [ctx.never], enforce: warn}}
redact:
  - {{path: actor.email, action: commit, subject: actor.id}}
  - {{path: ctx.card, action: commit, subject: ctx.owner}}
  - {{path: ctx.phone, action: token}}
suppress:
  - {{name: noise, classes: [noise], every: 1h}}
sources:
  - {{match: {{service: '{source}'}}, seq: required}}
"
    )
}
