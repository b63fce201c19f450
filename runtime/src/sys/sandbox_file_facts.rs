//! The facts of an open file, for a call that could also ask for a file by its name: `newfstatat` and `statx` in a sandbox.

use nix::libc;

/// The form of the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FactsForm {
    Stat,
    Statx,
}

/// struct statx of statx(2), up to what fstat(2) knows.
#[repr(C)]
struct Statx {
    mask: u32,
    block_bytes: u32,
    attributes: u64,
    links: u32,
    user: u32,
    group: u32,
    mode: u16,
    spare: u16,
    node: u64,
    bytes: u64,
    blocks: u64,
    attributes_mask: u64,
    accessed: Time,
    born: Time,
    changed: Time,
    modified: Time,
    special_device: [u32; 2],
    device: [u32; 2],
    rest: [u64; 14],
}

#[repr(C)]
struct Time {
    seconds: i64,
    nanos: u32,
    spare: u32,
}

/// STATX_BASIC_STATS.
const BASIC: u32 = 0x7ff;
/// statx(2) writes so many bytes.
const _: () = assert!(size_of::<Statx>() == 256);

/// Writes the facts of a descriptor to an address, as the kernel does; returns what the call returns.
pub(super) fn facts(descriptor: u64, address: u64, form: FactsForm) -> i64 {
    // SAFETY: all zeros is a valid value of this C structure.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    let to_caller = form == FactsForm::Stat;
    let room = if to_caller { std::ptr::with_exposed_provenance_mut(address as usize) } else { &raw mut stat };
    // SAFETY: the kernel checks the address of the caller; the other is a place of ours.
    let result = unsafe { libc::syscall(libc::SYS_fstat, descriptor, room) };
    if result < 0 {
        return -i64::from(nix::errno::Errno::last_raw());
    }
    if !to_caller {
        let room: *mut Statx = std::ptr::with_exposed_provenance_mut(address as usize);
        // SAFETY: a pointer of the caller's that is none makes a fault, which is the caller's, as in any function that it gives it to.
        unsafe { room.write_unaligned(statx(&stat)) };
    }
    0
}

#[allow(clippy::unnecessary_cast, reason = "the widths of some fields are of the processor")]
fn statx(stat: &libc::stat) -> Statx {
    let time = |seconds: i64, nanos: i64| Time { seconds, nanos: nanos as u32, spare: 0 };
    let device = |device: libc::dev_t| [libc::major(device), libc::minor(device)];
    Statx {
        mask: BASIC,
        block_bytes: stat.st_blksize as u32,
        attributes: 0,
        links: stat.st_nlink as u32,
        user: stat.st_uid,
        group: stat.st_gid,
        mode: stat.st_mode as u16,
        spare: 0,
        node: stat.st_ino,
        bytes: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        attributes_mask: 0,
        accessed: time(stat.st_atime, stat.st_atime_nsec),
        born: time(0, 0),
        changed: time(stat.st_ctime, stat.st_ctime_nsec),
        modified: time(stat.st_mtime, stat.st_mtime_nsec),
        special_device: device(stat.st_rdev),
        device: device(stat.st_dev),
        rest: [0; 14],
    }
}
