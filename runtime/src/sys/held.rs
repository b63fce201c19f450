//! A value that borrows from its owner, and keeps it. It knows nothing of what either is.

use std::ptr::NonNull;
use std::sync::Arc;

/// Borrows a `B` from an owner that it holds.
pub(crate) struct Held<O, B: ?Sized> {
    /// Points into what `_owner` owns, or to what lives for ever.
    value: NonNull<B>,
    _owner: Arc<O>,
}

impl<O, B: ?Sized + 'static> Held<O, B> {
    /// Holds the owner and what is borrowed from it; none where nothing is.
    ///
    /// # Errors
    ///
    /// Those of `borrow`.
    pub(crate) fn new<E>(
        owner: Arc<O>,
        borrow: impl for<'a> FnOnce(&'a O) -> Result<Option<&'a B>, E>,
    ) -> Result<Option<Self>, E> {
        let value = borrow(&owner)?.map(NonNull::from);
        Ok(value.map(|value| Self { value, _owner: owner }))
    }

    /// The value.
    #[inline]
    pub(crate) fn get(&self) -> &B {
        // SAFETY: `borrow` works for every lifetime, so its result is borrowed from the owner, or lives for ever. The owner is at the
        // same address as long as `self` holds it, and nobody borrows it exclusively, as an `Arc` with two holders gives no `&mut`,
        // and this holder gives none. The result lives no longer than `self`.
        unsafe { self.value.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_there_as_long_as_it_is_held_wherever_it_is_moved() {
        let owner = Arc::new(vec!["one".to_owned(), "two".to_owned()]);
        let held = Held::<_, str>::new(Arc::clone(&owner), |owner| Ok::<_, ()>(owner.get(1).map(String::as_str)));
        let held = Box::new(held.unwrap().unwrap());
        assert_eq!(Arc::strong_count(&owner), 2);
        drop(owner);
        let moved = *held;
        assert_eq!(moved.get(), "two");
    }

    #[test]
    fn where_nothing_is_borrowed_nothing_is_held() {
        let owner = Arc::new(String::new());
        let none = Held::<_, str>::new(Arc::clone(&owner), |_| Ok::<_, ()>(None));
        assert!(none.unwrap().is_none());
        assert!(Held::<String, str>::new(Arc::clone(&owner), |_| Err("wrong")).is_err());
        assert_eq!(Arc::strong_count(&owner), 1);
    }
}
