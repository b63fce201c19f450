//! A program that never calls `init()`, for POOLMAP_IN_PROCESS: it prints what its maps give, or what its argument names.

use poolmap::{Pool, Process, pool_map, pool_try_map, worker};

#[worker]
fn check(x: u32) -> u32 {
    assert!(x != 2, "two");
    x + 1
}

fn main() {
    let what = std::env::args().nth(1).unwrap();
    let shown = match what.as_str() {
        "map" => pool_map!(check, [1, 3, 5]).map(|outputs| format!("{outputs:?}")),
        "panic" => {
            std::panic::set_hook(Box::new(|info| println!("hooked: {}", info.payload_as_str().unwrap())));
            let outcomes = pool_try_map!(check, [1, 2]).unwrap();
            let _ = std::panic::catch_unwind(|| panic!("not in a task"));
            Ok(outcomes[1].as_ref().unwrap_err().to_string())
        }
        "option" => Pool::builder().memory_limit(1 << 30).build().map(|_| "a pool".to_owned()),
        "timeout" => pool_map!(check, [1]; timeout = std::time::Duration::from_secs(1)).map(|_| "a map".to_owned()),
        "process" => Process::new(check { x: 1 }).start().map(|_| "a process".to_owned()),
        _ => panic!("{what}"),
    };
    match shown {
        Ok(shown) => println!("{shown}"),
        Err(error) => println!("{}: {error}", if error.is_invalid_option() { "invalid option" } else { "other" }),
    }
}
