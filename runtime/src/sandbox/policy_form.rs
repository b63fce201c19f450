//! A policy as bytes: the pools of other machines have that of the program's.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::policy::{NamespaceUse, OnDenial, PathAccess, Requirement, Sandbox};
use crate::codec::{self, message_struct};
use crate::error::{Error, Result};

/// More than a worker can be sent.
const FORM_BYTES_MAX: usize = 1 << 20;

const DENIALS: [OnDenial; 3] = [OnDenial::EndsTask, OnDenial::ReturnsError, OnDenial::IsNoted];

message_struct! {
    struct PolicyForm {
        /// The paths, and whether they may be written.
        paths: Vec<(Vec<u8>, bool)>,
        ports: Vec<u16>,
        threads: u64,
        calls: Vec<String>,
        /// The place of what a denied call does.
        on_denial: u8,
        accepts_missing: bool,
        has_namespaces: bool,
    }
}

impl Sandbox {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let path = |(path, access): &(PathBuf, PathAccess)| {
            (path.clone().into_os_string().into_vec(), *access == PathAccess::Write)
        };
        let form = PolicyForm {
            paths: self.paths.iter().map(path).collect(),
            ports: self.ports.clone(),
            threads: self.threads as u64,
            calls: self.calls.clone(),
            on_denial: DENIALS.iter().position(|denial| *denial == self.on_denial).unwrap_or(0) as u8,
            accepts_missing: self.requirement == Requirement::WhatIsThere,
            has_namespaces: self.namespaces == NamespaceUse::WherePossible,
        };
        let mut bytes = Vec::new();
        codec::encode(&form, &mut bytes, FORM_BYTES_MAX)
            .map_err(|error| Error::invalid_option(format!("`sandbox` has too many paths: {error}")))?;
        Ok(bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let form: PolicyForm =
            codec::decode(bytes).map_err(|error| Error::start(format!("the sandbox of the driver's pool: {error}")))?;
        let path = |(path, is_written): (Vec<u8>, bool)| {
            let access = if is_written { PathAccess::Write } else { PathAccess::Read };
            (PathBuf::from(OsString::from_vec(path)), access)
        };
        Ok(Self {
            paths: form.paths.into_iter().map(path).collect(),
            ports: form.ports,
            threads: usize::try_from(form.threads).unwrap_or(usize::MAX),
            calls: form.calls,
            on_denial: DENIALS.get(usize::from(form.on_denial)).copied().unwrap_or(OnDenial::EndsTask),
            requirement: if form.accepts_missing { Requirement::WhatIsThere } else { Requirement::Every },
            namespaces: if form.has_namespaces { NamespaceUse::WherePossible } else { NamespaceUse::Never },
        })
    }
}
