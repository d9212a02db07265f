# SPDX-License-Identifier: MIT
"""The FastAPI application's own /stats/ as DRUM's clients read it, without a query, while agents come, hang and go."""
import json
import os
import signal
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

import agent
import build
import cgroups
import load
import predictor
import python_package

sys.path.append(os.path.join(build.ROOT, "tests", "python"))
import drum  # pylint: disable=wrong-import-position

PROBE = os.path.join(build.ROOT, "tests", "python", "probe_app.py")
LIMIT_MIB = 512
# Contract of the application's /stats/, and how often it is tried: a busy machine may be late once.
STATS_SECONDS, TRIES = 0.2, 5
BATCH = 5
HANDLER_SECONDS = 0.02  # what the probe's /predict/ sleeps


def setUpModule():
    """The package."""
    if reason := agent.skip_reason() or python_package.skip_reason():
        raise unittest.SkipTest(reason)
    python_package.make()


class Application:
    """The probe application under uvicorn in a cgroup. A context manager."""

    def __init__(self, loop, address, prefix=(), timeout_ms=None):
        self.port = agent.free_port()
        environment = {**python_package.ENVIRONMENT, "REQMETER_AGENT": address}
        if timeout_ms:
            environment["REQMETER_TIMEOUT_MS"] = str(timeout_ms)
        command = [*prefix, python_package.PYTHON, PROBE, loop, str(self.port)]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        if not agent.poll_until(self.is_ready, 30):
            self.__exit__()
            raise AssertionError("the application does not start")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def is_ready(self):
        """It answers."""
        return load.get(("127.0.0.1", self.port), "/openapi.json").status == 200

    def ask(self, method, path, request_id="probe"):
        """(status, body, seconds)."""
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), method=method,
                                         headers={"X-Request-ID": request_id})
        start = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read(), time.monotonic() - start
        except urllib.error.HTTPError as error:
            return error.code, error.read(), time.monotonic() - start

    def stats(self):
        """(report, seconds) as the clients ask for it: no query. Never anything but 200."""
        status, body, seconds = self.ask("GET", "/stats/")
        assert status == 200, (status, body)
        return json.loads(body, parse_constant=refuse), seconds

    def predict(self, name):
        """One batch of a performance test; the longest time that a request took."""
        answers = [self.ask("POST", "/predict/", "%s-%d" % (name, number)) for number in range(BATCH)]
        assert {status for status, _, _ in answers} == {200}, answers
        return max(seconds for _, _, seconds in answers)


def refuse(word):
    """NaN and Infinity are no JSON."""
    raise ValueError(word)


class DrumClients(unittest.TestCase):
    """Batches of predictions and a report after each, as the performance test does."""

    def limited(self):
        """A cgroup with a limit, or no prefix where there can be none: (prefix, MiB or None)."""
        try:
            group = cgroups.Cgroup("reqmeter-stats-%d" % os.getpid())
        except cgroups.CgroupError:
            return (), None
        self.addCleanup(group.remove)
        if not predictor.memory_dir(group):
            return group.prefix, None
        predictor.set_limit(group, LIMIT_MIB)
        return group.prefix, float(LIMIT_MIB)

    def read_batch(self, application, name, source, limit, settled):
        """One batch and the report after it, whoever answers: all keys, the container's limit, the batch's average."""
        application.stats()
        longest = application.predict(name)
        settled(name)
        report, _ = application.stats()
        drum.check_report(self, report)
        self.assertEqual(report["agent"] is not None, source == "agent")
        self.assertEqual(report["sources"]["time_info"], source)
        if limit is not None:
            self.assertEqual(report["mem_info"]["container_limit"], limit)
            self.assertEqual(drum.perf_test(report, in_docker=True)[0], limit)
            self.assertGreater(report["mem_info"]["container_used"], 1.0)
        rss, total, average = drum.perf_test(report, in_docker=False)
        self.assertTrue(1.0 < rss < total, (rss, total))
        times = report["time_info"]
        self.assertEqual(times["run_predictor_total"]["count"], BATCH, source)
        # The report before may have been told as a request, too.
        self.assertIn(times["all_requests"]["count"], (BATCH, BATCH + 1))
        self.assertTrue(HANDLER_SECONDS <= average <= longest, (average, longest))
        self.assertLessEqual(times["run_predictor_total"]["max"], longest)

    @staticmethod
    def wait_rows(meter):
        """What waits until the rows of a batch are there."""
        def wait(name):
            assert agent.poll_until(lambda: len([row for row in meter.rows() if (row["id"] or "").startswith(name + "-")]) ==
                                    BATCH, 10, 0.05), "rows of a batch"
        return wait

    def test_agent_up_down_and_up_again(self):
        prefix, limit = self.limited()
        port = agent.free_port()
        address = "127.0.0.1:%d" % port
        with Application("asyncio", "http://" + address, prefix, 10000) as application:
            self.read_batch(application, "down-0", "worker", limit, lambda _: None)
            for turn in range(2):
                with agent.Agent("--listen", address) as meter:
                    meter.address = address
                    self.read_batch(application, "up-%d" % turn, "agent", limit, self.wait_rows(meter))
                self.read_batch(application, "down-%d" % (turn + 1), "worker", limit, lambda _: None)

    def test_hung_agent(self):
        """Stopped by a signal: requests and reports go on."""
        with agent.Agent() as meter, Application("uvloop" if python_package.has_uvloop() else "asyncio",
                                                 "http://" + meter.address) as application:
            application.predict("before")
            meter.process.send_signal(signal.SIGSTOP)
            try:
                seconds = [application.stats()[1] for _ in range(TRIES)]
                longest = [application.predict("hung-%d" % turn) for turn in range(TRIES)]
                report, _ = application.stats()
            finally:
                meter.process.send_signal(signal.SIGCONT)
            self.assertIsNone(report["agent"])
            drum.check_report(self, report)
            self.assertLess(min(seconds), STATS_SECONDS)
            # A request that waited for the agent would have the timeout on top.
            self.assertLess(min(longest), HANDLER_SECONDS + 0.1)


class Rows(unittest.TestCase):
    """Requests that do not end well have a row each, and nothing of them is charged to the next."""

    def test_failures(self):
        with agent.Agent() as meter, Application("asyncio", "unix:/nowhere") as application:
            prefix = "fail-%d-" % os.getpid()
            statuses = {}
            for number in range(20):
                path = ("/fails", "/cancelled", "/async/2", "/missing")[number % 4]
                statuses[prefix + str(number)] = application.ask("GET", path, prefix + str(number))[0]
            self.assertEqual(sorted(set(statuses.values())), [200, 404, 500])
            rows = agent.poll_until(lambda: self.find(meter, prefix, len(statuses)), 10, 0.05)
            self.assertTrue(rows)
            self.assertEqual({row["id"]: row["status"] for row in rows}, statuses)
            for row in rows:
                self.assertEqual((row["attribution"]["confidence"], row["outcome"]), ("exact", "completed"))

    @staticmethod
    def find(meter, prefix, n):
        """The rows, when there are so many."""
        rows = [row for row in meter.rows() if (row["id"] or "").startswith(prefix)]
        return rows if len(rows) >= n else None
