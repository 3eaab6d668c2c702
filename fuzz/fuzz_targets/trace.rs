#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peersox_fuzz::run("trace", bytes));
