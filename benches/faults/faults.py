"""One case: a fault in one task of 20 on a Python pool of 2 workers. What it prints is told in src/report.rs.

Every task is a submission of its own, so that each library can give what it has for each task.
"""

import ctypes
import importlib.metadata
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor

WORKERS = 2
TASKS = 20
BAD = 7
TASK_SECONDS = 0.02
# How long the tasks of a parent that is killed would go on.
LONG_SECONDS = 60
# The time limit of a task, where a library has one, and the cases that set it.
LIMIT_SECONDS = 1
LIMITED = ("endless", "stopped")


def refuse(where):
    raise ValueError(f"it cannot be read in the {where}")


class Unwritable:
    """Cannot be serialised."""

    def __reduce__(self):
        raise ValueError("it cannot be written")


class Unreadable:
    """Can be serialised, and not deserialised."""

    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        return refuse, (self.where,)


def endless():
    while True:
        pass


def kill_parent(parent):
    # The other worker has taken a long task by then.
    time.sleep(10 * TASK_SECONDS)
    os.kill(parent, signal.SIGKILL)
    time.sleep(LONG_SECONDS)


def raise_error():
    raise ValueError("the task fails")


def kill_itself(number):
    os.kill(os.getpid(), number)


# What the bad task does. In the other cases the fault is in its argument, or not in a task.
DEEDS = {
    "killed": lambda parent: kill_itself(signal.SIGKILL),
    "exit": lambda parent: sys.exit(0),
    "exit_at_once": lambda parent: os._exit(0),
    "abort": lambda parent: os.abort(),
    "segfault": lambda parent: ctypes.string_at(8),
    "panic": lambda parent: raise_error(),
    "result_not_written": lambda parent: Unwritable(),
    "result_not_read": lambda parent: Unreadable("parent"),
    "endless": lambda parent: endless(),
    "stopped": lambda parent: kill_itself(signal.SIGSTOP),
    "parent_killed": kill_parent,
}


def run(index, fault, parent, _argument):
    if index == BAD and fault in DEEDS:
        return DEEDS[fault](parent)
    time.sleep(LONG_SECONDS if index > BAD and fault == "parent_killed" else TASK_SECONDS)
    return 2 * index


def warm_up(_index):
    """Long enough for every worker to get one."""
    time.sleep(5 * TASK_SECONDS)
    return os.getpid()


class Futures:
    """Pools whose `submit` gives a future."""

    def __init__(self, pool):
        self.pool = pool

    def submit(self, function, *arguments):
        return self.pool.submit(function, *arguments)

    def is_ready(self, task):
        return task.done()

    def get(self, task):
        return task.result()

    def end(self):
        self.pool.shutdown()


class Pebble(Futures):
    def __init__(self, pool, limit):
        super().__init__(pool)
        self.limit = limit

    def submit(self, function, *arguments):
        return self.pool.schedule(function, args=arguments, timeout=self.limit)

    def end(self):
        self.pool.close()
        self.pool.join()


class Pool:
    """Pools in the form of `multiprocessing.Pool`."""

    def __init__(self, pool):
        self.pool = pool

    def submit(self, function, *arguments):
        return self.pool.apply_async(function, arguments)

    def is_ready(self, task):
        return task.ready()

    def get(self, task):
        return task.get()

    def end(self):
        self.pool.terminate()


class Mpire(Pool):
    def __init__(self, pool, limit):
        super().__init__(pool)
        self.limit = limit

    def submit(self, function, *arguments):
        return self.pool.apply_async(function, arguments, task_timeout=self.limit)


def start(library, limit):
    if library == "Pool":
        return Pool(multiprocessing.Pool(WORKERS))
    if library == "ProcessPoolExecutor":
        return Futures(ProcessPoolExecutor(WORKERS))
    if library == "loky":
        import loky
        return Futures(loky.get_reusable_executor(max_workers=WORKERS))
    if library == "mpire":
        import mpire
        return Mpire(mpire.WorkerPool(WORKERS), limit)
    if library == "pebble":
        import pebble
        return Pebble(pebble.ProcessPool(WORKERS), limit)
    raise SystemExit(f"no library {library}")


def say(*words):
    # Flushed at once: a worker that is forked later must not have it too, and the parent may be killed.
    print(*words, flush=True)


def is_alive(pid):
    """Whether a process runs: one that has ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_idle(pid):
    os.kill(pid, signal.SIGKILL)
    while is_alive(pid):
        time.sleep(0.001)
    # A library that looks after its workers has time to see it.
    time.sleep(0.5)


def tell(index, get):
    """What one task gave. All exceptions count: what a worker exits with may arrive as one."""
    try:
        result = get()
    except BaseException as error:
        say("error", index, type(error).__name__)
    else:
        say("result" if result == 2 * index else "wrong", index)


def measure(library, fault):
    pool = start(library, LIMIT_SECONDS if fault in LIMITED else None)
    pids = [pool.get(task) for task in [pool.submit(warm_up, index) for index in range(2 * WORKERS)]]
    say("ready")
    if fault == "idle_killed":
        kill_idle(pids[0])
    begin = time.perf_counter()
    pending = {}
    for index in range(TASKS):
        argument = Unreadable("worker") if index == BAD and fault == "argument_not_read" else None
        try:
            pending[index] = pool.submit(run, index, fault, os.getpid(), argument)
        except BaseException as error:
            say("error", index, type(error).__name__)
    while pending:
        for index, task in list(pending.items()):
            if pool.is_ready(task):
                del pending[index]
                tell(index, lambda: pool.get(task))
        time.sleep(0.001)
    say("done", time.perf_counter() - begin)
    pool.end()


def main(library, fault):
    if fault != "version":
        measure(library, fault)
    elif library in ("Pool", "ProcessPoolExecutor"):
        print(sys.version.split()[0])
    else:
        print(importlib.metadata.version(library))


if __name__ == "__main__":
    main(*sys.argv[1:])
