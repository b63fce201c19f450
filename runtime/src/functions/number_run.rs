//! Tasks whose arguments and outputs are numbers, one behind the other: their rows and results have one size each, so that little is
//! left to be done for one beside its function. It keeps the rules of `task_run`; what is anything else, it leaves to that.

use std::sync::atomic::{Ordering, compiler_fence};

use super::task_phase::{Flush, RunningCode};
use super::task_run::TaskCall;
use crate::codec::number_bytes;
use crate::failpoints::{self, Point};
use crate::sys;
use crate::wire::{self, HEAD_BYTES, LENGTH_BYTES, Status, TaskFrames};

/// The arguments of a function, by value.
pub trait Arguments: Sized {
    /// Their bytes in a row, if they all are numbers.
    fn bytes() -> Option<usize>;
    /// Reads them; none if one is no number, or they are not as many bytes.
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! arguments {
    ($($argument:ident)*) => {
        impl<$($argument),*> Arguments for ($($argument,)*) {
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn bytes() -> Option<usize> {
                Some(0 $(+ number_bytes::<$argument>()?)*)
            }

            #[cfg_attr(not(debug_assertions), inline(always))]
            fn read(bytes: &[u8]) -> Option<Self> {
                let rest = bytes;
                $(
                    #[allow(non_snake_case, reason = "a value is named by its type")]
                    let ($argument, rest) = {
                        let (own, rest) = rest.split_at_checked(number_bytes::<$argument>()?)?;
                        (sys::number_from::<$argument>(own)?, rest)
                    };
                )*
                rest.is_empty().then_some(($($argument,)*))
            }
        }
    };
}

arguments!(A);
arguments!(A B);
arguments!(A B C);
arguments!(A B C D);
arguments!(A B C D E);
arguments!(A B C D E F);
arguments!(A B C D E F G);
arguments!(A B C D E F G H);
arguments!(A B C D E F G H I);
arguments!(A B C D E F G H I J);
arguments!(A B C D E F G H I J K);
arguments!(A B C D E F G H I J K L);

impl TaskCall<'_> {
    /// Runs the tasks that are next, as long as all is numbers and nothing is to be done for one but to run it. Before a task's
    /// function is called, all is noted as [`begin`](Self::begin) does: it may panic.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn run_numbers<A: Arguments, O>(&mut self, function: impl Fn(A) -> O) {
        let (Some(row_bytes), Some(output_bytes)) = (A::bytes(), number_bytes::<O>()) else {
            return;
        };
        let is_plain = self.flush == Flush::Later && self.shared == 0 && !self.has_grants && self.on_decoded.is_none();
        if !is_plain || self.is_over() {
            return;
        }
        let length_field = (row_bytes as u32).to_le_bytes();
        let head = wire::head(Status::Output, output_bytes);
        self.enter(RunningCode::Function);
        let Self { tasks, left, record, results, progress, .. } = self;
        let (room, written) = results.sink().free_and_count();
        let mut rest = tasks.rest();
        for slot in room.chunks_exact_mut(HEAD_BYTES + output_bytes) {
            // Behind the tasks that are claimed stand others, whose rows may be another worker's, or gone.
            if *left == 0 {
                break;
            }
            let Some((row, behind)) = rest.split_at_checked(LENGTH_BYTES + row_bytes) else {
                break;
            };
            let Some(arguments) = row.strip_prefix(&length_field).and_then(A::read) else {
                break;
            };
            let mut count = progress.count;
            progress.begun.store(u64::from(count.tasks.wrapping_add(1)), Ordering::Release);
            failpoints::reached(Point::Counted);
            compiler_fence(Ordering::SeqCst);
            if progress.revoked.load(Ordering::Relaxed) != 0 {
                // It is counted again there, as the same.
                break;
            }
            failpoints::reached(Point::Begun);
            failpoints::reached(Point::Decoded);
            (*left, *tasks, rest) = (*left - 1, TaskFrames::of(behind), behind);
            (*record, *written) = (*written, *written + HEAD_BYTES);
            let output = function(arguments);
            failpoints::reached(Point::Returned);
            Self::leave_task();
            let (head_slot, output_slot) = slot.split_at_mut(HEAD_BYTES);
            sys::write_number(&output, output_slot);
            failpoints::reached(Point::Encoded);
            head_slot.copy_from_slice(&head);
            *written += output_bytes;
            count.tasks = count.tasks.wrapping_add(1);
            count.position = count.position.wrapping_add((HEAD_BYTES + output_bytes) as u32);
            progress.count = count;
            failpoints::reached(Point::Uncounted);
            progress.finished.store(count.pack(), Ordering::Release);
            failpoints::reached(Point::Finished);
        }
    }
}
