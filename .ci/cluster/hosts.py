"""Three hosts on one machine: each has a network, a name, a /tmp and a /dev/shm of its own. All of it ends with the process that
made it, as all of it is in namespaces of that process."""

import os
import shutil
import subprocess

from cluster.checks import Failed, must, run, wait_until

FOLDER = "/run/poolmap"
PROGRAM = f"{FOLDER}/clustered"
NAMES = ["node1", "node2", "node3"]
ADDRESS = {name: f"10.77.0.{number}" for number, name in enumerate(NAMES, 1)}

# What stands for ssh: it goes where the host is, with no variable of the caller's, and runs the command by a shell.
REMOTE_SHELL = f"""#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
read -r pid < {FOLDER}/hosts/$1 || exit 255
shift
exec nsenter --target "$pid" --net --mount --uts --ipc --wd=/tmp -- env -i PATH="$PATH" HOME=/root sh -c "$*"
"""

HOST = """
mount -t tmpfs tmpfs /tmp && mount -t tmpfs tmpfs /dev/shm && hostname "$0" && ip link set lo up && echo $$ > "$1" && exec sleep infinity
"""


def prepare(program):
    """Gives this namespace folders of its own, and the program and the stand-in for ssh a place that all hosts see."""
    must(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])
    must(["ip", "link", "set", "lo", "up"])
    os.makedirs(f"{FOLDER}/hosts")
    os.makedirs(f"{FOLDER}/tmp")
    shutil.copy(program, PROGRAM)
    os.environ["TMPDIR"] = f"{FOLDER}/tmp"
    must(["hostname", "node0"])
    with open(f"{FOLDER}/names", "w", encoding="utf-8") as file:
        file.write("127.0.0.1 localhost\n127.0.0.1 node0\n")
        file.writelines(f"{address} {name}\n" for name, address in ADDRESS.items())
    must(["mount", "--bind", f"{FOLDER}/names", "/etc/hosts"])
    with open(f"{FOLDER}/rsh", "w", encoding="utf-8") as file:
        file.write(REMOTE_SHELL)
    os.chmod(f"{FOLDER}/rsh", 0o755)


def start():
    """Starts the three hosts, and the bridge between them."""
    must(["ip", "link", "add", "switch", "type", "bridge"])
    must(["ip", "link", "set", "switch", "up"])
    for name in NAMES:
        note = f"{FOLDER}/hosts/{name}"
        subprocess.Popen(["unshare", "--net", "--mount", "--uts", "--ipc", "--", "sh", "-c", HOST, name, note])
        wait_until(f"{name} is there", lambda: os.path.exists(note) and os.path.getsize(note) > 0)
        must(["ip", "link", "add", f"port-{name}", "type", "veth", "peer", "name", "eth0", "netns", pid(name)])
        must(["ip", "link", "set", f"port-{name}", "master", "switch", "up"])
        must(on(name, ["ip", "addr", "add", f"{ADDRESS[name]}/24", "dev", "eth0"]))
        must(on(name, ["ip", "link", "set", "eth0", "up"]))
    for name in NAMES:
        connected(name)


def connected(name):
    """Waits until a host's network passes packets."""
    # A refusal is an answer.
    wait_until(f"{name} answers", lambda: "refused" in knock("node1", ADDRESS[name], 9).stderr)


def knock(name, address, port):
    """Connects from a host to a port; returns how that ended."""
    return run(on(name, ["timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]))


def on(name, command):
    """A command as one that runs on a host, with the caller's environment."""
    return ["nsenter", "--target", pid(name), "--net", "--mount", "--uts", "--ipc", "--wd=/tmp", "--", "env", "-u", "TMPDIR", *command]


def pid(name):
    """The number of the process that keeps a host, as a word."""
    with open(f"{FOLDER}/hosts/{name}", encoding="utf-8") as file:
        return file.read().strip()


def link(name, state):
    """Sets a host's link to the others up or down."""
    must(["ip", "link", "set", f"port-{name}", state])


def alone(what="all"):
    """What the program prints without a cluster."""
    ended = run([PROGRAM, what], POOLMAP_ENGINE="local")
    if ended.returncode != 0:
        raise Failed(f"the program fails alone: {ended.stderr}")
    return ended.stdout
