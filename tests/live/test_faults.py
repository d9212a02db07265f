# SPDX-License-Identifier: MIT
"""Faults: killed servers, ending threads, junk, agents that end or cannot start. Times are ns unless said."""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import accuracy
import agent
import compare
import fixtures
import load

BURN = [load.Request("GET", "/burn?us=1000", b"")]
TIMES = ("duration_ns", "occupied_ns", "cpu_ns", "stolen_ns", "runqueue_ns", "throttled_ns", "blocked_ns",
         "unattended_ns")


def setUpModule():
    """Without an agent there is nothing to hurt."""
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)


def rows_of(meter, server, n, seconds=10):
    """All rows of a server once there are n, or what there is after `seconds`."""
    def look():
        found = meter.rows(scope="pid:%d" % server.pid)
        rows[:] = found
        return len(found) >= n

    rows = []
    agent.poll_until(look, seconds, 0.1)
    return rows


def loaded_programs():
    """Ids of all BPF programs in the kernel, from bpftool; None without bpftool."""
    tool = shutil.which("bpftool", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not tool:
        return None
    out = subprocess.run([tool, "-j", "prog", "show"], capture_output=True, check=True).stdout
    return {program["id"] for program in json.loads(out)}


class WithAgent(unittest.TestCase):
    """Tests with an agent of their own."""

    def setUp(self):
        self.meter = agent.Agent()
        self.addCleanup(self.stop_agent)

    def stop_agent(self):
        """Every fault is survived: the agent still ends cleanly."""
        self.assertEqual(0, self.meter.stop(), self.meter.stderr())

    def connection(self, server):
        """A connection that is closed with the test."""
        sock = load.connect(server.endpoint)
        self.addCleanup(sock.close)
        return sock

    def check_times(self, row, born_ns):
        """No time is negative or longer than since born_ns (CLOCK_MONOTONIC) ago."""
        longest = time.monotonic_ns() - born_ns
        for key in TIMES:
            if row[key] is not None:
                self.assertTrue(0 <= row[key] <= longest, "%s = %d in %s" % (key, row[key], row))


class Servers(WithAgent):
    """Servers that end badly."""

    def active(self, server, request_id):
        """The active row of a request once it has at least 50 ms of CPU, or None."""
        report = self.meter.stats(scope="pid:%d" % server.pid)
        found = [row for row in report["requests"]["active"] if row["id"] == request_id]
        return found[0] if found and found[0]["cpu_ns"] > 50000000 else None

    def check_killed(self, kind):
        """kill -9 of the process in the middle of a request: one row that says so."""
        born = time.monotonic_ns()
        with fixtures.Server(kind) as server:
            sock = self.connection(server)
            sock.sendall(load.head(load.Request("GET", "/burn?us=20000000", b""), "killed", True))
            row = agent.poll_until(lambda: self.active(server, "killed"), 10)
            self.assertTrue(row, "no active row with its cost so far")
            self.check_times(row, born)
            self.assertEqual("open", row["outcome"])
            os.kill(row["pid"], signal.SIGKILL)
            rows = agent.poll_until(lambda: [r for r in self.meter.rows(id="killed")], 5, 0.1)
        self.assertEqual(["process-died"], [row["outcome"] for row in rows])
        self.check_times(rows[0], born)
        self.assertGreater(rows[0]["cpu_ns"], 50000000)
        self.assertIsNone(rows[0]["status"])

    def test_thread_server_killed(self):
        """The C server with a thread per connection."""
        self.check_killed("c-thread")

    def test_forked_child_killed(self):
        """A child of the forking Python server."""
        self.check_killed("python-forking")

    @accuracy.twice
    def test_thread_ends_mid_request(self):
        """A thread that ends without an answer while its connection stays: one row, open or over, with its CPU."""
        born = time.monotonic_ns()
        with fixtures.Server("c-thread") as server:
            sock = self.connection(server)
            sock.sendall(load.head(load.Request("GET", "/exit?us=50000", b""), "ended", True))
            rows = agent.poll_until(lambda: self.ended_rows(server), 10, 0.1)
            results = server.load(BURN * 5)
            rows_of(self.meter, server, 6)
            good = [row["id"] for row in self.meter.rows(scope="pid:%d" % server.pid)]
        self.assertEqual(1, len(rows))
        self.check_times(rows[0], born)
        accuracy.at_most(abs(rows[0]["cpu_ns"] - 50000000), 2 * compare.cpu_bound(50000000), "ns off 50 ms", rows[0])
        self.assertLessEqual({result.id for result in results}, set(good))

    def ended_rows(self, server):
        """Rows of the request "ended", finished or not, once one has all of its CPU."""
        requests = self.meter.stats(scope="pid:%d" % server.pid, id="ended")["requests"]
        rows = requests["active"] + requests["recent"]
        return rows if any(row["cpu_ns"] > 49000000 for row in rows) else []

    @accuracy.twice
    def test_client_goes_mid_request(self):
        """The client resets the connection while a thread works: the thread ends, its request's row is whole."""
        born = time.monotonic_ns()
        with fixtures.Server("c-thread") as server:
            for number in range(5):
                sock = self.connection(server)
                sock.sendall(load.head(load.Request("GET", "/burn?us=400000", b""), "gone-%d" % number, True))
                self.assertTrue(agent.poll_until(lambda n=number: self.active(server, "gone-%d" % n), 10))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()
            rows = rows_of(self.meter, server, 6)
        rows = [row for row in rows if row["path"] != "/health"]
        self.assertEqual(["gone-%d" % number for number in range(5)], sorted(row["id"] for row in rows))
        for row in rows:
            self.check_times(row, born)
            self.assertEqual("client-gone", row["outcome"], row)
            accuracy.at_least(row["cpu_ns"], 400000000 - compare.cpu_bound(400000000), "ns of 400 ms", row)

    def test_many_servers_come_and_go(self):
        """Thirty short servers, each with one request: every one has its row."""
        for number in range(30):
            with fixtures.Server("c-thread", preload=False) as server:
                asked = [result.id for result in server.load(BURN, prefix="short%d" % number)]
                rows = rows_of(self.meter, server, 1 + len(asked), 5)
            self.assertEqual(asked, [row["id"] for row in rows if row["path"] != "/health"])


class Junk(WithAgent):
    """Bytes that are no HTTP, beside good traffic."""

    def pieces(self, rng):
        """Endless junk for one connection each."""
        kinds = (
            lambda: rng.randbytes(rng.randint(1, 3000)),
            lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(300),
            lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(50),
            lambda: b"GET /" + rng.randbytes(200).replace(b"\n", b"") + b" HTTP/1.1\r\n\r\n",
            lambda: b"GET /burn?us=1 HTTP/1.1\r\nX-Request-ID: \"\\\x01\xff\xc0\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
            lambda: b"\0" * 5000,
        )
        while True:
            yield rng.choice(kinds)()

    def throw(self, endpoint, stop):
        """One connection with junk after the other until stop is set."""
        for piece in self.pieces(random.Random(1)):
            if stop.is_set():
                return
            sock = load.connect(endpoint)
            try:
                sock.sendall(piece)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError:
                pass
            finally:
                sock.close()

    @accuracy.twice
    def test_good_rows_are_unchanged(self):
        """Good traffic beside junk on the same port: rows as exact as without, reports valid JSON."""
        with fixtures.Server("c-thread") as server:
            stop = threading.Event()
            thrower = threading.Thread(target=self.throw, args=(server.endpoint, stop))
            thrower.start()
            try:
                results = server.load(load.mixed_plan(200, 7), 4)
                self.meter.stats(limit=100000)
            finally:
                stop.set()
                thrower.join()
            wanted = {result.id for result in results}
            agent.poll_until(lambda: wanted <= {row["id"] for row in self.meter.rows()}, 10, 0.1)
            rows = self.meter.rows()
            server.stop()
            truth = server.truth()
        pairs, strangers = compare.join(results, truth, rows)
        numbers = compare.figures(pairs)
        print(compare.summary("c-thread beside junk", 4, numbers))
        self.assertEqual([], [pair.truth["id"] for pair in pairs if pair.twins != 1])
        self.assertEqual([], strangers)
        self.assertEqual(len(results), len(pairs))
        compare.judge("c-thread beside junk", numbers, pairs)

    def test_junk_at_the_agent(self):
        """Junk at the agent's own port: it answers on, and nothing of it is a request."""
        stop = threading.Event()
        thrower = threading.Thread(target=self.throw, args=(("127.0.0.1", self.meter.port), stop))
        thrower.start()
        try:
            for _ in range(20):
                self.assertEqual(200, self.meter.get("/healthz")[0])
                self.meter.stats(limit=0)
        finally:
            stop.set()
            thrower.join()
        self.assertEqual([], [row for row in self.meter.rows() if row["pid"] == self.meter.pid])


class OwnTraffic(WithAgent):
    """The agent measures others."""

    def test_own_requests_are_no_rows(self):
        """Reports asked with an id leave no row and no count."""
        for number in range(10):
            self.meter.get("/stats/?limit=0", {"X-Request-ID": "own-%d" % number})
        with fixtures.Server("c-thread", preload=False) as server:
            server.load(BURN * 3, prefix="other")
            rows_of(self.meter, server, 4)
        report = self.meter.stats(limit=100000)
        rows = report["requests"]["recent"] + report["requests"]["active"]
        self.assertEqual([], [row for row in rows if row["pid"] == self.meter.pid or row["id"].startswith("own-")])
        self.assertLessEqual({"other-%05d" % number for number in range(3)}, {row["id"] for row in rows})

    def test_two_agents(self):
        """Two agents at different addresses: both have all rows, and one may end without the other."""
        with agent.Agent() as second, fixtures.Server("c-thread") as server:
            results = server.load(load.mixed_plan(60, 3), 4)
            ids = {result.id for result in results}
            for meter in (self.meter, second):
                rows = [row for row in rows_of(meter, server, len(ids) + 1) if row["id"] in ids]
                self.assertEqual(sorted(ids), sorted(row["id"] for row in rows))
            self.assertEqual(0, second.stop())
            more = {result.id for result in server.load(BURN * 5, prefix="after")}
            rows = rows_of(self.meter, server, len(ids) + len(more) + 1)
            self.assertLessEqual(more, {row["id"] for row in rows})


class End(unittest.TestCase):
    """What is left when an agent has ended."""

    def check_nothing_left(self, end):
        """After end(meter) none of the agent's programs is in the kernel."""
        if loaded_programs() is None:
            self.skipTest("no bpftool")
        with agent.Agent() as meter:
            mine = meter.program_ids()
            self.assertTrue(mine and mine <= loaded_programs(), "the agent's programs are visible while it runs")
            end(meter)
            # The kernel frees programs after an RCU grace period.
            left = agent.poll_until(lambda: not mine & loaded_programs(), 10, 0.1)
            self.assertTrue(left, "still loaded: %s" % (mine & loaded_programs()))

    def test_term(self):
        """SIGTERM: exit 0, nothing left."""
        self.check_nothing_left(lambda meter: self.assertEqual(0, meter.stop()))

    def test_int(self):
        """SIGINT: the same."""
        def interrupt(meter):
            meter.process.send_signal(signal.SIGINT)
            self.assertEqual(0, meter.process.wait(20))

        self.check_nothing_left(interrupt)

    def test_kill(self):
        """SIGKILL: nothing left."""
        self.check_nothing_left(lambda meter: meter.kill())


class CannotStart(unittest.TestCase):
    """One clear line on stderr, nothing on stdout, the right exit code."""

    def run_agent(self, *args, prefix=(), program=agent.PROGRAM):
        """Runs an agent that must end by itself: (exit code, stdout, stderr)."""
        done = subprocess.run([*prefix, program, "agent", *args], capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout, done.stderr

    def check_refusal(self, code, outcome, *words):
        """The outcome has the code and one line that has one of the words."""
        got, out, err = outcome
        self.assertEqual((code, ""), (got, out), err)
        self.assertEqual(1, len(err.splitlines()), err)
        self.assertTrue(any(word in err.lower() for word in words), err)

    def test_no_root(self):
        """Without privileges: exit 1, and what is missing is named."""
        setpriv = shutil.which("setpriv")
        if not setpriv:
            self.skipTest("no setpriv")
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            program = shutil.copy(agent.PROGRAM, directory)
            os.chmod(program, 0o755)
            outcome = self.run_agent("--listen", "127.0.0.1:%d" % agent.free_port(), program=program,
                                     prefix=(setpriv, "--reuid", "65534", "--clear-groups"))
        self.check_refusal(1, outcome, "root", "cap_", "privilege", "permi")

    def test_port_in_use(self):
        """A port that is taken: exit 1, and the line has the address."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            self.check_refusal(1, self.run_agent("--listen", address), address)

    def test_usage(self):
        """Wrong options: exit 2."""
        for args in (("--no-such-option",), ("--listen",), ("--listen", "127.0.0.1:notaport"),
                     ("--recent", "minus"), ("--scope", "nonsense:1"), ("stray",)):
            with self.subTest(args=args):
                code, out, err = self.run_agent(*args)
                self.assertEqual((2, ""), (code, out), err)
                self.assertTrue(err.strip())

    def test_not_loopback(self):
        """An address that the network reaches is refused without a token: exit 2."""
        code, _, err = self.run_agent("--listen", "0.0.0.0:%d" % agent.free_port())
        self.assertEqual(2, code, err)


if __name__ == "__main__":
    unittest.main()
