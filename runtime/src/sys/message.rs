//! A message with the descriptors that came with it. The sender may be out to do harm: whatever descriptors the kernel has put into this
//! process are owned by the result, also where the kernel had to leave some out.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::socket::MsgFlags;

/// What was received.
pub(super) struct ReceivedMessage {
    pub(super) bytes: usize,
    pub(super) descriptors: Vec<OwnedFd>,
    /// The kernel has left descriptors out: there was no room for them, or this process has no number left.
    pub(super) is_cut: bool,
}

/// Room of `WORDS` words for what comes beside the bytes: aligned for a `cmsghdr`, which takes two, and a word for each two descriptors.
pub(super) fn receive_message<const WORDS: usize>(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
    flags: MsgFlags,
) -> io::Result<ReceivedMessage> {
    let mut control = [0_u64; WORDS];
    let mut slice = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: all-zero bytes are a `msghdr`: null pointers and no lengths.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = (CLOSE_ON_EXEC | flags).bits();
    // SAFETY: the message points to a slice and to room for control messages, with their lengths, which live through the call.
    let received = Errno::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) })?;
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the message, and left in it how much of the control room is used.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: the header is inside of the used control room, which is aligned for one.
        let (level, kind, length) = unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len as usize) };
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: the function does arithmetic only.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            for place in 0..length.saturating_sub(head) / size_of::<RawFd>() {
                // SAFETY: so many descriptors stand behind the header, by its length, which the kernel has set to what it wrote.
                let descriptor = unsafe { libc::CMSG_DATA(header).cast::<RawFd>().add(place).read_unaligned() };
                descriptors.push(take_received(descriptor));
            }
        }
        // SAFETY: as above; the next header is inside of the used room too, or null.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    let is_cut = message.msg_flags & libc::MSG_CTRUNC != 0;
    Ok(ReceivedMessage { bytes: received as usize, descriptors, is_cut })
}

/// Received descriptors are close-on-exec from the start where the system can do that.
#[cfg(poolmap_linux)]
const CLOSE_ON_EXEC: MsgFlags = MsgFlags::MSG_CMSG_CLOEXEC;
#[cfg(not(poolmap_linux))]
const CLOSE_ON_EXEC: MsgFlags = MsgFlags::empty();

/// Takes a descriptor that has come with a message, and lets no program that this process starts inherit it.
fn take_received(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for this process, and nothing else knows it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    if cfg!(not(poolmap_linux)) {
        // It fails for what is no descriptor only.
        let _ = fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    }
    descriptor
}
