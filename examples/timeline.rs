//! A picture of a map, for a browser: `cargo run --release --example timeline [-- timeline.html]`

use std::path::PathBuf;
use std::time::Duration;

use poolmap::{Pool, current_worker, pool_try_map, worker};

/// Renders a frame of a film. One in the middle takes long, and some end in another way.
#[worker]
fn render(frame: u64) -> Result<u64, String> {
    let first = current_worker().is_none_or(|worker| worker.attempt() == 1);
    let millis = if frame == 70 { 160 } else { 4 + frame * 7 % 23 };
    std::thread::sleep(Duration::from_millis(millis));
    match frame {
        41 => Err("its scene has no camera".into()),
        52 if first => std::process::abort(),
        88 => {
            std::thread::sleep(Duration::from_secs(3600));
            Ok(frame)
        }
        _ => Ok(frame),
    }
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    let folder = std::env::temp_dir().join(format!("poolmap-timeline-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("there is room for a folder");
    let path = std::env::args_os().nth(1).map_or_else(|| folder.join("timeline.html"), PathBuf::from);
    let pool = Pool::builder().workers(4).build()?;
    let frames =
        pool_try_map!(in &pool, render, 0..120; attempts = 2, timeout = Duration::from_millis(400), timeline = &path)?;
    assert_eq!(frames.iter().filter(|frame| frame.is_err()).count(), 2);

    let page = std::fs::read_to_string(&path).expect("the page is there");
    assert!(page.starts_with("<!doctype html>") && page.contains("its scene has no camera"));
    println!("the page has {} KiB: open it in a browser", page.len() / 1024);

    // With any other ending it is a trace, which ui.perfetto.dev and chrome://tracing open.
    let trace = folder.join("trace.json");
    pool_try_map!(in &pool, render, 0..20; timeline = &trace)?;
    let trace = std::fs::read_to_string(&trace).expect("the trace is there");
    assert_eq!(trace.matches("\"cat\":\"task\"").count(), 20);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    Ok(())
}
