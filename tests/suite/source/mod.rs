//! Foreign protocols: who may send, and what their bytes become.

#[cfg(feature = "server")]
mod answers;
#[cfg(feature = "server")]
mod certificate;
#[cfg(feature = "server")]
mod child;
mod cloudevents;
mod credential;
mod golden;
mod hec;
mod json;
mod kubernetes;
#[cfg(feature = "server")]
mod line;
mod opa;
mod otlp;
#[cfg(feature = "server")]
mod posted;
#[cfg(feature = "server")]
mod relay;
#[cfg(feature = "server")]
mod sender;
#[cfg(feature = "server")]
mod senders;
mod ship;
#[cfg(feature = "server")]
mod shipped;
mod syslog;
#[cfg(feature = "server")]
mod wire;
