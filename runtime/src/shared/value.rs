//! One value for every task of a call.

/// Borrows one value for every task, in place of an iterator. [`shared`] returns it.
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

/// Passes one value of any size to every task, in place of an iterator in [`pool_map!`](crate::pool_map).
///
/// The parent encodes the value once for each call, into memory that the workers share, and each worker gets it once. If the function
/// takes the parameter by reference (`&T`), each worker decodes it once, and all tasks there borrow the one value. If a task changes it
/// through a `Cell`, the next task in that worker sees the change. A worker decodes and copies nothing of a text, a path or a slice of
/// numbers that the function borrows (`&str`, `&Path`, `&[u8]`, `&[f64]`, a `Cow` of these): all tasks of all workers read it in the
/// shared memory. If the function takes the parameter by value, the worker decodes it for each task. The worker drops the value with
/// the next call.
///
/// A shared value never ends, so another iterator sets the number of tasks. Without another, a call that collects its results is an
/// error ([`Error::is_endless`](crate::Error::is_endless)). Every type that an iterator may yield for the parameter may be shared:
/// `shared("text")` for `String`, `shared(&[1, 2])` for `Vec<i32>`.
///
/// # Limits
///
/// The value counts neither against the window nor against `frame_bytes_max`. It takes one descriptor during the call. If the system
/// has no memory to share, or no descriptor is left, the value travels with each task instead.
///
/// # Errors
///
/// A value that does not encode is an error of each task ([`Encode`](crate::TaskErrorKind::Encode)), and so is a value that does not
/// decode ([`Decode`](crate::TaskErrorKind::Decode)).
///
/// # Worker death
///
/// A worker that replaces a dead one gets the value anew.
///
/// # Examples
///
/// A table in which every task looks up a price:
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
/// A text of any size, of which no worker has a copy:
///
/// ```
/// use poolmap::{pool_map, shared, worker};
///
/// #[worker]
/// fn count(word: &str, text: &str) -> usize {
///     text.matches(word).count()
/// }
///
/// poolmap::init();
/// let text = "to be or not to be ".repeat(1000);
/// assert_eq!(pool_map!(count, ["to", "not"], shared(&text))?, [2000, 1000]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// No iterator sets the number of tasks:
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
