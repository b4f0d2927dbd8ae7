//! The manual: how Attestree is built, what it writes, what it promises, and how to run it.
//!
//! Written in British English, for whoever reads the code or keeps a server. What a client sees is
//! described in `proto/attestree/v1`; what a verb does, by `attestree help VERB`.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("formats.md")]
pub mod formats {}

#[doc = include_str!("records.md")]
pub mod records {}

#[doc = include_str!("events.md")]
pub mod events {}

#[doc = include_str!("sources.md")]
pub mod sources {}

#[doc = include_str!("policy.md")]
pub mod policy {}

#[doc = include_str!("rego.md")]
pub mod rego {}

#[doc = include_str!("alerts.md")]
pub mod alerts {}

#[doc = include_str!("infra.md")]
pub mod infra {}

#[doc = include_str!("durability.md")]
pub mod durability {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[doc = include_str!("evidence.md")]
pub mod evidence {}

#[doc = include_str!("witnesses.md")]
pub mod witnesses {}

#[doc = include_str!("operation.md")]
pub mod operation {}

#[doc = include_str!("witness.md")]
pub mod witness {}
