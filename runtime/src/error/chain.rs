//! The sources of an error, on one line.

use std::error::Error;
use std::fmt;

/// Writes `: source` for each source of an error, outermost first.
pub(super) fn write_sources(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut source = error.source();
    while let Some(cause) = source {
        write!(f, ": {cause}")?;
        source = cause.source();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::error::{Error, RemoteError, TaskError, TaskErrorKind};

    fn failed() -> Error {
        let chain = vec!["the cause".to_owned(), "the root".to_owned()];
        let error = RemoteError::new("the message".into(), chain, "Debug".into(), "Type".into(), None);
        TaskError::new(3, "m::f", 1, None, TaskErrorKind::Failed(error)).into()
    }

    /// As `std::error::Report`, `anyhow` and `eyre` print an error.
    fn reported(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text += &format!(": {cause}");
            source = cause.source();
        }
        text
    }

    #[test]
    fn each_text_of_a_chain_is_shown_once() {
        let error = failed();
        let whole = "task 3 of `m::f` failed: the message: the cause: the root";
        assert_eq!(error.to_string(), "task 3 of `m::f` failed");
        assert_eq!(format!("{error:#}"), whole);
        assert_eq!(reported(&error), whole);
        assert_eq!(reported(error.task().unwrap()), whole);
        let lines = "task 3 of `m::f` failed\n  caused by: the message\n  caused by: the cause\n  caused by: the root";
        assert_eq!(format!("{error:?}"), lines);
        assert_eq!(format!("{error:#?}"), lines);
        assert_eq!(
            error.task().unwrap().without_index().to_string(),
            "`m::f` failed: the message: the cause: the root"
        );
    }
}
