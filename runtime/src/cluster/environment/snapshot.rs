//! The environment variables of one moment: the decisions are functions of them, so that a table of environments tests them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::sys;

/// Environment variables, by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct EnvironmentSnapshot(BTreeMap<OsString, OsString>);

impl EnvironmentSnapshot {
    /// Those of this process. A program with more rights than its user reads none.
    pub(crate) fn capture() -> Self {
        if sys::is_secure() { Self::default() } else { Self(std::env::vars_os().collect()) }
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Whether a variable is set.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// As the shell's `env` prints them.
    #[cfg(test)]
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self(lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect())
    }
}
