//! Policies: what they recognise, what they demand, and what becomes of a submission.

mod admit;
mod compile;
mod detect;
mod diff;
