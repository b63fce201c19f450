//! A signal's number as a person reads it. The numbers listed are equal on all Unix systems, those of SIGBUS and SIGSYS apart.

use std::fmt;

/// Displays as `signal 11 (SIGSEGV)`, or as the number alone where the name differs between systems.
pub(super) struct Signal(pub(super) i32);

#[cfg(any(target_os = "linux", target_os = "android"))]
const SIGBUS: i32 = 7;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SIGBUS: i32 = 10;
#[cfg(any(target_os = "linux", target_os = "android"))]
const SIGSYS: i32 = 31;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SIGSYS: i32 = 12;

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_name(self.0) {
            Some(name) => write!(f, "signal {} ({name})", self.0),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// The name of a signal, if that is the same on all systems.
pub(crate) fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        SIGBUS => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        SIGSYS => "SIGSYS",
        _ => return None,
    })
}
