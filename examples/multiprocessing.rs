//! The classic tour of Python's multiprocessing, each step beside its form here.

use poolmap::{Pool, current_worker, pool_map, worker};

#[worker]
fn power(base: i64, exponent: u32) -> i64 {
    base.pow(exponent)
}

#[worker]
fn who(task: usize) -> (usize, u32, u32) {
    let worker = current_worker().expect("a task runs in a worker");
    std::thread::sleep(std::time::Duration::from_millis(20));
    (task, worker.pid(), worker.parent_pid())
}

#[poolmap::main]
fn main() -> poolmap::Result<()> {
    // os.cpu_count()
    println!("CPUs: {}", poolmap::cpu_count());

    // with Pool(4) as pool:
    let pool = Pool::builder().workers(4).build()?;

    // pool.starmap(power, zip([2, 3, 4], [8, 4, 2])): several arguments
    println!("powers: {:?}", pool_map!(in &pool, power, [2, 3, 4], [8, 4, 2])?);

    // pool.apply(power, kwds={"exponent": 10, "base": 2}): named arguments, checked by the compiler
    println!("2^10 = {}", pool.apply(power { exponent: 10, base: 2 })?);

    // os.getpid(), os.getppid()
    println!("this process is {}", std::process::id());

    // pool.map(who, range(10)): which process took which task
    for (task, pid, parent) in pool_map!(in &pool, who, 0..10)? {
        println!("task {task}: process {pid}, child of {parent}");
    }
    Ok(())
} // leaving the `with`: the pool ends its workers
