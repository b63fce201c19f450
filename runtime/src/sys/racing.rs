//! Copies of memory that another process may write, or read, at the same moment.
//!
//! No reference to such memory is ever made. It is copied by volatile accesses: the compiler makes each of them once, splits none
//! into a second look at the same byte, and takes nothing for granted of what is read. What comes out may be a mixture of what
//! stood there before and behind a write; whoever asked for it checks the copy.
//!
//! The blocks are as wide as the machine's registers: by words of 8 bytes a copy of 16 KiB takes twice the time of a plain one.

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::uint8x16_t as WordBlock;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m128i as WordBlock;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
type WordBlock = u64;

/// So many blocks are read before the first is written: the processor reads them at once.
const BLOCKS: usize = 4;

/// Copies bytes out of memory that others may write meanwhile.
///
/// # Safety
///
/// `bytes` bytes can be read at `from`, and written at `to`, where nobody else reads or writes; the two do not overlap.
pub(super) unsafe fn copy_from(from: *const u8, to: *mut u8, bytes: usize) {
    let mut done = 0;
    while done < bytes {
        let left = bytes - done;
        // SAFETY: `done` is less than `bytes`, so both are inside of what the caller answers for.
        let (source, target) = unsafe { (from.add(done), to.add(done)) };
        if left >= BLOCKS * size_of::<WordBlock>() && source.cast::<WordBlock>().is_aligned() {
            // SAFETY: so many bytes are left in both, and the source is aligned; the target need not be. Any bytes are a `WordBlock`.
            unsafe {
                let blocks: [WordBlock; BLOCKS] =
                    std::array::from_fn(|block| source.cast::<WordBlock>().add(block).read_volatile());
                for (place, block) in blocks.into_iter().enumerate() {
                    target.cast::<WordBlock>().add(place).write_unaligned(block);
                }
            }
            done += BLOCKS * size_of::<WordBlock>();
        } else if left >= 8 && source.cast::<u64>().is_aligned() {
            // SAFETY: as above, for 8 bytes.
            unsafe { target.cast::<u64>().write_unaligned(source.cast::<u64>().read_volatile()) };
            done += 8;
        } else {
            // SAFETY: as above, for one byte.
            unsafe { target.write(source.read_volatile()) };
            done += 1;
        }
    }
}

/// Copies bytes into memory that others may read or write meanwhile.
///
/// # Safety
///
/// `bytes` bytes can be read at `from`, where nobody writes, and written at `to`; the two do not overlap.
pub(super) unsafe fn copy_to(from: *const u8, to: *mut u8, bytes: usize) {
    let mut done = 0;
    while done < bytes {
        let left = bytes - done;
        // SAFETY: `done` is less than `bytes`, so both are inside of what the caller answers for.
        let (source, target) = unsafe { (from.add(done), to.add(done)) };
        if left >= 8 && target.cast::<u64>().is_aligned() {
            // SAFETY: 8 bytes are left in both, and the target is aligned; the source need not be.
            unsafe { target.cast::<u64>().write_volatile(source.cast::<u64>().read_unaligned()) };
            done += 8;
        } else {
            // SAFETY: as above, for one byte.
            unsafe { target.write_volatile(source.read()) };
            done += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_and_go_in_as_they_are_at_any_place_and_length() {
        let source: Vec<u8> = (0..400u32).map(|at| (at * 7) as u8).collect();
        let (places, step) = if cfg!(miri) { (3, 21) } else { (17, 1) };
        for from in 0..places {
            for to in [0, 1, 8, 13] {
                for bytes in (0..100).step_by(step).chain([127, 128, 129, 300]) {
                    let mut targets = [vec![0; 400], vec![0; 400]];
                    let [out, into] = &mut targets;
                    // SAFETY: the offsets and the length are less than 400 together, and the vectors are this thread's.
                    unsafe {
                        copy_from(source.as_ptr().add(from), out.as_mut_ptr().add(to), bytes);
                        copy_to(source.as_ptr().add(from), into.as_mut_ptr().add(to), bytes);
                    }
                    for target in targets {
                        assert_eq!(target[to..to + bytes], source[from..from + bytes]);
                        assert!(target[..to].iter().chain(&target[to + bytes..]).all(|&byte| byte == 0));
                    }
                }
            }
        }
    }
}
