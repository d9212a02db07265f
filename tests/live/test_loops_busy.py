# SPDX-License-Identifier: MIT
"""Runtimes that turn to other tasks without blocking: a request that sleeps is not charged their work as its own.

A handler sleeps SLEEP_US while the program works for nobody all the time. A row may not know better, but then it does
not say `exact`.
"""
import importlib.util
import os
import unittest

import accuracy
import daemons
import fixtures
import talks
from servers import go
from talks import MS, Case, Command, Connection

REQUESTS = 10
SLEEP_US = 50000
OWN_NS = 8 * MS  # a handler that sleeps uses about 1 ms
CLIENTS = (1, 4)


class Busy(Case):
    """The servers; each works for nobody all the time."""

    def ask_at_once(self, server, path, n):
        """{id: answer} of n requests at the same time, REQUESTS each, on kept connections."""
        connections, answers = [self.connect(server) for _ in range(n)], {}
        for _ in range(REQUESTS):
            names = [talks.name("busy") for _ in connections]
            for ident, connection in zip(names, connections):
                connection.send(talks.head(ident, "GET", path))
            answers.update((ident, connection.answer()) for ident, connection in zip(names, connections))
        return answers

    def check(self, name, server):
        """No row that says `exact` has the others' work."""
        for clients in CLIENTS:
            rows = self.rows(server, self.ask_at_once(server, "/sleep?us=%d" % SLEEP_US, clients)).values()
            cpu = sorted(row["cpu_ns"] for row in rows)
            print("%s, %d clients: cpu of a handler that sleeps %.1f to %.1f ms, %s" % (
                name, clients, cpu[0] / MS, cpu[-1] / MS, sorted({talks.confidence(row) for row in rows})), flush=True)
            self.assertEqual([], [talks.brief(row) for row in rows
                                  if talks.confidence(row) == "exact" and row["cpu_ns"] > OWN_NS][:4])
        answers = self.ask_at_once(server, "/burn?us=5000", 1)
        own = {ident: int(answer.headers["x-handler-cpu-ns"]) for ident, answer in answers.items()}
        self.check_burns(self.rows(server, own), own)

    def check_burns(self, rows, own):
        """Rows of handlers that work at one go: those that are `exact` are right."""
        self.assertEqual([], [talks.brief(row) for ident, row in rows.items() if talks.confidence(row) == "exact"
                              and not talks.right_cpu(row, own[ident])][:4])

    def test_asyncio(self):
        """A task that is always ready."""
        self.check("asyncio", self.start(Command, *talks.python("busy_loop.py", "{port}")))

    def test_aiohttp(self):
        """The same under aiohttp."""
        if importlib.util.find_spec("aiohttp") is None:
            self.skipTest("no aiohttp here: scripts/setup test")
        self.check("aiohttp", self.start(Command, *talks.python("busy_loop.py", "{port}", "aiohttp")))

    def test_node(self):
        """setImmediate for ever."""
        node = daemons.program("node", "nodejs")
        if node is None:
            self.skipTest("no node here: scripts/setup test")
        self.check("node", self.start(Command, node, os.path.join(fixtures.SERVERS, "busy_loop.js"), "{port}"))

    def test_go(self):
        """A goroutine that is always runnable."""
        self.check("Go", self.start(go.Go, busy=True))

    @accuracy.twice
    def test_go_with_nothing_else(self):
        """Go without it: where a handler burns, its row has it, sure or not."""
        server = self.start(go.Go)
        answers = self.ask_at_once(server, "/burn?us=5000", 1)
        own = {ident: int(answer.headers["x-handler-cpu-ns"]) for ident, answer in answers.items()}
        rows = self.rows(server, own)
        self.check_burns(rows, own)
        right = sum(talks.right_cpu(row, own[ident]) for ident, row in rows.items())
        accuracy.at_least(right / len(rows), 0.9, "rows with their handler's CPU", [talks.brief(row) for row in rows.values()])


class Polls(Case):
    """A thread that asks its epoll without waiting, and works for nobody between two such looks."""

    def test_polls(self):
        """Two variations: a timeout of 0, and a poll of a descriptor that is always ready."""
        for how in ("zero", "ready"):
            with self.subTest(how=how):
                server = self.start(Command, *talks.python("poller.py", "{port}", how))
                with Connection(server.endpoint) as connection:
                    names = [talks.name("poll") for _ in range(REQUESTS)]
                    for ident in names:
                        connection.ask(ident, "/sleep")
                rows = self.rows(server, names).values()
                self.assertEqual([], [talks.brief(row) for row in rows
                                      if talks.confidence(row) == "exact" and row["cpu_ns"] > OWN_NS][:4])


if __name__ == "__main__":
    unittest.main()
