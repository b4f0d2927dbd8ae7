//! Runs `targets::spool` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::spool(data));
