//! Programs that use pools at their very end, when thread-locals are destroyed: the first argument names where, the second what,
//! and the third is `warm` where all of it was used before.

use std::cell::RefCell;
use std::io::Write;
use std::time::Duration;

use nix::libc;
use poolmap::{
    Mutex, Pool, Process, Receiver, Sender, SharedSlice, SharedSliceMut, channel, pool_map, pool_try_map, shared,
    worker,
};

#[worker]
fn add(x: u64, base: &u64) -> u64 {
    x + *base
}

#[worker]
fn total(part: &SharedSlice<f64>) -> f64 {
    part.iter().sum()
}

#[worker]
fn fill(mut part: SharedSliceMut<u64>) {
    part.fill(7);
}

#[worker]
fn send(value: u64, to: Sender<u64>) -> poolmap::Result<()> {
    Ok(to.send(value)?)
}

#[worker]
fn lock(text: &Mutex<String>) -> poolmap::Result<usize> {
    let mut text = text.lock()?;
    text.push('x');
    Ok(text.len())
}

#[worker]
fn panic_at(x: u64) -> u64 {
    assert!(x != 3, "three");
    x
}

/// Uses something, with the right results or an error; anything else is said.
fn use_it(what: &str) -> poolmap::Result<bool> {
    Ok(match what {
        "map" => pool_map!(add, 0..20, shared(&5))? == (5..25).collect::<Vec<u64>>(),
        "slice" => {
            let numbers: SharedSlice<f64> = (0..1000).map(f64::from).collect();
            pool_map!(total, numbers.chunks(100))?.iter().sum::<f64>() == 499_500.0
        }
        "slice-mut" => {
            let mut numbers: SharedSliceMut<u64> = (0..1000).collect();
            pool_map!(fill, numbers.chunks_mut(100))?;
            numbers.iter().all(|&number| number == 7)
        }
        "channel" => {
            let (to, from): (Sender<u64>, Receiver<u64>) = channel()?;
            let sent = pool_map!(send, [1, 2], std::iter::repeat(&to));
            drop(to);
            let mut came: Vec<u64> = from.iter().collect::<poolmap::Result<_>>().unwrap_or_default();
            came.sort_unstable();
            sent?;
            came == [1, 2]
        }
        "mutex" => {
            let text = Mutex::new(String::new())?;
            pool_map!(lock, std::iter::repeat_n(&text, 2))?;
            *text.lock()? == "xx"
        }
        "process" => Process::new(add { x: 1, base: 2 }).start()?.join()? == 3,
        "pool" => {
            let pool = Pool::builder().workers(1).build()?;
            let submitted = pool.submit(add { x: 1, base: 2 })?;
            let outcomes = pool_try_map!(in &pool, panic_at, 0..5)?;
            submitted.join()? == 3 && outcomes.iter().filter(|outcome| outcome.is_err()).count() == 1
        }
        other => panic!("`{other}` names nothing to use"),
    })
}

fn tell(place: &str, what: &str) {
    let outcome = match use_it(what) {
        Ok(true) => "right".to_owned(),
        Ok(false) => "WRONG".to_owned(),
        Err(error) => format!("error: {error}"),
    };
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{place}: {outcome}").and_then(|()| stdout.flush());
}

fn argument(place: usize) -> String {
    std::env::args().nth(place).unwrap_or_default()
}

extern "C" fn at_exit() {
    tell("atexit", &argument(2));
}

struct OnDrop(&'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        tell(self.0, &argument(2));
    }
}

thread_local! {
    static LAST: RefCell<Option<OnDrop>> = const { RefCell::new(None) };
}

/// Makes the thread-local before anything of the library's, so that it is destroyed after that.
fn set_last(place: &'static str) {
    LAST.with(|last| *last.borrow_mut() = Some(OnDrop(place)));
}

#[poolmap::main]
#[allow(unsafe_code, reason = "handlers of atexit are C")]
fn main() {
    let (place, what) = (argument(1), argument(2));
    if argument(3) == "warm" {
        tell("warm", &what);
    }
    match &*place {
        "atexit" => {
            // SAFETY: the handler is a function without arguments, and does not unwind.
            unsafe { libc::atexit(at_exit) };
        }
        "tls" => {
            set_last("tls");
            tell("first", &what);
        }
        "tls-thread" => {
            let thread = std::thread::spawn(move || {
                set_last("tls-thread");
                tell("first", &what);
            });
            thread.join().expect("the thread does not panic");
        }
        // Nobody waits for it: the program ends while it runs.
        "detached" => {
            std::thread::spawn(move || {
                loop {
                    let _ = use_it(&what);
                }
            });
            std::thread::sleep(Duration::from_millis(20));
        }
        "unwinding" => {
            let _unwinding = OnDrop("unwinding");
            panic!("on purpose");
        }
        "exit" => {
            let _not_dropped = OnDrop("never");
            set_last("tls");
            // SAFETY: as above.
            unsafe { libc::atexit(at_exit) };
            std::process::exit(3);
        }
        other => panic!("`{other}` names no place"),
    }
}
