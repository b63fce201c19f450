//! Which tasks that failed are executed again, and when. It knows nothing of how.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result, TaskError, TaskErrorKind};

/// A task is executed again so long after it failed for the first time, twice as long after the second time, and so on: short
/// beside what takes a lock or a connection to come back, and long beside a task.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// It never waits longer than this, unless its first wait was longer.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Which tasks that failed are executed again, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetryRules {
    /// How many times a task may be executed again after it failed.
    pub(crate) executions: Option<u32>,
    pub(crate) backoff: Option<Duration>,
    condition: Option<RetryCondition>,
}

/// Says which errors are worth it.
#[derive(Clone)]
struct RetryCondition(Arc<dyn Fn(&TaskError) -> bool + Send + Sync>);

impl fmt::Debug for RetryCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryCondition")
    }
}

impl RetryRules {
    /// Executes a task again only if this says so of its error.
    pub(crate) fn only_if(&mut self, condition: impl Fn(&TaskError) -> bool + Send + Sync + 'static) {
        self.condition = Some(RetryCondition(Arc::new(condition)));
    }

    /// Refuses what says nothing.
    pub(crate) fn check(&self) -> Result<()> {
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
    pub(crate) fn wait_after(&self, error: &TaskError) -> Option<Duration> {
        let failures = error.causes().filter(|cause| is_failure(cause)).count();
        let failures = u32::try_from(failures).unwrap_or(u32::MAX);
        if !is_failure(error.kind()) || failures > self.executions? {
            return None;
        }
        let is_worth_it = self.condition.as_ref().is_none_or(|RetryCondition(condition)| condition(error));
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
