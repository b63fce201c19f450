//! What tests of streams use: a small executor, a stream that is fed by hand, wakers that count.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use futures_lite::Stream;

/// Begins a test. What smol keeps for the whole program is there before the first begins.
pub(crate) fn guard() -> crate::common::Guard {
    static SMOL: Once = Once::new();
    SMOL.call_once(|| {
        smol::block_on(async {
            smol::Timer::after(Duration::from_millis(1)).await;
            smol::spawn(async {}).await;
        });
    });
    crate::common::guard()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, which sleeps in between.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Counts how often it is woken.
#[derive(Default)]
pub(crate) struct Woken(AtomicUsize);

impl Woken {
    pub(crate) fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls a stream once.
pub(crate) fn poll<S: Stream + Unpin>(stream: &mut S, waker: &Waker) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(waker))
}

/// Polls a stream until it waits for something.
pub(crate) fn begin<S: Stream + Unpin>(stream: &mut S) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    begin_with(stream, &woken, &waker);
}

/// The same with this waker, which counts; returns how often it was woken until then.
pub(crate) fn begin_with<S: Stream + Unpin>(stream: &mut S, woken: &Woken, waker: &Waker) -> usize {
    loop {
        let before = woken.times();
        assert!(poll(stream, waker).is_pending());
        // A poll that takes long has itself polled again.
        if woken.times() == before {
            return before;
        }
    }
}

/// Polls a stream, which has no item, until something holds.
pub(crate) fn poll_until<S: Stream + Unpin>(stream: &mut S, what: &str, holds: impl Fn() -> bool) {
    crate::common::wait_until(what, || {
        begin(stream);
        holds()
    });
}

struct FeedState<T> {
    items: VecDeque<T>,
    is_closed: bool,
    waker: Option<Waker>,
    ended: usize,
}

/// Feeds a stream by hand.
pub(crate) struct Feed<T>(Arc<Mutex<FeedState<T>>>);

/// A stream that has an item when it is fed one.
pub(crate) struct Fed<T>(Arc<Mutex<FeedState<T>>>);

/// A stream that is fed by hand, and what feeds it.
pub(crate) fn feed<T>() -> (Feed<T>, Fed<T>) {
    let state = FeedState { items: VecDeque::new(), is_closed: false, waker: None, ended: 0 };
    let state = Arc::new(Mutex::new(state));
    (Feed(Arc::clone(&state)), Fed(state))
}

impl<T> Feed<T> {
    fn change(&self, change: impl FnOnce(&mut FeedState<T>)) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            change(&mut state);
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn send(&self, item: T) {
        self.change(|state| state.items.push_back(item));
    }

    pub(crate) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }
}

impl<T> Stream for Fed<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock().unwrap();
        match state.items.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if state.is_closed => {
                state.ended += 1;
                assert_eq!(state.ended, 1, "a stream is polled after its end");
                Poll::Ready(None)
            }
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// A stream that says that it is endless, and never has an item.
pub(crate) fn endless<T>() -> impl Stream<Item = T> {
    struct Endless<T>(std::marker::PhantomData<fn() -> T>);

    impl<T> Stream for Endless<T> {
        type Item = T;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
            Poll::Pending
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            (usize::MAX, None)
        }
    }

    Endless(std::marker::PhantomData)
}
