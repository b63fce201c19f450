"""A real Slurm with three nodes: steps with each process manager, job arrays of agents, and cancelled jobs."""

import os
import subprocess

from cluster import hosts
from cluster.checks import Failed, compare, demand, environment, nothing_left, processes, run, wait_until
from cluster.hosts import ADDRESS, FOLDER, NAMES, PROGRAM, knock, on

TITLE = "Slurm with three nodes"
# Slurm's plug-in for PMIx wants the library by the name that only the package for development has.
PACKAGES = {"slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "srun": "slurm-wlm", "munged": "munge", "mpirun.openmpi": "openmpi-bin",
            "mpiexec.hydra": "mpich", "nats-server": "nats-server", "/usr/lib/x86_64-linux-gnu/libpmix.so": "libpmix-dev"}
HOME = f"{FOLDER}/slurm"
CONFIGURATION = f"{HOME}/slurm.conf"
NATS = f"nats://{ADDRESS['node1']}:4222"

TEXT = f"""
ClusterName=poolmap
SlurmctldHost=node1({ADDRESS['node1']})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={HOME}/munge/socket
CredType=cred/munge
StateSaveLocation={HOME}/state
SlurmdSpoolDir={HOME}/spool-%n
SlurmctldPidFile={HOME}/slurmctld.pid
SlurmdPidFile={HOME}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1
KillWait=5
PropagateResourceLimits=NONE
""" + "".join(f"NodeName={name} NodeAddr={address} CPUs=4 RealMemory=500 State=UNKNOWN\n" for name, address in ADDRESS.items()) + """
PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=30
"""


def checks(report, _tools):
    """All checks of this part."""
    hosts.start()
    daemons = start()
    try:
        expected = hosts.alone()
        for manager, name in [("pmix", "Open MPI"), ("pmi2", "MPICH")]:
            claim = f"srun --mpi={manager} ({name}): the whole program prints what it prints alone"
            report.check(claim, whole, manager, expected, "1", "3")
            report.check(f"srun --mpi={manager}: so it does where the driver computes nothing", whole, manager, expected, "0", "2")
        report.check("srun --mpi=none: every process refuses to start and names --mpi=pmix and --mpi=pmi2", no_manager)
        report.check("sbatch --array: agents over a NATS server in a job of its own; the whole program", array, expected)
        report.check("scancel of a job with agents in three nodes leaves nothing", cancelled, ["--mpi=pmix"])
        report.check("scancel of a job over pmi2 leaves nothing", cancelled, ["--mpi=pmi2"])
    finally:
        if report.failed:
            print_logs()
        for daemon in daemons:
            daemon.kill()


def start():
    """Starts the daemons of a cluster; returns them."""
    os.makedirs(f"{HOME}/state")
    os.makedirs(f"{HOME}/munge", mode=0o755)
    with open(CONFIGURATION, "w", encoding="utf-8") as file:
        file.write(TEXT)
    with open(f"{HOME}/munge/key", "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(os.urandom(128))
    munge = f"{HOME}/munge"
    daemons = [daemon("munged", ["munged", "--foreground", "--force", f"--socket={munge}/socket", f"--key-file={munge}/key",
                                 f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"])]
    wait_until("munged answers", lambda: os.path.exists(f"{munge}/socket"))
    daemons.append(daemon("slurmctld", on("node1", ["slurmctld", "-D", "-f", CONFIGURATION])))
    for name in NAMES:
        os.makedirs(f"{HOME}/spool-{name}")
        daemons.append(daemon(f"slurmd-{name}", on(name, ["slurmd", "-D", "-f", CONFIGURATION, "-N", name])))
    idle = f"{len(NAMES)} idle"
    try:
        wait_until("three nodes are idle", lambda: idle in slurm("sinfo", "-h", "-o", "%D %T").stdout)
    except Failed:
        print_logs()
        raise
    return daemons


def print_logs():
    """Prints the ends of what the daemons and the jobs have said."""
    for name in sorted(name for name in os.listdir(HOME) if name.endswith(".log")):
        with open(f"{HOME}/{name}", encoding="utf-8", errors="replace") as file:
            print(f"-- the end of {name}", "".join(file.readlines()[-15:]), sep="\n", flush=True)


def daemon(name, command):
    """Starts a daemon, whose output goes into a file of its name."""
    with open(f"{HOME}/{name}.log", "wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(SLURM_CONF=CONFIGURATION))


def slurm(*command, **variables):
    """Runs a command of Slurm on the first node."""
    return run(on("node1", list(command)), SLURM_CONF=CONFIGURATION, **variables)


def nothing_runs():
    """Waits until Slurm has no job, and no process of one is left."""
    wait_until("no job is there", lambda: not slurm("squeue", "-h").stdout.strip())
    nothing_left("clustered", "slurmstepd", "srun", "nats-server")


def whole(manager, expected, workers, nodes):
    """The whole program as a process on each node."""
    ended = slurm("srun", f"--mpi={manager}", "-N", "3", "--ntasks-per-node=1", "--cpus-per-task=2", PROGRAM, "all", nodes,
                  POOLMAP_DRIVER_WORKERS=workers, POOLMAP_WORKERS="1")
    said = compare(ended, expected)
    nothing_runs()
    return said


def no_manager():
    """A step without a process manager."""
    ended = slurm("srun", "--mpi=none", "-N", "3", "--ntasks-per-node=1", PROGRAM, "all")
    demand(ended.returncode != 0 and not ended.stdout, ended.stdout, ended.stderr)
    said = [line for line in ended.stderr.splitlines() if line.startswith("poolmap: ")]
    demand(len(said) == 3 and all("--mpi=pmix" in line and "--mpi=pmi2" in line for line in said), ended.stderr)
    nothing_runs()
    return f"exit code {ended.returncode}"


def submit(*arguments, **variables):
    """Submits a job; returns its number."""
    ended = slurm("sbatch", "--parsable", f"--output={HOME}/job-%j.log", *arguments, **variables)
    demand(ended.returncode == 0, ended.stderr)
    return ended.stdout.strip().split(";")[0]


def array(expected):
    """A server in one job, agents in an array, and the driver in a third job; the agents are cancelled at the end."""
    submit("-w", "node1", "--wrap", f"exec nats-server -js -a {ADDRESS['node1']} -sd /tmp/store")
    try:
        wait_until("the server answers", lambda: knock("node1", ADDRESS["node1"], 4222).returncode == 0)
        agents = submit("--array=1-3", "--cpus-per-task=2", "--wrap", f"exec {PROGRAM}", POOLMAP_ENGINE=NATS, POOLMAP_ROLE="agent",
                        POOLMAP_WORKERS="1")
        wait_until("the array runs", lambda: len(slurm("squeue", "-h", "-r", "-t", "RUNNING", "-j", agents).stdout.splitlines()) == 3)
        ended = slurm("srun", "-n", "1", "--mpi=none", PROGRAM, "all", "3", POOLMAP_ENGINE=NATS, POOLMAP_DRIVER_WORKERS="0")
        said = compare(ended, expected)
        running = slurm("squeue", "-h", "-r", "-t", "RUNNING", "-j", agents).stdout.splitlines()
        demand(len(running) == 3, "the agents have not stayed for the next driver", *running)
        demand(slurm("scancel", agents).returncode == 0)
        wait_until("the array has ended", lambda: not slurm("squeue", "-h", "-j", agents).stdout.strip())
        nothing_left("clustered")
    finally:
        slurm("scancel", "--user=root")
    nothing_runs()
    return said


def cancelled(options):
    """A job whose tasks never end is cancelled."""
    job = submit("-N", "3", "--ntasks-per-node=1", "--cpus-per-task=2", "--wrap", f"exec srun {' '.join(options)} {PROGRAM} hang 3",
                 POOLMAP_WORKERS="2")
    try:
        # An agent and two workers on each node.
        wait_until("three agents and their workers run", lambda: len(processes("clustered")) == 9)
    except Failed:
        with open(f"{HOME}/job-{job}.log", encoding="utf-8", errors="replace") as file:
            raise Failed(f"{len(processes('clustered'))} processes and not 9: {file.read()}") from None
    finally:
        slurm("scancel", job)
    nothing_runs()
