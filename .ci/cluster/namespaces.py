"""Three hosts as network namespaces: MPI's launchers over a stand-in for ssh, and NATS while the link of a host is cut."""

import os
import re
import signal
import time

from cluster import hosts
from cluster.checks import Job, compare, demand, nothing_left, processes, run, wait_until
from cluster.hosts import FOLDER, NAMES, PROGRAM, on
from cluster.nats import Server

TITLE = "three hosts as network namespaces, 10.77.0.1 to 10.77.0.3"
PACKAGES = {"ip": "iproute2", "mpirun.openmpi": "openmpi-bin", "mpiexec.hydra": "mpich", "nats-server": "nats-server"}
CUT_SECONDS = 8


def checks(report, _tools):
    """All checks of this part."""
    hosts.start()
    expected = hosts.alone()
    for name, launcher in [("Open MPI", open_mpi), ("MPICH", mpich)]:
        claim = f"{name} over three hosts: the whole program prints what it prints alone"
        report.check(claim, whole, launcher, expected, {})
        claim = f"{name} over three hosts: so it does where the driver computes nothing"
        report.check(claim, whole, launcher, expected, {"POOLMAP_DRIVER_WORKERS": "0"})
        report.check(f"{name}: tagged output names the hosts", tagged, launcher)
        report.check(f"{name}: an agent that is killed ends the job, and no host keeps a process", killed, launcher)
    report.check("Open MPI with --enable-recovery: an agent on another host is killed, all outputs come", recovered)
    report.check(f"NATS: the link of a host is cut for {CUT_SECONDS} s: all outputs come, none twice; the host serves again", cut)


def open_mpi(arguments, variables, options=()):
    """mpirun on the first host, with a process on each."""
    passed = [part for name in variables for part in ("-x", name)]
    return on("node1", ["mpirun.openmpi", "--allow-run-as-root", "--mca", "plm_rsh_agent", f"{FOLDER}/rsh", "--host", ",".join(NAMES),
                        "--map-by", "ppr:1:node", "--bind-to", "none", *passed, *options, PROGRAM, *arguments])


def mpich(arguments, variables, options=()):
    """mpiexec.hydra on the first host, with a process on each."""
    passed = [part for name, value in variables.items() for part in ("-genv", name, value)]
    return on("node1", ["mpiexec.hydra", "-launcher", "ssh", "-launcher-exec", f"{FOLDER}/rsh", "-hosts", ",".join(NAMES), "-ppn", "1",
                        "-n", "3", *passed, *options, PROGRAM, *arguments])


def whole(launcher, expected, variables):
    """The whole program as a process on each host."""
    variables = {"POOLMAP_WORKERS": "1"} | variables
    ended = run(launcher(["all", "3" if "POOLMAP_DRIVER_WORKERS" not in variables else "2"], variables), **variables)
    said = compare(ended, expected)
    nothing_left("clustered", "orted", "hydra_pmi_proxy")
    return said


def tagged(launcher):
    """A line of output of each task, with the name of the host that ran it."""
    variables = {"POOLMAP_DRIVER_WORKERS": "0", "POOLMAP_WORKERS": "1"}
    ended = run(launcher(["tagged", "2"], variables), **variables)
    seen = set(re.findall(r"^\[(\w+) chatty #\d\] task \d was here$", ended.stdout, re.MULTILINE))
    demand(seen and seen <= {"node2", "node3"} and len(ended.stdout.splitlines()) == 3, ended.stdout, ended.stderr)
    nothing_left("clustered", "orted", "hydra_pmi_proxy")


def agent_on(name):
    """The number of the program's agent on a host: its process whose parent is not the program."""
    network = os.stat(f"/proc/{hosts.pid(name)}/ns/net").st_ino
    every = [pid for pid in processes("clustered") if os.stat(f"/proc/{pid}/ns/net").st_ino == network]
    agents = [pid for pid in every if parent(pid) not in every]
    demand(len(agents) == 1, f"{name} has not one agent but {agents}")
    return agents[0]


def parent(pid):
    """The parent of a process."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rsplit(") ", 1)[1].split()[1])


def killed(launcher):
    """An agent is killed: the launcher ends the job."""
    job = Job(launcher(["hang", "3"], {}), POOLMAP_WORKERS="1")
    wait_for_all(job)
    os.kill(agent_on("node2"), signal.SIGKILL)
    ended = job.end(60)
    demand(ended.returncode != 0, "the job succeeded", ended.stdout, ended.stderr)
    nothing_left("clustered", "orted", "hydra_pmi_proxy")


def wait_for_all(job):
    """Waits until there are an agent and a worker on each host."""
    wait_until("each host has an agent and a worker", lambda: len(processes("clustered")) >= 6 or job.child.poll() is not None)
    demand(job.child.poll() is None, "the job has ended", job.said())


def recovered():
    """An agent is killed and the launcher goes on."""
    variables = {"POOLMAP_DEAD": "2s", "POOLMAP_WORKERS": "1"}
    job = Job(open_mpi(["slow", "3"], variables, ["--enable-recovery"]), **variables)
    job.wait_for_begin()
    os.kill(agent_on("node2"), signal.SIGKILL)
    ended = job.end()
    demand(ended.stdout == "slept 1770\n", f"exit code {ended.returncode}", ended.stdout, ended.stderr)
    nothing_left("clustered", "orted")
    return f"mpirun's exit code is {ended.returncode}"


def cut():
    """The link of a host is cut, and comes back."""
    with Server("node1", hosts.ADDRESS["node1"]) as server:
        # The server has no key and no encryption, which poolmap warns of.
        variables = {"POOLMAP_ENGINE": server.url, "POOLMAP_WORKERS": "2"}
        agents = [Job(on(name, [PROGRAM]), POOLMAP_ROLE="agent", **variables) for name in NAMES[1:]]
        driver = Job(on("node1", [PROGRAM, "long", "2"]), POOLMAP_DRIVER_WORKERS="0", **variables)
        driver.wait_for_begin()
        begin = time.monotonic()
        time.sleep(3)
        hosts.link("node3", "down")
        time.sleep(CUT_SECONDS)
        hosts.link("node3", "up")
        is_back = time.monotonic() - begin
        ended = driver.end()
        demand(ended.returncode == 0 and ended.stdout == "1000 outputs, 1000 different ones\n", ended.stdout, ended.stderr)
        last = {host: float(time) for host, time in re.findall(r"^(node\d): \d+ tasks, the last after ([\d.]+) s$", ended.stderr,
                                                              re.MULTILINE)}
        demand(last.keys() == {"node2", "node3"}, f"tasks ran on {last}", ended.stderr)
        demand(last["node3"] > is_back, f"node3 did nothing after its link was back at {is_back:.1f} s", ended.stderr)
        demand(all(agent.child.poll() is None for agent in agents), "an agent has ended", *(agent.said() for agent in agents))
        for agent in agents:
            os.kill(agent.child.pid, signal.SIGTERM)
            demand(agent.end(60).returncode == 0, "an agent that is asked to end fails", agent.said())
        nothing_left("clustered")
        return "; ".join(re.findall(r"^node\d: .*$", ended.stderr, re.MULTILINE))
