# SPDX-License-Identifier: MIT
"""What requests and threads wait for, by kind, and under a CPU quota, against what their handlers measured themselves.

All figures in ns. The server is servers/waits.c: each of its routes waits for one thing.
"""
import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
import unittest

import accuracy
import agent
import build
import cgroups
import compare
import fixtures
import load

MS = 10**6
KINDS = ("disk", "net", "lock", "sleep", "fault", "other")
# What the handler and the agent may differ by beside 5 %: the ends of a wait, interrupts and steal lie between their
# clocks.
SLACK = MS // 2
# In all other kinds together: contention on the address space while a mapping is made or undone.
STRAY = MS
# route: (its argument, the kind as which it counts). A major fault reads storage, so it is a disk wait.
ROUTES = {
    "flock": (50000, "lock"), "ofd": (50000, "lock"), "futex": (50000, "lock"),
    "disk": (1500, "disk"), "fsync": (20000, "disk"), "mapped": (1500, "disk"),
    "net": (50000, "net"), "read": (50000, "net"), "poll": (50000, "net"),
    "sleep": (50000, "sleep"), "select": (50000, "sleep"),
    "fault": (50000, "fault"), "pipe": (50000, "other"),
}
# Of the quota's test: so little that even on a busy machine it is the quota that holds back, a dozen times.
QUOTA_US, PERIOD_US, BURN_US = 5000, 100000, 60000
METER = None


def setUpModule():
    """One agent for all."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    METER = agent.Agent("--scope", "comm:waits")  # others' rows would share the limit of rows a second


def tearDownModule():
    """Ends the agent."""
    METER.stop()


def throttled_is_known():
    """True where the kernel tells throttling from the run queue."""
    features = METER.stats(sections="agent")["agent"]["features"]
    return [row["state"] for row in features if row["name"] == "throttled"] == ["on"]


class Server:
    """The running server. A context manager."""

    def __init__(self, prefix=()):
        self.dir = fixtures.scratch()
        command = [*prefix, build.part("waits")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ, TMPDIR=self.dir))
        match = re.match(r"ready (\S+) (\d+)", self.process.stdout.readline().decode())
        self.endpoint = (match.group(1), int(match.group(2)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def threads(self):
        """Its threads in the report: ({tid: entry}, the report's instant)."""
        report = METER.stats(scope="pid:%d" % self.process.pid, sections="threads,generated_unix_ns")
        return {entry["tid"]: entry for entry in report["threads"]}, report["generated_unix_ns"]


class Connection:
    """A connection that is kept, and with it the thread that serves it."""

    def __init__(self, server):
        self.sock = load.connect(server.endpoint)
        self.prefix, self.number = load.unique_prefix(), 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def ask(self, route, n):
        """(status, id, tid, what the handler waited, what it waited for something else)."""
        self.number += 1
        name = "%s-%d" % (self.prefix, self.number)
        self.sock.sendall(load.head(load.Request("GET", "/%s?n=%d" % (route, n), b""), name, True))
        status, headers, _ = load.read_answer(self.sock)
        return status, name, int(headers["x-tid"]), int(headers["x-waited-ns"]), int(headers["x-else-ns"])


def row_of(name):
    """The finished row of an id; None when it does not come."""
    rows = agent.poll_until(lambda: METER.stats(id=name, sections="requests")["requests"]["recent"], 5)
    return rows[0] if rows else None


def blocked_of(entry):
    """{kind: ns} of a row."""
    return {kind: entry["blocked"][kind + "_ns"] for kind in KINDS}


def describe(route, waited, entry):
    """One line for people."""
    parts = " ".join("%s %.3f" % (kind, value / MS) for kind, value in blocked_of(entry).items() if value)
    return "%-7s waited %8.3f ms, blocked %8.3f ms: %s; run queue %.3f" % (
        route, waited / MS, entry["blocked_ns"] / MS, parts, entry["runqueue_ns"] / MS)


def check_closing(name, row):
    """The parts of a row's time sum to its whole."""
    accuracy.at_most(abs(compare.closing_error(row)), compare.closing_bound(row["occupied_ns"]), name + ": closing error, ns")


class Kinds(unittest.TestCase):
    """Every kind of wait, in a request's row and in its thread's entry."""

    @accuracy.twice
    def test_rows_and_threads(self):
        """Each route's wait stands in its kind, to 5 %, and nothing to speak of in another."""
        with Server() as server:
            for route, (n, kind) in ROUTES.items():
                with self.subTest(route=route), Connection(server) as connection:
                    self.check_route(server, connection, route, n, kind)

    def check_route(self, server, connection, route, n, kind):
        """One route on a connection, so a thread, of its own."""
        tid = connection.ask("burn", 0)[2]
        time.sleep(0.06)  # the next report must not stand on a sample that is older
        before = server.threads()[0][tid]
        status, name, _, waited, other = connection.ask(route, n)
        if status == 501:
            self.skipTest("no %s here" % route)
        row = row_of(name)
        self.assertIsNotNone(row, "no row")
        print(describe(route, waited, row))
        self.assertGreater(waited, 5 * MS, "the handler did not wait: the test shows nothing")
        self.check_entry(route, row, kind, waited, other)
        check_closing(route, row)
        after = server.threads()[0][tid]
        change = {key: value - before["blocked"][key + "_ns"] for key, value in blocked_of(after).items()}
        # Between its requests the thread waits on its connection.
        idle = change.pop("net") if kind != "net" else 0
        self.assertGreaterEqual(idle, 0)
        what = "%s: thread blocked, ns " % route
        accuracy.at_least(change.get(kind, waited), 0.95 * waited - SLACK - row["stolen_ns"], what + "in its kind", change)
        if kind != "net":
            accuracy.at_most(change.pop(kind), 1.05 * waited + SLACK + other, what + "in its kind")
        change.pop("net", None)
        accuracy.at_most(sum(change.values()), STRAY + other, what + "in other kinds", change)
        self.assertEqual(sum(blocked_of(after).values()), after["blocked_ns"])

    def check_entry(self, route, entry, kind, waited, other):
        """entry has `waited` in `kind`, and nothing to speak of elsewhere; `other` may stand anywhere."""
        parts = blocked_of(entry)
        self.assertEqual(sum(parts.values()), entry["blocked_ns"])
        short = waited - parts.pop(kind)
        accuracy.at_least(short, -0.05 * waited - SLACK - other, route + ": row's wait, ns short")
        # Steal looks like waiting to the handler.
        accuracy.at_most(short, 0.05 * waited + SLACK + entry["stolen_ns"], route + ": row's wait, ns short")
        accuracy.at_most(sum(parts.values()), STRAY + other, route + ": row blocked in other kinds, ns", parts)

    @accuracy.twice
    def test_blocked_now(self):
        """A thread that waits at this moment shows it in its kind, and so does its request in flight."""
        with Server() as server, Connection(server) as connection:
            tid = connection.ask("burn", 0)[2]
            for route, kind in (("sleep", "sleep"), ("futex", "lock"), ("pipe", "other"), ("net", "net")):
                with self.subTest(route=route):
                    asking = threading.Thread(target=connection.ask, args=(route, 1000000))
                    asking.start()
                    try:
                        self.check_growth(server, tid, kind)
                    finally:
                        asking.join()

    @staticmethod
    def has_waited(server, kind):
        """True once a request in flight shows that it waits."""
        active = METER.stats(scope="pid:%d" % server.process.pid)["requests"]["active"]
        return any(row["blocked"][kind + "_ns"] > 10 * MS for row in active)

    def check_growth(self, server, tid, kind):
        """Two reports while it waits: all time between them is of its kind."""
        self.assertTrue(agent.poll_until(lambda: self.has_waited(server, kind), 1), "the request does not wait")
        first, then = server.threads()
        time.sleep(0.35)  # what is measured
        second, now = server.threads()
        grown = {key: value - first[tid]["blocked"][key + "_ns"] for key, value in blocked_of(second[tid]).items()}
        active = METER.stats(scope="pid:%d" % server.process.pid)["requests"]["active"]
        active = [row for row in active if row["path"] and row["path"] != "/"]
        accuracy.at_most(abs(grown.pop(kind) - (now - then)), 0.05 * (now - then) + SLACK, kind + " now: ns off the time that passed")
        self.assertEqual(0, sum(grown.values()))
        self.assertTrue(active, "the request is not in flight")
        self.assertGreater(active[0]["blocked"][kind + "_ns"], 300 * MS)


class Quota(unittest.TestCase):
    """A cgroup that may run for 5 ms in 100."""

    def setUp(self):
        if not throttled_is_known():
            self.skipTest("the kernel does not tell throttling from the run queue")

    def limited(self):
        """A cgroup with the quota."""
        try:
            group = cgroups.Cgroup("reqmeter-quota-%d" % os.getpid())
            self.addCleanup(group.remove)
            group.set_quota(QUOTA_US, PERIOD_US)
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        return group

    @staticmethod
    def settled(group):
        """What the kernel counts, once the quota holds nobody back: it adds when that ends."""
        time.sleep(2 * PERIOD_US / 10**6)
        return group.throttled_ns() if group else 0

    def burn(self, server, n, group=None):
        """n requests that burn at the same time, each on a thread of its own: (rows, what each thread was throttled
        meanwhile, what the kernel says of the group)."""
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(Connection(server)) for _ in range(n)]
            tids = [connection.ask("burn", 0)[2] for connection in connections]
            kernel = -self.settled(group)
            before = server.threads()[0]
            asking = [threading.Thread(target=connection.ask, args=("burn", BURN_US)) for connection in connections]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()
            rows = [row_of("%s-2" % connection.prefix) for connection in connections]
            kernel += self.settled(group)  # a thread may be held back once more, after its answer
            after = server.threads()[0]
        return rows, [after[tid]["throttled_ns"] - before[tid]["throttled_ns"] for tid in tids], kernel

    def check_throttled(self, rows, threads, kernel):
        """Each row has what its thread has, but for what came after; each closes."""
        for row, thread in zip(rows, threads):
            accuracy.at_most(row["throttled_ns"], thread + SLACK, "row throttled, ns against its thread")
            accuracy.at_least(row["throttled_ns"], thread - 1000 * PERIOD_US, "row throttled, ns against its thread")
            check_closing("under a quota", row)
        accuracy.at_most(abs(max(threads) - kernel), 0.05 * kernel + 10 * MS, "throttled, ns off the kernel's figure")

    def show(self, title, rows, threads, kernel):
        """One line a row."""
        for row, thread in zip(rows, threads):
            print("%s: cpu %.1f run queue %.1f throttled %.1f blocked %.1f of %.1f ms; thread throttled %.1f, kernel's "
                  "figure %.1f" % (title, *(row[key] / MS for key in (
                      "cpu_ns", "runqueue_ns", "throttled_ns", "blocked_ns", "occupied_ns")), thread / MS, kernel / MS))

    @accuracy.twice
    def test_one_thread(self):
        """A busy thread is throttled for what the kernel says of its cgroup."""
        group = self.limited()
        with Server(prefix=group.prefix) as server:
            result = self.burn(server, 1, group)
        self.show("one thread", *result)
        self.assertGreater(result[2], 100 * MS, "the quota did not hold it back: the test shows nothing")
        self.check_throttled(*result)

    @accuracy.twice
    def test_two_threads_on_one_cpu(self):
        """Two share the quota and a CPU: each is held back all the time that the cgroup is; the other's turn is queueing."""
        group = self.limited()
        with Server(prefix=[*group.prefix, "taskset", "-c", "0"]) as server:
            rows, threads, kernel = self.burn(server, 2, group)
        self.show("two threads", rows, threads, kernel)
        self.assertGreater(kernel, 100 * MS, "the quota did not hold them back: the test shows nothing")
        self.check_throttled(rows, threads, kernel)
        for row in rows:
            self.assertGreater(row["runqueue_ns"], 10 * MS)

    @accuracy.twice
    def test_throttled_now(self):
        """Reports while it is held back: its thread's time between them is CPU and throttled, and adds up."""
        group = self.limited()
        with Server(prefix=group.prefix) as server, Connection(server) as connection:
            tid = connection.ask("burn", 0)[2]
            asking = threading.Thread(target=connection.ask, args=("burn", 2 * BURN_US))
            asking.start()
            try:
                time.sleep(0.3)
                first, then, kernel = *server.threads(), group.throttled_ns()
                time.sleep(1)
                second, now, kernel = *server.threads(), group.throttled_ns() - kernel
            finally:
                asking.join()
        grown = {key: second[tid][key] - first[tid][key] for key in
                 ("cpu_ns", "stolen_ns", "runqueue_ns", "throttled_ns", "blocked_ns")}
        print("throttled now:", {key: round(value / MS, 1) for key, value in grown.items()}, "kernel", kernel / MS)
        accuracy.at_most(abs(sum(grown.values()) - (now - then)), 0.01 * (now - then) + 100000, "parts, ns off the time that passed")
        # The kernel adds when a period ends; the report goes by the instant.
        accuracy.at_most(abs(grown["throttled_ns"] - kernel), 1000 * PERIOD_US, "throttled now, ns off the kernel's figure")

    def test_no_quota(self):
        """Two busy threads on one CPU without a quota wait in the run queue and are never throttled."""
        with Server(prefix=["taskset", "-c", "0"]) as server:
            rows, threads, _ = self.burn(server, 2)
        self.show("no quota", rows, threads, 0)
        self.assertEqual([0, 0], threads)
        for row in rows:
            self.assertEqual(0, row["throttled_ns"])
            self.assertGreater(row["runqueue_ns"], 10 * MS)


if __name__ == "__main__":
    unittest.main()
