//! The worker functions of this binary: what each is, the table that both sides agree on, and how one is called.

mod arguments;
mod borrowed_argument;
mod cow_parameter;
mod encoded_call;
mod failed_call;
mod failure_texts;
mod fallible;
mod fingerprint;
mod fold;
mod folding;
mod function;
mod kept_arguments;
mod meter;
mod number_run;
mod outcome;
mod returned;
mod run;
mod shared_argument;
mod state;
mod table;
mod task_clock;
mod task_failure;
mod task_phase;
mod task_run;

pub(crate) use arguments::encode_item;
pub use arguments::{EncodeAs, EncodeOwned, Given, Item, ParameterOf, encode_argument};
pub use borrowed_argument::BorrowedArgument;
pub use cow_parameter::{CowParameter, DecodedArgument, NamedCow};
pub(crate) use encoded_call::EncodedCall;
pub(crate) use failed_call::{failed_arguments, kept_arguments};
pub use failed_call::{redacted_argument, redacted_encoding, show_arguments};
pub use fallible::{ErrorProbe, Fallible, Typed, Untyped};
pub(crate) use fingerprint::{
    ambiguous_function, fingerprint, function_of_text, function_text, table_difference, table_text,
};
pub use fold::fold_tasks;
pub(crate) use fold::{Folded, MergeOf};
pub use function::{
    Argument, Folding, Itself, Named, Output, Parameter, Parameters, WorkerFailure, WorkerFn, not_a_merger,
    not_a_worker_function,
};
pub use kept_arguments::{ArgumentTexts, DebugProbe, HasDebug, HasNoDebug, KeptArguments};
pub(crate) use outcome::{
    NoOutput, decode_output, deserialize_panicked, failure, new_direct, serialize_panicked, take_captured, take_direct,
    take_outcome, take_printed,
};
pub use run::{run_tasks, type_names};
pub(crate) use shared_argument::SharedName;
pub use state::with_state;
pub(crate) use state::{enter_states, forget_states, forget_states_of};
pub(crate) use table::{
    DROPS_OUTPUT, FUNCTION_FLAGS, MEASURED, OUTPUT_BY_VALUE, first_test, function, function_name, is_measured,
    test_name,
};
pub use table::{Entry, Identity, Merge, Registration, Test};
pub(crate) use task_clock::TaskClock;
pub(crate) use task_phase::Flush;
pub use task_phase::TaskAbort;
pub use task_run::TaskCall;
