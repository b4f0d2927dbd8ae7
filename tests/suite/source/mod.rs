//! Foreign protocols: what their bytes become.

mod golden;
mod json;
#[cfg(feature = "server")]
mod sender;
mod ship;
#[cfg(feature = "server")]
mod shipped;
#[cfg(feature = "server")]
mod site;
mod syslog;
#[cfg(feature = "server")]
mod wire;
