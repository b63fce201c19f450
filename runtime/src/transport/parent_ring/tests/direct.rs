//! Large outputs that go into their own memory, and what looks as if it were one.
#![cfg(target_pointer_width = "64")]

use super::*;
use crate::transport::parent_ring::direct::DIRECT_BYTES_MIN;

/// What a worker writes for some tasks, one after another, is taken as this.
fn taken_of(new_direct: Option<NewDirect>, results: &[(Status, Vec<u8>)]) -> Vec<(bool, Status, Vec<u8>)> {
    let (arena, parent_ring, mut end) = ends();
    let parent_ring = RefCell::new(parent_ring);
    let tasks: Vec<u64> = (0..results.len() as u64).collect();
    parent_ring.borrow_mut().assign(&chunk(&arena, &tasks, false).direct(new_direct), None, 1, (0, 0));
    let taken = RefCell::new(Vec::new());
    let take = || {
        while let Some((batch, _)) = parent_ring.borrow_mut().take().unwrap() {
            let mut records = batch.records;
            for _ in 0..batch.count {
                taken.borrow_mut().push(match records.take_direct() {
                    Some(output) => (true, Status::Output, [&output.encoding().0, output.encoding().1].concat()),
                    None => records.next().map(|(status, payload)| (false, status, payload.to_vec())).unwrap(),
                });
            }
            assert_eq!(records.drop_rest(), 0);
        }
    };
    while end.next(1).is_some() {
        let number = end.number() as usize;
        let (status, bytes) = results[number].clone();
        let oversized = OversizedResult::alone(status, bytes);
        end.send_oversized(&oversized, |_, _| {
            take();
            Ok(())
        })
        .unwrap();
        if number != 1 {
            take();
        }
    }
    take();
    taken.into_inner()
}

/// The encoding of a `Vec` of so many bytes.
fn bytes_output(count: usize) -> Vec<u8> {
    let elements: Vec<u8> = (0..count).map(|at| (at % 251) as u8).collect();
    let mut encoding = Vec::new();
    codec::encode(&elements, &mut encoding, usize::MAX).unwrap();
    encoding
}

#[test]
fn large_outputs_come_by_themselves_and_what_is_none_as_it_was_written() {
    let mut too_short = bytes_output(5 << 20);
    too_short.pop();
    let mut too_long = bytes_output(6 << 20);
    too_long.push(0);
    let results = [
        (Status::Output, bytes_output(10)),
        (Status::Output, bytes_output(DIRECT_BYTES_MIN)),
        (Status::Output, bytes_output(10 << 20)),
        (Status::Failure, bytes_output(10 << 20)),
        (Status::Output, too_short),
        (Status::Panic, bytes_output(DIRECT_BYTES_MIN)),
        (Status::Output, too_long),
        (Status::Output, Vec::new()),
        (Status::Output, bytes_output(2 << 20)),
        (Status::Output, bytes_output(12 << 20)),
    ];
    let taken = taken_of(direct_output::<Vec<u8>>(), &results);
    let whole: Vec<_> = taken.iter().map(|(_, status, bytes)| (*status, bytes.clone())).collect();
    assert!(whole == results, "a result is not what was written");
    let direct: Vec<bool> = taken.iter().map(|(direct, ..)| *direct).collect();
    assert_eq!(direct, [false, true, true, false, false, false, false, false, false, true]);
}

#[test]
fn outputs_of_other_types_are_copied_as_before() {
    let results = [(Status::Output, bytes_output(1 << 20)), (Status::Output, bytes_output(5 << 20))];
    let taken = taken_of(None, &results);
    let expected = results.map(|(status, bytes)| (false, status, bytes));
    assert!(taken == expected, "a result is not what was written");
}

#[test]
fn a_part_of_another_type_of_output_is_none_of_this() {
    let (arena, mut parent_ring, mut end) = ends();
    parent_ring.direct_bytes_min = 1 << 10;
    parent_ring.assign(&chunk(&arena, &[0], false), None, 1, (0, 0));
    end.next(1).unwrap();
    let output = bytes_output(6 << 20);
    let mut taken = Vec::new();
    let mut take = |parent_ring: &mut ParentRing| {
        while let Some((batch, _)) = parent_ring.take().unwrap() {
            taken.push((batch.count, batch.records));
        }
    };
    let mut is_first = true;
    end.send_oversized(&OversizedResult::alone(Status::Output, output.clone()), |_, _| {
        take(&mut parent_ring);
        // From now on, tasks have another output, as the parent has it.
        if std::mem::take(&mut is_first) {
            parent_ring.entries.front_mut().unwrap().new_direct = None;
        }
        Ok(())
    })
    .unwrap();
    take(&mut parent_ring);
    assert!(parent_ring.direct.is_none());
    let (count, mut records) = taken.pop().unwrap();
    assert_eq!((count, taken.iter().map(|(count, _)| count).sum()), (1, 0));
    assert!(records.next().unwrap() == (Status::Output, &output[..]));
}
