# SPDX-License-Identifier: MIT
"""How requests end when their process does: a normal exit is no death, and no answer is not `completed`."""
import contextlib
import os
import unittest

import agent
import daemons
import fixtures
import talks
from servers import pools
from talks import MS, Case, Connection, Listener

REQUESTS = 3
TIMEOUT_S = 1


class Inetd(Listener):
    """A process for each connection."""

    PROGRAMS = ("inetd",)

    def configure(self):
        """Its one service is servers/outcomes.py."""
        command = "%s outcomes %s" % (fixtures.PYTHON, os.path.join(fixtures.SERVERS, "outcomes.py"))
        return ["inetd", "-i", self.write("inetd.conf", "127.0.0.1:%d stream tcp nowait root %s\n" % (self.port, command))]

    def __init__(self, **options):
        super().__init__("inetd", **options)


class MicroHttpd(Inetd):
    """A small web server that is made for inetd."""

    PROGRAMS = ("micro_httpd", "micro-httpd")

    def configure(self):
        """Files of the server's own directory."""
        self.write("page", "hello")
        program = daemons.program(*self.PROGRAMS)
        return ["inetd", "-i", self.write("inetd.conf", "127.0.0.1:%d stream tcp nowait root %s httpd %s\n" % (
            self.port, program, self.dir))]


class Impatient(pools.Gunicorn):
    """Its workers are killed after TIMEOUT_S without a sign of life."""

    KIND = ("--workers=1", "--timeout=%d" % TIMEOUT_S, "--graceful-timeout=1")

    def configure(self):
        """The application that does not come back."""
        return super().configure()[:-1] + ["outcomes:app"]


class Outcomes(Case):
    """Requests whose process ends."""

    def ask(self, server, path, n=REQUESTS):
        """n requests, a connection each; whatever is answered. Their ids."""
        names = [talks.name("end") for _ in range(n)]
        for ident in names:
            with Connection(server.endpoint) as connection, contextlib.suppress(OSError):
                connection.ask(ident, path, "GET", "Connection: close")
        return names

    def outcomes(self, server, path, n=REQUESTS):
        """The outcomes of their rows."""
        return [row["outcome"] for row in self.rows(server, self.ask(server, path, n)).values()]

    def errors(self, path):
        """(count, errors) of a route."""
        def look():
            routes = self.meter.stats(sections="requests", window="all")["requests"]["routes"]
            return next(((route["count"], route["errors"]) for route in routes if route["route"] == path), None)

        return agent.poll_until(look, 5, 0.1)

    def test_exits(self):
        """exit(0) behind the answer is how this server ends; SIGKILL in the midst of it is not."""
        server = self.start(Inetd)
        self.assertEqual(["completed"] * REQUESTS, self.outcomes(server, "/exit"))
        self.assertEqual(["completed"] * REQUESTS, self.outcomes(server, "/exit-framed"))
        self.assertEqual(["process-died"] * REQUESTS, self.outcomes(server, "/kill"))
        self.assertEqual((REQUESTS, 0), self.errors("/exit"))
        self.assertEqual((REQUESTS, REQUESTS), self.errors("/kill"))

    def test_abort_behind_the_answer(self):
        """What was answered whole was answered."""
        self.assertEqual(["completed"] * REQUESTS, self.outcomes(self.start(Inetd), "/abort"))

    def test_micro_httpd(self):
        """A server that somebody else wrote for inetd."""
        server = self.start(MicroHttpd)
        for path in ("/page", "/"):  # the list of files has no length
            self.assertEqual(["completed"] * REQUESTS, self.outcomes(server, path))
            self.assertEqual((REQUESTS, 0), self.errors(path))

    def test_timeout(self):
        """A worker that is ended for its silence has answered nothing: an error, with what it cost until then."""
        server = self.start(Impatient)
        for path in ("/spin", "/sleep"):
            with self.subTest(path=path):
                row = next(iter(self.rows(server, self.ask(server, path, 1), 10).values()))
                self.assertIsNone(row["status"])
                self.assertNotEqual("completed", row["outcome"])
                self.assertGreater(row["cpu_ns"] if path == "/spin" else row["blocked_ns"], TIMEOUT_S * 500 * MS)
                self.assertEqual((1, 1), self.errors(path))


if __name__ == "__main__":
    unittest.main()
