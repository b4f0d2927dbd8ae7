//! Runs `targets::tile_path` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::tile_path(data));
