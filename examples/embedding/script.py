"""A crash in a worker costs its task. Run it as `python3 script.py`, or as `python3 - < script.py`."""

import os

import jobs_python

pool = jobs_python.workers(2)
before = os.getpid()
(first, _), (none, error), (last, _) = pool.lengths(["tea", "bug", "coffee"])
print(first, last, error)
assert (first, none, last) == (3, None, 6)
assert "signal 11" in error, error
# No worker ran a line of this script, and this process is the one that began.
assert os.getpid() == before
assert pool.lengths(["still here"]) == [(10, None)]

# A program that is no worker is an exception, and nothing hangs.
try:
    jobs_python.Workers("/no/such/worker", 2)
except RuntimeError as error:
    print(error)
else:
    raise AssertionError("there is no such program")
