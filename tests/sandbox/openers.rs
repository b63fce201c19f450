//! Each opener opens one thing.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};

use poolmap::{Pool, Sandbox, TaskErrorKind, pool_map, pool_try_map, worker};

use crate::common;

fn pool(sandbox: Sandbox) -> Pool {
    Pool::builder().workers(2).sandbox(sandbox).build().unwrap()
}

#[worker]
fn read(path: &Path) -> std::io::Result<String> {
    fs::read_to_string(path)
}

#[worker]
fn list(path: &Path) -> std::io::Result<usize> {
    fs::read_dir(path).map(Iterator::count)
}

#[worker]
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)
}

const EACCES: &str = "(os error 13)";
const EPERM: &str = "(os error 1)";

fn refused<T: std::fmt::Debug>(outcome: Result<T, poolmap::Error>) -> String {
    let error = outcome.unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Failed(_)), "{error:#}");
    format!("{error:#}")
}

#[poolmap::test]
fn a_folder_that_may_be_read() {
    let _guard = common::guard();
    let (open, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&open, &other] {
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("in/a"), "text").unwrap();
    }
    std::os::unix::fs::symlink(other.path().join("in/a"), open.path().join("out")).unwrap();
    let pool = pool(Sandbox::strict().read(open.path()));
    let at = |path: &str| open.path().join(path);
    assert_eq!(pool.apply(read { path: at("in/a") }).unwrap(), "text");
    assert_eq!(pool.apply(list { path: at("in") }).unwrap(), 1);
    let denied = [at("out"), other.path().join("in/a"), PathBuf::from("/etc/passwd"), at("../../etc/passwd")];
    for path in denied {
        assert!(refused(pool.apply(read { path: path.clone() })).contains(EACCES), "{path:?}");
    }
    assert!(refused(pool.apply(list { path: other.path().into() })).contains(EACCES));
    assert!(refused(pool.apply(write { path: at("in/a"), text: "b".into() })).contains(EACCES));
    assert_eq!(fs::read_to_string(at("in/a")).unwrap(), "text");
}

#[poolmap::test]
fn processes_stay_closed_where_something_may_be_read() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let pool = pool(Sandbox::strict().read(folder.path()));
    let parent = std::process::id();
    for file in ["environ", "maps", "mem", "fd/0", "root/etc/passwd", "task"] {
        for process in [parent.to_string(), "1".to_owned(), "self".to_owned()] {
            let path = PathBuf::from(format!("/proc/{process}/{file}"));
            refused(pool.apply(read { path: path.clone() }));
            refused(pool.apply(list { path }));
        }
    }
}

#[poolmap::test]
fn a_file_that_may_be_read_and_no_other() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let pool = pool(Sandbox::strict().read(folder.path().join("a")));
    assert_eq!(pool.apply(read { path: folder.path().join("a") }).unwrap(), "a");
    refused(pool.apply(read { path: folder.path().join("b") }));
    refused(pool.apply(list { path: folder.path().into() }));
}

#[worker]
fn change(folder: &Path) -> Result<String, String> {
    let text = |what: &str, result: std::io::Result<()>| result.map_err(|error| format!("{what}: {error}"));
    let [a, b, inner] = ["a", "b", "inner"].map(|name| folder.join(name));
    text("write", fs::write(&a, "one"))?;
    text("append", fs::OpenOptions::new().append(true).open(&a).and_then(|mut file| file.write_all(b" two")))?;
    text("rename", fs::rename(&a, &b))?;
    text("folder", fs::create_dir(&inner))?;
    text("move", fs::rename(&b, inner.join("b")))?;
    let read = fs::read_to_string(inner.join("b")).map_err(|error| error.to_string())?;
    text("remove", fs::remove_file(inner.join("b")))?;
    text("remove folder", fs::remove_dir(&inner))?;
    Ok(read)
}

#[worker]
fn link(folder: &Path) -> bool {
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).is_ok()
}

#[poolmap::test]
fn a_folder_that_may_be_written() {
    let _guard = common::guard();
    let (open, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(other.path().join("a"), "kept").unwrap();
    let pool = pool(Sandbox::strict().write(open.path()).read(other.path()));
    assert_eq!(pool.apply(change { folder: open.path().into() }).unwrap(), "one two");
    assert!(refused(pool.apply(write { path: other.path().join("a"), text: "b".into() })).contains(EACCES));
    assert!(refused(pool.apply(change { folder: other.path().into() })).contains("write"));
    assert_eq!(fs::read_to_string(other.path().join("a")).unwrap(), "kept");
    let error = pool.apply(link { folder: open.path().into() }).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Denied { .. }), "{error}");
}

/// Connects and says hello.
#[worker]
fn say_hello(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(b"hello")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[worker]
fn listen(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[worker]
fn datagram(_task: u32) -> bool {
    UdpSocket::bind("127.0.0.1:0").is_ok()
}

/// Serves one connection.
fn serve(listener: TcpListener) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        stream.write_all(b"good day").unwrap();
        heard
    })
}

#[poolmap::test]
fn one_port_to_connect_to() {
    let _guard = common::guard();
    let [open, other] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, closed) = (open.local_addr().unwrap(), other.local_addr().unwrap());
    let pool = pool(Sandbox::strict().connect(address.port()));
    let heard = serve(open);
    assert_eq!(pool.apply(say_hello { address }).unwrap(), "good day");
    assert_eq!(heard.join().unwrap(), "hello");
    assert!(refused(pool.apply(say_hello { address: closed })).contains(EACCES));
    other.set_nonblocking(true).unwrap();
    assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    for outcome in [pool.apply(listen { port: 0 }), pool.apply(datagram { _task: 0 })] {
        let error = outcome.unwrap_err();
        assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Denied { .. }), "{error}");
    }
}

/// Has so many threads at once.
#[worker]
fn at_once(threads: usize) -> usize {
    let barrier = std::sync::Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| barrier.wait())).collect();
        barrier.wait();
        all.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>().len()
    })
}

#[poolmap::test]
fn four_threads_and_not_five() {
    let _guard = common::guard();
    let pool = pool(Sandbox::strict().threads(4));
    assert_eq!(pool_map!(in &pool, at_once, [4; 20]).unwrap(), [4; 20]);
    let outcomes = pool_try_map!(in &pool, at_once, [4, 5, 4]).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap(), &4);
    let error = outcomes[1].as_ref().unwrap_err();
    assert!(matches!(error.kind(), TaskErrorKind::Denied { call: Some(call), .. } if call == "clone"), "{error}");
    assert_eq!(outcomes[2].as_ref().unwrap(), &4);
}

/// Forks where it may have threads.
#[worker]
fn open_in_thread(path: &Path) -> bool {
    let path = path.to_owned();
    std::thread::spawn(move || fs::read(path).is_ok()).join().unwrap()
}

#[poolmap::test]
fn a_thread_is_behind_the_same_walls() {
    let _guard = common::guard();
    let strict = pool(Sandbox::strict().threads(1));
    let error = strict.apply(open_in_thread { path: Path::new("/etc/passwd").into() }).unwrap_err();
    let kind = error.task().unwrap().kind();
    assert!(
        matches!(kind, TaskErrorKind::Denied { path: Some(path), .. } if path.as_os_str() == "/etc/passwd"),
        "{error}"
    );
    let reads = pool(Sandbox::strict().threads(1).read("/dev"));
    assert!(!reads.apply(open_in_thread { path: Path::new("/etc/passwd").into() }).unwrap());
}

thread_local! {
    static ASKED: std::cell::RefCell<Option<Asked>> = const { std::cell::RefCell::new(None) };
}

struct Asked {
    ask: std::sync::mpsc::Sender<PathBuf>,
    answer: std::sync::mpsc::Receiver<bool>,
}

/// Starts a thread that opens what it is asked to.
#[worker]
fn start_thread() {
    let (ask, asked) = std::sync::mpsc::channel::<PathBuf>();
    let (answers, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Ok(path) = asked.recv() {
            answers.send(fs::read(path).is_ok()).unwrap();
        }
    });
    ASKED.set(Some(Asked { ask, answer }));
}

#[worker]
fn ask_thread(path: PathBuf) -> bool {
    ASKED.with_borrow(|asked| {
        let Asked { ask, answer } = asked.as_ref().unwrap();
        ask.send(path).unwrap();
        answer.recv().unwrap()
    })
}

#[poolmap::test]
fn a_thread_of_the_initializer_is_behind_them_too() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "a").unwrap();
    let sandbox = Sandbox::strict().read(folder.path());
    let pool = Pool::builder().workers(1).initializer(start_thread {}).sandbox(sandbox).build().unwrap();
    assert!(pool.apply(ask_thread { path: folder.path().join("a") }).unwrap());
    assert!(!pool.apply(ask_thread { path: "/etc/passwd".into() }).unwrap());
    let strict = Pool::builder().workers(1).initializer(start_thread {}).sandbox(Sandbox::strict()).build().unwrap();
    let error = strict.apply(ask_thread { path: "/etc/passwd".into() }).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Denied { .. }), "{error}");
}

#[worker]
fn folder() -> Option<PathBuf> {
    std::env::current_dir().ok()
}

#[poolmap::test]
fn a_call_by_its_name_and_an_error_instead_of_the_end() {
    let _guard = common::guard();
    let asks = Sandbox::strict().allow("getcwd");
    let asking = pool(asks.clone());
    let root = asking.sandbox_status().separates_files().then(|| PathBuf::from("/"));
    let own = std::env::current_dir().ok();
    assert_eq!(asking.apply(folder {}).unwrap(), root.or(own.clone()));
    assert_eq!(pool(asks.without_namespaces()).apply(folder {}).unwrap(), own);
    let quiet = pool(Sandbox::strict().deny_quietly());
    assert_eq!(quiet.apply(folder {}).unwrap(), None);
    assert!(refused(quiet.apply(read { path: Path::new("/etc/passwd").into() })).contains(EPERM));
    assert!(!quiet.apply(datagram { _task: 0 }).unwrap());
}
