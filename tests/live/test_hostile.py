# SPDX-License-Identifier: MIT
"""Junk, floods and sudden ends, beside good traffic on the same port: every good row stays right, nothing grows.

REQMETER_IDLE: idle connections (default 5000; 20000 takes a minute). Times are ns unless said.
"""
import collections
import glob
import itertools
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

import accuracy
import agent
import cgroups
import fixtures

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "servers"))

from shape_puppet import Puppet, Talk, reach  # noqa: E402
from shape_rows import Rows, Want  # noqa: E402

IDLE = int(os.environ.get("REQMETER_IDLE", "5000"))
GOOD_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"  # shape_serve.c
NAMES = ("hostile%d-%d" % (os.getpid(), number) for number in itertools.count())
MB = 1 << 20
METER = None


def setUpModule():
    """One agent for all, without a limit on rows; enough descriptors for this process and the servers."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = 2 * IDLE + 2000
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    METER = agent.Agent("--scope", "pid:%d" % os.getpid(), "--recent", "60000", "--max-rows-per-second", "1000000")


def tearDownModule():
    """The agent must have survived it all."""
    code = METER.stop()
    if code:
        raise RuntimeError("the agent ended with %d" % code)


def head(name, path, *fields):
    """A request's head."""
    return ("\r\n".join(["GET %s HTTP/1.1" % path, "X-Request-ID: " + name, *fields]) + "\r\n\r\n").encode("latin-1")


class Good:
    """Clients that ask for /ok/ID, with id ID, on kept connections: n times, or at a walk until told to stop.

    A context manager.
    """

    def __init__(self, endpoint, clients=2, n=None):
        self.endpoint, self.stop, self.ids, self.failures = endpoint, threading.Event(), [], []
        self.left, self.pace_s = (itertools.repeat(None), 0.002) if n is None else (iter(range(n)), 0)
        self.threads = [threading.Thread(target=self.work) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join()

    def join(self):
        """Waits for the clients."""
        for thread in self.threads:
            thread.join()

    def work(self):
        """One client; a new connection after every 50 requests."""
        try:
            while not self.stop.is_set():
                with reach(self.endpoint) as sock:
                    if not all(self.ask(sock) for _ in range(50)):
                        return
        except OSError as error:
            self.failures.append(repr(error))

    def ask(self, sock):
        """One request; False when there are to be no more."""
        if self.stop.wait(self.pace_s) or next(self.left, "none") == "none":
            return False
        name = next(NAMES)
        sock.sendall(head(name, "/ok/" + name))
        answer = b""
        while len(answer) < len(GOOD_ANSWER):
            part = sock.recv(4096)
            if not part:
                raise OSError("cut short")
            answer += part
        if answer != GOOD_ANSWER:
            raise OSError("wrong answer")
        self.ids.append(name)
        return True


class Maps:
    """What lies in the agent's BPF maps, by bpftool."""

    TOOL = shutil.which("bpftool", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def __init__(self, meter):
        ids = set()
        for path in glob.glob("/proc/%d/fdinfo/*" % meter.pid):
            with open(path, encoding="ascii") as info:
                ids |= set(re.findall(r"^map_id:\s*(\d+)", info.read(), re.M))
        self.ids = {self.run("show", number)["name"]: number for number in ids}

    def run(self, verb, number):
        """bpftool's answer about one map."""
        out = subprocess.run([self.TOOL, "-j", "map", verb, "id", number], capture_output=True, check=True)
        return json.loads(out.stdout)

    def entries(self, name):
        """Number of entries in a hash."""
        return len(self.run("dump", self.ids[name]))


class Hostile(unittest.TestCase):
    """A serving loop, and looks at the agent."""

    @classmethod
    def setUpClass(cls):
        """One puppet: its worker l61 serves by itself."""
        cls.puppet = Puppet()
        listener, cls.endpoint = cls.puppet.listen()
        cls.serving = cls.puppet.begin("l61", "serve", listener)

    @classmethod
    def tearDownClass(cls):
        """Ends the server."""
        cls.puppet.do("l61", "nothing")
        cls.puppet.result(cls.serving)
        cls.puppet.stop()

    def losses(self):
        """agent.losses."""
        return METER.stats(sections="agent")["agent"]["losses"]

    def loses(self, name, before):
        """Waits until the loss is counted beyond what it was."""
        self.assertTrue(agent.poll_until(lambda: self.losses()[name] > before[name], 5, 0.1), name + " was not counted")

    def check_good(self, good, pid=None, meter=None, recent=60000):
        """Every good request has exactly one row, and that is right."""
        self.assertEqual([], good.failures)
        self.assertTrue(good.ids, "there was good traffic")
        wanted, found = set(good.ids), collections.defaultdict(list)

        def look():
            found.clear()
            for row in self.report(meter or METER)["requests"]["recent"]:
                if row["id"] in wanted:
                    found[row["id"]].append(row)
            return len(found) == len(wanted)

        agent.poll_until(look, 10, 0.1)
        wrong = {name: self.wrong(found[name], name, pid or self.puppet.pid) for name in wanted}
        wrong = {name: words for name, words in wrong.items() if words}
        self.assertFalse(wrong, "%d of %d wrong: %s" % (len(wrong), len(wanted), list(wrong.items())[:5]))

    @staticmethod
    def wrong(rows, name, pid):
        """What is wrong with the rows of one good request, or None."""
        if len(rows) != 1:
            return "%d rows" % len(rows)
        row = rows[0]
        want = ("/ok/" + name, 200, "completed", pid, len(GOOD_ANSWER), len(head(name, "/ok/" + name)))
        got = (row["path"], row["status"], row["outcome"], row["pid"], row["net"]["sent_bytes"],
               row["net"]["received_bytes"])
        return None if got == want else "%s" % (got,)

    def report(self, meter=None):
        """All requests, by a parser that takes valid UTF-8 and JSON only."""
        status, body = (meter or METER).get("/stats/?limit=100000&sections=requests,agent")
        self.assertEqual(200, status)
        return json.loads(body.decode("utf-8"))

    def check_nothing_left(self, seconds=10):
        """Nothing of this server is in flight or parked."""
        def left():
            return [row["id"][:40] for row in self.report()["requests"]["active"] if row["pid"] == self.puppet.pid]

        self.assertTrue(agent.poll_until(lambda: not left(), seconds, 0.1), "in flight: %s" % left()[:5])
        if Maps.TOOL:
            maps = Maps(METER)
            self.assertTrue(agent.poll_until(lambda: maps.entries("parked") == 0, seconds, 0.2),
                            "%d parked" % maps.entries("parked"))

    def throw(self, piece):
        """One connection with junk, to its end."""
        with reach(self.endpoint) as sock:
            try:
                sock.sendall(piece)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError:
                pass


class Junk(Hostile):
    """Bytes that are no requests, or hardly."""

    KINDS = {
        "random": lambda rng: rng.randbytes(rng.randint(1, 3000)),
        "letters": lambda rng: bytes(rng.choices(b"GETPOST /HTP1.\r\n:x", k=rng.randint(1, 5000))),
        "100 kB head": lambda rng: b"GET /ok/big HTTP/1.1\r\nX: " + b"h" * 100000 + b"\r\n\r\n",
        "100 kB line": lambda rng: b"GET /ok/" + b"l" * 100000,
        "nul": lambda rng: b"\0" * 5000,
        "nul in a path": lambda rng: b"GET /ok/\0\0 HTTP/1.1\r\n\r\n",
        "invalid UTF-8": lambda rng: b"GET /ok/\xff\xfe\xc0\xaf\xed\xa0\x80" + rng.randbytes(20).replace(b"\n", b"")
                                     + b" HTTP/1.1\r\nX-Request-ID: \xf0\x28\x8c\xbc\r\n\r\n",
        "half a head": lambda rng: head("half", "/ok/half")[:rng.randint(1, 40)],
        "half a body": lambda rng: b"POST /ok/b HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "lengths": lambda rng: b"POST /ok/l HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nGET /",
        "chunks": lambda rng: b"POST /ok/c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nzz\r\n",
        "HTTP/2": lambda rng: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(50),
        "TLS": lambda rng: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(300),
        "response": lambda rng: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "pipeline": lambda rng: head("flood", "/ok/flood") * 400,
    }

    def test_beside_good_traffic(self):
        """Every kind of junk, many times, from two throwers; the good rows are right and nothing is left."""
        before = self.losses()
        with Good(self.endpoint) as good:
            throwers = [threading.Thread(target=self.throw_all, args=(seed,)) for seed in range(2)]
            for thread in throwers:
                thread.start()
            for _ in range(5):
                self.report()
            for thread in throwers:
                thread.join()
        self.check_good(good)
        self.check_nothing_left()
        self.loses("heads_cut", before)
        self.loses("head_parse", before)

    def throw_all(self, seed):
        """Thirty rounds of each kind."""
        rng = random.Random(seed)
        for kind in list(self.KINDS.values()) * 30:
            self.throw(kind(rng))

    def test_thread_server_beside_good_traffic(self):
        """The same on a server with a thread for each connection."""
        with fixtures.Server("c-thread", preload=False) as server:
            ours, self.endpoint = self.endpoint, ("tcp4", server.endpoint[1])
            try:
                results = []
                loader = threading.Thread(target=lambda: results.extend(
                    server.load([fixtures.load.Request("GET", "/burn?us=300", b"")] * 600, 2)))
                loader.start()
                self.throw_all(7)
                loader.join()
            finally:
                self.endpoint = ours
            wanted = {result.id for result in results}
            found = agent.poll_until(lambda: self.counts_of(wanted), 10, 0.1)
            self.assertTrue(found, "rows are missing")
            self.assertEqual(600, len(wanted))
            self.assertEqual({(1, "/burn", 200, server.pid)}, found)

    def counts_of(self, wanted):
        """What rows of these ids there are, as a set of (how many, path, status, pid); None until all are there."""
        rows = [row for row in self.report()["requests"]["recent"] if row["id"] in wanted]
        counts = collections.Counter(row["id"] for row in rows)
        if len(counts) < len(wanted):
            return None
        return {(counts[row["id"]], row["path"], row["status"], row["pid"]) for row in rows}

    def test_what_is_spoken(self):
        """Connections are counted by what they speak: processes[].connections."""
        def spoken():
            report = METER.stats(scope="pid:%d" % self.puppet.pid, sections="processes")
            return [entry["connections"] for entry in report["processes"] if entry["pid"] == self.puppet.pid][0]

        before = spoken()
        rng = random.Random(1)
        for kind in ("TLS", "HTTP/2", "nul"):
            for _ in range(3):
                self.throw(self.KINDS[kind](rng))
        self.throw(head(next(NAMES), "/ok/spoken"))
        want = {"http1": 1, "tls": 3, "http2": 3, "other": 3}
        agent.poll_until(lambda: {key: spoken()[key] - before[key] for key in want} == want, 5, 0.1)
        self.assertEqual(want, {key: spoken()[key] - before[key] for key in want})

    def test_many_paths(self):
        """5,000 different paths and ids: each has its row, and the agent has not grown by more than those rows."""
        with Good(self.endpoint, 4, 200) as warm:
            warm.join()
        before = self.report()["agent"]["rss_bytes"]
        with Good(self.endpoint, 4, 5000) as good:
            good.join()
        self.assertEqual(5000, len(good.ids))
        self.check_good(good)
        self.assertLess(self.report()["agent"]["rss_bytes"] - before, 60 * MB)

    def test_forged_ids(self):
        """Ids with all that may break a report: one row each, the id a string of at most 128 bytes, JSON valid."""
        ids = [b'"quoted"', b"back\\slash", b"a\x01b\x7fc\x1b[31m", b"\xff\xfe\xfd", b"</script><b>", b"i" * 2000,
               b"folded\r\n and\r\n\tmore", b"nul\0nul", b"\xe2\x80\xa8", b"' OR 1=1 --", b"%00%0a", b"{}[],:",
               b"bare\rreturn", b"\xed\xa0\x80surrogate", "ümläut".encode()]
        mark = next(NAMES)
        for number, ident in enumerate(ids):
            with reach(self.endpoint) as sock:
                sock.sendall(b"GET /ok/%s/%d HTTP/1.1\r\nX-Request-ID: %s\r\n\r\n" % (mark.encode(), number, ident))
                self.assertTrue(sock.recv(100).startswith(b"HTTP/1.1 200"))

        def found():
            return [row for row in self.report()["requests"]["recent"] if (row["path"] or "").startswith("/ok/" + mark)]

        agent.poll_until(lambda: len(found()) >= len(ids), 5, 0.1)
        rows = sorted(found(), key=lambda row: int(row["path"].rpartition("/")[2]))
        self.assertEqual(list(range(len(ids))), [int(row["path"].rpartition("/")[2]) for row in rows])
        for row, ident in zip(rows, ids):
            # An id with a NUL in it is none.
            source = "generated" if b"\0" in ident else "x-request-id"
            self.assertEqual((200, source), (row["status"], row["id_source"]), ident[:20])
            if ident.isascii() and ident.decode().isprintable():
                self.assertEqual(ident.decode()[:128], row["id"])
            self.assertTrue(row["id"], ident[:20])

    def test_header_bomb(self):
        """A thousand fields: the row is right; ten thousand are too many for the server, and counted as cut."""
        before, name = self.losses(), next(NAMES)
        rows = Rows(METER, self.puppet.pid)
        rows.seen = {row["handle"] for found in rows.new() for row in found}
        data = head(name, "/ok/bomb", *("X%d: y" % number for number in range(1000)))
        with reach(self.endpoint) as sock:
            sock.sendall(data)
            self.assertTrue(sock.recv(100).startswith(b"HTTP/1.1 200"))
        lines = rows.mismatches([Want(name, path="/ok/bomb", received=len(data), sent=len(GOOD_ANSWER),
                                      confidence=None)])
        self.assertFalse(lines, lines)
        self.throw(head("bomb", "/ok/bomb", *("X%d: y" % number for number in range(10000))))
        self.loses("heads_cut", before)

    def test_slow_senders(self):
        """Fifty clients that send a byte every 50 ms for 3 s: rows that begin with the first byte; good ones beside."""
        names = [next(NAMES) for _ in range(50)]
        heads = [head(name, "/ok/slow") for name in names]
        rows = Rows(METER, self.puppet.pid)
        with Good(self.endpoint, 1) as good:
            socks = [reach(self.endpoint) for _ in names]
            start = time.monotonic_ns()
            for at in range(60):
                for sock, data in zip(socks, heads):
                    last = at == 59
                    sock.sendall(data[at:] if last else data[at:at + 1])
                time.sleep(0.05)  # the pace is the test
            for sock in socks:
                self.assertTrue(sock.recv(100).startswith(b"HTTP/1.1 200"))
                sock.close()
            passed = time.monotonic_ns() - start
        self.check_good(good)
        found = {row["id"]: row for row in rows.new()[0] if row["id"] in names}
        self.assertEqual(sorted(names), sorted(found))
        for row in found.values():
            self.assertTrue(2000000000 <= row["duration_ns"] <= passed, "%s: %d" % (row["id"], row["duration_ns"]))
            self.assertEqual((200, "/ok/slow", "boundary"),
                             (row["status"], row["path"], row["attribution"]["confidence"]), row["id"])


class Floods(Hostile):
    """Many of everything."""

    def test_idle_connections(self):
        """Thousands of idle connections, half of them within a head: bounded memory, right rows, and all is given back."""
        before = self.report()["agent"]["rss_bytes"]
        room = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        n = min(IDLE, (room - 500) // 2)
        socks = []
        try:
            with Good(self.endpoint) as good:
                for number in range(n):
                    socks.append(reach(self.endpoint))
                    if number % 2:
                        socks[-1].sendall(b"GET /ok/idle HT")
            self.check_good(good)
            grown = self.report()["agent"]["rss_bytes"] - before
            self.assertLess(grown, 40 * MB + 20000 * n)
            if Maps.TOOL:
                self.assertLessEqual(Maps(METER).entries("parked"), n // 2 + 10)
        finally:
            for sock in socks:
                sock.close()
        self.check_nothing_left()

    def test_come_and_go(self):
        """3,000 connections opened and closed, by FIN and by RST, silent, within a head, with a request."""
        names = []
        with Good(self.endpoint) as good:
            for number in range(3000):
                sock = reach(self.endpoint)
                if number % 3 == 1:
                    sock.sendall(b"GET /ok/part")
                if number % 3 == 2:
                    names.append(next(NAMES))
                    sock.sendall(head(names[-1], "/ok/brief"))
                if number % 3 == 2 and number % 2:
                    sock.recv(100)
                if number % 5 == 0:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()
        self.check_good(good)
        self.check_nothing_left()
        counts = collections.Counter(row["id"] for row in self.report()["requests"]["recent"])
        # A reset may take bytes away before the server reads them: such a request was never seen. None is double.
        self.assertEqual(set(), {name for name in names if counts[name] > 1})
        self.assertGreaterEqual(sum(counts[name] for name in names), len(names) * 3 // 5)

    def test_fork_storm(self):
        """2,000 short processes: the good rows are right, and what was kept of the processes is given back."""
        with Good(self.endpoint) as good:
            self.assertEqual(2000, self.puppet.do("t1", "storm", 2000).result)
        self.check_good(good)
        self.check_nothing_left()
        if Maps.TOOL:
            self.assertLess(Maps(METER).entries("processes"), 100)
        self.assertEqual(0, self.losses()["threads_full"])


class SuddenEnds(Hostile):
    """Processes that end or change within a request."""

    def test_killed(self):
        """kill -9 within a request, TCP and Unix: one row, process-died; the good rows of others are right."""
        with Good(self.endpoint) as good:
            for number in range(6):
                with self.subTest(number=number):
                    self.kill_one(number)
        self.check_good(good)

    def kill_one(self, number):
        """Kills a server that has read a head, and every other time has begun its answer."""
        with Puppet() as puppet:
            rows = Rows(METER, puppet.pid)
            kind = ("tcp4", "0") if number % 3 else ("abstract", "reqmeter-killed-%d-%d" % (os.getpid(), number))
            talk, name = Talk(puppet, puppet.listen(*kind)), next(NAMES)
            data = head(name, "/killed")
            talk.say(data)
            talk.hear(len(data))
            if number % 2:
                talk.answer(GOOD_ANSWER[:-1])
            os.kill(puppet.pid, signal.SIGKILL)
            lines = rows.mismatches([Want(name, path="/killed", status=200 if number % 2 else Want.NULL,
                                          outcome="process-died", received=len(data), sent=None)])
            self.assertFalse(lines, lines)
            talk.sock.close()

    def test_exec(self):
        """exec within a request, after which the same process answers: one row, its own; two threads saw to it."""
        with Puppet() as puppet, Good(self.endpoint) as good:
            rows = Rows(METER, puppet.pid)
            talk, names = Talk(puppet, puppet.listen()), [next(NAMES), next(NAMES)]
            data = head(names[0], "/exec")
            talk.say(data)
            talk.hear(len(data))
            talk.do("exec")
            talk.answer(GOOD_ANSWER)
            talk.exchange(head(names[1], "/after"), GOOD_ANSWER)
            talk.close()
            lines = rows.mismatches([Want(names[0], path="/exec", received=len(data), sent=len(GOOD_ANSWER),
                                          span=talk.span(0, 1), confidence=None),
                                     Want(names[1], path="/after", sent=len(GOOD_ANSWER))])
            self.assertFalse(lines, lines)
        self.check_good(good)

    def test_thread_leaves(self):
        """The serving thread ends without an answer; another answers: one row, inherited."""
        with Puppet() as puppet:
            rows = Rows(METER, puppet.pid)
            talk, name = Talk(puppet, puppet.listen(), worker="t5"), next(NAMES)
            data = head(name, "/left")
            talk.say(data)
            talk.hear(len(data))
            talk.do("leave")
            talk.worker = "t6"
            talk.answer(GOOD_ANSWER)
            talk.close()
            lines = rows.mismatches([Want(name, path="/left", received=len(data), sent=len(GOOD_ANSWER),
                                          confidence="inherited")])
            self.assertFalse(lines, lines)


class OwnPort(unittest.TestCase):
    """The agent's own port."""

    def ask(self, data):
        """(status, headers, body) of what the agent answers to these bytes, or None when it closes without a word."""
        with socket.create_connection(("127.0.0.1", METER.port), 10) as sock:
            got = b""
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while part := sock.recv(65536):
                    got += part
            except TimeoutError:
                raise
            except OSError:
                pass  # closed or reset before all was said
        top, _, body = got.partition(b"\r\n\r\n")
        return (int(top.split()[1]), top.lower(), body) if got else None

    def test_junk(self):
        """Every kind of junk, and idle and half-open connections beside: /healthz answers, nothing of it is a row."""
        rng = random.Random(3)
        idle = [socket.create_connection(("127.0.0.1", METER.port), 10) for _ in range(50)]
        try:
            for sock in idle[::2]:
                sock.sendall(b"GET /stats/ HTT")
            for kind in list(Junk.KINDS.values()) * 5:
                self.ask(kind(rng))
            for _ in range(10):
                self.assertEqual(200, METER.get("/healthz")[0])
            METER.stats(limit=10)
        finally:
            for sock in idle:
                sock.close()
        self.assertEqual([], [row["id"] for row in METER.rows() if row["pid"] == METER.pid])

    def test_errors(self):
        """Errors have the right status and are the contract's JSON."""
        host = b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for data, status in (
                (b"GET /nowhere" + host, 404), (b"POST /stats/" + host, 405), (b"DELETE /healthz" + host, 405),
                (b"GET /stats/?limit=x" + host, 400), (b"GET /stats/?limit=-1" + host, 400),
                (b"GET /stats/?limit=999999999999999999999" + host, 400), (b"GET /stats/?scope=nonsense" + host, 400),
                (b"GET /stats/?sections=requests,nonsense" + host, 400), (b"GET /stats/?id=%00" + host, 400),
                (b"GET /stats/?scope=pid:4194303" + host, 404), (b"GET /%ff%fe" + host, 404),
                (b"GET /stats/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403)):
            with self.subTest(data=data[:40]):
                answer = self.ask(data)
                self.assertIsNotNone(answer)
                self.assertEqual(status, answer[0])
                error = json.loads(answer[2].decode("utf-8"))["error"]
                self.assertTrue(error["code"] and error["message"])
                if status == 405:
                    self.assertIn(b"\r\nallow:", answer[1])


class RowLimit(unittest.TestCase):
    """--max-rows-per-second."""

    N = 2000

    @accuracy.twice
    def test_thinned(self):
        """50 rows a second under 2,000 quick requests: all counted, few rows, skips counted, the ledger closes."""
        try:
            cgroup = cgroups.Cgroup("reqmeter-hostile-%d" % os.getpid())
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        self.addCleanup(cgroup.remove)
        with agent.Agent("--scope", "cgroup:" + cgroup.path, "--max-rows-per-second", "50") as meter, \
                Puppet(prefix=cgroup.prefix) as puppet:
            listener, endpoint = puppet.listen()
            serving = puppet.begin("l61", "serve", listener)
            start = time.monotonic()
            with Good(endpoint, 2, self.N) as good:
                good.join()
            seconds = time.monotonic() - start
            self.assertEqual(([], self.N), (good.failures, len(good.ids)))
            agent.poll_until(lambda: meter.stats(limit=0)["requests"]["counts"]["in_flight"] == 0, 5, 0.1)
            entry = agent.poll_until(lambda: self.settled(meter, cgroup), 5, 0.2)
            report = meter.stats(limit=100000)
            puppet.do("l61", "nothing")
            self.assertEqual(self.N, puppet.result(serving).result)
        self.check(report, entry, seconds)

    def settled(self, meter, cgroup):
        """The cgroup's entry once it has what the kernel counts to 1 %."""
        report = meter.stats(scope="cgroup:" + cgroup.path, sections="cgroups")
        for entry in report["cgroups"]:
            cpu = entry["ledger"]["cpu"]
            if cgroup.owns(entry) and abs(cpu["cgroup_ns"] - cgroup.usage_ns()) < 0.01 * cpu["cgroup_ns"]:
                return entry
        return None

    def check(self, report, entry, seconds):
        """Totals exact, rows thinned, the difference counted."""
        requests, losses = report["requests"], report["agent"]["losses"]
        n_rows = len(requests["recent"])
        print("row limit: %d requests in %.1f s, %d rows, %d skipped" % (self.N, seconds, n_rows,
                                                                       losses["heads_skipped"]))
        self.assertEqual(self.N, n_rows + losses["heads_skipped"])
        self.assertLessEqual(n_rows, 50 * (seconds + 2) + 10)
        self.assertGreaterEqual(n_rows, 50)
        self.assertEqual((self.N, self.N, 0), (requests["counts"]["started"], requests["counts"]["finished"],
                                               requests["counts"]["in_flight"]))
        self.assertTrue(entry, "the cgroup's ledger did not settle")
        cpu = entry["ledger"]["cpu"]
        self.assertEqual(cpu["cgroup_ns"], cpu["requests_ns"] + cpu["background_ns"] + cpu["residual_ns"])
        accuracy.at_most(abs(cpu["residual_ns"]), 0.01 * cpu["cgroup_ns"] + 1000000, "row limit: residual, ns")
        self.assertGreater(cpu["requests_ns"], 0.3 * cpu["cgroup_ns"], "the skipped requests' CPU is in the sums")


if __name__ == "__main__":
    unittest.main()
