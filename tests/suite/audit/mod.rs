//! The write path of audit logs, over a real store: what is submitted becomes records, in order, under the
//! policy that governs them.

mod append;
mod crash;
mod fsck;
mod kept;
mod policy;
mod property;
mod site;
mod watch;
