//! Files and sockets as arguments: each task has a descriptor of its own, and none is left.

mod common;

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Seek, Write, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use poolmap::{Fd, Pool, Process, TaskErrorKind, channel, current_worker, pool_map, pool_try_map, shared, worker};
use serde::{Deserialize, Deserializer, Serialize};

#[worker]
fn read_all(file: Fd) -> std::io::Result<String> {
    let mut text = String::new();
    File::from(file).read_to_string(&mut text)?;
    Ok(text)
}

#[worker]
fn write_to(pipe: Fd, text: &str) -> std::io::Result<()> {
    PipeWriter::from(pipe).write_all(text.as_bytes())
}

/// How many descriptors are open at the end, with what this task still has.
#[worker]
fn count_descriptors(file: &Fd) -> (usize, bool) {
    let count = std::fs::read_dir("/proc/self/fd").unwrap().count();
    (count, std::fs::read_link("/proc/self/fd/0").is_ok() && file.as_fd().try_clone_to_owned().is_ok())
}

#[derive(Serialize, Deserialize)]
struct Job {
    name: String,
    inputs: Vec<Fd>,
    output: Option<Fd>,
}

#[worker]
fn copy(job: Job) -> std::io::Result<u64> {
    let mut output = job.output.map(UnixStream::from).ok_or(std::io::ErrorKind::NotFound)?;
    output.write_all(job.name.as_bytes())?;
    let mut bytes = 0;
    for input in job.inputs {
        bytes += std::io::copy(&mut PipeReader::from(input), &mut output)?;
    }
    Ok(bytes)
}

#[worker]
fn answer(connection: Fd) -> std::io::Result<()> {
    let mut connection = TcpStream::from(connection);
    let mut byte = [0];
    connection.read_exact(&mut byte)?;
    connection.write_all(&[byte[0] + 1])
}

#[worker]
fn write_once(pipe: Fd, dies: bool) -> Result<u32, String> {
    let attempt = current_worker().unwrap().attempt();
    PipeWriter::from(pipe).write_all(&[b'0' + attempt as u8]).unwrap();
    match (attempt, dies) {
        (1, true) => std::process::abort(),
        (1, false) => Err("again".to_owned()),
        _ => Ok(attempt),
    }
}

/// A value that is never decoded.
#[derive(Serialize)]
struct Undecodable;

impl<'de> Deserialize<'de> for Undecodable {
    fn deserialize<D: Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("it cannot be read"))
    }
}

#[worker]
fn never_runs(_value: Undecodable, _pipe: Fd) {}

#[worker]
fn keep(pipe: Fd) -> Fd {
    pipe
}

#[worker]
fn pass_on(pipe: Fd) -> Result<(), poolmap::Error> {
    let pool = Pool::builder().workers(1).build()?;
    pool.apply(write_to { pipe, text: "from the inner worker".to_owned() })
}

fn file(text: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

fn text_of(mut pipe: PipeReader) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

#[poolmap::test]
fn each_task_reads_its_own_file() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let texts: Vec<String> = (0..300).map(|n| format!("file {n}")).collect();
    let files = texts.iter().map(|text| Fd::from(file(text)));
    assert_eq!(pool_map!(in &pool, read_all, files).unwrap(), texts);
    let files: Vec<Fd> = texts[..20].iter().map(|text| file(text).into()).collect();
    assert_eq!(pool_map!(in &pool, read_all, &files; chunk_size = 5).unwrap(), texts[..20]);
}

#[poolmap::test]
fn the_end_of_a_task_is_the_end_of_what_it_was_given() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let (reader, writer) = pipe().unwrap();
    pool.apply(write_to { pipe: writer.into(), text: "all of it".to_owned() }).unwrap();
    assert_eq!(text_of(reader), "all of it");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut clients: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(&[n as u8]).unwrap();
    }
    let connections = (0..20).map(|_| Fd::from(listener.accept().unwrap().0));
    pool_map!(in &pool, answer, connections).unwrap();
    for (n, client) in clients.iter_mut().enumerate() {
        client.set_read_timeout(Some(common::SOON)).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, [n as u8 + 1]);
    }
}

#[poolmap::test]
fn descriptors_stand_inside_of_other_values() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let inputs = ["one ", "two"].map(|text| {
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        Fd::from(reader)
    });
    let job = Job { name: "job: ".to_owned(), inputs: inputs.into(), output: Some(theirs.into()) };
    assert_eq!(pool.apply(copy { job }).unwrap(), 7);
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    assert_eq!(text, "job: one two");
}

#[poolmap::test]
fn a_task_that_runs_again_has_its_descriptor_again() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    for dies in [true, false] {
        let (reader, writer) = pipe().unwrap();
        let given = match dies {
            true => pool_map!(in &pool, write_once, [Fd::from(writer)], [dies]; attempts = 2),
            false => pool_map!(in &pool, write_once, [Fd::from(writer)], [dies]; retry_errors = 1),
        };
        assert_eq!(given.unwrap(), [2]);
        assert_eq!(text_of(reader), "12");
    }
}

#[poolmap::test]
fn what_is_not_decoded_is_closed() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let (readers, writers): (Vec<PipeReader>, Vec<Fd>) =
        (0..5).map(|_| pipe().unwrap()).map(|(reader, writer)| (reader, writer.into())).unzip();
    let values = std::iter::repeat_with(|| Undecodable);
    for outcome in pool_try_map!(in &pool, never_runs, values, writers; shortest).unwrap() {
        assert!(matches!(outcome.unwrap_err().kind(), TaskErrorKind::Decode(_)));
    }
    for reader in readers {
        assert_eq!(text_of(reader), "");
    }
}

#[poolmap::test]
fn workers_keep_no_descriptor() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let null = || Fd::from(File::open("/dev/null").unwrap());
    let (first, _) = pool.apply(count_descriptors { file: null() }).unwrap();
    let counts = pool_map!(in &pool, count_descriptors, (0..200).map(|_| null())).unwrap();
    let most = counts.iter().map(|(count, _)| *count).max().unwrap();
    // Those of the chunks that wait.
    assert!(most < first + 40, "{first}, {most}");
    assert!(counts.iter().all(|(_, is_open)| *is_open));
    assert_eq!(pool.apply(count_descriptors { file: null() }).unwrap().0, first);
}

#[poolmap::test]
fn descriptors_travel_in_no_other_way() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let null = || Fd::from(File::open("/dev/null").unwrap());
    let error = pool.apply(keep { pipe: null() }).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Encode(_)), "{error:#}");
    assert!(format!("{error:#}").contains("not in a result"), "{error:#}");
    let error = pool_map!(in &pool, read_all, shared(&null()); shortest).unwrap_err();
    assert!(error.is_endless(), "{error:#}");
    let error = pool_map!(in &pool, write_to, shared(&null()), ["text"]).unwrap_err();
    assert!(format!("{error:#}").contains("`shared()`"), "{error:#}");
    assert!(serde_json::to_string(&null()).unwrap_err().to_string().contains("argument of a worker function only"));
    assert!(serde_json::from_str::<Fd>("5").is_err());
    let (sender, receiver) = channel::<Fd>().unwrap();
    assert!(sender.send(null()).is_err());
    drop((sender, receiver));
}

#[poolmap::test]
fn a_process_and_an_inner_pool_have_them_too() {
    let _guard = common::guard();
    let (reader, writer) = pipe().unwrap();
    let mut process = Process::new(write_to { pipe: writer.into(), text: "process".to_owned() }).start().unwrap();
    process.join().unwrap();
    assert_eq!(text_of(reader), "process");
    let pool = Pool::builder().workers(1).build().unwrap();
    let (reader, writer) = pipe().unwrap();
    pool.apply(pass_on { pipe: writer.into() }).unwrap();
    assert_eq!(text_of(reader), "from the inner worker");
}

#[worker]
fn sleep(millis: u64, _pipe: Fd) {
    std::thread::sleep(Duration::from_millis(millis));
}

#[poolmap::test]
fn a_call_that_ends_early_leaves_no_descriptor() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(2).build().unwrap();
    let (reader, writer) = pipe().unwrap();
    let pipes = (0..100).map(|_| Fd::from(writer.try_clone().unwrap()));
    let ended = pool_map!(in &pool, sleep, std::iter::repeat(600_000), pipes; deadline = Duration::from_millis(100));
    assert!(ended.is_err());
    drop(writer);
    drop(pool);
    assert_eq!(text_of(reader), "");
}

#[test]
fn a_descriptor_turns_into_what_it_was() {
    let _guard = common::guard();
    let fd = Fd::from(file("text"));
    let other = fd.try_clone().unwrap();
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");
    assert!(File::from(OwnedFd::from(other)).stream_position().unwrap() == 4);
}
