//! The namespaces of a pool's workers, as the wall behind the others: which ones a policy leaves room for, and the status of those that
//! were made. Where the system refuses them, the other walls hold without.

use super::policy::{NamespaceUse, Sandbox};
use super::status::SandboxStatus;
use crate::sys::{self, NamespaceKinds, Namespaces};

/// The namespaces that workers are to enter. A worker that may connect to a port needs the network of the program, and one that may open a
/// path its files.
pub(super) fn wanted(policy: &Sandbox) -> NamespaceKinds {
    let is_possible = sys::HAS_SANDBOX && policy.namespaces == NamespaceUse::WherePossible;
    NamespaceKinds { network: is_possible && policy.ports.is_empty(), mounts: is_possible && policy.paths.is_empty() }
}

/// Notes in the status which namespaces workers enter; and why some are missing, if some are.
pub(super) fn note((made, why_missing): (&Namespaces, Option<&str>), status: &mut SandboxStatus) {
    status.separates_network = made.network.is_some();
    status.separates_files = made.mounts.is_some();
    status.refused_namespaces = why_missing.map(str::to_owned);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opener_leaves_its_namespace_out() {
        if !sys::HAS_SANDBOX {
            return;
        }
        let kinds = |policy: Sandbox| {
            let NamespaceKinds { network, mounts } = wanted(&policy);
            (network, mounts)
        };
        let strict = Sandbox::strict();
        assert_eq!(kinds(strict.clone()), (true, true));
        assert_eq!(kinds(strict.clone().connect(443)), (false, true));
        assert_eq!(kinds(strict.clone().read("/")), (true, false));
        assert_eq!(kinds(strict.clone().connect(443).write("/tmp")), (false, false));
        assert_eq!(kinds(strict.without_namespaces()), (false, false));
    }
}
