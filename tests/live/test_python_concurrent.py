# SPDX-License-Identifier: MIT
"""200 requests at once on one event loop: how much CPU goes to the wrong one, and how much to none.

Truth is the thread's clock at both sides of each edge: see python_truth.py.
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
from python_truth import Outcome

CONCURRENT, ROUNDS = 200, 2
# us a step: how many steps the requests have.
STEPS = {200: (10, 30, 50, 70), 2000: (1, 3, 5, 7)}
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

    def measure(self, loop, step_us):
        """An Outcome: each connection serves ROUNDS requests, of different lengths."""
        steps = STEPS[step_us]
        plan = [load.Request("GET", "/burn/%d" % steps[number % len(steps)], b"") for number in range(ROUNDS * CONCURRENT)]
        with self.serve(loop, step_us) as (process, endpoint):
            results = load.run(endpoint, plan, CONCURRENT)
            self.assertEqual([result for result in results if result.status != 200][:3], [])
            process.stdin.write("\n")
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
            ids = {result.id for result in results}
            rows = agent.poll_until(lambda: self.find(ids), 10, 0.1)
            self.assertTrue(rows, self.why_not(ids))
        self.assertEqual((set(told["least"]), set(told["most"])), (ids, ids))
        # What the handler saw of itself lies inside.
        self.assertEqual([name for name in ids if told["handler"][name] > told["least"][name]], [])
        return Outcome(told, rows)

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
                outcome.check("%s, steps of %d us: " % (loop, step_us))
                self.check_rows(outcome)

    def check_rows(self, outcome):
        """All are exact, by the SDK."""
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
