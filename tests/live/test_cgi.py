# SPDX-License-Identifier: MIT
"""Work in a child process of the server: it is in the row, or the row does not say `exact`."""
import http.server
import unittest

import daemons
import fixtures
import talks
from talks import MS, Case, Command, Connection

BURN_US = 100000
REQUESTS = 3
SCRIPT = """#!%s -S
import time
while time.process_time() < %f: pass
print("Content-Type: text/plain\\r\\n\\r\\nburned", end="")
"""


class Cgi(Case):
    """Servers of three kinds: a process for each connection, a process for each CGI program, a thread that waits."""

    def pages(self, server_class, *command):
        """A server with /health and a CGI program below its own directory."""
        class Pages(server_class):
            """It writes its files first."""

            def configure(self):
                self.write("health", "ok")
                self.write("cgi-bin/burn", SCRIPT % (fixtures.PYTHON, BURN_US / 1e6), 0o755)
                return super().configure()

        return self.start(Pages, *command)

    def check(self, server, path):
        """Rows of CPU in a child."""
        names = [talks.name("cgi") for _ in range(REQUESTS)]
        for ident in names:
            with Connection(server.endpoint) as connection:
                self.assertEqual(200, connection.ask(ident, path, "GET", "Connection: close").status)
        rows = self.rows(server, names).values()
        print("%s: %s" % (path, [talks.brief(row) for row in rows][:1]), flush=True)
        self.assertEqual({(200, path.partition("?")[0])}, {(row["status"], row["path"]) for row in rows})
        self.assertEqual([], [talks.brief(row) for row in rows if talks.confidence(row) == "exact"
                              and not 0.98 * BURN_US * 1000 - MS <= row["cpu_ns"] <= 2 * BURN_US * 1000 + 50 * MS])

    def test_busybox(self):
        """A child for each connection, and one more for the program."""
        busybox = daemons.program("busybox")
        if busybox is None:
            self.skipTest("no busybox here: scripts/setup test")
        self.check(self.pages(Command, busybox, "httpd", "-f", "-p", "127.0.0.1:{port}", "-h", "{dir}"), "/cgi-bin/burn")

    def test_python(self):
        """Python's CGI handler forks."""
        self.assertTrue(hasattr(http.server, "CGIHTTPRequestHandler"))
        self.check(self.pages(Command, fixtures.PYTHON, "-m", "http.server", "--cgi", "--bind", "127.0.0.1", "{port}"),
                   "/cgi-bin/burn")

    def test_subprocess(self):
        """A handler runs a program and waits."""
        self.check(self.start(Command, *talks.python("raw.py", "{port}")), "/child?us=%d" % BURN_US)


if __name__ == "__main__":
    unittest.main()
