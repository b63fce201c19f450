//! Every kind of item that can stand for a parameter.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use poolmap::{pool_map, worker};

#[worker]
fn number(x: i64) -> i64 {
    x
}

#[worker]
fn float(x: f32) -> f32 {
    x
}

#[worker]
fn text(x: &str) -> String {
    x.to_owned()
}

#[worker]
fn list(x: &[i64]) -> Vec<i64> {
    x.to_vec()
}

#[worker]
fn lists(x: Vec<Vec<i64>>) -> Vec<Vec<i64>> {
    x
}

#[worker]
fn path(x: &Path) -> PathBuf {
    x.to_owned()
}

#[worker]
fn boxed(x: Box<i64>) -> Box<i64> {
    x
}

#[worker]
fn array(x: [i64; 2]) -> [i64; 2] {
    x
}

#[worker]
fn entry(x: (String, i64)) -> (String, i64) {
    x
}

#[poolmap::test]
fn literals_take_the_type_of_the_parameter() {
    assert_eq!(pool_map!(number, -1..1).unwrap(), [-1, 0]);
    assert_eq!(pool_map!(number, [1, 2]).unwrap(), [1, 2]);
    assert_eq!(pool_map!(number, (0..=4).step_by(2)).unwrap(), [0, 2, 4]);
    assert_eq!(pool_map!(number, vec![1; 2].into_iter().map(|x| x + 1)).unwrap(), [2, 2]);
    assert_eq!(pool_map!(float, [1.5]).unwrap(), [1.5]);
}

#[poolmap::test]
fn what_points_to_the_parameter_stands_for_it() {
    let values = vec![1, 2];
    assert_eq!(pool_map!(number, &values).unwrap(), [1, 2]);
    assert_eq!(pool_map!(number, values.iter().filter(|x| **x > 1)).unwrap(), [2]);
    assert_eq!(pool_map!(number, values.iter().collect::<Vec<_>>().iter()).unwrap(), [1, 2]);
    assert_eq!(pool_map!(number, [Box::new(1)]).unwrap(), [1]);
    assert_eq!(pool_map!(number, [Rc::new(1)]).unwrap(), [1]);
    assert_eq!(pool_map!(number, &[Arc::new(1)]).unwrap(), [1]);
    assert_eq!(pool_map!(boxed, [Box::new(1)]).unwrap(), [Box::new(1)]);
    assert_eq!(pool_map!(number, values.clone().iter_mut()).unwrap(), [1, 2]);
}

#[poolmap::test]
fn texts_stand_for_a_string() {
    let owned = "a b".to_owned();
    let expected = ["a", "b"];
    assert_eq!(pool_map!(text, owned.split(' ')).unwrap(), expected);
    assert_eq!(pool_map!(text, expected).unwrap(), expected);
    assert_eq!(pool_map!(text, &expected).unwrap(), expected);
    assert_eq!(pool_map!(text, expected.map(String::from)).unwrap(), expected);
    assert_eq!(pool_map!(text, &expected.map(String::from)).unwrap(), expected);
    assert_eq!(pool_map!(text, expected.map(Cow::Borrowed)).unwrap(), expected);
    assert_eq!(pool_map!(text, expected.map(Arc::<str>::from)).unwrap(), expected);
}

#[poolmap::test]
fn slices_and_arrays_stand_for_a_vec() {
    let values = [1, 2, 3, 4];
    let expected = [[1, 2], [3, 4]];
    assert_eq!(pool_map!(list, values.chunks(2)).unwrap(), expected);
    assert_eq!(pool_map!(list, expected).unwrap(), expected);
    assert_eq!(pool_map!(list, &expected).unwrap(), expected);
    assert_eq!(pool_map!(list, vec![vec![1, 2], vec![3, 4]]).unwrap(), expected);
    assert_eq!(pool_map!(list, [vec![1, 2].into_boxed_slice()]).unwrap(), [[1, 2]]);
    assert_eq!(pool_map!(lists, [vec![vec![1], vec![2]]]).unwrap(), [[[1], [2]]]);
    assert_eq!(pool_map!(array, expected).unwrap(), expected);
    assert_eq!(pool_map!(array, &expected).unwrap(), expected);
}

#[poolmap::test]
fn paths_stand_for_a_path_buf() {
    let expected = [PathBuf::from("/a")];
    assert_eq!(pool_map!(path, [Path::new("/a")]).unwrap(), expected);
    assert_eq!(pool_map!(path, expected.clone()).unwrap(), expected);
    assert_eq!(pool_map!(path, &expected).unwrap(), expected);
}

#[poolmap::test]
fn a_map_gives_its_entries() {
    let entries = HashMap::from([("a".to_owned(), 1)]);
    assert_eq!(pool_map!(entry, entries).unwrap(), [("a".to_owned(), 1)]);
}
