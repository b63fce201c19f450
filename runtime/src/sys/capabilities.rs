//! The capabilities of a thread (capabilities(7)). Its functions only make system calls, so a signal's handler may call them. It does not
//! know what they are for.

use nix::errno::Errno;
use nix::libc::{self, c_int};

const CAP_SYS_CHROOT: u32 = 18;
const CAP_SYS_ADMIN: u32 = 21;
/// The capabilities that setns(2) asks for to enter a namespace of mounts; for another the second is enough.
const ENTERING: u32 = 1 << CAP_SYS_CHROOT | 1 << CAP_SYS_ADMIN;

/// One half of each set: the first has the capabilities 0 to 31.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The header of capget(2) and capset(2). The thread 0 is the calling one.
#[repr(C)]
struct Header {
    version: u32,
    thread: c_int,
}

static OWN: Header = Header { version: 0x2008_0522, thread: 0 };

/// The sets of the calling thread, in the form of the third version.
#[derive(Clone, Copy, Default)]
pub(super) struct Capabilities([Half; 2]);

impl Capabilities {
    /// No capability at all.
    pub(super) const NONE: Self = Self([
        Half { effective: 0, permitted: 0, inheritable: 0 },
        Half { effective: 0, permitted: 0, inheritable: 0 },
    ]);

    /// Returns those of this thread; an error is the number of the system's.
    pub(super) fn now() -> Result<Self, c_int> {
        let mut sets = Self::default();
        // SAFETY: the header is of the third version, for which the call writes two halves; both live through it.
        match unsafe { libc::syscall(libc::SYS_capget, &raw const OWN, sets.0.as_mut_ptr()) } {
            0 => Ok(sets),
            _ => Err(Errno::last_raw()),
        }
    }

    /// Gives this thread these.
    pub(super) fn set(self) -> Result<(), c_int> {
        // SAFETY: the header is of the third version, for which the call reads two halves; both live through it.
        match unsafe { libc::syscall(libc::SYS_capset, &raw const OWN, self.0.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Errno::last_raw()),
        }
    }

    /// The numbers of those by which a thread enters namespaces.
    pub(super) fn entering_numbers() -> [u32; 2] {
        [CAP_SYS_CHROOT, CAP_SYS_ADMIN]
    }

    /// Whether a thread with these has a capability, or may take one.
    pub(super) fn has_any(&self) -> bool {
        self.0.iter().any(|half| half.permitted != 0)
    }

    /// Whether a thread with these may enter namespaces.
    pub(super) fn may_enter(&self) -> bool {
        self.0[0].permitted & ENTERING == ENTERING
    }

    /// Those of these by which a thread enters namespaces, for it to take later.
    pub(super) fn only_to_enter(&self) -> Self {
        let mut kept = Self::NONE;
        kept.0[0].permitted = self.0[0].permitted & ENTERING;
        kept
    }

    /// The same, with those by which a thread enters namespaces in effect.
    pub(super) fn entering(mut self) -> Self {
        self.0[0].effective |= self.0[0].permitted & ENTERING;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_to_enter_is_no_more_than_there_was_and_in_no_effect() {
        let all = Capabilities([Half { effective: !0, permitted: !0, inheritable: !0 }; 2]);
        let kept = all.only_to_enter();
        assert!(all.may_enter() && kept.may_enter() && kept.has_any());
        assert_eq!((kept.0[0].effective, kept.0[0].inheritable, kept.0[1].permitted), (0, 0, 0));
        assert_eq!(kept.entering().0[0].effective, ENTERING);
        let one = Capabilities([Half { permitted: 1 << CAP_SYS_ADMIN, ..Half::default() }, Half::default()]);
        assert!(one.has_any() && !one.may_enter());
        assert!(!Capabilities::NONE.has_any() && !Capabilities::NONE.only_to_enter().may_enter());
    }

    #[test]
    fn those_of_a_thread_can_be_set_as_they_are() {
        let now = Capabilities::now().unwrap();
        assert_eq!(now.set(), Ok(()));
    }
}
