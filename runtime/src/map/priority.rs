//! The priority of a map, beside other calls of its pool.

use super::builder::Map;

impl<F, A, P> Map<'_, F, A, P> {
    /// Sets the priority of the map's tasks: any `i32`. Default: 0.
    ///
    /// A free worker goes to the waiting task of the highest priority, whatever its call. Calls of one priority share the workers. A
    /// running task is not interrupted. Tasks that a worker was given ahead return to the queue while a task of a higher priority waits;
    /// without shared memory, where the socket carries the tasks, they stay.
    ///
    /// Each task of a map has the same priority, so a map of a lower priority waits until workers have no other task.
    ///
    /// # Examples
    ///
    /// ```
    /// use poolmap::{Pool, pool_map, worker};
    ///
    /// #[worker]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// poolmap::init();
    /// let pool = Pool::builder().workers(2).build()?;
    /// let urgent = pool.call(square { x: 100 }).priority(1).submit()?;
    /// assert_eq!(pool_map!(in &pool, square, 0..4; priority = -1)?, [0, 1, 4, 9]);
    /// assert_eq!(urgent.join()?, 10_000);
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }
}
