//! What does a value cost on its way into bytes and out of them: with bincode's serde support as it comes, with integers of
//! fixed and of variable width, and with ours? `cargo bench --bench codec [part of a value's name]`.
//!
//! It is written without a harness: those of today bring a second syn into the tree, and the codecs take turns here, so
//! that a busy machine is as unkind to one as to the others. A figure is the fastest of many rounds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bincode::config::{Configuration, Fixint, LittleEndian, standard};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const ROUNDS: usize = 200;
const ROUND: Duration = Duration::from_micros(200);
const BYTES_MAX: usize = u32::MAX as usize;

trait Codec {
    fn encode<T: Serialize>(value: &T, buffer: &mut Vec<u8>);
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T;
}

struct Fixed;
struct Variable;
struct Ours;

/// Bincode's own writer for a `Vec` is private. This one has a limit, as ours.
struct Buffer<'a> {
    bytes: &'a mut Vec<u8>,
    bytes_max: usize,
}

impl Writer for Buffer<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            return Err(EncodeError::UnexpectedEnd);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

macro_rules! bincode_with {
    ($codec:ty, $config:expr) => {
        impl Codec for $codec {
            fn encode<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
                let buffer = Buffer { bytes, bytes_max: black_box(BYTES_MAX) };
                bincode::serde::encode_into_writer(value, buffer, $config).unwrap();
            }

            fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
                bincode::serde::decode_from_slice(bytes, $config.with_limit::<BYTES_MAX>()).unwrap().0
            }
        }
    };
}

const FIXED: Configuration<LittleEndian, Fixint> = standard().with_fixed_int_encoding();
bincode_with!(Fixed, FIXED);
bincode_with!(Variable, standard());

impl Codec for Ours {
    fn encode<T: Serialize>(value: &T, buffer: &mut Vec<u8>) {
        poolmap::__private::encode(value, buffer, black_box(BYTES_MAX)).unwrap();
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
        poolmap::__private::decode(bytes).unwrap()
    }
}

/// The time of one call, over one round.
fn time(mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut calls = 0;
    while calls == 0 || start.elapsed() < ROUND {
        for _ in 0..16 {
            call();
        }
        calls += 16;
    }
    start.elapsed().as_secs_f64() / f64::from(calls)
}

/// The fastest times so far to encode and to decode.
#[derive(Clone, Copy)]
struct Fastest {
    bytes: usize,
    encode: f64,
    decode: f64,
}

fn round<C: Codec, T: Serialize + DeserializeOwned>(value: &T, fastest: &mut Fastest) {
    let mut buffer = Vec::new();
    C::encode(value, &mut buffer);
    fastest.bytes = buffer.len();
    fastest.decode = fastest.decode.min(time(|| drop(black_box(C::decode::<T>(black_box(&buffer))))));
    fastest.encode = fastest.encode.min(time(|| {
        buffer.clear();
        C::encode(black_box(value), &mut buffer);
        black_box(&buffer);
    }));
}

fn measure<T: Serialize + DeserializeOwned>(name: &str, value: T) {
    if std::env::args().skip(1).any(|part| !part.starts_with('-') && !name.contains(&part)) {
        return;
    }
    let mut fastest = [Fastest { bytes: 0, encode: f64::MAX, decode: f64::MAX }; 3];
    for _ in 0..ROUNDS {
        round::<Fixed, T>(&value, &mut fastest[0]);
        round::<Variable, T>(&value, &mut fastest[1]);
        round::<Ours, T>(&value, &mut fastest[2]);
    }
    for (codec, of) in ["fixed", "variable", "ours"].into_iter().zip(fastest) {
        let speed = |seconds: f64| format!("{:10.1} ns {:6.2} GB/s", seconds * 1e9, of.bytes as f64 / seconds / 1e9);
        println!("{name:16} {codec:8} {:8} bytes  encode {}  decode {}", of.bytes, speed(of.encode), speed(of.decode));
    }
}

#[derive(Serialize, Deserialize)]
struct Small {
    id: u32,
    kind: Kind,
    score: Option<f64>,
    name: String,
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Point(f32, f32),
}

#[derive(Serialize, Deserialize)]
struct Signal {
    samples: Vec<f32>,
    bytes: Vec<u8>,
}

fn main() {
    let text = || "x".repeat(32);
    measure("small integers", (7i64, 8i64));
    measure("large integers", (i64::MAX, i64::MIN));
    measure("struct", Small { id: 1 << 20, kind: Kind::Point(1.0, 2.0), score: Some(0.5), name: text() });
    measure("String", text());
    measure("1000 Strings", vec![text(); 1000]);
    measure("1000 pairs", (0..1000i64).map(|n| (n, n << 40)).collect::<Vec<_>>());
    measure("1000 points", vec![[1.0f64; 3]; 1000]);
    measure("16 u8", vec![7u8; 16]);
    measure("1000 u8", vec![7u8; 1000]);
    measure("1 MiB of u8", vec![7u8; 1 << 20]);
    measure("4 f64", vec![1.5f64; 4]);
    measure("1 MiB of f64", vec![1.5f64; 1 << 17]);
    measure("1 MiB small u64", (0..1u64 << 17).map(|n| n % 200).collect::<Vec<_>>());
    measure("1 MiB large u64", (0..1u64 << 17).map(|n| n << 40).collect::<Vec<_>>());
    measure("rows of f64", vec![vec![1.5f64; 1000]; 100]);
    measure("signal", Signal { samples: vec![0.5; 100_000], bytes: vec![1; 100_000] });
}
