//! A part of an array is taken by value.

use poolmap::{SharedSliceMut, worker};

#[worker]
fn double(part: &mut SharedSliceMut<f64>) {
    part.iter_mut().for_each(|number| *number *= 2.0);
}

#[worker]
fn halve(part: &mut poolmap::SharedSliceMut<f64>) {
    part.iter_mut().for_each(|number| *number /= 2.0);
}

fn main() {}
