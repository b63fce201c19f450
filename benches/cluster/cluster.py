"""Runs each workload under each launcher, in turn with mpi4py.futures, three rounds, and prints a table of the best of each.

    python3 benches/cluster/cluster.py

It needs openmpi-bin and mpich, and installs mpi4py, with the MPICH that it is linked with, under target/cluster.
"""

import os
import pathlib
import resource
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target" / "cluster"
ROUNDS = int(os.environ.get("CLUSTER_RUNS", "3"))
LAUNCHERS = {
    "Open MPI": ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-n", "3"],
    "MPICH": ["mpiexec.hydra", "-n", "3"],
}
WORKLOADS = ["single", "together", "latency", "large", "sleep", "crashes", "idle"]
SMALLER_IS_BETTER = ("p50_us", "p99_us", "cpu_percent_of_one_core")
PEER = ["single", "latency", "large", "sleep"]


def run(command, environment, workload):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if output.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {output.returncode}:\n{output.stderr}")
    figures = dict(line.split() for line in output.stdout.splitlines())
    if workload == "idle":
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        figures["cpu_percent_of_one_core"] = f"{10 * seconds:.1f}"
    return {name: float(value) for name, value in figures.items()}


def main():
    target = ["--manifest-path", str(HERE / "Cargo.toml"), "--target-dir", str(TARGET)]
    subprocess.run(["cargo", "build", "--quiet", "--release", *target], check=True)
    program = str(TARGET / "release" / "poolmap-cluster-figures")
    peers = TARGET / "python"
    python = str(peers / "bin" / "python")
    if not (peers / "bin" / "mpiexec.hydra").exists():
        subprocess.run([sys.executable, "-m", "venv", str(peers)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "mpi4py", "mpich==5.0.2"], check=True)
    ours = {**os.environ, "POOLMAP_DRIVER_WORKERS": "0", "POOLMAP_WORKERS": "1"}
    theirs = {**os.environ, "LD_LIBRARY_PATH": str(peers / "lib")}
    launcher_of_peer = [str(peers / "bin" / "mpiexec.hydra"), "-n", "3"]
    best = {}
    for _ in range(ROUNDS):
        for launcher, command in LAUNCHERS.items():
            for workload in WORKLOADS:
                sides = {"poolmap": ([*command, program, workload], ours)}
                if workload in PEER:
                    peer = [python, "-m", "mpi4py.futures", str(HERE / "peer.py"), workload]
                    sides["mpi4py.futures"] = ([*launcher_of_peer, *peer], theirs)
                for side, (line, environment) in sides.items():
                    for name, value in run(line, environment, workload).items():
                        better = min if name in SMALLER_IS_BETTER else max
                        key = (launcher, workload, name)
                        known = best.setdefault(key, {})
                        known[side] = better(known.get(side, value), value)
    print("| launcher | workload | figure | poolmap | mpi4py.futures | ratio |\n|---|---|---|---|---|---|")
    for (launcher, workload, name), sides in best.items():
        own, peer = sides["poolmap"], sides.get("mpi4py.futures")
        ratio = "" if peer is None else f"{own / peer:.2f}"
        print(f"| {launcher} | {workload} | {name} | {own:g} | {'' if peer is None else f'{peer:g}'} | {ratio} |")


if __name__ == "__main__":
    main()
