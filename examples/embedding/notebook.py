"""What a notebook does: cells of text are run one by one, in one namespace that belongs to no file, some on other threads."""

import threading

CELLS = [
    "import jobs_python\npool = jobs_python.workers(2)",
    "def lengths(texts):\n    return pool.lengths(texts)",
    "outcomes = lengths(['tea', 'bug', 'coffee'])\nprint(outcomes)",
    "assert [length for length, _ in outcomes] == [3, None, 6]",
    "pool = jobs_python.workers(3)",  # The cell is run again: the first pool ends.
    "assert lengths(['a'] * 1000) == [(1, None)] * 1000",
]
namespace = {"__name__": "__main__"}
for cell in CELLS:
    exec(compile(cell, "<cell>", "exec"), namespace)

done = []
threads = [threading.Thread(target=lambda: done.extend(namespace["lengths"](["four"] * 100))) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert done == [(4, None)] * 400
