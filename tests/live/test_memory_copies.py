# SPDX-License-Identifier: MIT
"""Copies on write: as many as pages were copied, and none where pages were taken over, unlocked or new. Sizes in bytes."""
import unittest

import memory_server
from memory_server import KIB, MIB, SLACK, Server

SIZE = 16 * MIB
# Of two threads that copy at once: some of their flushes may become one of everything, which tells of no page.
SEEN_AT_ONCE = 0.9
COPIED = ("copied", "copied-huge", "copied-read", "copied-file")
# Every page of the process is shared for a while by a fork: the few that the handler works with are copied too.
NOT_COPIED = ("mmap", "huge", "tmpfs", "populate", "dontneed", "many", "taken-over", "protected", "refused", "by-child")


class Copies(memory_server.MemoryTest):
    """Rows, threads and processes."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls.feature("memory-cow") != "on":
            raise unittest.SkipTest("copies on write are not to be seen on this machine")

    def setUp(self):
        self.server = self.enterContext(Server(file_mib=SIZE // MIB))
        self.server.ask("/copied/64/give")

    def copied_by(self, way):
        """cow_bytes of one request, whose other figures are checked too."""
        name, truth = self.server.ask("/%s/%d/give" % (way, SIZE // KIB))
        row = self.row_of(name)
        self.check_sums(row["memory"])
        self.near(way + " growth", row["memory"]["growth_bytes"], truth["after"] - truth["before"])
        print("%-14s copied %10d" % (way, row["memory"]["cow_bytes"]), flush=True)
        return row["memory"]["cow_bytes"]

    def test_copied(self):
        """Page for page, whoever wrote and whatever it was a copy of."""
        for way in COPIED:
            with self.subTest(way=way):
                self.assertIn(self.copied_by(way) - SIZE, range(SLACK))

    def test_not_copied(self):
        """Nothing but what the handler itself works with."""
        for way in NOT_COPIED:
            with self.subTest(way=way):
                self.assertLess(self.copied_by(way), SLACK)

    def test_threads_at_once(self):
        """Each thread has its own, and the process has both."""
        copied = self.copied_by("copied-halves")
        self.assertGreater(copied, SEEN_AT_ONCE * SIZE / 2)
        self.assertLess(copied, SIZE / 2 + SLACK)
        report = self.meter.stats(scope="pid:%d" % self.server.pid, sections="processes,threads")
        whole = report["processes"][0]["memory"]["cow_bytes"]
        # What the warm-up copied is the first thread's too.
        self.assertGreater(whole, copied + SEEN_AT_ONCE * SIZE / 2)
        self.assertLess(whole, SIZE + 2 * SLACK)
        self.assertGreaterEqual(report["threads"][0]["memory"]["cow_bytes"], copied)


if __name__ == "__main__":
    unittest.main()
