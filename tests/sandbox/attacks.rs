//! Every attempt ends as it must, and its parent and the tasks beside it notice nothing.

use std::time::Duration;

use poolmap::{Builder, Output, Pool, Sandbox, StartMethod, TaskError, TaskErrorKind, pool_try_map, worker};

use crate::attempts::{self, Attempt, Ends};
use crate::common;

/// Tries one of the attempts; or, without a name, computes.
#[worker]
fn attack(name: &str) -> i64 {
    if name.is_empty() {
        return (1..=1000).sum();
    }
    let attempt = attempts::all().find(|attempt| attempt.name == name).unwrap();
    (attempt.run)()
}

const COMPUTED: i64 = 500_500;
const MEMORY_LIMIT: u64 = 256 << 20;

/// Attempts on what is not there where messages go over the socket.
const ON_SHARED_MEMORY: [&str; 3] = ["arguments that can be written", "arguments that are gone", "no shared memory"];

/// Makes all attempts, and checks how each ends.
pub(crate) fn attack_all(builder: impl Fn() -> Builder) {
    let there = attempts::all().filter(|attempt| common::shares_memory() || !ON_SHARED_MEMORY.contains(&attempt.name));
    let (limited, others): (Vec<&Attempt>, Vec<&Attempt>) =
        there.partition(|attempt| matches!(attempt.ends, Ends::AtLimit | Ends::Ended | Ends::EndedOrDenied));
    let pool = |workers| builder().workers(workers).memory_limit(MEMORY_LIMIT).build().unwrap();
    make(&pool(2), &others, common::SOON);
    // Most of these only wait for the limit.
    make(&pool(6), &limited, Duration::from_secs(1));
}

/// Makes attempts, each between tasks that compute.
fn make(pool: &Pool, attempts: &[&Attempt], limit: Duration) {
    let names = attempts.iter().flat_map(|attempt| [attempt.name, ""]);
    let outcomes = pool_try_map!(in pool, attack, names; timeout = limit, chunk_size = 1).unwrap();
    let mut wrong = Vec::new();
    for (attempt, outcomes) in attempts.iter().zip(outcomes.chunks(2)) {
        if !ends_so(attempt.ends, &outcomes[0]) {
            wrong.push(format!("{}: {:?} wanted, got {:?}", attempt.name, attempt.ends, shown(&outcomes[0])));
        }
        assert_eq!(outcomes[1].as_ref().ok(), Some(&COMPUTED), "beside {}", attempt.name);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attempts.len(), wrong.join("\n"));
}

fn shown(outcome: &Result<i64, TaskError>) -> String {
    match outcome {
        Ok(value) => format!("Ok({value})"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn ends_so(wanted: Ends, outcome: &Result<i64, TaskError>) -> bool {
    let error = match outcome {
        Ok(value) => {
            return match wanted {
                Ends::Returns(wanted) => *value == wanted,
                Ends::Refused(errno) => *value == -i64::from(errno),
                Ends::Passing => *value < 0,
                _ => false,
            };
        }
        Err(error) => error,
    };
    match (wanted, error.kind()) {
        (Ends::Denied(name), TaskErrorKind::Denied { call: Some(call), .. }) => call == name,
        (Ends::DeniedPath(name, at), TaskErrorKind::Denied { call: Some(call), path: Some(path), .. }) => {
            call == name && path.to_str() == Some(at)
        }
        (Ends::DeniedSomehow, TaskErrorKind::Denied { call: Some(_), .. }) => true,
        (Ends::Passing, TaskErrorKind::Denied { .. } | TaskErrorKind::Crashed { .. }) => true,
        (Ends::DeniedUnnamed, TaskErrorKind::Denied { call: None, path: None, .. }) => true,
        (Ends::Crashed, TaskErrorKind::Crashed { .. }) => true,
        (Ends::Ended | Ends::EndedOrDenied, TaskErrorKind::TimedOut { .. } | TaskErrorKind::Crashed { .. }) => true,
        (Ends::EndedOrDenied, TaskErrorKind::Denied { .. }) => true,
        (Ends::AtLimit, TaskErrorKind::TimedOut { .. } | TaskErrorKind::MemoryLimit { .. }) => true,
        _ => false,
    }
}

#[test]
fn there_are_enough_attempts_and_no_name_stands_twice() {
    let mut names: Vec<&str> = attempts::all().map(|attempt| attempt.name).collect();
    assert!(names.len() >= 300, "{}", names.len());
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[poolmap::test]
fn every_attempt_ends_as_it_must() {
    attack_strict_pool();
}

pub(crate) fn attack_strict_pool() {
    let _guard = common::guard();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "secret").unwrap();
    let builder = || Pool::builder().sandbox(Sandbox::strict());
    let status = builder().workers(1).build().unwrap().sandbox_status();
    assert!(status.is_complete() && (status.separates_network() || status.refused_namespaces().is_some()), "{status}");
    attack_all(builder);
    assert_eq!(std::fs::read(secret.path()).unwrap(), b"secret");
    assert!(!std::path::Path::new("/tmp/poolmap-attack").exists());
}

#[poolmap::test]
fn every_attempt_ends_as_it_must_without_namespaces() {
    let _guard = common::guard();
    let builder = || Pool::builder().sandbox(Sandbox::strict().without_namespaces());
    let status = builder().workers(1).build().unwrap().sandbox_status();
    assert!(status.is_complete() && !status.separates_network(), "{status}");
    attack_all(builder);
}

#[poolmap::test]
fn every_attempt_ends_as_it_must_in_a_copy_of_a_fork_server() {
    attack_copies();
}

pub(crate) fn attack_copies() {
    let _guard = common::guard();
    attack_all(|| {
        let builder = Pool::builder().start_method(StartMethod::ForkServer).output(Output::Captured);
        builder.sandbox(Sandbox::strict())
    });
}
