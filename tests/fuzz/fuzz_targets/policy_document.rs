//! Runs `targets::policy_document` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::policy_document(data));
