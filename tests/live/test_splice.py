# SPDX-License-Identifier: MIT
"""Servers that take bytes from sockets by splice(), past every buffer, and one that only looks as if it did.

Each request has a row at the proxy. What the kernel side could not look at is not claimed: no path, `inferred`; and
where even the number of bytes is unknown (Unix sockets on kernels without fexit) it is null.
"""
import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

import agent

PYTHON = "/usr/bin/python3"
SERVERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "servers")
NAMES = ("splice%d-%d" % (os.getpid(), number) for number in itertools.count())
BODY = b"b" * 100000
HAPROXY = """
defaults
    mode http
    option splice-auto
    option splice-request
    option splice-response
    timeout client 20s
    timeout connect 20s
    timeout server 20s
frontend front
    bind %s
    default_backend back
backend back
    server one %s:%d
"""
METER = None


def setUpModule():
    """One agent that watches what this test starts."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    if not hasattr(os, "splice"):
        raise unittest.SkipTest("this Python has no os.splice (3.10 and later)")
    METER = agent.Agent("--scope", "pid:%d" % os.getpid())


def tearDownModule():
    """The agent must have survived it all."""
    if code := METER.stop():
        raise RuntimeError("the agent ended with %d" % code)


class Client:
    """A connection that is kept, and what each request on it moved."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX) if address[0] == "unix" else socket.create_connection(address)
        if address[0] == "unix":
            self.sock.connect(address[1])
        self.sock.settimeout(20)
        self.kept = b""

    def say(self, method="GET", path="/", body=b""):
        """Sends a request: (its id, bytes sent)."""
        name = next(NAMES)
        text = ("%s %s HTTP/1.1\r\nHost: here\r\nX-Request-ID: %s\r\nContent-Length: %d\r\n\r\n"
                % (method, path, name, len(body))).encode()
        self.sock.sendall(text + body)
        return name, len(text + body)

    def hear(self):
        """Reads a response: bytes received. It must have a Content-Length."""
        while b"\r\n\r\n" not in self.kept:
            self.more()
        top, _, _ = self.kept.partition(b"\r\n\r\n")
        if not top.startswith(b"HTTP/1.1 200"):
            raise AssertionError(top)
        length = next(int(line.split(b":")[1]) for line in top.split(b"\r\n")
                      if line.lower().startswith(b"content-length:"))
        n = len(top) + 4 + length
        while len(self.kept) < n:
            self.more()
        self.kept = self.kept[n:]
        return n

    def more(self):
        """What comes next."""
        data = self.sock.recv(65536)
        if not data:
            raise AssertionError("the connection was closed")
        self.kept += data

    def get(self, *request):
        """A whole exchange: (id, bytes sent, bytes received)."""
        return (*self.say(*request), self.hear())


def sent_by(row):
    """A row's bytes."""
    return row["net"]["received_bytes"], row["net"]["sent_bytes"]


def confidence(row):
    """How sure a row is."""
    return row["attribution"]["confidence"]


class Splice(unittest.TestCase):
    """What all tests share."""

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.directory = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="reqmeter-"))

    def spawn(self, *command):
        """A process that is ended after the test."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.stack.callback(self.end, process)
        return process

    def end(self, process):
        """Ends it."""
        process.terminate()
        process.communicate()

    def serve(self, name, *arguments):
        """A server of servers/: (process, address)."""
        process = self.spawn(PYTHON, os.path.join(SERVERS, name), *map(str, arguments))
        _, host, port = process.stdout.readline().split()
        return process, (host, port if host == "unix" else int(port))

    def behind(self):
        """A real server, to be asked through a proxy."""
        return self.serve("http_server.py", "threading")

    def path(self, name):
        """Of a Unix socket."""
        return os.path.join(self.directory, name)

    def rows(self, process, n, open=0):
        """All rows of a process, once there are n, of which so many may be in flight."""
        found = []

        def look():
            requests = METER.stats(scope="pid:%d" % process.pid, sections="requests", limit=10000)["requests"]
            found[:] = [row for kind in ("recent", "active") for row in requests[kind] if row["pid"] == process.pid]
            return len(found) >= n and len(requests["active"]) <= open

        agent.poll_until(look, 8, 0.1)
        return found

    def run_two(self, address):
        """Two connections, interleaved, three requests each, one of them with a body: [(id, sent, received)…]."""
        clients = [Client(address) for _ in range(2)]
        moved = []
        for request in (("GET", "/health"), ("POST", "/echo?size=200", BODY), ("GET", "/health")):
            said = [client.say(*request) for client in clients]
            moved += [(*words, client.hear()) for words, client in zip(said, clients)]
        for client in clients:
            client.sock.close()
        return moved

    def check_behind(self, server, moved):
        """The rows of a server that does not splice are as ever."""
        rows = {row["id"]: row for row in self.rows(server, len(moved))}
        self.assertEqual({name for name, _, _ in moved}, set(rows), "ids at the server behind")
        for row in rows.values():
            self.assertEqual((200, "completed", "exact"), (row["status"], row["outcome"], confidence(row)), row)

    def check_blind(self, proxy, moved, counted):
        """One row a request, which claims nothing that was not seen; `counted`: the bytes that came are known."""
        # Where a client's Unix socket has gone is seen late or never without fentry: each connection's last may be open.
        rows = self.rows(proxy, len(moved), 0 if counted else 2)
        self.assertEqual(len(moved), len(rows), "rows of the proxy")
        for row in rows:
            self.assertEqual((None, None, "inferred"), (row["path"], row["status"], confidence(row)), row)
        wanted = sorted((sent if counted else None, received) for _, sent, received in moved)
        self.assertEqual(wanted if counted else sorted(n for _, n in wanted),
                         sorted(sent_by(row) if counted else row["net"]["sent_bytes"] for row in rows))
        if not counted:
            self.assertEqual({None}, {row["net"]["received_bytes"] for row in rows})


def has_fexit():
    """Is splice from Unix sockets told of, too?"""
    features = {row["name"]: row for row in METER.stats(sections="agent")["agent"]["features"]}
    return "fexit" in features["splice"]["reason"] and features["splice"]["state"] == "on"


class Proxies(Splice):
    """Whole connections, forwarded unseen."""

    def check(self, counted, *listen):
        """A proxy in front of a real server."""
        server, address = self.behind()
        proxy, front = self.serve("splice_proxy.py", *address, *listen)
        moved = self.run_two(front)
        self.check_behind(server, moved)
        self.check_blind(proxy, moved, counted)

    def test_tcp(self):
        """Every byte is counted."""
        self.check(True)

    def test_unix(self):
        """From Unix sockets, whose reads by splice are guessed without fexit."""
        self.check(has_fexit(), self.path("front"))


class Bodies(Splice):
    """Heads are read, bodies spliced; the next head on the connection must not be taken for a body."""

    def check(self, *listen):
        """An upload server."""
        server, address = self.serve(os.path.join("..", "..", "kernels", "movers.py"), *listen)
        client = Client(address)
        moved = [client.get("POST", "/splice", BODY) for _ in range(4)] + [client.get("GET", "/after")]
        rows = {row["id"]: row for row in self.rows(server, len(moved))}
        self.assertEqual({name for name, _, _ in moved}, set(rows))
        client.sock.close()
        return moved, rows

    def test_tcp(self):
        """All is seen: exact, with all bytes."""
        moved, rows = self.check()
        for name, sent, received in moved:
            self.assertEqual((200, "exact", sent, received),
                             (rows[name]["status"], confidence(rows[name]), *sent_by(rows[name])), rows[name])

    def test_unix(self):
        """Without fexit those with a body say that it was not seen; the one without is none of them."""
        moved, rows = self.check(self.path("movers"))
        for (name, sent, received), spliced in zip(moved, (True, True, True, True, False)):
            row = rows[name]
            self.assertEqual((200, received), (row["status"], row["net"]["sent_bytes"]), row)
            if has_fexit():
                self.assertEqual(("exact", sent), (confidence(row), row["net"]["received_bytes"]), row)
            elif spliced:
                self.assertEqual(("inferred", None), (confidence(row), row["net"]["received_bytes"]), row)
            else:
                self.assertEqual(("boundary", sent), (confidence(row), row["net"]["received_bytes"]), row)


class Duplex(Splice):
    """One thread reads while another writes: not to be mistaken for a splice."""

    def check(self, *listen):
        """Requests are sent ahead, so that reads and writes meet."""
        server, address = self.serve("duplex.py", *listen)
        client = Client(address)
        said = [client.say("GET", "/0")]
        for number in range(1, 400):
            said.append(client.say("GET", "/%d" % number))
            client.hear()
        client.hear()
        client.sock.close()
        rows = {row["id"]: row for row in self.rows(server, len(said))}
        self.assertEqual({name for name, _ in said}, set(rows))
        self.assertEqual([], [row for row in rows.values() if confidence(row) == "inferred"])
        self.assertEqual(dict(said), {name: row["net"]["received_bytes"] for name, row in rows.items()})

    def test_tcp(self):
        """TCP."""
        self.check()

    def test_unix(self):
        """Where a splice would be guessed from what is missing in the queue."""
        self.check(self.path("duplex"))


@unittest.skipUnless(shutil.which("haproxy", path="/usr/sbin:/usr/bin"), "no haproxy")
class Haproxy(Splice):
    """It reads heads and splices bodies."""

    def test_haproxy(self):
        """One row a request, with the bytes of the bodies that it spliced."""
        server, address = self.behind()
        port = agent.free_port()
        file = self.path("haproxy.cfg")
        with open(file, "w", encoding="ascii") as text:
            text.write(HAPROXY % ("127.0.0.1:%d" % port, *address))
        proxy = self.spawn(shutil.which("haproxy", path="/usr/sbin:/usr/bin"), "-db", "-f", file)
        self.assertTrue(agent.poll_until(lambda: self.answers(port), 10), "it listens")
        moved = self.run_two(("127.0.0.1", port))
        self.check_behind(server, moved)
        rows = {row["id"]: row for row in self.rows(proxy, len(moved))}
        for name, sent, received in moved:
            self.assertIn(name, rows)
            self.assertEqual((200, sent, received), (rows[name]["status"], *sent_by(rows[name])), rows[name])
        self.assertEqual(len(moved), len(rows))

    def answers(self, port):
        """Does it listen?"""
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        except OSError:
            return False


if __name__ == "__main__":
    unittest.main()
