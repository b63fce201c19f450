//! Where the tasks of a call are saved that fail, for the option `save_failed`.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::functions::{Registration, fingerprint, function_text};
use crate::pool::PoolShared;
use crate::replay::{FailedFunction, FailedTasks};

/// Where the failed tasks of a call of a function are saved.
pub(super) fn failed_tasks(
    folder: Option<&Path>,
    function: &'static Registration,
    shared: &PoolShared,
) -> Result<Option<Arc<FailedTasks>>> {
    let Some(folder) = folder else {
        return Ok(None);
    };
    let function = FailedFunction {
        text: function_text(function),
        path: function.path(),
        is_redacted: function.is_redacted(),
        table: fingerprint(),
    };
    FailedTasks::new(folder, function, shared.worker_program()).map(|tasks| Some(Arc::new(tasks)))
}
