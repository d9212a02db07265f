# SPDX-License-Identifier: MIT
"""--infer-handoff: work that a request's thread hands to another, guessed; and that nothing is guessed without it."""
import collections
import os
import socket
import subprocess
import threading
import unittest

import accuracy
import agent
import build
import cgroups
import load

N = 25
BURN_US = 4000
BURN_NS = BURN_US * 1000
# What a connection's thread does itself is far below; a row without the worker's part is far from this, too.
HALF_NS = BURN_NS // 2


class Handoff(unittest.TestCase):
    """A server with a pool, and an agent that watches nothing else."""

    def setUp(self):
        if reason := agent.skip_reason():
            self.skipTest(reason)
        try:
            self.group = cgroups.Cgroup("reqmeter-handoff-%d" % os.getpid())
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        self.addCleanup(self.group.remove)

    def start(self, *options, workers=2):
        """A server and an agent with these options."""
        command = [*self.group.prefix, build.part("handoff"), str(workers)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.port = int(server.stdout.readline())
        self.meter = agent.Agent("--scope", "cgroup:" + self.group.path, *options)
        self.addCleanup(self.meter.stop)

    def ask(self, how, n=N, us=BURN_US, tag=""):
        """n requests, one after the other on one connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as sock:
            for i in range(n):
                sock.sendall(b"GET /%s/%s%d?%d HTTP/1.1\r\nHost: x\r\n\r\n" % (how.encode(), tag.encode(), i, us))
                load.read_answer(sock)

    def rows(self, n):
        """The n rows, by path."""
        def look():
            requests = self.meter.stats(limit=10000, sections="requests")["requests"]
            return requests["recent"] if len(requests["recent"]) >= n and not requests["active"] else None

        rows = agent.poll_until(look, 20, 0.2)
        self.assertTrue(rows, "%d rows" % len(self.meter.rows()))
        self.assertEqual(n, len(rows))
        return {row["path"]: row for row in rows}

    def ledger(self):
        """(requests, cgroup) in ns of CPU."""
        report = self.meter.stats(scope="cgroup:" + self.group.path, sections="cgroups")
        cpu = next(row for row in report["cgroups"] if row["path"] == self.group.path)["ledger"]["cpu"]
        return cpu["requests_ns"], cpu["cgroup_ns"]

    def test_off(self):
        """Nothing is loaded and nothing is guessed: what the workers burn is nobody's."""
        self.start()
        self.ask("pool")
        report = self.meter.stats(sections="agent")["agent"]
        self.assertNotIn("on_waking", [program["name"] for program in report["programs"]])
        self.assertEqual("off", next(row["state"] for row in report["features"] if row["name"] == "handoff"))
        for row in self.rows(N).values():
            self.assertEqual("socket", row["attribution"]["source"])
            self.assertNotEqual("inferred", row["attribution"]["confidence"])
            self.assertLess(row["cpu_ns"], HALF_NS)

    def inherits(self, how):
        """One request at a time, so that there is nobody else to guess."""
        self.start("--infer-handoff")
        self.ask(how)
        rows = self.rows(N)
        said = collections.Counter(tuple(row["attribution"].values()) for row in rows.values())
        # A worker that takes the next before it has slept is woken by nobody: known, at best, by its answer.
        late = said.pop(("inherited", "inherited"), 0) if how == "reply" else 0
        self.assertEqual([("inherited", "inferred")], list(said))
        accuracy.at_most(late, N // 5, how + ": rows of workers that were not woken")
        for row in rows.values():
            accuracy.at_least(row["cpu_ns"] + row["stolen_ns"], 0.9 * BURN_NS, how + ": a row, ns")
            self.assertLess(row["cpu_ns"], BURN_NS + HALF_NS)
        requests, group = self.ledger()
        told = sum(row["cpu_ns"] for row in rows.values())
        print("%s: rows %.2f ms, requests %.2f, cgroup %.2f" % (how, told / 1e6, requests / 1e6, group / 1e6))
        # What a worker does after it has said that it is done comes too late for the row.
        self.assertLessEqual(told, requests)
        accuracy.at_least(told, 0.9 * requests, how + ": all rows, ns against the ledger's requests")

    @accuracy.twice
    def test_pool(self):
        """The connection's thread waits and answers."""
        self.inherits("pool")

    @accuracy.twice
    def test_worker_answers(self):
        """The worker answers, so that it has a socket's request of its own from the last time."""
        self.inherits("reply")

    def test_nothing_handed(self):
        """A thread that does its work itself has inherited nothing, and nobody from it."""
        self.start("--infer-handoff")
        self.ask("own")
        for row in self.rows(N).values():
            self.assertEqual(("socket", "exact"), tuple(row["attribution"].values()))

    def test_many_at_once(self):
        """Four connections and two workers. How often the guess is wrong is printed; nothing is counted twice."""
        self.start("--infer-handoff")
        plan = [(tag, us) for tag, us in zip("abcd", (1000, 2000, 4000, 8000))]
        threads = [threading.Thread(target=self.ask, args=("pool", N, us, tag)) for tag, us in plan]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rows = self.rows(4 * N)
        right = {"right": 0, "too much": 0, "too little": 0}
        for tag, us in plan:
            for i in range(N):
                row = rows["/pool/%s%d" % (tag, i)]
                error, bound = row["cpu_ns"] - us * 1000, 0.1 * us * 1000 + 200000 + row["stolen_ns"]
                right["right" if abs(error) <= bound else "too much" if error > 0 else "too little"] += 1
        told = sum(row["cpu_ns"] for row in rows.values())
        requests, group = self.ledger()
        print("4 connections, 2 workers: %s; rows %.1f ms, requests %.1f, cgroup %.1f" % (
            right, told / 1e6, requests / 1e6, group / 1e6))
        self.assertLessEqual(told, requests)
        self.assertLessEqual(requests, group)
