"""The workloads that mpi4py.futures has a form for, with a chunk size of 1."""

import sys
import time

from mpi4py.futures import MPIPoolExecutor


def echo(data):
    return data


def sleep(millis):
    time.sleep(millis / 1000)
    return millis


def main():
    what = sys.argv[1]
    with MPIPoolExecutor() as pool:
        list(pool.map(sleep, [1] * 8))
        start = time.perf_counter()
        if what == "single":
            count = len(list(pool.map(echo, [b"7" * 1024] * 10_000, chunksize=1)))
            print(f"tasks_per_second {count / (time.perf_counter() - start):.0f}")
        elif what == "latency":
            times = []
            for _ in range(2_000):
                last = time.perf_counter()
                pool.submit(echo, b"7" * 1024).result()
                times.append(time.perf_counter() - last)
            times.sort()
            print(f"p50_us {times[len(times) // 2] * 1e6:.0f}")
            print(f"p99_us {times[len(times) * 99 // 100] * 1e6:.0f}")
        elif what == "large":
            count = len(list(pool.map(echo, [b"7" * (1 << 20)] * 200, chunksize=1)))
            print(f"megabytes_per_second_each_way {count * 1.048576 / (time.perf_counter() - start):.0f}")
        elif what == "sleep":
            list(pool.map(sleep, [10] * 400, chunksize=1))
            print(f"efficiency_percent {100 * 400 * 0.01 / 2 / (time.perf_counter() - start):.1f}")


if __name__ == "__main__":
    main()
