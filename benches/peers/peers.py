"""The workloads over Python's pools: prints the number of tasks and the seconds they took, or "none" and why not.

A pool is warm before the clock starts: it has run a tenth of the workload. W8 is one whole process, which its caller times.
"""

import functools
import importlib.metadata
import importlib.util
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor

WORKERS = 2
TASKS = {
    "W1": 3_000, "W2": 200_000, "W3": 20_000, "W3c": 3_000, "W4": 500, "W5": 3_000, "W6": 200, "W7": 64, "W7b": 64,
    "W7f": 64, "W7c": 64, "W8": 2, "W9": 100_000, "W9p": 2_000, "W10": 100_000,
}
SLICE = (4 << 20) // 8
WORDS = "process pool worker task the a of and frame chunk result error in time memory signal".split()


def add(pair):
    return pair[0] + pair[1]


def wait(micros):
    """CPU time by the clock: an interpreter has no rounds to count."""
    end = time.perf_counter_ns() + micros * 1000
    while time.perf_counter_ns() < end:
        pass


def echo(block):
    return block


def total(numbers):
    return float(numbers.sum())


def total_at(index):
    """The sum of one slice of an array that was there when the worker was forked."""
    return float(ARRAY[index * SLICE:(index + 1) * SLICE].sum())


def count(line):
    return len(line.split())


def words(paragraph):
    found = {}
    for word in paragraph.split():
        found[word] = found.get(word, 0) + 1
    return found


def weigh(block):
    return sum(block)


def states(state):
    """A linear congruential generator."""
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state


def text(lines, size):
    state, out = states(7), []
    for _ in range(lines):
        line, length = [], 0
        while length < size:
            word = WORDS[next(state) >> 60]
            line.append(word)
            length += len(word) + 1
        out.append(" ".join(line) + " ")
    return out


def uneven(tasks):
    micros = [20_000 if task % 100 == 0 else 50 for task in range(tasks)]
    state = states(3)
    for last in range(tasks - 1, 0, -1):
        other = (next(state) >> 33) % (last + 1)
        micros[last], micros[other] = micros[other], micros[last]
    return micros


def array(slices):
    if importlib.util.find_spec("numpy") is None:
        raise NotImplementedError("it needs numpy, which is not installed")
    import numpy
    return numpy.arange(slices * SLICE, dtype=numpy.float64)


def slices(tasks):
    whole = array(tasks)
    return [whole[index * SLICE:(index + 1) * SLICE] for index in range(tasks)]


def forked(tasks):
    global ARRAY
    ARRAY = array(tasks)
    return range(tasks)


# Workload: function, its items for so many tasks, tasks a chunk (None: by default).
WORK = {
    "W1": (add, lambda n: [(x, x) for x in range(n)], 1),
    "W2": (add, lambda n: [(x, x) for x in range(n)], None),
    "W3": (wait, lambda n: [10] * n, None),
    "W3c": (wait, lambda n: [10] * n, 1),
    "W4": (wait, lambda n: [1000] * n, 1),
    "W5": (wait, uneven, 1),
    "W6": (echo, lambda n: [b"\7" * (1 << 20)] * n, 1),
    "W7": (total, slices, 1),
    "W7f": (total_at, forked, 1),
    "W7b": (total_at, forked, 1),
    "W7c": (total, slices, 1),
    "W8": (add, lambda n: [(1, 3), (2, 4)], 1),
    "W9": (count, lambda n: text(n, 40), None),
    "W9p": (words, lambda n: text(n, 4096), None),
    "W10": (weigh, lambda n: (bytes([item % 256]) * 256 for item in range(n)), 256),
}
# Their results are taken as they finish: the caller keeps the length and drops the rest.
STREAMED = {"W6": len, "W10": int}


def executor(pool):
    """Both executors have the one form: a map in order that reads all of its input first."""
    def run(function, items, size):
        return list(pool.map(function, items, chunksize=size or max(1, len(items) // (4 * WORKERS))))

    def stream(function, items, size):
        return pool.map(function, items, chunksize=size)
    return run, stream, pool.shutdown


def mapper(library):
    """A function that maps, one that yields results as they finish, and one that ends the pool."""
    if library == "Pool":
        pool = multiprocessing.Pool(WORKERS)
        return (lambda f, xs, size: pool.map(f, xs, chunksize=size),
                lambda f, xs, size: pool.imap_unordered(f, xs, chunksize=size), pool.terminate)
    if library == "ProcessPoolExecutor":
        return executor(ProcessPoolExecutor(WORKERS))
    if library == "loky":
        import loky
        return executor(loky.get_reusable_executor(max_workers=WORKERS))
    if library == "joblib":
        import joblib

        def run(f, xs, size, **kind):
            pool = joblib.Parallel(n_jobs=WORKERS, batch_size=size or "auto", **kind)
            return pool(joblib.delayed(f)(x) for x in xs)
        return run, functools.partial(run, return_as="generator_unordered"), lambda: None
    if library == "mpire":
        import mpire
        pool = mpire.WorkerPool(WORKERS, keep_alive=True)

        # A tuple is taken for several arguments, and an array is cut into pieces, if they stand alone.
        def run(f, xs, size):
            return pool.map(f, [(x,) for x in xs], chunk_size=size)

        def stream(f, xs, size):
            return pool.imap_unordered(f, ((x,) for x in xs), chunk_size=size)
        return run, stream, pool.terminate
    raise SystemExit(f"no library {library}")


def refusal(library, workload):
    if workload == "W10" and library in ("ProcessPoolExecutor", "loky"):
        return "it reads all of its input before it begins"
    if workload in ("W7f", "W7b") and library in ("loky", "joblib"):
        return "its workers are not forked, and so share no array"
    return None


def measure(library, workload):
    function, make, size = WORK[workload]
    tasks = TASKS[workload]
    # The second map over an array in shared memory comes after a whole first one.
    few = make(tasks if workload == "W7b" else max(2, tasks // 10))
    items = make(tasks)
    run, stream, end = mapper(library)
    run(wait, [10] * 16, 1)

    def work(items):
        if workload in STREAMED:
            return sum(map(STREAMED[workload], stream(function, items, size)))
        return run(function, items, size)
    if workload != "W7f":
        work(few)
    start = time.perf_counter()
    work(items)
    print(tasks, time.perf_counter() - start)
    end()


def main(library, workload):
    if workload == "version":
        if library in ("Pool", "ProcessPoolExecutor"):
            print(f"of Python {sys.version.split()[0]}")
        else:
            print(importlib.metadata.version(library))
    elif reason := refusal(library, workload):
        print("none", reason)
    elif workload == "W8":
        function, make, size = WORK[workload]
        run, _, end = mapper(library)
        run(function, make(2), size)
        end()
    else:
        try:
            measure(library, workload)
        except NotImplementedError as reason:
            print("none", reason)


if __name__ == "__main__":
    main(*sys.argv[1:])
