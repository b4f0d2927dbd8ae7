//! Foreign protocols: what their bytes become.

mod json;
