//! Values that a program did not mean, or a worker that is at fault makes up: nested too deep, with claims of more than there is,
//! with fields left out, and with a Serialize or a Deserialize that panics. Each is an error of its task, and nothing else.

mod common;

use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use poolmap::{
    Error, Mutex, Pool, Process, TaskError, TaskErrorKind, channel, pool_iter, pool_iter_unordered, pool_map,
    pool_reduce, pool_try_map, shared, worker,
};
use serde::{Deserialize, Serialize};

/// A list whose drop takes no stack.
#[derive(Debug, Serialize, Deserialize)]
enum List {
    End,
    Link(Box<List>),
}

impl List {
    fn of(links: usize) -> Self {
        (0..links).fold(Self::End, |list, _| Self::Link(Box::new(list)))
    }

    fn links(&self) -> usize {
        let mut links = 0;
        let mut list = self;
        while let Self::Link(next) = list {
            (links, list) = (links + 1, next);
        }
        links
    }
}

impl Drop for List {
    fn drop(&mut self) {
        let Self::Link(next) = self else { return };
        let mut next = std::mem::replace(&mut **next, Self::End);
        while let Self::Link(link) = &mut next {
            next = std::mem::replace(&mut **link, Self::End);
        }
    }
}

#[worker]
fn deep(links: usize) -> List {
    List::of(links)
}

#[worker]
fn count(list: &List) -> usize {
    list.links()
}

#[worker]
fn count_again(_time: u8, list: &List) -> usize {
    list.links()
}

#[worker]
fn fail_deep(links: usize) -> Result<(), DeepError> {
    Err(DeepError(List::of(links)))
}

#[derive(Debug, Serialize, Deserialize)]
struct DeepError(List);

impl std::fmt::Display for DeepError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it is deep")
    }
}

impl std::error::Error for DeepError {}

fn text(kind: &TaskErrorKind) -> String {
    match kind {
        TaskErrorKind::Encode(error) => format!("encode: {error}"),
        TaskErrorKind::Decode(error) => format!("decode: {error}"),
        other => panic!("neither an encode nor a decode error: {other:?}"),
    }
}

fn refused<T>(outcome: Result<T, TaskError>) -> String {
    text(outcome.map(drop).expect_err("it is an error").kind())
}

fn refused_call<T>(outcome: poolmap::Result<T>) -> String {
    let error = outcome.map(drop).expect_err("it is an error");
    text(error.task().unwrap_or_else(|| panic!("of no task: {error}")).kind())
}

const DEEP: usize = 20_000;

#[poolmap::test]
fn a_value_that_is_nested_too_deep_is_an_error_of_its_task_both_ways() {
    let _guard = common::guard();
    let small = Pool::builder().workers(2).stack_bytes(192 << 10).build().unwrap();
    for pool in [&common::pool(2), &small] {
        let results = pool_try_map!(in pool, deep, [10, DEEP, 20]).unwrap();
        let [first, second, third] = <[_; 3]>::try_from(results).unwrap();
        assert_eq!((first.unwrap().links(), third.unwrap().links()), (10, 20));
        let error = refused(second);
        assert!(error.contains("flatten it") && error.contains("List"), "{error}");
        let lists = [List::of(10), List::of(DEEP), List::of(20)];
        let results = pool_try_map!(in pool, count, &lists).unwrap();
        let [first, second, third] = <[_; 3]>::try_from(results).unwrap();
        assert_eq!((first.unwrap(), third.unwrap()), (10, 20));
        assert!(refused(second).starts_with("encode: "));
        assert!(refused_call(pool.apply(deep { links: DEEP })).contains("flatten it"));
        assert!(refused_call(pool.apply(count { list: List::of(DEEP) })).contains("flatten it"));
        let results = pool_try_map!(in pool, count_again, 0..2, shared(&lists[1])).unwrap();
        assert!(results.into_iter().all(|outcome| refused(outcome).contains("flatten it")));
    }
    let mut process = Process::new(deep { links: DEEP }).start().unwrap();
    assert!(refused_call(process.join()).contains("flatten it"));
    let error = pool_map!(fail_deep, [DEEP]).unwrap_err();
    let TaskErrorKind::Failed(error) = error.task().unwrap().kind() else { panic!("{error}") };
    assert!(error.message() == "it is deep" && error.downcast::<DeepError>().is_none());
}

/// What its Deserialize takes for a claim of so many elements.
struct Claim<T> {
    length: u64,
    _values: Vec<T>,
}

impl<T> Serialize for Claim<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.length)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Claim<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Vec::deserialize(deserializer)?;
        Ok(Self { length: values.len() as u64, _values: values })
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(skip, default = "page")]
    _bytes: [u8; 1024],
}

fn page() -> [u8; 1024] {
    [1; 1024]
}

#[worker]
fn units(length: u64) -> Claim<()> {
    Claim { length, _values: Vec::new() }
}

#[worker]
fn pages(length: u64) -> Claim<Page> {
    Claim { length, _values: Vec::new() }
}

#[worker]
fn take_units(units: Claim<()>) -> u64 {
    units.length
}

#[poolmap::test]
fn a_claim_of_elements_that_take_no_bytes_ends_soon() {
    let _guard = common::guard();
    for length in [1 << 30, 1 << 40, u64::MAX] {
        for error in [
            refused(pool_try_map!(units, [length]).unwrap().pop().unwrap()),
            refused(pool_try_map!(pages, [length]).unwrap().pop().unwrap()),
            refused(pool_try_map!(take_units, [Claim { length, _values: Vec::new() }]).unwrap().pop().unwrap()),
        ] {
            assert!(error.contains("take no bytes"), "{error}");
        }
    }
    assert!(pool_map!(units, [1000u64]).is_ok());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    discount: Option<u8>,
    lines: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unread {
    #[serde(skip_deserializing)]
    first: u8,
    second: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    #[serde(skip_deserializing)]
    _Legacy,
    Open(u32),
    Closed(u32),
}

#[worker]
fn order(order: Order) -> Order {
    order
}

#[worker]
fn unread(unread: Unread) -> String {
    format!("{unread:?}")
}

#[worker]
fn state(state: State) -> State {
    state
}

#[poolmap::test]
fn a_field_that_is_left_out_is_an_error_and_never_another_value() {
    let _guard = common::guard();
    let orders = [Some(1), None].map(|discount| Order { discount, lines: vec![vec![1], vec![]] });
    let [whole, short] = <[_; 2]>::try_from(pool_try_map!(order, &orders).unwrap()).unwrap();
    assert_eq!(whole.unwrap(), orders[0]);
    let error = refused(short);
    assert!(error.contains("`discount` of `Order`") && error.contains("skip_serializing_if"), "{error}");
    let error = refused(pool_try_map!(unread, [Unread { first: 1, second: None }]).unwrap().pop().unwrap());
    assert!(error.contains("skip_deserializing"), "{error}");
    let states = [State::Open(1), State::Closed(2)];
    assert_eq!(pool_map!(state, &states).unwrap(), states);
}

/// A value whose own code panics.
#[derive(Debug, Default)]
struct Touchy(u8);

const CALM: u8 = 0;
const UNWRITTEN: u8 = 1;
const UNREAD: u8 = 2;
/// The payload of the panic is hit when it is dropped.
const UNREAD_TWICE: u8 = 3;

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("the payload is hit");
    }
}

impl Serialize for Touchy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 != UNWRITTEN, "it is not written");
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            UNREAD => panic!("it is not read"),
            UNREAD_TWICE => panic_any(PanicsInDrop),
            other => Ok(Self(other)),
        }
    }
}

#[worker]
fn give(value: u8) -> Touchy {
    Touchy(value)
}

/// A number that panics when 10 is read for the first time.
#[derive(Serialize, Debug, PartialEq)]
struct TouchyOnce(u8);

static IS_READ: AtomicBool = AtomicBool::new(false);

impl<'de> Deserialize<'de> for TouchyOnce {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u8::deserialize(deserializer)?;
        assert!(value != 10 || IS_READ.swap(true, Ordering::Relaxed), "it is not read");
        Ok(Self(value))
    }
}

#[worker]
fn give_once(value: u8) -> TouchyOnce {
    TouchyOnce(value)
}

#[poolmap::test]
fn a_deserialize_that_panics_is_asked_once_and_fails_its_own_task() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    for is_ordered in [true, false] {
        IS_READ.store(false, Ordering::Relaxed);
        let mut outcomes: Vec<(usize, bool)> = if is_ordered {
            let results = pool_iter!(in &pool, give_once, 0..100; chunk_size = 100).unwrap();
            results.enumerate().map(|(index, result)| (index, result.is_ok())).collect()
        } else {
            let results = pool_iter_unordered!(in &pool, give_once, 0..100; chunk_size = 100).unwrap();
            let index_of = |error: Error| (error.task().unwrap().index(), false);
            results.map(|result| result.map_or_else(index_of, |(index, _)| (index, true))).collect()
        };
        outcomes.sort_unstable();
        assert_eq!(outcomes, (0..100).map(|index| (index, index != 10)).collect::<Vec<_>>());
    }
}

#[worker]
fn take(value: Touchy) -> u8 {
    value.0
}

#[worker]
fn look(value: &Touchy, _time: u8) -> u8 {
    value.0
}

#[worker]
fn fail(value: u8) -> Result<(), TouchyError> {
    Err(TouchyError(Touchy(value)))
}

#[derive(Debug, Serialize, Deserialize)]
struct TouchyError(Touchy);

impl std::fmt::Display for TouchyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it failed")
    }
}

impl std::error::Error for TouchyError {}

#[worker]
fn larger(one: Touchy, other: Touchy) -> Touchy {
    Touchy(one.0.max(other.0))
}

/// Checks what a value that was given or taken has become.
fn check<T: std::fmt::Debug>(value: u8, outcome: Result<T, TaskError>) {
    match value {
        CALM => assert!(outcome.is_ok(), "{outcome:?}"),
        UNWRITTEN => {
            let error = refused(outcome);
            assert!(
                error.starts_with("encode: ") && error.contains("panicked") && error.contains("not written"),
                "{error}"
            );
        }
        _ => {
            let error = refused(outcome);
            assert!(
                error.starts_with("decode: ") && error.contains("Deserialize") && error.contains("panicked"),
                "{error}"
            );
            assert_eq!(error.contains("it is not read"), value == UNREAD, "{error}");
        }
    }
}

fn of_task(error: Error) -> TaskError {
    error.task().unwrap_or_else(|| panic!("of no task: {error}")).clone()
}

#[poolmap::test]
fn a_serialize_or_deserialize_that_panics_is_an_error_of_its_task_alone() {
    let _guard = common::guard();
    let values: Vec<u8> =
        (0..200).map(|index| [CALM, CALM, UNWRITTEN, CALM, UNREAD, UNREAD_TWICE, CALM][index % 7]).collect();
    for workers in [1, 2] {
        let pool = common::pool(workers);
        for (&value, outcome) in values.iter().zip(pool_try_map!(in &pool, give, &values).unwrap()) {
            check(value, outcome);
        }
        let taken = pool_try_map!(in &pool, take, values.iter().map(|&value| Touchy(value))).unwrap();
        for (&value, outcome) in values.iter().zip(taken) {
            check(value, outcome);
        }
        let given = pool_iter!(in &pool, give, &values).unwrap();
        let mut count = 0;
        for (&value, outcome) in values.iter().zip(given) {
            check(value, outcome.map_err(of_task));
            count += 1;
        }
        assert_eq!(count, values.len());
        let taken = pool_iter!(in &pool, take, values.iter().map(|&value| Touchy(value))).unwrap();
        assert_eq!(
            values.iter().zip(taken).map(|(&value, outcome)| check(value, outcome.map_err(of_task))).count(),
            200
        );
        let mut left = values.clone();
        for outcome in pool_iter_unordered!(in &pool, give, &values).unwrap() {
            let (index, outcome) = match outcome {
                Ok((index, output)) => (index, Ok(output)),
                Err(error) => (error.task().unwrap().index(), Err(of_task(error))),
            };
            check(values[index], outcome);
            left.pop();
        }
        assert!(left.is_empty());
        for kind in [CALM, UNWRITTEN, UNREAD, UNREAD_TWICE] {
            let error = pool_map!(in &pool, give, [CALM, kind]);
            check(kind, error.map_err(of_task));
            let all = pool_try_map!(in &pool, look, shared(&Touchy(kind)), 0..3).unwrap();
            all.into_iter().for_each(|outcome| check(kind, outcome));
        }
        // The pool is as good as before.
        assert_eq!(pool_map!(in &pool, take, [Touchy(CALM)]).unwrap(), [CALM]);
        assert_eq!(pool.stats().workers_started(), workers as u64);
    }
}

#[poolmap::test]
fn a_single_call_and_a_process_have_it_as_their_error() {
    let _guard = common::guard();
    let pool = common::pool(1);
    for kind in [CALM, UNWRITTEN, UNREAD, UNREAD_TWICE] {
        check(kind, pool.submit(give { value: kind }).unwrap().join().map_err(of_task));
        let taken = pool.submit(take { value: Touchy(kind) });
        check(kind, taken.and_then(|handle| handle.join()).map_err(of_task));
        let (sender, receiver) = mpsc::channel();
        pool.submit(give { value: kind })
            .unwrap()
            .on_done(move |outcome| sender.send(outcome.map_err(of_task)).unwrap());
        check(kind, receiver.recv_timeout(common::SOON).unwrap());
        check(kind, Process::new(give { value: kind }).start().unwrap().join().map_err(of_task));
        let taken = Process::new(take { value: Touchy(kind) }).start();
        check(kind, taken.and_then(|mut process| process.join()).map_err(of_task));
    }
    assert_eq!(pool.apply(take { value: Touchy(CALM) }).unwrap(), CALM);
}

#[poolmap::test]
fn a_fold_has_it_as_the_error_of_a_task() {
    let _guard = common::guard();
    let pool = common::pool(2);
    for kind in [CALM, UNWRITTEN, UNREAD, UNREAD_TWICE] {
        let values = (0..100).map(|index| if index == 60 { kind } else { CALM });
        let folded = pool_reduce!(in &pool, give, values; with = larger, identity = Touchy(CALM));
        check(kind, folded.map_err(of_task));
    }
}

#[poolmap::test]
fn channels_mutexes_and_typed_errors_have_it_as_their_error() {
    let _guard = common::guard();
    let (sender, receiver) = channel().unwrap();
    let error = sender.send(Touchy(UNWRITTEN)).unwrap_err();
    assert!(error.error().to_string().contains("it is not written"), "{}", error.error());
    sender.send(Touchy(UNREAD)).unwrap();
    sender.send(Touchy(CALM)).unwrap();
    let error = receiver.recv().unwrap_err();
    assert!(error.to_string().contains("it is not read"), "{error}");
    assert_eq!(receiver.recv().unwrap().0, CALM);
    assert!(Mutex::new(Touchy(UNWRITTEN)).unwrap_err().to_string().contains("it is not written"));
    let mutex = Mutex::new(Touchy(UNREAD)).unwrap();
    for _ in 0..2 {
        assert!(mutex.lock().unwrap_err().to_string().contains("it is not read"));
    }
    for (kind, is_there) in [(CALM, true), (UNWRITTEN, false), (UNREAD, false)] {
        let error = pool_map!(fail, [kind]).unwrap_err();
        let TaskErrorKind::Failed(error) = error.task().unwrap().kind() else { panic!("{error}") };
        assert_eq!((error.message(), error.downcast::<TouchyError>().is_some()), ("it failed", is_there));
    }
}
