//! What shared memory can hold as it is: numbers, and with the feature `bytemuck` structs of numbers.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::{Plain, for_each_plain};

/// Marks the values that a [`SharedSlice`](crate::SharedSlice) can hold.
///
/// These are the [`Number`]s. With the feature `bytemuck` they are all types that implement `bytemuck::Pod` (and are `Send` and
/// `Sync`): structs and arrays of numbers without padding, derived by `#[derive(Clone, Copy, Pod, Zeroable)]` and `#[repr(C)]`. Values
/// that take no bytes, such as `()`, and values that must be aligned to more than 4,096 bytes do not compile.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be in a shared slice",
    label = "not a number",
    note = "a shared slice holds numbers (`u8` to `u128`, `i8` to `i128`, `f32`, `f64`, `usize`, `isize`), and with poolmap's feature \
            `bytemuck` also structs that implement `Pod` of the crate of that name"
)]
pub trait Element: Plain + Send + Sync {}

#[diagnostic::do_not_recommend]
impl<T: Plain + Send + Sync> Element for T {}

/// Marks the numbers that a [`SharedSlice`](crate::SharedSlice) can hold.
///
/// These are `u8` to `u128`, `i8` to `i128`, `f32`, `f64`, and, where they have 64 bits, `usize` and `isize`.
pub trait Number: Element + Serialize + DeserializeOwned + fmt::Debug + PartialEq {}

macro_rules! implement {
    ($($number:ty)*) => {$( impl Number for $number {} )*};
}
for_each_plain!(implement);
