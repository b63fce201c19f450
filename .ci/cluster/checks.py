"""What a part checks: each check with its time and outcome, and a program's run with an end in any case."""

import os
import re
import signal
import subprocess
import tempfile
import time

PATIENCE = 180


class Failed(Exception):
    """A check did not find what it must find."""


class Report:
    """Prints each check as it ends, and knows whether all passed."""

    def __init__(self):
        self.failed = 0
        self.passed = 0

    def check(self, claim, function, *arguments):
        """Calls a function, which raises `Failed` if the claim does not hold, and may return a remark."""
        begin = time.monotonic()
        try:
            remark = function(*arguments)
        except (Failed, OSError, subprocess.SubprocessError) as error:
            self.failed += 1
            self._print("FAIL", begin, claim)
            print("    " + str(error).strip().replace("\n", "\n    "), flush=True)
        else:
            self.passed += 1
            self._print("ok", begin, claim + (f" ({remark})" if remark else ""))

    def _print(self, word, begin, claim):
        print(f"{word:4} {time.monotonic() - begin:5.1f} s  {claim}", flush=True)


def demand(condition, *what):
    """Raises `Failed` with what was seen instead."""
    if not condition:
        raise Failed("\n".join(str(part).strip() for part in what if str(part).strip()))


def environment(**variables):
    """The caller's environment without what launchers and poolmap would read, and with these variables."""
    foreign = ("POOLMAP_", "OMPI_", "PMI", "PRTE_", "SLURM_", "MPI")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | variables


def run(command, patience=PATIENCE, **variables):
    """Runs a command to its end, which is that of its whole session if it takes too long."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=environment(**variables), start_new_session=True)
    try:
        stdout, stderr = child.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        stdout, stderr = child.communicate()
        raise Failed(f"no end after {patience} s: {' '.join(command)}\n{stdout}{stderr}") from None
    return subprocess.CompletedProcess(command, child.returncode, stdout, stderr)


class Job:
    """A command that is at work, and what it has printed so far."""

    def __init__(self, command, **variables):
        self.stdout, self.stderr = (tempfile.TemporaryFile(mode="w+", errors="replace") for _ in range(2))
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.stdout, stderr=self.stderr,
                                      env=environment(**variables), start_new_session=True)

    def said(self):
        """What it has printed to stderr."""
        # The command's position in the file is another one's, as it was opened by its number.
        with open(f"/proc/self/fd/{self.stderr.fileno()}", encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for_begin(self):
        """Waits until the program says that it begins."""
        wait_until("the program begins", lambda: "begins" in self.said() or self.child.poll() is not None)
        demand(self.child.poll() is None, "the job has ended", self.said())

    def end(self, patience=PATIENCE):
        """Waits for its end."""
        try:
            code = self.child.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            raise Failed(f"no end after {patience} s\n{self.said()}") from None
        with open(f"/proc/self/fd/{self.stdout.fileno()}", encoding="utf-8", errors="replace") as file:
            return subprocess.CompletedProcess(self.child.args, code, file.read(), self.said())


def must(command, **variables):
    """Runs a command that must succeed; returns what it printed."""
    ended = run(command, **variables)
    demand(ended.returncode == 0, f"exit code {ended.returncode}: {' '.join(command)}", ended.stdout, ended.stderr)
    return ended.stdout


def wait_until(what, holds, patience=60):
    """Waits until a condition holds, and returns what it gave."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.05)
    raise Failed(f"not within {patience} s: {what}")


def processes(*names):
    """The processes of these names in this namespace that have not ended, by number and command line."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                name, rest = file.read().split("(", 1)[1].rsplit(") ", 1)
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if name in names and rest[0] not in "ZX":
            found[int(pid)] = line
    return found


def nothing_left(*names):
    """Waits until no process of these names is left."""
    try:
        wait_until("", lambda: not processes(*names), 20)
    except Failed:
        raise Failed(f"processes are left: {processes(*names)}") from None


def compare(ended, expected):
    """Demands that a run succeeded and printed what the program prints alone."""
    demand(ended.returncode == 0, f"exit code {ended.returncode}", ended.stdout, ended.stderr)
    if ended.stdout != expected:
        seen, wanted = ended.stdout.splitlines(), expected.splitlines()
        differing = [f"- {line}" for line in wanted if line not in seen] + [f"+ {line}" for line in seen if line not in wanted]
        raise Failed("the output differs from that of the program alone:\n" + "\n".join(differing or ["its order"]) + "\n"
                     + ended.stderr)
    first = next((line for line in ended.stderr.splitlines() if line.startswith(("poolmap: MPI", "poolmap: NATS"))), "")
    # The build and the session are other ones at each run, and a library's folder is that of this machine.
    return re.sub(r" /\S*/", " ", re.split(", build|, session", first.removeprefix("poolmap: "))[0])
