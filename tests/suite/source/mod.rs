//! Foreign protocols: what their bytes become.

mod cloudevents;
mod golden;
mod hec;
mod json;
mod opa;
