//! How long a pool takes from its building to its end: ended while its workers start, and once they have answered.

use poolmap::Pool;

use crate::workers::answered;

const WORKERS: [usize; 3] = [1, 2, 8];

#[divan::bench(args = WORKERS)]
fn build_and_drop(workers: usize) {
    drop(Pool::builder().workers(workers).build().expect("processes start"));
}

#[divan::bench(args = WORKERS)]
fn build_answer_and_drop(workers: usize) {
    drop(answered(workers));
}
