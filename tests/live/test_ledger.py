# SPDX-License-Identifier: MIT
"""The CPU ledger of a cgroup, threads and processes against the kernel's own accounts; all figures in ns."""
import mmap
import os
import struct
import subprocess
import tempfile
import time
import unittest

import accuracy
import agent
import build
import cgroups
import fixtures
import load

LOAD_SECONDS = 6
LOOP_SECONDS = 6
MOMENTS = 10
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


def percent(part, whole):
    """part of whole in percent."""
    return 100.0 * part / whole if whole else 0.0


class Loop:
    """`busy loop`: one thread that never blocks, with samples of its clocks that can be read at any time."""

    def __init__(self, seconds):
        directory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.file = tempfile.NamedTemporaryFile(prefix="reqmeter-", dir=directory)
        command = [build.part("busy"), "loop", str(seconds), self.file.name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.process.stdout.readline()
        self.map = mmap.mmap(self.file.fileno(), 0, prot=mmap.PROT_READ)

    def close(self):
        """Ends the loop."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.map.close()
        self.file.close()

    def sample(self, number):
        """(CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID) of one sample; sample 0 is (number of samples, 0)."""
        return struct.unpack_from("=QQ", self.map, 16 * number)

    def cpu_span(self, at):
        """The thread's CPU clock just before and just after the CLOCK_REALTIME instant `at`."""
        low, high = 1, self.sample(0)[0] - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.sample(middle)[0] <= at else (low, middle)
        return self.sample(low)[1], self.sample(high)[1]

    def passed(self, at):
        """True when a sample later than `at` is there."""
        used = self.sample(0)[0]
        return used > 1 and self.sample(used - 1)[0] > at


class BusyLoop(unittest.TestCase):
    """A thread that never leaves the CPU by itself."""

    @accuracy.twice
    def test_right_at_any_moment(self):
        """Ten reports while it runs: its cpu_ns is its own clock at the report's instant, to 0.5 %."""
        loop = Loop(LOOP_SECONDS + 2)
        self.addCleanup(loop.close)
        errors = []
        start = time.time_ns()
        for moment in range(1, MOMENTS + 1):
            due = start + moment * LOOP_SECONDS * 10**9 // MOMENTS
            self.assertTrue(agent.poll_until(lambda at=due: loop.passed(at), 2 * LOOP_SECONDS))
            errors.append(self.error_now(loop))
        worst = max(errors, key=abs)
        print("busy loop: worst %+.3f %% of its own clock, all %s" % (worst, ["%+.3f" % error for error in errors]))
        accuracy.at_most(abs(worst), 0.5, "busy loop: worst moment, % of its own clock")

    def error_now(self, loop):
        """How far the report of this moment is from the thread's clock, in percent."""
        report = METER.stats(scope="pid:%d" % loop.process.pid, sections="threads,generated_unix_ns")
        at = report["generated_unix_ns"]
        threads = [row for row in report["threads"] if row["tid"] == loop.process.pid]
        self.assertEqual(1, len(threads))
        self.assertTrue(agent.poll_until(lambda: loop.passed(at), 10))
        low, high = loop.cpu_span(at)
        cpu = threads[0]["cpu_ns"]
        return percent(cpu - high if cpu > high else min(0, cpu - low), high)


class ThreadsEnd(unittest.TestCase):
    """Threads that end hand their totals to their process."""

    def test_totals_are_handed_on(self):
        """Ten threads of 50 ms each have ended: the process has their CPU, to 1 %."""
        process = subprocess.Popen([build.part("busy"), "end", "10", "50"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        with process:
            lines = [process.stdout.readline(), process.stdout.readline()]
            said = int(lines[1].split()[1])
            found = agent.poll_until(lambda: self.cpu_of(process.pid, said), 5)
            report = METER.stats(scope="pid:%d" % process.pid, sections="processes,threads")
            process.stdin.close()
        self.assertEqual(1, len(report["threads"]), "ended threads are not listed")
        entry = report["processes"][0]
        print("ended threads: process %.3f ms, its own clock %.3f ms" % (entry["cpu_ns"] / 1e6, said / 1e6))
        self.assertTrue(found, "the process has %d of %d" % (entry["cpu_ns"], said))
        self.assertLess(percent(abs(entry["cpu_ns"] - said), said), 1.0)

    @staticmethod
    def cpu_of(pid, at_least):
        """cpu_ns of the process once it is about at_least, else None: a report may be 250 ms old."""
        report = METER.stats(scope="pid:%d" % pid, sections="processes")
        cpu = [entry["cpu_ns"] for entry in report["processes"] if entry["pid"] == pid]
        return cpu[0] if cpu and cpu[0] >= 0.99 * at_least else None


class Ledger(unittest.TestCase):
    """A gunicorn in a cgroup of its own under a mixed load."""

    def setUp(self):
        if reason := fixtures.missing_packages():
            self.skipTest(reason)
        try:
            self.cgroup = cgroups.Cgroup("reqmeter-live-%d" % os.getpid())
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        self.addCleanup(self.cgroup.remove)

    def entry(self):
        """The cgroup's entry in the report, None if there is none. Always with the ledger's identity checked."""
        report = METER.stats(scope="cgroup:" + self.cgroup.path, limit=0)
        found = [entry for entry in report["cgroups"] if self.cgroup.owns(entry)]
        self.assertLessEqual(len(found), 1)
        if not found:
            return None
        cpu = found[0]["ledger"]["cpu"]
        self.assertEqual(cpu["cgroup_ns"], cpu["requests_ns"] + cpu["background_ns"] + cpu["residual_ns"])
        return found[0]

    @accuracy.twice
    def test_gunicorn_gthread(self):
        """gthread, keep-alive."""
        self.check_ledger("gunicorn-gthread")

    @accuracy.twice
    def test_python_forking(self):
        """A process per connection: what ended processes used stays in the ledger."""
        self.check_ledger("python-forking-http10")

    def check_ledger(self, kind):
        """Loads for LOAD_SECONDS, asking on the way; then the idle server's accounts are compared."""
        with fixtures.Server(kind, prefix=self.cgroup.prefix) as server:
            self.load_for(server, LOAD_SECONDS)
            entry = agent.poll_until(self.settled_entry, 5, 0.2)
            self.assertTrue(entry, "the report has no cgroup %s" % self.cgroup.path)
            usage = self.cgroup.usage_ns()
            report = METER.stats(scope="cgroup:" + self.cgroup.path, sections="processes,threads")
            alive = server.pids()
            server.stop()
            truth = sum(line["cpu_ns"] for line in server.truth())
        self.check_entry(kind, entry, usage, truth)
        if kind.startswith("gunicorn"):
            self.check_processes(report, alive, usage)

    def load_for(self, server, seconds):
        """Mixed load until time is up; every report on the way must have an exact identity."""
        end, seed = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            seed += 1
            server.load(load.mixed_plan(100, seed), 8)
            self.entry()

    def settled_entry(self):
        """The entry once it has all that the kernel counts to 0.5 % (the server is idle but for its timers)."""
        entry = self.entry()
        if not entry:
            return None
        usage = self.cgroup.usage_ns()
        return entry if abs(usage - entry["ledger"]["cpu"]["cgroup_ns"]) < 0.005 * usage else None

    def check_entry(self, kind, entry, usage, truth):
        """The ledger against the kernel and against the truth of the requests."""
        cpu = entry["ledger"]["cpu"]
        print("%s: cgroup %.1f ms (kernel %.1f), requests %.1f ms (truth %.1f, %+.2f %%), background %.1f ms, "
              "residual %+.3f ms (%+.3f %%)" % (
                  kind, cpu["cgroup_ns"] / 1e6, usage / 1e6, cpu["requests_ns"] / 1e6, truth / 1e6,
                  percent(cpu["requests_ns"] - truth, truth), cpu["background_ns"] / 1e6, cpu["residual_ns"] / 1e6,
                  percent(cpu["residual_ns"], cpu["cgroup_ns"])))
        accuracy.at_most(percent(abs(cpu["residual_ns"]), cpu["cgroup_ns"]), 1.0, kind + ": residual, % of the cgroup")
        accuracy.at_most(percent(abs(cpu["cgroup_ns"] - usage), usage), 1.0, kind + ": the ledger's cgroup, % off the kernel's")
        accuracy.at_most(percent(abs(entry["cpu"]["usage_ns"] - usage), usage), 1.0, kind + ": usage, % off the kernel's")

    def check_processes(self, report, alive, usage):
        """processes[] are the live ones, and their CPU is the cgroup's to 1 %; threads are part of them."""
        by_pid = {entry["pid"]: entry["cpu_ns"] for entry in report["processes"]}
        threads = sum(row["cpu_ns"] for row in report["threads"])
        total = sum(by_pid.values())
        print("processes %.1f ms, live threads %.1f ms, kernel %.1f ms" % (total / 1e6, threads / 1e6, usage / 1e6))
        self.assertEqual(set(alive), set(by_pid))
        accuracy.at_most(percent(abs(total - usage), usage), 1.0, "processes, % off the kernel's cgroup")
        self.assertLessEqual(threads, total * 1.001)


if __name__ == "__main__":
    unittest.main()
