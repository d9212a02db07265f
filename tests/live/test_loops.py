# SPDX-License-Identifier: MIT
"""Event loops: what is credited to the wrong request is measured and printed; what must hold whatever it is, is tested.

Without the program's help the kernel side sees a loop's socket operations only: what it does between two of them goes to
the request of the first (design 13). So CPU of single rows is printed, never judged, unless the row says `exact`. Judged
are sums: rows, background and the threads' own clocks agree. All figures are ns unless said.
"""
import itertools
import os
import random
import unittest

import accuracy
import agent
import cgroups
import compare
import daemons
import fixtures
from load import Request
from servers import loops, nginx

REQUESTS = 500
EXACT_SHARE = 0.99
SUM_SHARE = 0.005
QUIET_NS = 300000  # what timers of an idle server may use between two reports
METER = None
NUMBERS = itertools.count()  # a path that was another cgroup's before would have that one's rows, too


def setUpModule():
    """One agent for all."""
    global METER
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)
    METER = agent.Agent()


def tearDownModule():
    """Ends the agent."""
    METER.stop()


def query(path, key="us"):
    """A number of a path's query."""
    return int(path.partition(key + "=")[2].partition("&")[0] or 0)


def percent(part, whole):
    """part of whole in percent."""
    return 100.0 * part / whole if whole else 0.0


def print_errors(name, pairs):
    """One line: how far rows are from what requests really cost. pairs: (row, truth in ns)."""
    whole = sum(truth for _, truth in pairs)
    errors = [row["cpu_ns"] - truth for row, truth in pairs]
    good = sum(abs(error) <= compare.cpu_bound(truth) for error, (_, truth) in zip(errors, pairs))
    print("%-44s %4d rows  within bounds %6.2f %%  too much %5.2f %%  too little %5.2f %% of all CPU  worst %+7.0f us" % (
        name, len(pairs), percent(good, len(pairs)), percent(sum(e for e in errors if e > 0), whole),
        percent(-sum(e for e in errors if e < 0), whole), max(errors, key=abs, default=0) / 1000), flush=True)
    return good


def print_waits(name, waits):
    """One line: unattended time against what the request waited for. waits: (row, microseconds)."""
    if not waits:
        return
    shares = sorted(row["unattended_ns"] / (1000 * us) for row, us in waits)
    print("%-44s %4d rows  unattended / awaited: least %.2f, median %.2f, most %.2f" % (
        name, len(waits), shares[0], shares[len(shares) // 2], shares[-1]), flush=True)


class Loops(unittest.TestCase):
    """What all loops share: a server in a cgroup of its own, so that the ledger is the server's."""

    def start(self, cls, *args, **options):
        """A running server in a new cgroup; what it used until now is noted."""
        if cls.missing():
            self.skipTest(cls.missing())
        try:
            self.cgroup = cgroups.Cgroup("reqmeter-loop-%d-%d" % (os.getpid(), next(NUMBERS)))
        except cgroups.CgroupError as error:
            self.skipTest(str(error))
        self.addCleanup(self.cgroup.remove)
        server = cls(*args, prefix=self.cgroup.prefix, **options)
        self.addCleanup(server.__exit__)
        self.before = self.sums(server)
        return server

    def run_plan(self, server, plan, clients):
        """(results, {id: row}) of a load; every request has one row."""
        results, _ = daemons.run_load(server.endpoint, plan, clients)
        ids = {result.id for result in results}
        rows = [row for row in daemons.settled(METER, "pid:%d" % server.pid, ids) if row["id"] in ids]
        self.assertEqual([], [result.id for result in results if result.status is None])
        self.assertEqual(sorted(ids), sorted(row["id"] for row in rows))
        return results, {row["id"]: row for row in rows}

    def check_sums(self, name, server):
        """Sum of rows + background = the threads' own clocks, to 0.5 %; so is the ledger's sum of requests."""
        now = self.sums(server)
        rows, requests, background, clock = (now[key] - self.before[key] for key in now)
        print("%-44s rows %.1f ms + background %.1f ms = %+.3f %% of its clocks; ledger's requests %+.3f %% of its rows" % (
            name, rows / 1e6, background / 1e6, percent(rows + background - clock, clock),
            percent(requests - rows, rows)), flush=True)
        accuracy.at_most(abs(rows + background - clock), SUM_SHARE * clock, name + ": rows + background, ns off the clocks")
        accuracy.at_most(abs(requests - rows), SUM_SHARE * clock, name + ": ledger's requests, ns off the rows")

    def sums(self, server):
        """Rows, ledger and clocks of the idle server, once two reports agree."""
        found = []

        def look():
            found.append(self.sums_now(server))
            return len(found) > 1 and all(abs(found[-1][key] - found[-2][key]) < QUIET_NS for key in found[-1])

        self.assertTrue(agent.poll_until(look, 10, 0.3), "the server does not come to rest: %s" % found[-2:])
        return found[-1]

    def sums_now(self, server):
        """What a report and the scheduler say."""
        report = METER.stats(scope="cgroup:" + self.cgroup.path, limit=100000)
        cpu = [entry for entry in report["cgroups"] if self.cgroup.owns(entry)][0]["ledger"]["cpu"]
        rows = report["requests"]["recent"] + report["requests"]["active"]
        return {"rows": sum(row["cpu_ns"] for row in rows), "requests": cpu["requests_ns"],
                "background": cpu["background_ns"], "clock": sum(fixtures.process_cpu_ns(pid) for pid in server.pids())}


class Epoll(Loops):
    """C loops, which know what each request cost."""

    @staticmethod
    def plan(seed=1):
        """Handlers at one go, handlers in turns, timers."""
        rng = random.Random(seed)
        kinds = {
            "burn": lambda: "/burn?us=%d" % rng.randint(50, 3000),
            "slices": lambda: "/slices?us=%d&n=%d" % (rng.randint(600, 3000), rng.randint(2, 6)),
            "sleep": lambda: "/sleep?us=%d" % rng.randint(2000, 10000),
            "late": lambda: "/late?us=%d" % rng.randint(600, 2000),
        }
        return [Request("GET", kinds[name](), b"") for name in rng.choices(list(kinds), [60, 20, 10, 10], k=REQUESTS)]

    def check_loop(self, name, *arguments, exact=True):
        """One client, then sixteen; then the sums."""
        server = self.start(loops.Epoll, *arguments)
        loads = {clients: self.run_plan(server, self.plan(clients), clients) for clients in (1, 16)}
        self.check_sums(name, server)
        server.stop()
        truth = {line["id"]: line["cpu_ns"] for line in server.truth()}
        for clients, (results, rows) in loads.items():
            label = "%s, %d clients" % (name, clients)
            print_waits(label + ": timers", [(rows[result.id], query(result.path)) for result in results
                                             if result.path.startswith("/sleep")])
            self.check_errors(label, rows, truth, exact)

    def check_errors(self, label, rows, truth, exact):
        """Rows against the server's own clock, by how sure they say they are; those that say `exact` must be right."""
        for word in ("exact", "boundary"):
            pairs = [(row, truth[name]) for name, row in rows.items() if row["attribution"]["confidence"] == word]
            if not pairs:
                continue
            good = print_errors("%s: %s" % (label, word), pairs)
            if word == "exact" and exact:
                wrong = [(row["id"], row["path"], row["cpu_ns"] // 1000, cpu // 1000) for row, cpu in pairs
                         if abs(row["cpu_ns"] - cpu) > compare.cpu_bound(cpu)]
                accuracy.at_least(good / len(pairs), EXACT_SHARE, label + ": exact and right",
                                  "exact and wrong (row, truth in us): %s" % wrong[:6])

    @accuracy.twice
    def test_loop(self):
        """One read for each event."""
        self.check_loop("epoll")

    @accuracy.twice
    def test_loop_that_drains(self):
        """Reads until nothing is left."""
        self.check_loop("epoll, drains", "--drain")

    @accuracy.twice
    def test_acceptor_and_loops(self):
        """One thread accepts, three loops serve."""
        self.check_loop("epoll, acceptor and loops", "--acceptor", "3")

    @accuracy.twice
    def test_workers(self):
        """A loop reads, workers write: their work before the write cannot be known."""
        self.check_loop("epoll, workers write", "--workers", "3")

    @accuracy.twice
    def test_workers_hand_back(self):
        """A loop reads and writes, workers work: unseen by any socket, so even a row that is the loop's alone lacks it."""
        self.check_loop("epoll, workers hand back", "--handback", "3", exact=False)


class Node(Loops):
    """Node's http: what the process used while a handler ran is what the handler cost, garbage collection included."""

    @accuracy.twice
    def test_node(self):
        """Handlers at one go, timers, and handlers that a timer calls."""
        rng = random.Random(1)
        paths = ["/burn?us=%d", "/sleep?us=%d", "/late?us=%d"]
        server = self.start(loops.Node)
        for clients in (1, 16):
            plan = [Request("GET", rng.choices(paths, [70, 15, 15])[0] % rng.randint(600, 5000), b"")
                    for _ in range(REQUESTS)]
            self.print_load("node, %d clients" % clients, *self.run_plan(server, plan, clients))
        self.check_sums("node", server)

    @staticmethod
    def print_load(label, results, rows):
        """What handlers cost against their rows, by route."""
        for path in ("/burn", "/late"):
            print_errors("%s: %s" % (label, path), [(rows[result.id], result.handler_cpu_ns) for result in results
                                                    if result.path.startswith(path)])
        print_waits(label + ": /sleep", [(rows[result.id], query(result.path)) for result in results
                                         if result.path.startswith("/sleep")])


class NginxProxy(Loops):
    """nginx before a C server: what it waited for the back end is nobody's time."""

    @accuracy.twice
    def test_proxy(self):
        """The back end sleeps or burns."""
        behind = fixtures.Server("c-thread", preload=False)
        self.addCleanup(behind.__exit__)
        front = self.start(nginx.Nginx, back=behind.endpoint, keep=8)
        rng = random.Random(1)
        for clients in (1, 16):
            plan = [Request("GET", "/back/%s?us=%d" % (rng.choice(("burn", "sleep")), rng.randint(1000, 5000)), b"")
                    for _ in range(REQUESTS)]
            results, rows = self.run_plan(front, plan, clients)
            self.print_load("nginx proxy, %d clients" % clients, results, rows, behind)
        self.check_sums("nginx proxy", front)

    @staticmethod
    def print_load(label, results, rows, behind):
        """Unattended time against the back end's row; nginx's own CPU has no other witness than its sum."""
        ids = {result.id for result in results}
        back = {row["id"]: row for row in daemons.settled(METER, "pid:%d" % behind.pid, ids)}
        print_waits(label + ": back end", [(rows[name], back[name]["duration_ns"] / 1000) for name in ids])
        cpu = sorted(rows[name]["cpu_ns"] for name in ids)
        print("%-44s %4d rows  own CPU: least %d us, median %d us, most %d us" % (
            label, len(cpu), cpu[0] // 1000, cpu[len(cpu) // 2] // 1000, cpu[-1] // 1000), flush=True)


if __name__ == "__main__":
    unittest.main()
