//! `Result`s that worker functions return, whatever alias they are written with, and errors that are serde themselves.

use std::any::TypeId;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::{RemoteError, TypedValue};

/// A `Result`, also behind an alias such as `io::Result<T>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is named `Result` but is not `std::result::Result`",
    label = "not a `std::result::Result`",
    note = "use `#[worker(plain)]` to send it as a value"
)]
pub trait Fallible {
    /// Its `T`.
    type Ok;
    /// Its `E`.
    type Err;

    /// The result itself.
    fn into_result(self) -> Result<Self::Ok, Self::Err>;
}

#[diagnostic::do_not_recommend]
impl<T, E> Fallible for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn into_result(self) -> Self {
        self
    }
}

/// Asks whether an error is serde, where its type is known: `(&ErrorProbe(&error)).typed(bytes_max)` finds [`Typed`]
/// first, and [`Untyped`] by one more reference.
pub struct ErrorProbe<'a, E>(pub &'a E);

/// An error that can travel as itself.
pub trait Typed {
    /// Its type and its bytes; none if it fails to encode, panics or is larger than `bytes_max`.
    fn typed(&self, bytes_max: usize) -> Option<(u64, Vec<u8>)>;
}

impl<E: Serialize + 'static> Typed for ErrorProbe<'_, E> {
    fn typed(&self, bytes_max: usize) -> Option<(u64, Vec<u8>)> {
        let mut bytes = Vec::new();
        codec::encode_caught(self.0, &mut bytes, bytes_max).ok()?;
        Some((type_hash::<E>(), bytes))
    }
}

/// An error that travels as texts only.
pub trait Untyped {
    /// Nothing.
    fn typed(&self, bytes_max: usize) -> Option<(u64, Vec<u8>)>;
}

impl<E> Untyped for &ErrorProbe<'_, E> {
    fn typed(&self, _bytes_max: usize) -> Option<(u64, Vec<u8>)> {
        None
    }
}

/// A hash of a type that is equal in all processes of one binary.
fn type_hash<E: 'static>() -> u64 {
    let mut hasher = DefaultHasher::new();
    TypeId::of::<E>().hash(&mut hasher);
    std::any::type_name::<E>().hash(&mut hasher);
    hasher.finish()
}

impl RemoteError {
    /// The error as the value that the worker function returned.
    ///
    /// `None` if `E` is not the type that the function returned, or if that type is not serde (texts are all that
    /// travels then).
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{TaskErrorKind, pool_try_map, worker};
    ///
    /// #[worker]
    /// fn check(x: u32) -> Result<u32, String> {
    ///     if x < 10 { Ok(x) } else { Err(format!("{x} is too large")) }
    /// }
    ///
    /// poolmap::init();
    /// let outcomes = pool_try_map!(check, [10])?;
    /// let TaskErrorKind::Failed(error) = outcomes[0].as_ref().unwrap_err().kind() else {
    ///     panic!("another kind of error");
    /// };
    /// assert_eq!(error.downcast::<String>().as_deref(), Some("10 is too large"));
    /// assert_eq!(error.downcast::<u32>(), None);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn downcast<E: DeserializeOwned + 'static>(&self) -> Option<E> {
        let TypedValue { type_hash, bytes } = self.typed.as_ref()?;
        if *type_hash != self::type_hash::<E>() {
            return None;
        }
        codec::decode_caught(bytes).ok()
    }
}
