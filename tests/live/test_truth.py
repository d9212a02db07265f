# SPDX-License-Identifier: MIT
"""Every row of real servers against the truth that a preload measured inside them."""
import collections
import contextlib
import json
import os
import threading
import unittest

import accuracy
import agent
import build
import cgroups
import compare
import fixtures
import load

# clients: requests. One client has no contention, 32 are more than any pool here has threads.
COUNTS = {1: 200, 4: 300, 32: 500}
# Also run in a cgroup of their own, as in a container.
CONTAINED = ("gunicorn-sync", "python-forking-http10")
METER = None


def setUpModule():
    """One agent for all servers."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    # Other traffic on the node must not push the rows of a server out before they are read.
    METER = agent.Agent("--recent", "200000", "--max-rows-per-second", "1000000")


def tearDownModule():
    """Ends the agent."""
    METER.stop()


def settled_rows(server, ids):
    """All rows of the server once every id has one and a later report has no more, or after 10 s."""
    seen = {"count": -1, "at": 0}

    def look():
        report = METER.stats(scope="pid:%d" % server.pid, limit=100000)
        rows, at = report["requests"]["recent"], report["generated_unix_ns"]
        if at == seen["at"]:
            return None
        same = len(rows) == seen["count"] and ids <= {row["id"] for row in rows}
        seen.update(count=len(rows), at=at, rows=rows)
        return rows if same else None

    return agent.poll_until(look, 10, 0.1) or seen["rows"]


@contextlib.contextmanager
def wakeups(n=2, every_s=0.0005):
    """n threads outside the servers' cgroup that wake up all the time.

    A wake-up moves the clock of the run queue but books no CPU for a running thread of another cgroup: whoever takes
    that clock for the instant of the last booking loses what ran between the two.
    """
    stop = threading.Event()

    def work():
        while not stop.wait(every_s):
            pass

    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class Truth(unittest.TestCase):
    """One test per server; the methods are made below."""

    def check_contained(self, kind):
        """The same for a server in a cgroup of its own, with wake-ups outside of it."""
        try:
            cgroup = cgroups.Cgroup("reqmeter-live-%d" % os.getpid())
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        with cgroup, wakeups():
            self.check_server(kind, kind + " in cgroup", cgroup.prefix)

    def check_server(self, kind, name=None, prefix=()):
        """Loads one server with each number of clients and checks every row."""
        if fixtures.KINDS[kind].command[0] == fixtures.PYTHON and (reason := fixtures.missing_packages()):
            self.skipTest(reason)
        with fixtures.Server(kind, prefix=prefix) as server:
            loads = {n: server.load(load.mixed_plan(count, seed=n), n) for n, count in COUNTS.items()}
            rows = settled_rows(server, {result.id for results in loads.values() for result in results})
            server.stop()
            truth = server.truth()
        for clients, results in loads.items():
            with self.subTest(clients=clients):
                self.check_load(name or kind, clients, results, truth, rows)

    def check_load(self, name, clients, results, truth, rows):
        """The acceptance of one load."""
        pairs, strangers = compare.join(results, truth, rows)
        numbers = compare.figures(pairs)
        print(compare.summary(name, clients, numbers), flush=True)
        self.save(name, clients, pairs, strangers)
        self.check_rows(results, pairs, strangers)
        below = compare.below_handler(pairs)
        if below:
            self.fail("%d of %d rows are below the handler's own CPU:\n%s" % (
                len(below), len(pairs), compare.worst(below)))
        compare.judge("%s, %d clients" % (name, clients), numbers, pairs)

    def check_rows(self, results, pairs, strangers):
        """Every request was answered and has exactly one row in each process that served it."""
        served = collections.Counter(pair.truth["id"] for pair in pairs)
        names = [(pair.truth["pid"], pair.truth["id"], pair.truth["path"], pair.twins) for pair in pairs]
        self.check_none("not answered", [result for result in results if result.status != 200])
        self.check_none("not served once", [result.id for result in results if served[result.id] != 1])
        self.check_none("requests without a row", [name for name in names if name[3] == 0])
        self.check_none("requests with several rows", [name for name in names if name[3] > 1])
        self.check_none("rows that nobody served", [(row["pid"], row["id"]) for row in strangers])

    def check_none(self, what, found):
        """Fails with the first few of what should not be there, and with what the agent says it lost."""
        if found:
            losses = {name: n for name, n in METER.stats(limit=0)["agent"]["losses"].items() if n}
            self.fail("%d %s: %s; losses: %s" % (len(found), what, found[:6], losses))

    @staticmethod
    def save(name, clients, pairs, strangers):
        """All that was compared, as JSON in build/live/, for whoever looks for the cause of a difference."""
        with open(os.path.join(build.OUT, "truth-%s-%d.json" % (name.replace(" ", "-"), clients)), "w", encoding="utf-8") as out:
            json.dump({"pairs": [pair._asdict() for pair in pairs], "strangers": strangers}, out)


def add_test(name, check, kind):
    """One test method for a server of KINDS."""
    @accuracy.twice
    def test(self):
        getattr(self, check)(kind)

    test.__doc__ = "rows of " + name
    setattr(Truth, "test_" + name.replace("-", "_"), test)


for server_kind in fixtures.KINDS:
    add_test(server_kind, "check_server", server_kind)
for server_kind in CONTAINED:
    add_test(server_kind + "-contained", "check_contained", server_kind)

if __name__ == "__main__":
    unittest.main()
