//! How deep a value is nested: each level is a call of the program's code inside of another, on the stack of the thread that
//! encodes or decodes. It knows no format.
//!
//! 1. A sequence, map, tuple, struct, enum, newtype or `Some` is a level below what it is in; what is flat costs nothing.
//! 2. From [`GUARDED_FROM`] on, each level looks at the stack that is left: how much a level takes is up to the type, the build
//!    and the optimiser, and a thread may have as little as 64 KiB. There must be room for a level as large as the largest so far.
//! 3. Where the bounds of the stack are not known, [`LEVELS_UNKNOWN_MAX`] hold in their place.
//! 4. [`LEVELS_MAX`] hold everywhere: the program's own code, its Drop above all, goes as deep again, and nobody guards it.

use crate::sys::{self, StackRoom};

/// Deeper than trees are, and shallow enough for a Drop that calls itself: 2,048 frames of a debug build fit into 1 MiB.
pub(super) const LEVELS_MAX: u32 = 2048;
/// As deep as formats go that do not look at the stack.
const LEVELS_UNKNOWN_MAX: u32 = 128;
/// Up to here a value is taken as one whose type ends by itself.
const GUARDED_FROM: u32 = 4;
/// So much of the stack is left to what a level calls, to the error and to what is dropped for it; a quarter of a small stack.
const LEFT_MIN: usize = 64 << 10;

/// The levels above a place in a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    levels: u32,
    /// Where on the stack the last level was that looked, or the value began.
    looked_at: usize,
    /// The most that a level has taken.
    largest_bytes: usize,
}

impl Depth {
    /// That of a value as a whole.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn outermost() -> Self {
        let local = 0u8;
        Self { levels: 0, looked_at: (&raw const local).addr(), largest_bytes: 0 }
    }

    /// Goes one level deeper. The error is a text.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn deeper(self) -> Result<Self, String> {
        let deeper = Self { levels: self.levels + 1, ..self };
        if deeper.levels > GUARDED_FROM { deeper.guarded() } else { Ok(deeper) }
    }

    #[inline(never)]
    fn guarded(self) -> Result<Self, String> {
        if self.levels > LEVELS_MAX {
            return Err(too_deep(LEVELS_MAX));
        }
        let Some(StackRoom { here, left, whole }) = sys::stack_room() else {
            return if self.levels > LEVELS_UNKNOWN_MAX { Err(too_deep(LEVELS_UNKNOWN_MAX)) } else { Ok(self) };
        };
        let largest_bytes = self.largest_bytes.max(self.looked_at.saturating_sub(here));
        if left < LEFT_MIN.min(whole / 4).saturating_add(largest_bytes) {
            return Err(no_stack(self.levels, whole));
        }
        Ok(Self { looked_at: here, largest_bytes, ..self })
    }
}

const FLATTEN: &str = "flatten it, for example into a Vec whose entries name each other by index";

#[cold]
fn too_deep(levels_max: u32) -> String {
    format!("it is nested more than {levels_max} levels deep: {FLATTEN}")
}

#[cold]
fn no_stack(level: u32, whole: usize) -> String {
    format!(
        "it is nested so deep that the stack of {whole} bytes has no room for level {level}: {FLATTEN}, or use a thread with a \
         larger stack (of workers, by Pool::builder().stack_bytes(n))",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> (u32, String) {
        let mut depth = Depth::outermost();
        loop {
            match depth.deeper() {
                Ok(deeper) => depth = deeper,
                Err(error) => return (depth.levels, error),
            }
        }
    }

    #[test]
    fn levels_end_at_the_limit_and_the_error_names_it() {
        let (level, error) = levels();
        let expected = if cfg!(miri) { LEVELS_UNKNOWN_MAX } else { LEVELS_MAX };
        assert_eq!(level, expected);
        assert!(error.contains(&expected.to_string()) && error.contains("flatten it"), "{error}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "the interpreter has no stack of the system's")]
    fn levels_end_before_the_stack_does() {
        fn down(depth: Depth) -> String {
            let frame = std::hint::black_box([0u8; 4 << 10]);
            let error = depth.deeper().map_or_else(|error| error, down);
            std::hint::black_box(frame);
            error
        }
        for bytes in [256 << 10, 1 << 20] {
            let ended =
                std::thread::Builder::new().stack_size(bytes).spawn(|| down(Depth::outermost())).unwrap().join();
            let error = ended.unwrap();
            assert!(error.contains("no room for level") && error.contains("stack_bytes"), "{bytes}: {error}");
        }
    }
}
