# SPDX-License-Identifier: MIT
"""A request that asks for itself gets itself, as it is now: in threads, in coroutines and in FastAPI's sync endpoints."""
import json
import os
import subprocess
import tempfile
import time
import unittest

import accuracy
import agent
import python_package
from python_package import ENVIRONMENT, PYTHON

N, AT_A_TIME = 200, 8
PART, NS = 0.02, 300000  # of the clock at the instant of the question
SECONDS, PER_SECOND, WANTED_PART = 5, 1000, 0.05
METER, SOCKET = None, os.path.join(tempfile.gettempdir(), "reqmeter-self-%d.sock" % os.getpid())


def setUpModule():
    """One agent for all, on both kinds of sockets."""
    global METER
    if reason := agent.skip_reason() or python_package.skip_reason():
        raise unittest.SkipTest(reason)
    python_package.make()
    METER = agent.Agent("--listen", "unix:" + SOCKET)


def tearDownModule():
    """Ends the agent."""
    if METER:
        METER.stop()


def addresses():
    """As REQMETER_AGENT has them."""
    return {"unix": "unix:" + SOCKET, "tcp": "http://" + METER.address}


def run(script, address, *args):
    """What a script prints, as JSON. The timeout is the default one."""
    out = subprocess.run([PYTHON, python_package.script(script), *map(str, args)], stdout=subprocess.PIPE, check=True,
                         env={**ENVIRONMENT, "REQMETER_AGENT": address}, timeout=120).stdout
    return json.loads(out)


class Itself(unittest.TestCase):
    """Each gets its own row."""

    @staticmethod
    def allowed(one):
        """ns by which a row may be off."""
        return max(PART * one["before"], NS)

    def check_rows(self, told, name):
        """No row is null or another's; the figures are accuracy's."""
        self.assertEqual(len(told), N)
        self.assertEqual([one["id"] for one in told if one["row"] is None], [], name)
        for one in told:
            row = one["row"]
            self.assertEqual((row["id"], row["id_source"], row["method"], row["outcome"]), (one["id"], "sdk", "GET", "open"))
            self.assertEqual(row["attribution"], {"source": "sdk", "confidence": "exact"})
            self.assertEqual(row["route"], one["route"])
            # A thread may wait long for Python's lock between making its RequestState and entering it.
            self.assertTrue(-1e6 < row["start_unix_ns"] - one["start"] < 1e9, row["start_unix_ns"] - one["start"])
            self.assertTrue(one["agent"] and one["mem_info"] and one["drum_info"])
        self.assertEqual(len({one["row"]["start_unix_ns"] for one in told}), N, "a row for each, also of one id")
        off = sorted((one["row"]["cpu_ns"] - one["before"]) / 1e3 for one in told)
        n_off = sum(abs(one["row"]["cpu_ns"] - one["before"]) > self.allowed(one) for one in told)
        print("%s: cpu_ns off the clock at the question by %.0f to %.0f us, median %.0f; %d beyond max(2 %%, 300 us)" % (
            name, off[0], off[-1], off[N // 2], n_off), flush=True)
        # What the host steals from a thread is booked at its next switch, which may be another request's (python_truth.py).
        beyond = [one for one in told if not one["before"] - one["row"]["stolen_ns"] - self.allowed(one)
                  <= one["row"]["cpu_ns"] <= one["latest"] + one["stolen"] + self.allowed(one)]
        accuracy.at_most(len(beyond), 0.01 * N, name + ": rows beyond max(2 %, 300 us)", [
            (one["before"], one["latest"], one["row"]["cpu_ns"], one["row"]["stolen_ns"]) for one in beyond[:8]])

    def check_kind(self, kind):
        """On both kinds of sockets; with ids of their own, and with each id used four times at a time."""
        for name, address in addresses().items():
            for same in (1, 4):
                self.check_rows(run("python_self.py", address, kind, N, AT_A_TIME, same),
                                "%s, %s, an id for %d" % (kind, name, same))

    @accuracy.twice
    def test_threads(self):
        self.check_kind("thread")

    @accuracy.twice
    def test_coroutines(self):
        self.check_kind("coroutine")

    @accuracy.twice
    def test_sync_endpoints(self):
        self.check_kind("endpoint")


class Question(unittest.TestCase):
    """What is not to be known."""

    def test_unknown(self):
        status, body = METER.get("/request/?handle=8192&table=1")
        self.assertEqual((status, json.loads(body)["request"]), (200, None))

    def test_wrong(self):
        for query in ("", "?handle=1", "?table=1", "?handle=x&table=1", "?handle=1&table=1&x=1"):
            status, body = METER.get("/request/" + query)
            self.assertEqual((status, json.loads(body)["error"]["code"]), (400, "bad_parameter"), query)


class Cost(unittest.TestCase):
    """What a thousand questions a second cost the agent."""

    def cpu_ns(self):
        """Of all threads of the agent."""
        total = 0
        for tid in os.listdir("/proc/%d/task" % METER.pid):
            with open("/proc/%d/task/%s/schedstat" % (METER.pid, tid)) as text:
                total += int(text.read().split()[0])
        return total

    def test_cost(self):
        before = self.cpu_ns()
        time.sleep(2)
        idle = (self.cpu_ns() - before) / 2e9
        for name, address in addresses().items():
            before = self.cpu_ns()
            told = run("python_self_rate.py", address, PER_SECOND, SECONDS)
            part = (self.cpu_ns() - before) / 1e9 / told["seconds"] - idle
            rate = told["asked"] / told["seconds"]
            print("%s: %.0f questions a second cost %.1f %% of a core, %.0f us each; wanted: %.0f %% at %d" % (
                name, rate, 100 * part, 1e6 * part / rate, 100 * WANTED_PART, PER_SECOND), flush=True)
            self.assertEqual(told["null"], 0)
