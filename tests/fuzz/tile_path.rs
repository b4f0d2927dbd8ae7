//! Fuzzes `targets::tile_path`.

#![no_main]

mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::tile_path(data));
