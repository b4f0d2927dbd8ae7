//! Runs `targets::bundle` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::bundle(data));
