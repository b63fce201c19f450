//! Handles that nobody was given: by another format, by made-up names, by names of others. Each is an error of the task, and
//! nothing of what it was after has changed.

mod common;

use poolmap::{
    Barrier, Counter, Event, Mutex, Process, Receiver, Semaphore, Sender, SharedSlice, SharedSliceMut, TaskError,
    TaskErrorKind, channel, pool_map, pool_try_map, shared, worker,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::iter::{repeat, repeat_n};

/// Writes bytes that it chooses, and is read as whatever `T` is.
struct Forged<T> {
    bytes: Vec<u8>,
    made: Option<T>,
}

impl<T> Forged<T> {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), made: None }
    }
}

impl<T> Serialize for Forged<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;

        let mut tuple = serializer.serialize_tuple(self.bytes.len())?;
        self.bytes.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Forged<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|made| Self { bytes: Vec::new(), made: Some(made) })
    }
}

/// Writes a handle, and reads its bytes instead.
struct Peeked<T, const BYTES: usize> {
    handle: Option<T>,
    bytes: [u8; BYTES],
}

impl<T, const BYTES: usize> Peeked<T, BYTES> {
    fn of(handle: T) -> Self {
        Self { handle: Some(handle), bytes: [0; BYTES] }
    }
}

impl<T: Serialize, const BYTES: usize> Serialize for Peeked<T, BYTES> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.as_ref().unwrap().serialize(serializer)
    }
}

impl<'de, T, const BYTES: usize> Deserialize<'de> for Peeked<T, BYTES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes<const BYTES: usize>;

        impl<'de, const BYTES: usize> de::Visitor<'de> for Bytes<BYTES> {
            type Value = [u8; BYTES];

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut bytes: A) -> Result<[u8; BYTES], A::Error> {
                let mut all = [0; BYTES];
                for byte in &mut all {
                    *byte = bytes.next_element()?.unwrap();
                }
                Ok(all)
            }
        }

        deserializer.deserialize_tuple(BYTES, Bytes).map(|bytes| Self { handle: None, bytes })
    }
}

/// Counts what JSON makes of all that numbers could look like.
fn by_json<T: DeserializeOwned>() -> usize {
    let texts = (0..60u64).flat_map(|id| {
        [
            format!("{id}"),
            format!("[{id},0]"),
            format!("[{id},{}]", id + 1),
            format!("[{id},0,10]"),
            format!("[1,{id}]"),
            format!("[1,{id},0,10]"),
            format!("[{id},{},0,10]", id + 1),
        ]
    });
    // A slice by value is no handle, and is refused all the same.
    texts.chain(["[2,[1,2,3]]".to_owned()]).filter(|text| serde_json::from_str::<T>(text).is_ok()).count()
}

/// What each type of handle is made of by JSON.
fn all_by_json() -> [usize; 9] {
    [
        by_json::<SharedSlice<u64>>(),
        by_json::<SharedSliceMut<u64>>(),
        by_json::<Mutex<u64>>(),
        by_json::<Counter>(),
        by_json::<Event>(),
        by_json::<Semaphore>(),
        by_json::<Barrier>(),
        by_json::<Sender<u64>>(),
        by_json::<Receiver<u64>>(),
    ]
}

#[worker]
fn forge_by_json(mut part: SharedSliceMut<u64>, read: SharedSlice<u64>, counter: &Counter) -> [usize; 9] {
    part.fill(read[0] + counter.get().unsigned_abs());
    all_by_json()
}

#[worker]
fn forge_objects_by_json(counter: Counter, mutex: Mutex<u64>, to: Sender<u64>) -> [usize; 9] {
    drop((counter, mutex, to));
    all_by_json()
}

#[poolmap::test]
fn another_format_makes_no_handle() {
    let _guard = common::guard();
    let pool = common::ready_pool(1);
    let (counter, mutex) = (Counter::new(3).unwrap(), Mutex::new(1).unwrap());
    let (to, _from) = channel().unwrap();
    let call = forge_objects_by_json { counter: counter.clone(), mutex: mutex.clone(), to: to.clone() };
    assert_eq!(pool.apply(call).unwrap(), [0; 9]);
    let call = forge_objects_by_json { counter: counter.clone(), mutex, to };
    assert_eq!(Process::new(call).start().unwrap().join().unwrap(), [0; 9]);
    assert_eq!(all_by_json(), [0; 9]);
    if common::has_shared_memory() {
        let mut array = SharedSliceMut::zeroed(100).unwrap();
        let read = SharedSlice::from(vec![4]);
        let forged = pool_map!(in &pool, forge_by_json, array.chunks_mut(10), repeat(&read), repeat(&counter)).unwrap();
        assert_eq!(forged, [[0; 9]; 10]);
        assert!(array.iter().all(|&number| number == 7));
    }
}

/// Its `Serialize` has another format write the handle, and sends the text.
struct Smuggled<T>(T);

impl<T: Serialize> Serialize for Smuggled<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?;
        text.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Smuggled<T> {
    fn deserialize<D: Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("it is never sent"))
    }
}

#[worker]
fn take_smuggled(slice: Smuggled<SharedSlice<u64>>) {
    drop(slice);
}

#[worker]
fn take_smuggled_counter(counter: Smuggled<Counter>) {
    drop(counter);
}

#[poolmap::test]
fn no_name_is_written_by_another_format_while_arguments_are_encoded() {
    let _guard = common::guard();
    let slice = SharedSlice::from(vec![1, 2, 3]);
    let counter = Counter::new(0).unwrap();
    let errors = [
        pool_map!(take_smuggled, [Smuggled(slice.clone())]).unwrap_err(),
        pool_map!(take_smuggled_counter, [Smuggled(counter.clone())]).unwrap_err(),
        Process::new(take_smuggled_counter { counter: Smuggled(counter) }).start().map(drop).unwrap_err(),
    ];
    for error in errors {
        let TaskErrorKind::Encode(why) = error.task().unwrap().kind() else {
            panic!("{error}");
        };
        assert!(why.to_string().contains("argument of a worker function"), "{why}");
    }
}

macro_rules! take_forged {
    ($($take:ident $handle:ty,)*) => {$(
        #[worker]
        fn $take(forged: Forged<$handle>, _also: Vec<SharedSlice<u64>>, _counter: Counter) -> bool {
            forged.made.is_some()
        }
    )*};
}

take_forged! {
    take_slice SharedSlice<u64>,
    take_part SharedSliceMut<u64>,
    take_mutex Mutex<u64>,
    take_counter Counter,
    take_event Event,
    take_semaphore Semaphore,
    take_barrier Barrier,
    take_sender Sender<u64>,
    take_receiver Receiver<u64>,
}

/// Bytes of every length that a name may have had, with small numbers in each place. No array of no numbers: it is no handle on
/// anything.
fn made_up_names() -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    for id in 1..20u64 {
        let word = |number: u64| number.to_le_bytes().to_vec();
        names.extend([
            [word(id), word(0), word(10), word(0), word(0)].concat(),
            [word(id), word(id + 1), word(10), word(0), word(0)].concat(),
            [vec![1], word(id), word(0), word(10), word(0), word(0)].concat(),
            [word(0), word(id), word(0), word(10), word(0)].concat(),
        ]);
    }
    names.push(vec![255; 40]);
    names
}

fn is_decode(outcome: &Result<bool, TaskError>) -> bool {
    outcome.as_ref().is_err_and(|error| matches!(error.kind(), TaskErrorKind::Decode(_)))
}

/// All but the exact form of its arguments is the same for each type.
macro_rules! all_are_refused {
    ($pool:expr, $names:expr, $also:expr, $counter:expr, $($take:ident)*) => {$(
        let forged = $names.iter().map(|name| Forged::of(name));
        let outcomes = pool_try_map!(in $pool, $take, forged, repeat($also), repeat($counter)).unwrap();
        assert_eq!(outcomes.len(), $names.len());
        for outcome in outcomes {
            assert!(is_decode(&outcome), "{}: {outcome:?}", stringify!($take));
        }
    )*};
}

#[poolmap::test]
fn made_up_names_are_errors_of_the_task() {
    let _guard = common::guard();
    let pool = common::ready_pool(2);
    let numbers: SharedSlice<u64> = (0..100).collect();
    let also = vec![numbers.slice(..10), numbers.slice(50..)];
    let counter = Counter::new(0).unwrap();
    let names = made_up_names();
    all_are_refused!(&pool, names, &also, &counter,
        take_slice take_part take_mutex take_counter take_event take_semaphore take_barrier take_sender take_receiver);
    for name in &names[..4] {
        let call = take_counter { forged: Forged::of(name), _also: also.clone(), _counter: counter.clone() };
        let error = Process::new(call).start().unwrap().join().unwrap_err();
        assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Decode(_)), "{error}");
    }
}

#[worker]
fn peek_slice(slice: Peeked<SharedSlice<u64>, 17>) -> Vec<u8> {
    slice.bytes.to_vec()
}

#[worker]
fn peek_counter(counter: Peeked<Counter, 16>) -> Vec<u8> {
    counter.bytes.to_vec()
}

#[worker]
fn use_stolen_slice(slice: Forged<SharedSlice<u64>>) -> bool {
    slice.made.is_some()
}

#[worker]
fn use_stolen_counter(counter: Forged<Counter>) -> bool {
    counter.made.is_some()
}

#[poolmap::test]
fn a_name_of_another_call_is_worth_nothing() {
    let _guard = common::guard();
    let pool = common::ready_pool(1);
    let counter = Counter::new(0).unwrap();
    let names = pool_map!(in &pool, peek_counter, (0..20).map(|_| Peeked::of(counter.clone()))).unwrap();
    let different: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(different.len(), 20, "each encoding has a name of its own");
    let stolen = names.iter().map(|name| Forged::of(name));
    assert!(pool_try_map!(in &pool, use_stolen_counter, stolen).unwrap().iter().all(is_decode));
    let error =
        Process::new(use_stolen_counter { counter: Forged::of(&names[0]) }).start().unwrap().join().unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Decode(_)), "{error}");
    if common::has_shared_memory() {
        let numbers: SharedSlice<u64> = (0..100).collect();
        let names = pool_map!(in &pool, peek_slice, (0..20).map(|_| Peeked::of(numbers.clone()))).unwrap();
        let stolen = names.iter().map(|name| Forged::of(name));
        assert!(pool_try_map!(in &pool, use_stolen_slice, stolen).unwrap().iter().all(is_decode));
    }
}

#[worker]
fn take_twice(slices: Vec<SharedSlice<u64>>, job: &(Counter, Option<SharedSlice<u64>>)) -> (u64, i64) {
    (slices.iter().flat_map(|slice| slice.iter()).sum(), job.0.add(1))
}

#[poolmap::test]
fn handles_that_were_given_work_everywhere() {
    let _guard = common::guard();
    let pool = common::ready_pool(2);
    let numbers: SharedSlice<u64> = (0..100).collect();
    let job = (Counter::new(0).unwrap(), Some(numbers.slice(3..)));
    let slices = vec![numbers.slice(..1), numbers.slice(1..), numbers.slice(..0)];
    // In a value for all tasks, in sequences, and each time anew when a task is tried again.
    for attempts in [1, 3] {
        let sums = pool_map!(in &pool, take_twice, repeat_n(&slices, 50), shared(&job); attempts = attempts, shortest);
        assert!(sums.unwrap().iter().all(|(sum, _)| *sum == 4950));
    }
    assert_eq!(job.0.get(), 100);
}

#[derive(Debug, Serialize, Deserialize)]
enum Either {
    Nothing,
    Slice(Box<Option<SharedSlice<u32>>>),
    Both { slice: SharedSlice<u32>, counter: Vec<Counter> },
}

#[worker]
fn look_into(value: Either, abort: bool) -> u32 {
    if abort && poolmap::current_worker().unwrap().attempt() == 1 {
        std::process::abort();
    }
    match value {
        Either::Nothing => 0,
        Either::Slice(slice) => slice.map_or(1, |slice| slice.iter().sum()),
        Either::Both { slice, counter } => {
            slice.len() as u32 + counter.iter().map(|one| u32::from(one.add(1) >= 0)).sum::<u32>()
        }
    }
}

#[poolmap::test]
fn handles_inside_of_values_survive_a_worker() {
    let _guard = common::guard();
    let pool = common::ready_pool(2);
    let slice: SharedSlice<u32> = (1..=10).collect();
    let counter = Counter::new(0).unwrap();
    let values = || {
        (0..30).map(|at| match at % 4 {
            0 => Either::Nothing,
            1 => Either::Slice(Box::new(None)),
            2 => Either::Slice(Box::new(Some(slice.slice(..4)))),
            _ => Either::Both { slice: slice.clone(), counter: vec![counter.clone(); 3] },
        })
    };
    let expected: Vec<u32> = (0..30).map(|at| [0, 1, 10, 13][at % 4]).collect();
    let aborts = || (0..30).map(|at| at == 11);
    let outcomes = pool_map!(in &pool, look_into, values(), aborts(); attempts = 2).unwrap();
    assert_eq!(outcomes, expected);
    let process = Process::new(look_into { value: values().nth(3).unwrap(), abort: false }).start();
    assert_eq!(process.unwrap().join().unwrap(), 13);
}
