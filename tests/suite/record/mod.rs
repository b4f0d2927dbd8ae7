//! Audit records: canonical JSON, and what is made of it.

mod json;
mod json_property;
