# SPDX-License-Identifier: MIT
"""Kept rows, routes, pages and many readers, against what the load generator did. Times are ns unless said.

REQMETER_RETENTION_REQUESTS: how many requests end before the report's time is printed a second time (default 10000);
a million shows that it stays flat.
"""
import collections
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import threading
import time
import unittest

import agent
import fixtures
import load

MANY = int(os.environ.get("REQMETER_RETENTION_REQUESTS", "10000"))
N_HIGHEST = 16
QUERIES = ("", "limit=0", "limit=100000", "pretty=1", "window=all&sort=cpu", "after=0&limit=10", "id=%22%5C",
           "sections=requests,drum_info", "sections=time_info", "status=5xx", "scope=self", "window=1m&sort=peak",
           "sections=schema_version,drum_info,agent&pretty=1")


def setUpModule():
    """Without an agent there is nothing to ask."""
    if reason := agent.skip_reason():
        raise unittest.SkipTest(reason)


def plan_of(n):
    """n cheap requests of four routes, one of them unknown to the server, in a fixed mix."""
    kinds = [load.Request("GET", "/burn?us=%d" % us, b"") for us in (20, 50, 400)]
    kinds += [load.Request("POST", "/echo", b"x" * 100), load.Request("GET", "/sleep?us=300", b""),
              load.Request("GET", "/nowhere/%d" % 1234567, b"")]
    return [kinds[i * 7 % len(kinds)] for i in range(n)]


def route_of(request):
    """(method, route) as the agent should name it."""
    path = request.path.partition("?")[0]
    return request.method, path.replace("1234567", "{id}")


class Follower:
    """Reads all rows as they come, page by page, in a thread of its own."""

    def __init__(self, meter, limit):
        self.meter, self.limit = meter, limit
        self.rows, self.missed, self.after = [], 0, 0
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def page(self):
        """Reads one page; True if it brought anything."""
        requests = self.meter.stats(sections="requests", after=self.after, limit=self.limit)["requests"]
        self.rows += requests["recent"]
        self.missed += requests["missed"]
        before, self.after = self.after, requests["next_after"]
        return self.after > before

    def follow(self):
        """Until told to end, and then until nothing more comes."""
        while self.page() or not self.ends.is_set():
            time.sleep(0.01)

    def done(self):
        """Stops when all is read."""
        self.ends.set()
        self.thread.join()


class WithServer(unittest.TestCase):
    """A server in C, and an agent that watches it alone."""

    settings = ()

    def setUp(self):
        self.server = fixtures.Server("c-thread", preload=False)
        self.addCleanup(self.server.remove)
        self.addCleanup(self.server.stop)
        self.meter = agent.Agent("--scope", "pid:%d" % self.server.pid, "--max-rows-per-second", "1000000",
                                 *self.settings)
        self.addCleanup(self.meter.stop)

    def finished(self, n, seconds=20):
        """The requests section once n have ended."""
        def look():
            return self.meter.stats(sections="requests", limit=0)["requests"]["counts"]["finished"] >= n

        self.assertTrue(agent.poll_until(look, seconds, 0.05), "not all requests have ended")
        time.sleep(0.1)
        return self.meter.stats(sections="requests,agent", window="all", limit=100000)


class Kept(WithServer):
    """A small ring, so that most rows go."""

    settings = ("--recent", "200")

    def test_what_is_kept_and_what_is_counted(self):
        """Routes sum up all requests, rows and pages hold together, top is the highest of all."""
        plan = plan_of(3000)
        follower = Follower(self.meter, 37)
        try:
            results = self.server.load(plan, clients=4)
        finally:
            follower.done()
        self.assertEqual({200, 404}, {result.status for result in results})
        report = self.finished(len(plan))
        requests = report["requests"]
        self.assertEqual(len(plan), requests["counts"]["finished"])
        self.check_pages(follower, len(plan))
        self.check_routes(requests["routes"], plan, follower)
        self.check_kept(requests, follower)
        self.assertEqual(0, report["agent"]["losses"]["ring_full"])

    def check_pages(self, follower, n):
        """No gap, no double."""
        seqs = [row["seq"] for row in follower.rows]
        self.assertEqual(len(set(seqs)), len(seqs))
        self.assertEqual(n, len(seqs) + follower.missed)
        self.assertEqual(n, follower.after)

    def check_routes(self, routes, plan, follower):
        """Counts are the load generator's; sums, where the follower saw every row, those of the rows."""
        wanted = collections.Counter(map(route_of, plan))
        self.assertEqual(dict(wanted), {(row["method"], row["route"]): row["count"] for row in routes})
        self.assertEqual([0] * len(routes), [row["errors"] for row in routes])
        for row in routes:
            same = [r for r in follower.rows if (r["method"], r["route"]) == (row["method"], row["route"])]
            for name in ("cpu_ns", "duration_ns"):
                values = sorted(r[name] for r in same)
                self.assertLessEqual(values[-1], row[name]["max"])
                self.assertLessEqual(sum(values), row[name]["sum"])
                if not follower.missed:
                    self.assertEqual((values[-1], sum(values)), (row[name]["max"], row[name]["sum"]))
                    self.check_quantile(values, 0.5, row[name]["p50"])
                    self.check_quantile(values, 0.99, row[name]["p99"])

    def check_quantile(self, values, share, shown):
        """Within the documented bound of the exact one (nearest rank)."""
        exact = values[max(1, -(-int(share * 1000) * len(values) // 1000)) - 1]
        self.assertLessEqual(abs(exact - shown), max(exact / 32, 512))

    def check_kept(self, requests, follower):
        """The newest are all there, in order; those that are kept for longer say why; top is exact."""
        rows = requests["recent"]
        seqs = [row["seq"] for row in rows]
        self.assertEqual(sorted(seqs, reverse=True), seqs)
        last = max(seqs)
        for row in rows:
            self.assertEqual(row["seq"] > last - 200, row["kept_because"] == "recent", row)
        reasons = {row["kept_because"] for row in rows}
        self.assertLessEqual({"recent", "cpu", "duration"}, reasons)
        self.assertLessEqual(reasons, {"recent", "cpu", "peak", "growth", "duration", "runqueue", "blocked", "error"})
        self.assertLess(len(rows), 200 + 8 * 5 * N_HIGHEST)
        # Of peak and growth those have a place that are above 0: few of a server that keeps nothing.
        self.assertLessEqual({row["memory"]["peak_growth_bytes"] > 0 for row in requests["top"]["peak"]}, {True})
        for name, key in (("cpu", "cpu_ns"), ("duration", "duration_ns")):
            top = [row[key] for row in requests["top"][name]]
            self.assertEqual(N_HIGHEST, len(top))
            if not follower.missed:
                self.assertEqual(sorted((row[key] for row in follower.rows), reverse=True)[:N_HIGHEST], top)
            self.assertLessEqual({row["seq"] for row in requests["top"][name]}, set(seqs))

    def test_who_comes_late_is_told_what_is_gone(self):
        """Rows that fell out are in `missed`, page by page, and those that were kept come nevertheless."""
        self.server.load(plan_of(1000), clients=4)
        self.finished(1000)
        late = Follower(self.meter, 50)
        late.done()
        self.assertEqual(1000, len(late.rows) + late.missed)
        self.assertGreater(late.missed, 300)
        self.assertTrue(any(row["kept_because"] == "cpu" for row in late.rows))

    def test_narrow_scopes_have_their_own_routes(self):
        """The server's process has them all, this one none."""
        self.server.load(plan_of(60), clients=2)
        self.finished(60)
        own = self.meter.stats(sections="requests", scope="pid:%d" % self.server.pid, window="all")["requests"]
        self.assertEqual(60, sum(row["count"] for row in own["routes"]))
        self.assertEqual(N_HIGHEST, len(own["top"]["cpu"]))


class Valid(WithServer):
    """Whatever is asked, the answer is JSON."""

    def test_json_tool_and_jq(self):
        """python3 -m json.tool and jq read every report."""
        tools = [["/usr/bin/python3", "-m", "json.tool"]] + ([["jq", "."]] if shutil.which("jq") else [])
        weird = [load.Request("GET", path, b"") for path in ("/%00%ff", "/\xff\xfe\"\\", "/" + "a" * 900, "/" + "/9" * 99)]
        self.server.load(plan_of(50) + weird, clients=2)
        for query in QUERIES:
            status, body = self.meter.get("/stats/?" + query)
            self.assertIn(status, (200, 400), query)
            for tool in tools:
                done = subprocess.run(tool, input=body, capture_output=True, check=False)
                self.assertEqual(0, done.returncode, (query, done.stderr))


class SlowReader:
    """Reads a little ten times a second, as long as `ends` is not set, and then all the rest."""

    def __init__(self, sock, ends):
        self.sock, self.ends = sock, ends
        self.data, self.n_before = b"", 0
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        """Until the server closes."""
        while not self.ends.wait(0.1):
            self.data += self.sock.recv(4096)
        self.n_before = len(self.data)
        parts = [self.data]
        while part := self.sock.recv(1 << 20):
            parts.append(part)
        self.data = b"".join(parts)

    def body(self):
        """The whole answer's."""
        self.thread.join()
        self.sock.close()
        head, _, body = self.data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        if length != len(body):
            raise ConnectionError("%d of %d bytes" % (len(body), length))
        return body


class Readers(WithServer):
    """Many readers, slow ones among them."""

    settings = ("--recent", "100000")

    def ask_slowly(self):
        """A connection that asked for everything."""
        sock = socket.create_connection(("127.0.0.1", self.meter.port), timeout=30)
        sock.sendall(b"GET /stats/?limit=100000&sections=requests HTTP/1.1\r\nHost: localhost\r\n"
                     b"Connection: close\r\n\r\n")
        return sock

    def poll(self, ends, times):
        """Reads small reports until told to end; the longest time of one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.meter.port, timeout=30)
        n = 0
        while not ends.is_set():
            begin = time.monotonic()
            connection.request("GET", "/stats/?limit=%d" % (n % 50))
            answer = connection.getresponse()
            json.loads(answer.read())
            times.append((time.monotonic() - begin, answer.status))
            n += 1
            time.sleep(0.01)

    def test_slow_readers_hold_up_nobody(self):
        """While some do not read and others ask for long reports, short ones come and no record is lost."""
        self.server.load(plan_of(MANY // 2), clients=4)
        ends, times = threading.Event(), []
        slow = [SlowReader(self.ask_slowly(), ends) for _ in range(20)]
        pollers = [threading.Thread(target=self.poll, args=(ends, times)) for _ in range(2)]
        for poller in pollers:
            poller.start()
        self.server.load(plan_of(1000), clients=4)
        self.assertEqual(200, self.meter.get("/healthz")[0])
        ends.set()
        for poller in pollers:
            poller.join()
        report = self.finished(MANY // 2 + 1000)
        self.assertEqual(0, report["agent"]["losses"]["ring_full"])
        self.assertEqual({200}, {status for _, status in times})
        self.assertLess(max(reader.n_before for reader in slow), 5000000, "they should still be reading")
        print("%d short reports beside 20 unread ones: median %.1f ms, longest %.1f ms, agent RSS %.0f MB" %
              (len(times), 1e3 * statistics.median(t for t, _ in times), 1e3 * max(times)[0],
               report["agent"]["rss_bytes"] / 1e6))
        for reader in slow:
            self.assertGreater(len(json.loads(reader.body())["requests"]["recent"]), MANY // 4)

    def test_a_stop_in_the_middle(self):
        """Readers of long reports do not keep the agent from ending."""
        self.server.load(plan_of(2000), clients=4)
        slow = [self.ask_slowly() for _ in range(10)]
        self.assertEqual(0, self.meter.stop(), self.meter.stderr())
        for sock in slow:
            sock.close()


class Cost(WithServer):
    """What a report takes: printed, not judged."""

    def median_ms(self, query):
        """(first byte to last, median of 200 on one connection) in ms; query: function of a number."""
        connection = http.client.HTTPConnection("127.0.0.1", self.meter.port, timeout=30)
        times = []
        for i in range(200):
            begin = time.monotonic()
            connection.request("GET", "/stats/?" + query(i))
            size = len(connection.getresponse().read())
            times.append(1e3 * (time.monotonic() - begin))
        return statistics.median(times), size

    def print_times(self, n):
        """A report that others share, and one that is made for each reading (no two ask the same)."""
        shared = self.median_ms(lambda i: "limit=100")
        own = self.median_ms(lambda i: "limit=100&since=%d" % (i + 1))
        by_cpu = self.median_ms(lambda i: "limit=100&sort=cpu&since=%d" % (i + 1))
        print("after %d requests, %d B: shared %.2f ms, made each time %.2f ms, sorted by cpu %.2f ms" %
              (n, shared[1], shared[0], own[0], by_cpu[0]))

    def test_limit_100(self):
        """10,000 finished and 200 active rows; then many more."""
        self.server.load(plan_of(10000), clients=4)
        waiting = [load.connect(self.server.endpoint) for _ in range(200)]
        for sock in waiting:
            sock.sendall(load.head(load.Request("GET", "/sleep?us=100000000", b""), "waits", True))
        self.assertTrue(agent.poll_until(
            lambda: self.meter.stats(sections="requests", limit=0)["requests"]["counts"]["in_flight"] == 200, 20))
        self.print_times(10000)
        done = 10000
        while done < MANY:
            part = min(50000, MANY - done)
            self.server.load(plan_of(part), clients=4)
            done += part
        if done > 10000:
            self.print_times(done)
        report = self.meter.stats(sections="requests,agent", limit=100)
        self.assertEqual((100, 100), tuple(len(report["requests"][name]) for name in ("active", "recent")))
        self.assertLess(report["agent"]["rss_bytes"], report["agent"]["memory_bound_bytes"])
        for sock in waiting:
            sock.close()


if __name__ == "__main__":
    unittest.main()
