//! The wall around files, ports, signals and sockets, as landlock(7) builds it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};

use super::policy::PathAccess;

/// What a path that is open for reading allows, and what one for writing does besides.
const READ: [AccessFs; 2] = [AccessFs::ReadFile, AccessFs::ReadDir];
const WRITE: [AccessFs; 7] = [
    AccessFs::WriteFile,
    AccessFs::Truncate,
    AccessFs::MakeReg,
    AccessFs::MakeDir,
    AccessFs::RemoveFile,
    AccessFs::RemoveDir,
    AccessFs::Refer,
];

/// The rules of a worker, for the kernel's version of Landlock: everything that it can close is closed but for these paths, and for
/// connections to these ports.
pub(super) fn ruleset<'a>(
    version: u32,
    paths: impl IntoIterator<Item = (&'a Path, PathAccess)>,
    ports: &[u16],
) -> io::Result<OwnedFd> {
    let abi = ABI::from(i32::try_from(version).unwrap_or(i32::MAX));
    let mut rules = create(abi).map_err(io::Error::other)?;
    for (path, access) in paths {
        let open = PathFd::new(path)
            .map_err(|error| io::Error::other(format!("its sandbox could not open {}: {error}", path.display())))?;
        let is_folder = path.metadata()?.is_dir();
        let rule = PathBeneath::new(open, allowed(access, is_folder, abi));
        rules = rules.add_rule(rule).map_err(io::Error::other)?;
    }
    for &port in ports.iter().filter(|_| abi >= ABI::V4) {
        rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp)).map_err(io::Error::other)?;
    }
    Option::<OwnedFd>::from(rules).ok_or_else(|| io::Error::other("the kernel has no Landlock any more"))
}

fn create(abi: ABI) -> Result<RulesetCreated, landlock::RulesetError> {
    let mut rules =
        Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::from_all(abi))?;
    if abi >= ABI::V4 {
        rules = rules.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?;
    }
    if abi >= ABI::V6 {
        rules = rules.scope(Scope::AbstractUnixSocket | Scope::Signal)?;
    }
    rules.create()
}

/// What may be done with a path. The kernel refuses rights of folders for a file.
fn allowed(access: PathAccess, is_folder: bool, abi: ABI) -> BitFlags<AccessFs> {
    let mut rights: BitFlags<AccessFs> = READ.into_iter().collect();
    if access == PathAccess::Write {
        rights |= WRITE.into_iter().collect::<BitFlags<AccessFs>>();
    }
    rights & if is_folder { AccessFs::from_all(abi) } else { AccessFs::from_file(abi) }
}
