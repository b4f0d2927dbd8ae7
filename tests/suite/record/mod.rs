//! Audit records: canonical JSON, and what is made of it.

mod approval;
mod bundle;
mod draft;
mod echo;
mod json;
mod json_property;
mod path;
mod time;
mod vectors;
