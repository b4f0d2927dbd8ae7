//! Foreign protocols: who may send, and what their bytes become.

mod credential;
mod json;
