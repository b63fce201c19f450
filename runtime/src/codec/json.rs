//! Values that describe themselves, as JSON inside of the format: the only owner of serde_json.
//!
//! 1. The format is the codec's business alone. Any other serializer gets the value itself, so a program that writes a struct with a
//!    [`Json`] in it elsewhere, as JSON say, writes what it would write without.
//! 2. serde_json reads [`LEVELS_MAX`] levels, and writes as many as there are, however small the stack: here a value is refused by
//!    whoever writes it, and each level looks at the stack.

use std::fmt;
use std::io::{self, Write};
use std::ops::{Deref, DerefMut};

use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::ser::Formatter;

use super::depth::Depth;
use super::{is_own_deserializer, is_own_serializer};

/// Sends a value as JSON, for types that describe themselves (feature `json`).
///
/// Arguments and outputs travel in a compact format that does not say which types stand in it. Types whose `Deserialize` asks for that
/// cannot travel by themselves: `serde_json::Value`, and types with `#[serde(untagged)]`, `#[serde(flatten)]` or `#[serde(tag = "…")]`.
/// `Json` carries them: as an argument, as an output, and inside of other values. Its only field is the value, and it dereferences to
/// it. The items for a parameter `Json<T>` may be `Json<T>`, `&Json<T>` and `Json<&T>`: `values.iter().map(Json)`.
///
/// Another serializer than that of a call gets the value itself: `serde_json::to_string(&Json(1))` is `1`.
///
/// # Limits
///
/// - A value may have 127 levels of arrays and objects, as many as serde_json reads.
/// - A map's keys must be texts, numbers or enums without fields.
/// - JSON has neither NaN nor infinity: such a number is written as `null`, which does not decode as a number.
/// - A [`SharedSlice`](crate::SharedSlice), a [`Mutex`](crate::Mutex) and the like cannot stand inside of it.
/// - It takes about as long as JSON takes, some ten times as long as the compact format: use it for the one field that needs it.
///
/// # Errors
///
/// A value that JSON cannot hold is an error of its task ([`Encode`](crate::TaskErrorKind::Encode)); so is JSON that is no `T`
/// ([`Decode`](crate::TaskErrorKind::Decode)). Both name the type, and the second the column.
///
/// # Examples
///
/// ```
/// use poolmap::{Json, pool_map, worker};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(untagged)]
/// enum Id {
///     Number(u64),
///     Name(String),
/// }
///
/// #[worker]
/// fn describe(id: &Json<Id>) -> String {
///     match &id.0 {
///         Id::Number(number) => format!("number {number}"),
///         Id::Name(name) => name.clone(),
///     }
/// }
///
/// poolmap::init();
/// let ids = [Id::Number(7), Id::Name("tea".to_owned())];
/// assert_eq!(pool_map!(describe, ids.iter().map(Json))?, ["number 7", "tea"]);
/// # Ok::<(), poolmap::Error>(())
/// ```
///
/// The same without it, which is an error of the task:
///
/// ```
/// # use poolmap::{Json, pool_map, worker};
/// #[worker]
/// fn length(value: serde_json::Value) -> usize {
///     value.as_array().map_or(0, Vec::len)
/// }
///
/// poolmap::init();
/// let error = pool_map!(length, [serde_json::json!([1, 2])]).unwrap_err();
/// assert!(format!("{error:#}").contains("poolmap::Json"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

/// So many levels of arrays and objects serde_json reads.
const LEVELS_MAX: usize = 127;

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !is_own_serializer::<S>() {
            return self.0.serialize(serializer);
        }
        let mut text = Vec::new();
        let written = self.0.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Levels::new()));
        written.map_err(|error| S::Error::custom(format!("as JSON: {error}")))?;
        serializer.serialize_bytes(&text)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !is_own_deserializer::<D>() {
            return T::deserialize(deserializer).map(Self);
        }
        let text = deserializer.deserialize_bytes(TextVisitor)?;
        serde_json::from_slice(text).map(Self).map_err(|error| D::Error::custom(format!("as JSON: {error}")))
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = &'de [u8];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<&'de [u8], E> {
        Ok(bytes)
    }
}

/// Writes without white space, and no more levels than can be read.
struct Levels {
    /// What is around the place that is written, and that place.
    around: Vec<Depth>,
}

impl Levels {
    fn new() -> Self {
        Self { around: vec![Depth::outermost()] }
    }

    fn deeper(&mut self) -> io::Result<()> {
        if self.around.len() > LEVELS_MAX {
            let what =
                format!("it is nested more than {LEVELS_MAX} levels deep, as many as are read again: flatten it");
            return Err(io::Error::other(what));
        }
        let here = self.around.last().copied().unwrap_or_else(Depth::outermost);
        self.around.push(here.deeper().map_err(io::Error::other)?);
        Ok(())
    }

    fn write(writer: &mut (impl Write + ?Sized), byte: u8) -> io::Result<()> {
        writer.write_all(&[byte])
    }
}

impl Formatter for Levels {
    fn begin_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.deeper()?;
        Self::write(writer, b'[')
    }

    fn end_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.around.pop();
        Self::write(writer, b']')
    }

    fn begin_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.deeper()?;
        Self::write(writer, b'{')
    }

    fn end_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.around.pop();
        Self::write(writer, b'}')
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::super::{decode, encode};
    use super::*;

    fn there_and_back<T: Serialize + DeserializeOwned>(value: &T) -> Result<T, String> {
        let mut bytes = Vec::new();
        encode(value, &mut bytes, 1 << 20).map_err(|error| error.to_string())?;
        decode(&bytes).map_err(|error| error.to_string())
    }

    fn nested(levels: usize, around: fn(Value) -> Value) -> Value {
        (0..levels).fold(Value::Null, |inner, _| around(inner))
    }

    #[test]
    fn a_value_that_describes_itself_comes_back() {
        let value =
            json!({"a": [1, -2, 1.5, null, true, "\u{0}\"ü"], "b": {"": [], "c": {}}, "d": u64::MAX, "e": 5e-324});
        assert_eq!(there_and_back(&Json(value.clone())), Ok(Json(value.clone())));
        let mixed = (7_u8, vec![Json(value.clone()), Json(Value::Null)], Some(Json(value)), "behind".to_owned());
        assert_eq!(there_and_back(&mixed), Ok(mixed));
    }

    #[test]
    fn every_float_comes_back_bit_by_bit() {
        for bits in (0..10_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let float = f64::from_bits(bits);
            if float.is_finite() {
                assert_eq!(there_and_back(&Json(float)).map(|Json(back)| back.to_bits()), Ok(bits));
            }
        }
    }

    #[test]
    fn as_many_levels_are_written_as_are_read() {
        let array: fn(Value) -> Value = |inner| json!([inner]);
        for around in [array, |inner| json!({"a": inner})] {
            let deepest = nested(LEVELS_MAX, around);
            assert_eq!(there_and_back(&Json(deepest.clone())), Ok(Json(deepest)));
            let error = there_and_back(&Json(nested(LEVELS_MAX + 1, around))).unwrap_err();
            assert!(error.contains("127 levels") && error.contains("Json<"), "{error}");
        }
        let flat = Json(vec![Some(BTreeMap::from([(1, vec![(); 3])])); 1000]);
        assert_eq!(there_and_back(&flat), Ok(flat));
    }

    #[test]
    fn what_json_cannot_hold_is_an_error_that_says_so() {
        let keys = there_and_back(&Json(BTreeMap::from([((1, 2), 3)]))).unwrap_err();
        assert!(keys.contains("as JSON: key must be a string"), "{keys}");
        let nan = there_and_back(&Json(f64::NAN)).unwrap_err();
        assert!(nan.contains("as JSON: invalid type: null"), "{nan}");
    }

    #[test]
    fn other_formats_have_the_value_itself() {
        assert_eq!(serde_json::to_string(&(1, Json([2, 3]))).unwrap(), "[1,[2,3]]");
        assert_eq!(serde_json::from_str::<(u8, Json<Value>)>("[1,[2]]").unwrap().1.0, json!([2]));
        assert_eq!(there_and_back(&Json(Json(json!({"a": 1})))), Ok(Json(Json(json!({"a": 1})))));
    }

    #[test]
    fn bytes_that_are_no_json_are_errors() {
        for bytes in [&b"{"[..], b"", b"[1] 2", b"\"\xff\"", &[b'['; 5000]] {
            let mut encoded = Vec::new();
            encode(bytes, &mut encoded, 1 << 20).unwrap();
            let error = decode::<Json<Value>>(&encoded).unwrap_err().to_string();
            assert!(error.contains("as JSON: "), "{error}");
        }
    }
}
