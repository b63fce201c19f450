//! The map macros. Each hands its tokens, and the path of this crate, to one procedural macro.

/// Maps a worker function over iterators, one for each of its parameters: all results, in order.
#[macro_export]
macro_rules! pool_map {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_map collect) $($call)*) };
}

/// Maps as [`pool_map!`](crate::pool_map) does, and gives every task's own outcome.
#[macro_export]
macro_rules! pool_try_map {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_try_map collect_outcomes) $($call)*) };
}

/// Maps lazily: an iterator of the results, in order.
#[macro_export]
macro_rules! pool_iter {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_iter iter) $($call)*) };
}

/// Maps lazily: an iterator of indices and results, as they finish.
#[macro_export]
macro_rules! pool_iter_unordered {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_iter_unordered iter_unordered) $($call)*) };
}
