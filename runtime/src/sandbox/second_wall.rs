//! The namespaces of a pool's workers, as the wall behind the others: which ones a policy leaves room for, and the status of those that
//! were made. Where the system refuses them, the other walls hold without.

use super::policy::{NamespaceUse, Sandbox};
use super::status::SandboxStatus;
use crate::sys::{self, Namespaces};

/// The namespaces that workers are to enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SecondWall {
    network: bool,
    mounts: bool,
}

impl SecondWall {
    /// A worker that may connect to a port needs the network of the program, and one that may open a path its files.
    pub(super) fn of(policy: &Sandbox) -> Self {
        let is_possible = sys::HAS_SANDBOX && policy.namespaces == NamespaceUse::WherePossible;
        Self { network: is_possible && policy.ports.is_empty(), mounts: is_possible && policy.paths.is_empty() }
    }

    /// Keeps those of the namespaces that workers are to enter, and notes in the status which these are; `why_missing` says why some were not
    /// made.
    pub(super) fn keep(
        self,
        made: Namespaces,
        why_missing: Option<String>,
        status: &mut SandboxStatus,
    ) -> Option<Namespaces> {
        let Namespaces { users, network, mounts } = made;
        let (network, mounts) = (network.filter(|_| self.network), mounts.filter(|_| self.mounts));
        status.separates_network = network.is_some();
        status.separates_files = mounts.is_some();
        let is_one_missing = (self.network && network.is_none()) || (self.mounts && mounts.is_none());
        let unknown = || "no reason was given".to_owned();
        status.refused_namespaces = is_one_missing.then(|| why_missing.unwrap_or_else(unknown));
        (network.is_some() || mounts.is_some()).then_some(Namespaces { users, network, mounts })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    fn made() -> Namespaces {
        let open = || Some(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        Namespaces { users: open(), network: open(), mounts: open() }
    }

    fn with(policy: &Sandbox, made: Namespaces, why: Option<&str>) -> (bool, bool, Option<String>, u8) {
        let mut status = SandboxStatus::default();
        let kept = SecondWall::of(policy).keep(made, why.map(str::to_owned), &mut status);
        let bits = kept.map_or(0, |namespaces| namespaces.bits());
        (status.separates_network, status.separates_files, status.refused_namespaces, bits)
    }

    #[test]
    fn an_opener_leaves_its_namespace_out_and_a_refusal_is_said() {
        if !sys::HAS_SANDBOX {
            return;
        }
        let strict = Sandbox::strict().namespaces();
        assert_eq!(with(&strict, made(), None), (true, true, None, 0b111));
        assert_eq!(with(&strict.clone().connect(443), made(), None), (false, true, None, 0b101));
        assert_eq!(with(&strict.clone().read("/"), made(), None), (true, false, None, 0b011));
        let refusal = Some("refused".to_owned());
        assert_eq!(with(&strict, Namespaces::default(), Some("refused")), (false, false, refusal.clone(), 0));
        let network_alone = Namespaces { mounts: None, ..made() };
        assert_eq!(with(&strict, network_alone, Some("refused")), (true, false, refusal, 0b011));
        // What is not asked for is not missed.
        let network_alone = Namespaces { mounts: None, ..made() };
        assert_eq!(with(&strict.clone().read("/"), network_alone, Some("refused")), (true, false, None, 0b011));
        for closed in [Sandbox::strict(), strict.connect(443).read("/")] {
            assert_eq!(SecondWall::of(&closed), SecondWall::default());
        }
    }
}
