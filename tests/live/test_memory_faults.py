# SPDX-License-Identifier: MIT
"""Memory that others, the kernel or the end of a process interfere with: rows and ledgers against the page tables.

Sizes in bytes unless a name says otherwise. Nothing that is changed on the machine outlives its test.
"""
import os
import signal
import threading
import unittest

import agent
import memory_server
from kernel_knobs import MADV_COLLAPSE, MADV_PAGEOUT, KnobError, Knobs, SwapFile, madvise_other
from memory_server import KIB, MIB, SLACK, Server, rollup

SIZE = 32 * MIB
KEEP = "/%s/" + "%d/keep" % (SIZE // KIB)
HUGE = 2 * MIB
SWAP_MIB = 256
KSM = "/sys/kernel/mm/ksm"
KHUGEPAGED = "/sys/kernel/mm/transparent_hugepage/khugepaged"
HUGETLB = "/sys/kernel/mm/hugepages/hugepages-2048kB"
STORM_CHILDREN, SPAWN_CHILDREN = 200, 50  # as in servers/memory_faults.c


class InCgroup(memory_server.MemoryTest):
    """A server in a cgroup of its own, warm, and its ledger."""

    def setUp(self):
        self.make_cgroup()
        self.server = self.enterContext(Server(prefix=self.cgroup.prefix, file_mib=1))
        self.server.ask("/mmap/4/give")

    def ask(self, way, size=SIZE, wait=60):
        """(row, truth) of one request, which keeps what it takes."""
        name, truth = self.server.ask("/%s/%d/keep" % (way, size // KIB), wait)
        return self.row_of(name), truth

    def knobs(self, directory, **values):
        """Kernel settings for this test, or it is skipped."""
        try:
            self.enterContext(Knobs(directory, **values))
        except KnobError as error:
            self.skipTest(str(error))

    def madvise(self, truth, advice, size=SIZE):
        """madvise in the server's memory, but by this process; skips where the kernel cannot."""
        try:
            madvise_other(truth["pid"], truth["at"], size, advice)
        except KnobError as error:
            self.skipTest(str(error))

    def foreign(self, what, before):
        """Foreign bytes came by as much as the page tables changed since `before` = (ledger, rollup)."""
        ledger, (resident, _) = before
        truth = rollup(self.server.pid)[0] - resident
        now = self.wait_ledger(what, lambda now: now["foreign_bytes"] - ledger["foreign_bytes"] == truth)
        self.assertEqual(now["requests_bytes"], ledger["requests_bytes"], what)
        self.assertEqual(rollup(self.server.pid)[0] - resident, truth)
        print("%-14s foreign %12d" % (what, truth), flush=True)

    def now_and_walk(self):
        """(ledger, rollup) of the same moment, while nothing happens."""
        return self.now(), rollup(self.server.pid)

    def end_server(self):
        """Kills it; when the ledger knows, all of it has been given back, and it still closes."""
        self.server.process.kill()
        self.server.process.wait()
        self.wait_ledger("all given back", lambda now: now["rss_delta_bytes"] + now["moved_bytes"] == 0)
        self.check_closes(SIZE)


class Swap(InCgroup):
    """Memory that leaves for a swap file and comes back."""

    def setUp(self):
        super().setUp()
        try:
            self.swap = self.enterContext(SwapFile(SWAP_MIB))
        except KnobError as error:
            self.skipTest(str(error))

    def test_by_requests(self):
        """One request drives its own memory out, another fetches it, a third fetches and writes."""
        memory = self.check("pageout", *self.ask("pageout"))
        self.near("out", memory["swap_growth_bytes"], SIZE)
        self.near("growth", memory["growth_bytes"], 0)
        self.near("peak", memory["peak_growth_bytes"], SIZE)
        row, truth = self.ask("use")
        memory = self.check("use", row, truth)
        self.near("in", memory["swap_growth_bytes"], -SIZE)
        self.near("growth", memory["growth_bytes"], SIZE)
        self.assertGreater(row["minor_faults"] + row["major_faults"], 1)
        self.ask("drop", 0)
        self.ask("pageout")
        memory = self.check("write", *self.ask("write"))
        self.near("growth", memory["growth_bytes"], SIZE)
        self.check_closes(4 * SIZE)
        self.end_server()

    def test_by_others(self):
        """What another process drives out, and what the end of a swap file brings back, is no request's doing."""
        row, truth = self.ask("mmap")
        self.check("mmap", row, truth)
        before = self.now_and_walk()
        self.madvise(truth, MADV_PAGEOUT)
        self.foreign("driven out", before)
        self.assertGreater(rollup(self.server.pid)[1], SIZE // 2)
        before = self.now_and_walk()
        self.swap.off()
        self.foreign("brought back", before)
        self.assertEqual(rollup(self.server.pid)[1], 0)
        self.assertEqual(self.row_of(row["id"])["memory"], row["memory"])
        self.check_closes(SIZE)
        self.end_server()

    def test_fetched(self):
        """Driven out by another, a request has it back by using it."""
        _, truth = self.ask("mmap")
        self.madvise(truth, MADV_PAGEOUT)
        out = rollup(self.server.pid)[1]
        memory = self.check("fetched", *self.ask("use"))
        self.assertGreater(out, SIZE // 2)
        self.near("in", memory["swap_growth_bytes"], -out)
        self.near("growth", memory["growth_bytes"], out)
        self.check_closes(SIZE)

    def test_dies_swapped(self):
        """A process that ends with its memory swapped out gives back what is resident and no more."""
        self.ask("pageout")
        self.ask("storm", 4 * MIB)
        self.end_server()


class Advice(InCgroup):
    """madvise, and what follows from it later."""

    def test_left_free(self):
        """MADV_FREE keeps pages until somebody wants them: the request itself, or another."""
        memory = self.check("freed", *self.ask("freed"))
        self.near("freed", memory["growth_bytes"], 0)
        self.near("freed peak", memory["peak_growth_bytes"], SIZE)
        row, truth = self.ask("free")
        self.check("free", row, truth)
        self.near("free", row["memory"]["growth_bytes"], SIZE)
        before = self.now_and_walk()
        self.madvise(truth, MADV_PAGEOUT)
        self.foreign("free taken", before)
        self.assertLess(rollup(self.server.pid)[0] - before[1][0], -SIZE // 2)
        self.end_server()

    def test_collapse(self):
        """A request that has its pages made huge pays for the rest of them."""
        memory = self.check("collapse", *self.ask("collapse"))
        if memory["growth_bytes"] < SIZE // 2:
            self.skipTest("this kernel has no MADV_COLLAPSE")
        self.near("collapse", memory["growth_bytes"], SIZE)

    def test_collapsed_by_another(self):
        """Made huge by another process: foreign."""
        row, truth = self.ask("sparse")
        self.near("sparse", row["memory"]["growth_bytes"], SIZE // HUGE * 4 * KIB)
        before = self.now_and_walk()
        self.madvise(truth, MADV_COLLAPSE)
        self.foreign("collapsed", before)
        self.assertGreater(rollup(self.server.pid)[0] - before[1][0], SIZE // 2)
        self.end_server()

    def test_collapsed_by_kernel(self):
        """Made huge by the kernel's own thread: foreign."""
        self.knobs(KHUGEPAGED, max_ptes_none=511, pages_to_scan=1 << 20, alloc_sleep_millisecs=0,
                   scan_sleep_millisecs=10)
        before, (resident, _) = self.now_and_walk()
        row, _ = self.ask("advised")
        self.near("advised", row["memory"]["growth_bytes"], SIZE // HUGE * 4 * KIB)
        done = agent.poll_until(lambda: rollup(self.server.pid)[0] - resident >= SIZE, 10, 0.1)
        self.assertTrue(done, "khugepaged did nothing in 10 s")
        truth = rollup(self.server.pid)[0] - resident - row["memory"]["growth_bytes"]
        self.wait_ledger("khugepaged", lambda now: now["foreign_bytes"] - before["foreign_bytes"] == truth)
        self.end_server()

    def test_hugetlb(self):
        """Pages of hugetlbfs are not resident memory: nothing, and nothing absurd."""
        with open(HUGETLB + "/nr_hugepages", encoding="ascii") as pool:
            more = int(pool.read()) + 8
        self.knobs(HUGETLB, nr_hugepages=more)
        row, truth = self.ask("hugetlb", 8 * HUGE)
        if truth["top"] < 0:
            self.skipTest("no huge pages to be had")
        memory = self.check("hugetlb", row, truth)
        self.near("hugetlb", memory["growth_bytes"], 0)
        self.near("hugetlb peak", memory["peak_growth_bytes"], 0)
        if self.feature("memory-mapped") == "on":
            self.near("mapped", memory["mapped_bytes"], 8 * HUGE)
        self.end_server()

    def test_merged(self):
        """Pages that the kernel merges stay resident; those of zeros do not, and both come back by writing."""
        self.knobs(KSM, use_zero_pages=1, pages_to_scan=1 << 20, sleep_millisecs=1)
        for way, kind in (("alike", "ksm_merging_pages"), ("zeros", "ksm_zero_pages")):
            self.check(way, *self.ask(way))
            before = self.now_and_walk()
            with Knobs(KSM, run=1):
                self.wait_merged(kind)
            self.foreign(way + " merged", before)
            gone = before[1][0] - rollup(self.server.pid)[0]
            self.near(way, gone, SIZE if way == "zeros" else 0)
            memory = self.check(way + " write", *self.ask("write"))
            self.near(way, memory["growth_bytes"], gone)
            self.ask("drop", 0)
        self.check_closes(4 * SIZE)
        self.end_server()

    def wait_merged(self, kind):
        """Waits until ksmd has merged all but a few of the pages; skips where the kernel does not say."""
        def merged():
            with open("/proc/%d/ksm_stat" % self.server.pid, encoding="ascii") as lines:
                stat = dict(line.rpartition(" ")[::2] for line in lines)
            if kind not in stat:
                self.skipTest("no %s in this kernel" % kind)
            return int(stat[kind]) >= SIZE // (4 * KIB) - 64

        self.assertTrue(agent.poll_until(merged, 20), "ksmd does not merge")


class Remapped(InCgroup):
    """mremap: smaller, onto another, and leaving the old place."""

    def mapped(self, memory, mapped, unmapped):
        """Address space, exactly."""
        if self.feature("memory-mapped") == "on":
            self.assertEqual((memory["mapped_bytes"], memory["unmapped_bytes"]), (mapped, unmapped))

    def test_shrink(self):
        """Half is given back."""
        memory = self.check("shrink", *self.ask("shrink"))
        self.near("shrink", memory["growth_bytes"], SIZE // 2)
        self.mapped(memory, SIZE, SIZE // 2)

    def test_move(self):
        """What it is moved onto is gone; what is moved is as resident as before."""
        memory = self.check("move", *self.ask("move"))
        self.near("move", memory["growth_bytes"], SIZE)
        self.near("move peak", memory["peak_growth_bytes"], 2 * SIZE)
        self.near("move released", memory["resident_released_bytes"], SIZE)
        self.mapped(memory, 2 * SIZE, SIZE)

    def test_leave(self):
        """The old place stays, without pages."""
        memory = self.check("leave", *self.ask("leave"))
        self.near("leave", memory["growth_bytes"], SIZE)
        self.mapped(memory, 2 * SIZE, 0)


class Threads(InCgroup):
    """Memory that passes between a request's thread and one that works for none."""

    def setUp(self):
        super().setUp()
        self.ask("given", 4 * KIB)  # a first thread brings in more of the C library

    def test_given_away(self):
        """The request took it; who gives it back is another."""
        before = self.now()
        row, truth = self.ask("given")
        self.check_sums(row["memory"])
        self.near("growth", row["memory"]["growth_bytes"], SIZE)
        self.near("walk", truth["after"], truth["before"])
        ledger = self.wait_ledger("requests", lambda now: now["requests_bytes"] - before["requests_bytes"] > SIZE - SLACK)
        self.near("background", ledger["background_bytes"] - before["background_bytes"], -SIZE)
        self.check_closes(SIZE)

    def test_taken_over(self):
        """Another took it; the request gives it back."""
        before = self.now()
        row, _ = self.ask("taken")
        self.check_sums(row["memory"])
        self.near("growth", row["memory"]["growth_bytes"], -SIZE)
        self.assertLess(row["memory"]["peak_growth_bytes"], SLACK)
        ledger = self.wait_ledger("requests", lambda now: now["requests_bytes"] - before["requests_bytes"] < SLACK - SIZE)
        self.near("background", ledger["background_bytes"] - before["background_bytes"], SIZE)
        self.check_closes(SIZE)


class Processes(InCgroup):
    """Processes that are born, end and change over a request."""

    def test_storm(self):
        """Children with a copy of everything: the ledger has the copies, no request has."""
        before = self.now()
        row, truth = self.ask("storm")
        self.check("storm", row, truth)
        self.near("storm", row["memory"]["growth_bytes"], SIZE)
        copied = STORM_CHILDREN * SIZE
        ledger = self.wait_ledger("teardown", lambda now: now["teardown_bytes"] - before["teardown_bytes"] < -copied)
        self.assertIn((ledger["fork_bytes"] - before["fork_bytes"]) / copied, Within(1, 1.2))
        self.assertIn((before["teardown_bytes"] - ledger["teardown_bytes"]) / copied, Within(1, 1.2))
        self.near("requests", ledger["requests_bytes"] - before["requests_bytes"], SIZE)
        self.check_closes(SIZE)
        self.end_server()

    def test_spawn(self):
        """Children that share the parent's memory until they execute something copy nothing."""
        before = self.now()
        self.check("spawn", *self.ask("spawn"))
        ledger = self.now()
        self.assertLess(ledger["fork_bytes"] - before["fork_bytes"], SPAWN_CHILDREN * SIZE // 10)
        self.near("requests", ledger["requests_bytes"] - before["requests_bytes"], SIZE)
        self.check_closes(SIZE)
        self.end_server()

    def begin(self, way):
        """Starts a request that holds; (thread, [(id, answer)])."""
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.server.ask(KEEP % way, 20)))
        thread.start()
        self.server.wait_held()
        return thread, answers

    def test_killed(self):
        """A process that is killed over a request, at rest and in the midst of faults."""
        for way in ("hold", "churn"):
            with self.subTest(way=way), Server(prefix=self.cgroup.prefix, file_mib=1) as self.server:
                thread, answers = self.begin(way)
                before = self.now()
                os.kill(self.server.pid, signal.SIGKILL)
                thread.join()
                row = self.row_of(answers[0][0])
                self.assertEqual(row["outcome"], "process-died")
                self.check_sums(row["memory"])
                # What it takes and gives back again and again is 256 KiB.
                self.assertIn(row["memory"]["growth_bytes"], Within(SIZE, SIZE + 2 * SLACK))
                self.assertIs(row["memory"]["oom_killed"], False)
                self.wait_ledger("teardown", lambda now, then=before: now["teardown_bytes"] < then["teardown_bytes"] - SIZE)
                self.server.process.wait()
        self.check_closes(SIZE)

    def test_replaced(self):
        """exec over a request, by its own thread and by another: what was there is torn down, nobody gives it back."""
        for way in ("exec", "overrun"):
            with self.subTest(way=way), Server(prefix=self.cgroup.prefix, file_mib=1) as self.server:
                before = self.now()
                name, _ = self.server.ask(KEEP % way, 10)
                row = self.row_of(name)
                self.check_sums(row["memory"])
                self.assertIn(row["memory"]["growth_bytes"], Within(SIZE, SIZE + 4 * MIB))
                self.assertLess(row["memory"]["resident_released_bytes"], 4 * MIB)
                self.wait_ledger("teardown", lambda now, then=before: now["teardown_bytes"] < then["teardown_bytes"] - SIZE)
        self.check_closes(SIZE)


class Within:
    """A closed range, for assertIn."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def __contains__(self, value):
        return self.low <= value <= self.high

    def __repr__(self):
        return "%s … %s" % (self.low, self.high)


if __name__ == "__main__":
    unittest.main()
