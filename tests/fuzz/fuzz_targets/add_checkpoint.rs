//! Runs `targets::add_checkpoint` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::add_checkpoint(data));
