//! Foreign protocols: what their bytes become.

mod golden;
mod json;
mod ship;
mod syslog;
