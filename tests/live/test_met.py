# SPDX-License-Identifier: MIT
"""An agent that starts under traffic: requests that begin after "ready" have rows, on connections met anywhere."""
import os
import threading
import unittest

import agent
import talks
from servers import nginx, pools
from talks import Command, Connection

CONNECTIONS = 8
AFTER_READY = 30
MOST = 200000  # requests of a connection, should the test end in the middle


class Traffic:
    """Connections that are kept busy until they are told to mark what they ask, and then ask so often more."""

    def __init__(self, endpoint, path):
        self.endpoint, self.path = endpoint, path
        self.marks = [[] for _ in range(CONNECTIONS)]
        self.turns, self.failed, self.marked, self.ended = [0] * CONNECTIONS, [], threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(number,)) for number in range(CONNECTIONS)]
        for thread in self.threads:
            thread.start()
        agent.poll_until(lambda: min(self.turns) > 20, 10)

    def work(self, number):
        """One connection."""
        try:
            with Connection(self.endpoint) as connection:
                while self.turns[number] < MOST and len(self.marks[number]) < AFTER_READY and not self.ended.is_set():
                    ident = talks.name("met") if self.marked.is_set() else talks.name("before")
                    connection.ask(ident, self.path)
                    self.turns[number] += 1
                    if ident.startswith("met"):
                        self.marks[number].append(ident)
        except OSError as error:
            self.failed.append(error)

    def mark(self):
        """From now on requests are asked with other ids; waits for the last of them."""
        self.marked.set()
        self.join()

    def join(self):
        """Waits for all."""
        for thread in self.threads:
            thread.join()

    def stop(self):
        """Ends it, wherever it is."""
        self.ended.set()
        self.join()


class Met(talks.Case):
    """The agents are each test's own."""

    @classmethod
    def setUpClass(cls):
        """No agent yet."""
        if reason := agent.skip_reason():
            raise unittest.SkipTest(reason)

    def meter_now(self):
        """An agent that starts now."""
        self.meter = agent.Agent("--scope", "pid:%d" % os.getpid(), "--recent", "2000", "--max-rows-per-second", "1000000")
        self.addCleanup(self.meter.stop)

    def traffic(self, server, path):
        """Traffic that ends with the test."""
        traffic = Traffic(server.endpoint, path)
        self.addCleanup(traffic.stop)
        return traffic

    def check(self, server, traffic):
        """Each connection has a row for each request since ready; the first on each may be cut."""
        traffic.mark()
        self.assertEqual([], traffic.failed)
        self.assertEqual([AFTER_READY] * len(traffic.marks), list(map(len, traffic.marks)))
        rows = self.rows(server, sum(traffic.marks, []))
        self.assertEqual({200}, {row["status"] for row in rows.values()})

    def check_busy(self, server, path):
        """An agent that starts under traffic."""
        traffic = self.traffic(server, path)
        self.meter_now()
        self.check(server, traffic)

    def check_again(self, server, path):
        """One that starts, stops and starts."""
        traffic = self.traffic(server, path)
        with agent.Agent("--scope", "pid:%d" % os.getpid(), "--recent", "2000", "--max-rows-per-second", "1000000"):
            pass
        self.meter_now()
        self.check(server, traffic)

    def test_nginx(self):
        """A loop that never waits for the next request."""
        self.check_busy(self.start(nginx.Nginx), "/small")

    def test_threads(self):
        """A thread for each connection."""
        self.check_busy(self.start(Command, *talks.python("raw.py", "{port}")), "/health")

    def test_nginx_again(self):
        """It stops and starts."""
        self.check_again(self.start(nginx.Nginx), "/small")

    def test_threads_again(self):
        """The same with threads."""
        self.check_again(self.start(Command, *talks.python("raw.py", "{port}")), "/health")

    def test_two_workers(self):
        """nginx with two workers, whose listening socket both have."""
        self.check_busy(self.start(nginx.Nginx, 2), "/small")

    def test_aiohttp(self):
        """Connections that rest while the agent starts."""
        server = self.start(pools.Aiohttp)
        connections = [self.connect(server) for _ in range(4)]
        for connection in connections:
            connection.ask(talks.name("older"))
        self.meter_now()
        names = [talks.name("rested") for _ in range(12)]
        for number, ident in enumerate(names):
            connections[number % 4].ask(ident, "/health")
        self.rows(server, names)

    def half_sent(self, server, rest, route):
        """Five requests behind a body of which one half was sent before the agent started."""
        body = rest * 10
        connection = self.connect(server)
        connection.send(talks.head(talks.name("half"), "POST", route, "Content-Length: %d" % (2 * len(body))) + body)
        agent.poll_until(server.idle, 5, 0.005)
        return connection, body

    def test_met_in_a_body(self):
        """The rest of the body begins with a letter, a brace, a NUL, a line end, or as a request does."""
        server, connections = self.start(Command, *talks.python("bodies.py", "{port}")), {}
        for rest in (b"abcdefghij", b'{"a":[1,2]', b"\x00\x01\xff", b"\r\n\r\n", b"GET / HTTP/1.1\r\nA: b", b"--boundary\r\n"):
            connections[rest] = self.half_sent(server, rest, "/up")
        self.meter_now()
        names = []
        for connection, body in connections.values():
            connection.send(body)
            connection.answer()
            for _ in range(5):
                names.append(talks.name("behind"))
                connection.ask(names[-1], "/health")
        rows = self.rows(server, names)
        self.assertEqual({("GET", "/health", 200)}, {(row["method"], row["path"], row["status"]) for row in rows.values()})

    def test_met_in_an_answer(self):
        """The agent starts between two pieces of a response; what comes next on the connection has its row."""
        server = self.start(Command, *talks.python("bodies.py", "{port}"))
        connection, go = self.connect(server), self.connect(server)
        connection.send(talks.head(talks.name("piece"), "GET", "/pieces"))
        while b"piece" not in connection.left:
            connection.more()
        self.meter_now()
        go.ask(talks.name("go"), "/go")
        connection.answer()
        names = [talks.name("behind") for _ in range(5)]
        for ident in names:
            connection.ask(ident, "/health")
        self.rows(server, names)


if __name__ == "__main__":
    unittest.main()
