//! Priorities: the order in which tasks go to workers (rule 10).

use super::*;
use crate::task::{Limits, TaskRules};

fn with_priority(chunk: Chunk, priority: i32) -> Chunk {
    chunk.ruled(Some(TaskRules { limits: Limits::default(), attempts: 1, priority }))
}

/// Gives the next task to the one worker, which runs it; returns its index.
fn run_next(scheduler: &mut Scheduler) -> Option<usize> {
    let index = scheduler.assign()?.chunk.index(0);
    scheduler.on_results(0, taken(index..index + 1, None)).unwrap();
    Some(index)
}

#[test]
fn tasks_of_one_call_go_by_priority_and_then_by_index() {
    for revocation in [Revocation::Supported, Revocation::Unsupported] {
        let mut scheduler = Scheduler::new(1, revocation, None);
        let mut model = Model::new(0, revocation);
        let call = scheduler.open(CallRules::default());
        for (index, priority) in [0, i32::MIN, 7, 0, 7, i32::MAX, -1].into_iter().enumerate() {
            scheduler.push(call, with_priority(model.chunk(index, &[1]), priority));
        }
        scheduler.add_worker(0, 1);
        let order: Vec<usize> = std::iter::from_fn(|| run_next(&mut scheduler)).collect();
        assert_eq!(order, [5, 2, 4, 0, 3, 6, 1]);
    }
}

#[test]
fn a_free_worker_goes_to_the_call_of_the_highest_priority() {
    let (mut scheduler, mut model, low) = one_worker(1, CallRules::default());
    let high = scheduler.open(CallRules { priority: 3, ..CallRules::default() });
    for index in 0..3 {
        scheduler.push(low, model.chunk(index, &[1]));
        scheduler.push(high, model.chunk(10 + index, &[1]));
    }
    let order: Vec<usize> = std::iter::from_fn(|| run_next(&mut scheduler)).collect();
    assert_eq!(order, [10, 11, 12, 0, 1, 2]);
}

/// A worker that was given tasks ahead, each of some microseconds.
fn with_tasks_ahead() -> (Scheduler, Model, CallId) {
    let (mut scheduler, mut model, call) = one_worker(1, CallRules::default());
    scheduler.push(call, model.chunk(0, &[1]));
    assert!(scheduler.assign().is_some());
    scheduler.on_results(0, taken(0..1, Some((16, Duration::from_micros(160))))).unwrap();
    scheduler.push(call, model.chunk(1, &[1; 4]));
    assert!(scheduler.assign().is_some());
    (scheduler, model, call)
}

#[test]
fn tasks_that_were_given_ahead_are_taken_back_for_higher_ones_alone() {
    for (priority, holders) in [(1, vec![0]), (0, vec![]), (-1, vec![])] {
        let (mut scheduler, mut model, call) = with_tasks_ahead();
        scheduler.push(call, with_priority(model.chunk(9, &[1]), priority));
        assert_eq!(scheduler.holders_behind_next(), holders, "priority {priority}");
        let other = scheduler.open(CallRules { priority, ..CallRules::default() });
        scheduler.push(other, model.chunk(0, &[1]));
        assert_eq!(scheduler.holders_behind_next(), holders, "priority {priority}");
    }
}

#[test]
fn nothing_goes_behind_what_a_worker_has_while_a_higher_task_waits() {
    let (mut scheduler, mut model, low) = with_tasks_ahead();
    let high = scheduler.open(CallRules { priority: 1, ..CallRules::default() });
    scheduler.push(low, model.chunk(5, &[1]));
    scheduler.push(high, model.chunk(0, &[1]));
    assert!(scheduler.assign().is_none());
    assert_eq!(scheduler.tasks_behind_first(0), 3);
    scheduler.reclaimed(0, 3);
    assert!(scheduler.assign().is_none() && scheduler.holders_behind_next().is_empty());
    scheduler.on_results(0, taken(1..2, None)).unwrap();
    let next = scheduler.assign().unwrap();
    assert_eq!((next.slot, next.chunk.index(0), next.chunk.len()), (0, 0, 1));
    scheduler.on_results(0, taken(0..1, None)).unwrap();
    assert_eq!(scheduler.assign().unwrap().chunk.index(0), 2);
}

#[test]
fn a_lower_call_that_has_no_worker_holds_no_higher_one_up() {
    let (mut scheduler, mut model, low) = one_worker(1, CallRules::default());
    let high = scheduler.open(CallRules { priority: 1, ..CallRules::default() });
    scheduler.push(high, model.chunk(0, &[1]));
    assert!(scheduler.assign().is_some());
    scheduler.on_results(0, taken(0..1, Some((16, Duration::from_micros(160))))).unwrap();
    scheduler.push(high, model.chunk(1, &[1]));
    assert!(scheduler.assign().is_some());
    scheduler.push(low, model.chunk(0, &[1]));
    scheduler.push(high, model.chunk(2, &[1]));
    assert_eq!(scheduler.assign().map(|given| given.chunk.index(0)), Some(2));
    assert!(scheduler.assign().is_none());
}
