//! Tests alone: values there and back, and what is refused on the way.

use serde::Deserialize;

use super::*;

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let mut bytes = Vec::new();
    encode(value, &mut bytes, 1 << 24).unwrap();
    assert_eq!(decode::<T>(&bytes).as_ref(), Ok(value));
}

#[test]
fn values_come_back_as_they_went() {
    round_trip(&(i64::MIN, u8::MAX, "ä".to_owned(), Some(1.5f64), vec![(); 3]));
    // The interpreter takes minutes for so many.
    if !cfg!(miri) {
        round_trip(&vec![7u8; (1 << 20) + 1]);
    }
}

#[test]
fn a_value_over_the_limit_is_an_error_that_names_the_limit() {
    let error = encode(&vec![0u8; 200], &mut Vec::new(), 100).unwrap_err();
    assert!(error.message().contains("100 bytes"), "{error}");
}

#[test]
fn a_claimed_length_is_not_believed() {
    let claim = u64::MAX.to_le_bytes();
    assert!(decode::<Vec<u8>>(&claim).is_err());
    assert!(decode::<String>(&(1u64 << 40).to_le_bytes()).is_err());
}

#[test]
fn bytes_left_over_are_an_error() {
    assert!(decode::<u8>(&[1, 2]).is_err());
}

/// Encodes one, and reads the bytes as the other.
fn across<A: Serialize, B: DeserializeOwned>(value: &A) -> Result<B, CodecError> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes, usize::MAX).unwrap();
    decode(&bytes)
}

#[derive(Debug, Serialize, Deserialize)]
enum List {
    End,
    ParentChannel(Box<List>),
}

impl Drop for List {
    fn drop(&mut self) {
        let mut next = match self {
            Self::End => return,
            Self::ParentChannel(next) => std::mem::replace(&mut **next, Self::End),
        };
        while let Self::ParentChannel(link) = &mut next {
            next = std::mem::replace(&mut **link, Self::End);
        }
    }
}

impl List {
    fn of(links: usize) -> Self {
        (0..links).fold(Self::End, |list, _| Self::ParentChannel(Box::new(list)))
    }

    fn len(&self) -> usize {
        std::iter::successors(Some(self), |list| match list {
            Self::End => None,
            Self::ParentChannel(next) => Some(next),
        })
        .count()
            - 1
    }
}

/// Runs it on a stack of so many bytes.
fn on_stack<T: Send + 'static>(bytes: usize, run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(bytes).spawn(run).unwrap().join().unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "the interpreter has no stack of the system's")]
fn a_value_nested_too_deep_is_an_error_whatever_the_stack() {
    let deep = |links| {
        on_stack(64 << 20, move || {
            let mut bytes = Vec::new();
            encode(&List::of(links), &mut bytes, usize::MAX).map(|()| bytes)
        })
    };
    // Deeper than a value may be, as a worker may write it.
    let link = deep(1).unwrap()[..4].to_vec();
    let hostile = [link.repeat(1 << 14), deep(0).unwrap()].concat();
    for stack in [64 << 10, 256 << 10, 2 << 20, 64 << 20] {
        let bytes = hostile.clone();
        let error = on_stack(stack, move || decode::<List>(&bytes).map(drop)).unwrap_err();
        assert!(error.message().contains("flatten it") && error.message().contains("List"), "{error}");
        let error = on_stack(stack, || encode(&List::of(1 << 14), &mut Vec::new(), usize::MAX)).unwrap_err();
        assert!(error.message().contains("flatten it") && error.message().contains("List"), "{error}");
    }
    let bytes = deep(1500).unwrap();
    assert_eq!(on_stack(64 << 20, move || decode::<List>(&bytes).unwrap().len()), 1500);
}

#[test]
#[cfg_attr(miri, ignore = "the interpreter has no stack of the system's")]
fn every_kind_of_nesting_has_a_level() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Links(Vec<Links>);
    #[derive(Debug, Serialize, Deserialize)]
    struct Newtype(Box<Option<Newtype>>);
    #[derive(Debug, Serialize, Deserialize)]
    struct Pair {
        large: [[u64; 32]; 16],
        next: Option<Box<Pair>>,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Map(std::collections::BTreeMap<u8, Map>);
    #[derive(Debug, Serialize, Deserialize)]
    struct Never(Box<Never>);
    fn refused<T: DeserializeOwned>(bytes: Vec<u8>) {
        for stack in [1 << 20, 8 << 20] {
            let bytes = bytes.clone();
            let error = on_stack(stack, move || decode::<T>(&bytes).map(drop)).unwrap_err();
            assert!(error.message().contains("flatten it"), "{}: {error}", std::any::type_name::<T>());
        }
    }
    refused::<Links>(1u64.to_le_bytes().repeat(1 << 16));
    refused::<Newtype>(vec![1; 1 << 16]);
    refused::<Pair>([vec![0; 4096], vec![1]].concat().repeat(1 << 12));
    refused::<Map>([&1u64.to_le_bytes()[..], &[0]].concat().repeat(1 << 16));
    refused::<Never>(Vec::new());
}

#[test]
fn claims_of_elements_without_bytes_have_an_end() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Page {
        #[serde(skip)]
        _page: Option<[[u64; 32]; 4]>,
    }
    fn refused<T: DeserializeOwned>(bytes: &[u8]) {
        let error = decode::<T>(bytes).map(drop).unwrap_err();
        assert!(error.message().contains("take no bytes") || error.message().contains("more memory"), "{error}");
    }
    let claim = |length: u64| length.to_le_bytes();
    for length in [u64::MAX, 1 << 40, 1 << 27] {
        refused::<Vec<()>>(&claim(length));
        refused::<Vec<Page>>(&claim(length));
        refused::<Vec<Box<Page>>>(&claim(length));
        refused::<std::collections::HashSet<()>>(&claim(length));
        refused::<std::collections::BTreeMap<(), ()>>(&claim(length));
        refused::<std::collections::VecDeque<std::marker::PhantomData<u8>>>(&claim(length));
        // Few bytes for each of many claims.
        refused::<Vec<Vec<()>>>(&[claim(2), claim(1 << 10), claim((1 << 26) + 1)].concat());
    }
    assert!(
        encode(&vec![(); usize::MAX], &mut Vec::new(), usize::MAX).unwrap_err().message().contains("take no bytes")
    );
    let many = [vec![(); 1 << 10], vec![(); 1 << 26]];
    assert!(encode(&many, &mut Vec::new(), usize::MAX).unwrap_err().message().contains("take no bytes"));
    if !cfg!(miri) {
        round_trip(&vec![(); 1 << 16]);
    }
}

#[test]
fn few_bytes_become_no_more_than_so_much_memory() {
    use std::collections::{BTreeMap, VecDeque};

    fn refused<T: DeserializeOwned>(bytes: &[u8], memory_max: u64) {
        assert!(deserializer::decode_without_sum::<T>(bytes, u64::MAX).is_ok());
        let error = deserializer::decode_without_sum::<T>(bytes, memory_max).map(drop).unwrap_err();
        assert!(error.to_string().contains("more memory than a value may"), "{error}");
    }
    #[derive(Deserialize)]
    struct Page {
        #[serde(skip)]
        _page: [u64; 32],
    }
    type Large = [[u64; 32]; 4];
    let claim = |length: u64, bytes: &[u8]| [&length.to_le_bytes()[..], bytes].concat();
    refused::<Vec<Option<Large>>>(&claim(100, &[0; 100]), 100_000);
    refused::<VecDeque<Option<Large>>>(&claim(100, &[0; 100]), 100_000);
    refused::<BTreeMap<u8, Option<Large>>>(&claim(100, &[0; 200].map(|byte: u8| byte)), 100_000);
    refused::<Vec<Option<Box<Page>>>>(&claim(100, &[1; 100]), 25_000);
    // What is honest takes less.
    let honest = vec![Some(vec![("text".to_owned(), [0u64; 8]); 10]); 10];
    let mut bytes = Vec::new();
    encode(&honest, &mut bytes, usize::MAX).unwrap();
    let all = 64 * bytes.len() as u64;
    assert_eq!(
        deserializer::decode_without_sum::<Vec<Option<Vec<(String, [u64; 8])>>>>(&bytes, all).unwrap().0,
        honest
    );
}

#[test]
fn fields_that_are_left_out_are_an_error_that_names_them() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Order {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        discount: Option<u32>,
        total: u32,
    }
    #[derive(Debug, Serialize, Deserialize)]
    enum Event {
        Sold {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            price: Option<u32>,
        },
    }
    let refused = |error: CodecError, of: &str, field: &str| {
        let message = error.message();
        assert!(message.contains(of) && message.contains(field) && message.contains("skip_serializing_if"), "{error}");
    };
    refused(encode(&Order { discount: None, total: 1 }, &mut Vec::new(), 100).unwrap_err(), "Order", "discount");
    refused(encode(&Event::Sold { price: None }, &mut Vec::new(), 100).unwrap_err(), "Sold", "price");
    let order = across::<_, Order>(&Order { discount: Some(3), total: 1 }).unwrap();
    assert_eq!((order.discount, order.total), (Some(3), 1));
}

#[test]
fn a_type_that_reads_other_than_it_writes_is_never_another_value() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Unread {
        #[serde(skip_deserializing)]
        a: u8,
        b: Option<u8>,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Unwritten {
        #[serde(skip_serializing, default)]
        _a: u8,
        b: Option<u8>,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Tuple(#[serde(skip_serializing_if = "is_zero", default)] u8, #[serde(default)] Option<u8>);
    #[derive(Debug, Serialize, Deserialize)]
    enum Variants {
        Tuple(#[serde(skip_serializing_if = "is_zero", default)] u8, #[serde(default)] Option<u8>),
        Unread(#[serde(skip_deserializing)] u8, Option<u8>),
        Gone(#[serde(skip_deserializing)] u8),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Skipped {
        #[serde(skip)]
        a: u8,
        b: Option<u8>,
    }
    fn is_zero(number: &u8) -> bool {
        *number == 0
    }
    fn refused<T: Serialize + DeserializeOwned + std::fmt::Debug>(value: &T) {
        let error = across::<T, T>(value).unwrap_err();
        assert!(error.message().contains("what its Serialize writes"), "{error}");
        // Where what follows could be taken for a part of it.
        assert!(across::<_, (T, Option<bool>, Vec<Option<u8>>)>(&(value, true, vec![Some(0u8)])).is_err());
        assert!(across::<_, Vec<T>>(&[value, value]).is_err());
    }
    // One byte is written before none: read as a value that is there.
    refused(&Unread { a: 1, b: None });
    refused(&Unwritten { _a: 1, b: Some(0) });
    refused(&Tuple(0, Some(1)));
    refused(&Variants::Tuple(0, Some(1)));
    refused(&Variants::Unread(1, None));
    refused(&Variants::Gone(1));
    assert_eq!(across::<_, Skipped>(&Skipped { a: 0, b: Some(2) }), Ok(Skipped { a: 0, b: Some(2) }));
    assert!(matches!(across::<_, Variants>(&Variants::Tuple(1, None)), Ok(Variants::Tuple(1, None))));
}

#[test]
fn a_variant_that_is_not_read_moves_no_other() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum State {
        #[serde(skip_deserializing)]
        Legacy,
        Open(u32),
        Closed(u32),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Renamed {
        #[serde(alias = "a", alias = "b")]
        First,
        #[serde(alias = "c")]
        Second(u8),
        Third {
            x: u8,
        },
    }
    for state in [State::Open(1), State::Closed(2)] {
        assert_eq!(across::<_, State>(&state), Ok(state));
    }
    for renamed in [Renamed::First, Renamed::Second(2), Renamed::Third { x: 3 }] {
        assert_eq!(across::<_, Renamed>(&renamed), Ok(renamed));
    }
    assert!(across::<_, State>(&State::Legacy).is_err());
}

#[test]
fn wrong_numbers_of_parts_are_an_error() {
    use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple};

    struct Wrong(u8);

    impl Serialize for Wrong {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                0 => serializer.serialize_seq(Some(2)).and_then(|mut parts| {
                    parts.serialize_element(&1)?;
                    parts.end()
                }),
                1 => serializer.serialize_map(Some(1)).and_then(|mut parts| {
                    parts.serialize_entry(&1, &2)?;
                    parts.serialize_entry(&1, &2)?;
                    parts.end()
                }),
                2 => serializer.serialize_tuple(2).and_then(|parts| parts.end()),
                _ => serializer.serialize_struct("Wrong", 1).and_then(|mut parts| {
                    parts.serialize_field("one", &1)?;
                    parts.serialize_field("two", &1)?;
                    parts.end()
                }),
            }
        }
    }

    for wrong in 0..4 {
        let error = encode(&Wrong(wrong), &mut Vec::new(), 100).unwrap_err();
        assert!(error.message().contains("more or fewer"), "{error}");
    }
}
