//! The fabric under real launchers: this test program is started by `mpirun` and `mpiexec.hydra`, as the ranks of a job that run one
//! scenario each (`scenarios`).
//!
//! Where there is no launcher, the tests say so and pass; `POOLMAP_TEST_REQUIRE=mpi` makes that a failure. `POOLMAP_TEST_OPENMPI` and
//! `POOLMAP_TEST_HYDRA` name other launchers, and `POOLMAP_TEST_MPI_MIB` the size of the largest body.

mod job;
mod scenarios;

use job::{JobLauncher, Launched};

/// Runs a scenario under each launcher there is.
fn each(scenario: &str, check: impl Fn(Launched)) {
    for launcher in job::launchers() {
        check(launcher.run(scenario, &[]));
    }
}

/// All ranks have come to the end of the scenario, and the launcher is content.
fn succeeds(launched: Launched) {
    let Launched { code, said, ranks } = launched;
    assert_eq!(code, Some(0), "{said}");
    for rank in 0..ranks {
        assert!(said.contains(&format!("rank {rank} is done")), "{said}");
    }
}

#[test]
fn messages_go_back_and_forth() {
    each("ping_pong", succeeds);
}

#[test]
fn ten_thousand_messages_keep_their_order_both_ways() {
    each("many_small", succeeds);
}

#[test]
fn a_body_of_many_segments_arrives_whole() {
    each("segments", succeeds);
}

#[test]
fn large_messages_cross_without_waiting_for_each_other() {
    each("crossing", succeeds);
}

#[test]
fn an_idle_fabric_polls_rarely() {
    each("idle", |launched| {
        for line in launched.said.lines().filter(|line| line.contains("CPU")) {
            eprintln!("{line}");
        }
        succeeds(launched);
    });
}

#[test]
fn what_a_peer_may_not_send_makes_it_lost_and_the_others_go_on() {
    each("hostile", |launched| {
        // Of a job that is aborted, a launcher may lose what was printed last: the code says how the driver came to its end.
        assert_eq!(launched.code, Some(scenarios::SEEN_THE_END), "{}", launched.said);
    });
}

#[test]
fn an_agent_that_ends_early_is_an_event_and_the_end_is_clean() {
    each("early_end", succeeds);
}

#[test]
fn an_abort_ends_every_rank_with_its_code() {
    each("abort", |launched| assert_eq!(launched.code, Some(7), "{}", launched.said));
}

#[test]
fn a_peer_that_never_ends_does_not_keep_the_others() {
    each("silent", |launched| {
        assert_eq!(launched.code, Some(3), "{}", launched.said);
        assert!(!launched.said.contains("is done"), "{}", launched.said);
    });
}

#[test]
fn mpi_starts_once_in_a_process() {
    each("twice", succeeds);
}

#[test]
fn the_library_of_another_mpi_than_the_launchers_is_refused() {
    for launcher in job::launchers() {
        let other = match launcher {
            JobLauncher::OpenMpi(_) => "libmpich.so.12",
            JobLauncher::Hydra(_) => "libmpi.so.40",
        };
        if !job::can_load(other) {
            job::skip(&format!("{other} is not there"));
            continue;
        }
        let launched = launcher.run("ping_pong", &[("POOLMAP_MPI_LIB", other)]);
        assert_eq!(launched.code, Some(2), "{}", launched.said);
        let said = "the launcher has started 3 processes, and MPI connects 1";
        assert!(launched.said.contains(said) && launched.said.contains(other), "{}", launched.said);
    }
}

#[test]
fn a_library_that_is_missing_is_refused() {
    each_with("ping_pong", &[("POOLMAP_MPI_LIB", "/no/such/libmpi.so")], |launched| {
        assert_eq!(launched.code, Some(2), "{}", launched.said);
        assert!(launched.said.contains("/no/such/libmpi.so"), "{}", launched.said);
    });
}

#[test]
fn a_lone_rank_has_the_cpus_of_its_launcher() {
    for launcher in job::launchers() {
        let launched = launcher.run_ranks(1, "binding", &[("OMPI_MCA_hwloc_base_binding_policy", "core")]);
        // This test has the CPUs that the launcher inherits from it.
        let cpus = crate::sys::allowed_cpus().map(|cpus| cpus.len());
        let said = format!("CPUs as the launcher has them: {cpus:?}");
        assert!(launched.said.contains(&said) && launched.code == Some(0), "{}", launched.said);
    }
}

fn each_with(scenario: &str, variables: &[(&str, &str)], check: impl Fn(Launched)) {
    for launcher in job::launchers() {
        check(launcher.run(scenario, variables));
    }
}
