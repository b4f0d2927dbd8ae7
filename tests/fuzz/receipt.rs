//! Fuzzes `targets::receipt`.

#![no_main]

mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::receipt(data));
