# SPDX-License-Identifier: MIT
"""The end of Unix sockets whose server closes them without a word, also in other network namespaces than the agent's."""
import os
import socket
import subprocess
import tempfile
import time
import unittest

import agent
import fixtures

# Reads a head on each of two connections, closes the first, keeps the second, and does nothing more.
SERVER = """
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(8)
print("ready", flush=True)
first, second = listener.accept()[0], listener.accept()[0]
for sock in (first, second):
    sock.recv(4096)
first.close()
print("closed", flush=True)
time.sleep(60)
"""
# A look comes each second, and a connection counts as closed at the second one that misses it.
SEEN_SECONDS = 10
LOOKS = 4


class Silent:
    """A server that closes one connection and keeps the other. A context manager."""

    def __init__(self, prefix=()):
        self.dir = tempfile.mkdtemp(prefix="reqmeter-")
        path = os.path.join(self.dir, "s")
        self.process = subprocess.Popen([*prefix, fixtures.PYTHON, "-c", SERVER, path], stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.clients = [self.ask(path, name) for name in ("gone", "kept")]
        self.process.stdout.readline()

    @staticmethod
    def ask(path, name):
        """A client with its request sent."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        client.sendall(b"GET /%s HTTP/1.1\r\nHost: x\r\nX-Request-ID: %s\r\n\r\n" % (name.encode(), name.encode()))
        return client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        os.unlink(os.path.join(self.dir, "s"))
        os.rmdir(self.dir)


def ids(meter, which, pid):
    """Ids of a server's rows."""
    return sorted(row["id"] for row in meter.stats(sections="requests", limit=1000)["requests"][which] if row["pid"] == pid)


class UnixEnds(unittest.TestCase):
    """One request in flight on a connection that is closed, one on a connection that stays."""

    def setUp(self):
        if reason := agent.skip_reason():
            self.skipTest(reason)

    def check(self, *, sees, refuse=(), prefix=()):
        """The closed one ends within seconds if that is seen; the other stays in flight however often it is looked for."""
        with agent.Agent(prefix=agent.refusing(*refuse)) as meter, Silent(prefix) as server:
            pid = server.process.pid
            ended = agent.poll_until(lambda: ids(meter, "recent", pid), SEEN_SECONDS if sees else LOOKS, 0.2)
            self.assertEqual(["gone"] if sees else [], ended)
            for _ in range(LOOKS):
                time.sleep(1)
                self.assertEqual(["kept"] if sees else ["gone", "kept"], ids(meter, "active", pid))

    def test_here(self):
        """In the agent's own network namespace."""
        self.check(sees=True)

    def test_elsewhere(self):
        """In another one, whatever the kernel's best way is and by the one that looks into namespaces."""
        self.check(sees=True, prefix=("unshare", "--net"))
        self.check(sees=True, prefix=("unshare", "--net"), refuse=("fentry/", "fexit/", "iter/bpf_sk_storage_map"))

    def test_not_at_all(self):
        """Where the kernel refuses every way, the request stays in flight: no end is made up."""
        self.check(sees=False, refuse=("fentry/", "fexit/", "iter/bpf_sk_storage_map", "iter/unix"))


if __name__ == "__main__":
    unittest.main()
