//! The learning mode: a worker whose calls are all made, and which notes those that its sandbox would deny.
//!
//! 1. The kernel stops each such call, asks a thread of the worker, and makes the call when that has noted it. So the call is whatever the
//!    program meant it to be: a fork, a thread, another program.
//! 2. The filter is around the thread of the tasks and what that starts; the thread that is asked is outside.
//! 3. What is noted is a line in a file without a name, which all workers of the pool write to and the parent reads (`suggestion`). It is for
//!    a person to read: a worker that learns is trusted.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::calls::{CONNECTING, READING, WRITING};
use super::filter;
use super::suggestion::Need;
use crate::sys::{self, NotedCall};

/// From now on the calls of this thread, and of what it starts, are noted there.
pub(super) fn learn(program: &[u64], notes: OwnedFd) -> io::Result<()> {
    let mut notebook = Notebook { file: File::from(notes), known: BTreeSet::new() };
    sys::note_calls(&filter::noting(program), move |call| notebook.note(call))
}

struct Notebook {
    file: File,
    /// What was written there.
    known: BTreeSet<Need>,
}

impl Notebook {
    fn note(&mut self, call: &NotedCall) {
        if let Some(need) = need(call)
            && !self.known.contains(&need)
        {
            // At once, as others write there too. Without room nobody learns of it.
            let _ = self.file.write_all(need.to_line().as_bytes());
            self.known.insert(need);
        }
    }
}

const CLONE_THREAD: u64 = 0x1_0000;
/// O_WRONLY, O_RDWR, O_CREAT and O_TRUNC.
const WRITES: u64 = 0o1 | 0o2 | 0o100 | 0o1000;

/// The need of a call; none where it needs nothing, as the handler of a sandbox answers it.
fn need(call: &NotedCall) -> Option<Need> {
    let name = sys::call_name(call.number.cast_unsigned());
    let arguments = call.arguments;
    match name.as_str() {
        "rt_sigprocmask" => return None,
        // Of the ways that a descriptor is asked for, those of a terminal and of a socket.
        "ioctl" if matches!(arguments[1] & 0xffff_ffff, 0x5401 | 0x5421) => return None,
        "clone" if arguments[0] & CLONE_THREAD != 0 => return Some(Need::Threads(call.threads())),
        "clone3" if call.number_at(arguments[0]).is_some_and(|flags| flags & CLONE_THREAD != 0) => {
            return Some(Need::Threads(call.threads()));
        }
        "connect" => return Some(port(call).map_or(Need::Call(name), Need::Port)),
        "socket" if matches!(arguments[0], 2 | 10) && arguments[1] & 0xf == 1 => return None,
        _ => {}
    }
    let is_of_socket = |(known, _): &(&str, _)| *known == name && !matches!(name.as_str(), "socket" | "ioctl");
    if CONNECTING.iter().any(is_of_socket) {
        return None;
    }
    let path = match call.path() {
        Some(path) if path.is_empty() => return None,
        Some(path) => std::env::current_dir().unwrap_or_default().join(PathBuf::from(OsStr::from_bytes(&path))),
        None => return Some(Need::Call(name)),
    };
    let opens_to_write = match name.as_str() {
        "open" => arguments[1] & WRITES != 0,
        "openat" => arguments[2] & WRITES != 0,
        _ => false,
    };
    Some(if opens_to_write || WRITING.contains(&name.as_str()) {
        // What is made is opened by its folder.
        Need::Write(path.ancestors().find(|path| path.exists()).map_or_else(|| path.clone(), Path::to_owned))
    } else if READING.contains(&name.as_str()) {
        Need::Read(path, name)
    } else {
        Need::Call(name)
    })
}

/// The port of an address that is of TCP.
fn port(call: &NotedCall) -> Option<u16> {
    let start = call.number_at(call.arguments[1])?.to_ne_bytes();
    let family = u16::from_ne_bytes([start[0], start[1]]);
    matches!(family, 2 | 10).then(|| u16::from_be_bytes([start[2], start[3]]))
}
