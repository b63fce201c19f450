//! Fences that one process sets for all: one that looks seldom pays for those that look at every task.
//!
//! A process that writes a word and then reads another needs a fence between the two, if another does the same the other way
//! round: else each may miss what the other wrote. With membarrier(2) the one that does it seldom has the kernel set the fence for
//! both, on each processor that runs a registered process, and the other needs none but the compiler's.

use std::ffi::c_int;

// linux/membarrier.h; libc has them for Android alone.
const GLOBAL_EXPEDITED: c_int = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: c_int = 1 << 2;

/// Lets [`fence_registered`] of any process set fences for this one. Returns whether the system can.
pub(crate) fn register_for_fences() -> bool {
    membarrier(REGISTER_GLOBAL_EXPEDITED)
}

/// Sets a fence for this thread, and for every registered process. This thread sees behind it what such a process wrote before it, and
/// the other way round. Returns false, and does nothing, where the system has no such fence.
pub(crate) fn fence_registered() -> bool {
    membarrier(GLOBAL_EXPEDITED)
}

#[cfg(poolmap_linux)]
fn membarrier(command: c_int) -> bool {
    // SAFETY: the call takes two numbers, and writes to no memory.
    unsafe { nix::libc::syscall(nix::libc::SYS_membarrier, command, 0) == 0 }
}

#[cfg(not(poolmap_linux))]
fn membarrier(_command: c_int) -> bool {
    false
}

#[cfg(all(test, poolmap_linux))]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

    use super::*;

    #[test]
    fn of_two_that_write_and_look_one_sees_the_other() {
        assert!(register_for_fences() && fence_registered(), "Linux has had it since 4.16");
        const ROUNDS: u64 = 10_000;
        let [often, seldom, round] = [const { AtomicU64::new(0) }; 3];
        let seen: Vec<bool> = std::thread::scope(|scope| {
            let looks_often = scope.spawn(|| {
                (1..=ROUNDS)
                    .map(|number| {
                        for look in 1_u64.. {
                            if round.load(Ordering::Acquire) >= number {
                                break;
                            }
                            // On one core the other gets its turn only so.
                            if look % 256 == 0 {
                                std::thread::yield_now();
                            }
                        }
                        often.store(number, Ordering::Relaxed);
                        compiler_fence(Ordering::SeqCst);
                        // The other may be a round ahead by now, because it has seen this one's write.
                        seldom.load(Ordering::Relaxed) >= number
                    })
                    .collect::<Vec<bool>>()
            });
            let looks_seldom: Vec<bool> = (1..=ROUNDS)
                .map(|number| {
                    round.store(number, Ordering::Release);
                    // As long as the other needs to see that, a little more, or a little less.
                    for _ in 0..number % 128 {
                        std::hint::spin_loop();
                    }
                    seldom.store(number, Ordering::Relaxed);
                    assert!(fence_registered());
                    let sees = often.load(Ordering::Relaxed) == number;
                    // The next round begins when the other has written in this one.
                    while often.load(Ordering::Acquire) < number {
                        std::thread::yield_now();
                    }
                    sees
                })
                .collect();
            let looked_often = looks_often.join().unwrap();
            looks_seldom.into_iter().zip(looked_often).map(|(one, other)| one || other).collect()
        });
        assert!(seen.iter().all(|&seen| seen), "neither saw the other");
    }
}
