//! Foreign protocols: who may send, and what their bytes become.

#[cfg(feature = "server")]
mod certificate;
#[cfg(feature = "server")]
mod child;
mod cloudevents;
mod credential;
mod golden;
mod hec;
mod json;
mod opa;
#[cfg(feature = "server")]
mod posted;
#[cfg(feature = "server")]
mod proxy;
#[cfg(feature = "server")]
mod senders;
