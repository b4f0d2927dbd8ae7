//! Fuzzes `targets::signed_note`.

#![no_main]

mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::signed_note(data));
