# SPDX-License-Identifier: MIT
"""The truth library and the servers prove themselves, without an agent."""
import collections
import http.server
import os
import threading
import unittest

import agent
import fixtures
import load

CLIENTS, REQUESTS = 8, 80


def run_time_ns(pid):
    """CPU of all live threads of a process by the scheduler (first field of schedstat), in ns."""
    total = 0
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, tid), encoding="ascii") as stat:
            total += int(stat.read().split()[0])
    return total


class Sink(http.server.BaseHTTPRequestHandler):
    """An upstream that remembers the ids it was asked with."""

    ids = []

    def do_GET(self):
        """Answers two bytes."""
        self.ids.append(self.headers["X-Request-ID"])
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        """No log."""


class Servers(unittest.TestCase):
    """Each kind of server: every request has exactly one line, and the line is plausible. Methods are made below."""

    def check_server(self, kind):
        """A mixed load against one server."""
        if fixtures.KINDS[kind].command[0] == fixtures.PYTHON and (reason := fixtures.missing_packages()):
            self.skipTest(reason)
        with fixtures.Server(kind) as server:
            results = server.load(load.mixed_plan(REQUESTS), CLIENTS)
            server.stop()
            lines = {(line["pid"], line["id"]): line for line in server.truth()}
            count = collections.Counter(line["id"] for line in server.truth())
        self.assertEqual([], [result for result in results if result.status != 200])
        self.assertEqual({result.id: 1 for result in results}, dict(count))
        by_id = {line["id"]: line for line in lines.values()}
        for result in results:
            self.check_line(result, by_id[result.id])

    def check_line(self, result, line):
        """What must hold for every line, whatever the machine does."""
        self.assertEqual(result.path.partition("?")[0], line["path"])
        self.assertGreaterEqual(line["cpu_low_ns"], result.handler_cpu_ns, line)
        self.assertLessEqual(line["cpu_low_ns"], line["cpu_ns"], line)
        self.assertLessEqual(line["start_mono_ns"], line["last_send_mono_ns"], line)
        self.assertLessEqual(line["last_send_mono_ns"], line["end_mono_ns"], line)
        self.assertGreaterEqual(line["start_mono_ns"], result.start_mono_ns, line)
        self.assertEqual(line["occupied_ns"], line["end_mono_ns"] - line["start_mono_ns"])
        # The two clocks are read one after the other, up to a thread's wait for a CPU apart: no bound on cpu here.
        self.assertGreater(line["received_bytes"], 0)
        self.assertGreater(line["sent_bytes"], 0)
        self.assertEqual((0, 0), (line["late"], line["pipelined"]), line)


class Library(unittest.TestCase):
    """Properties of the library that need a special load."""

    def connection(self, server):
        """A connection to the server that is closed at the end of the test at the latest."""
        sock = load.connect(server.endpoint)
        self.addCleanup(sock.close)
        return sock

    def check_sum(self, kind, share):
        """Sum of cpu_ns against what the scheduler says of the process: not above it, and at least `share` of it."""
        with fixtures.Server(kind) as server:
            before = run_time_ns(server.pid)
            client = load.Client(server.endpoint, keep_alive=True)
            plan = [load.Request("GET", "/burn?us=%d" % us, b"") for us in (300, 1000, 3000, 9000) * 25]
            for number, request in enumerate(plan):
                client.ask(request, "sum-%d" % number)
            spent = run_time_ns(server.pid) - before
            client.close()
            server.stop()
            lines = server.truth()
        total = sum(line["cpu_ns"] for line in lines)
        print("%s: truth %.1f ms of %.1f ms that the scheduler counts (%.2f %%)" % (
            kind, total / 1e6, spent / 1e6, 100 * total / spent))
        self.assertEqual(len(plan), len(lines))
        self.assertLessEqual(total, spent)
        self.assertGreaterEqual(total, share * spent)

    def test_sum_c(self):
        """C: almost all of the CPU lies inside requests."""
        self.check_sum("c-thread", 0.97)

    def test_sum_python(self):
        """Python, threaded: almost all of the CPU lies inside requests."""
        self.check_sum("python-threading", 0.95)

    def test_outgoing_is_not_inbound(self):
        """A request that the server makes itself has no line; its waiting is inside the line of the inbound one."""
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink) as sink:
            thread = threading.Thread(target=sink.serve_forever)
            thread.start()
            self.addCleanup(thread.join)
            self.addCleanup(sink.shutdown)
            for kind in ("c-thread", "python-threading", "python-forking", "gunicorn-sync"):
                with self.subTest(kind=kind):
                    self.check_outgoing(kind, "http://127.0.0.1:%d/" % sink.server_port)

    def check_outgoing(self, kind, url):
        """Ten inbound requests, each with one outgoing: ten lines."""
        with fixtures.Server(kind, env={"UPSTREAM_URL": url}) as server:
            results = server.load([load.Request("GET", "/upstream", b"")] * 10, 2)
            server.stop()
            lines = server.truth()
        self.assertEqual([200] * 10, [result.status for result in results])
        self.assertEqual({result.id for result in results}, {line["id"] for line in lines})
        self.assertEqual(10, len(lines))
        self.assertLessEqual({"up-" + result.id for result in results}, set(Sink.ids))

    def test_split_head(self):
        """A head that comes byte by byte begins at its first byte and has one line."""
        with fixtures.Server("c-thread") as server:
            sock = self.connection(server)
            for byte in load.head(load.Request("GET", "/burn?us=100", b""), "split", True):
                sock.send(bytes([byte]))
            self.assertEqual(200, load.read_answer(sock)[0])
            sock.close()
            server.stop()
            lines = server.truth()
        self.assertEqual(["split"], [line["id"] for line in lines])
        self.assertEqual("/burn", lines[0]["path"])

    def test_junk_has_no_line(self):
        """Bytes that are no HTTP leave no line, and the library goes on."""
        with fixtures.Server("c-thread") as server:
            sock = self.connection(server)
            sock.sendall(b"\x16\x03\x01\x00\xff rubbish\r\n\r\n")
            self.assertEqual(400, load.read_answer(sock)[0])
            sock.close()
            results = server.load([load.Request("GET", "/burn?us=100", b"")] * 3)
            server.stop()
            lines = server.truth()
        self.assertEqual([result.id for result in results], [line["id"] for line in lines])

    def test_killed_mid_request(self):
        """A server that is killed leaves whole lines only."""
        with fixtures.Server("c-thread") as server:
            done = server.load([load.Request("GET", "/burn?us=100", b"")] * 5)
            sock = self.connection(server)
            sock.sendall(load.head(load.Request("GET", "/burn?us=5000000", b""), "dies", True))
            agent.poll_until(lambda: run_time_ns(server.pid) > 20000000, 10)
            server.process.kill()
            server.stop()
            lines = server.truth()
        self.assertEqual({result.id for result in done}, {line["id"] for line in lines})


def add_test(kind):
    """One test method for a server of KINDS."""
    def test(self):
        self.check_server(kind)

    test.__doc__ = "lines of " + kind
    setattr(Servers, "test_" + kind.replace("-", "_"), test)


for name in fixtures.KINDS:
    add_test(name)

if __name__ == "__main__":
    unittest.main()
