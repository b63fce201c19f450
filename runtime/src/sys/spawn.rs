//! Starts a process by `posix_spawn`, with the descriptors, the environment and the folder that it is to have and no others. It
//! knows nothing of what the process is for.
//!
//! 1. The process has these descriptors from its first instruction on: 0 is `/dev/null`, 1 and 2 are its parent's (1 is
//!    `/dev/null` where that is asked for), [`CHANNEL`] is its end of the channel, and nothing else is open. So what runs
//!    before `init()` finds no descriptor of the parent's, and nothing needs to be closed later, when the numbers may belong to
//!    the program.
//! 2. Nothing of ours runs between fork and exec: the C library alone does, so that a large parent starts a process as fast as a
//!    small one (with 2 GB 0.15 ms against 239 ms for a fork).
//! 3. Every source of a `dup2` has a number above all targets. `dup2` of a number onto itself would leave it close-on-exec
//!    under glibc before 2.29, and one action could overwrite the source of the next.
//! 4. `addclosefrom_np` (glibc 2.34, FreeBSD 13.1) and `addfchdir_np` (glibc 2.29, musl 1.1.24, macOS 10.15, FreeBSD 13.1) are
//!    looked up when the program runs (`spawn_symbols`), so that it links and runs with older libraries too. Without the first,
//!    each open descriptor that is not close-on-exec is closed by its number; one that another thread opens in that moment is
//!    inherited. Without the second, the process gets the folder as descriptor [`FOLDER`] and changes to it itself.
//! 5. A process that is to have CPUs of its own has them from its first instruction on: the thread that starts it has them in that
//!    moment (`placement`).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::libc;
use nix::unistd::Pid;

use super::placement;
use super::socket::at_least;
use super::spawn_symbols::{change_folder, symbol};
use super::surroundings::{FOLDER, Surroundings};

/// The descriptor of the process's end of its channel.
pub(crate) const CHANNEL: RawFd = 3;

/// Where standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stdout {
    Inherited,
    Null,
}

/// The process group of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// It leads one of its own. Processes that it started, and that are still in that group, end with it.
    Own,
    /// It stays in that of its parent: signals of the terminal reach both.
    OfParent,
}

/// A process to be started.
pub(crate) struct Spawn<'a> {
    pub(crate) program: &'a CStr,
    pub(crate) arguments: &'a [CString],
    pub(crate) surroundings: &'a Surroundings,
    /// Set beside those of the surroundings, each as [`assignment`] gives it.
    pub(crate) variables: &'a [CString],
    /// The descriptor that [`open_null`] returned.
    pub(crate) null: File,
    pub(crate) channel: OwnedFd,
    pub(crate) stdout: Stdout,
    pub(crate) group: Group,
    /// The CPUs that it may use; all that the calling thread may where there are none here.
    pub(crate) cpus: &'a [usize],
}

/// Opens `/dev/null` for a process that is to be started.
pub(crate) fn open_null(stdout: Stdout) -> io::Result<File> {
    File::options().read(true).write(stdout == Stdout::Null).open("/dev/null")
}

/// Starts the process. Its descriptors are closed here when this returns.
pub(super) fn spawn(spawn: Spawn<'_>) -> io::Result<Pid> {
    let lowest = FOLDER + 1;
    let null = at_least(lowest, spawn.null.into())?;
    let channel = at_least(lowest, spawn.channel)?;
    let mut actions = Actions::new()?;
    let mut last = CHANNEL;
    if let Some(folder) = &spawn.surroundings.folder {
        match change_folder() {
            // Before anything else, so that no `dup2` has overwritten it.
            Some(change_folder) => actions.add(|actions| {
                // SAFETY: the actions are initialised, and every system that has a function of this
                // name takes these two.
                unsafe { change_folder(actions, folder.as_raw_fd()) }
            })?,
            None => {
                actions.duplicate(folder.as_raw_fd(), FOLDER)?;
                last = FOLDER;
            }
        }
    }
    actions.duplicate(null.as_raw_fd(), libc::STDIN_FILENO)?;
    if spawn.stdout == Stdout::Null {
        actions.duplicate(null.as_raw_fd(), libc::STDOUT_FILENO)?;
    }
    actions.duplicate(channel.as_raw_fd(), CHANNEL)?;
    actions.close_from(last + 1)?;
    let attributes = Attributes::new(spawn.group)?;
    let arguments = pointers(spawn.arguments.iter());
    let environment = pointers(spawn.surroundings.with(spawn.variables));
    let mut pid = 0;
    let start = || {
        // SAFETY: the actions and the attributes are initialised; both arrays end with a null pointer, and their strings, which
        // the call does not change, live as long as `spawn`; the pid is a number of ours.
        let result = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                spawn.program.as_ptr(),
                actions.0.as_ptr(),
                attributes.0.as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
            )
        };
        check(result)
    };
    placement::on_cpus(spawn.cpus, start).map(|()| Pid::from_raw(pid))
}

fn pointers<'a>(strings: impl Iterator<Item = &'a CString>) -> Vec<*mut libc::c_char> {
    strings.map(|string| string.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
}

/// These functions give the number of an error, and do not set `errno`.
fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// The actions on descriptors in the new process, before it runs the program. They stay at one address.
struct Actions(Box<MaybeUninit<libc::posix_spawn_file_actions_t>>);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = Box::new(MaybeUninit::uninit());
        // SAFETY: the pointer is to memory for such a structure, which the call initialises if it succeeds.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        Ok(Self(actions))
    }

    /// Adds an action by a function that gives the number of an error.
    fn add(&mut self, add: impl FnOnce(*mut libc::posix_spawn_file_actions_t) -> libc::c_int) -> io::Result<()> {
        check(add(self.0.as_mut_ptr()))
    }

    fn duplicate(&mut self, from: RawFd, to: RawFd) -> io::Result<()> {
        // SAFETY: the actions are initialised; the call takes two numbers beside them.
        self.add(|actions| unsafe { libc::posix_spawn_file_actions_adddup2(actions, from, to) })
    }

    /// Closes every descriptor from this number on (rule 4).
    #[cfg(not(target_vendor = "apple"))]
    fn close_from(&mut self, lowest: RawFd) -> io::Result<()> {
        if let Some(close_from) = symbol(c"posix_spawn_file_actions_addclosefrom_np") {
            // SAFETY: the actions are initialised, and every system that has a function of this name
            // takes these two.
            return self.add(|actions| unsafe { close_from(actions, lowest) });
        }
        for descriptor in inherited(lowest) {
            // SAFETY: the actions are initialised; the call takes a number beside them.
            let added = self.add(|actions| unsafe { libc::posix_spawn_file_actions_addclose(actions, descriptor) });
            match added {
                // A limit that was lowered below descriptors that are open makes their numbers invalid here.
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => {}
                added => added?,
            }
        }
        Ok(())
    }

    /// The attribute closes all that no action names, so the standard streams are named.
    #[cfg(target_vendor = "apple")]
    fn close_from(&mut self, _lowest: RawFd) -> io::Result<()> {
        let Some(inherit) = symbol(c"posix_spawn_file_actions_addinherit_np") else {
            return Ok(());
        };
        for stream in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            if is_inherited(stream) {
                // SAFETY: the actions are initialised, and every system that has a function of this name
                // takes these two.
                self.add(|actions| unsafe { inherit(actions, stream) })?;
            }
        }
        Ok(())
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: they are initialised, and not used after this. The result says nothing that could be acted on.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

/// The attributes of the new process from its start on: no signal blocked, SIGPIPE as it is by default (as std leaves it), and the
/// process group. It stays at one address.
struct Attributes(Box<MaybeUninit<libc::posix_spawnattr_t>>);

impl Attributes {
    fn new(group: Group) -> io::Result<Self> {
        let mut attributes = Box::new(MaybeUninit::uninit());
        // SAFETY: the pointer is to memory for such a structure, which the call initialises if it succeeds.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        let mut attributes = Self(attributes);
        let attr = attributes.0.as_mut_ptr();
        let mut flags = libc::POSIX_SPAWN_SETSIGMASK as libc::c_int | libc::POSIX_SPAWN_SETSIGDEF as libc::c_int;
        let none = nix::sys::signal::SigSet::empty();
        let mut pipe = none;
        pipe.add(nix::sys::signal::Signal::SIGPIPE);
        // SAFETY: the attributes are initialised, and the sets are values that live through the calls.
        unsafe {
            check(libc::posix_spawnattr_setsigmask(attr, none.as_ref()))?;
            check(libc::posix_spawnattr_setsigdefault(attr, pipe.as_ref()))?;
        }
        if group == Group::Own {
            flags |= libc::POSIX_SPAWN_SETPGROUP as libc::c_int;
            // SAFETY: the attributes are initialised; the call takes a number beside them.
            check(unsafe { libc::posix_spawnattr_setpgroup(attr, 0) })?;
        }
        #[cfg(target_vendor = "apple")]
        {
            flags |= libc::POSIX_SPAWN_CLOEXEC_DEFAULT;
        }
        // SAFETY: the attributes are initialised; the flags are those of the system, which fit.
        check(unsafe { libc::posix_spawnattr_setflags(attr, flags as libc::c_short) })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: they are initialised, and not used after this. The result says nothing that could be acted on.
        unsafe { libc::posix_spawnattr_destroy(self.0.as_mut_ptr()) };
    }
}

/// The open descriptors from this number on that a new process would have.
#[cfg(not(target_vendor = "apple"))]
fn inherited(lowest: RawFd) -> Vec<RawFd> {
    /// Where no file system lists them, numbers above are not asked for: each takes a system call.
    const ASKED_MAX: RawFd = 1 << 16;

    let listed = std::fs::read_dir("/proc/self/fd").map(|entries| {
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.filter(|&number: &RawFd| number >= lowest).collect::<Vec<_>>()
    });
    let mut open = listed.unwrap_or_else(|_| {
        let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
        let limit = limit.ok().and_then(|(soft, _)| RawFd::try_from(soft).ok()).unwrap_or(ASKED_MAX);
        (lowest..limit.min(ASKED_MAX)).collect()
    });
    open.retain(|&number| is_inherited(number));
    open
}

/// Whether a descriptor is open and not close-on-exec.
fn is_inherited(descriptor: RawFd) -> bool {
    // SAFETY: the call asks for the flags of a number, whether it is open or not.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}
