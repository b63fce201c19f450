//! A function that broke a rule is no further error where it is used.

use poolmap::{pool_iter, pool_map, worker};

#[worker]
fn total(values: &mut Vec<u64>) -> u64 {
    values.iter().sum()
}

fn main() {
    total(&mut vec![1]);
    let totals: Vec<u64> = pool_map!(total, [vec![1]]).unwrap();
    for total in pool_iter!(total, [vec![1]], [2]; window = 3).unwrap() {
        let total: u64 = total.unwrap();
        let _ = (total, &totals);
    }
    let _ = total { values: Vec::new() };
}
