//! Says where the ways of Linux are taken (`cfg(poolmap_linux)`), and where those of any Unix.
//!
//! `POOLMAP_PORTABLE=1` takes the latter on Linux too, so that they are tested there. So does Miri, which knows few system calls.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(poolmap_linux)");
    // cargo-fuzz sets it.
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    println!("cargo::rerun-if-env-changed=POOLMAP_PORTABLE");
    let target = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let is_portable = env::var_os("POOLMAP_PORTABLE").is_some() || env::var_os("CARGO_CFG_MIRI").is_some();
    if ["linux", "android"].contains(&target.as_str()) && !is_portable {
        println!("cargo::rustc-cfg=poolmap_linux");
    }
}
