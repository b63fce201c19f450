//! The plan of faults: which action happens at which point of this process, as the environment says.
//!
//! `POOLMAP_FAULT` is read once, when the first point is reached. It is a list of entries, parted by commas:
//!
//! 1. `claimed:kill@3` happens the third time that this process comes by the point `claimed`; without `@3`, each time. `all`
//!    stands for every point.
//! 2. The actions: `kill` (SIGKILL), `stop` (SIGSTOP), `abort`, `exit=3`, `truncate` (half of a frame is sent, then SIGKILL),
//!    `delay=5` (milliseconds), `jitter=300` (as a rule nothing, else up to so many microseconds), `await` (until there is a file
//!    `go-` with the process id in the folder of tokens, or for 20 s).
//! 3. `seed=7` is mixed with the process id for the jitter.
//! 4. `tokens=/a/folder`: an action that does not merely wait takes one of the files `token-0`, `token-1`, … there, which is then
//!    called `taken-` with the process id and its number, and does nothing where none is left. So a test says how often it happens
//!    in all processes together, and learns in which.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::Point;
use crate::sys;

const VARIABLE: &str = "POOLMAP_FAULT";
/// Tokens have numbers below this.
const TOKENS_MAX: u32 = 64;
/// Of so many times that there is jitter, one sleeps and one lets others run.
const JITTER_RARITY: u64 = 8;
/// A process that waits to be let go on looks so often whether it is, for so many times.
const AWAIT_INTERVAL: Duration = Duration::from_millis(1);
const AWAIT_ROUNDS_MAX: u32 = 20_000;

#[derive(Default)]
struct Plan {
    entries: Vec<PlannedFault>,
    tokens: Option<PathBuf>,
    random: AtomicU64,
    /// Half of a frame is being sent, and after that this process ends.
    cut: AtomicBool,
}

struct PlannedFault {
    /// None for every point.
    point: Option<Point>,
    action: Action,
    /// None for every time.
    time: Option<u32>,
}

#[derive(Clone, Copy)]
enum Action {
    Kill,
    Stop,
    Abort,
    Exit(i32),
    Truncate,
    Delay(Duration),
    /// So many microseconds at most.
    Jitter(u64),
    /// Until the test lets this process go on.
    Await,
}

/// A process comes by a point.
#[inline]
pub(crate) fn reached(point: Point) {
    if let Some(plan) = plan() {
        plan.act_at(point);
    }
}

/// As much of a frame as is sent. Where that is not all of it, the process ends at the next point that it reaches.
pub(crate) fn cut(point: Point, frame: &[u8]) -> &[u8] {
    reached(point);
    let is_cut = plan().is_some_and(|plan| plan.cut.load(Ordering::Relaxed));
    if is_cut { &frame[..frame.len() / 2] } else { frame }
}

#[inline]
fn plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let read = || {
        let text = crate::sys::variable(VARIABLE)?.into_string().ok().filter(|text| !text.is_empty())?;
        let plan = Plan::parse(&text);
        Some(plan.unwrap_or_else(|| panic!("{VARIABLE}={text} is not understood: see failpoints/plan.rs")))
    };
    PLAN.get_or_init(read).as_ref()
}

impl Plan {
    fn parse(text: &str) -> Option<Self> {
        let mut plan = Self::default();
        let mut seed = 0;
        for entry in text.split(',') {
            if let Some(folder) = entry.strip_prefix("tokens=") {
                plan.tokens = Some(folder.into());
            } else if let Some(number) = entry.strip_prefix("seed=") {
                seed = number.parse().ok()?;
            } else {
                plan.entries.push(PlannedFault::parse(entry)?);
            }
        }
        let of_process = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        plan.random = AtomicU64::new(of_process ^ seed);
        Some(plan)
    }

    #[cold]
    fn act_at(&self, point: Point) {
        static TIMES: [AtomicU32; Point::ALL.len()] = [const { AtomicU32::new(0) }; Point::ALL.len()];
        if self.cut.load(Ordering::Relaxed) {
            sys::kill_self();
        }
        let time = TIMES[point as usize].fetch_add(1, Ordering::Relaxed) + 1;
        for entry in &self.entries {
            let is_here = entry.point.is_none_or(|at| at == point) && entry.time.is_none_or(|at| at == time);
            if is_here {
                self.act(entry.action);
            }
        }
    }

    fn act(&self, action: Action) {
        match action {
            Action::Delay(time) => std::thread::sleep(time),
            Action::Jitter(micros_max) => match self.random() {
                0 => std::thread::yield_now(),
                1 => std::thread::sleep(Duration::from_micros(self.random_below(micros_max))),
                _ => {}
            },
            Action::Await => self.wait_to_go_on(),
            _ if !self.takes_token() => {}
            Action::Kill => sys::kill_self(),
            Action::Stop => sys::stop_self(),
            Action::Abort => std::process::abort(),
            Action::Exit(code) => std::process::exit(code),
            Action::Truncate => self.cut.store(true, Ordering::Relaxed),
        }
    }

    fn wait_to_go_on(&self) {
        let Some(folder) = &self.tokens else {
            return;
        };
        let go = folder.join(format!("go-{}", std::process::id()));
        for _ in 0..AWAIT_ROUNDS_MAX {
            if go.exists() {
                return;
            }
            std::thread::sleep(AWAIT_INTERVAL);
        }
    }

    fn takes_token(&self) -> bool {
        self.tokens.as_deref().is_none_or(take_token)
    }

    fn random(&self) -> u64 {
        self.random_below(JITTER_RARITY)
    }

    /// A number below `end`, by SplitMix64.
    fn random_below(&self, end: u64) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut random = self.random.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (random ^ (random >> 31)) % end.max(1)
    }
}

impl PlannedFault {
    fn parse(text: &str) -> Option<Self> {
        let (point, rest) = text.split_once(':')?;
        let (action, time) = match rest.split_once('@') {
            Some((action, time)) => (action, Some(time.parse().ok()?)),
            None => (rest, None),
        };
        let (action, number) = action.split_once('=').unwrap_or((action, "0"));
        let number: u16 = number.parse().ok()?;
        let action = match action {
            "kill" => Action::Kill,
            "stop" => Action::Stop,
            "abort" => Action::Abort,
            "exit" => Action::Exit(number.into()),
            "truncate" => Action::Truncate,
            "delay" => Action::Delay(Duration::from_millis(number.into())),
            "jitter" => Action::Jitter(number.into()),
            "await" => Action::Await,
            _ => return None,
        };
        let named = || Some(Point::ALL.iter().find(|(_, name)| *name == point)?.0);
        let point = if point == "all" { None } else { Some(named()?) };
        Some(Self { point, action, time })
    }
}

/// Takes a token; false if none is left. A file has its new name for one process alone.
fn take_token(folder: &Path) -> bool {
    let own = std::process::id();
    (0..TOKENS_MAX).any(|number| {
        std::fs::rename(folder.join(format!("token-{number}")), folder.join(format!("taken-{own}-{number}"))).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_understood_or_refused_as_a_whole() {
        let plan = Plan::parse("claimed:kill@3,all:jitter=300,sending:truncate,seed=7,tokens=/a/b").unwrap();
        let points: Vec<_> = plan.entries.iter().map(|entry| (entry.point, entry.time)).collect();
        assert_eq!(points, [(Some(Point::Claimed), Some(3)), (None, None), (Some(Point::Sending), None)]);
        assert_eq!(plan.tokens.as_deref(), Some(Path::new("/a/b")));
        for wrong in ["", "claimed", "claimed:kill@", "nowhere:kill", "claimed:dance", "exit:exit=x", "seed=x"] {
            assert!(Plan::parse(wrong).is_none(), "{wrong}");
        }
    }
}
