# SPDX-License-Identifier: MIT
"""Memory of requests against a walk of the server's own page tables, and the ledger of its cgroup.

Sizes in bytes unless a name says otherwise. The server is servers/memory.c: each of its routes takes memory in one way.
"""
import concurrent.futures
import itertools
import subprocess
import unittest

import agent
import memory_server
from memory_server import KIB, LEDGER_SLACK, MIB, SLACK, FILE_MIB, Server

SIZES_MIB = (1, 8, 64, 256)
# Ways that leave behind what they take where they are asked to, and the kind of memory that it is.
WAYS = {"mmap": "anon", "populate": "anon", "huge": "anon", "tmpfs": "shmem", "file": "file", "malloc": "anon",
        "mremap": "anon"}
LEAK = 100 * KIB


class Growth(memory_server.MemoryTest):
    """Rows against the handlers' own looks."""

    def check_way(self, way, kind):
        """All sizes, given back and kept."""
        with Server() as server:
            server.ask("/%s/4/give" % way)
            for size, then in itertools.product(SIZES_MIB, ("give", "keep")):
                if way == "file" and size > FILE_MIB:
                    continue
                name, truth = server.ask("/%s/%d/%s" % (way, size * KIB, then))
                with self.subTest(size=size, then=then):
                    memory = self.check("%s %d %s" % (way, size, then), self.row_of(name), truth)
                    if then == "keep":
                        self.near(kind, memory[kind + "_growth_bytes"], truth["after"] - truth["before"])
                        self.near(kind, memory["growth_bytes"], size * MIB)
                if then == "keep" and way != "malloc":
                    server.ask("/drop/0/give")

    def test_every_size(self):
        """What a request takes page by page and gives back in one is 0, however many pages: also where the kernel's parts of
        its sums are a page short of a fold when the pages go."""
        with Server() as server:
            server.ask("/mmap/4/give")
            asked = {pages: server.ask("/mmap/%d/give" % (4 * pages)) for pages in range(200, 330)}
            for pages, (name, truth) in asked.items():
                with self.subTest(pages=pages):
                    self.check("%d pages" % pages, self.row_of(name), truth)

    def test_faults(self):
        """As many minor faults as pages, at least; none where they come in one call."""
        with Server() as server:
            name, _ = server.ask("/mmap/%d/give" % (8 * KIB))
            self.assertIn(self.row_of(name)["minor_faults"] - 2048, range(0, 200))
            name, _ = server.ask("/populate/%d/give" % (8 * KIB))
            self.assertLess(self.row_of(name)["minor_faults"], 2300)

    def test_special(self):
        """madvise, fork and many mappings."""
        with Server() as server:
            server.ask("/mmap/4/give")
            for way in ("dontneed", "free", "fork", "many"):
                name, truth = server.ask("/%s/%d/give" % (way, 16 * KIB))
                with self.subTest(way=way):
                    memory = self.check(way, self.row_of(name), truth)
                    if self.feature("memory-mapped") == "on":
                        mapped, unmapped = memory["mapped_bytes"], memory["unmapped_bytes"]
                        self.near("mapped", mapped, 16 * KIB * 4 * KIB if way == "many" else 16 * MIB)
                        self.near("unmapped", unmapped, 16 * KIB * 4 * KIB if way == "many" else 0)

    def test_many_mappings(self):
        """A million calls in one request."""
        with Server() as server:
            name, truth = server.ask("/many/%d/give" % 500000, 120)
            memory = self.check("million calls", self.row_of(name), truth)
            self.near("gained", memory["resident_gained_bytes"], 500000 * 4 * KIB)
            if self.feature("memory-mapped") == "on":
                self.assertEqual(memory["mapped_bytes"], 500000 * 4 * KIB)
                self.assertEqual(memory["unmapped_bytes"], 500000 * 4 * KIB)

    def test_given_back_by_another(self):
        """What one thread's request left, another's gives back: negative growth."""
        with Server(threads=8) as server:
            server.ask("/mmap/%d/keep" % (32 * KIB))
            name, truth = server.ask("/drop/0/give")
            memory = self.check("drop", self.row_of(name), truth)
            self.near("drop", memory["growth_bytes"], -32 * MIB)
            self.assertEqual(memory["peak_growth_bytes"] // SLACK, 0)

    def test_sixteen_at_once(self):
        """Sixteen requests in threads of one process, and in as many processes."""
        for processes, threads in ((1, 16), (16, 1)):
            # Several threads cannot tell their parts of a process apart but by looking at their own pages only.
            then = "region" if threads > 1 else "keep"
            with Server(processes, threads) as server, concurrent.futures.ThreadPoolExecutor(16) as pool:
                paths = ["/%s/%d/%s" % (way, 1024 * (1 + 3 * i), then) for i, way in enumerate(("mmap", "populate", "tmpfs", "mmap") * 4)]
                for (name, truth), path in zip(pool.map(server.ask, paths), paths):
                    with self.subTest(processes=processes, path=path):
                        self.check(path, self.row_of(name), truth)

    def test_threads_and_processes(self):
        """A process's memory is its threads', ended ones included."""
        with Server(threads=4) as server:
            server.ask("/mmap/%d/keep" % (16 * KIB))
            report = self.meter.stats(scope="pid:%d" % server.process.pid, sections="processes,threads")
            process = report["processes"][0]
            grown = sum(thread["memory"]["growth_bytes"] for thread in report["threads"])
            self.assertEqual(process["memory"]["growth_bytes"], grown)
            self.assertGreater(process["memory"]["growth_bytes"], 16 * MIB)
            self.assertIsNone(process["memory"]["peak_growth_bytes"])

    def test_killed_and_replaced(self):
        """A process that ends, or becomes another, over a request."""
        for way in ("die", "exec"):
            with Server() as server:
                name, _ = server.ask("/%s/%d/keep" % (way, 16 * KIB), 10)
                row = self.row_of(name)
                with self.subTest(way=way):
                    # What is executed next works on, in the same thread: its own pages count too.
                    self.assertEqual(row["memory"]["growth_bytes"] // (4 * MIB), 4)
                    self.assertIs(row["memory"]["oom_killed"], False)

    def test_leak_is_first(self):
        """A route that leaves a little behind each time is the first by growth."""
        # An agent of its own, for this server alone: of a busy machine there are more routes than it keeps apart.
        with Server(threads=2) as server, agent.Agent("--scope", "pid:%d" % server.pid) as meter:
            for i in range(1000):
                server.ask("/mmap/%d/keep" % (LEAK // KIB))
                if i % 10 == 0:
                    server.ask("/populate/8192/give")
            requests = meter.stats(scope="pid:%d" % server.process.pid, sections="requests")["requests"]
            routes = sorted(requests["routes"], key=lambda row: -row["growth_bytes"]["sum"])
            self.assertEqual(routes[0]["route"], "/mmap/{id}/keep")
            self.near("leaked", routes[0]["growth_bytes"]["sum"], 1000 * LEAK)
            self.near("each", routes[0]["growth_bytes"]["p50"], LEAK)
            self.assertEqual({row["route"] for row in requests["top"]["growth"]}, {"/mmap/{id}/keep"})
            self.assertEqual(requests["top"]["peak"][0]["route"], "/populate/{id}/give")


class Ledger(memory_server.MemoryTest):
    """The ledger of a cgroup of the test's own."""

    def setUp(self):
        self.make_cgroup()

    def test_mixed_load(self):
        """Requests of all ways, forks, and processes that come and go, while it runs and after."""
        gross = 0
        with Server(4, 4, self.cgroup.prefix) as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
            sizes = [256 * (1 + i % 40) for i in range(400)]
            ways = itertools.cycle([*WAYS, "dontneed", "fork", "many", "drop"])
            paths = ["/%s/%d/%s" % (way, size, ("give", "keep")[i % 3 == 0]) for i, (way, size) in enumerate(zip(ways, sizes))]
            answers = list(pool.map(server.ask, paths))
            gross = sum(sizes) * KIB
            for _ in range(50):
                subprocess.run([*self.cgroup.prefix, "/bin/true"], check=True)
            self.assertTrue(all(truth for _, truth in answers))
            ledger = self.check_closes(gross)
            self.assertGreater(ledger["requests_bytes"], 0)
            self.assertGreater(ledger["fork_bytes"], 0)
            self.assertLess(ledger["teardown_bytes"], 0)
        def left():
            """All that came, by whatever way, has gone."""
            ledger = self.ledger()
            return ledger["rss_delta_bytes"] + ledger["moved_bytes"]

        agent.poll_until(lambda: left() == 0, 10)
        self.check_closes(gross)
        self.assertEqual(left(), 0)

    def test_moved(self):
        """A process that is moved takes its memory with it: neither cgroup's ledger has it as a residual."""
        with Server() as server:
            server.ask("/mmap/%d/keep" % (64 * KIB))
            self.cgroup.add(server.pid)
            server.ask("/mmap/%d/keep" % (16 * KIB))
            # A report may be older than the move.
            agent.poll_until(lambda: abs(self.ledger()["rss_delta_bytes"] - 16 * MIB) < LEDGER_SLACK, 10)
            ledger = self.check_closes(16 * MIB)
            self.assertLess(abs(ledger["rss_delta_bytes"] - 16 * MIB), LEDGER_SLACK)
        agent.poll_until(lambda: self.ledger()["teardown_bytes"] < -64 * MIB, 10)
        self.check_closes(16 * MIB)

    def test_foreign(self):
        """What another process writes into this one's memory is nobody's but the ledger's."""
        with Server(prefix=self.cgroup.prefix) as server:
            server.ask("/mmap/4/give")
            _, answer = server.ask("/reserve/%d/keep" % (8 * KIB))
            before = self.ledger()["foreign_bytes"]
            with open("/proc/%d/mem" % answer["pid"], "r+b", buffering=0) as memory:
                for page in range(0, 8 * MIB, 4 * KIB):
                    memory.seek(answer["at"] + page)
                    memory.write(b"x")
            # A report may be older than the last of it.
            agent.poll_until(lambda: self.ledger()["foreign_bytes"] - before >= 8 * MIB, 10)
            ledger = self.check_closes(8 * MIB)
            self.assertEqual(ledger["foreign_bytes"] - before, 8 * MIB)


def add_test(way, kind):
    """One test method for a way to take memory."""
    def test(self):
        self.check_way(way, kind)

    test.__doc__ = "memory by " + way
    setattr(Growth, "test_way_" + way, test)


for each_way, each_kind in WAYS.items():
    add_test(each_way, each_kind)

if __name__ == "__main__":
    unittest.main()
