# SPDX-License-Identifier: MIT
"""Servers that receive by io_uring: completions run at the exit of some other call, whose buffer is not the socket's.

The server writes its log meanwhile, lines that look like requests; none of them may be in a report.
"""
import json
import unittest

import daemons
import talks
from talks import Case, Command

REQUESTS = 40
LEAK = "leaked"


class Uring(Case):
    """Two variations of what else the thread does."""

    def check(self, mode):
        """A row for each request, with its own path or none, and nowhere a line of the log."""
        try:
            server = self.start(Command, daemons.c_program("uring.c"), "{port}", "{dir}/lines", mode)
        except RuntimeError as error:
            self.skipTest("no io_uring here: %s" % error)
        before = self.started()
        connection = self.connect(server)
        for number in range(REQUESTS):
            connection.ask(talks.name("uring"), "/own/%d" % number)
        self.assertEqual(before + REQUESTS, self.started())
        report = self.meter.stats(scope="pid:%d" % server.pid, limit=100000)
        rows = [row for row in report["requests"]["recent"] if row["path"] != "/health"]
        paths = {"/own/%d" % number for number in range(REQUESTS)} | {None, ""}
        self.assertEqual([], [talks.brief(row) for row in rows if row["path"] not in paths][:4])
        self.assertEqual([], [talks.brief(row) for row in rows
                              if not row["path"] and talks.confidence(row) == "exact"][:4])
        self.assertNotIn(LEAK, json.dumps(report))

    def test_log(self):
        """It writes."""
        self.check("log")

    def test_read_back(self):
        """It writes and reads."""
        self.check("read")


if __name__ == "__main__":
    unittest.main()
