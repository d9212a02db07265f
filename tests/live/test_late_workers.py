# SPDX-License-Identifier: MIT
"""Pools whose worker first touches the socket when it answers: what it did since it woke is the request's.

Heads come at once, 20 ms after the connection, in two pieces, and on a kept connection that rested: over a network they
are late, and a reactor reads them. What single rows say is printed. No row that says `exact` may be wrong.
"""
import collections
import threading
import time
import unittest

import accuracy
import talks
from servers import pools
from talks import Case

BURN_US = 5000
LATE_S = 0.02  # as far as a network is away: the head comes when the server waits for it elsewhere
REQUESTS = 10
SHARE = 0.9


def at_once(connection, data):
    """The head with the connection."""
    connection.send(data)


def late(connection, data):
    """The head later."""
    time.sleep(LATE_S)
    connection.send(data)


def split(connection, data):
    """Most of the head later."""
    connection.send(data[:30])
    late(connection, data[30:])


WAYS = {"at once": at_once, "late": late, "split": split}


class Pools(Case):
    """Each server."""

    def ask(self, server, send, kept):
        """{id: CPU of its handler}, one after the other."""
        own, connection = {}, None
        for _ in range(REQUESTS):
            connection = connection if connection and kept else self.connect(server)
            ident = talks.name("late")
            send(connection, talks.head(ident, "GET", "/burn?us=%d" % BURN_US))
            own[ident] = int(connection.answer().headers["x-handler-cpu-ns"])
            if not kept:
                connection.close()
        return own

    def ask_together(self, server, clients=4):
        """The same by several clients at once."""
        own, threads = {}, []
        for _ in range(clients):
            threads.append(threading.Thread(target=lambda: own.update(self.ask(server, late, True))))
            threads[-1].start()
        for thread in threads:
            thread.join()
        return own

    def share_right(self, label, server, own):
        """The part of rows with their handler's CPU, printed; none that says `exact` is wrong."""
        rows = self.rows(server, own)
        right = {ident for ident, row in rows.items() if talks.right_cpu(row, own[ident])}
        words = collections.Counter(talks.confidence(row) for row in rows.values())
        inherited = sum(row["attribution"]["source"] == "inherited" for row in rows.values())
        print("%-28s %3d of %3d rows have their handler's CPU; %s; %d inherited" % (
            label, len(right), len(rows), dict(words), inherited), flush=True)
        self.assertEqual([], [talks.brief(row) for ident, row in rows.items()
                              if talks.confidence(row) == "exact" and ident not in right])
        return len(right) / len(rows)

    def check(self, cls, share):
        """All ways; `share` of the rows must be right with one client."""
        server = self.start(cls)
        name = cls.__name__
        for way, send in WAYS.items():
            accuracy.at_least(self.share_right("%s, %s" % (name, way), server, self.ask(server, send, False)), share,
                              "%s, %s: right rows" % (name, way))
        accuracy.at_least(self.share_right(name + ", kept", server, self.ask(server, late, True)), share,
                          name + ", kept: right rows")
        self.share_right(name + ", 4 clients", server, self.ask_together(server))

    @accuracy.twice
    def test_puma(self):
        """The worker answers."""
        self.check(pools.Puma, SHARE)

    @accuracy.twice
    def test_waitress(self):
        """The worker answers."""
        self.check(pools.Waitress, SHARE)

    @accuracy.twice
    def test_java(self):
        """A second pool answers."""
        self.check(pools.Java, SHARE)

    @accuracy.twice
    def test_gunicorn_threads(self):
        """A loop waits for kept connections, threads read and answer."""
        self.check(pools.GunicornThreads, SHARE)

    def test_hypercorn(self):
        """The worker hands back and never touches the socket: nobody can know, so nothing is sure that lacks it."""
        self.check(pools.Hypercorn, 0)

    def test_twisted(self):
        """The same."""
        self.check(pools.Twisted, 0)


if __name__ == "__main__":
    unittest.main()
