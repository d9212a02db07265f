# SPDX-License-Identifier: MIT
"""Raw HTTP connections, servers of one command, and the one row that each request must have."""
import collections
import itertools
import os
import socket
import threading
import time
import unittest

import agent
import daemons
import fixtures
import load

MS = 1000000
TIMEOUT_S = 20
NAMES = itertools.count()
Answer = collections.namedtuple("Answer", "status headers body")


def name(kind):
    """An id that no other request on this machine has now."""
    return "%s-%d-%d" % (kind, os.getpid(), next(NAMES))


def head(ident, method="GET", path="/", *fields):
    """The bytes of a request's head."""
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: localhost", "X-Request-ID: " + ident, *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def confidence(row):
    """How sure a row says it is."""
    return row["attribution"]["confidence"]


def right_cpu(row, own_ns):
    """True if a row's CPU may be what a handler that used own_ns cost with its server: not less, and not much more."""
    return 0.98 * own_ns - 0.3 * MS <= row["cpu_ns"] <= 1.3 * own_ns + 5 * MS


def brief(row):
    """A row for people, in one line."""
    return "%s %s %s %s %s cpu %.2f ms, duration %.1f ms, threads %s, sent %s, %s" % (
        row["id"], row["method"], row["path"], row["status"], row["outcome"], row["cpu_ns"] / MS, row["duration_ns"] / MS,
        row["n_threads"], row["net"]["sent_bytes"], confidence(row))


class Connection:
    """A client's connection. Keeps what came behind an answer for the next one. A context manager."""

    def __init__(self, endpoint=None, sock=None):
        self.sock = sock or load.connect(endpoint)
        self.sock.settimeout(TIMEOUT_S)
        self.left = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Closes it."""
        self.sock.close()

    def send(self, data):
        """Sends all of data."""
        self.sock.sendall(data)

    def more(self):
        """Waits for more bytes; raises ConnectionError at the end of the stream."""
        self.left += load.received(self.sock)

    def take(self, n):
        """The next n bytes."""
        while len(self.left) < n:
            self.more()
        data, self.left = self.left[:n], self.left[n:]
        return data

    def line(self):
        """The next line without its end, which may be a bare LF."""
        while b"\n" not in self.left:
            self.more()
        text, _, self.left = self.left.partition(b"\n")
        return text.rstrip(b"\r")

    def chunks(self):
        """A chunked body with its trailers."""
        body = b""
        while size := int(self.line().split(b";")[0], 16):
            body += self.take(size)
            self.line()
        while self.line():
            pass
        return body

    def to_the_end(self):
        """What comes until the server closes."""
        try:
            while True:
                self.more()
        except ConnectionError:
            data, self.left = self.left, b""
            return data

    def answer(self, method="GET"):
        """The next final answer."""
        status, headers = int(self.line().split()[1]), {}
        while line := self.line().decode("latin-1"):
            key, _, value = line.partition(":")
            headers[key.lower()] = value.strip()
        if 100 <= status < 200 and status != 101:
            return self.answer(method)
        if method == "HEAD" or status in (101, 204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return Answer(status, headers, self.chunks())
        if "content-length" in headers:
            return Answer(status, headers, self.take(int(headers["content-length"])))
        return Answer(status, headers, self.to_the_end())

    def ask(self, ident, path="/", method="GET", *fields, body=b""):
        """One request and its answer."""
        if body:
            fields += ("Content-Length: %d" % len(body),)
        self.send(head(ident, method, path, *fields) + body)
        return self.answer(method)


class Command(daemons.Daemon):
    """A server that is one command; "{port}" in it is where it listens. Answers /health unless a subclass knows better."""

    def __init__(self, *command, **options):
        self.command = command
        super().__init__(**options)

    def configure(self):
        """Nothing to write."""
        return [word.format(port=self.port, dir=self.dir) for word in self.command]

    def connect(self):
        """A new connection."""
        return Connection(self.endpoint)


class Listener(Command):
    """One that cannot answer /health: ready as soon as it accepts."""

    def wait_ready(self, seconds=20):
        """Waits until it accepts a connection."""
        def look():
            if self.process.poll() is not None:
                return True
            try:
                socket.create_connection(self.endpoint, 1).close()
                return True
            except OSError:
                return False

        if not agent.poll_until(look, seconds, 0.05) or self.process.poll() is not None:
            said = self.said()
            self.stop()
            self.remove()
            raise RuntimeError("the server did not start: " + said)


def python(script, *arguments):
    """The command of a Python server below servers/."""
    return fixtures.PYTHON, os.path.join(fixtures.SERVERS, script), *arguments


def until_set(done, work, most=100000):
    """A thread that works in turns until `done` is set, at most so often; started."""
    def turns():
        for _ in range(most):
            if done.is_set():
                return
            work()

    thread = threading.Thread(target=turns)
    thread.start()
    return thread


class Case(unittest.TestCase):
    """Tests with an agent of their class, which watches this process and its descendants. ARGS: its options."""

    ARGS = ()
    meter = None

    @classmethod
    def setUpClass(cls):
        """One agent."""
        if reason := agent.skip_reason():
            raise unittest.SkipTest(reason)
        cls.meter = agent.Agent("--scope", "pid:%d" % os.getpid(), *cls.ARGS)

    @classmethod
    def tearDownClass(cls):
        """The agent must have survived it all."""
        if cls.meter:
            code, cls.meter = cls.meter.stop(), None
            if code:
                raise RuntimeError("the agent ended with %d" % code)

    def start(self, cls, *args, **options):
        """A running server, ended with the test; skips where its program is missing."""
        if cls.PROGRAMS and cls.missing():
            self.skipTest(cls.missing())
        server = cls(*args, **options)
        self.addCleanup(server.__exit__)
        return server

    def connect(self, server):
        """A connection that is closed with the test."""
        connection = Connection(server.endpoint)
        self.addCleanup(connection.close)
        return connection

    def rows(self, server, ids, seconds=5):
        """{id: row} of a server's processes: exactly one ended row for each id, and none of them in flight."""
        ids = set(ids)
        scope = "pid:%d" % server.pid
        rows = [row for row in daemons.settled(self.meter, scope, ids, seconds) if row["id"] in ids]
        found = collections.Counter(row["id"] for row in rows)
        active = [row for row in self.meter.stats(scope=scope, limit=100000)["requests"]["active"] if row["id"] in ids]
        self.assertEqual({}, {ident: found[ident] for ident in ids if found[ident] != 1},
                         "ids without one row; in flight: %s" % [brief(row) for row in active[:4]])
        self.assertEqual([], [brief(row) for row in active[:4]], "in flight")
        return {row["id"]: row for row in rows}

    def started(self):
        """counts.started of all servers of this process, by a report that began after this call; none is in flight."""
        counts = [self.new_report()["requests"]["counts"]]
        agent.poll_until(lambda: not counts[-1]["in_flight"] or counts.append(self.new_report()["requests"]["counts"]), 3)
        self.assertEqual(0, counts[-1]["in_flight"])
        return counts[-1]["started"]

    def new_report(self):
        """Waits for a report that began after this call; returns it (all scopes)."""
        now = time.time_ns()
        return agent.poll_until(lambda: next(
            (report for report in [self.meter.stats(limit=100000)] if report["generated_unix_ns"] > now), None), 10, 0.1)
