# SPDX-License-Identifier: MIT
"""Requests in cgroups with a limit on memory, and in processes that change their cgroup over them.

Sizes in bytes unless a name says otherwise. Every limit is that of a cgroup which the test made.
"""
import os
import threading
import unittest

import accuracy
import agent
import cgroups
import memory_server
from kernel_knobs import KnobError, SwapFile
from memory_server import KIB, MIB, SLACK, Server, rollup

LIMIT = 32 * MIB
FILE_MIB = 96
FILE = FILE_MIB * MIB
SWAP_MIB = 256


SPIN_NS = 50_000_000
CPU_SLACK_NS = 10_000_000  # the requests that warm the server up


def ran_ns(pid):
    """CPU that a thread has had."""
    with open("/proc/%d/schedstat" % pid, encoding="ascii") as stat:
        return int(stat.read().split()[0])


def forget(file):
    """Takes a file out of the page cache."""
    os.fsync(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def can_forget():
    """True where files come from a disk; tmpfs has nowhere else to keep them, and no reads that do not wait."""
    with memory_server.file_of(1) as file:
        forget(file)
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
        except OSError:
            pass
    return False


class Limited(memory_server.MemoryTest):
    """Servers in a cgroup that may have LIMIT."""

    def setUp(self):
        self.make_cgroup()

    def limit(self, size, swap=None):
        """The cgroup's limit, or the test is skipped."""
        try:
            self.cgroup.set_memory_limit(size, swap)
        except cgroups.CgroupError as error:
            self.skipTest(str(error))

    def server(self, file_mib=0):
        """A warm server in the cgroup. If it has a file, that is not in the page cache, or the test is skipped."""
        server = self.enterContext(Server(prefix=self.cgroup.prefix, file_mib=file_mib))
        server.ask("/mmap/4/give")
        if file_mib:
            if not can_forget():
                self.skipTest("what /var/tmp holds is always in memory here")
            forget(server.file)
        return server

    def ask(self, server, way, size):
        """(row, truth) of one request, which keeps what it takes."""
        name, truth = server.ask("/%s/%d/keep" % (way, size // KIB))
        return self.row_of(name), truth

    def check_reclaim(self, row):
        """Time went into it, but not more than the request had; pages that go are no copies."""
        if self.feature("memory-reclaim") == "on":
            self.assertGreater(row["memory"]["reclaim_ns"], 0)
            self.assertLess(row["memory"]["reclaim_ns"], row["occupied_ns"])
        if self.feature("memory-cow") == "on":
            self.assertLess(row["memory"]["cow_bytes"], SLACK)

    def test_read(self):
        """A file larger than the limit, read: all of it came into the page cache, and something had to go for it."""
        server = self.server(FILE_MIB)
        self.limit(LIMIT)
        row, truth = self.ask(server, "read", FILE)
        memory = self.check("read", row, truth)
        print("page cache %d, reclaim %d ns" % (memory["page_cache_bytes"], memory["reclaim_ns"]), flush=True)
        self.near("growth", memory["growth_bytes"], 0)
        self.check_reclaim(row)
        if self.feature("memory-page-cache") == "on":
            # What was read ahead may have gone before it was wanted, and come again.
            self.assertGreaterEqual(memory["page_cache_bytes"], FILE)
            self.assertLess(memory["page_cache_bytes"], FILE * 5 // 4)
        self.check_closes(FILE)

    def test_written(self):
        """A file that grows comes into the page cache by as much."""
        server = self.server(1)
        row, truth = self.ask(server, "store", 8 * MIB)
        memory = self.check("written", row, truth)
        self.near("growth", memory["growth_bytes"], 0)
        if self.feature("memory-page-cache") == "on":
            # The file's own MiB was not there; a little of the file system's may have come beside it.
            self.assertIn(memory["page_cache_bytes"] - 8 * MIB, range(SLACK))

    def test_mapped(self):
        """The same file, mapped: the request takes its own pages away as it goes on."""
        server = self.server(FILE_MIB)
        self.limit(LIMIT)
        row, truth = self.ask(server, "file", FILE)
        memory = self.check_growth("mapped", row, truth)
        self.near("file", memory["file_growth_bytes"], truth["after"] - truth["before"])
        self.assertLess(memory["peak_growth_bytes"], LIMIT + SLACK)
        self.assertGreater(memory["resident_released_bytes"], FILE - LIMIT - SLACK)
        self.check_reclaim(row)
        self.check_closes(FILE)

    def test_limit_lowered(self):
        """Who lowers the limit takes the pages away: foreign, whatever the request did."""
        server = self.server(FILE_MIB)
        row, truth = self.ask(server, "file", FILE)
        self.check("mapped", row, truth)
        self.near("growth", row["memory"]["growth_bytes"], FILE)
        before, resident = self.now(), rollup(server.pid)[0]
        self.limit(LIMIT)
        lost = rollup(server.pid)[0] - resident
        self.assertLess(lost, -FILE // 2)
        ledger = self.wait_ledger("foreign", lambda now: now["foreign_bytes"] - before["foreign_bytes"] == lost)
        self.assertEqual(ledger["requests_bytes"], before["requests_bytes"])
        self.check_closes(FILE)

    def swap(self):
        """A swap file for this test, or it is skipped."""
        try:
            self.enterContext(SwapFile(SWAP_MIB))
        except KnobError as error:
            self.skipTest(str(error))

    def check_touched(self, what, row, truth, n_bytes):
        """A row's memory where pages go to the swap file: resident or swapped, it is what the handler touched.

        The handler looks at the one and then at the other, while they are driven out at any time: between the two looks, and
        between the last and its end by what writing the response takes. Its looks are printed; what it touched is known.
        """
        memory = row["memory"]
        print("%-14s growth %12d of %12d, swap %12d of %12d, faults %d+%d" % (
            what, memory["growth_bytes"], truth["after"] - truth["before"], memory["swap_growth_bytes"], truth["swap"],
            row["minor_faults"], row["major_faults"]), flush=True)
        self.check_sums(memory)
        self.near(what + " touched", memory["growth_bytes"] + memory["swap_growth_bytes"], n_bytes)
        return memory

    def test_swapped(self):
        """Three times the limit is touched: the rest is in the swap file, driven out by the request itself."""
        self.swap()
        server = self.server()
        self.limit(LIMIT)
        row, truth = self.ask(server, "mmap", 3 * LIMIT)
        memory = self.check_touched("swapped", row, truth, 3 * LIMIT)
        self.assertGreater(memory["swap_growth_bytes"], 2 * LIMIT - MIB)
        self.assertLess(memory["peak_growth_bytes"], LIMIT + SLACK)
        self.check_reclaim(row)
        row, truth = self.ask(server, "use", 0)
        self.check_touched("used", row, truth, 0)
        self.check_reclaim(row)
        self.check_closes(4 * LIMIT)

    def test_neighbour(self):
        """A request that takes another process's memory away answers for its own; the ledger knows of the other's."""
        self.swap()
        victim, server = self.server(), self.server()
        victim_row, truth = self.ask(victim, "mmap", LIMIT)
        before, resident = self.now(), rollup(victim.pid)[0]
        self.limit(LIMIT + 8 * MIB)
        row, truth = self.ask(server, "mmap", LIMIT)
        self.check_touched("greedy", row, truth, LIMIT)
        lost = rollup(victim.pid)[0] - resident
        self.assertLess(lost, -LIMIT // 4)
        ledger = self.wait_ledger("foreign", lambda now: now["foreign_bytes"] - before["foreign_bytes"] == lost)
        self.assertEqual(ledger["requests_bytes"] - before["requests_bytes"], row["memory"]["growth_bytes"])
        self.assertEqual(self.row_of(victim_row["id"])["memory"], victim_row["memory"])
        self.check_reclaim(row)
        self.check_closes(2 * LIMIT)

    def test_killed(self):
        """More than there is: the kernel kills the process, and its request has a row that says so."""
        server, other = self.server(), self.server()
        self.limit(LIMIT, 0)
        before = self.now()
        name, truth = server.ask("/mmap/%d/keep" % (4 * LIMIT // KIB))
        self.assertIsNone(truth)
        row = self.row_of(name)
        memory = row["memory"]
        print("killed at growth %d, peak %d, reclaim %d ns" % (
            memory["growth_bytes"], memory["peak_growth_bytes"], memory["reclaim_ns"]), flush=True)
        self.check_sums(memory)
        self.assertEqual(row["outcome"], "process-died")
        self.assertIs(memory["oom_killed"], True)
        self.assertTrue(LIMIT // 2 < memory["growth_bytes"] < LIMIT + SLACK)
        server.process.wait()
        # The kernel may have taken it away before the process ended: by others, then.
        gone = self.wait_ledger("teardown", lambda now: sum(
            now[term] - before[term] for term in ("teardown_bytes", "foreign_bytes")) < -memory["growth_bytes"])
        self.assertGreater(gone["requests_bytes"], LIMIT // 2)
        row, truth = self.ask(other, "mmap", MIB)
        self.check("survivor", row, truth)
        self.check_closes(LIMIT)


class Moved(memory_server.MemoryTest):
    """Processes and threads that change their cgroup over a request."""

    SIZE = 16 * MIB

    def setUp(self):
        self.second, self.first = self.make_cgroup("-2"), self.make_cgroup("-1")

    def begin(self, server, way="hold"):
        """Starts a request that holds; (the thread that waits for it, the thread that serves it, [(id, answer)])."""
        answers = []
        path = "/%s/%d/keep" % (way, self.SIZE // KIB)
        thread = threading.Thread(target=lambda: answers.append(server.ask(path)))
        thread.start()
        return thread, server.wait_held(), answers

    def wait_in(self, cgroup, what, predicate):
        """The cgroup's ledger once the predicate holds for it."""
        self.cgroup = cgroup
        return self.wait_ledger(what, predicate)

    def move(self, way):
        """Each cgroup has what the request took while it was there; the process takes along what it holds."""
        with Server(prefix=self.first.prefix, file_mib=1) as server:
            server.ask("/mmap/4/give")
            # The name of a cgroup is known once a thread has been seen there.
            self.wait_in(self.first, "process", lambda now: now["background_bytes"] > 0)
            thread, _, answers = self.begin(server, way)
            cpu_ns = ran_ns(server.pid)
            if way == "spin":
                agent.poll_until(lambda: ran_ns(server.pid) > cpu_ns + SPIN_NS, 20)
            self.second.add(server.pid)
            server.let_go()
            thread.join()
            name, truth = answers[0]
            row = self.row_of(name)
            self.near("moved", self.check("moved", row, truth)["growth_bytes"], 2 * self.SIZE)
            resident = rollup(server.pid)[0]
            for cgroup, sign in ((self.first, -1), (self.second, 1)):
                ledger = self.wait_in(cgroup, "its part", lambda now: now["requests_bytes"] > self.SIZE - SLACK)
                self.near("requests", ledger["requests_bytes"], self.SIZE)
                self.assertGreater(sign * ledger["moved_bytes"], self.SIZE // 2)
                self.check_closes(2 * self.SIZE)
            self.near("resident", ledger["rss_delta_bytes"] + ledger["moved_bytes"], resident)
            return row

    def test_at_rest(self):
        """A process that is moved while its request waits."""
        self.move("hold")

    @accuracy.twice
    def test_at_work(self):
        """One that is moved while its request is on the CPU, whose time is divided as its memory is."""
        row = self.move("spin")
        first, second = (self.cpu_ledger(cgroup) for cgroup in (self.first, self.second))
        self.assertGreater(first["requests_ns"], SPIN_NS)
        accuracy.at_most(second["requests_ns"], row["cpu_ns"] - SPIN_NS + CPU_SLACK_NS, "second cgroup's requests, ns")
        accuracy.at_most(abs(first["requests_ns"] + second["requests_ns"] - row["cpu_ns"]), CPU_SLACK_NS, "both, ns off the row")

    def cpu_ledger(self, cgroup):
        """The cgroup's ledger of CPU."""
        report = self.meter.stats(scope="cgroup:" + cgroup.path, sections="cgroups")
        return next(entry["ledger"]["cpu"] for entry in report["cgroups"] if entry["path"] == cgroup.path)

    def test_thread(self):
        """A thread that goes alone leaves the memory with its process, whose ledger has what it takes from then on."""
        if "cpuacct" not in self.first.dirs:
            self.skipTest("threads go alone in cgroup v1 only")
        with Server(threads=2, prefix=self.first.prefix, file_mib=1) as server:
            server.ask("/mmap/4/give")
            held = [self.begin(server), self.begin(server)]
            self.second.add(next(tid for _, tid, _ in held if tid != server.pid), "tasks")
            for _ in held:
                server.let_go()
            for thread, _, answers in held:
                thread.join()
                memory = self.row_of(answers[0][0])["memory"]
                self.check_sums(memory)
                self.near("alone", memory["growth_bytes"], 2 * self.SIZE)
            self.wait_in(self.first, "requests", lambda now: now["requests_bytes"] > 4 * self.SIZE - SLACK)
            self.check_closes(4 * self.SIZE)
            self.wait_in(self.second, "thread", lambda now: True)
            self.assertEqual(self.check_closes(0)["requests_bytes"], 0)


if __name__ == "__main__":
    unittest.main()
