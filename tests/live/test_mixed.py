# SPDX-License-Identifier: MIT
"""nginx before gunicorn under mixed traffic, with junk on the same ports all the while.

No row is wrong, none is missing, none is double, and the agent does not grow. REQMETER_MIXED_SECONDS says for how long
(20; a release is tested with 60).
"""
import collections
import json
import os
import random
import socket
import subprocess
import threading
import time
import unittest

import agent
import daemons
import fixtures
import load
from load import Request
from servers import nginx

SECONDS = float(os.environ.get("REQMETER_MIXED_SECONDS", "20"))
CLIENTS = 6
RECENT = 5000  # rows that the agent keeps: few, so that what grows is not these
SERVERS = 2  # nginx and gunicorn behind it: a row each, for one request
BETWEEN_LOOKS = RECENT // 2  # rows that the clients may cause between two looks, so that none is lost to a late look
GROWTH_BYTES = 8 << 20
# Routes keep a tally of each half minute of the last quarter of an hour; junk makes as many routes as there may be.
TALLIES_BYTES, TALLY_SECONDS = 6 << 20, 30
LOSSES = ("rows", "heads_skipped", "ring_full", "requests_full", "sockets_full", "threads_full")

GOOD = [(Request("GET", path, b""), weight) for path, weight in (
    ("/small", 4), ("/middle", 2), ("/none", 1), ("/back/burn?us=200", 6), ("/back/burn?us=3000", 2),
    ("/back/sleep?us=5000", 2), ("/back/none", 1))] + [(Request("POST", "/back/echo", b"x" * 5000), 2)]


def setUpModule():
    """Without an agent there is nothing to test."""
    if reason := agent.skip_reason() or fixtures.missing_packages() or nginx.Nginx.missing():
        raise unittest.SkipTest(reason)


def map_entries(pid, name):
    """Number of entries of a BPF map that a process holds; None without bpftool."""
    tool = daemons.program("bpftool")
    if not tool:
        return None
    for number in os.listdir("/proc/%d/fdinfo" % pid):
        try:
            with open("/proc/%d/fdinfo/%s" % (pid, number), encoding="ascii") as info:
                found = [line.split()[1] for line in info if line.startswith("map_id:")]
        except OSError:
            continue
        if found and bpftool(tool, "show", found[0]).get("name") == name:
            return len(bpftool(tool, "dump", found[0]))
    return None


def bpftool(tool, what, number):
    """JSON of `bpftool map`."""
    return json.loads(subprocess.run([tool, "-j", "map", what, "id", number], capture_output=True, check=True).stdout)


def rss_bytes(pid):
    """Resident memory of a process."""
    with open("/proc/%d/status" % pid, encoding="ascii") as status:
        return 1024 * int([line for line in status if line.startswith("VmRSS")][0].split()[1])


class Allowance:
    """What may be done until the next look: a fast machine must not outrun the test's own eyes."""

    def __init__(self):
        self.changed, self.left, self.over = threading.Condition(), BETWEEN_LOOKS, False

    def take(self, n):
        """Waits until n more rows may come."""
        with self.changed:
            self.changed.wait_for(lambda: self.left >= n or self.over)
            self.left -= n
            if self.left < BETWEEN_LOOKS // 2:
                self.changed.notify_all()

    def wait_until_short(self, seconds):
        """Until half is taken, or time is up."""
        with self.changed:
            self.changed.wait_for(lambda: self.left < BETWEEN_LOOKS // 2, seconds)

    def renew(self):
        """A look begins."""
        with self.changed:
            self.left = BETWEEN_LOOKS
            self.changed.notify_all()

    def end(self):
        """Nobody waits any more."""
        with self.changed:
            self.over = True
            self.changed.notify_all()


class Background:
    """Threads that work until the block ends."""

    def __init__(self, *works):
        self.stop, self.errors = threading.Event(), []
        self.threads = [threading.Thread(target=self.run, args=(work,)) for work in works]

    def run(self, work):
        """Calls work until it is time to stop; what it raises fails the test."""
        try:
            while not self.stop.is_set():
                work()
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


class Good:
    """One client: a request at a time, on a connection that is kept for a while."""

    def __init__(self, endpoint, number, allowance):
        self.endpoint, self.rng, self.allowance = endpoint, random.Random(number), allowance
        self.prefix, self.asked = load.unique_prefix(), []

    def work(self):
        """Up to ten requests on one connection."""
        client = load.Client(self.endpoint, keep_alive=True)
        for _ in range(self.rng.choice((1, 2, 10))):
            request = self.rng.choices([request for request, _ in GOOD], [weight for _, weight in GOOD])[0]
            self.allowance.take(SERVERS)
            result = client.ask(request, "%s-%05d" % (self.prefix, len(self.asked)))
            self.asked.append((request, result))
        client.close()


class Junk:
    """Connections on which no good client speaks. Ids of heads among it begin with "junk"."""

    def __init__(self, endpoint, seed, allowance):
        self.endpoint, self.rng, self.allowance, self.n = endpoint, random.Random(seed), allowance, 0

    def head(self, path="/back/burn?us=20000"):
        """A good head."""
        return load.head(Request("GET", path, b""), "junk-%d" % self.rng.getrandbits(40), True)

    def bytes(self):
        """What one connection sends."""
        rng = self.rng
        return rng.choice((
            lambda: rng.randbytes(rng.randint(1, 5000)),
            lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(300),
            lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(50),
            lambda: b"\0" * 3000,
            lambda: b"GET /" + rng.randbytes(100).replace(b"\n", b"") + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            lambda: b"GET / HTTP/1.1\r\nX-Request-ID: junk-\"\\\x01\xff\r\n" + b"X: y\r\n" * 3000 + b"\r\n",
            lambda: b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID: junk-" + b"z" * 100000,
            lambda: b"POST /back/echo HTTP/1.1\r\nHost: x\r\nX-Request-ID: junk\r\nContent-Length: 99999\r\n\r\nfew",
            lambda: self.head()[:rng.randint(1, 60)],
            lambda: self.head("/small") * rng.randint(2, 5),
            self.head,
        ))()

    def work(self):
        """One connection: closed at once, reset, or after what comes back."""
        self.n += 1
        data = self.bytes()
        self.allowance.take(max(SERVERS, data.count(b"HTTP/1.1")))
        with load.connect(self.endpoint) as sock:
            sock.settimeout(0.3)
            try:
                sock.sendall(data)
                end = self.rng.choice(("close", "reset", "read", "read"))
                if end == "read":
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
                elif end == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            except OSError:
                pass


class Watch:
    """Collects rows as they come, and what the agent occupies."""

    def __init__(self, meter, allowance):
        self.meter, self.allowance, self.rows, self.missed = meter, allowance, {}, 0
        self.parked, self.rss, self.in_flight = [], [], None

    def look(self):
        """All rows since the last look; memory."""
        self.allowance.renew()
        after, more = max(self.rows, default=0), 1
        while more:
            requests = self.meter.stats(after=after, limit=100000, sections="requests")["requests"]
            more = len(requests["recent"])
            self.rows.update((row["seq"], row) for row in requests["recent"])
            self.missed += requests["missed"] or 0
            self.in_flight = requests["counts"]["in_flight"]
            after = requests["next_after"]
        self.parked.append(map_entries(self.meter.pid, "parked"))
        self.rss.append(rss_bytes(self.meter.pid))

    def work(self):
        """A look each second, or when there is much to see."""
        self.look()
        self.allowance.wait_until_short(1)


class Mixed(unittest.TestCase):
    """The one long test."""

    def check_none(self, what, found):
        """Fails with the first few of what should not be there."""
        self.assertFalse(found, "%d %s: %s" % (len(found), what, found[:6]))

    def test_mixed(self):
        """Good requests have their rows, whatever else comes."""
        behind = fixtures.Server("gunicorn-gthread", preload=False)
        self.addCleanup(behind.__exit__)
        front = nginx.Nginx(workers=2, back=behind.endpoint, keep=4)
        self.addCleanup(front.__exit__)
        meter = agent.Agent("--recent", str(RECENT), "--max-rows-per-second", "1000000",
                            "--scope", "pid:%d" % behind.pid, "--scope", "pid:%d" % front.process.pid)
        self.addCleanup(meter.stop)
        allowance = Allowance()
        good = [Good(front.endpoint, number, allowance) for number in range(CLIENTS)]
        junk = [Junk(endpoint, seed, allowance)
                for seed, endpoint in enumerate((front.endpoint, front.endpoint, behind.endpoint))]
        watch = Watch(meter, allowance)
        with Background(*(one.work for one in [*good, *junk, watch])) as background:
            time.sleep(SECONDS)
            allowance.end()
        self.check_none("threads failed", background.errors)
        asked = [pair for one in good for pair in one.asked]
        self.wait_for_rest(watch, {result.id for _, result in asked})
        pids = {"nginx": set(front.pids()), "gunicorn": set(behind.pids())}
        self.report(watch, asked, junk)
        self.check_losses(watch, meter)
        self.check_rows(asked, list(watch.rows.values()), pids)
        self.check_size(watch)

    def wait_for_rest(self, watch, ids):
        """Until every request has a row and nothing is in flight or parked."""
        def look():
            watch.look()
            return ids <= {row["id"] for row in watch.rows.values()} and not watch.in_flight and not watch.parked[-1]

        agent.poll_until(look, 15, 0.3)

    @staticmethod
    def report(watch, asked, junk):
        """What happened, in two lines."""
        sure = collections.Counter(row["attribution"]["confidence"] for row in watch.rows.values())
        print("mixed: %d good requests, %d connections with junk, %d rows in all (%s)" % (
            len(asked), sum(one.n for one in junk), len(watch.rows), dict(sure)))
        rss = [size >> 10 for size in watch.rss]
        print("mixed: parked at most %s, %s at the end; agent's memory %d KiB, at most %d, %d at the end" % (
            max((n or 0 for n in watch.parked)), watch.parked[-1], rss[len(rss) // 4], max(rss), rss[-1]), flush=True)

    def check_rows(self, asked, rows, pids):
        """One row in nginx for each good request, one in gunicorn for those that went there; right ones."""
        by_id = collections.defaultdict(list)
        for row in rows:
            by_id[row["id"]].append(row)
        self.check_none("not answered", [result.id for _, result in asked if result.status is None])
        wrong = []
        for request, result in asked:
            found = by_id.pop(result.id, [])
            where = sorted(name for row in found for name, group in pids.items() if row["pid"] in group)
            wanted = ["gunicorn", "nginx"] if request.path.startswith("/back/") else ["nginx"]
            if where != wanted or len(found) != len(wanted):
                wrong.append((result.id, request.path, "rows in %s" % where))
            wrong += [(result.id, *words) for row in found if (words := self.differences(request, result, row, pids))]
        self.check_none("wrong, missing or double", wrong)
        self.check_none("rows of nobody", [(name, row["path"]) for name, found in by_id.items() for row in found
                                           if row["id_source"] == "x-request-id" and
                                           not name.startswith(("junk", "probe"))])

    @staticmethod
    def differences(request, result, row, pids):
        """Words for each field that is not as asked and answered."""
        path = request.path.partition("?")[0]
        if row["pid"] in pids["gunicorn"]:
            path = path.removeprefix("/back")
        wanted = {"method": request.method, "path": path, "status": result.status, "outcome": "completed"}
        return ["%s %r" % (name, row[name]) for name, want in wanted.items() if row[name] != want]

    def check_losses(self, watch, meter):
        """Nothing was lost."""
        losses = meter.stats(limit=0)["agent"]["losses"]
        self.assertEqual(0, watch.missed, "rows overran the agent's ring between two looks")
        self.assertEqual({name: 0 for name in LOSSES}, {name: losses[name] for name in LOSSES})

    def check_size(self, watch):
        """Nothing is left parked or in flight, memory came to a level."""
        self.assertEqual(0, watch.in_flight, "requests in flight after the end")
        self.assertIn(watch.parked[-1], (0, None), "parked after the end")
        growth = watch.rss[-1] - watch.rss[len(watch.rss) // 4]
        tallies = TALLIES_BYTES * (1 + SECONDS / TALLY_SECONDS)
        self.assertLess(growth, GROWTH_BYTES + tallies, "the agent grew by %d KiB" % (growth >> 10))


if __name__ == "__main__":
    unittest.main()
