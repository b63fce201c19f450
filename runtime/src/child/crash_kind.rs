//! The error of a task whose worker ended by a signal, as the signal's handler has recorded it.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::error::TaskErrorKind;
use crate::sys::{self, Reason};

/// Returns the error of a task that ended by a signal, as the signal's handler has recorded it.
pub(super) fn by_signal(signal: i32, reason: Reason, denied_path: Option<Vec<u8>>) -> TaskErrorKind {
    let note = match reason {
        Reason::MemoryLimit(limit) => return TaskErrorKind::MemoryLimit { limit },
        Reason::StackOverflow(bytes) => {
            format!("stack overflow (the stack of a task is {}: Pool::builder().stack_bytes(…))", ByteSize(bytes))
        }
        Reason::AllocationFailed => "an allocation failed".to_owned(),
        Reason::NotMapped(address) => format!("it read, wrote or ran address {address:#x}, which is not mapped"),
        Reason::Protected(address) => format!("it read, wrote or ran address {address:#x}, which is protected"),
        Reason::Refused => "the processor refused an instruction, or an address that no memory can have".to_owned(),
        Reason::Bus(address) => format!("bus error at address {address:#x}"),
        Reason::Arithmetic(address) => format!("division by zero or another arithmetic fault at {address:#x}"),
        Reason::Instruction(address) => format!("illegal instruction at {address:#x}"),
        Reason::SentBy(0) => {
            "the signal was sent by a process that it cannot see (of another PID namespace)".to_owned()
        }
        Reason::SentBy(pid) => format!("the signal was sent by process {pid}"),
        Reason::Raised => "it raised the signal itself".to_owned(),
        Reason::Denied(call) => return denied(call, denied_path),
    };
    crashed(Some(signal), None, Some(&note))
}

/// The error of a task that made a system call which its sandbox does not allow.
fn denied(call: u64, path: Option<Vec<u8>>) -> TaskErrorKind {
    let path = path.map(|path| PathBuf::from(OsString::from_vec(path)));
    TaskErrorKind::Denied { call: Some(sys::call_name(call)), path }
}

/// Displays a number of bytes in the largest unit that divides it.
struct ByteSize(u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bits, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            let count = self.0 >> bits;
            if count > 0 && count << bits == self.0 {
                return write!(f, "{count} {unit}");
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

pub(super) fn crashed(signal: Option<i32>, exit_code: Option<i32>, note: Option<&str>) -> TaskErrorKind {
    TaskErrorKind::Crashed { signal, exit_code, note: note.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_they_are_written() {
        let shown = [8 << 20, 64 << 10, 3 << 30, 1000, 0, (1 << 20) + 1024].map(|bytes| ByteSize(bytes).to_string());
        assert_eq!(shown, ["8 MiB", "64 KiB", "3 GiB", "1000 bytes", "0 bytes", "1025 KiB"]);
    }
}
