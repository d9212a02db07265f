# SPDX-License-Identifier: MIT
"""Memory of requests that take turns in one thread, against what the program did. Sizes in bytes."""
import subprocess
import unittest

import agent
import build

# Pages of the program's own code and stack that are touched on the way.
STRAY_BYTES = 128 << 10
KINDS = ("growth_bytes", "peak_growth_bytes", "mapped_bytes", "unmapped_bytes")
METER = None


def setUpModule():
    """One agent for all."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    METER = agent.Agent("--scope", "comm:sdk_memory")


def tearDownModule():
    """Ends the agent."""
    METER.stop()


class Program:
    """A running sdk_memory. A context manager."""

    def __init__(self):
        self.process = subprocess.Popen([build.part("sdk_memory")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def run(self):
        """Lets it begin; {id: {kind: bytes}} and {id: page faults} as it says."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        truth, faults = {}, {}
        for line in self.process.stdout:
            if line == "done\n":
                return truth, faults
            name, kept, peak, n_faults, mapped, unmapped = line.split()
            truth[name] = dict(zip(KINDS, map(int, (kept, peak, mapped, unmapped))))
            faults[name] = int(n_faults)
        raise AssertionError("it ended without a word")


class Turns(unittest.TestCase):
    """Four requests of one thread; one goes on in another."""

    def rows_of(self, names):
        """{id: row}."""
        rows = {}

        def look():
            rows.update((row["id"], row) for row in METER.rows() if row["id"] in names)
            return len(rows) == len(names)

        self.assertTrue(agent.poll_until(look, 10, 0.1), "rows of %s alone" % sorted(rows))
        return rows

    def test_each_has_its_own(self):
        """What each left behind, reached, mapped and unmapped; nothing of the others'."""
        with Program() as program:
            agent.poll_until(lambda: METER.stats(scope="pid:%d" % program.process.pid, sections="processes"), 5)
            truth, faults = program.run()
            rows = self.rows_of(set(truth))
            for name, want in truth.items():
                got = {kind: rows[name]["memory"][kind] for kind in KINDS}
                print("%s: %s, wanted %s; page faults %d of %d" % (name, list(got.values()), list(want.values()),
                                                                   rows[name]["minor_faults"], faults[name]))
                with self.subTest(id=name):
                    for kind in KINDS[:2]:
                        self.assertLessEqual(abs(got[kind] - want[kind]), STRAY_BYTES, kind)
                    self.assertEqual([want[kind] for kind in KINDS[2:]], [got[kind] for kind in KINDS[2:]])
                    self.assertLessEqual(abs(rows[name]["minor_faults"] - faults[name]), 0.02 * faults[name] + 64)
            self.check_ledger(program.process.pid, sum(want["growth_bytes"] for want in truth.values()))

    def check_ledger(self, pid, growth):
        """The thread's and the process's own sums hold the requests'."""
        processes = METER.stats(scope="pid:%d" % pid, sections="processes")["processes"]
        self.assertGreaterEqual(processes[0]["memory"]["growth_bytes"], growth - STRAY_BYTES)


if __name__ == "__main__":
    unittest.main()
