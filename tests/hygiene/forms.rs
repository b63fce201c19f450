//! Every form of parameter and of return.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::path::Path;

use poolmap::{TaskErrorKind, pool_map, pool_try_map, worker};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Point {
    x: i64,
    y: i64,
}

#[worker]
fn borrowed(text: &str, bytes: &[u8], path: &Path, name: &OsStr, c: &CStr, point: &Point) -> String {
    format!("{text} {bytes:?} {} {} {} {}", path.display(), name.display(), c.count_bytes(), point.x)
}

#[worker]
fn full_paths(path: &std::path::Path, name: &::std::ffi::OsStr) -> usize {
    path.as_os_str().len() + name.len()
}

#[worker]
fn named_lifetimes<'a, 'b: 'a>(x: &'a str, y: &'b str, z: Cow<'b, str>, elided: Cow<'_, [u8]>) -> Cow<'a, str> {
    if elided.is_empty() { Cow::Borrowed(x) } else { Cow::Owned(format!("{x}{y}{z}")) }
}

#[worker]
#[expect(clippy::toplevel_ref_arg)]
fn mutable(mut values: Vec<u64>, ref text: String) -> (Vec<u64>, usize) {
    values.sort_unstable();
    (values, text.len())
}

#[worker]
fn structure(Point { x, y }: Point, &Point { x: z, .. }: &Point) -> i64 {
    x + y + z
}

#[worker]
fn nothing(_unused: BTreeMap<String, Option<Box<u8>>>) {}

#[worker]
const fn constant(x: u64) -> u64 {
    x + 1
}

#[worker]
extern "C" fn of_c(x: u64) -> u64 {
    x + 2
}

#[worker]
fn without_parameters() -> u64 {
    7
}

#[worker]
#[allow(clippy::too_many_arguments)]
fn twelve(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8) -> Vec<u8> {
    vec![a, b, c, d, e, f, g, h, i, j, k, l]
}

#[worker]
fn by_anyhow(x: u64) -> anyhow::Result<u64> {
    anyhow::ensure!(x < 2, "{x} is too large");
    Ok(x)
}

#[worker]
fn by_io(path: &Path) -> std::io::Result<u64> {
    Ok(path.metadata()?.len())
}

#[worker]
fn by_box(text: &str) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    Ok(text.parse()?)
}

#[worker]
fn by_static_text(x: u64) -> Result<u64, &'static str> {
    if x < 2 { Ok(x) } else { Err("too large") }
}

#[worker(plain)]
fn plain(x: u64) -> Result<u64, String> {
    if x < 2 { Ok(x) } else { Err(format!("{x} is too large")) }
}

mod own_path {
    //! A type of the name of a standard one, which is not meant.

    use poolmap::{pool_map, worker};
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Path(Vec<u64>);

    #[worker]
    fn length(path: &Path) -> usize {
        path.0.len()
    }

    #[poolmap::test]
    fn a_type_named_like_a_standard_one_is_itself() {
        assert_eq!(pool_map!(length, [Path(vec![1, 2])]).unwrap(), [2]);
        let _ = length { path: Path(Vec::new()) };
    }
}

#[poolmap::test]
fn references_come_as_references() {
    let point = Point { x: 1, y: 2 };
    let c = CString::new("abc").unwrap();
    let texts = pool_map!(borrowed, ["a"], [[1]], ["p"].map(Path::new), ["n"].map(OsStr::new), [&*c], [&point]);
    assert_eq!(texts.unwrap(), ["a [1] p n 3 1"]);
    assert_eq!(pool_map!(full_paths, [Path::new("ab")], [OsStr::new("c")]).unwrap(), [3]);
}

#[poolmap::test]
fn lifetimes_may_be_named() {
    let owned = pool_map!(named_lifetimes, ["a"], ["b"], ["c"], [[1]]).unwrap();
    assert_eq!(owned, ["abc"]);
}

#[poolmap::test]
fn patterns_take_arguments_apart() {
    assert_eq!(pool_map!(mutable, [[2, 1]], ["abc"]).unwrap(), [(vec![1, 2], 3)]);
    let points = [Point { x: 1, y: 2 }];
    assert_eq!(pool_map!(structure, &points, &points).unwrap(), [4]);
}

#[poolmap::test]
fn other_forms_of_functions_work() {
    assert_eq!(pool_map!(nothing, [BTreeMap::new()]).unwrap(), [()]);
    assert_eq!(pool_map!(constant, [1]).unwrap(), [2]);
    assert_eq!(pool_map!(of_c, [1]).unwrap(), [3]);
    let _ = without_parameters {};
    assert_eq!(without_parameters(), 7);
    let twelve = pool_map!(twelve, [1], [2], [3], [4], [5], [6], [7], [8], [9], [10], [11], [12]);
    assert_eq!(twelve.unwrap(), [(1..=12).collect::<Vec<u8>>()]);
}

#[poolmap::test]
fn every_result_can_fail() {
    assert_eq!(pool_map!(by_anyhow, [1]).unwrap(), [1]);
    assert!(format!("{:#}", pool_map!(by_anyhow, [2]).unwrap_err()).contains("2 is too large"));
    assert!(pool_map!(by_io, [Path::new("/no such file")]).is_err());
    assert!(pool_map!(by_box, ["x"]).is_err());
    assert!(pool_map!(by_static_text, [2]).is_err());
    assert_eq!(pool_map!(plain, [1, 2]).unwrap(), [Ok(1), Err("2 is too large".to_owned())]);
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct TooLarge(u64);

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is too large", self.0)
    }
}

impl std::error::Error for TooLarge {}

#[worker]
fn typed(x: u64) -> Result<u64, TooLarge> {
    if x < 2 { Ok(x) } else { Err(TooLarge(x)) }
}

#[poolmap::test]
fn a_serde_error_comes_back_as_itself() {
    let outcomes = pool_try_map!(typed, [1, 2]).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap(), &1);
    let TaskErrorKind::Failed(error) = outcomes[1].as_ref().unwrap_err().kind() else {
        panic!("another kind of error: {:?}", outcomes[1]);
    };
    assert_eq!(error.downcast::<TooLarge>(), Some(TooLarge(2)));
}
