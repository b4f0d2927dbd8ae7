//! Runs `targets::opa` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::opa(data));
