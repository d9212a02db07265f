# SPDX-License-Identifier: MIT
"""200 requests at once on one event loop: how much CPU goes to the wrong one, and how much to none.

Truth is the thread's clock at both sides of each edge (servers/python_clocks.py). What the hypervisor takes inside of a
slice is taken from that slice's last request, nobody knows whose it was: so much more may be wrong, and it is printed.
Between the two sides lies the cost of the reads themselves: some 2 % of steps of 0.2 ms, in which an error could hide.
Longer steps, with the same number of requests, leave it no room: there an edge that is missed costs ten times as much.
"""
import collections
import contextlib
import json
import subprocess
import unittest

import accuracy
import agent
import load
import python_package

CONCURRENT, ROUNDS = 200, 2
# us a step: how many steps the requests have.
STEPS = {200: (10, 30, 50, 70), 2000: (1, 3, 5, 7)}
# Contract: CPU for the wrong request, and for none; a row; how many rows have to be right.
SHARE = 0.005
ROW_PART, ROW_NS, WITHIN = 0.02, 200000, 0.99
METER = None


def setUpModule():
    """One agent for all."""
    global METER
    if reason := agent.skip_reason() or python_package.skip_reason():
        raise unittest.SkipTest(reason)
    python_package.make()
    METER = agent.Agent()


def tearDownModule():
    """Ends the agent."""
    METER.stop()


class Outcome:
    """Rows against the truth; ns. over, under: by request, beyond what was measured outside of the edges, and inside.

    moved: what rows have that others lack, if the edges lie at the same part of the way from inside to outside for all.
    """

    def __init__(self, told, rows, stolen_ns):
        self.least, self.most, self.rows, self.stolen_ns = told["least"], told["most"], rows, stolen_ns
        cpu = {name: row["cpu_ns"] for name, row in rows.items()}
        self.total, self.sum_least, self.sum_most = (sum(one.values()) for one in (cpu, self.least, self.most))
        self.over = {name: max(0, cpu[name] - self.most[name]) for name in cpu}
        self.under = {name: max(0, self.least[name] - cpu[name]) for name in cpu}
        part = (self.total - self.sum_least) / (self.sum_most - self.sum_least)
        self.moved = sum(abs(cpu[name] - self.least[name] - part * (self.most[name] - self.least[name])) for name in cpu) / 2

    def beyond(self):
        """Rows that are wrong by more than a row may be."""
        return [name for name in self.rows
                if self.over[name] + self.under[name] > max(ROW_PART * self.most[name], ROW_NS)]

    def __str__(self):
        shares = (sum(self.over.values()), sum(self.under.values()), self.moved, self.stolen_ns,
                  self.total - self.sum_least, self.sum_most - self.sum_least)
        return ("%.0f ms; to the wrong request %.3f %%, to none %.3f %%, moved %.3f %%, stolen %.3f %%; rows %+.2f %% of the "
                "reads inside the edges, those outside %+.2f %%; %d of %d rows beyond max(2 %%, 200 us), worst %+.0f and "
                "%+.0f us" % (self.sum_least / 1e6, *(100 * part / self.sum_least for part in shares), len(self.beyond()),
                              len(self.rows), max(self.over.values()) / 1e3, -max(self.under.values()) / 1e3))


class Concurrent(unittest.TestCase):
    """The FastAPI application whose handlers know what they burn."""

    @contextlib.contextmanager
    def serve(self, loop, step_us):
        """(process, endpoint)."""
        command = [python_package.PYTHON, python_package.script("python_concurrent.py"), loop, str(CONCURRENT), str(step_us)]
        process = subprocess.Popen(command, env=python_package.ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True)
        try:
            yield process, ("127.0.0.1", int(process.stdout.readline()))
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    @staticmethod
    def stolen_ns(pid):
        """What was taken from the loop's thread until now."""
        threads = METER.stats(scope="pid:%d" % pid, sections="threads")["threads"]
        return next(thread["stolen_ns"] for thread in threads if thread["tid"] == pid)

    def measure(self, loop, step_us):
        """An Outcome: each connection serves ROUNDS requests, of different lengths."""
        steps = STEPS[step_us]
        plan = [load.Request("GET", "/burn/%d" % steps[number % len(steps)], b"") for number in range(ROUNDS * CONCURRENT)]
        with self.serve(loop, step_us) as (process, endpoint):
            stolen_ns = self.stolen_ns(process.pid)
            results = load.run(endpoint, plan, CONCURRENT)
            self.assertEqual([result for result in results if result.status != 200][:3], [])
            process.stdin.write("\n")
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
            ids = {result.id for result in results}
            rows = agent.poll_until(lambda: self.find(ids), 10, 0.1)
            self.assertTrue(rows, self.why_not(ids))
            stolen_ns = self.stolen_ns(process.pid) - stolen_ns
        self.assertEqual((set(told["least"]), set(told["most"])), (ids, ids))
        # What the handler saw of itself lies inside.
        self.assertEqual([name for name in ids if told["handler"][name] > told["least"][name]], [])
        return Outcome(told, rows, stolen_ns)

    @staticmethod
    def find(ids):
        """{id: row}, or None while one is missing or there are two of an id."""
        rows = [row for row in METER.rows() if row["id"] in ids]
        return {row["id"]: row for row in rows} if len(rows) == len({row["id"] for row in rows}) == len(ids) else None

    @staticmethod
    def why_not(ids):
        """What is wrong with the rows of these requests."""
        found = collections.Counter(row["id"] for row in METER.rows() if row["id"] in ids)
        twice = [row for row in METER.rows() if found[row["id"]] > 1]
        return "without a row: %s; twice: %s; losses: %s" % (
            sorted(ids - set(found))[:5], twice[:2], {k: v for k, v in METER.stats(sections="agent")["agent"]["losses"].items() if v})

    def check(self, loop):
        """The bounds of the contract, for each length of steps."""
        for step_us in STEPS:
            with self.subTest(step_us=step_us):
                outcome = self.measure(loop, step_us)
                print("%s, %d at once, steps of %d us: %s" % (loop, CONCURRENT, step_us, outcome), flush=True)
                self.check_outcome("%s, steps of %d us: " % (loop, step_us), outcome)

    def check_outcome(self, name, outcome):
        """See above."""
        allowed_ns = SHARE * outcome.sum_least + outcome.stolen_ns
        accuracy.at_most(sum(outcome.over.values()), allowed_ns, name + "ns to the wrong request")
        accuracy.at_most(sum(outcome.under.values()), allowed_ns, name + "ns to none")
        accuracy.at_most(outcome.moved, allowed_ns, name + "ns from one to the other")
        accuracy.at_least(outcome.total, outcome.sum_least * (1 - SHARE), name + "ns in all rows")
        accuracy.at_most(outcome.total, outcome.sum_most * (1 + SHARE), name + "ns in all rows")
        # A stolen nanosecond is missing in one row and too much in another.
        n_allowed = (1 - WITHIN) * len(outcome.rows) + 2 * outcome.stolen_ns / ROW_NS
        accuracy.at_most(len(outcome.beyond()), n_allowed, name + "rows beyond their bound")
        for row in outcome.rows.values():
            self.assertEqual((row["route"], row["status"], row["attribution"]["confidence"], row["attribution"]["source"]),
                             ("/burn/{steps}", 200, "exact", "sdk"))

    @accuracy.twice
    def test_asyncio(self):
        self.check("asyncio")

    @accuracy.twice
    def test_uvloop(self):
        if not python_package.has_uvloop():
            self.skipTest("no uvloop")
        self.check("uvloop")
