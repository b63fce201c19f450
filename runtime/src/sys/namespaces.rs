//! Namespaces that processes of a pool may enter, as descriptors (namespaces(7)). It enters none.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Which namespaces are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamespaceKinds {
    /// A network with no interface that is up.
    pub(crate) network: bool,
    /// A tree of files with an empty root.
    pub(crate) mounts: bool,
}

/// Namespaces that are open. Each lives as long as a descriptor of it, or a process in it.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// The namespace of users to which the others belong, if that is not the program's.
    pub(crate) users: Option<OwnedFd>,
    /// A network with no interface that is up.
    pub(crate) network: Option<OwnedFd>,
    /// A tree of files with an empty root.
    pub(crate) mounts: Option<OwnedFd>,
}

impl Namespaces {
    /// The descriptors that are there, in their order.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.users, &self.network, &self.mounts].into_iter().flatten().map(AsFd::as_fd)
    }

    /// A bit for each that is there, in their order: how they are announced.
    pub(crate) fn bits(&self) -> u8 {
        let present = [&self.users, &self.network, &self.mounts].map(Option::is_some);
        present.iter().enumerate().fold(0, |bits, (place, &is_there)| bits | u8::from(is_there) << place)
    }

    /// Takes those that were announced; none where one is missing.
    pub(crate) fn take(bits: u8, mut next: impl FnMut() -> Option<OwnedFd>) -> Option<Self> {
        let mut namespaces = Self::default();
        let places = [&mut namespaces.users, &mut namespaces.network, &mut namespaces.mounts];
        for (place, descriptor) in places.into_iter().enumerate() {
            if bits & 1 << place != 0 {
                *descriptor = Some(next()?);
            }
        }
        Some(namespaces)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn those_that_are_announced_are_taken_in_order_and_all_of_them() {
        let open = || Some(OwnedFd::from(File::open("/dev/null").ok()?));
        for bits in 0..8 {
            let taken = Namespaces::take(bits, open).unwrap();
            assert_eq!((taken.bits(), taken.descriptors().count()), (bits, bits.count_ones() as usize));
        }
        let mut two = [open(), open()].into_iter().flatten();
        assert!(Namespaces::take(0b111, || two.next()).is_none());
    }
}
