//! The target `messages`: see `poolmap::__fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| poolmap::__fuzzing::messages(bytes));
