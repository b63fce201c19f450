//! One value for every task of a call.

/// One value for every task: what [`shared`] gives, to stand in the place of an iterator.
#[derive(Debug)]
pub struct Shared<'a, T: ?Sized> {
    value: &'a T,
}

impl<T: ?Sized> Clone for Shared<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Shared<'_, T> {}

/// In the place of an iterator in [`pool_map!`](crate::pool_map) and its kin: one value for every task, whatever its size.
///
/// It is encoded once for each call, into memory that the workers share, and each worker gets it once. A parameter that the
/// function takes by reference (`&T`, `&str`, `&[T]`) is decoded once in each worker, and all tasks there borrow the one value: what
/// one changes in it (a `Cell`) the next one sees. A parameter that it takes by value is decoded for each task. It is dropped
/// in the workers with the next call after the one that it was for.
///
/// It never ends, so an iterator beside it says how many tasks there are; without one, a call that collects its results is an
/// error ([`Error::is_endless`](crate::Error::is_endless)). Items that may stand for a parameter may be shared: `shared("text")`
/// for `String`, `shared(&[1, 2])` for `Vec<i32>`.
///
/// # Limits
///
/// The value counts neither against the window nor against `frame_bytes_max`. It takes one descriptor for the time of the call.
/// Where the system has no memory to share, or no descriptor is left, the value goes with each task instead.
///
/// # Errors
///
/// A value that does not encode is an error of each task ([`Encode`](crate::TaskErrorKind::Encode)); one that does not decode, too
/// ([`Decode`](crate::TaskErrorKind::Decode)).
///
/// # Worker death
///
/// A worker that takes a dead one's place gets the value anew.
///
/// # Examples
///
/// A table that every task looks something up in:
///
/// ```
/// use std::collections::HashMap;
///
/// use poolmap::{pool_map, shared, worker};
///
/// #[worker]
/// fn price(item: &str, prices: &HashMap<String, u32>) -> Option<u32> {
///     prices.get(item).copied()
/// }
///
/// poolmap::init();
/// let prices = HashMap::from([("tea".to_owned(), 3), ("cake".to_owned(), 5)]);
/// assert_eq!(pool_map!(price, ["cake", "air"], shared(&prices))?, [Some(5), None]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// Nothing that says how many tasks there are:
///
/// ```
/// # use poolmap::{pool_map, shared, worker};
/// #[worker]
/// fn length(text: &str) -> usize {
///     text.len()
/// }
///
/// poolmap::init();
/// assert!(pool_map!(length, shared("text")).unwrap_err().is_endless());
/// ```
pub fn shared<T: ?Sized>(value: &T) -> Shared<'_, T> {
    Shared { value }
}

impl<'a, T: ?Sized> Shared<'a, T> {
    /// The value.
    pub(crate) fn value(self) -> &'a T {
        self.value
    }
}
