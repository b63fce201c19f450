//! What a worker has claimed and not begun, between the two ends. The order of single steps is modelled beside `recall`.

use super::*;

#[test]
fn what_a_worker_has_claimed_and_not_begun_is_recalled() {
    // The second task is counted, and not begun yet, when the parent looks.
    for is_counted in [false, true] {
        let (arena, parent_ring, mut end) = ends();
        let parent_ring = RefCell::new(parent_ring);
        parent_ring.borrow_mut().assign(&chunk(&arena, &[0; 5], false), None, 5, (0, 0));
        let mut ran = 0;
        let mut recalled = None;
        while let Some(claimed) = end.next(5) {
            run_claimed(&mut end, &claimed, |_, sink| {
                ran += 1;
                if ran == 2 {
                    if is_counted {
                        parent_ring.borrow().words.word(layout::BEGUN).store(3, Ordering::Release);
                    }
                    recalled = parent_ring.borrow_mut().recall().unwrap();
                    assert!(parent_ring.borrow_mut().recall().unwrap().is_none(), "a recall is under way");
                }
                sink.write(b"ran");
            })
            .unwrap();
        }
        assert_eq!((ran, recalled), (2, Some(if is_counted { 2 } else { 3 })));
        let (taken, _) = parent_ring.borrow_mut().take().unwrap().unwrap();
        assert_eq!((taken.count, taken.not_run, taken.ends_recall), (2, u32::from(is_counted), true));
        assert_eq!(parent_ring.borrow_mut().load().unwrap(), (0, 0));
        let another = chunk(&arena, &[0], false);
        parent_ring.borrow_mut().assign(&another, None, 0, (0, 0));
        assert!(end.next(1).is_some(), "the worker takes part again");
    }
}

#[test]
fn a_worker_that_runs_what_was_recalled_breaks_the_protocol() {
    let (arena, mut parent_ring, mut end) = ends();
    parent_ring.assign(&chunk(&arena, &[0; 4], false), None, 4, (0, 0));
    let claimed = end.next(4).unwrap();
    assert_eq!(parent_ring.recall().unwrap(), Some(4));
    // As a worker does that does not look.
    parent_ring.words.word(layout::REVOKED).store(0, Ordering::Relaxed);
    run_claimed(&mut end, &claimed, |_, sink| sink.write(b"ran")).unwrap();
    assert!(parent_ring.take().is_err());
}

#[test]
fn what_a_worker_does_not_run_behind_a_hang_up_is_told_apart_from_its_results() {
    let (arena, parent_ring, mut end) = ends();
    let parent_ring = RefCell::new(parent_ring);
    parent_ring.borrow_mut().assign(&chunk(&arena, &[0; 5], false), None, 3, (0, 0));
    let mut ran = 0;
    while let Some(claimed) = end.next(3) {
        run_claimed(&mut end, &claimed, |_, sink| {
            ran += 1;
            parent_ring.borrow_mut().hang_up();
            sink.write(b"ran");
        })
        .unwrap();
    }
    assert_eq!(ran, 1);
    let (taken, _) = parent_ring.borrow_mut().take().unwrap().unwrap();
    assert_eq!((taken.count, taken.not_run, taken.ends_recall), (1, 4, false));
}

#[test]
fn what_was_lent_for_entries_that_are_taken_back_one_after_another_ends() {
    let (arena, mut parent_ring, _end) = ends();
    for message in 1..=3 {
        parent_ring.assign(&chunk(&arena, &[message], false), None, 1, (message, 0));
    }
    for _ in 0..3 {
        assert_eq!(parent_ring.take_back(1).unwrap(), 1);
        let ended = parent_ring.words.word(layout::LEASES_ENDED).load(Ordering::Relaxed);
        assert_eq!(ended, 3);
    }
}
