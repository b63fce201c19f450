//! Points where the suite makes a process fail or wait, to see what that costs. Without the feature `__failpoints`, which the
//! suite alone turns on, they are nothing. The code at a point is not known here.

#[cfg(feature = "__failpoints")]
mod plan;

#[cfg(feature = "__failpoints")]
pub(crate) use plan::{cut, reached};

/// Names each point for the plan.
macro_rules! points {
    ($($(#[$documentation:meta])+ $point:ident = $name:literal,)+) => {
        /// A place that a process comes by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Point {
            $($(#[$documentation])+ $point,)+
        }

        #[cfg(feature = "__failpoints")]
        impl Point {
            const ALL: &[(Self, &str)] = &[$((Self::$point, $name),)+];
        }
    };
}

points! {
    /// A worker has entered, and is not known for one yet.
    Entered = "entered",
    /// It is set up, and has not said hello.
    BeforeHello = "before-hello",
    /// It has said hello, and looks for tasks for the first time.
    AfterHello = "after-hello",
    /// It has run dry.
    Idle = "idle",
    /// It has said that it sleeps, and does not yet.
    Parked = "parked",
    /// It was woken, and has not said so.
    Woken = "woken",
    /// It has seen a task, and has not made it its own.
    BeforeClaim = "before-claim",
    /// Tasks are its own, and the first is not begun.
    Claimed = "claimed",
    /// A task is counted as begun, and is begun unless it is revoked.
    Counted = "counted",
    /// A task is begun, its arguments are not decoded.
    Begun = "begun",
    /// The arguments are decoded, the function is not called.
    Decoded = "decoded",
    /// The function has come back, its result is not written.
    Returned = "returned",
    /// A part of the output was sent as memory of its own, and the result is not written.
    OutputSent = "output-sent",
    /// The output is folded into that of the tasks before, none of which has a result.
    Folded = "folded",
    /// The result is in the ring, its head is not.
    Encoded = "encoded",
    /// The result stands where it is to, and is not counted.
    Uncounted = "uncounted",
    /// It is counted, or sent; its parent is not woken.
    Finished = "finished",
    /// The note of a panic is written, and not whose it is.
    Noted = "noted",
    /// A result goes over behind the others: its head is written, its bytes are not.
    HeadWritten = "head-written",
    /// A part of a result has gone over, and others have not.
    PartSent = "part-sent",
    /// It has said that it sleeps until there is room for a result.
    NoRoom = "no-room",
    /// It is about to ring the parent's bell.
    Ringing = "ringing",
    /// It is about to send a frame, which can be cut in two here.
    Sending = "sending",
    /// A frame is sent, as far as it was not cut.
    Sent = "sent",
    /// It was told of memory, and has not mapped it.
    MemoryCome = "memory-come",
    /// It is to let go of memory.
    MemoryForgotten = "memory-forgotten",
    /// It has seen the end of its channel.
    Closing = "closing",
    /// The parent has written the entry of a chunk, and no task of it can be claimed.
    ParentEntry = "parent-entry",
    /// They can be claimed, and it has not looked whether the worker sleeps.
    ParentAssigned = "parent-assigned",
    /// It is about to send a worker something, as a rule the bell.
    ParentSending = "parent-sending",
    /// It is about to take tasks back.
    ParentTakeBack = "parent-take-back",
    /// It has revoked what a worker has claimed, and has not looked what is begun.
    ParentRecall = "parent-recall",
    /// It is about to look for results in a worker's ring.
    ParentTake = "parent-take",
    /// It has given the ring free, and has not looked whether the worker sleeps.
    ParentReleased = "parent-released",
    /// It has said that it sleeps, and has not looked once more.
    ParentParked = "parent-parked",
    /// It has looked once more, and does not sleep yet.
    ParentSleeping = "parent-sleeping",
    /// It was woken, and has not said so.
    ParentWoken = "parent-woken",
    /// The supervisor was woken, and has not looked after anyone.
    ParentAttending = "parent-attending",
    /// The supervisor has seen a worker's death, and has not reaped it.
    ParentReaping = "parent-reaping",
}

/// A process comes by a point.
#[cfg(not(feature = "__failpoints"))]
#[inline(always)]
pub(crate) fn reached(_point: Point) {}

/// As much of a frame as is sent.
#[cfg(not(feature = "__failpoints"))]
#[inline(always)]
pub(crate) fn cut(_point: Point, frame: &[u8]) -> &[u8] {
    frame
}
