//! The macros, documented. The attributes are procedural macros of their own; each map macro hands its tokens, and the path
//! of this crate, to one procedural macro.

/// Marks a function that workers can run.
///
/// The function stays as it is and can be called directly. Beside it stands a struct of the same name and visibility,
/// whose public fields are the parameters in their owned form: `f { x: 1, y: 2 }` is a call with named arguments. It
/// implements [`WorkerFn`](crate::WorkerFn). One `use` imports both.
///
/// # Parameters
///
/// At most 12, each
/// - an owned type that implements serde's `Serialize` and `Deserialize`;
/// - `&str`, `&[T]`, `&Path`, `&OsStr` or `&CStr`: the struct holds a `String`, `Vec<T>`, `PathBuf`, `OsString` or
///   `CString`;
/// - `&T`, for which the struct holds a `T`; or a type with lifetimes, such as `Cow<'_, str>`.
///
/// Any pattern may stand before the type. A parameter without a name, such as `_` or `(a, b)`, is the field `arg0`,
/// `arg1`, … by its place. Not possible, and said so by the compiler: generics, `self`, `impl Trait`, `dyn`, `&mut`,
/// `&'static`, a reference inside of a type, `unsafe`, variadic, `async`, a `cfg` on a parameter.
///
/// # State
///
/// A first parameter `#[state] model: &mut Model` is no argument, but what the worker keeps from task to task: a loaded model, an
/// open connection, a cache. It is made by `Default`, or by the function in `#[state(init = load)]`, when a task of the worker first
/// needs it, and need be neither serde nor `Send`. A worker has one state of each type, for all its functions; each worker has its own,
/// and one that takes another's place begins anew. So does the task after one that panicked with the state in its hands. Who calls
/// the function directly passes a `&mut Model`. What all workers are to do before their first task is for
/// [`Builder::initializer`](crate::Builder::initializer).
///
/// # Return
///
/// Any serde type, and no reference. Where the last segment of the type's path is `Result` (`Result<T, E>`,
/// `io::Result<T>`, `anyhow::Result<T>`), an `Err` makes the task fail, and the output is the `T`. The `E` must turn into a
/// `Box<dyn Error + Send + Sync>`, as errors, `String` and `&'static str` do; it need not be serde.
///
/// # Options
///
/// `#[worker(plain)]`: a `Result` is sent as it is, as a value, and its `Err` is no failure. `#[worker(crate = path)]`: where
/// this crate is known by another name, or re-exported.
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
/// What cannot be sent does not compile:
///
/// ```compile_fail
/// # use poolmap::worker;
/// #[worker]
/// fn sort(values: &mut Vec<u32>) { // take `values: Vec<u32>` and return it
///     values.sort();
/// }
/// ```
pub use poolmap_macros::worker;

/// Wraps `main`, so that a worker, which is this program started again, never runs a line of it.
///
/// It stands above `#[tokio::main]` or another runtime's attribute, so that no runtime is started in a worker. `main` may
/// return anything that a `main` can return. When it has returned, the global pool ends, the program waits for every
/// [`Process`](crate::Process) that is no daemon, however long that takes, and then ends the daemons.
/// `#[poolmap::main(crate = path)]` is for a crate that knows this one by another name.
///
/// By hand, [`init()`](crate::init) as the first statement of `main` does the same, but waits for nobody at the end.
///
/// # Panics
///
/// A panic in `main` is told as without it, at once; the program then waits as if `main` had returned, and exits with 101. Under
/// `panic = "abort"` it ends at once, and what ends with its parent ends.
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
/// runtime's attribute: a worker, the test program started again, starts none. A plain `#[test]` has workers if its program has a
/// `#[poolmap::test]`. `#[poolmap::test(crate = path)]` is for a crate that knows this one by another name.
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

/// Maps a worker function over iterators, one for each of its parameters: all results, in order.
///
/// ```text
/// pool_map!([in POOL,] FUNCTION, ITERATOR, … [; OPTION, …])
/// ```
///
/// It gives a [`Result`](crate::Result)`<Vec<Output>>`, and stops at the first task that is seen to fail.
/// - *Pool*: a [`&Pool`](crate::Pool); without it, the global one, made at first use.
/// - *Function*: the path of a function marked [`#[worker]`](crate::worker). A closure cannot be sent to another process.
/// - *Iterators*: as many as the function has parameters. The items for a parameter of type `T` are `T`, `&T`, `Box<T>`,
///   `Rc<T>` or `Arc<T>`; for a `String` also `&str`, for a `Vec<T>` slices and arrays, for a `PathBuf` `&Path`. All must end
///   together, but one without an end (`repeat`, `0..`) may go on.
/// - `shared(&value)` in the place of an iterator ([`shared`](crate::shared())): one value for every task, sent to each worker once,
///   whatever its size.
/// - `*tuples` in the place of all iterators, as Python's starmap: one iterator of tuples, each with an element for each
///   parameter.
/// - *Options*: `chunk_size = n`, `window = n`, `timeout = d`, `cpu_limit = d`, `deadline = d`, `attempts = n`, `retry_errors = n`,
///   `retry_backoff = d`, `retry_if = |error| …`, `seed = n`, `shortest`, `finish_running`, `progress`, and of this macro alone
///   `on_error = …`; each is a method of [`Map`](crate::Map), and described there.
///
/// # Errors
///
/// That of the first task seen to fail, at once; and every error of the call as a whole, such as iterators of different
/// length.
///
/// # Panics
///
/// A panic of an input iterator reaches the caller; the pool stays usable.
///
/// # Worker death
///
/// It is the error of the task that the worker was running. Other tasks that it held go to another worker.
///
/// # Examples
///
/// Two iterators:
///
/// ```
/// use poolmap::{pool_map, worker};
///
/// #[worker]
/// fn add_and_subtract(x: i64, y: i64) -> (i64, i64) {
///     (x + y, x - y)
/// }
///
/// poolmap::init();
/// let pairs = pool_map!(add_and_subtract, (0..20).step_by(2), -5..5)?;
/// assert_eq!(pairs[..2], [(-5, 5), (-2, 6)]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// One value for all tasks, a pool of one's own, and options:
///
/// ```
/// # use poolmap::{Pool, pool_map, worker};
/// #[worker]
/// fn power(base: u64, exponent: u32) -> u64 {
///     base.pow(exponent)
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(2).build()?;
/// let squares = pool_map!(in &pool, power, 0..4, std::iter::repeat(2); chunk_size = 2)?;
/// assert_eq!(squares, [0, 1, 4, 9]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// Tuples, and a value in the place of a failed task ([`OnError`](crate::OnError)):
///
/// ```
/// # use poolmap::{Replace, pool_map, worker};
/// #[worker]
/// fn divide(x: i64, y: i64) -> Result<i64, String> {
///     x.checked_div(y).ok_or_else(|| format!("{x} / {y}"))
/// }
///
/// poolmap::init();
/// let pairs = [(6, 2), (1, 0)];
/// assert_eq!(pool_map!(divide, *pairs; on_error = Replace(0))?, [3, 0]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// Iterators of different length are an error, unless `shortest` is given:
///
/// ```
/// # use poolmap::{pool_map, worker};
/// # #[worker]
/// # fn add(x: i64, y: i64) -> i64 { x + y }
/// poolmap::init();
/// let error = pool_map!(add, [1, 2, 3], [1, 2]).unwrap_err();
/// assert!(error.is_length_mismatch());
/// assert_eq!(pool_map!(add, [1, 2, 3], [1, 2]; shortest)?, [2, 4]);
/// # Ok::<(), poolmap::Error>(())
/// ```
#[macro_export]
macro_rules! pool_map {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_map collect) $($call)*) };
}

/// Maps as [`pool_map!`](crate::pool_map) does, and gives every task's own outcome.
///
/// It gives a [`Result`](crate::Result)`<Vec<Result<Output, TaskError>>>`, in order, and does not stop at a task that fails.
///
/// # Errors
///
/// Those of the call as a whole. A task that fails is an `Err` in the list.
///
/// # Worker death
///
/// It is one `Err` in the list: that of the task that the worker was running.
///
/// # Examples
///
/// ```
/// use poolmap::{pool_try_map, worker};
///
/// #[worker]
/// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// poolmap::init();
/// let outcomes = pool_try_map!(parse, ["1", "two", "3"])?;
/// assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);
/// assert_eq!(outcomes[1].as_ref().unwrap_err().index(), 1);
/// # Ok::<(), poolmap::Error>(())
/// ```
#[macro_export]
macro_rules! pool_try_map {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_try_map collect_outcomes) $($call)*) };
}

/// Maps as [`pool_try_map!`](crate::pool_try_map) does, and gives what each task has printed, too.
///
/// It gives a [`Result`](crate::Result)`<Vec<`[`Captured`](crate::Captured)`<Output>>>`, in order, and needs a pool that captures what
/// its workers print ([`Output::Captured`](crate::Output)).
///
/// # Errors
///
/// A pool that captures nothing ([`Error::is_invalid_option`](crate::Error::is_invalid_option)), and those of the call as a whole.
/// A task that fails is an `Err` in its place.
///
/// # Worker death
///
/// It is the `Err` of the task that the worker was running, with what that had printed.
///
/// # Examples
///
/// ```
/// use poolmap::{Output, Pool, pool_map_captured, worker};
///
/// #[worker]
/// fn greet(name: &str) -> usize {
///     println!("hello, {name}");
///     name.len()
/// }
///
/// poolmap::init();
/// let pool = Pool::builder().workers(2).output(Output::Captured).build()?;
/// let greeted = pool_map_captured!(in &pool, greet, ["you", "world"])?;
/// assert_eq!(greeted[1].stdout, "hello, world\n");
/// assert_eq!(greeted[1].outcome.as_ref().unwrap(), &5);
///
/// // The global pool captures nothing.
/// assert!(pool_map_captured!(greet, ["you"]).unwrap_err().is_invalid_option());
/// # Ok::<(), poolmap::Error>(())
/// ```
#[macro_export]
macro_rules! pool_map_captured {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_map_captured collect_captured) $($call)*) };
}

/// Maps lazily: an iterator of the results, in order.
///
/// It takes what [`pool_map!`](crate::pool_map) takes, and gives a [`Result`](crate::Result) of a
/// [`PoolIter`](crate::PoolIter), whose items are `Result<Output, Error>`. Input is read and sent while a result is pulled, as far as the
/// `window` allows, so an endless iterator will do, and a worker may have nothing to do while nobody pulls. Dropping the iterator
/// stops the work. An input that waits for a result of the same call blocks for ever, as this thread reads both: submit calls whose
/// outputs lead to further calls ([`wait_any`](crate::wait_any) has an example).
///
/// # Errors
///
/// Those of the call as a whole that are known before anything runs. A task that fails is an `Err` whose
/// [`task()`](crate::Error::task) names it, and the iterator goes on; a later failure of the call as a whole is one last
/// `Err`.
///
/// # Worker death
///
/// It is the `Err` of the task that the worker was running.
///
/// # Examples
///
/// ```
/// use poolmap::{pool_iter, worker};
///
/// #[worker]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// poolmap::init();
/// let large = pool_iter!(square, 0..)?.filter_map(Result::ok).find(|&square| square > 1000);
/// assert_eq!(large, Some(1024));
/// # Ok::<(), poolmap::Error>(())
/// ```
#[macro_export]
macro_rules! pool_iter {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_iter iter) $($call)*) };
}

/// Maps lazily: an iterator of indices and results, as they finish.
///
/// It is [`pool_iter!`](crate::pool_iter) without the order: its items are `Result<(usize, Output), Error>`, the task's index
/// and its output. Its input cannot be fed by its results, either: see there.
///
/// # Errors
///
/// As with [`pool_iter!`](crate::pool_iter).
///
/// # Worker death
///
/// It is the `Err` of the task that the worker was running.
///
/// # Examples
///
/// ```
/// use poolmap::{pool_iter_unordered, worker};
///
/// #[worker]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// poolmap::init();
/// for result in pool_iter_unordered!(square, 0..4)? {
///     let (index, square) = result?;
///     assert_eq!(square, (index * index) as u64);
/// }
/// # Ok::<(), poolmap::Error>(())
/// ```
#[macro_export]
macro_rules! pool_iter_unordered {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_iter_unordered iter_unordered) $($call)*) };
}

/// Runs a worker function over iterators for what it does: nothing is sent back.
///
/// It takes what [`pool_map!`](crate::pool_map) takes, gives a [`Result`](crate::Result)`<()>`, and stops at the first task that is
/// seen to fail. What the function returns is dropped in the worker: all that comes back of a task is that it is finished.
///
/// # Errors
///
/// That of the first task seen to fail, at once; and every error of the call as a whole.
///
/// # Worker death
///
/// It is the error of the task that the worker was running.
///
/// # Examples
///
/// ```
/// use poolmap::{pool_for_each, worker};
///
/// #[worker]
/// fn check(number: u32) -> Result<Vec<u8>, String> {
///     if number == 7 { Err(format!("{number} is refused")) } else { Ok(vec![0; 1 << 20]) }
/// }
///
/// poolmap::init();
/// pool_for_each!(check, 0..5)?;
/// let error = pool_for_each!(check, 5..10; chunk_size = 1).unwrap_err();
/// assert_eq!(error.task().map(|task| task.index()), Some(2));
/// # Ok::<(), poolmap::Error>(())
/// ```
#[macro_export]
macro_rules! pool_for_each {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_for_each for_each) $($call)*) };
}

/// Maps, and folds the outputs into one value.
///
/// It takes what [`pool_map!`](crate::pool_map) takes and two options more, and gives a [`Result`](crate::Result)`<Output>`:
///
/// - `with = g`: the path of a [`#[worker]`](crate::worker) function that takes two outputs by value and returns one. It must be
///   associative, `g(g(a, b), c) == g(a, g(b, c))`; it need not be commutative, as the order of the tasks is kept.
/// - `identity = value`: with which `g` changes nothing. It is the value where there are no tasks.
///
/// A worker takes about 10 ms of tasks at once, or `chunk_size` (which is for tasks that differ much), 4,096 at most, and folds them: one
/// value comes back, to be folded in this process, beyond what the `window` counts. All is folded here with `attempts`, `retry_errors` or
/// a limit for a task, where what workers print is kept, and where there is no shared memory.
///
/// # Errors
///
/// That of the first task seen to fail, at once; and every error of the call as a whole. A panic of `g` in a worker is one of the task
/// whose output it was given.
///
/// # Panics
///
/// A panic of `g` in this process reaches the caller.
///
/// # Worker death
///
/// It is the error of the task that the worker was running. What was folded with it is lost, and does not run again.
///
/// # Examples
///
/// ```
/// use poolmap::{pool_reduce, worker};
///
/// #[worker]
/// fn letters(text: &str) -> usize {
///     text.len()
/// }
///
/// #[worker]
/// fn add(a: usize, b: usize) -> usize {
///     a + b
/// }
///
/// poolmap::init();
/// assert_eq!(pool_reduce!(letters, ["a", "bc", "def"]; with = add, identity = 0)?, 6);
/// # Ok::<(), poolmap::Error>(())
/// ```
#[macro_export]
macro_rules! pool_reduce {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_reduce reduce) $($call)*) };
}
