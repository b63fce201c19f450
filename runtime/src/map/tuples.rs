//! Rows that come as tuples, one element for each parameter: `pool_map!(f, *tuples)`.

use std::marker::PhantomData;

use super::builder::Map;
use super::columns::{Columns, ColumnsRead, Length};
use crate::codec::Encoder;
use crate::error::CodecError;
use crate::functions::{Item, Named, Parameter, ParameterOf, Parameters, WorkerFn, encode_item};

/// A map of `F`, to which an iterator of tuples will be added; `_value` is what the name of `F` is as a value.
pub fn call_tuples<'p, F, const TAKEN: usize, V, G>(_value: V) -> Map<'p, G>
where
    V: Named<F, TAKEN, Function = G>,
    G: WorkerFn,
{
    Map::new()
}

impl<'p, F: WorkerFn> Map<'p, F> {
    /// Adds an iterator of tuples, with one element for each parameter: `*tuples` of the macros.
    #[doc(hidden)]
    pub fn tuples<const TAKEN: usize, I>(self, tuples: I) -> Map<'p, F, Unpacked<I::IntoIter, F>>
    where
        F: Parameters<TAKEN>,
        I: IntoIterator<Item: TupleOf<TAKEN>>,
        <I::Item as TupleOf<TAKEN>>::Tuple: Tuple<F, TAKEN>,
    {
        self.with_columns(Unpacked::<_, F> {
            tuples: tuples.into_iter(),
            encode: |tuple, encoder| tuple.tuple().encode(encoder),
            function: PhantomData,
        })
    }
}

/// A tuple of so many elements, or a reference to one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tuple of {TAKEN}: this worker function takes {TAKEN} arguments",
    label = "gives items of type `{Self}`",
    note = "`*tuples` takes an iterator of tuples, each with as many elements as the function has parameters; a tuple of one is \
            written `(x,)`"
)]
pub trait TupleOf<const TAKEN: usize> {
    /// Itself: a type unknown to the compiler for any other, so that it finds no further errors.
    type Tuple;

    /// The tuple.
    fn tuple(&self) -> &Self::Tuple;
}

#[diagnostic::do_not_recommend]
impl<T: TupleOf<TAKEN>, const TAKEN: usize> TupleOf<TAKEN> for &T {
    type Tuple = T::Tuple;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn tuple(&self) -> &T::Tuple {
        (**self).tuple()
    }
}

/// A tuple with an argument for each of the `TAKEN` parameters of the worker function `F`.
pub trait Tuple<F, const TAKEN: usize> {
    /// Appends the bytes of the arguments.
    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError>;
}

// The compiler goes on to the bounds of an implementation that has the right number of elements: it then says which element does not
// fit, and not that the number does not.
macro_rules! tuple {
    ($taken:literal: $($position:tt $item:ident),+) => {
        #[diagnostic::do_not_recommend]
        impl<$($item),+> TupleOf<$taken> for ($($item,)+) {
            type Tuple = Self;

            #[cfg_attr(not(debug_assertions), inline(always))]
            fn tuple(&self) -> &Self {
                self
            }
        }

        impl<'w, F, $($item),+> Tuple<F, $taken> for ($($item,)+)
        where
            $(F: Parameter<$position>,)+
            $($item: Item<<F as Parameter<$position>>::Owned, <F as Parameter<$position>>::Written<'w>, ()>,)+
        {
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
                $(encode_item::<_, ParameterOf<F, $position>>(&self.$position, encoder)?;)+
                Ok(())
            }
        }
    };
}

tuple!(1: 0 A);
tuple!(2: 0 A, 1 B);
tuple!(3: 0 A, 1 B, 2 C);
tuple!(4: 0 A, 1 B, 2 C, 3 D);
tuple!(5: 0 A, 1 B, 2 C, 3 D, 4 E);
tuple!(6: 0 A, 1 B, 2 C, 3 D, 4 E, 5 G);
tuple!(7: 0 A, 1 B, 2 C, 3 D, 4 E, 5 G, 6 H);
tuple!(8: 0 A, 1 B, 2 C, 3 D, 4 E, 5 G, 6 H, 7 I);
tuple!(9: 0 A, 1 B, 2 C, 3 D, 4 E, 5 G, 6 H, 7 I, 8 J);
tuple!(10: 0 A, 1 B, 2 C, 3 D, 4 E, 5 G, 6 H, 7 I, 8 J, 9 K);
tuple!(11: 0 A, 1 B, 2 C, 3 D, 4 E, 5 G, 6 H, 7 I, 8 J, 9 K, 10 L);
tuple!(12: 0 A, 1 B, 2 C, 3 D, 4 E, 5 G, 6 H, 7 I, 8 J, 9 K, 10 L, 11 M);

/// The rows that tuples are.
pub struct Unpacked<I: Iterator, F> {
    tuples: I,
    encode: fn(&I::Item, &mut Encoder<'_>) -> Result<(), CodecError>,
    function: PhantomData<fn() -> F>,
}

impl<I: Iterator, F> Columns for Unpacked<I, F> {
    const COUNT: u32 = 1;
    const SHARED: u16 = 0;
    type Row = I::Item;

    fn lengths(&self, visit: &mut dyn FnMut(Length)) {
        visit(Length::of(&self.tuples));
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn pull(&mut self, _shortest: bool) -> Result<I::Item, ColumnsRead> {
        self.tuples.next().ok_or(ColumnsRead::default().and(false))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn encode(&mut self, tuple: I::Item, encoder: &mut Encoder<'_>) -> Result<(), CodecError> {
        (self.encode)(&tuple, encoder)
    }
}
