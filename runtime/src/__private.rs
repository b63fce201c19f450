//! The items that the expansions of the macros name. Not part of the public face: it may change with any version.

pub use crate::codec::{Decoder, Encoder, decode, encode};
pub use crate::entry::{Main, enter_main, enter_test};
pub use crate::error::CodecError;
pub use crate::functions::{
    Argument, ArgumentTexts, BorrowedArgument, CowParameter, DebugProbe, DecodedArgument, EncodeAs, EncodeOwned, Entry,
    ErrorProbe, Fallible, Folding, Given, HasDebug, HasNoDebug, Identity, Item, Itself, KeptArguments, Merge, Named,
    NamedCow, Output, Parameter, ParameterOf, Parameters, Registration, TaskAbort, TaskCall, Test, Typed, Untyped,
    WorkerFailure, encode_argument, fold_tasks, not_a_merger, not_a_worker_function, redacted_argument,
    redacted_encoding, run_tasks, show_arguments, type_names, with_state,
};
pub use crate::map::{
    Column, Columns, ColumnsRead, Immediate, Length, NextItem, Position, Source, Tuple, Unpacked, call, call_tuples,
    merger,
};
#[cfg(feature = "stream")]
pub use crate::map::{IsStream, StreamItems};
pub use crate::progress::ShowProgress;
pub use inventory;
pub use poolmap_macros::__call as expand_call;
