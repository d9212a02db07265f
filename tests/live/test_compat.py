# SPDX-License-Identifier: MIT
"""mem_info, drum_info and time_info as clients of DRUM's /stats/ read them, and that readers do not disturb each other."""
import json
import math
import os
import subprocess
import threading
import time
import unittest
import urllib.request

import agent
import cgroups
import load
import predictor
from predictor import MIB

MEM_KEYS = {"total", "avail", "free", "drum_rss", "container_limit", "container_max_used", "container_used"}
TIME_KEYS = {"min", "max", "avg", "total", "count"}
METER = None


def setUpModule():
    """One agent for all."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    METER = agent.Agent()


def tearDownModule():
    """Ends the agent."""
    METER.stop()


def limited(test, name, mib):
    """A cgroup of the test's own with a memory limit."""
    try:
        group = cgroups.Cgroup("reqmeter-%s-%d" % (name, os.getpid()))
    except cgroups.CgroupError as error:
        test.skipTest(str(error))
    test.addCleanup(group.remove)
    if not predictor.memory_dir(group):
        test.skipTest("no memory controller")
    predictor.set_limit(group, mib)
    return group


def server(test, prefix=()):
    """A model server."""
    result = predictor.Predictor(prefix)
    test.addCleanup(result.__exit__)
    return result


def times(scope, client, **query):
    """time_info.all_requests of a client."""
    return METER.stats(scope=scope, client=client, sections="time_info", **query)["time_info"]["all_requests"]


# --- a model of DRUM's clients, from what is known of what they read ---


class PerfTest:
    """What DRUM's performance test does: after each batch of requests it reads one report and keeps four figures."""

    def __init__(self, url, in_docker):
        self.url = url
        self.in_docker = in_docker

    def read(self):
        """(used or limit, total, average seconds of a prediction)."""
        with urllib.request.urlopen(self.url, timeout=30) as answer:
            assert answer.status == 200
            report = json.loads(answer.read(), parse_constant=self.refuse)
        mem = report["mem_info"]
        figure = mem["container_limit"] if self.in_docker else mem["drum_rss"]
        return float(figure), float(mem["total"]), float(report["time_info"]["run_predictor_total"]["avg"])

    @staticmethod
    def refuse(word):
        """NaN and Infinity are no JSON."""
        raise ValueError(word)


class DrumClients(unittest.TestCase):
    """The clients that exist."""

    def test_perf_test(self):
        """Both forms of its reading, batch after batch: the average is of that batch."""
        group = limited(self, "perf", 256)
        target = server(self, group.prefix)
        for in_docker in (True, False):
            url = "http://%s/stats/?scope=%s&client=perf-%d" % (METER.address, target.scope, in_docker)
            reader = PerfTest(url, in_docker)
            METER.stats(scope=target.scope, client="perf-%d" % in_docker)
            for us in (30000, 1000):
                results = target.ask(*["/predict/?us=%d" % us] * 5)
                predictor.settled_rows(METER, target.scope, results)
                figure, total, average = reader.read()
                if in_docker:
                    self.assertEqual(256.0, figure)
                else:
                    self.assertGreater(figure, 1.0)
                    self.assertLess(figure, 256.0)
                self.assertGreater(total, figure)
                client = sum(result.end_mono_ns - result.start_mono_ns for result in results) / len(results) / 1e9
                self.assertLessEqual(average, client)
                self.assertGreaterEqual(average, us / 1e6)

    def test_functional_checks(self):
        """Every key of every section is there and has its type, with traffic, without, and for the whole node."""
        target = server(self)
        predictor.settled_rows(METER, target.scope, target.ask("/predict/", "/fail"))
        for scope in (target.scope, target.scope, "node", "comm:python3", "cgroup:/"):
            status, body = METER.get("/stats/?client=functional&scope=" + scope)
            self.assertEqual(200, status)
            report = json.loads(body, parse_constant=PerfTest.refuse)
            self.assertEqual(MEM_KEYS, report["mem_info"].keys())
            for key in ("total", "avail", "free"):
                self.assertIsInstance(report["mem_info"][key], float)
            for key in MEM_KEYS:
                self.assertIsInstance(report["mem_info"][key], (float, type(None)))
            self.check_processes(report, scope)
            for name in ("run_predictor_total", "all_requests"):
                self.check_times(report["time_info"][name])

    def check_processes(self, report, scope):
        """drum_info of one report."""
        if scope == "node":
            self.assertIsNone(report["drum_info"])
            self.assertIsNone(report["mem_info"]["drum_rss"])
            return
        self.assertGreater(len(report["drum_info"]), 0)
        for process in report["drum_info"]:
            self.assertIsInstance(process["pid"], int)
            self.assertIsInstance(process["cmdline"], list)
            self.assertIsInstance(process["mem"], float)
            self.assertIsInstance(process["cpu_percent"], float)
        total = sum(process["mem"] for process in report["drum_info"])
        self.assertAlmostEqual(total, report["mem_info"]["drum_rss"], delta=1e-6)

    def check_times(self, sums):
        """One object of time_info."""
        self.assertEqual(TIME_KEYS, sums.keys())
        self.assertIsInstance(sums["count"], int)
        for key in TIME_KEYS - {"count"}:
            self.assertIsInstance(sums[key], float if sums["count"] else type(None))

    def test_parallel_requests(self):
        """200 requests by eight clients while four readers poll: every report is good, and each saw each once."""
        target = server(self)
        names = ["parallel-%d" % i for i in range(4)]
        seen = dict.fromkeys(names, 0)
        for name in names:
            times(target.scope, name)
        stop = threading.Event()

        def poll(name):
            while not stop.is_set():
                seen[name] += times(target.scope, name)["count"]

        readers = [threading.Thread(target=poll, args=(name,)) for name in names]
        for reader in readers:
            reader.start()
        results = target.ask(*["/predictions/?us=2000"] * 200, clients=8)
        stop.set()
        for reader in readers:
            reader.join()
        predictor.settled_rows(METER, target.scope, results)
        for name in names:
            self.assertEqual(200, seen[name] + times(target.scope, name)["count"], name)


class Times(unittest.TestCase):
    """time_info against what the load generator did and against the rows."""

    def test_sums_are_those_of_the_rows(self):
        """Counts, total, least and most: exactly the rows', and within what the clients saw."""
        target = server(self)
        paths = ["/predict/?us=4000", "/v1/chat/completions?us=1000", "/p/models/", "/other?us=3000", "/fail/predict",
                 "/predict/x", "/transform"]
        results = target.ask(*paths * 5, clients=3)
        rows = predictor.settled_rows(METER, target.scope, results)
        report = METER.stats(scope=target.scope, client="sums", sections="time_info")["time_info"]
        self.compare(report["all_requests"], [row["duration_ns"] for row in rows])
        predictions = {"/predict/", "/v1/chat/completions", "/p/models/", "/fail/predict", "/transform"}
        self.compare(report["run_predictor_total"], [row["duration_ns"] for row in rows if row["path"] in predictions])
        self.assertEqual(25, report["run_predictor_total"]["count"])
        client = sum(result.end_mono_ns - result.start_mono_ns for result in results) / 1e9
        self.assertLess(report["all_requests"]["total"], client)
        self.assertGreater(report["all_requests"]["total"], 5 * 8000e-6)
        report = METER.stats(scope=target.scope, client="sums", sections="time_info")["time_info"]
        self.assertEqual({"min": None, "max": None, "avg": None, "total": None, "count": 0}, report["all_requests"])

    def compare(self, sums, durations):
        """One object of time_info with durations in ns."""
        self.assertEqual(len(durations), sums["count"])
        self.assertAlmostEqual(sum(durations) / 1e9, sums["total"], delta=1e-9)
        self.assertAlmostEqual(sum(durations) / 1e9 / len(durations), sums["avg"], delta=1e-9)
        self.assertAlmostEqual(min(durations) / 1e9, sums["min"], delta=1e-12)
        self.assertAlmostEqual(max(durations) / 1e9, sums["max"], delta=1e-12)

    def test_two_clients(self):
        """Each counts from its own last read; scopes count apart; the first read has everything."""
        target = server(self)
        predictor.settled_rows(METER, target.scope, target.ask(*["/predict"] * 3))
        self.assertEqual(3, times(target.scope, "one")["count"])
        predictor.settled_rows(METER, target.scope, target.ask(*["/predict"] * 4))
        self.assertEqual(4, times(target.scope, "one")["count"])
        self.assertEqual(7, times(target.scope, "two")["count"])
        self.assertEqual(0, times(target.scope, "one")["count"])
        self.assertGreaterEqual(times("node", "one")["count"], 7)
        predictor.settled_rows(METER, target.scope, target.ask("/predict"))
        self.assertEqual(1, times(target.scope, "two")["count"])
        self.assertEqual(1, times(target.scope, "one")["count"])

    def test_what_moves_a_client(self):
        """Reports without the two sections, HEAD, errors and `reqmeter stats` move nobody."""
        target = server(self)
        base = "/stats/?scope=%s&client=mover" % target.scope
        times(target.scope, "mover")
        predictor.settled_rows(METER, target.scope, target.ask(*["/predict"] * 2))
        for path in ("&sections=mem_info,requests,agent", "&sections=cgroups", "&limit=x&sections=time_info"):
            METER.get(base + path)
        request = urllib.request.Request("http://%s%s" % (METER.address, base), method="HEAD")
        with urllib.request.urlopen(request, timeout=30) as answer:
            self.assertEqual(200, answer.status)
        self.assertEqual(2, times(target.scope, "mover")["count"])
        # This process's own address is a client as well, and `reqmeter stats` comes from it.
        unnamed = "/stats/?sections=time_info&scope=" + target.scope
        METER.get(unnamed)
        predictor.settled_rows(METER, target.scope, target.ask("/predict"))
        for options in ([], ["--json"]):
            subprocess.run([agent.PROGRAM, "stats", "--agent", "http://" + METER.address, "--scope", target.scope, *options],
                           check=True, stdout=subprocess.DEVNULL, timeout=30)
        self.assertEqual(1, json.loads(METER.get(unnamed)[1])["time_info"]["all_requests"]["count"])

    def test_more_clients_than_there_is_room(self):
        """300 clients: the last 256 count from their own reads, the first ones from the beginning again."""
        target = server(self)
        predictor.settled_rows(METER, target.scope, target.ask(*["/predict"] * 2))
        for i in range(300):
            times(target.scope, "many-%d" % i)
        self.assertEqual(2, times(target.scope, "many-0")["count"])
        self.assertEqual(0, times(target.scope, "many-299")["count"])
        self.assertEqual(0, times(target.scope, "many-100")["count"])

    def test_processes_that_have_gone(self):
        """A cgroup's first read has the requests of servers that ended before it."""
        try:
            group = cgroups.Cgroup("reqmeter-gone-%d" % os.getpid())
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        self.addCleanup(group.remove)
        scope = "cgroup:" + group.path
        for _ in range(2):
            with predictor.Predictor(group.prefix) as target:
                predictor.settled_rows(METER, scope, target.ask(*["/predict"] * 3))
        self.assertEqual(6, times(scope, "after")["count"])


class AboveTheRowLimit(unittest.TestCase):
    """Requests that get no row count in time_info all the same."""

    N = 60
    SLEEP_US = 4000

    def setUp(self):
        """An agent that sees nothing but one cgroup: the limit is one for all that it watches."""
        try:
            self.group = cgroups.Cgroup("reqmeter-unseen-%d" % os.getpid())
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        self.addCleanup(self.group.remove)
        self.meter = agent.Agent("--max-rows-per-second", "1", "--scope", "cgroup:" + self.group.path)
        self.addCleanup(self.meter.stop)

    def times(self, scope, client="rows"):
        """time_info of a client, read without moving it on but for this."""
        return self.meter.stats(scope=scope, client=client, sections="time_info")["time_info"]["all_requests"]

    def skipped(self):
        """Requests without a row."""
        return self.meter.stats(sections="agent")["agent"]["losses"]["heads_skipped"]

    def test_all_count(self):
        """Every request, with the time it took; each reader's own sums; rows for hardly any."""
        target = server(self, self.group.prefix)
        skipped = self.skipped()
        results = target.ask(*["/predict/?us=%d" % self.SLEEP_US] * self.N, clients=2)
        got = {"count": 0, "total": 0.0}

        def look():
            sums = self.times(target.scope)
            got["count"] += sums["count"]
            got["total"] += sums["total"] or 0.0
            for key, better in (("min", min), ("max", max)):
                if sums[key] is not None:
                    got[key] = better(got.get(key, sums[key]), sums[key])
            return got["count"] >= self.N

        agent.poll_until(look, 20, 0.1)
        time.sleep(0.5)
        look()
        self.assertEqual(self.N, got["count"])
        self.assertGreater(self.skipped() - skipped, self.N // 2, "the limit took hold")
        took = [(result.end_mono_ns - result.start_mono_ns) / 1e9 for result in results]
        self.assertGreaterEqual(got["total"], self.N * self.SLEEP_US / 1e6)
        self.assertLessEqual(got["total"], sum(took))
        self.assertGreaterEqual(got["min"], self.SLEEP_US / 1e6)
        self.assertLessEqual(got["max"], max(took))
        whole = self.times(target.scope, "late")
        self.assertEqual(self.N, whole["count"])
        self.assertAlmostEqual(got["total"], whole["total"], delta=1e-6)
        self.assertAlmostEqual(got["min"], whole["min"], delta=1e-9)
        self.assertAlmostEqual(got["max"], whole["max"], delta=1e-9)

    def test_without_an_answer(self):
        """A server killed while it works for some: they failed, and count."""
        skipped = self.skipped()
        with predictor.Predictor(self.group.prefix) as target:
            socks = [load.connect(target.endpoint) for _ in range(8)]
            for i, sock in enumerate(socks):
                self.addCleanup(sock.close)
                sock.sendall(load.head(load.Request("GET", "/predict?us=60000000", b""), "never-%d" % i, True))
            # All are read: those that have rows are in flight, the others are counted.
            def read():
                rows = self.meter.stats(scope=target.scope, limit=100)["requests"]["active"]
                return len(rows) + self.skipped() - skipped == len(socks)
            self.assertTrue(agent.poll_until(read, 20, 0.1))
        counted = []
        agent.poll_until(lambda: counted.append(self.times("cgroup:" + self.group.path)["count"]) or sum(counted) >= len(socks), 20, 0.1)
        self.assertEqual(len(socks), sum(counted))


class Processes(unittest.TestCase):
    """drum_info."""

    def test_cpu_percent(self):
        """0.0 at first, then what the process used between this client's reads, whoever else reads."""
        busy = subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"])
        self.addCleanup(busy.wait)
        self.addCleanup(busy.kill)
        scope = "pid:%d" % busy.pid
        agent.poll_until(lambda: METER.get("/stats/?sections=host&scope=" + scope)[0] == 200, 10)
        first = self.look(scope, "slow", busy.pid)
        self.assertEqual(0.0, first["percent"])
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            self.look(scope, "quick", busy.pid)
        second = self.look(scope, "slow", busy.pid)
        used = second["percent"] / 100 * (second["at"] - first["at"])
        print("cpu_percent: %.1f, %.0f ms of CPU; the kernel: %.0f to %.0f ms"
              % (second["percent"], used / 1e6, (second["before"] - first["after"]) / 1e6,
                 (second["after"] - first["before"]) / 1e6))
        # A report is at most 250 ms old.
        self.assertGreater(used, second["before"] - first["after"] - 250e6)
        self.assertLess(used, second["after"] - first["before"] + 250e6)
        self.assertGreater(second["percent"], 5.0)

    def look(self, scope, client, pid):
        """One reading: percent, when (ns), and the process's CPU in ns before and after."""
        before = self.cpu_ns(pid)
        report = METER.stats(scope=scope, client=client, sections="drum_info,generated_unix_ns")
        process = next(row for row in report["drum_info"] if row["pid"] == pid)
        return {"percent": process["cpu_percent"], "at": report["generated_unix_ns"], "before": before,
                "after": self.cpu_ns(pid)}

    @staticmethod
    def cpu_ns(pid):
        """The scheduler's own figure."""
        with open("/proc/%d/schedstat" % pid, encoding="ascii") as file:
            return int(file.read().split()[0])

    def test_memory(self):
        """The RSS of /proc, in MiB, and a growth of 64 MiB within a second or so."""
        target = server(self)
        target.ask("/predict")
        before = self.rss(target)
        self.assertAlmostEqual(self.statm(target) / MIB, before, delta=2.0)
        target.ask("/predict?mib=64")
        after = agent.poll_until(lambda: self.rss(target) > before + 60 and self.rss(target), 10)
        self.assertAlmostEqual(self.statm(target) / MIB, after, delta=2.0)

    @staticmethod
    def rss(target):
        """mem of the one process."""
        report = METER.stats(scope=target.scope, client="rss", sections="drum_info,mem_info")
        assert len(report["drum_info"]) == 1
        assert math.isclose(report["drum_info"][0]["mem"], report["mem_info"]["drum_rss"])
        return report["drum_info"][0]["mem"]

    @staticmethod
    def statm(target):
        """RSS in bytes."""
        with open("/proc/%d/statm" % target.process.pid, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Memory(unittest.TestCase):
    """mem_info against the kernel's files."""

    def check(self, meter, scope, group, query=""):
        """All of mem_info right to the byte, tried again while the kernel's own figures move."""
        def look():
            before = self.figures(group)
            report = json.loads(meter.get("/stats/?sections=mem_info,agent&scope=%s%s" % (scope, query))[1])
            after = self.figures(group)
            return (before, report) if before == after else None

        before, report = agent.poll_until(look, 20, 0.05)
        mem = report["mem_info"]
        self.assertEqual([], report["agent"]["unreadable"])
        self.assertEqual(before["limit"], mem["container_limit"] * MIB)
        self.assertEqual(before["peak"], mem["container_max_used"] * MIB)
        self.assertEqual(before["current"], mem["container_used"] * MIB)
        self.assertEqual(before["limit"] - before["current"], mem["free"] * MIB)
        self.assertEqual(before["limit"] - before["current"] + before["inactive_file"], mem["avail"] * MIB)
        return mem

    @staticmethod
    def figures(group):
        """What the kernel says, in bytes."""
        result = {name: predictor.read(group, name) for name in ("current", "peak", "limit")}
        result["inactive_file"] = predictor.stat(group, "total_inactive_file", "inactive_file")
        return result

    def test_a_limited_server(self):
        """By pid, by cgroup, and asked from inside as `self`, on TCP and on the Unix socket."""
        group = limited(self, "limited", 128)
        target = server(self, group.prefix)
        target.ask("/predict?mib=32")
        mem = self.check(METER, target.scope, group)
        self.assertGreater(mem["container_used"], 32)
        self.check(METER, "cgroup:" + group.path, group)

    def test_limits_above(self):
        """The tightest limit on the path counts, and what that cgroup as a whole has left."""
        group = limited(self, "above", 96)
        inner = cgroups.Cgroup(group.path[1:] + "/inner")
        self.addCleanup(inner.remove)
        target = server(self, inner.prefix)
        other = server(self, group.prefix)
        other.ask("/predict?mib=32")

        def look():
            before = predictor.read(group, "current"), predictor.read(inner, "current")
            mem = METER.stats(scope=target.scope, sections="mem_info")["mem_info"]
            return (before, mem) if before == (predictor.read(group, "current"), predictor.read(inner, "current")) else None

        (outside, inside), mem = agent.poll_until(look, 20, 0.05)
        self.assertEqual(96.0, mem["container_limit"])
        self.assertEqual(inside, mem["container_used"] * MIB)
        self.assertEqual(96 * MIB - outside, mem["free"] * MIB)
        self.assertGreater(outside - inside, 32 * MIB)

    def test_without_a_limit(self):
        """No limit is null, and so is a limit of nobody; avail and free are the machine's."""
        try:
            group = cgroups.Cgroup("reqmeter-free-%d" % os.getpid())
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        self.addCleanup(group.remove)
        target = server(self, group.prefix)
        report = METER.stats(scope=target.scope, sections="mem_info,host")
        self.assertIsNone(report["mem_info"]["container_limit"])
        self.assertEqual(report["host"]["memory_bytes"], report["mem_info"]["total"] * MIB)
        self.assertGreater(report["mem_info"]["avail"], 100)
        self.assertGreater(report["mem_info"]["container_used"], 1)
        predictor.memory_dir(group) and predictor.set_limit(group, 1 << 30)
        mem = METER.stats(scope=target.scope, sections="mem_info")["mem_info"]
        self.assertEqual(float(1 << 30), mem["container_limit"], "a limit above RAM stays one")
        self.assertLess(mem["avail"], mem["total"])

    def test_self_and_default_scope(self):
        """Who asks from inside a limited cgroup sees that cgroup: on TCP, on the Unix socket, with --default-scope."""
        group = limited(self, "self", 64)
        socket = "/tmp/reqmeter-%d.sock" % os.getpid()
        with agent.Agent("--listen", "unix:" + socket, "--default-scope", "self") as meter:
            for words in (["http://%s/stats/?scope=self" % meter.address], ["http://%s/stats/" % meter.address],
                          ["--unix-socket", socket, "http://localhost/stats/"],
                          ["-o", "/dev/null", "http://%s/stats/" % meter.address, "http://%s/stats/" % meter.address]):
                found = subprocess.run([*group.prefix, "curl", "-s", *words], capture_output=True, timeout=30, check=True)
                mem = json.loads(found.stdout)["mem_info"]
                self.assertEqual(64.0, mem["container_limit"])
                self.assertIsNotNone(mem["drum_rss"])
            # Outside of it.
            self.assertNotEqual(64.0, meter.stats()["mem_info"]["container_limit"])

    def test_in_a_cgroup_namespace_of_its_own(self):
        """An agent that cannot see its own path sees the others' all the same."""
        group, home = limited(self, "seen", 80), limited(self, "home", 500)
        target = server(self, group.prefix)
        target.ask("/predict?mib=16")
        try:
            subprocess.run(["unshare", "-C", "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("unshare -C does not work here")
        with agent.Agent(prefix=[*home.prefix, "unshare", "-C"]) as meter:
            self.check(meter, target.scope, group)
            row = [row for row in meter.stats(scope=target.scope, sections="cgroups")["cgroups"] if group.owns(row)]
            self.assertEqual(80 * MIB, row[0]["memory"]["limit_bytes"])
            self.assertEqual(500.0, meter.stats(scope="pid:%d" % meter.pid)["mem_info"]["container_limit"])


if __name__ == "__main__":
    unittest.main()
