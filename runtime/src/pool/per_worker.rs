//! What each worker of a pool is started with beside what all have: variables, CPUs, and the name that it is shown by.

use std::ffi::{CString, OsString};
use std::fmt;
use std::sync::Arc;

use crate::child::Particulars;
use crate::error::{Error, Result};
use crate::locks::{Lock, Rank, Ranked};
use crate::sys;

/// Which CPUs a worker may use ([`Builder::affinity`](crate::Builder::affinity)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Affinity {
    /// One CPU for each worker: worker `i` has the `i`th of those that this process may use, and with more workers than CPUs they go
    /// round.
    OneCore,
    /// As many even shares of the CPUs as there are workers. With more workers than CPUs each has one.
    Spread,
}

impl Affinity {
    /// The CPUs of the worker with an index, out of those that the program may use; `workers` is how many the pool was built with.
    fn share(self, allowed: &[usize], workers: usize, index: usize) -> &[usize] {
        let count = allowed.len();
        match self {
            _ if count == 0 => allowed,
            Self::Spread if workers < count => {
                let place = index % workers;
                &allowed[place * count / workers..(place + 1) * count / workers]
            }
            Self::OneCore | Self::Spread => std::slice::from_ref(&allowed[index % count]),
        }
    }
}

/// A program's function from a worker's index to its variables.
#[derive(Clone)]
pub(crate) struct EachEnvironment(Arc<dyn Fn(usize) -> Vec<(OsString, OsString)> + Send + Sync>);

impl EachEnvironment {
    pub(super) fn new<N: Into<OsString>, V: Into<OsString>, I: IntoIterator<Item = (N, V)>>(
        variables: impl Fn(usize) -> I + Send + Sync + 'static,
    ) -> Self {
        let into = |(name, value): (N, V)| (name.into(), value.into());
        Self(Arc::new(move |worker| variables(worker).into_iter().map(into).collect()))
    }

    /// What the program says of a worker.
    pub(super) fn pairs(&self, worker: usize) -> Vec<(OsString, OsString)> {
        (self.0)(worker)
    }

    /// Asks for the variables of a worker.
    fn of(&self, worker: usize) -> Result<Arc<[CString]>> {
        let Self(variables) = self;
        let assigned = |(name, value): (OsString, OsString)| match sys::variable_mistake(&name, &value) {
            Some(mistake) => Err(Error::invalid_option(format!("`env_for_each` of worker {worker} {mistake}"))),
            None => Ok(sys::assignment(name, value)),
        };
        variables(worker).into_iter().filter_map(|variable| assigned(variable).transpose()).collect()
    }
}

impl fmt::Debug for EachEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EachEnvironment")
    }
}

/// What each worker of a pool has by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct PerWorker {
    pub(super) each: Option<EachEnvironment>,
    pub(super) affinity: Option<Affinity>,
    /// The CPUs that are shared out by the affinity.
    pub(super) allowed_cpus: Vec<usize>,
    pub(super) name: Option<String>,
}

impl PerWorker {
    /// The name that the fork server is shown by.
    pub(super) fn server_name(&self) -> Option<String> {
        self.name.as_ref().map(|name| format!("{name} server"))
    }

    /// What the worker with an index is started with, in a pool that was built with so many.
    pub(super) fn of(&self, index: usize, workers: usize, environments: &Environments) -> Particulars {
        let cpus = self.affinity.map(|affinity| affinity.share(&self.allowed_cpus, workers, index));
        Particulars {
            index,
            name: self.name.as_ref().map(|name| shown_name(name, index)),
            variables: environments.of(index),
            cpus: cpus.map(<[usize]>::to_vec).unwrap_or_default(),
            ..Particulars::default()
        }
    }
}

/// The variables of each worker that the program was asked for, by its index.
#[derive(Debug, Default)]
pub(super) struct Environments(Lock<Asked>);

type Asked = Vec<Arc<[CString]>>;

impl Ranked for Asked {
    const RANK: Rank = Rank::Environments;
}

impl Environments {
    /// Asks the program for the variables of so many workers, of each once. It runs the program's code, so no lock is held.
    ///
    /// # Errors
    ///
    /// A variable has no name, or another that cannot be.
    pub(super) fn ask(&self, each: Option<&EachEnvironment>, workers: usize) -> Result<()> {
        let Some(each) = each else {
            return Ok(());
        };
        loop {
            let asked = self.0.lock().len();
            if asked >= workers {
                return Ok(());
            }
            let next = each.of(asked)?;
            let mut environments = self.0.lock();
            // Another thread may have asked meanwhile.
            if environments.len() == asked {
                environments.push(next);
            }
        }
    }

    fn of(&self, worker: usize) -> Arc<[CString]> {
        self.0.lock().get(worker).cloned().unwrap_or_default()
    }
}

/// So many bytes of a name are shown.
const NAME_BYTES_MAX: usize = 15;

/// The name of a worker: that of the pool, cut so that the worker's index is shown.
fn shown_name(name: &str, index: usize) -> String {
    let index = format!(" {index}");
    let mut end = name.len().min(NAME_BYTES_MAX - index.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{index}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_goes_round_the_cpus_that_are_allowed() {
        let shares: Vec<_> = (0..5).map(|worker| Affinity::OneCore.share(&[2, 3, 8], 5, worker)).collect();
        assert_eq!(shares, [[2], [3], [8], [2], [3]]);
    }

    #[test]
    fn spread_gives_each_cpu_to_one_worker() {
        let allowed = [0, 1, 2, 3, 6, 7, 9];
        for workers in 1..=7 {
            let shares: Vec<_> = (0..workers).map(|worker| Affinity::Spread.share(&allowed, workers, worker)).collect();
            assert_eq!(shares.concat(), allowed, "{workers}");
            let (least, most) =
                (shares.iter().map(|share| share.len()).min(), shares.iter().map(|share| share.len()).max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{workers}");
        }
        assert_eq!(Affinity::Spread.share(&allowed, 3, 4), Affinity::Spread.share(&allowed, 3, 1));
        assert_eq!(Affinity::Spread.share(&[4, 5], 3, 2), [4]);
    }

    #[test]
    fn a_long_name_is_cut_before_the_index() {
        assert_eq!(shown_name("thumbs", 3), "thumbs 3");
        assert_eq!(shown_name("a very long name indeed", 4095), "a very lon 4095");
        assert_eq!(shown_name("ääääääää", 10), "ääääää 10");
    }

    #[test]
    fn the_program_is_asked_once_for_each_worker() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let each = EachEnvironment::new(|worker| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            [("GPU", worker.to_string())]
        });
        let environments = Environments::default();
        for workers in [2, 1, 4] {
            environments.ask(Some(&each), workers).unwrap();
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), 4);
        assert_eq!(environments.of(3)[..], [c"GPU=3".to_owned()]);
        assert!(environments.of(4).is_empty());
    }
}
