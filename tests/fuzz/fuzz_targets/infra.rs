//! Runs `targets::infra` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::infra(data));
