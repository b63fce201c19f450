//! Values to bytes and back, always with a limit; the only owner of bincode, and of serde_json. It knows nothing of frames.
//!
//! Both ends are one binary, so the format may change with any version: little-endian integers of fixed width, chosen by
//! `benches/codec.rs`. With variable width bincode takes 2.3 times as long to encode two integers and 1.8 times as long to
//! decode them; 5.6 and 2.2 times for a sequence of pairs, 2.0 and 1.1 for a small struct, 1.3 and 1.0 for a `String`. The
//! seven of eight bytes that it saves in small `u64`s are copied ten times faster than that. Sequences of numbers are copied
//! as a whole ([`plain`]), at the speed of memcpy: against bincode's own way, a `Vec<u8>` is encoded 26 and decoded 130
//! times as fast, a `Vec<f64>` 5 and 20 times.

#[cfg(test)]
mod against_bincode;
mod depth;
mod deserializer;
mod direct;
mod form_macros;
mod in_place;
#[cfg(feature = "json")]
mod json;
mod plain;
mod serializer;
mod shape;
mod sink;
#[cfg(test)]
mod tests;

use bincode::config::{Configuration, Fixint, LittleEndian};
use bincode::error::{DecodeError, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CodecError;
use crate::foreign::{self, Panic};

pub(crate) use deserializer::is_own_deserializer;
pub(crate) use direct::{DirectOutput, LENGTH_BYTES, NewDirect, direct_output};
pub(crate) use form_macros::{message_enum, message_struct};
#[cfg(feature = "json")]
pub use json::Json;
pub(crate) use plain::number_bytes;
pub(crate) use serializer::is_own_serializer;
pub(crate) use sink::Sink;

type Config = Configuration<LittleEndian, Fixint>;

const CONFIG: Config = bincode::config::standard().with_fixed_int_encoding();

/// The elements of sequences that take no bytes, such as `()`, in one value: no limit of bytes ends them. Read, each counts as its
/// size in memory.
const EMPTY_ELEMENTS_MAX: usize = 1 << 26;

/// Appends encoded values to a sink, up to a limit.
pub struct Encoder<'a> {
    sink: Sink<'a>,
    /// The limit holds for what stands from here on.
    start: usize,
    bytes_max: usize,
    /// Up to here the room takes bytes, and the limit allows them.
    end_max: usize,
    /// Where the sink's first byte will stand: so far behind an address that is aligned for any number.
    offset: usize,
}

impl<'a> Encoder<'a> {
    /// An encoder that adds at most `bytes_max` bytes to `sink`.
    #[inline]
    pub(crate) fn new(sink: Sink<'a>, bytes_max: usize) -> Self {
        let mut encoder = Self { sink, start: 0, bytes_max, end_max: 0, offset: 0 };
        encoder.begin();
        encoder
    }

    /// The same for a sink whose first byte will stand so far behind an address that is aligned for any number.
    #[inline]
    pub(crate) fn at_offset(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    /// Lets the limit hold anew, for what comes from now on.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn begin(&mut self) {
        self.start = self.sink.len();
        self.end_max = self.sink.room_bytes().min(self.start.saturating_add(self.bytes_max));
    }

    /// Pads what comes from now on as if an aligned address were here, so that its bytes do not depend on the place. What is not aligned
    /// then is copied where it is read.
    #[inline]
    pub(crate) fn pad_from_here(&mut self) {
        self.offset = 0usize.wrapping_sub(self.start);
    }

    /// The sink that it writes to.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn sink(&mut self) -> &mut Sink<'a> {
        &mut self.sink
    }

    /// Returns the written bytes, in a buffer of its own.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.sink.into_vec()
    }

    /// How many bytes may be added after [`begin`](Self::begin).
    #[inline]
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Lets so many bytes more be added from now on.
    pub(crate) fn allow_more(&mut self, bytes: usize) {
        self.bytes_max = self.bytes_max.saturating_add(bytes);
    }

    /// Appends one value.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        let (start, bytes_max) = (self.start, self.bytes_max);
        serializer::encode(value, Writer(self)).map_err(|error| encode_error::<T>(&error, start, bytes_max))
    }
}

/// The writer for bincode. Small values are written in a nanosecond or two, so nothing of it may be a call.
struct Writer<'e, 'a>(&'e mut Encoder<'a>);

impl bincode::enc::write::Writer for Writer<'_, '_> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let Self(encoder) = self;
        if encoder.sink.len() + bytes.len() <= encoder.end_max {
            encoder.sink.write_within(bytes);
        } else if bytes.len() <= encoder.bytes_max - (encoder.sink.len() - encoder.start) {
            encoder.sink.write_behind(bytes);
            encoder.end_max = 0;
        } else {
            return Err(EncodeError::UnexpectedEnd);
        }
        Ok(())
    }
}

impl serializer::CountingWriter for Writer<'_, '_> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn written(&self) -> usize {
        self.0.sink.len()
    }
}

/// Appends one value to `buffer`, in at most `bytes_max` bytes. If that fails, the buffer is as before.
pub fn encode<T: Serialize + ?Sized>(value: &T, buffer: &mut Vec<u8>, bytes_max: usize) -> Result<(), CodecError> {
    let before = buffer.len();
    let encoded = Encoder::new(Sink::behind(buffer), bytes_max).value(value);
    if encoded.is_err() {
        buffer.truncate(before);
    }
    encoded
}

/// Takes encoded values off the front of a slice.
pub struct Decoder<'a> {
    bytes: &'a [u8],
}

impl<'a> Decoder<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Takes one value.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn value<T: DeserializeOwned>(&mut self) -> Result<T, CodecError> {
        let (value, left) = deserializer::decode(self.bytes).map_err(|error| decode_error::<T>(&error))?;
        self.bytes = left;
        Ok(value)
    }

    /// Whether nothing is left.
    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Checks that nothing is left over.
    #[inline]
    pub(crate) fn end(&self) -> Result<(), CodecError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(CodecError::new(format!("{left} bytes were left over: {ASYMMETRIC}"))),
        }
    }
}

/// Decodes one value that fills `bytes`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.value::<T>()?;
    decoder.end().map_err(|error| CodecError::new(format!("`{}`: {error}", std::any::type_name::<T>())))?;
    Ok(value)
}

/// Why a value was read otherwise than it was written.
const ASYMMETRIC: &str = "what its Serialize writes is not what its Deserialize reads, as with `skip_serializing`, \
                          `skip_deserializing` or `skip_serializing_if`; remove such attributes, or send the value as a \
                          String or as bytes that you encode yourself";

/// The error of a value with more than [`EMPTY_ELEMENTS_MAX`].
#[cold]
fn too_many_empty() -> String {
    format!(
        "it has more than {EMPTY_ELEMENTS_MAX} elements that take no bytes, such as `()`, as many as a value may have (a large \
         one counts as its size in memory): send their number",
    )
}

/// [`encode`], where a Serialize that panics is an error too.
pub(crate) fn encode_caught<T: Serialize + ?Sized>(
    value: &T,
    buffer: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(), CodecError> {
    let before = buffer.len();
    foreign::run(|| encode(value, buffer, bytes_max)).unwrap_or_else(|panic| {
        buffer.truncate(before);
        Err(panicked::<T>("Serialize", &panic))
    })
}

/// [`decode`], where a Deserialize that panics is an error too.
pub(crate) fn decode_caught<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    foreign::run(|| decode(bytes)).unwrap_or_else(|panic| Err(panicked::<T>("Deserialize", &panic)))
}

#[cold]
fn panicked<T: ?Sized>(which: &str, panic: &Panic) -> CodecError {
    CodecError::new(format!("`{}`: its {which} panicked: {panic}", std::any::type_name::<T>()))
}

const SELF_DESCRIBING: &str = "bincode cannot carry types that describe themselves (`untagged`, `flatten`, internally \
                               tagged enums, `serde_json::Value`, sequences of unknown length): send it as \
                               `poolmap::Json(value)` (feature `json`), as a String or as bytes that you encode yourself, \
                               or without that attribute";

#[cold]
fn encode_error<T: ?Sized>(error: &EncodeError, start: usize, bytes_max: usize) -> CodecError {
    encode_error_of(std::any::type_name::<T>(), error, start, bytes_max)
}

#[cold]
fn encode_error_of(name: &str, error: &EncodeError, start: usize, bytes_max: usize) -> CodecError {
    use bincode::serde::EncodeError as Serde;
    CodecError::new(match error {
        EncodeError::UnexpectedEnd => format!(
            "`{name}` takes more than the {bytes_max} bytes that one frame may carry (byte {start} on): send it in \
             parts, or raise the limit with Pool::builder().frame_bytes_max(n)",
        ),
        EncodeError::Serde(Serde::SequenceMustHaveLength) => format!("`{name}`: {SELF_DESCRIBING}"),
        EncodeError::Other(message) => format!("`{name}`: {message}"),
        EncodeError::OtherString(message) => format!("`{name}`: {message}"),
        other => format!("`{name}`: {other}"),
    })
}

#[cold]
fn decode_error<T>(error: &DecodeError) -> CodecError {
    decode_error_of(std::any::type_name::<T>(), error)
}

#[cold]
fn decode_error_of(name: &str, error: &DecodeError) -> CodecError {
    use bincode::serde::DecodeError as Serde;
    CodecError::new(match error {
        DecodeError::Serde(Serde::AnyNotSupported | Serde::IdentifierNotSupported | Serde::IgnoredAnyNotSupported) => {
            format!("`{name}`: {SELF_DESCRIBING}")
        }
        // A length behind the end of a `usize`, on a machine of 32 bits, is behind the end of the bytes too.
        DecodeError::UnexpectedEnd { .. } | DecodeError::OutsideUsizeRange(_) => {
            format!("`{name}`: its bytes ended too soon: {ASYMMETRIC}")
        }
        DecodeError::Other(message) => format!("`{name}`: {message}"),
        DecodeError::OtherString(message) => format!("`{name}`: {message}"),
        other => format!("`{name}`: {other}"),
    })
}
