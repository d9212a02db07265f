# SPDX-License-Identifier: MIT
"""Responses that more than one thread writes: bytes, duration, status and threads are of the whole response."""
import unittest

import talks
from servers import nginx
from talks import MS, Case, Command, Connection

BODY = 50000
LATE_US = 20000


class Writers(Case):
    """The head by one thread, the body by another."""

    def check(self, server, asked, sent, duration_ns):
        """Rows of whole responses, none of them sure."""
        rows = self.rows(server, asked).values()
        self.assertEqual([], [talks.brief(row) for row in rows if not (
            row["status"] == 200 and row["outcome"] == "completed" and row["net"]["sent_bytes"] >= sent and
            row["duration_ns"] >= duration_ns and row["n_threads"] >= 2 and talks.confidence(row) != "exact")][:4])

    def test_pool(self):
        """A pool's thread writes the body 20 ms later; the first one reads the next request."""
        server = self.start(Command, *talks.python("raw.py", "{port}"))
        asked = []
        for report_between in (False, True):
            with Connection(server.endpoint) as connection:
                for _ in range(3):
                    asked.append(talks.name("pool"))
                    answer = connection.ask(asked[-1], "/pool?us=%d&n=%d" % (LATE_US, BODY))
                    self.assertEqual(BODY, len(answer.body))
                    if report_between:
                        self.new_report()
        self.check(server, asked, BODY, LATE_US * 1000 - MS)

    def test_pool_at_once(self):
        """The body follows at once, in parallel on several connections."""
        server = self.start(Command, *talks.python("raw.py", "{port}"))
        connections, asked = [self.connect(server) for _ in range(4)], []
        for _ in range(10):
            for connection in connections:
                asked.append(talks.name("pools"))
                connection.send(talks.head(asked[-1], "GET", "/pool?us=500&n=%d" % (4 * BODY)))
            for connection in connections:
                self.assertEqual(4 * BODY, len(connection.answer().body))
        self.check(server, asked, 4 * BODY, 0)

    def test_nginx_threads(self):
        """nginx sends a file by a thread of its pool."""
        server = self.start(nginx.NginxThreads)
        asked, size = [], 0
        with Connection(server.endpoint) as connection:
            for _ in range(20):
                asked.append(talks.name("aio"))
                size = len(connection.ask(asked[-1], "/large").body)
        self.check(server, asked, size, 0)

    def test_third_thread_answers_alone(self):
        """All of the answer by a thread that never read: its work before the write is the request's."""
        server = self.start(Command, *talks.python("raw.py", "{port}"))
        cpu = {}
        with Connection(server.endpoint) as connection:
            for _ in range(10):
                ident = talks.name("alone")
                cpu[ident] = int(connection.ask(ident, "/pool-all?us=5000").headers["x-handler-cpu-ns"])
        rows = self.rows(server, cpu)
        self.assertEqual([], [talks.brief(row) for ident, row in rows.items() if talks.confidence(row) == "exact" or
                              row["status"] != 200 or not 0.98 * cpu[ident] - 0.3 * MS <= row["cpu_ns"] <= 2 * cpu[ident]])


if __name__ == "__main__":
    unittest.main()
