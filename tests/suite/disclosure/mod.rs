//! What stands beside the records of an audit log: keys, disclosures, and nothing else.

mod archive;
mod disk;
mod fields;
mod live;
mod search;
mod verbs;
