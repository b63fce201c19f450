//! Which tasks that failed are executed again, and when. It knows nothing of how.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::builder::Map;
use crate::error::{Error, Result, TaskError, TaskErrorKind};

/// A task is executed again so long after it failed for the first time, twice as long after the second time, and so on: short
/// beside what takes a lock or a connection to come back, and long beside a task.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// It never waits longer than this, unless its first wait was longer.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Which tasks that failed are executed again, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct RetryRules {
    /// How many times a task may be executed again after it failed.
    pub(super) executions: Option<u32>,
    pub(super) backoff: Option<Duration>,
    condition: Option<Condition>,
}

/// Says which errors are worth it.
#[derive(Clone)]
struct Condition(Arc<dyn Fn(&TaskError) -> bool + Send + Sync>);

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condition")
    }
}

impl RetryRules {
    /// Refuses what says nothing.
    pub(super) fn check(&self) -> Result<()> {
        let without = [("retry_backoff", self.backoff.is_some()), ("retry_if", self.condition.is_some())];
        for (option, is_given) in without {
            if is_given && self.executions.is_none() {
                return Err(Error::invalid_option(format!(
                    "`{option}` needs `retry_errors`, the number of further executions",
                )));
            }
        }
        Ok(())
    }

    /// How long to wait before the task is executed again; none if that was its last execution.
    pub(super) fn wait_after(&self, error: &TaskError) -> Option<Duration> {
        let failures = error.causes().filter(|cause| is_failure(cause)).count();
        let failures = u32::try_from(failures).unwrap_or(u32::MAX);
        if !is_failure(error.kind()) || failures > self.executions? {
            return None;
        }
        let is_worth_it = self.condition.as_ref().is_none_or(|Condition(condition)| condition(error));
        is_worth_it.then(|| self.wait(failures))
    }

    /// How long to wait after so many failures.
    fn wait(&self, failures: u32) -> Duration {
        let first = self.backoff.unwrap_or(BACKOFF_FIRST);
        let doubled = 2u32.checked_pow(failures.saturating_sub(1)).and_then(|times| first.checked_mul(times));
        doubled.unwrap_or(Duration::MAX).min(BACKOFF_MAX.max(first))
    }
}

/// Whether the function itself ended the execution without an output.
fn is_failure(kind: &TaskErrorKind) -> bool {
    matches!(kind, TaskErrorKind::Failed(_) | TaskErrorKind::Panicked { .. })
}

impl<F, A, P> Map<'_, F, A, P> {
    /// Sets the maximum number of further executions of a task that returned an `Err` or panicked: 1 or more. Default: none.
    ///
    /// Each further execution runs alone, after a wait ([`retry_backoff`](Self::retry_backoff)), while other tasks run on. After the
    /// last, the task's error has the causes of all ([`TaskError::causes`]). A waiting task counts against the window, and its wait
    /// against the deadline. A lazy map executes tasks again while it is pulled.
    ///
    /// The option does not cover a task whose worker dies, that exceeds a limit, or whose arguments or result cannot be sent. For a
    /// worker's death see [`attempts`](Self::attempts), which counts by itself. The effects of a task before its failure happen more
    /// than once.
    pub fn retry_errors(mut self, executions: u32) -> Self {
        self.options.retry.executions = Some(executions);
        self
    }

    /// Sets the wait between a task's first failure and its second execution. Default: 100 ms. Zero is no wait.
    ///
    /// The wait doubles with each further failure of the task, up to 30 s, or up to `first` if that is longer. Without
    /// [`retry_errors`](Self::retry_errors) the map returns an error when it runs.
    pub fn retry_backoff(mut self, first: Duration) -> Self {
        self.options.retry.backoff = Some(first);
        self
    }

    /// Executes a task again only if `condition` returns `true` for its error.
    ///
    /// The condition runs in this process, on the thread that waits for the results; its panic reaches the caller. Without
    /// [`retry_errors`](Self::retry_errors) the map returns an error when it runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use poolmap::{TaskErrorKind, current_worker, pool_map, worker};
    ///
    /// #[worker]
    /// fn fetch(page: u32) -> Result<u32, String> {
    ///     let attempt = current_worker().map_or(1, |worker| worker.attempt());
    ///     if attempt < 3 { Err("busy".into()) } else { Ok(2 * page) }
    /// }
    ///
    /// poolmap::init();
    /// let pages = pool_map!(fetch, 0..3; retry_errors = 2, retry_backoff = Duration::from_millis(1))?;
    /// assert_eq!(pages, [0, 2, 4]);
    ///
    /// let error = pool_map!(fetch, 0..3; retry_errors = 2,
    ///     retry_if = |error| !matches!(error.kind(), TaskErrorKind::Failed(failure) if failure.to_string() == "busy"));
    /// assert_eq!(error.unwrap_err().task().map(|task| task.attempts()), Some(1));
    /// # Ok::<(), poolmap::Error>(())
    /// ```
    pub fn retry_if(mut self, condition: impl Fn(&TaskError) -> bool + Send + Sync + 'static) -> Self {
        self.options.retry.condition = Some(Condition(Arc::new(condition)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panicked(times: usize) -> TaskError {
        let kind = || TaskErrorKind::Panicked { message: String::new(), location: None, backtrace: None };
        let earlier = (1..times).map(|_| kind()).collect();
        TaskError::new(0, "f", u32::try_from(times).unwrap(), None, kind()).after(earlier)
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let rules = RetryRules { executions: Some(u32::MAX), ..RetryRules::default() };
        let waits: Vec<_> = (1..=12).map(|times| rules.wait_after(&panicked(times)).unwrap()).collect();
        assert_eq!(waits[..3], [1, 2, 4].map(|times| BACKOFF_FIRST * times));
        assert_eq!(waits.last(), Some(&BACKOFF_MAX));
        let long = RetryRules { backoff: Some(2 * BACKOFF_MAX), ..rules };
        assert_eq!(long.wait_after(&panicked(40)), Some(2 * BACKOFF_MAX));
    }

    #[test]
    fn failures_alone_count_and_are_executed_again() {
        let rules = RetryRules { executions: Some(2), ..RetryRules::default() };
        assert!(rules.wait_after(&panicked(2)).is_some());
        assert!(rules.wait_after(&panicked(3)).is_none());
        let crash = || TaskErrorKind::Crashed { signal: None, exit_code: Some(1), note: None };
        let after_crashes = TaskError::new(0, "f", 4, None, panicked(1).kind().clone()).after(vec![crash(); 3]);
        assert!(rules.wait_after(&after_crashes).is_some());
        assert!(rules.wait_after(&TaskError::new(0, "f", 1, None, crash())).is_none());
    }
}
