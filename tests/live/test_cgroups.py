# SPDX-License-Identifier: MIT
"""The report's cgroups against the kernel's files: memory, limits, events, throttling, containers, thousands of them."""
import json
import os
import statistics
import subprocess
import time
import unittest
import urllib.parse

import accuracy
import agent
import cgroups
import fixtures
import predictor
from predictor import MIB

N_EMPTY = 2000
N_SHORT = 60
MEMORY_KEYS = {"current_bytes", "peak_bytes", "limit_bytes", "working_set_bytes", "anon_bytes", "file_bytes",
               "inactive_file_bytes", "shmem_bytes", "kernel_bytes", "swap_bytes", "events"}
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


def new_group(test, name):
    """A cgroup of the test's own, removed at its end."""
    try:
        group = cgroups.Cgroup(name)
    except cgroups.CgroupError as error:
        test.skipTest(str(error))
    test.addCleanup(group.remove)
    return group


def row_of(group, scope=None, meter=None):
    """The cgroup's row, once it is there."""
    def look():
        status, body = (meter or METER).get("/stats/?sections=cgroups&scope=" + (scope or "cgroup:" + group.path))
        rows = [row for row in json.loads(body).get("cgroups", []) if group.owns(row)] if status == 200 else []
        return rows[0] if rows else None

    return agent.poll_until(look, 10, 0.05)


def lines(path):
    """A file of "name value" lines as a dict of integers."""
    with open(path, encoding="ascii") as file:
        return {name: int(value) for name, value in (line.split() for line in file)}


class Memory(unittest.TestCase):
    """memory of a row."""

    def test_the_kernels_figures(self):
        """Every figure is that of the cgroup's own files, to the byte."""
        group = new_group(self, "reqmeter-row-%d" % os.getpid())
        if not predictor.memory_dir(group):
            self.skipTest("no memory controller")
        predictor.set_limit(group, 128)
        with predictor.Predictor(group.prefix) as target:
            target.ask("/predict?mib=24")
            # Memory is read once a second: the figures must have stood still for longer.
            def look():
                before = self.figures(group)
                row = row_of(group)
                same = {key: row["memory"][key] for key in before} == before
                return row if same and before == self.figures(group) else None

            row = agent.poll_until(look, 20, 0.3)
            self.assertIsNotNone(row, "%s against %s" % (row_of(group)["memory"], self.figures(group)))
        memory = row["memory"]
        self.assertEqual(MEMORY_KEYS, memory.keys())
        self.assertEqual({"high", "max", "oom", "oom_kill"}, memory["events"].keys())
        self.assertGreater(memory["anon_bytes"], 24 * MIB)
        self.assertEqual(memory["current_bytes"] - memory["inactive_file_bytes"], memory["working_set_bytes"])
        self.assertEqual(group.path, row["path"])
        self.assertEqual(group.path, row["paths"]["memory"])
        self.assertEqual(group.path, row["paths"]["cpu"])

    @staticmethod
    def figures(group):
        """What the kernel says now."""
        return {
            "current_bytes": predictor.read(group, "current"),
            "peak_bytes": predictor.read(group, "peak"),
            "limit_bytes": predictor.read(group, "limit"),
            "anon_bytes": predictor.stat(group, "total_rss", "anon"),
            "file_bytes": predictor.stat(group, "total_cache", "file"),
            "inactive_file_bytes": predictor.stat(group, "total_inactive_file", "inactive_file"),
            "shmem_bytes": predictor.stat(group, "total_shmem", "shmem"),
        }

    def test_an_oom_kill(self):
        """A process that needs more than its cgroup may have: one kill, and the limit was met."""
        group = new_group(self, "reqmeter-oom-%d" % os.getpid())
        if not predictor.memory_dir(group):
            self.skipTest("no memory controller")
        predictor.set_limit(group, 24)
        keeper = subprocess.Popen([*group.prefix, "sleep", "60"])
        self.addCleanup(keeper.wait)
        self.addCleanup(keeper.kill)
        self.assertEqual(0, row_of(group)["memory"]["events"]["oom_kill"])
        subprocess.run([*group.prefix, fixtures.PYTHON, "-c", "b'x' * (1 << 28)"], capture_output=True, timeout=60, check=False)
        events = agent.poll_until(lambda: self.killed(group), 10, 0.1)
        self.assertEqual(1, events["oom_kill"])
        self.assertGreater(events["max"], 0)

    @staticmethod
    def killed(group):
        """The row's events once they count a kill."""
        events = row_of(group)["memory"]["events"]
        return events if events["oom_kill"] else None

    def test_the_root(self):
        """A row for the root of the hierarchy, never mistaken for a container's; its pressure is nobody's on hybrid mounts."""
        rows = {row["paths"]["cpu"]: row for row in METER.stats(scope="node", sections="cgroups")["cgroups"]}
        self.assertIn("/", rows)
        if rows["/"]["version"] == 1:
            self.assertIsNone(rows["/"]["pressure"])
        self.assertIsNone(rows["/"]["container"])

    def test_hierarchies_that_differ(self):
        """One cgroup for CPU whose processes are in two for memory: null, and named; by pid each is known."""
        group, other = (new_group(self, "reqmeter-%s-%d" % (name, os.getpid())) for name in ("one", "two"))
        if "memory" not in group.dirs:
            self.skipTest("all controllers are in one hierarchy")
        with predictor.Predictor(group.prefix) as first, predictor.Predictor(group.prefix) as second:
            with open(other.dirs["memory"] + "/cgroup.procs", "w", encoding="ascii") as procs:
                procs.write(str(second.process.pid))
            # A move in the memory controller's hierarchy alone is seen when the process is asked again.
            row = agent.poll_until(lambda: (lambda found: found["paths"]["memory"] is None and found)(row_of(group)), 20, 0.2)
            self.assertTrue(row, "the processes disagree")
            self.assertEqual(group.path, row["path"], "the best that is known")
            self.assertIsNone(row["memory"]["current_bytes"])
            report = METER.stats(scope="cgroup:" + group.path, sections="mem_info,agent")
            self.assertIsNone(report["mem_info"]["container_used"])
            self.assertIn("mem_info.container_used", [entry["name"] for entry in report["agent"]["unreadable"]])
            for target in (first, second):
                self.assertIsNotNone(METER.stats(scope=target.scope)["mem_info"]["container_used"])
            for name, meant in ((group.path, first), (other.path, second)):
                predictor.set_limit(group if meant is first else other, 77)
                self.assertEqual(77.0, METER.stats(scope=meant.scope)["mem_info"]["container_limit"], name)


class Cpu(unittest.TestCase):
    """Quota and throttling."""

    def test_a_quota(self):
        """20 ms of 100: throttled as the kernel counts it."""
        group = new_group(self, "reqmeter-quota-%d" % os.getpid())
        if "cpu" not in group.dirs:
            self.skipTest("no cpu controller on v1")
        with open(group.dirs["cpu"] + "/cpu.cfs_quota_us", "w", encoding="ascii") as file:
            file.write("20000")
        # 60 ms of CPU: three periods at least.
        loop = "import time\nend = time.thread_time() + 0.06\nwhile time.thread_time() < end: pass\nprint(flush=True)\ntime.sleep(60)"
        busy = subprocess.Popen([*group.prefix, fixtures.PYTHON, "-c", loop], stdout=subprocess.PIPE)
        self.addCleanup(busy.stdout.close)
        self.addCleanup(busy.wait)
        self.addCleanup(busy.kill)
        busy.stdout.readline()
        stat = lines(group.dirs["cpu"] + "/cpu.stat")
        cpu = row_of(group)["cpu"]
        self.assertEqual((20000000, 100000000), (cpu["quota_ns"], cpu["period_ns"]))
        self.assertEqual((stat["nr_throttled"], stat["throttled_time"]), (cpu["throttled_periods"], cpu["throttled_ns"]))
        self.assertGreater(cpu["throttled_periods"], 0)
        self.assertGreater(cpu["usage_ns"], 60e6)


class Selectors(unittest.TestCase):
    """container: and cgroup: selectors."""

    def containers(self, *ids):
        """Cgroups that look like containers."""
        outer = new_group(self, "reqmeter-docker-%d" % os.getpid())
        return [new_group(self, "%s/%s" % (outer.path[1:], name)) for name in ids]

    def test_containers(self):
        """By the beginning of the id; ambiguous ones are listed; the row says which container it is."""
        common = "%08x" % os.getpid()
        ids = [common + 56 * digit for digit in "ab"]
        groups = self.containers(*ids)
        with predictor.Predictor(groups[0].prefix) as first, predictor.Predictor(groups[1].prefix) as second:
            predictor.settled_rows(METER, first.scope, first.ask("/predict"))
            results = second.ask(*["/predict"] * 3)
            predictor.settled_rows(METER, second.scope, results)
            report = METER.stats(scope="container:" + ids[1][:9])
            self.assertEqual(3, len(report["requests"]["recent"]))
            self.assertEqual([second.process.pid], [process["pid"] for process in report["drum_info"]])
            row = next(row for row in report["cgroups"] if groups[1].owns(row))
            self.assertEqual(ids[1], row["container"]["id"])
            self.assertEqual({"id", "runtime", "name", "pod", "namespace", "pod_uid"}, row["container"].keys())
            self.refused("container:" + common, 400, "scope_ambiguous", *ids)
            self.refused("container:" + common + "cc", 404, "scope_not_found")
            self.refused("pod:default/web", 400, "not_available")

    def refused(self, scope, status, code, *words):
        """The refusal of a scope."""
        found, body = METER.get("/stats/?scope=" + urllib.parse.quote(scope))
        error = json.loads(body)["error"]
        self.assertEqual((status, code), (found, error["code"]), error)
        for word in words:
            self.assertIn(word, error["message"])

    def test_an_agent_for_one_container(self):
        """--scope container:PREFIX watches that one alone; an ambiguous or unknown one ends the agent with a reason."""
        common = "%08x" % (os.getpid() + 1)
        ids = [common + 56 * digit for digit in "ab"]
        groups = self.containers(*ids)
        with predictor.Predictor(groups[0].prefix) as first, predictor.Predictor(groups[1].prefix) as second:
            with agent.Agent("--scope", "container:" + ids[0][:9]) as meter:
                first.ask("/predict")
                second.ask("/predict")
                rows = agent.poll_until(lambda: meter.rows(), 10)
                self.assertEqual({first.process.pid}, {row["pid"] for row in rows})
            for scope, word in ((common, ids[1]), (common + "cc", "no cgroup")):
                with self.assertRaises(agent.AgentError) as raised:
                    agent.Agent("--scope", "container:" + scope)
                self.assertIn(word, str(raised.exception))

    def test_an_empty_cgroup(self):
        """A cgroup in which nobody ever was: no rows, no processes, its limit all the same."""
        group = new_group(self, "reqmeter-empty-%d" % os.getpid())
        if not predictor.memory_dir(group):
            self.skipTest("no memory controller")
        predictor.set_limit(group, 50)
        report = METER.stats(scope="cgroup:" + group.path)
        self.assertEqual([], report["drum_info"])
        self.assertEqual(0.0, report["mem_info"]["drum_rss"])
        self.assertEqual(50.0, report["mem_info"]["container_limit"])
        self.assertEqual(0, report["time_info"]["all_requests"]["count"])


class Many(unittest.TestCase):
    """Thousands of cgroups, and cgroups that come and go."""

    def times_ms(self, n=20):
        """Milliseconds of n reports of everything."""
        result = []
        for _ in range(n):
            start = time.monotonic()
            METER.stats()
            result.append(1000 * (time.monotonic() - start))
            time.sleep(0.06)  # beyond the age that a sample may have, so that each report takes its own
        return result

    def cost_ms(self):
        """(CPU of the agent for one report of everything, median of the times that they took), in ms."""
        before = METER.stats()["agent"]["cpu_ns"]
        times = self.times_ms()
        return (METER.stats()["agent"]["cpu_ns"] - before) / len(times) / 1e6, statistics.median(times)

    def test_empty_ones(self):
        """2,000 empty cgroups are not in a report and cost it next to nothing: CPU is judged, time is printed."""
        few = self.cost_ms()
        outer = new_group(self, "reqmeter-many-%d" % os.getpid())
        for i in range(N_EMPTY):
            for directory in outer.dirs.values():
                os.mkdir("%s/%d" % (directory, i))
                self.addCleanup(os.rmdir, "%s/%d" % (directory, i))
        many = self.cost_ms()
        print("report: %.1f ms of CPU, median time %.1f ms; with %d empty cgroups %.1f ms, %.1f ms" % (*few, N_EMPTY, *many))
        # Reading them would take 50 us each: 100 ms.
        self.assertLess(many[0], few[0] + 25)
        paths = [row["paths"]["cpu"] for row in METER.stats(sections="cgroups")["cgroups"]]
        self.assertEqual([], [path for path in paths if path.startswith(outer.path)])

    @accuracy.twice
    def test_short_lived_ones(self):
        """Cgroups that live for one process each: the parent's ledger has their CPU.

        A thread is known to have moved at its next switch, and the slice that then ends stands where it came from. So
        the shells are moved while they sleep, and what counts are their children, born inside.
        """
        outer = new_group(self, "reqmeter-short-%d" % os.getpid())
        keeper = subprocess.Popen([*outer.prefix, "sleep", "600"])
        self.addCleanup(keeper.wait)
        self.addCleanup(keeper.kill)
        row_of(outer)
        worst = 0.0
        burn = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"
        for i in range(N_SHORT):
            with cgroups.Cgroup("%s/%d" % (outer.path[1:], i)) as inner:
                self.run_inside(inner, "read go; (%s) & wait" % burn)
            if i % 10 == 0:
                start = time.monotonic()
                METER.stats()
                worst = max(worst, time.monotonic() - start)
        rows = METER.stats(scope="cgroup:" + outer.path, sections="cgroups")["cgroups"]
        ledger = next(row for row in rows if outer.owns(row))["ledger"]["cpu"]
        print("%d cgroups that came and went: %.0f ms of CPU, residual %+.2f ms, slowest report %.0f ms"
              % (N_SHORT, ledger["cgroup_ns"] / 1e6, ledger["residual_ns"] / 1e6, 1000 * worst))
        self.assertGreater(ledger["cgroup_ns"], N_SHORT * 5e6)
        accuracy.at_most(abs(ledger["residual_ns"]), min(N_SHORT * 1.5e6, 0.1 * ledger["cgroup_ns"]), "residual, ns")
        below = [row["paths"]["cpu"] for row in rows if row["paths"]["cpu"].startswith(outer.path + "/")]
        self.assertEqual([], below, "what is gone is not listed")

    def run_inside(self, group, script):
        """Starts a shell that reads a line, moves it when it sleeps, and lets it go."""
        with subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, text=True) as shell:
            self.assertTrue(agent.poll_until(lambda: fixtures.thread_states(shell.pid) == ["S"], 10, 0.002))
            for directory in set(group.dirs.values()):
                with open(directory + "/cgroup.procs", "w", encoding="ascii") as procs:
                    procs.write(str(shell.pid))
            shell.communicate("go\n")
        self.assertEqual(0, shell.returncode)

    def test_requests_outlive_their_cgroup(self):
        """The rows and sums of a server whose cgroup was removed stay in its scope, and in the one above."""
        outer = new_group(self, "reqmeter-outer-%d" % os.getpid())
        keeper = subprocess.Popen([*outer.prefix, "sleep", "60"])
        self.addCleanup(keeper.wait)
        self.addCleanup(keeper.kill)
        with cgroups.Cgroup(outer.path[1:] + "/inner") as inner:
            with predictor.Predictor(inner.prefix) as target:
                results = target.ask(*["/predict"] * 3)
                predictor.settled_rows(METER, target.scope, results)
        self.assertFalse(os.path.isdir(next(iter(inner.dirs.values()))))
        METER.stats()
        time.sleep(0.1)  # beyond the age that a sample may have: the next report sees that it is gone
        for scope in (outer.path, inner.path):
            report = METER.stats(scope="cgroup:" + scope, client="outlive")
            self.assertEqual({result.id for result in results}, {row["id"] for row in report["requests"]["recent"]}, scope)
            self.assertEqual(3, report["time_info"]["all_requests"]["count"], scope)

    def test_many_in_use(self):
        """What a report costs that shows 300 cgroups with a process each; printed."""
        outer = new_group(self, "reqmeter-used-%d" % os.getpid())
        for i in range(300):
            inner = new_group(self, "%s/%d" % (outer.path[1:], i))
            sleeper = subprocess.Popen([*inner.prefix, "sleep", "60"])
            self.addCleanup(sleeper.wait)
            self.addCleanup(sleeper.kill)
        rows = agent.poll_until(lambda: self.shown(outer), 20)
        self.assertIsNotNone(rows, "300 cgroups, each with memory at the same path as its CPU")
        found = self.times_ms(30)
        print("report with 300 cgroups in use: median %.1f ms, slowest %.1f ms" % (statistics.median(found), max(found)))

    @staticmethod
    def shown(outer):
        """Rows below a cgroup when all have memory, their own: a process moves in one hierarchy after the other."""
        rows = METER.stats(scope="cgroup:" + outer.path, sections="cgroups")["cgroups"]
        rows = [row for row in rows if row["paths"]["cpu"].startswith(outer.path + "/")]
        whole = all(row["memory"]["current_bytes"] and row["paths"]["cpu"] == row["paths"]["memory"] for row in rows)
        return rows if len(rows) == 300 and whole else None


if __name__ == "__main__":
    unittest.main()
