# SPDX-License-Identifier: MIT
"""Sockets that become known in an odd way: each request over them has its one row."""
import os
import socket
import subprocess
import unittest

import agent
import daemons
import talks
from talks import Case, Command, Connection

IPPROTO_MPTCP = 262
TCP_FASTOPEN_CONNECT = 30
REQUESTS = 3
HOWS = ("mptcp", "fast-open", "again", "passed", "reuse")


def mptcp(endpoint):
    """A connection of MPTCP."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    sock.connect(endpoint)
    return Connection(sock=sock)


def fast_open(endpoint):
    """A connection whose first bytes may be in its SYN."""
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
    sock.connect(endpoint)
    return Connection(sock=sock)


def plain(endpoint):
    """A connection of TCP."""
    return Connection(endpoint)


class Sockets(Case):
    """Listeners that are younger than the agent, and the same, older."""

    def ask(self, server, connect, n_connections=REQUESTS):
        """Requests over several connections, each with its row, sure of itself."""
        names = []
        for _ in range(n_connections):
            with connect(server.endpoint) as connection:
                for _ in range(REQUESTS):
                    names.append(talks.name("odd"))
                    connection.ask(names[-1], "/odd")
        return names

    def check(self, server, connect, confidence="exact"):
        """Each request has its row."""
        rows = self.rows(server, self.ask(server, connect))
        self.assertEqual({("/odd", 200, confidence)},
                         {(row["path"], row["status"], talks.confidence(row)) for row in rows.values()})

    def server(self, how):
        """A server that listens so."""
        try:
            return self.start(Command, *talks.python("listeners.py", "{port}", how))
        except RuntimeError as error:
            if how == "mptcp" and "Protocol not" in str(error):
                self.skipTest("no MPTCP here")
            raise

    def test_young_listeners(self):
        """Made after the agent."""
        for how in HOWS:
            with self.subTest(how=how):
                self.check(self.server(how), plain)

    def test_mptcp(self):
        """A client of MPTCP, whose bytes the message's socket reads, not the one of TCP."""
        self.check(self.server("mptcp"), mptcp)

    def test_fast_open(self):
        """A client that sends with its SYN, where the machine lets it."""
        self.check(self.server("fast-open"), fast_open)

    def test_old_listeners(self):
        """The agent starts after them."""
        servers = {how: self.server(how) for how in HOWS}
        young, type(self).meter = self.meter, None
        self.assertEqual(0, young.stop())
        type(self).meter = agent.Agent("--scope", "pid:%d" % os.getpid())
        for how, server in servers.items():
            with self.subTest(how=how):
                self.check(server, mptcp if how == "mptcp" else plain)

    def test_late_last_ack(self):
        """Data in the SYN, and the ACK of the handshake after the answer: the socket serves before it is established."""
        if not os.path.exists("/dev/net/tun"):
            self.skipTest("no /dev/net/tun here")
        if daemons.program("ip") is None:
            self.skipTest("no ip here: scripts/setup test")
        names = [talks.name("syn") for _ in range(REQUESTS)]
        done = subprocess.run(["unshare", "-n", *talks.python("late_ack.py", str(agent.free_port()), "/burn?us=3000", *names)],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(["HTTP/1.1 200 OK"] * REQUESTS, done.stdout.split("\n")[:-1], done.stderr)
        found = agent.poll_until(lambda: [row for row in self.meter.rows() if row["id"] in names][REQUESTS - 1:] and [
            row for row in self.meter.rows() if row["id"] in names], 5, 0.1) or []
        self.assertEqual(sorted(names), sorted(row["id"] for row in found))
        self.assertEqual({("/burn", 200)}, {(row["path"], row["status"]) for row in found})
        self.assertEqual([], [talks.brief(row) for row in found if row["cpu_ns"] < 2.9 * talks.MS])


if __name__ == "__main__":
    unittest.main()
