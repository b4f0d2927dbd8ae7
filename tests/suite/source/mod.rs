//! Foreign protocols: what their bytes become.

#[cfg(feature = "server")]
mod child;
mod cloudevents;
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
