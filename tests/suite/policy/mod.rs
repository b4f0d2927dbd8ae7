//! Policies: what they recognise, what they demand, and what becomes of a submission.

mod admit;
mod compile;
mod deploy;
mod detect;
mod diff;
mod documents;
mod write;
