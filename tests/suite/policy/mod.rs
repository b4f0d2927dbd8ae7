//! Policies: what they recognise, what they demand, and what becomes of a submission.

mod admit;
mod compile;
mod deploy;
mod detect;
mod diff;
mod documents;
mod echo;
mod rego;
mod rego_hostile;
mod rego_interop;
mod replay;
mod runner;
mod schema;
mod watching;
mod write;
