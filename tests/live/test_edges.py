# SPDX-License-Identifier: MIT
"""Requests beside connections whose bytes are not read: TLS on the same nginx worker, and a store's protocol on one loop.

What the thread does for a foreign connection is none of the requests'. nginx's rows are held against the thread's own
clock at the calls around them.
"""
import os
import ssl
import threading
import unittest

import accuracy
import compare
import talks
from servers import nginx
from talks import MS, Case, Command, Connection

REQUESTS = 600
SLOW_REQUESTS = 120  # where each waits its turn for milliseconds
UPLOAD = b"u" * (4 << 20)
EXACT_NS = 2 * MS  # far beyond what a reply of HTTP costs on the loop
WRONG_NS = MS  # an exact row holds none of what the worker does for others; another not as much as it does at a time
MOST_NS = 4 * MS
NEAR_NS = 20000  # in the mean: from the kernel's edge to the program's look at its clock, and what that costs
ROW_NS = 100000  # of one row; what the worker does for the others at a time is milliseconds


def beyond(cpu, bounds):
    """ns by which a figure of CPU lies below (negative) or above what it may be."""
    low, high = bounds
    return cpu - high if cpu > high else min(0, cpu - low)


class Tls(Case):
    """Small plaintext requests to one nginx worker."""

    def setUp(self):
        """One worker."""
        self.server = self.start(nginx.NginxTls)

    def tls(self):
        """A TLS connection."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = Connection(("127.0.0.1", self.server.tls))
        connection = Connection(sock=context.wrap_socket(plain.sock))
        self.addCleanup(connection.close)
        return connection

    def plain(self, n):
        """Rows of n small requests on a kept connection."""
        names = [talks.name("plain") for _ in range(n)]
        with Connection(self.server.endpoint) as connection:
            for ident in names:
                connection.ask(ident, "/small")
        return list(self.rows(self.server, names, 10).values())

    def beside(self, n, work):
        """Rows of n small requests and more while two TLS connections work; at least 10 turns each."""
        done, turns, threads = threading.Event(), [], []
        for _ in range(2):
            connection = self.tls()
            threads.append(talks.until_set(done, lambda to=connection: turns.append(work(to)), 2000))
        try:
            rows = self.plain(n)
            while len(turns) <= 10 and len(rows) < 20 * n:
                rows += self.plain(n)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        self.assertGreater(len(turns), 10, "there was next to nothing beside")
        return rows

    def check(self, n, work):
        """What the worker ran between its calls for a request is the row's, beside TLS as alone."""
        for label, rows in (("alone", self.plain(n)), ("beside", self.beside(n, work))):
            turns = self.server.turns()
            errors = sorted((beyond(row["cpu_ns"], turns[row["id"]]), row["cpu_ns"], turns[row["id"]]) for row in rows)
            cpu, (low, high) = sum(row["cpu_ns"] for row in rows), map(sum, zip(*(turns[row["id"]] for row in rows)))
            details = "%d rows, median %d us; sum %.2f ms of %.2f to %.2f; furthest (ns, CPU, true): %s" % (
                len(rows), compare.median([row["cpu_ns"] for row in rows]) // 1000, cpu / 1e6, low / 1e6, high / 1e6,
                errors[:2] + errors[-2:])
            print("%s TLS: %s" % (label, details), flush=True)
            exact = [row for row in rows if talks.confidence(row) == "exact"]
            wrong = [row for row in exact if beyond(row["cpu_ns"], turns[row["id"]]) > WRONG_NS]
            accuracy.at_most(len(wrong), 0, label + ": exact rows with milliseconds of others", details)
            accuracy.at_most(errors[-1][0], MOST_NS, label + ": most CPU of others, ns", details)
            accuracy.at_least(len(exact), 0.9 * len(rows), label + ": exact rows", details)
            accuracy.at_least(sum(-ROW_NS <= error <= ROW_NS for error, *_ in errors), 0.98 * len(rows),
                              label + ": rows near the truth", details)
            accuracy.at_most(beyond(cpu, (low, high)), len(rows) * NEAR_NS, label + ": sum, ns beyond the truth", details)
            accuracy.at_least(beyond(cpu, (low, high)), -len(rows) * NEAR_NS, label + ": sum, ns below the truth", details)

    @accuracy.twice
    def test_downloads(self):
        """The worker encrypts large files for others."""
        self.check(REQUESTS, lambda connection: len(connection.ask(talks.name("tls"), "/large").body))

    @accuracy.twice
    def test_uploads(self):
        """The worker decrypts large bodies of others and writes them to files."""
        self.check(SLOW_REQUESTS, lambda connection: connection.ask(talks.name("tls"), "/put/%d" % os.getpid(), "PUT",
                                                                    body=UPLOAD).status)

    @accuracy.twice
    def test_handshakes(self):
        """The worker signs for new connections: a millisecond each, between two edges of a foreign socket."""
        def work(_):
            self.tls().close()

        self.check(SLOW_REQUESTS, work)


class Protocol(Case):
    """Small requests on an asyncio loop beside another protocol whose replies cost milliseconds."""

    @accuracy.twice
    def test_store(self):
        """The loop works 3 ms for each of the store's questions; no request of HTTP, which costs next to nothing, has them."""
        server = self.start(Command, *talks.python("beside.py", "{port}"))
        port, done = int(server.text().split()[1]), threading.Event()
        store = Connection(("127.0.0.1", port))
        self.addCleanup(store.close)

        def ask():
            store.send(b"Q\x00\x00\x00\x0dSELECT 1\x00")
            store.take(6)

        thread = talks.until_set(done, ask)
        try:
            names, connection = [talks.name("http") for _ in range(200)], self.connect(server)
            for ident in names:
                connection.ask(ident, "/")
        finally:
            done.set()
            thread.join()
        rows = self.rows(server, names).values()
        wrong = [talks.brief(row) for row in rows if talks.confidence(row) == "exact" and row["cpu_ns"] > EXACT_NS]
        accuracy.at_most(len(wrong), 0, "exact rows with the store's CPU", wrong[:4])
        accuracy.at_most(compare.median([row["cpu_ns"] for row in rows]), MS, "median CPU, ns", [
            talks.brief(row) for row in list(rows)[:4]])


if __name__ == "__main__":
    unittest.main()
