//! What is measured of the tasks of a call that asks for it. It knows nothing of how a task runs.
//!
//! 1. A task begins where the one before it has ended, if they follow one another: so a task costs one look at the clock.
//! 2. The processor time takes microseconds to ask for on some machines. So it is asked for once a millisecond. A task of a millisecond or
//!    more has its own; the time of shorter ones is that of all since the last look, in the shares of their durations, as far as it was
//!    known when each ended.
//! 3. The largest memory takes longer. It is asked for when the first task ends, and then as often as [`PEAK_INTERVAL`] says.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys;
use crate::wire::Measures;

/// The processor time is asked for this often.
const CPU_INTERVAL: u64 = 1_000_000;
/// And the largest memory: it takes some 50 µs.
const PEAK_INTERVAL: u64 = 50_000_000;
/// The share of the processor is counted in so many parts.
const WHOLE: u64 = 1 << 16;

thread_local! {
    /// What was asked for last on this thread, and when.
    static LAST: Cell<Looks> = const { Cell::new(Looks::NONE) };
}

/// What was asked for, and when.
#[derive(Clone, Copy)]
struct Looks {
    cpu_at: u64,
    /// The processor time then; none where the system does not tell.
    cpu_nanos: Option<u64>,
    /// What tasks were given of it since.
    given_nanos: u64,
    /// The share of the processor that this thread had before that.
    share: u64,
    peak_at: u64,
    peak_bytes: Option<u64>,
}

impl Looks {
    const NONE: Self = Self { cpu_at: 0, cpu_nanos: None, given_nanos: 0, share: WHOLE, peak_at: 0, peak_bytes: None };
}

/// Measures tasks, one after another.
pub(super) struct Meter {
    worker: u32,
    begun_nanos: u64,
    /// It is also the end of the task before.
    is_at_end: bool,
    argument_bytes: u32,
    looks: Looks,
}

impl Meter {
    /// Measures tasks of the worker at this place.
    pub(super) fn new(worker: u32) -> Self {
        Self { worker, begun_nanos: 0, is_at_end: false, argument_bytes: 0, looks: LAST.get() }
    }

    /// A task begins, whose arguments are so many bytes. `begun` is where others see when.
    #[inline]
    pub(super) fn begin(&mut self, argument_bytes: usize, begun: &AtomicU64) {
        self.argument_bytes = u32::try_from(argument_bytes).unwrap_or(u32::MAX);
        if !std::mem::take(&mut self.is_at_end) {
            self.begun_nanos = sys::monotonic_nanos();
            if self.begun_nanos.saturating_sub(self.looks.cpu_at) >= CPU_INTERVAL {
                self.look(self.begun_nanos);
            }
        }
        begun.store(self.begun_nanos, Ordering::Relaxed);
    }

    /// The task has ended.
    #[inline]
    pub(super) fn end(&mut self) -> Measures {
        let now = sys::monotonic_nanos();
        let duration_nanos = now.saturating_sub(self.begun_nanos);
        let cpu_nanos = if now.saturating_sub(self.looks.cpu_at) < CPU_INTERVAL {
            self.looks.cpu_nanos.map(|_| duration_nanos.saturating_mul(self.looks.share) / WHOLE)
        } else {
            self.look(now).map(|used| used.min(duration_nanos))
        };
        self.looks.given_nanos += cpu_nanos.unwrap_or(0);
        if self.looks.peak_at == 0 || now.saturating_sub(self.looks.peak_at) >= PEAK_INTERVAL {
            (self.looks.peak_at, self.looks.peak_bytes) = (now, sys::peak_bytes());
        }
        let Self { worker, begun_nanos, argument_bytes, looks, .. } = *self;
        (self.begun_nanos, self.is_at_end) = (now, true);
        Measures { begun_nanos, duration_nanos, cpu_nanos, peak_bytes: looks.peak_bytes, argument_bytes, worker }
    }

    /// Asks for the processor time; returns what was used since the last time, and not given to a task.
    #[cold]
    fn look(&mut self, now: u64) -> Option<u64> {
        let looks = &mut self.looks;
        let cpu_nanos = sys::thread_cpu_nanos();
        let used = cpu_nanos.zip(looks.cpu_nanos).map(|(now, before)| now.saturating_sub(before));
        if let Some(used) = used
            && looks.cpu_at > 0
        {
            let wall = now.saturating_sub(looks.cpu_at).max(1);
            looks.share = (u128::from(used) * u128::from(WHOLE) / u128::from(wall)).min(u128::from(WHOLE)) as u64;
        }
        let given = std::mem::take(&mut looks.given_nanos);
        (looks.cpu_at, looks.cpu_nanos) = (now, cpu_nanos);
        used.map(|used| used.saturating_sub(given))
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        LAST.set(self.looks);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn measure(meter: &mut Meter, task: impl FnOnce()) -> Measures {
        let begun = AtomicU64::new(0);
        meter.begin(7, &begun);
        task();
        let measures = meter.end();
        assert_eq!(measures.begun_nanos, begun.into_inner());
        measures
    }

    fn compute(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn tasks_follow_one_another_and_a_sleep_takes_no_processor_time() {
        let mut meter = Meter::new(3);
        let long = Duration::from_millis(20);
        let computed = measure(&mut meter, || compute(long));
        let slept = measure(&mut meter, || std::thread::sleep(long));
        assert_eq!(slept.begun_nanos, computed.begun_nanos + computed.duration_nanos);
        assert!(computed.duration_nanos >= 20_000_000 && slept.duration_nanos >= 20_000_000);
        let [of_computed, of_slept] = [computed, slept].map(|measures| measures.cpu_nanos.unwrap());
        assert!(of_slept < of_computed && of_computed <= computed.duration_nanos);
        assert_eq!((computed.argument_bytes, computed.worker), (7, 3));
        assert!(computed.peak_bytes.is_none_or(|bytes| bytes > 0));
    }

    #[test]
    fn short_tasks_share_the_processor_time_of_all() {
        let mut meter = Meter::new(0);
        measure(&mut meter, || compute(Duration::from_millis(2)));
        let (mut wall, mut cpu) = (0, 0);
        for _ in 0..300 {
            let measures = measure(&mut meter, || compute(Duration::from_micros(20)));
            wall += measures.duration_nanos;
            cpu += measures.cpu_nanos.unwrap();
        }
        // How much of it is given depends on what else the machine does.
        assert!(cpu > 0 && cpu <= wall, "{cpu} of {wall}");
    }
}
