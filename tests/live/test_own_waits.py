# SPDX-License-Identifier: MIT
"""Waits by epoll inside a request: a thread that serves one connection at a time waits so for its own request's things.

What it does between such a wait and its next edge is the request's; what an event loop does there is nobody's.
"""
import unittest

import agent
import compare
import daemons
import load
from load import Request

BACKGROUND_NS = 3000000  # servers/own_waits.c
REQUESTS = 20
PAUSES = {"accept": ("43", "288"), "epoll": ("232", "281"), "loop": ("232", "281")}  # system calls, x86-64
METER = None


def setUpModule():
    """One agent for all."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    METER = agent.Agent()


def tearDownModule():
    """Ends the agent."""
    METER.stop()


class Server(daemons.Daemon):
    """own_waits.c in one of its modes."""

    PROGRAMS = ("gcc", "cc")
    KEEP_ALIVE = False

    def __init__(self, mode, *arguments):
        self.mode, self.arguments = mode, arguments
        super().__init__()

    def configure(self):
        """Nothing to write."""
        return [daemons.c_program("own_waits.c"), str(self.port), self.mode, *self.arguments]

    def pause(self):
        """Waits until its thread waits for a connection."""
        def look():
            with open("/proc/%d/syscall" % self.pid, encoding="ascii") as call:
                return call.read().split()[0] in PAUSES[self.mode]

        if not agent.poll_until(look, 5, 0.001):
            raise RuntimeError("the server does not come to rest")


class OwnWaits(unittest.TestCase):
    """Rows of servers that wait by epoll."""

    def start(self, mode, *arguments):
        """A running server, at rest."""
        if Server.missing():
            self.skipTest(Server.missing())
        server = Server(mode, *map(str, arguments))
        self.addCleanup(server.__exit__)
        server.pause()
        return server

    def ask(self, server, paths):
        """[(result, row)] of requests that come one by one to a server at rest."""
        results = []
        for path in paths:
            found, _ = daemons.run_load(server.endpoint, [Request("GET", path, b"")], 1, keep_alive=False,
                                        prefix=load.unique_prefix())
            results += found
            server.pause()
        return self.with_rows(server, results)

    def with_rows(self, server, results):
        """Each result with its one row."""
        ids = {result.id for result in results}
        rows = [row for row in daemons.settled(METER, "pid:%d" % server.pid, ids) if row["id"] in ids]
        self.assertEqual([200] * len(results), [result.status for result in results])
        self.assertEqual(sorted(ids), sorted(row["id"] for row in rows))
        by_id = {row["id"]: row for row in rows}
        return [(result, by_id[result.id]) for result in results]

    def check_own(self, pairs, confidence):
        """CPU as the handler measured it, no time unattended."""
        wrong = ["%s: cpu %d us, handler %d us, unattended %d us, %s" % (
            result.path, row["cpu_ns"] // 1000, result.handler_cpu_ns // 1000, row["unattended_ns"] // 1000,
            row["attribution"]["confidence"]) for result, row in pairs
            if abs(row["cpu_ns"] - result.handler_cpu_ns) > compare.cpu_bound(result.handler_cpu_ns)
            or row["unattended_ns"] > compare.closing_bound(row["occupied_ns"])
            or row["attribution"]["confidence"] != confidence]
        self.assertEqual([], wrong)

    def test_acceptor(self):
        """Requests come to it in accept: an epoll is its request's. Sure from the second request on, but for its child's CPU."""
        server = self.start("accept")
        first = self.ask(server, ["/health"] * 2)
        self.assertEqual(["exact"] * 2, [row["attribution"]["confidence"] for _, row in first])
        self.check_own(self.ask(server, ["/cgi?us=1500", "/pieces?us=500"] * REQUESTS), "boundary")

    def test_several_epolls(self):
        """Requests come to it in an epoll: another is its request's, as far as one can see."""
        server = self.start("epoll")
        self.ask(server, ["/health"])
        self.check_own(self.ask(server, ["/cgi?us=1500", "/pieces?us=150"] * REQUESTS), "boundary")

    def test_loop(self):
        """One connection on a loop's only epoll: what a timer does is nobody's, and makes the row unsure."""
        pairs = self.ask(self.start("loop", 1), ["/timed"] * REQUESTS)
        self.assertEqual([], [(row["cpu_ns"], row["attribution"]["confidence"]) for _, row in pairs
                              if row["cpu_ns"] > BACKGROUND_NS / 2 or row["attribution"]["confidence"] != "boundary"])

    def test_loop_with_two(self):
        """Two connections that wait for one timer: its work is neither's."""
        server = self.start("loop", 2)
        for _ in range(REQUESTS):
            results, _ = daemons.run_load(server.endpoint, [Request("GET", "/timed", b"")] * 2, 2, keep_alive=False,
                                          prefix=load.unique_prefix())
            server.pause()
            pairs = self.with_rows(server, results)
            self.assertLess(sum(row["cpu_ns"] for _, row in pairs), BACKGROUND_NS / 2)


if __name__ == "__main__":
    unittest.main()
