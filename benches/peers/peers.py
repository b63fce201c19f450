"""Each workload over Python's pools: prints the seconds it took. A pool is warm before the clock starts."""

import importlib.metadata
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor

WORKERS = 2
TASKS = {"W1": 2_000, "W2": 200_000, "W3": 20_000, "W3c": 2_000, "W4": 500, "W5": 3_000, "W6": 100, "W9": 200_000}


def add(pair):
    return pair[0] + pair[1]


def wait(micros):
    """CPU time by the clock: an interpreter has no rounds to count."""
    end = time.perf_counter_ns() + micros * 1000
    while time.perf_counter_ns() < end:
        pass


def echo(block):
    return block


def count(line):
    return len(line.split())


def uneven(tasks):
    micros = [20_000 if task % 100 == 0 else 50 for task in range(tasks)]
    state = 3
    for last in range(tasks - 1, 0, -1):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        other = (state >> 33) % (last + 1)
        micros[last], micros[other] = micros[other], micros[last]
    return micros


def work(workload):
    tasks = TASKS[workload]
    return {
        "W1": lambda: (add, [(x, x) for x in range(tasks)], 1),
        "W2": lambda: (add, [(x, x) for x in range(tasks)], None),
        "W3": lambda: (wait, [10] * tasks, None),
        "W3c": lambda: (wait, [10] * tasks, 1),
        "W4": lambda: (wait, [1000] * tasks, 1),
        "W5": lambda: (wait, uneven(tasks), 1),
        "W6": lambda: (echo, [bytes(1 << 20)] * tasks, 1),
        "W9": lambda: (count, ["process pool worker task the a of and"] * tasks, None),
    }[workload]()


def mapper(library):
    """A function that maps, and one that ends the pool."""
    if library == "Pool":
        pool = multiprocessing.Pool(WORKERS)
        return lambda f, xs, size: pool.map(f, xs, chunksize=size), pool.terminate
    if library == "ProcessPoolExecutor":
        pool = ProcessPoolExecutor(WORKERS)
        return lambda f, xs, size: list(pool.map(f, xs, chunksize=size or len(xs) // (4 * WORKERS))), pool.shutdown
    if library == "loky":
        import loky
        pool = loky.get_reusable_executor(max_workers=WORKERS)
        return lambda f, xs, size: list(pool.map(f, xs, chunksize=size or len(xs) // (4 * WORKERS))), pool.shutdown
    if library == "joblib":
        import joblib
        pool = joblib.Parallel(n_jobs=WORKERS, batch_size="auto")

        def run(f, xs, size):
            pool.batch_size = size or "auto"
            return pool(joblib.delayed(f)(x) for x in xs)
        return run, lambda: None
    if library == "mpire":
        import mpire
        pool = mpire.WorkerPool(WORKERS, keep_alive=True)
        return lambda f, xs, size: pool.map(f, ((x,) for x in xs), iterable_len=len(xs), chunk_size=size), pool.terminate
    raise SystemExit(f"no library {library}")


if __name__ == "__main__":
    library, workload = sys.argv[1:]
    if workload == "version":
        own = library in ("Pool", "ProcessPoolExecutor")
        print(f"Python {sys.version.split()[0]}" if own else importlib.metadata.version(library))
        raise SystemExit
    function, items, size = work(workload)
    run, end = mapper(library)
    run(wait, [10] * 16, 1)
    start = time.perf_counter()
    run(function, items, size)
    print(TASKS[workload], time.perf_counter() - start)
    end()
