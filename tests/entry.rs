//! How a program lets its workers in: `main`, by hand, tests, and what happens where it does not.

mod common;

use common::{program, run, text};
use poolmap::{pool_map, worker};

const SCENARIO: &str = env!("CARGO_BIN_EXE_scenario");

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

#[worker]
fn speak(task: u32) {
    println!("task {task} speaks");
}

#[poolmap::test]
fn a_test_may_return_a_result() -> poolmap::Result<()> {
    let _guard = common::guard();
    assert_eq!(pool_map!(double, [1, 2])?, [2, 4]);
    Ok(())
}

#[poolmap::test]
#[should_panic(expected = "as it should")]
fn a_test_may_have_to_panic() {
    let _guard = common::guard();
    assert_eq!(pool_map!(double, [1, 2]).unwrap(), [2, 4]);
    panic!("as it should");
}

#[poolmap::test]
#[ignore = "it is run by `nothing_of_libtest_reaches_the_output`"]
fn an_ignored_test_that_speaks() {
    let _guard = common::guard();
    pool_map!(speak, 0..2).unwrap();
}

#[poolmap::test]
fn nothing_of_libtest_reaches_the_output() {
    let _guard = common::guard();
    let mut command = program(std::env::current_exe().unwrap().to_str().unwrap());
    command.args(["an_ignored_test_that_speaks", "--exact", "--ignored", "--nocapture"]);
    let output = run(command.env("POOLMAP_WORKERS", "2"));
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert_eq!(stdout.matches("running 1 test").count(), 1, "{stdout}");
    assert_eq!(stdout.matches("test result").count(), 1, "{stdout}");
    for task in 0..2 {
        assert!(stdout.contains(&format!("task {task} speaks\n")), "{stdout}");
    }
}

mod nested {
    use super::*;

    #[poolmap::test]
    fn a_test_in_a_module_lets_workers_in() {
        let _guard = common::guard();
        assert_eq!(pool_map!(double, [21]).unwrap(), [42]);
    }
}

#[test]
fn what_a_task_prints_stands_before_what_the_parent_prints_after_it() {
    let _guard = common::guard();
    let output = run(program(SCENARIO).arg("speak").env("POOLMAP_WORKERS", "1"));
    let said = "task 0 speaks\ntask 1 speaks\ntask 2 speaks\nthe parent speaks\n";
    assert_eq!((text(&output.stdout), text(&output.stderr)), (said.to_owned(), String::new()));
}

#[test]
fn without_init_there_is_no_pool_and_main_runs_once() {
    let _guard = common::guard();
    let output = run(&mut program(env!("CARGO_BIN_EXE_no_init")));
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert_eq!(stdout.matches("main runs").count(), 1, "{stdout}");
    assert!(
        stdout.contains("true poolmap was not initialized in this process: put #[poolmap::main] above"),
        "{stdout}"
    );
    assert!(stdout.ends_with("true\n"), "{stdout}");
}

#[test]
fn a_pool_inside_a_task_works_and_the_depth_is_limited() {
    let _guard = common::guard();
    let output = run(program(SCENARIO).arg("nest").env("POOLMAP_WORKERS", "1"));
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("[4]\n".to_owned(), String::new()));
}

#[test]
fn a_worker_that_does_not_get_ready_is_an_error_that_says_why() {
    let _guard = common::guard();
    let cases = [
        ("exit", "ended before it was ready, with exit code 3"),
        ("abort", "ended before it was ready, killed by signal 6"),
        ("sleep", "was not ready within 500ms"),
    ];
    for (mode, said) in cases {
        let folder = tempfile::tempdir().unwrap();
        let output = run(program(env!("CARGO_BIN_EXE_late_init")).arg(mode).arg(folder.path().join("first")));
        let stdout = text(&output.stdout);
        assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
        assert!(stdout.starts_with("true worker ") && stdout.contains(said), "{stdout}");
        assert!(stdout.contains("call init() first in `main`"), "{stdout}");
    }
}

#[test]
fn a_program_whose_file_is_gone_or_replaced_goes_on_as_it_is() {
    let _guard = common::guard();
    for replacement in [None, Some(env!("CARGO_BIN_EXE_no_init"))] {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        std::fs::copy(SCENARIO, &copy).unwrap();
        let output = run(program(copy.to_str().unwrap()).arg("without its file").args(replacement));
        assert_eq!(text(&output.stdout), "[2, 4, 6]\n", "{}", text(&output.stderr));
        assert_eq!(copy.exists(), replacement.is_some());
    }
}

#[test]
fn too_few_descriptors_are_an_error_and_what_was_started_is_reaped() {
    let _guard = common::guard();
    // A start takes two more for a moment with musl, whose posix_spawn has a pipe.
    let (least, cause) =
        if cfg!(target_env = "musl") { (16, "No file descriptors available") } else { (14, "Too many open files") };
    for most in [least, 20, 40] {
        let output = run(program(SCENARIO).args(["few descriptors", &most.to_string()]));
        let stdout = text(&output.stdout);
        assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
        assert!(stdout.contains("true worker ") && stdout.contains(cause), "{stdout}");
        assert!(stdout.contains("`ulimit -n`") && stdout.ends_with("Ok([2, 4, 6])\n"), "{stdout}");
    }
}

#[test]
fn the_environment_sets_the_size_of_the_global_pool() {
    let _guard = common::guard();
    let global = |value: &str| text(&run(program(SCENARIO).arg("global size").env("POOLMAP_WORKERS", value)).stdout);
    assert_eq!(global("3"), "3\n");
    for bad in ["0", "many", "-1", "4097", "", "1.5"] {
        let said = global(bad);
        assert!(
            said.contains("POOLMAP_WORKERS must be a number from 1 to 4096") && said.contains(&format!("got `{bad}`")),
            "{said}"
        );
    }
    let unset = text(&run(program(SCENARIO).arg("global size")).stdout);
    assert_eq!(unset, format!("{}\n", poolmap::cpu_count()));
}

#[test]
fn what_short_tasks_print_is_written_while_the_pool_lives() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stdout");
    let mut child = program(SCENARIO).arg("dots").stdout(std::fs::File::create(&path).unwrap()).spawn().unwrap();
    common::wait_until("all dots are there", || std::fs::read(&path).unwrap().len() == 5003);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_environment_says_how_things_travel() {
    let _guard = common::guard();
    let global = |value: &str| text(&run(program(SCENARIO).arg("global size").env("POOLMAP_TRANSPORT", value)).stdout);
    for good in ["memory", "socket"] {
        assert_eq!(global(good), format!("{}\n", poolmap::cpu_count()));
    }
    let said = global("pigeon");
    assert!(said.contains("POOLMAP_TRANSPORT must be") && said.contains("\"socket\", got \"pigeon\""), "{said}");
}

/// The program is built by a step of its own, as no test waits for cargo under a time limit: `.ci/run` does it, and names it here.
#[test]
fn a_panic_under_abort_arrives_with_its_message() {
    let _guard = common::guard();
    let Some(scenario) = std::env::var_os("POOLMAP_ABORT_SCENARIO") else {
        eprintln!(
            "SKIPPED: build it by `cargo build --profile abort --bin scenario`, and name it by \
             POOLMAP_ABORT_SCENARIO=$PWD/target/abort/scenario"
        );
        return;
    };
    let output = run(program(scenario.to_str().expect("a path in UTF-8")).arg("panic"));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let said = format!("{}\n{stdout}\n{stderr}", output.status);
    assert!(
        stdout.starts_with(
            "task 0 of `scenario::panic_with` (message: \"the message\") panicked at tests/bin/scenario.rs:"
        ),
        "{said}"
    );
    assert!(stdout.ends_with(": the message\n") && output.status.success(), "{said}");
}
