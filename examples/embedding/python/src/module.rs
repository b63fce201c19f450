//! A module for Python: each task runs in a process of the worker program, and Python's own process goes on whatever it does.

use std::path::PathBuf;

use jobs::length;
use poolmap::{Pool, pool_try_map};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// A pool of processes.
#[pyclass]
struct Workers(Pool);

#[pymethods]
impl Workers {
    #[new]
    fn new(program: PathBuf, count: usize) -> PyResult<Self> {
        Pool::builder().program(program).workers(count).build().map(Self).map_err(exception)
    }

    /// For each text its length, or what happened to its task.
    fn lengths(&self, py: Python<'_>, texts: Vec<String>) -> PyResult<Vec<(Option<u64>, Option<String>)>> {
        // Other threads of Python run meanwhile.
        let outcomes = py.detach(|| pool_try_map!(in &self.0, length, &texts)).map_err(exception)?;
        Ok(outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Ok(length) => (Some(length), None),
                Err(error) => (None, Some(format!("{error:#}"))),
            })
            .collect())
    }
}

fn exception(error: poolmap::Error) -> PyErr {
    PyRuntimeError::new_err(format!("{error:#}"))
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Workers>()
}
