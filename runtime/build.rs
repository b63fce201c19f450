//! Says where the ways of Linux are taken (`cfg(poolmap_linux)`), and where those of any Unix.
//!
//! Where a process may copy itself beside itself (`cfg(poolmap_copies)`): Linux with glibc on 64 bits. Other C libraries keep a thread's
//! number where nobody else can set it, and the order of the call's arguments is another on some processors.
//!
//! Where a worker may be put into a sandbox (`cfg(poolmap_sandbox)`): with the feature of that name, on Linux, on processors whose system
//! calls `sys/sandbox_*` knows.
//!
//! `POOLMAP_PORTABLE=1` takes the latter on Linux too, so that they are tested there. So does Miri, which knows few system calls.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(poolmap_linux, poolmap_copies, poolmap_sandbox)");
    // cargo-fuzz sets it.
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    println!("cargo::rerun-if-env-changed=POOLMAP_PORTABLE");
    let target = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let is_portable = env::var_os("POOLMAP_PORTABLE").is_some() || env::var_os("CARGO_CFG_MIRI").is_some();
    if ["linux", "android"].contains(&target.as_str()) && !is_portable {
        println!("cargo::rustc-cfg=poolmap_linux");
        let of = |name: &str| env::var(name).unwrap_or_default();
        let has_calls = ["x86_64", "aarch64"].contains(&of("CARGO_CFG_TARGET_ARCH").as_str());
        if target == "linux" && has_calls && env::var_os("CARGO_FEATURE_SANDBOX").is_some() {
            println!("cargo::rustc-cfg=poolmap_sandbox");
        }
        let processors = ["x86_64", "aarch64", "riscv64", "loongarch64"];
        let is_64 = of("CARGO_CFG_TARGET_POINTER_WIDTH") == "64";
        let is_known = processors.contains(&of("CARGO_CFG_TARGET_ARCH").as_str());
        if target == "linux" && of("CARGO_CFG_TARGET_ENV") == "gnu" && is_64 && is_known {
            println!("cargo::rustc-cfg=poolmap_copies");
        }
    }
}
