//! Foreign protocols: what their bytes become.

#[cfg(feature = "server")]
mod answers;
#[cfg(feature = "server")]
mod cut;
mod golden;
mod json;
mod kubernetes;
mod otlp;
#[cfg(feature = "server")]
mod place;
#[cfg(feature = "server")]
mod sender;
