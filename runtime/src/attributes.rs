//! The attributes, documented: procedural macros of their own.

/// Marks a function that workers can run.
///
/// The function does not change, and you can call it directly. The attribute adds a struct of the same name and visibility, whose
/// public fields are the parameters in their owned form: `f { x: 1, y: 2 }` is a call with named arguments. The struct implements
/// [`WorkerFn`](crate::WorkerFn). One `use` imports both.
///
/// # Parameters
///
/// At most 12, each
/// - an owned type that implements serde's `Serialize` and `Deserialize`;
/// - `&str`, `&[T]`, `&Path`, `&OsStr` or `&CStr`: the struct holds a `String`, `Vec<T>`, `PathBuf`, `OsString` or
///   `CString`;
/// - `&T`, for which the struct holds a `T`; or a type with lifetimes, such as `Cow<'_, str>`.
///
/// A parameter may be any pattern. A parameter without a name, such as `_` or `(a, b)`, becomes the field `arg0`, `arg1`, … by its
/// place. The compiler refuses generics, `self`, `impl Trait`, `dyn`, `&mut`, `&'static`, a reference inside of a type, `unsafe`,
/// variadic, `async`, and a `cfg` on a parameter.
///
/// # Borrowed parameters
///
/// A worker reads `&str`, `&Path`, slices of numbers (`&[u8]`, `&[f64]`, …), and a `Cow` of these with any lifetime but `'static`, in
/// the shared memory where the caller has written them. This memory is read-only in the worker. The worker makes no allocation and
/// no copy for them. Two exceptions may be copied: the first large row of a call, and a slice of numbers that comes over a socket
/// (without shared memory, and for a [`Process`](crate::Process)).
///
/// All other types are decoded into a value for each task: `String`, `Vec<T>`, `&Vec<T>`, `&OsStr`, `&[String]`. An argument that is
/// [`shared`](crate::shared()), for a parameter that is a reference, is decoded once for each worker.
///
/// What a function borrows lives as long as its task. A process that the task forks must not use it after the task has ended or the
/// worker was killed.
///
/// # State
///
/// A first parameter `#[state] model: &mut Model` is not an argument. The worker keeps the value from task to task: a loaded model, an
/// open connection, a cache. `Default`, or the function in `#[state(init = load)]`, makes it when a task of the worker first needs it.
/// The type need be neither serde nor `Send`. Each worker has one state of each type, for all its functions. A worker that replaces
/// another makes a new one, and so does the next task after a task that panicked while it held the state. A direct call of the
/// function passes a `&mut Model`. To run a call in each worker before its first task, use
/// [`Builder::initializer`](crate::Builder::initializer).
///
/// # Arguments in texts
///
/// The error of a failed task names its arguments ([`TaskError`](crate::TaskError)): those that are [`Debug`], each up to 80 characters.
/// The attribute asks for no `Debug`. Mark a parameter that holds a secret: `#[redact] token: &str` is shown as `token: <redacted>`.
/// `#[worker(redact)]` holds for every parameter of the function. A redacted argument is in no text that this crate makes: Display and
/// Debug of an error, events of `tracing`, and the cause why the argument does not encode or decode. The texts of your own code, such as
/// a panic's message and an error that the function returns, are shown as they are. [`TaskError::call`](crate::TaskError::call) returns
/// redacted arguments to the program.
///
/// # Return
///
/// The return type is any serde type, and no reference. If the last segment of its path is `Result` (`Result<T, E>`,
/// `io::Result<T>`, `anyhow::Result<T>`), an `Err` makes the task fail, and the output is the `T`. The `E` must convert into a
/// `Box<dyn Error + Send + Sync>`, as errors, `String` and `&'static str` do; it need not be serde.
///
/// # Options
///
/// - `#[worker(plain)]`: a returned `Result` is the output itself, and its `Err` is not a failure.
/// - `#[worker(redact)]`: no text of this crate shows an argument: see below.
/// - `#[worker(crate = path)]`: the path of this crate, if it is renamed or re-exported.
///
/// # Examples
///
/// Several parameters, some of them borrowed:
///
/// ```
/// use poolmap::{pool_map, worker};
///
/// #[worker]
/// fn count(text: &str, word: &str) -> usize {
///     text.split(' ').filter(|&other| other == word).count()
/// }
///
/// poolmap::init();
/// assert_eq!(pool_map!(count, ["a b a", "b"], ["a", "a"])?, [2, 0]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// A state:
///
/// ```
/// use std::collections::HashMap;
///
/// use poolmap::{pool_map, worker};
///
/// #[worker]
/// fn fibonacci(#[state] known: &mut HashMap<u64, u64>, n: u64) -> u64 {
///     let known_before = known.get(&n).copied();
///     let value = known_before.unwrap_or_else(|| if n < 2 { n } else { fibonacci(known, n - 1) + fibonacci(known, n - 2) });
///     known.insert(n, value);
///     value
/// }
///
/// poolmap::init();
/// assert_eq!(pool_map!(fibonacci, [90, 10, 1])?, [2_880_067_194_370_816_120, 55, 1]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// Named arguments:
///
/// ```
/// # use poolmap::worker;
/// #[worker]
/// fn resize(width: u32, height: u32, keep_ratio: bool) -> (u32, u32) {
///     if keep_ratio { (width, width) } else { (width, height) }
/// }
///
/// let call = resize { keep_ratio: true, width: 64, height: 48 };
/// assert_eq!(resize(call.width, call.height, call.keep_ratio), (64, 64));
/// ```
///
/// A task that fails:
///
/// ```
/// use poolmap::{pool_map, worker};
///
/// #[worker]
/// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// poolmap::init();
/// let error = pool_map!(parse, ["1", "two"]).unwrap_err();
/// assert_eq!(error.task().map(|task| task.index()), Some(1));
/// ```
///
/// A parameter that cannot be sent does not compile:
///
/// ```compile_fail
/// # use poolmap::worker;
/// #[worker]
/// fn sort(values: &mut Vec<u32>) { // take `values: Vec<u32>` and return it
///     values.sort();
/// }
/// ```
pub use poolmap_macros::worker;

/// Wraps `main`, so that a worker (this program, re-executed) never runs a line of it.
///
/// Put it above `#[tokio::main]` or another runtime's attribute, so that no runtime starts in a worker. `main` may return any type
/// that a `main` can return. After `main` has returned, the global pool ends. The program then waits for every
/// [`Process`](crate::Process) that is not a daemon, without a time limit, and ends the daemons after that.
/// `#[poolmap::main(crate = path)]` gives the path of this crate, if it is renamed or re-exported.
///
/// [`init()`](crate::init) as the first statement of `main` does the same by hand, but waits for no Process at the end.
///
/// # Panics
///
/// A panic in `main` is reported at once, as without the attribute. The program then waits as if `main` had returned, and exits with
/// code 101. Under `panic = "abort"` the program ends at once, and its workers and daemons end with it.
///
/// # Examples
///
/// ```
/// use poolmap::{pool_map, worker};
///
/// #[worker]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// #[poolmap::main]
/// fn main() -> poolmap::Result<()> {
///     assert_eq!(pool_map!(square, 1..4)?, [1, 4, 9]);
///     Ok(())
/// }
/// ```
pub use poolmap_macros::main;

/// Marks a test that uses workers, in place of `#[test]`.
///
/// It works under `cargo test` and nextest, with `-> Result`, `#[ignore]`, `#[should_panic]`, and above `#[tokio::test]` or another
/// runtime's attribute. A worker (the test program, re-executed) starts no runtime. A plain `#[test]` has workers too if its program
/// has at least one `#[poolmap::test]`. `#[poolmap::test(crate = path)]` gives the path of this crate, if it is renamed.
///
/// # Examples
///
/// ```
/// use poolmap::{pool_map, worker};
///
/// #[worker]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// #[poolmap::test]
/// fn squares() {
///     assert_eq!(pool_map!(square, 1..4).unwrap(), [1, 4, 9]);
/// }
/// # fn main() {}
/// ```
pub use poolmap_macros::test;
