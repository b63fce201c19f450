//! The map macros, documented. Each hands its tokens, and the path of this crate, to one procedural macro.

/// Maps a worker function over iterators, one for each parameter, and returns all results.
///
/// ```text
/// pool_map!([in POOL,] FUNCTION, ITERATOR, … [; OPTION, …])
/// ```
///
/// The macro returns a [`Result`](crate::Result)`<Vec<Output>>`, in the order of the input, and stops at the first failed task.
/// - *Pool*: a [`&Pool`](crate::Pool). Default: the global pool, made at first use.
/// - *Function*: the path of a function marked [`#[worker]`](crate::worker). A closure cannot be sent to another process.
/// - *Iterators*: as many as the function has parameters. The items for a parameter of type `T` are `T`, `&T`, `Box<T>`,
///   `Rc<T>` or `Arc<T>`; for a `String` also `&str`, for a `Vec<T>` slices and arrays, for a `PathBuf` `&Path`. All iterators must
///   end together, except endless ones: those whose `size_hint` has a lower bound of `usize::MAX` (`repeat`, `0..`).
/// - `shared(&value)` in place of an iterator ([`shared`](crate::shared())): one value for every task, sent to each worker once,
///   whatever its size.
/// - `*tuples` in place of all iterators, as Python's starmap: one iterator of tuples, each with an element for each parameter.
/// - *Options*: `chunk_size = n`, `window = n`, `timeout = d`, `cpu_limit = d`, `deadline = d`, `attempts = n`, `retry_errors = n`,
///   `retry_backoff = d`, `retry_if = |error| …`, `priority = n`, `seed = n`, `journal = path`, `shortest`, `finish_running`, `progress`,
///   `job_log = path`, `timeline = path`, `save_failed = folder`, and for this macro alone `on_error = …`. Each is a method of
///   [`Map`](crate::Map), and described there.
///
/// # Errors
///
/// The error of the first task seen to fail, returned at once; and every error of the call as a whole, such as iterators of
/// different length.
///
/// # Panics
///
/// A panic of an input iterator reaches the caller; the pool stays usable.
///
/// # Worker death
///
/// The task that the worker was running fails. Its other tasks run on another worker.
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
/// A pool of your own, an endless iterator, and an option:
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
/// Tuples, and a value in place of a failed task ([`OnError`](crate::OnError)):
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

/// Maps as [`pool_map!`](crate::pool_map) does, and returns the outcome of every task.
///
/// The macro returns a [`Result`](crate::Result)`<Vec<Result<Output, TaskError>>>`, in order, and does not stop at a failed task.
///
/// # Errors
///
/// [The errors of the call as a whole](crate::Error#errors-of-a-call-as-a-whole). A failed task is an `Err` in the list.
///
/// # Worker death
///
/// The task that the worker was running is an `Err` in the list.
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

/// Maps as [`pool_try_map!`](crate::pool_try_map) does, and also returns the printed output of each task.
///
/// The macro returns a [`Result`](crate::Result)`<Vec<`[`Captured`](crate::Captured)`<Output>>>`, in order. It needs a pool that
/// captures the output of its workers ([`Output::Captured`](crate::Output)).
///
/// # Errors
///
/// The pool captures nothing ([`Error::is_invalid_option`](crate::Error::is_invalid_option)); the errors of the call as a whole.
/// A failed task is an `Err` in its place.
///
/// # Worker death
///
/// The task that the worker was running is an `Err`, with the output that it had printed.
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

/// Maps lazily, and returns an iterator of the results, in order.
///
/// The macro takes the arguments of [`pool_map!`](crate::pool_map), and returns a [`Result`](crate::Result) of a
/// [`PoolIter`](crate::PoolIter), whose items are `Result<Output, Error>`. The iterator reads and sends input while you pull a result,
/// as far as the `window` allows. So the input may be endless, and workers may be idle while you do not pull. Dropping the iterator
/// stops the work. Do not make the input wait for a result of the same call: one thread reads both, so it would block
/// forever. If outputs lead to further calls, submit those calls ([`wait_any`](crate::wait_any) has an example).
///
/// # Errors
///
/// The errors of the call as a whole that are known before any task runs. A failed task is an `Err` whose
/// [`task()`](crate::Error::task) names it, and further items follow. A later failure of the call as a whole is one last `Err`.
///
/// # Worker death
///
/// The task that the worker was running is an `Err`.
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

/// Maps lazily, and returns an iterator of indices and results, as tasks finish.
///
/// It is [`pool_iter!`](crate::pool_iter) without the order. Its items are `Result<(usize, Output), Error>`: the task's index and its
/// output. As there, an input that waits for a result of the same call blocks forever.
///
/// # Errors
///
/// The same as for [`pool_iter!`](crate::pool_iter).
///
/// # Worker death
///
/// The task that the worker was running is an `Err`.
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

/// Maps in async code, and returns a stream of the results, in order.
///
/// The macro takes the arguments of [`pool_map!`](crate::pool_map), and returns a [`Result`](crate::Result) of a
/// [`PoolStream`](crate::PoolStream), which implements `Stream` and is `Unpin` and `Send`. Its items are `Result<Output, Error>`. An input
/// may itself be a stream: [`stream(s)`](crate::stream()) in place of an iterator. Inputs and outputs must be `Send`.
///
/// - A poll does not block: it encodes input, decodes results, and leaves the wait to a thread of the pool. An iterator that blocks
///   does block it: make it a stream. It needs no runtime, and runs under any.
/// - Nothing runs before the first poll. After that, input is read and sent while the stream is polled, as far as the `window` allows;
///   workers may be idle while it is not. An item of an input stream becomes a task at once, and does not wait for further ones.
/// - Dropping the stream stops the work, as with [`pool_iter!`](crate::pool_iter). `deadline` counts from this call.
///
/// The macro needs the feature `stream` of this crate, which is on by default.
///
/// # Errors
///
/// The same as for [`pool_iter!`](crate::pool_iter).
///
/// # Panics
///
/// A panic of an input reaches the caller of the poll. The stream has ended then.
///
/// # Worker death
///
/// The task that the worker was running is an `Err`.
///
/// # Examples
///
/// The methods of streams are those of any crate that has them: futures, futures-lite, tokio-stream.
///
/// ```
/// use futures_lite::{StreamExt, future};
/// use poolmap::{pool_stream, worker};
///
/// #[worker]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// async fn first_above(limit: u64) -> poolmap::Result<Option<u64>> {
///     let mut squares = pool_stream!(square, 0..)?;
///     while let Some(square) = squares.try_next().await? {
///         if square > limit {
///             return Ok(Some(square));
///         }
///     }
///     Ok(None)
/// }
///
/// poolmap::init();
/// assert_eq!(future::block_on(first_above(1000))?, Some(1024));
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// Iterators of different length are an error:
///
/// ```
/// # use poolmap::{pool_stream, worker};
/// # #[worker]
/// # fn add(x: i64, y: i64) -> i64 { x + y }
/// poolmap::init();
/// assert!(pool_stream!(add, [1, 2, 3], [1, 2]).unwrap_err().is_length_mismatch());
/// # Ok::<(), poolmap::Error>(())
/// ```
#[cfg(feature = "stream")]
#[macro_export]
macro_rules! pool_stream {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_stream stream) $($call)*) };
}

/// Maps in async code, and returns a stream of indices and results, as tasks finish.
///
/// It is [`pool_stream!`](crate::pool_stream) without the order. Its items are `Result<(usize, Output), Error>`: the task's index and its
/// output.
///
/// # Errors
///
/// The same as for [`pool_stream!`](crate::pool_stream).
///
/// # Worker death
///
/// The task that the worker was running is an `Err`.
///
/// # Examples
///
/// ```
/// use futures_lite::{StreamExt, future};
/// use poolmap::{pool_stream_unordered, worker};
///
/// #[worker]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// poolmap::init();
/// let mut squares = future::block_on(pool_stream_unordered!(square, 0..4)?.try_collect::<_, _, Vec<_>>())?;
/// squares.sort();
/// assert_eq!(squares, [(0, 0), (1, 1), (2, 4), (3, 9)]);
/// # Ok::<(), poolmap::Error>(())
/// ```
#[cfg(feature = "stream")]
#[macro_export]
macro_rules! pool_stream_unordered {
    ($($call:tt)*) => { $crate::__private::expand_call!(($crate) (pool_stream_unordered stream_unordered) $($call)*) };
}

/// Runs a worker function over iterators, and sends no output back.
///
/// The macro takes the arguments of [`pool_map!`](crate::pool_map), returns a [`Result`](crate::Result)`<()>`, and stops at the first
/// failed task. The worker drops the return value of the function, and reports only that the task has finished.
///
/// # Errors
///
/// The error of the first task seen to fail, returned at once; and every error of the call as a whole.
///
/// # Worker death
///
/// The task that the worker was running fails.
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
/// The macro takes the arguments of [`pool_map!`](crate::pool_map) and two more options, and returns a
/// [`Result`](crate::Result)`<Output>`:
///
/// - `with = g`: the path of a [`#[worker]`](crate::worker) function that takes two outputs by value and returns one. It must be
///   associative, `g(g(a, b), c) == g(a, g(b, c))`; it need not be commutative, as the order of the tasks is kept.
/// - `identity = value`: a value for which `g(value, x)` and `g(x, value)` are `x`. It is the result if there are no tasks.
///
/// A worker takes about 10 ms of tasks at once, or `chunk_size` tasks (for tasks that differ much), 4,096 at most, and folds their
/// outputs. It stops folding when the outputs total 1 MiB. It sends one value back, which this process folds further; the `window` does
/// not count it. This process folds all outputs itself if `attempts` is above 1, if `retry_errors` or a limit for a task is set, if the
/// pool captures or tags output, or if there is no shared memory.
///
/// # Errors
///
/// The error of the first task seen to fail, returned at once; and every error of the call as a whole. A panic of `g` in a worker is
/// an error of the task whose output was being added.
///
/// # Panics
///
/// A panic of `g` in this process reaches the caller.
///
/// # Worker death
///
/// The task that the worker was running fails. The outputs folded with it are lost, and their tasks do not run again.
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
