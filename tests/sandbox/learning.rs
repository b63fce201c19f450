//! The learning mode: every call is made, and what a strict sandbox would deny is noted.

use std::path::Path;

use poolmap::{Pool, Sandbox, StartMethod, pool_map, worker};

use crate::common;

/// Does what no sandbox allows; returns whether all of it worked.
#[worker]
fn do_all(folder: &Path, port: u16) -> bool {
    let read = std::fs::read_to_string(folder.join("read")).is_ok();
    let written = std::fs::write(folder.join("out").join("new"), "text").is_ok();
    let barrier = &std::sync::Barrier::new(3);
    let threads = std::thread::scope(|scope| {
        let both: Vec<_> = (0..2).map(|_| scope.spawn(move || barrier.wait())).collect();
        barrier.wait();
        both.into_iter().all(|thread| thread.join().is_ok())
    });
    let connected = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    let ran = std::process::Command::new("/bin/true").status().is_ok_and(|status| status.success());
    read && written && threads && connected && ran && std::env::current_dir().is_ok()
}

#[poolmap::test]
fn what_a_program_needs_is_a_line_to_write() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("read"), "text").unwrap();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        let _ = std::fs::remove_file(folder.path().join("out/new"));
        let builder = Pool::builder().workers(2).start_method(method).sandbox(Sandbox::strict().log_only());
        let pool = builder.build().unwrap();
        assert_eq!(pool.sandbox_status().suggestion(), Some("Sandbox::strict()"));
        assert!(!pool.sandbox_status().is_complete());
        let paths = [folder.path(); 4];
        assert_eq!(pool_map!(in &pool, do_all, paths, [port; 4]).unwrap(), [true; 4]);
        let status = pool.sandbox_status();
        let line = status.suggestion().unwrap();
        for part in [
            format!(".read({:?})", folder.path().join("read")),
            format!(".write({:?})", folder.path().join("out")),
            format!(".connect({port})"),
            ".threads(2)".to_owned(),
            ".allow(\"getcwd\")".to_owned(),
        ] {
            assert!(line.contains(&part), "{part} in {line}");
        }
        assert!(!line.contains("rt_sigprocmask") && !line.contains("clone\""), "{line}");
    }
}
