//! `#[poolmap::test]` above a runtime's test attribute: workers enter before the runtime is started.

mod common;

use std::time::Duration;

use poolmap::{pool_map, worker};

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

/// It is the first by its name, so that plain tests enter by it.
#[poolmap::test]
#[tokio::test]
async fn a_first_test_under_tokio() {
    let _guard = common::guard();
    let pool = common::pool(2);
    let doubled = pool.submit(double { x: 21 }).unwrap().await.unwrap();
    assert_eq!(doubled, 42);
}

#[poolmap::test]
#[tokio::test(flavor = "current_thread")]
async fn a_test_with_options_of_its_runtime() -> poolmap::Result<()> {
    let _guard = common::guard();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(pool_map!(double, [1, 2])?, [2, 4]);
    Ok(())
}

#[poolmap::test]
#[tokio::test]
#[should_panic(expected = "as it must")]
async fn a_test_that_panics() {
    let _guard = common::guard();
    assert_eq!(pool_map!(double, [1, 2]).unwrap(), [2, 4]);
    panic!("as it must");
}

#[poolmap::test]
#[tokio::test]
#[ignore = "it is run by `an_ignored_test_is_ignored`"]
async fn ignored_one() {
    let _guard = common::guard();
    assert_eq!(pool_map!(double, [1]).unwrap(), [2]);
}

#[poolmap::test]
fn an_ignored_test_is_ignored() {
    let _guard = common::guard();
    let own = std::env::current_exe().unwrap();
    for (arguments, said) in
        [(&["ignored_one", "--exact"][..], "1 ignored"), (&["ignored_one", "--ignored"], "1 passed")]
    {
        let output = common::run(common::program(own.to_str().unwrap()).args(arguments));
        let stdout = common::text(&output.stdout);
        assert!(output.status.success() && stdout.contains(said), "{stdout}");
    }
}

mod within {
    #[poolmap::test(crate = ::poolmap)]
    #[tokio::test]
    #[cfg_attr(all(), ignore = "it is run by hand")]
    async fn a_test_in_a_module() {
        assert_eq!(poolmap::pool_map!(super::double, [1]).unwrap(), [2]);
    }
}

#[test]
fn a_plain_test_beside_them() {
    let _guard = common::guard();
    assert_eq!(pool_map!(double, [1, 2]).unwrap(), [2, 4]);
}
