//! The name of this machine.

use nix::libc;

/// The name of this machine, or `localhost` where it has none.
pub(crate) fn host_name() -> String {
    let mut bytes = [0u8; 256];
    // SAFETY: there is room for so many bytes. The last stays 0, also where the system cuts a long name off without an end.
    let failed = unsafe { libc::gethostname(bytes.as_mut_ptr().cast(), bytes.len() - 1) } != 0;
    let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    if failed || name.is_empty() { "localhost".to_owned() } else { String::from_utf8_lossy(name).into_owned() }
}
