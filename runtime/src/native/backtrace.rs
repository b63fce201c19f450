//! The text of a stack, made when it is asked for. It knows nothing of where the stack comes from.

use super::text::{self, CallName};
#[cfg(feature = "backtrace")]
use super::{limits, names};
use crate::error::NativeBacktrace;
use crate::sys::NativeStack;

/// The text of a stack, which is made when it is asked for.
pub(crate) fn backtrace(stack: NativeStack) -> NativeBacktrace {
    NativeBacktrace::new(move || text::text(stack, look_up))
}

/// Finds the names at the frames of a stack.
#[cfg(feature = "backtrace")]
fn look_up(stack: NativeStack) -> Vec<Vec<CallName>> {
    limits::within_time(move || names::look_up(&stack)).unwrap_or_default()
}

/// Without the feature there are none.
#[cfg(not(feature = "backtrace"))]
fn look_up(_stack: NativeStack) -> Vec<Vec<CallName>> {
    Vec::new()
}
