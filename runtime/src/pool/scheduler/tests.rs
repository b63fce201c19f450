//! The scheduler, case by case; `tests/model.rs` has it under random orders of events.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::error::TaskErrorKind;
use crate::task::Origin;
use crate::transport::{Arena, ChunkHead, SOLITARY_DEATHS_MAX, SOLITARY_KILLS_MAX};
use crate::wire::Records;

mod model;
mod priority;

use model::{Model, crash, records};

fn taken(indices: std::ops::Range<usize>, timed: Option<(u32, Duration)>) -> ResultBatch {
    ResultBatch::new(indices.len() as u32, Records::new(records(indices)), timed)
}

#[test]
fn a_slow_workers_tasks_move_to_an_idle_worker() {
    let mut model = Model::new(2, Revocation::Supported);
    let call = model.open(None);
    model.start(0);
    model.push(call, &[5; 10]);
    model.start(1);
    model.claim(0, 3);
    model.take_back(0, 6);
    model.dispatch();
    assert_eq!(model.tasks_of(0), [0, 1, 2, 3]);
    assert_eq!(model.tasks_of(1), [4, 5, 6, 7, 8, 9]);
    model.settle();
    model.check_all_done();
}

/// A scheduler of so many places with one worker and an open call, and a model that makes the call's chunks.
fn one_worker(places: usize, rules: CallRules) -> (Scheduler, Model, CallId) {
    let mut scheduler = Scheduler::new(places, Revocation::Supported, None);
    let call = scheduler.open(rules);
    scheduler.add_worker(0, 1);
    (scheduler, Model::new(0, Revocation::Supported), call)
}

#[test]
fn tasks_that_come_back_from_several_chunks_keep_their_order() {
    let (mut scheduler, mut model, call) = one_worker(1, CallRules::default());
    scheduler.push(call, model.chunk(0, &[1]));
    assert!(scheduler.assign().is_some());
    scheduler.on_results(0, taken(0..1, Some((16, Duration::from_micros(160))))).unwrap();
    for (first, tasks) in [(1, 4), (5, 3)] {
        scheduler.push(call, model.chunk(first, &vec![1; tasks]));
    }
    assert!(scheduler.assign().is_some());
    scheduler.on_results(0, taken(1..2, Some((1, Duration::from_micros(10))))).unwrap();
    assert!(scheduler.assign().is_some());
    scheduler.reclaimed(0, 5);
    assert_eq!(scheduler.workers[0].tasks, 1);
    let waiting: Vec<_> =
        scheduler.calls[&call].backlog.iter().flat_map(|chunk| (0..chunk.len()).map(|at| chunk.index(at))).collect();
    assert_eq!(waiting, [3, 4, 5, 6, 7]);
}

#[test]
fn tasks_that_a_worker_has_not_run_wait_for_another_and_free_it_once() {
    let (mut scheduler, mut model, call) = one_worker(1, CallRules::default());
    scheduler.push(call, model.chunk(0, &[1; 3]));
    assert!(scheduler.assign().is_some());
    scheduler.on_results(0, ResultBatch { not_run: 2, ..taken(0..1, None) }).unwrap();
    let waiting: Vec<_> = scheduler.calls[&call].backlog.iter().map(|chunk| (chunk.index(0), chunk.len())).collect();
    assert_eq!((waiting, scheduler.idle.len(), scheduler.busy.len()), (vec![(1, 2)], 1, 0));
}

#[test]
fn short_tasks_wake_no_second_worker_while_the_first_is_hardly_busy() {
    let (mut scheduler, mut model, call) = one_worker(2, CallRules::default());
    scheduler.push(call, model.chunk(0, &[1; 100]));
    assert_eq!(scheduler.assign().map(|given| given.slot), Some(0));
    scheduler.on_results(0, taken(0..50, Some((50, Duration::from_micros(5))))).unwrap();
    scheduler.add_worker(1, 2);
    // 50 tasks of 100 ns are 5 µs; with 1000 more it is busy for 105.
    scheduler.push(call, model.chunk(100, &[1; 1000]));
    assert_eq!(scheduler.assign().map(|given| given.slot), Some(0));
    scheduler.push(call, model.chunk(1100, &[1; 10]));
    assert_eq!(scheduler.assign().map(|given| given.slot), Some(1));
}

#[test]
fn tasks_of_unknown_length_wake_every_worker() {
    let mut model = Model::new(3, Revocation::Supported);
    let call = model.open(None);
    (0..3).for_each(|slot| model.start(slot));
    for _ in 0..3 {
        model.push(call, &[1]);
    }
    assert!((0..3).all(|slot| model.tasks_of(slot).len() == 1));
}

#[test]
fn a_death_costs_all_tasks_that_were_to_give_their_results_together_and_the_running_one_comes_first() {
    let (mut scheduler, mut model, call) = one_worker(1, CallRules { is_folded: true, ..CallRules::default() });
    scheduler.push(call, model.chunk(0, &[1; 10]));
    assert_eq!(scheduler.assign().map(|given| given.claim_batch), Some(10));
    scheduler.on_results(0, taken(0..2, None)).unwrap();
    scheduler.take_done(call);
    scheduler.lost(0, 3, Some((crash(), Origin::Itself)));
    let ended: Vec<_> = scheduler.take_done(call).iter().map(|done| (done.first_index, done.count)).collect();
    assert_eq!(ended, [(4, 1), (2, 2)]);
    let waiting: Vec<_> = scheduler.calls[&call].backlog.iter().map(|chunk| (chunk.index(0), chunk.len())).collect();
    assert_eq!(waiting, [(5, 2), (7, 3)]);
}

#[test]
fn a_death_costs_the_running_task_and_the_rest_moves_on() {
    for revocation in [Revocation::Supported, Revocation::Unsupported] {
        let mut model = Model::new(2, revocation);
        let call = model.open(Some(4));
        model.start(0);
        model.push(call, &[1, 2, 3, 4]);
        model.claim(0, 2);
        model.answer(0, 1, Duration::ZERO);
        model.lose(0, true);
        model.collect();
        assert_eq!((model.done_of(call), model.failed_of(call)), (vec![0, 1], vec![1]));
        model.settle();
        model.check_all_done();
        assert_eq!(model.failed_of(call), [1]);
    }
}

#[test]
fn a_chunk_that_workers_keep_dying_with_costs_its_first_task() {
    for revocation in [Revocation::Supported, Revocation::Unsupported] {
        let mut model = Model::new(1, revocation);
        let call = model.open(Some(4));
        model.push(call, &[1; 4]);
        for deaths in 0..=SOLITARY_DEATHS_MAX {
            model.collect();
            assert!(model.done_of(call).is_empty(), "a task was blamed after {deaths} deaths");
            model.start(0);
            model.dispatch();
            model.lose(0, false);
        }
        model.collect();
        assert_eq!((model.done_of(call), model.failed_of(call)), (vec![0], vec![0]));
        model.settle();
        model.check_all_done();
    }
}

#[test]
fn workers_that_die_before_they_begin_a_chunk_cost_an_execution_together() {
    for revocation in [Revocation::Supported, Revocation::Unsupported] {
        let mut model = Model::new(1, revocation);
        let call = model.open_for(CallRules { chunk_size: Some(4), attempts: 3, ..CallRules::default() });
        model.push(call, &[1; 4]);
        for deaths in 0..3 * (SOLITARY_DEATHS_MAX + 1) {
            model.collect();
            assert!(model.done_of(call).is_empty(), "a task has failed after {deaths} deaths");
            model.start(0);
            model.dispatch();
            assert_eq!(model.tasks_of(0)[0], 0);
            model.lose(0, false);
        }
        model.collect();
        assert_eq!((model.done_of(call), model.failed_of(call)), (vec![0], vec![0]));
        model.settle();
        model.check_all_done();
    }
}

#[test]
fn a_chunk_that_workers_get_on_with_costs_no_task_however_often_they_die() {
    for revocation in [Revocation::Supported, Revocation::Unsupported] {
        let mut model = Model::new(1, revocation);
        let call = model.open(Some(10));
        model.push(call, &[1; 10]);
        for _ in 0..10 {
            model.start(0);
            model.dispatch();
            model.claim(0, 1);
            model.answer(0, 1, Duration::ZERO);
            model.lose(0, false);
        }
        model.collect();
        assert_eq!(model.failed_of(call), Vec::<usize>::new());
        model.check_all_done();
    }
}

#[test]
fn a_task_that_never_began_is_not_blamed_for_workers_that_get_on() {
    for revocation in [Revocation::Supported, Revocation::Unsupported] {
        let mut model = Model::new(2, revocation);
        let call = model.open(Some(1));
        (0..30).for_each(|_| model.push(call, &[1]));
        // Each finishes a task of another chunk, and dies with the next one before it begins that.
        for _ in 0..20 {
            model.start(0);
            model.dispatch();
            model.claim(0, 1);
            model.answer(0, 1, Duration::from_nanos(100));
            model.dispatch();
            model.lose(0, false);
        }
        model.settle();
        model.check_all_done();
        assert_eq!(model.failed_of(call), Vec::<usize>::new());
    }
}

#[test]
fn a_suspect_is_alone_at_its_worker_and_kills_from_outside_are_hardly_evidence() {
    for revocation in [Revocation::Supported, Revocation::Unsupported] {
        let mut model = Model::new(1, revocation);
        let call = model.open(Some(4));
        (0..2).for_each(|_| model.push(call, &[1; 4]));
        for deaths in 0..=SOLITARY_KILLS_MAX {
            model.collect();
            assert!(model.failed_of(call).is_empty(), "a task was blamed after {deaths} deaths");
            model.start(0);
            model.dispatch();
            if deaths > 0 {
                assert_eq!(model.tasks_of(0), [0], "nothing behind it");
            }
            model.lose_by(0, false, Origin::Outside);
        }
        model.collect();
        assert_eq!(model.failed_of(call), [0]);
        model.settle();
        model.check_all_done();
        assert_eq!(model.failed_of(call), [0]);
    }
}

#[test]
fn what_a_stalled_worker_has_not_claimed_goes_before_what_waits() {
    let mut model = Model::new(2, Revocation::Supported);
    let call = model.open(None);
    model.start(0);
    model.push(call, &[1]);
    model.claim(0, 1);
    model.answer(0, 1, Duration::from_micros(10));
    model.push(call, &[1; 5]);
    model.claim(0, 1);
    model.push(call, &[1; 5]);
    model.start(1);
    assert_eq!(model.scheduler.holders_before_next().map(|(_, _, holders)| holders), Some(vec![0]));
    model.scheduler.stalled(0);
    model.take_back(0, 4);
    assert!(model.scheduler.holders_before_next().is_none());
    model.dispatch();
    assert_eq!((model.tasks_of(0), model.tasks_of(1)[0]), (vec![1], 2));
    model.settle();
    model.check_all_done();
}

#[test]
fn results_without_a_task_are_a_violation() {
    let mut model = Model::new(1, Revocation::Unsupported);
    let call = model.open(Some(1));
    model.start(0);
    assert!(model.scheduler.on_results(0, taken(0..1, None)).is_err(), "it has no task");
    model.push(call, &[1, 1]);
    assert!(model.scheduler.returned(0).is_err(), "it was not asked to");
    assert!(model.scheduler.on_results(0, taken(0..3, None)).is_err(), "it has two tasks");
}

#[test]
fn results_that_are_not_there_are_a_violation() {
    let (mut scheduler, mut model, call) = one_worker(1, CallRules::default());
    scheduler.push(call, model.chunk(0, &[1]));
    assert!(scheduler.assign().is_some());
    scheduler.on_results(0, taken(0..1, Some((16, Duration::from_micros(16))))).unwrap();
    for first in [1, 3] {
        scheduler.push(call, model.chunk(first, &[1, 1]));
        scheduler.workers[0].answered = Some(call);
        assert!(scheduler.assign().is_some());
    }
    // Two results are told of, of two chunks of which the first needs both; one stands there.
    let mut short = taken(1..2, None);
    short.count = 3;
    assert!(scheduler.on_results(0, short).is_err());
}

#[test]
fn a_call_without_a_worker_goes_before_one_that_has_them() {
    let mut model = Model::new(1, Revocation::Unsupported);
    let first = model.open(Some(1));
    let second = model.open(Some(1));
    model.start(0);
    model.push(first, &[1]);
    model.push(first, &[1]);
    model.push(second, &[1]);
    model.answer(0, 1, Duration::ZERO);
    model.dispatch();
    assert_eq!(model.scheduler.workers[0].call, Some(second));
}

#[test]
fn nothing_waits_behind_a_small_chunk_that_cannot_be_taken_back() {
    let mut model = Model::new(1, Revocation::Unsupported);
    let call = model.open(None);
    model.start(0);
    for _ in 0..20 {
        model.push(call, &[1]);
        model.answer(0, 1, Duration::from_micros(1));
    }
    // Tasks are known to be short by now.
    model.push(call, &[1; 8]);
    model.push(call, &[1]);
    assert_eq!(model.tasks_of(0).len(), 9, "behind a chunk of many");
    model.push(call, &[1]);
    model.answer(0, 8, Duration::from_micros(8));
    model.dispatch();
    assert_eq!(model.tasks_of(0).len(), 1, "behind a single one, which may be long");
    model.settle();
    model.check_all_done();
}

#[test]
fn what_is_taken_back_goes_to_another_worker_that_is_free() {
    let mut model = Model::new(2, Revocation::Supported);
    let call = model.open(None);
    (0..2).for_each(|slot| model.start(slot));
    model.push(call, &[1]);
    let holder = usize::from(model.tasks_of(0).is_empty());
    model.take_back(holder, 1);
    model.dispatch();
    assert_eq!(model.tasks_of(1 - holder), [0]);
    model.settle();
    model.check_all_done();
}

#[test]
fn a_worker_that_has_run_out_of_a_calls_tasks_is_given_several_again() {
    let mut model = Model::new(1, Revocation::Supported);
    let calls = [model.open(None), model.open(None)];
    model.start(0);
    for call in calls {
        for _ in 0..8 {
            model.push(call, &[1; 1]);
            model.push(call, &[1; 1]);
            model.dispatch();
            assert_eq!(model.tasks_of(0).len(), 1, "nobody knows how long they take");
            model.claim(0, 1);
            model.answer(0, 1, Duration::from_micros(100));
            if model.tasks_of(0).len() == 1 {
                model.claim(0, 1);
                model.answer(0, 1, Duration::from_micros(100));
            }
            assert!(model.tasks_of(0).is_empty());
            model.dispatch();
            model.claim(0, 1);
            model.answer(0, 1, Duration::from_micros(100));
        }
        (0..3).for_each(|_| model.push(call, &[1; 1]));
        model.dispatch();
        assert_eq!(model.tasks_of(0).len(), 3);
        model.claim(0, 3);
        model.answer(0, 3, Duration::from_micros(300));
    }
    model.collect();
    model.check_all_done();
}

#[test]
fn a_suspect_is_executed_again_alone_as_often_as_is_allowed() {
    for revocation in [Revocation::Supported, Revocation::Unsupported] {
        let mut model = Model::new(1, revocation);
        let call = model.open_for(CallRules { chunk_size: Some(8), attempts: 3, ..CallRules::default() });
        model.push(call, &[1; 8]);
        for attempt in 1..=3 {
            model.start(0);
            model.dispatch();
            assert_eq!(model.tasks_of(0).len(), if attempt == 1 { 8 } else { 1 });
            model.collect();
            assert!(model.done_of(call).is_empty());
            model.claim(0, 8);
            model.lose(0, true);
        }
        model.collect();
        assert_eq!((model.done_of(call), model.failed_of(call)), (vec![0], vec![0]));
        model.start(0);
        model.dispatch();
        assert_eq!(model.tasks_of(0), [1, 2, 3], "the first half of those that had not begun");
        model.settle();
        model.check_all_done();
    }
}

#[test]
fn the_arguments_of_a_worker_that_is_to_be_killed_stand_until_it_is_gone() {
    let arena = Arc::new(Arena::private().unwrap());
    // One task without arguments.
    let block = || {
        let mut room = arena.first_room().unwrap();
        room[..4].fill(0);
        room.into_block(4)
    };
    let place = block().place().1;
    let head = ChunkHead { function: 0, attempt: 1, first_index: 0 };
    let mut scheduler = Scheduler::new(1, Revocation::Supported, None);
    let call = scheduler.open(CallRules::default());
    scheduler.add_worker(0, 1);
    scheduler.push(call, Chunk::new(head, 1, block(), 4));
    assert_eq!(scheduler.assign().map(|given| given.chunk.place().1), Some(place));
    assert_eq!(scheduler.close(call, OnCancel::Kill), [0]);
    assert_ne!(block().place().1, place, "the worker may read it");
    scheduler.lost(0, 1, None);
    assert_eq!(block().place().1, place);
}

#[test]
fn what_has_no_result_when_a_call_expires_gets_its_error() {
    for on_cancel in [OnCancel::Kill, OnCancel::Finish] {
        let mut model = Model::new(2, Revocation::Supported);
        let call = model.open(Some(4));
        model.start(0);
        model.push(call, &[1; 4]);
        model.push(call, &[1; 4]);
        model.claim(0, 2);
        model.answer(0, 1, Duration::from_micros(1));
        let limit = TaskErrorKind::TimedOut { limit: Duration::from_secs(1) };
        let held = model.scheduler.expire(call, &limit, on_cancel, |_| 1);
        assert_eq!(held, [0]);
        let mut done = model.scheduler.take_done(call);
        done.sort_by_key(|done| done.first_index);
        let outcomes: Vec<_> = done.iter().map(|done| (done.first_index, done.count, done.attempts)).collect();
        assert_eq!(outcomes, [(0, 1, 1), (1, 1, 1), (2, 2, 0), (4, 4, 0)]);
        if on_cancel == OnCancel::Finish {
            model.scheduler.on_results(0, taken(1..2, None)).unwrap();
        }
        assert!(model.scheduler.take_done(call).is_empty(), "a task has two outcomes");
    }
}

#[test]
fn some_workers_are_woken_before_anything_is_known_and_all_after_a_while() {
    let mut model = Model::new(20, Revocation::Supported);
    let call = model.open(None);
    (0..20).for_each(|slot| model.start(slot));
    for _ in 0..20 {
        assert_eq!(model.scheduler.wanted(call, None), Some(1));
        model.push(call, &[1]);
        if model.scheduler.is_ramping(call) {
            break;
        }
    }
    let busy = |model: &Model| (0..20).filter(|&slot| !model.tasks_of(slot).is_empty()).count();
    assert_eq!((busy(&model), model.scheduler.wanted(call, None)), (FIRST_WORKERS, None));
    model.scheduler.ramp_up(call);
    for _ in 0..20 {
        model.push(call, &[1]);
    }
    assert_eq!(busy(&model), 20);
    model.settle();
    model.check_all_done();
}
