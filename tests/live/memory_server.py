# SPDX-License-Identifier: MIT
"""What the tests of memory share: servers/memory.c, rows and ledgers held against the truth. Sizes in bytes."""
import http.client
import itertools
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

import agent
import build
import cgroups

KIB, MIB = 1024, 1024 * 1024
FILE_MIB = 64
# Growth: 1 % or this, what a thread touches by itself between its edges and its own looks. Also one batch of the
# kernel's per-CPU sums.
SLACK = 256 * KIB
LEDGER_SHARE, LEDGER_SLACK = 0.02, 4 * MIB
NUMBERS = itertools.count(1)


def file_of(mib):
    """A new file of so many MiB, on disk; its owner closes it."""
    file = tempfile.NamedTemporaryFile(dir="/var/tmp")
    for _ in range(mib):
        file.write(os.urandom(64 * KIB) * 16)
    file.flush()
    return file


def rollup(pid):
    """(resident, swapped) bytes by a walk of the process's page tables."""
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii", errors="replace") as lines:
        sizes = {line.split()[0]: line.split()[1] for line in lines}
    return int(sizes["Rss:"]) * KIB, int(sizes["Swap:"]) * KIB


class Server:
    """servers/memory.c, with a file of so many MiB to map. A context manager; ends only its own process group."""

    def __init__(self, processes=1, threads=1, prefix=(), file_mib=FILE_MIB):
        self.file = file_of(file_mib)
        command = [*prefix, build.part("memory"), str(processes), str(threads), self.file.name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()
        self.file.close()

    @property
    def pid(self):
        """Its first process."""
        return self.process.pid

    def ask(self, path, wait=60):
        """(id, what the handler says); it says nothing (None) when it dies over it."""
        name = "memory-%d-%d" % (os.getpid(), next(NUMBERS))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=wait)
        try:
            connection.request("GET", path, headers={"X-Request-ID": name})
            return name, json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            return name, None
        finally:
            connection.close()

    def wait_held(self):
        """Returns when a handler of /hold says that it waits: the id of its thread."""
        word, _, tid = self.process.stdout.readline().partition(b" ")
        if word != b"held":
            raise RuntimeError("not held: %r" % word)
        return int(tid)

    def let_go(self):
        """Lets the handler of /hold go on."""
        self.process.stdin.write(b"x")
        self.process.stdin.flush()


METERS = {}  # by the name of a file of tests: the agent that its classes share


def shared_meter(module):
    """The agent of a file of tests, started when first asked for; it ends with the file's last class."""
    if module not in METERS:
        METERS[module] = agent.Agent("--recent", "100000", "--max-rows-per-second", "1000000")
        unittest.addModuleCleanup(lambda: METERS.pop(module).stop())
    return METERS[module]


class MemoryTest(unittest.TestCase):
    """An agent for all tests of a file, and what rows and ledgers must hold."""

    @classmethod
    def setUpClass(cls):
        if reason := agent.skip_reason():
            raise unittest.SkipTest(reason)
        cls.meter = shared_meter(cls.__module__)
        if cls.feature("memory") != "on":
            raise unittest.SkipTest("this kernel tells nothing of memory")

    @classmethod
    def feature(cls, name):
        """State of one feature row, or None."""
        rows = cls.meter.stats(sections="agent")["agent"]["features"]
        return next((row["state"] for row in rows if row["name"] == name), None)

    def row_of(self, name):
        """The finished row with that id; the test fails without."""
        rows = agent.poll_until(lambda: self.meter.stats(id=name, sections="requests")["requests"]["recent"], 20, 0.05)
        if not rows:
            report = self.meter.stats(id=name, sections="requests,agent")
            losses = {key: value for key, value in report["agent"]["losses"].items() if value}
            self.fail("no row of %s; in flight: %s; losses: %s" % (name, report["requests"]["active"], losses))
        return rows[0]

    def near(self, what, value, truth):
        """Within 1 % or SLACK."""
        slack = max(SLACK, abs(truth) // 100)
        self.assertLessEqual(abs(value - truth), slack, "%s: %d, in truth %d" % (what, value, truth))

    def check_sums(self, memory):
        """What must hold in every row's memory."""
        growth, peak = memory["growth_bytes"], memory["peak_growth_bytes"]
        self.assertEqual(growth, memory["resident_gained_bytes"] - memory["resident_released_bytes"])
        self.assertEqual(growth, sum(memory[kind + "_growth_bytes"] for kind in ("anon", "file", "shmem")))
        self.assertGreaterEqual(peak, max(growth, 0))
        self.assertLessEqual(peak, memory["resident_gained_bytes"])
        for name, value in memory.items():
            if not name.endswith("growth_bytes") and value is not None:
                self.assertGreaterEqual(value, 0, name)

    def check(self, what, row, truth):
        """One row against what its handler saw."""
        memory = self.check_growth(what, row, truth)
        self.near(what + " peak", memory["peak_growth_bytes"], max(truth["top"] - truth["before"], 0))
        return memory

    def check_growth(self, what, row, truth):
        """The same but for the peak, which a handler that goes up and down by itself does not see."""
        memory = row["memory"]
        growth, peak = truth["after"] - truth["before"], max(truth["top"] - truth["before"], 0)
        print("%-14s growth %12d of %12d, peak %12d of %12d, faults %d+%d" % (
            what, memory["growth_bytes"], growth, memory["peak_growth_bytes"], peak, row["minor_faults"],
            row["major_faults"]), flush=True)
        self.check_sums(memory)
        self.near(what + " growth", memory["growth_bytes"], growth)
        self.near(what + " swap", memory["swap_growth_bytes"], truth["swap"])
        return memory

    # A ledger is that of a cgroup which the test made.

    def make_cgroup(self, name=""):
        """self.cgroup, of this test alone, which is also returned; skips where there is none to be had."""
        try:
            self.cgroup = cgroups.Cgroup("reqmeter-memory-%d-%s%s" % (os.getpid(), self._testMethodName, name))
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        self.addCleanup(self.cgroup.remove)
        return self.cgroup

    def now(self):
        """The ledger of this moment or later; a report may be older than that it is asked for."""
        now_ns = time.time_ns()
        agent.poll_until(lambda: self.meter.stats(sections="generated_unix_ns")["generated_unix_ns"] > now_ns, 10)
        return self.ledger()

    def ledger(self, cgroup=None):
        """The cgroup's memory ledger, or None."""
        path = (cgroup or self.cgroup).path
        report = self.meter.stats(scope="cgroup:" + path, sections="cgroups")
        return next((row["ledger"]["memory"] for row in report["cgroups"] if row["path"] == path), None)

    def wait_ledger(self, what, predicate):
        """The ledger once the predicate holds for it: a report may be older than what it is about."""
        def look():
            now = self.ledger()
            return now if now and predicate(now) else None

        ledger = agent.poll_until(look, 10)
        self.assertTrue(ledger, "%s: never in %s" % (what, self.ledger()))
        return ledger

    def check_closes(self, gross, cgroup=None):
        """Residual below 2 % of what was gained, or 4 MiB."""
        ledger = self.ledger(cgroup)
        print("ledger of %d MiB gross: %s" % (gross // MIB, ledger), flush=True)
        terms = [ledger[term + "_bytes"] for term in ("requests", "background", "fork", "teardown", "foreign", "residual")]
        self.assertEqual(sum(terms), ledger["rss_delta_bytes"])
        self.assertLessEqual(abs(ledger["residual_bytes"]), max(LEDGER_SLACK, LEDGER_SHARE * gross))
        return ledger
