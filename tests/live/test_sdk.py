# SPDX-License-Identifier: MIT
"""Programs that say by libreqmeter which request they work for: every request's CPU, against the threads' own clocks."""
import contextlib
import os
import socket
import subprocess
import unittest

import accuracy
import agent
import build
import cgroups
import compare
import load

US = 1000
SHARE = 0.99
SUM_SHARE = 0.005
# Rows beyond are told apart: which of a slice's requests the hypervisor took the time from, nobody knows.
STEAL_SHARE = 0.02
CONNECTIONS = 1000
METER = None


def setUpModule():
    """One agent for most tests; those that are about agents start their own."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    METER = agent.Agent("--recent", "100000", "--max-rows-per-second", "1000000")


def tearDownModule():
    """Ends the agent."""
    METER.stop()


def bound(cpu_ns):
    """How far a row may be from the truth."""
    return max(0.02 * cpu_ns, 200 * US)


def error_of(row, least, most):
    """row − truth; 0 between what was measured inside of the library's edges and outside of them."""
    return row["cpu_ns"] - most if row["cpu_ns"] > most else min(0, row["cpu_ns"] - least)


def wrong_ones(truth, rows):
    """Ids of rows that are wrong by more than the hypervisor explains.

    What it stole from a slice is taken off the slice's last request, and another may have paid for it: of the wrong rows
    as many are excused as all rows together have lost.
    """
    left = sum(rows[i][0]["stolen_ns"] for i in truth)
    errors = {i: abs(error_of(rows[i][0], *truth[i])) for i in truth
              if rows[i][0]["stolen_ns"] <= STEAL_SHARE * rows[i][0]["cpu_ns"]}
    wrong = []
    for i in sorted(errors, key=errors.get):
        if errors[i] <= bound(truth[i][1]):
            continue
        left -= errors[i]
        if left < 0:
            wrong.append(i)
    return wrong


@contextlib.contextmanager
def hog(cpu):
    """A busy loop on one CPU."""
    with subprocess.Popen(["taskset", "-c", str(cpu), "/bin/sh", "-c", "while :; do :; done"]) as process:
        try:
            yield
        finally:
            process.kill()


def slices(*arguments, prefix=()):
    """A started sdk_slices that waits for a line."""
    command = [*prefix, build.part("sdk_slices"), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go(process, line="\n"):
    """Tells it to go on."""
    process.stdin.write(line)
    process.stdin.flush()


def truth_of(process):
    """({id: (least, most)}, {tid: its CPU}) of a process that has been told to begin."""
    requests, threads = {}, {}
    for line in process.stdout:
        words = line.split()
        if words[0] == "done":
            return requests, threads
        if words[0] == "thread":
            threads[int(words[1])] = int(words[2])
        else:
            requests[words[0]] = (int(words[1]), int(words[2]))
    raise AssertionError("it ended without a word")


def rows_of(meter, ids, seconds=10):
    """{id: [rows]} once every id has one, or when time is up."""
    def look():
        found = {}
        for row in meter.rows():
            if row["id"] in ids:
                found.setdefault(row["id"], []).append(row)
        return found if len(found) == len(ids) else None

    def last():
        found = {}
        for row in meter.rows():
            if row["id"] in ids:
                found.setdefault(row["id"], []).append(row)
        return found

    return agent.poll_until(look, seconds, 0.1) or last()


class Server:
    """A running epoll example. A context manager."""

    def __init__(self, prefix=(), pool=2):
        command = [*prefix, build.part("sdk_server"), "0", str(pool), "truth"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, plan):
        """All requests of {id: path} at once, a connection each; {id: (least, most)} as the server says."""
        socks = {name: socket.create_connection(("127.0.0.1", self.port)) for name in plan}
        for name, sock in socks.items():
            sock.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nX-Request-ID: %s\r\n\r\n" % (plan[name].encode(), name.encode()))
        for sock in socks.values():
            self.read_answer(sock)
        truth = {}
        while len(truth) < len(plan):
            name, least, most = self.process.stdout.readline().split()
            truth[name] = (int(least), int(most))
        return truth

    @staticmethod
    def read_answer(sock):
        """Reads an answer to its end and closes."""
        data = b""
        with sock:
            sock.settimeout(120)
            while not data.endswith(b"ok\n"):
                more = sock.recv(4096)
                if not more:
                    raise AssertionError("closed after %r" % data)
                data += more


class Exact(unittest.TestCase):
    """CPU of every request."""

    def judge(self, name, truth, rows):
        """At least 99 % of the rows are right, each is there once and says that it is exact."""
        missing = [i for i in truth if len(rows.get(i, ())) != 1]
        self.assertEqual([], missing[:5], "%d of %d without exactly one row" % (len(missing), len(truth)))
        stolen = [i for i in truth if rows[i][0]["stolen_ns"] > STEAL_SHARE * rows[i][0]["cpu_ns"]]
        errors = {i: error_of(rows[i][0], *truth[i]) for i in truth}
        quiet = [i for i in truth if i not in set(stolen)]
        good = len(quiet) - len(wrong_ones(truth, rows))
        whole = sum(most for _, most in truth.values())
        wrong = sum(error for error in errors.values() if error > 0) / whole
        print("%-34s %5d rows, %d with more than 2 %% steal; %.2f %% within bounds, worst %+.0f us; too much %.3f %%, too "
              "little %.3f %% of all CPU" % (
                  name, len(truth), len(stolen), 100 * good / max(1, len(quiet)),
                  max((errors[i] for i in quiet), key=abs, default=0) / US, 100 * wrong,
                  -100 * sum(error for error in errors.values() if error < 0) / whole), flush=True)
        self.assertEqual({"exact"}, {rows[i][0]["attribution"]["confidence"] for i in truth})
        self.assertEqual({"sdk"}, {rows[i][0]["attribution"]["source"] for i in truth})
        # With hardly a quiet one, nothing is proven and nothing refuted.
        if len(quiet) < 10:
            self.skipTest("the hypervisor takes too much: %d quiet rows" % len(quiet))
        accuracy.at_least(good / len(quiet), SHARE, name + ": rows within their bounds")

    def closes(self, rows):
        """The parts of each row's time sum to its whole."""
        errors = [(compare.closing_error(row), compare.closing_bound(row["occupied_ns"])) for row in rows]
        wrong = [pair for pair in errors if abs(pair[0]) > pair[1]]
        accuracy.at_most(len(wrong), 0, "rows whose time does not close", wrong[:5])

    @accuracy.twice
    def test_interleaved_on_one_thread(self):
        """1,000 requests in random steps of one thread, pre-empted all along."""
        with slices(1000, 15000, 80, prefix=("taskset", "-c", "0")) as process, hog(0):
            go(process)
            truth, threads = truth_of(process)
            rows = rows_of(METER, set(truth))
            go(process)
            self.judge("1,000 interleaved, pre-empted", truth, rows)
        total, told = sum(threads.values()), sum(row[0]["cpu_ns"] for row in rows.values())
        least, most = (sum(pair[k] for pair in truth.values()) for k in (0, 1))
        print("sum of rows %.3f ms, of steps %.3f … %.3f ms, thread %.3f ms" % tuple(x / 1e6 for x in (told, least, most, total)))
        accuracy.at_most(told, most + SUM_SHARE * total, "sum of rows, ns")
        accuracy.at_least(told, least - SUM_SHARE * total, "sum of rows, ns")
        self.closes([row[0] for row in rows.values()])

    @accuracy.twice
    def test_threads_at_once(self):
        """Four threads, each with 100 of its own."""
        with slices(100, 2000, 80, 4) as process:
            go(process)
            truth, _ = truth_of(process)
            self.judge("4 threads x 100", truth, rows_of(METER, set(truth)))
            go(process)

    @accuracy.twice
    def test_epoll_and_pool(self):
        """1,000 connections, on the loop in slices and in the pool: one row a request, the socket's and the program's."""
        prefix = load.unique_prefix()
        plan = {"%s-%d" % (prefix, i): "/pool?us=500" if i % 10 == 0 else "/burn?us=%d&slices=%d" % (
            500 + 100 * (i % 20), 1 + i % 7) for i in range(CONNECTIONS)}
        with Server() as server:
            truth = server.ask(plan)
            rows = rows_of(METER, set(truth))
            alone = [row for row in METER.rows(scope="pid:%d" % server.process.pid) if row["id"] not in truth]
        self.judge("epoll and pool, 1,000 connections", truth, rows)
        self.assertEqual([], alone[:3], "requests of the sockets that were told apart from the program's")
        one = rows[prefix + "-1"][0]
        self.assertEqual((200, "/burn", "/burn", "framework", "x-request-id"),
                         tuple(one[key] for key in ("status", "path", "route", "route_source", "id_source")))
        self.assertEqual(1, one["n_threads"])
        self.assertEqual(40, one["net"]["sent_bytes"])
        self.assertGreater(one["unattended_ns"], 0)
        # Begun on the loop, burned in the pool, answered on the loop.
        self.assertEqual(2, rows[prefix + "-10"][0]["n_threads"])
        self.closes([row[0] for row in rows.values()])

    @accuracy.twice
    def test_ledger(self):
        """Rows and background are what the kernel counts for the cgroup."""
        try:
            group = cgroups.Cgroup("reqmeter-sdk-%d" % os.getpid())
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        with group:
            with slices(50, 3000, 100, prefix=group.prefix) as process:
                go(process)
                truth, _ = truth_of(process)
                rows = rows_of(METER, set(truth))
                found = METER.stats(scope="cgroup:" + group.path)["cgroups"]
                ledger = next(row for row in found if group.owns(row))["ledger"]["cpu"]
                go(process)
            agent.poll_until(lambda: not group.pids(), 5)
        told = sum(row[0]["cpu_ns"] for row in rows.values())
        print("ledger: rows %.3f ms, requests %.3f, background %.3f, cgroup %.3f" % tuple(
            x / 1e6 for x in (told, ledger["requests_ns"], ledger["background_ns"], ledger["cgroup_ns"])))
        accuracy.at_most(abs(told - ledger["requests_ns"]), SUM_SHARE * ledger["cgroup_ns"], "rows, ns off the ledger's")
        accuracy.at_most(abs(ledger["residual_ns"]), SUM_SHARE * ledger["cgroup_ns"], "residual, ns")


class Agents(unittest.TestCase):
    """Programs and agents come and go."""

    @accuracy.twice
    def test_older_than_the_agent(self):
        """A server that ran before: its requests are exact once the agent is there, and again with the next agent."""
        with Server() as server:
            server.ask({"before-%d" % i: "/burn?us=200&slices=2" for i in range(20)})
            for turn in range(2):
                with agent.Agent() as meter:
                    plan = {"old-%d-%d-%d" % (os.getpid(), turn, i): "/burn?us=2000&slices=4" for i in range(100)}
                    truth = server.ask(plan)
                    rows = rows_of(meter, set(truth))
                    self.assertEqual([], [i for i in truth if len(rows.get(i, ())) != 1])
                    self.assertEqual({"sdk"}, {rows[i][0]["attribution"]["source"] for i in truth})
                    wrong = ["%+d us of %d" % (error_of(rows[i][0], *truth[i]) // US, truth[i][1] // US)
                             for i in wrong_ones(truth, rows)]
                    accuracy.at_most(len(wrong) / len(truth), 1 - SHARE, "agent %d: share of wrong rows" % turn, wrong)

    def test_above_the_row_limit(self):
        """What a program tells of is counted once, also where its sockets' heads are not looked at."""
        with Server() as server, agent.Agent("--scope", "pid:%d" % server.process.pid, "--max-rows-per-second", "1") as meter:
            plan = {"limit-%d-%d" % (os.getpid(), i): "/burn?us=200&slices=2" for i in range(200)}
            server.ask(plan)
            rows_of(meter, set(plan))
            requests = meter.stats(sections="requests,agent", window="all", limit=0)
            self.assertGreater(requests["agent"]["losses"]["heads_skipped"], 100)
            self.assertEqual(len(plan), requests["requests"]["counts"]["finished"])
            self.assertEqual(len(plan), sum(row["count"] for row in requests["requests"]["routes"]))

    def test_out_of_scope(self):
        """Of a program that is not watched nothing is told, whether it is older than the agent or not."""
        with slices(5, 50, 100) as before, slices(5, 50, 100) as watched:
            with agent.Agent("--scope", "pid:%d" % watched.pid) as meter, slices(5, 50, 100) as after:
                seen = {}
                for process in (before, watched, after):
                    go(process)
                    seen[process] = set(truth_of(process)[0])
                rows = rows_of(meter, seen[watched])
                self.assertEqual(seen[watched], set(rows))
                self.assertEqual([], [row["id"] for row in meter.rows() if row["id"] in seen[before] | seen[after]])
                for process in (before, watched, after):
                    go(process)

    def test_namespaces(self):
        """A server in PID, mount and user-visible namespaces of its own, with nothing shared."""
        prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--net", "/bin/sh", "-c",
                  'ip link set lo up 2>/dev/null; exec "$@"', "sh"]
        with slices(20, 400, 100, prefix=prefix) as process:
            go(process)
            truth, _ = truth_of(process)
            rows = rows_of(METER, set(truth))
            go(process)
        self.assertEqual(set(truth), set(rows))
        self.assertNotEqual({1}, {row[0]["pid"] for row in rows.values()}, "pids are the agent's")

    @accuracy.twice
    def test_dies_inside(self):
        """A process killed at work: a row that says so, with its CPU."""
        with slices(1, 10, 100) as process:
            go(process)
            truth_of(process)
            go(process, "kill\n")
            process.wait()
            pid = process.pid
        row = agent.poll_until(lambda: [r for r in METER.rows(scope="node") if r["pid"] == pid and r["id"] == "dies"], 10, 0.2)
        self.assertTrue(row)
        self.assertEqual("process-died", row[0]["outcome"])
        accuracy.at_most(abs(30e6 - row[0]["cpu_ns"]), 3e6, "killed at work: ns off 30 ms")

    def test_two_programs(self):
        """Two programs whose handles are the same numbers: each request has one row."""
        with slices(5, 50, 100) as one, slices(5, 50, 100) as two:
            go(one)
            go(two)
            truth = {**truth_of(one)[0], **truth_of(two)[0]}
            rows = rows_of(METER, set(truth))
            go(one)
            go(two)
        self.assertEqual([1] * len(truth), [len(rows.get(i, ())) for i in truth])


class Hostile(unittest.TestCase):
    """Programs that lie: the agent lives, others' rows stay right, and so do the kernel's sums."""

    HOW = ("nowhere", "kernel", "unaligned", "readonly", "gone", "noise", "future", "many", "double")

    def liar(self, how):
        """A started liar, ended at the test's end."""
        process = subprocess.Popen([build.part("sdk_hostile"), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdin.close)
        self.assertEqual("ready\n", process.stdout.readline())
        return process

    @accuracy.twice
    def test_lies(self):
        """All at once, beside an honest program."""
        before = METER.stats(sections="agent")["agent"]["losses"]
        liars = {how: self.liar(how) for how in self.HOW}
        with slices(20, 400, 100) as process:
            go(process)
            truth, _ = truth_of(process)
            rows = rows_of(METER, set(truth))
            go(process)
        self.assertEqual([1] * len(truth), [len(rows.get(i, ())) for i in truth])
        good = [i for i in truth if abs(error_of(rows[i][0], *truth[i])) <= bound(truth[i][1]) or
                rows[i][0]["stolen_ns"] > STEAL_SHARE * rows[i][0]["cpu_ns"]]
        accuracy.at_least(len(good) / len(truth), SHARE, "beside liars: rows within their bounds")
        report = METER.stats(limit=100000)
        losses = report["agent"]["losses"]
        self.assertGreater(losses["sdk_reads"], before["sdk_reads"], "reads of what is gone")
        self.assertGreater(losses["sdk_untold"], before["sdk_untold"], "of a million, most are not measured")
        names = {liar.pid: how for how, liar in liars.items()}
        by_pid = {}
        for row in report["requests"]["recent"] + report["requests"]["active"]:
            if row["pid"] in names:
                by_pid.setdefault(names[row["pid"]], []).append(row)
                self.assertLessEqual(row["cpu_ns"], row["occupied_ns"] * max(1, row["n_threads"]))
                self.assertLess(row["start_unix_ns"], report["generated_unix_ns"])
        self.assertEqual(100, len([row for row in by_pid["double"] if row["seq"]]))
        self.assertLessEqual(len(by_pid["many"]), 8192)
        for how in ("nowhere", "kernel", "unaligned", "readonly", "gone"):
            self.assertNotIn(how, by_pid)

    def test_foreign_file(self):
        """A file under the table's name is not written to."""
        path = "/memfd:reqmeter-sdk"
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        self.liar("foreign")
        with agent.Agent() as meter:
            self.assertGreater(meter.stats()["agent"]["losses"]["sdk_unreadable"], 0)
        with open(path, "rb") as file:
            self.assertEqual(b"", file.read().strip(b"\0"))
