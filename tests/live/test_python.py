# SPDX-License-Identifier: MIT
"""The Python package with a real agent: each coroutine's CPU is its own request's, and one request is one row."""
import contextlib
import json
import os
import re
import subprocess
import unittest
import urllib.request

import accuracy
import agent
import load
import python_package
from python_package import ENVIRONMENT, EXAMPLE, PYTHON
from python_truth import Outcome

BURN, PAIR = python_package.script("python_burn.py"), python_package.script("python_pair.py")
COROUTINES, STEPS, STEP_US = 100, 40, 200
PAIR_TURNS = 1000
METER = None


def setUpModule():
    """One agent for all, and the package."""
    global METER
    if reason := agent.skip_reason() or python_package.skip_reason():
        raise unittest.SkipTest(reason)
    if not python_package.has_uvloop():
        raise unittest.SkipTest("%s has no uvloop" % PYTHON)
    python_package.make()
    METER = agent.Agent()


def tearDownModule():
    """Ends the agent."""
    if METER:
        METER.stop()


@contextlib.contextmanager
def hogs():
    """A busy loop for each CPU: whatever else runs is pre-empted all along."""
    busy = [subprocess.Popen([PYTHON, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def rows_of(prefix, n_wanted):
    """{id: row} of finished requests; waits until so many are there."""
    def find():
        rows = {row["id"]: row for row in METER.rows() if (row["id"] or "").startswith(prefix)}
        return rows if len(rows) >= n_wanted else None

    return agent.poll_until(find, 10) or {}


class Coroutines(unittest.TestCase):
    """Many requests on one thread."""

    def burn(self, loop):
        """Runs the coroutines beside busy loops; (truth, the rows by id)."""
        with hogs():
            out = subprocess.run([PYTHON, BURN, loop, str(COROUTINES), str(STEPS), str(STEP_US)], env=ENVIRONMENT,
                                 check=True, stdout=subprocess.PIPE, timeout=120).stdout
        told = json.loads(out)
        pid = re.match("burn-([0-9]+)-", next(iter(told["least"])))[1]
        rows = rows_of("burn-%s-" % pid, COROUTINES)
        self.assertEqual((set(rows), set(told["most"])), (set(told["least"]), set(told["least"])))
        return told, rows

    def check_rows(self, loop):
        """Each row against the thread's clock on both sides of its edges; all rows against the whole thread's."""
        told, rows = self.burn(loop)
        outcome = Outcome(told, rows)
        print("%s, pre-empted: %s" % (loop, outcome), flush=True)
        outcome.check(loop + ", pre-empted: ")
        accuracy.at_most(outcome.total, told["thread_ns"] * 1.005, loop + ", pre-empted: ns in all rows, of the thread's")
        for row in rows.values():
            self.assertEqual((row["method"], row["status"], row["id_source"], row["attribution"]["confidence"]),
                             ("GET", 200, "sdk", "exact"))
            self.assertRegex(row["route"], "^/burn/[012]$")

    @accuracy.twice
    def test_nothing_is_lost_between_two(self):
        """Each moment of the thread is one request's: the two rows together are the thread's own clock."""
        with hogs():
            out = subprocess.check_output([PYTHON, PAIR, str(PAIR_TURNS), str(STEP_US)], env=ENVIRONMENT, timeout=120)
        told = json.loads(out)
        rows = rows_of(told["ids"][0][:-1], 2)
        costs = [rows[name]["cpu_ns"] for name in told["ids"]]
        print("two in turn: %d and %d us, together %+.3f %% of the thread's clock; %d pre-emptions"
              % (costs[0] // 1000, costs[1] // 1000, 100 * (sum(costs) / told["thread_ns"] - 1),
                 sum(rows[name]["involuntary_switches"] for name in told["ids"])))
        accuracy.at_most(abs(sum(costs) / told["thread_ns"] - 1), 0.005, "two in turn: off the thread's clock")
        for cost in costs:
            accuracy.at_least(cost, PAIR_TURNS * STEP_US * 1000 * (1 - 0.005), "two in turn: a row, ns")

    @accuracy.twice
    def test_asyncio(self):
        self.check_rows("asyncio")

    @accuracy.twice
    def test_uvloop(self):
        self.check_rows("uvloop")


class Followed(unittest.TestCase):
    """Whose calls are followed already."""

    SCRIPT = """if True:
        import ctypes, json, os, python_edges, uvloop.loop
        edges = ctypes.CDLL(python_edges.__file__)
        edges.calls_open.restype = edges.calls_target.restype = ctypes.c_void_p
        module = ctypes.c_void_p(edges.calls_open(os.path.realpath(uvloop.loop.__file__).encode()))
        target = lambda name: edges.calls_target(module, name)
        other = ctypes.cast(edges.PyInit_python_edges, ctypes.c_void_p)
        led = edges.calls_lead(module, b"PyContext_Exit", ctypes.c_void_p(target(b"PyContext_Exit")), other)
        import reqmeter
        from reqmeter import _context
        _context.install()
        python = ctypes.cast(ctypes.pythonapi.PyContext_Enter, ctypes.c_void_p).value
        reason = next(row["reason"] for row in _context.features() if row["name"] == "uvloop")
        print(json.dumps([led, target(b"PyContext_Enter") == python, target(b"PyContext_Exit") == other.value, reason]))
        """

    def test_one_of_two_calls_is_led_elsewhere(self):
        """Then neither is: what is entered would never be left. And it is said who has it."""
        out = subprocess.check_output([PYTHON, "-c", self.SCRIPT], env=ENVIRONMENT, timeout=30)
        led, enters_python, leaves_other, reason = json.loads(out)
        self.assertEqual((led, enters_python, leaves_other), (0, True, True))
        self.assertRegex(reason, r"/python_edges\.so follows the calls of .*/uvloop/loop")


class Example(unittest.TestCase):
    """The FastAPI example: the socket's view and the program's are one row."""

    def serve(self, loop):
        """Starts the example; its port."""
        port = agent.free_port()
        environment = {**ENVIRONMENT, "REQMETER_AGENT": "http://" + METER.address, "REQMETER_TIMEOUT_MS": "5000"}
        process = subprocess.Popen([PYTHON, EXAMPLE, "--loop", loop, "--port", str(port)], env=environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        endpoint = ("127.0.0.1", port)

        def ready():
            try:
                return load.get(endpoint, "/openapi.json").status == 200
            except OSError:
                return False

        self.assertTrue(agent.poll_until(ready, 20))
        return process, endpoint

    def ask(self, endpoint, path, request_id):
        """The answer's JSON."""
        request = urllib.request.Request("http://%s:%d%s" % (*endpoint, path), headers={"X-Request-ID": request_id})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def test_one_request_one_row(self):
        for loop in ("asyncio", "uvloop"):
            with self.subTest(loop=loop):
                process, endpoint = self.serve(loop)
                prefix = "example-%s-%d-" % (loop, os.getpid())
                wanted = {}
                for number in range(20):
                    path, route = (("/items/7", "/items/{item_id}"), ("/reports/7", "/reports/{report_id}"))[number % 2]
                    self.assertEqual(self.ask(endpoint, path, prefix + str(number))["request_id"], prefix + str(number))
                    wanted[prefix + str(number)] = route
                rows_of(prefix, len(wanted))
                rows = [row for row in METER.rows() if (row["id"] or "").startswith(prefix)]
                self.assertEqual(sorted(row["id"] for row in rows), sorted(wanted))
                for row in rows:
                    self.assertEqual((row["pid"], row["method"], row["status"], row["route"], row["route_source"]),
                                     (process.pid, "GET", 200, wanted[row["id"]], "framework"))
                    self.assertEqual(row["attribution"]["confidence"], "exact")
                    # Its digest alone is that; in the sync endpoint it is another thread's work.
                    self.assertGreater(row["cpu_ns"], 100000)

    def test_stats(self):
        process, endpoint = self.serve("asyncio")
        report = self.ask(endpoint, "/stats/?client=python-test", "stats")
        self.assertIsNotNone(report["agent"])
        told = METER.stats(scope="pid:%d" % process.pid, client="test", sections="mem_info,drum_info,time_info")
        # Each section comes from the agent as soon as the agent has it.
        wanted = {name: "agent" if told[name] else None for name in told if name in report["sources"]}
        for name, source in wanted.items():
            self.assertEqual(report["sources"][name] == "agent", source == "agent", name)
        for section in ("mem_info", "drum_info", "time_info"):
            self.assertIsNotNone(report[section])
