"""A NATS server on one of the hosts."""

import subprocess
import tempfile

from cluster.checks import Failed, environment, wait_until
from cluster.hosts import knock, on


class Server:
    """A server with JetStream and a store of its own, which ends with the block that started it."""

    def __init__(self, host, address, port=4222):
        self.url = f"nats://{address}:{port}"
        self.folder = tempfile.TemporaryDirectory(prefix="nats-")
        self.child = subprocess.Popen(
            on(host, ["nats-server", "-js", "-a", address, "-p", str(port), "-sd", self.folder.name]), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        try:
            wait_until("the server answers", lambda: knock(host, address, port).returncode == 0)
        except Failed:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.folder.cleanup()
