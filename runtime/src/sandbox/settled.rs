//! A policy that was checked, against the walls that the system has: as the bytes that workers are sent, and as the status.

use std::fs::File;
use std::sync::Arc;

use super::policy::{OnDenial, Requirement, Sandbox};
use super::second_wall;
use super::status::SandboxStatus;
use super::suggestion::suggestion;
use crate::error::{Error, Result};
use crate::sys::{self, LazyNamespaces, NamespaceKinds};

/// The part of its sandbox that a pool keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    /// The bytes that each worker is sent; none where no wall is to be raised.
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) status: SandboxStatus,
    /// Where workers note the calls that would be denied, if they only do that.
    pub(crate) notes: Option<Arc<File>>,
    /// The namespaces that workers enter, if they are to enter some.
    pub(crate) namespaces: Option<Arc<LazyNamespaces>>,
}

impl Settled {
    /// The line of a builder that opens what tasks have needed so far, if that is noted.
    pub(crate) fn suggestion(&self) -> Option<String> {
        self.notes.as_ref().map(|notes| suggestion(notes).unwrap_or_else(|error| error.to_string()))
    }

    /// The status at this moment; `waits` says whether it waits for namespaces that are in the making.
    pub(crate) fn status(&self, waits: bool) -> SandboxStatus {
        let mut status = SandboxStatus { suggestion: self.suggestion(), ..self.status.clone() };
        let namespaces = self.namespaces.as_ref();
        if let Some(made) = namespaces.and_then(|made| if waits { Some(made.get()) } else { made.known() }) {
            second_wall::note(made, &mut status);
        }
        status
    }
}

/// The kernel's name of the versions of landlock(7), and what comes with them.
const TRUNCATION: u32 = 3;
const TCP: u32 = 4;

/// Checks a policy, and compiles it for this system, and for workers that begin with several threads or with one.
///
/// # Errors
///
/// The policy has a value that is not allowed, or a wall is missing.
pub(crate) fn settle(policy: &Sandbox, have_threads: bool) -> Result<Settled> {
    policy.check()?;
    if policy.on_denial == OnDenial::IsNoted {
        return settle_noting(policy);
    }
    let filters_calls = sys::can_filter_calls();
    let landlock = sys::landlock_version();
    let missing = missing(policy, filters_calls, landlock);
    if let (Requirement::Every, Some(first)) = (policy.requirement, missing.first()) {
        return Err(Error::invalid_option(format!(
            "`sandbox` cannot hold on this system: {first}; `Sandbox::best_effort()` accepts that"
        )));
    }
    let status = SandboxStatus { is_set: true, filters_calls, landlock, missing, ..SandboxStatus::default() };
    let bytes = bytes(policy, &status)?;
    let wanted = Some(second_wall::wanted(policy)).filter(|wanted| *wanted != NamespaceKinds::default());
    let namespaces = wanted.map(|wanted| LazyNamespaces::begin(wanted, have_threads));
    Ok(Settled { bytes, status, namespaces, ..Settled::default() })
}

/// The same for a policy that raises no wall.
fn settle_noting(policy: &Sandbox) -> Result<Settled> {
    if !sys::can_ask_about_calls() {
        let why =
            "`Sandbox::log_only` needs a kernel that asks about system calls (seccomp_unotify(2), Linux 5.5 or newer)";
        return Err(Error::invalid_option(why));
    }
    let notes = sys::appended_file().map_err(|error| Error::start(sys::start_error("a pool", &error)))?;
    let missing = vec!["every wall, as calls are only noted (`Sandbox::log_only`)".to_owned()];
    let status = SandboxStatus { is_set: true, missing, ..SandboxStatus::default() };
    Ok(Settled { bytes: bytes(policy, &status)?, status, notes: Some(Arc::new(notes)), ..Settled::default() })
}

/// The walls that the policy needs, and the system has not got.
fn missing(policy: &Sandbox, filters_calls: bool, landlock: Option<u32>) -> Vec<String> {
    let mut missing = Vec::new();
    if !sys::HAS_SANDBOX {
        missing.push("a sandbox needs Linux on x86-64 or aarch64".to_owned());
        return missing;
    }
    if !filters_calls {
        let why = "the kernel, or the container that this runs in, refuses filters of system calls (seccomp(2))";
        missing.push(why.to_owned());
    }
    let needed = match (policy.ports.is_empty(), policy.paths.is_empty()) {
        (false, _) => TCP,
        (true, false) => TRUNCATION,
        (true, true) => 1,
    };
    match landlock {
        None => missing.push(
            "the kernel has no Landlock (Linux 5.13 or newer, with `landlock` in its list of security modules), or the container \
             that this runs in refuses it"
                .to_owned(),
        ),
        Some(version) if version < needed => missing.push(format!(
            "what it opens needs Landlock in version {needed}, and the kernel has version {version}"
        )),
        Some(_) => {}
    }
    missing
}

#[cfg(poolmap_sandbox)]
fn bytes(policy: &Sandbox, status: &SandboxStatus) -> Result<Arc<[u8]>> {
    super::enter::SandboxForm::new(policy, status)?.to_bytes().map(Arc::from)
}

/// No wall is to be raised, and nobody knows how.
#[cfg(not(poolmap_sandbox))]
fn bytes(_policy: &Sandbox, _status: &SandboxStatus) -> Result<Arc<[u8]>> {
    Ok(Arc::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        if !sys::HAS_SANDBOX {
            assert_eq!(missing(&Sandbox::strict(), false, None).len(), 1);
            return;
        }
        let strict = Sandbox::strict();
        assert!(missing(&strict, true, Some(1)).is_empty());
        assert!(missing(&strict, false, Some(7))[0].contains("seccomp"));
        assert!(missing(&strict, true, None)[0].contains("no Landlock"));
        let reads = Sandbox::strict().read("/");
        assert!(missing(&reads, true, Some(2))[0].contains("version 3, and the kernel has version 2"));
        assert!(missing(&reads, true, Some(3)).is_empty());
        let connects = Sandbox::strict().connect(443);
        assert!(missing(&connects, true, Some(3))[0].contains("version 4"));
        assert_eq!(missing(&strict, false, None).len(), 2);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_name() {
        let refused = |policy: Sandbox| settle(&policy.best_effort(), false).unwrap_err();
        for (policy, named) in [
            (Sandbox::strict().read("etc"), "`Sandbox::read` must be an absolute path, got \"etc\""),
            (Sandbox::strict().write("/no/such/folder"), "`Sandbox::write` must be a path that is there"),
            (Sandbox::strict().connect(0), "`Sandbox::connect` must be 1 to 65535, got 0"),
            (Sandbox::strict().threads(5000), "`Sandbox::threads` must be at most 4096, got 5000"),
        ] {
            let error = refused(policy);
            assert!(error.is_invalid_option() && error.to_string().contains(named), "{error}");
        }
        if sys::HAS_SANDBOX {
            let error = refused(Sandbox::strict().allow("fly"));
            assert!(error.is_invalid_option() && error.to_string().contains("got \"fly\""), "{error}");
        }
    }
}
