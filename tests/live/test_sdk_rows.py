# SPDX-License-Identifier: MIT
"""One request, one row: what a program tells by libreqmeter and what is seen at its sockets, however it answers."""
import socket
import subprocess
import threading
import time
import unittest

import agent
import build
import load

N = 25
LONG, PAUSE_S = 120, 0.02  # another agent starts meanwhile, and ends
BURN_NS = 2000000
METER = None


def setUpModule():
    """One agent for all, that sees no other program: what others lose makes the agent doubt, too."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    METER = agent.Agent("--scope", "comm:sdk_shapes")


def tearDownModule():
    """Ends the agent."""
    METER.stop()


class Server:
    """A running sdk_shapes. A context manager."""

    def __init__(self):
        self.process = subprocess.Popen([build.part("sdk_shapes")], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    @property
    def scope(self):
        """The server as a selector."""
        return "pid:%d" % self.process.pid

    def ask(self, how, n=N, pause_s=0):
        """n requests, one after the other on one connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as sock:
            for i in range(n):
                sock.sendall(b"GET /%s/%d HTTP/1.1\r\nHost: x\r\n\r\n" % (how.encode(), i))
                load.read_answer(sock)
                time.sleep(pause_s)


class Base(unittest.TestCase):
    """A server and its rows."""

    def setUp(self):
        """A server."""
        self.server = Server()
        self.addCleanup(self.server.__exit__)

    def requests(self, **query):
        """The server's requests in the report."""
        return METER.stats(scope=self.server.scope, sections="requests", **query)["requests"]

    def counts(self):
        """How many requests the agent has counted, of all servers that it has seen."""
        return self.requests(limit=0)["counts"]

    def rows(self, n):
        """All rows, when there are n and none is in flight any more."""
        def look():
            requests = self.requests(limit=10000)
            settled = len(requests["recent"]) >= n and not requests["active"]
            return requests["recent"] if settled else None

        return agent.poll_until(look, 20, 0.2) or METER.rows(scope=self.server.scope)


class Rows(Base):
    """How many rows there are of each request, and what they say."""

    def one_row_each(self, how):
        """Every request has the program's CPU and the socket's path, status and bytes."""
        self.assertTrue(agent.poll_until(lambda: self.counts()["in_flight"] == 0, 20), "of the tests before")
        before = self.counts()
        self.server.ask(how)
        rows = self.rows(N)
        self.assertEqual(["/%s/%d" % (how, i) for i in range(N)], 
                         [row["path"] for row in sorted(rows, key=lambda row: row["start_unix_ns"])])
        for row in rows:
            self.assertEqual(("sdk", "exact"), tuple(row["attribution"].values()))
            self.assertEqual(200, row["status"])
            self.assertEqual(41, row["net"]["sent_bytes"])
            # Whose the stolen time was, within one slice, nobody knows; how exact rows are is test_sdk's to say.
            self.assertGreaterEqual(row["cpu_ns"] + row["stolen_ns"], 0.9 * BURN_NS)
        now = self.counts()
        self.assertEqual((N, N, 0), (now["started"] - before["started"], now["finished"] - before["finished"],
                                     now["in_flight"]))

    def test_another_agent_begins(self):
        """Meanwhile, and has all threads announce themselves again."""
        def other():
            with agent.Agent("--scope", "comm:sdk_shapes"):
                pass

        beside = threading.Thread(target=other)
        beside.start()
        self.server.ask("after", LONG, PAUSE_S)
        beside.join()
        rows = self.rows(LONG)
        self.assertEqual((LONG, {("sdk", "exact")}), (len(rows), {tuple(row["attribution"].values()) for row in rows}))

    def test_in(self):
        """Answered inside of the request."""
        self.one_row_each("in")

    def test_after(self):
        """Answered when it has ended."""
        self.one_row_each("after")

    def test_by_another_thread(self):
        """Answered by another when it has ended, and before."""
        self.one_row_each("other")

    def test_by_another_thread_meanwhile(self):
        """Answered by another, before it has ended."""
        self.one_row_each("held")

    def apart(self, how, n_told):
        """Every request has a row of its socket and so many of its program: to join them would be a guess."""
        self.server.ask(how)
        rows = self.rows(N * (1 + n_told))
        sources = [row["attribution"]["source"] for row in rows]
        self.assertEqual((N, n_told * N), (sources.count("socket"), sources.count("sdk")))
        self.assertEqual({None}, {row["path"] for row in rows if row["attribution"]["source"] == "sdk"} or {None})

    def test_begun_elsewhere(self):
        """Begun by a thread that read no head."""
        self.apart("begun", 1)

    def test_nested(self):
        """Two are begun for one head."""
        self.apart("nested", 2)

    def test_untold(self):
        """A program that tells of others, but not of these."""
        self.server.ask("in", 1)
        self.server.ask("untold")
        sources = [row["attribution"]["source"] for row in self.rows(N + 1)]
        self.assertEqual((N, 1), (sources.count("socket"), sources.count("sdk")))


class Times(Base):
    """What time_info counts of requests that programs tell of."""

    def test_until_the_response_begins(self):
        """As the program says, long before it is written."""
        self.server.ask("late")
        bounds = [tuple(map(int, self.server.process.stdout.readline().split())) for _ in range(N)]
        rows = self.rows(N)
        self.assertEqual(N, len(rows))
        times = METER.stats(scope=self.server.scope, sections="time_info", client="late")["time_info"]["all_requests"]
        self.assertEqual(N, times["count"])
        self.assertGreaterEqual(times["total"], sum(least for least, _ in bounds) / 1e9)
        self.assertLessEqual(times["total"], sum(most for _, most in bounds) / 1e9)
        for row in rows:
            self.assertGreaterEqual(row["duration_ns"], 30000000)
