//! Which input failed: the error of a task names its arguments, and gives them back. A secret is in no text.
use std::time::Duration;

use poolmap::{Pool, pool_try_map, worker};

#[worker]
fn resize(path: &str, width: u32) -> Result<u32, String> {
    if path.ends_with(".jpg") { Ok(width * width) } else { Err("no picture".into()) }
}

#[worker]
fn upload(path: &str, #[redact] token: &str) {
    std::thread::sleep(Duration::from_secs((path.len() + token.len()) as u64));
}

fn main() -> poolmap::Result<()> {
    poolmap::init();
    let paths = ["in/049.jpg", "in/050.txt", "in/051.jpg"];
    for outcome in pool_try_map!(resize, paths, [64, 64, 64])? {
        let Err(error) = outcome else { continue };
        // task 1 of `arguments::resize` (path: "in/050.txt", width: 64) failed: no picture
        println!("{error:#}");
        assert!(error.to_string().contains("(path: \"in/050.txt\", width: 64) failed"));
        // The arguments themselves: to look at, to repair, to run once more here.
        let call: resize = error.call().expect("they are small, and no handles");
        assert_eq!(resize(&call.path.replace("txt", "jpg"), call.width), Ok(4096));
    }

    let pool = Pool::builder().workers(1).build()?;
    let call = upload { path: "in/049.jpg".into(), token: "hunter2".into() };
    let error = pool.call(call).timeout(Duration::from_millis(100)).apply().unwrap_err();
    // task 0 of `arguments::upload` (path: "in/049.jpg", token: <redacted>) timed out after 100ms
    println!("{error}");
    assert!(error.to_string().contains("token: <redacted>"));
    assert!(!format!("{error:?}").contains("hunter2"));
    Ok(())
}
