# SPDX-License-Identifier: MIT
"""The truth library and the servers prove themselves, without an agent."""
import collections
import contextlib
import http.server
import io
import threading
import unittest

import accuracy
import agent
import fixtures
import load

CLIENTS, REQUESTS = 8, 80


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
            before = fixtures.process_cpu_ns(server.pid)
            client = load.Client(server.endpoint, keep_alive=True)
            plan = [load.Request("GET", "/burn?us=%d" % us, b"") for us in (300, 1000, 3000, 9000) * 25]
            for number, request in enumerate(plan):
                client.ask(request, "sum-%d" % number)
            spent = fixtures.process_cpu_ns(server.pid) - before
            client.close()
            server.stop()
            lines = server.truth()
        total = sum(line["cpu_ns"] for line in lines)
        print("%s: truth %.1f ms of %.1f ms that the scheduler counts (%.2f %%)" % (
            kind, total / 1e6, spent / 1e6, 100 * total / spent))
        self.assertEqual(len(plan), len(lines))
        self.assertLessEqual(total, spent)
        accuracy.at_least(total, share * spent, "ns of CPU inside requests")

    @accuracy.twice
    def test_sum_c(self):
        """C: almost all of the CPU lies inside requests."""
        self.check_sum("c-thread", 0.97)

    @accuracy.twice
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
            agent.poll_until(lambda: fixtures.process_cpu_ns(server.pid) > 20000000, 10)
            server.process.kill()
            server.stop()
            lines = server.truth()
        self.assertEqual({result.id for result in done}, {line["id"] for line in lines})


class Tries(unittest.TestCase):
    """accuracy.twice: what misses its bound is tried again once, what is wrong is not."""

    def outcome(self, *tries, skip_second=False):
        """(result, number of tries, what was printed) of a test with @twice, whose tries are these functions of a case."""
        made = []

        class Case(unittest.TestCase):
            """The test; each try has a resource of its own."""

            def setUp(self):
                """A resource that must be gone before the next is made."""
                if skip_second and made:
                    self.skipTest("not again")
                self.held = ["resource"]
                self.addCleanup(self.held.clear)

            @accuracy.twice
            def test(self):
                """Runs the next of the tries."""
                made.append(self.held)
                assert not any(made[:-1]), "the first try's resource is still there"
                tries[len(made) - 1](self)

        result, text = unittest.TestResult(), io.StringIO()
        with contextlib.redirect_stdout(text):
            Case("test").run(result)
        accuracy.AGAIN[:] = [name for name in accuracy.AGAIN if name != Case("test").id()]
        return result, len(made), text.getvalue()

    @staticmethod
    def share(figure):
        """A try that finds this share."""
        return lambda case: accuracy.at_least(figure, 0.99, "share")

    def test_hit(self):
        """A hit needs one try and says nothing."""
        result, n, text = self.outcome(self.share(0.99))
        self.assertEqual((True, 1, ""), (result.wasSuccessful(), n, text))

    def test_miss_then_hit(self):
        """Passes; both figures are printed."""
        result, n, text = self.outcome(self.share(0.986), self.share(0.998))
        self.assertEqual((True, 2), (result.wasSuccessful(), n))
        self.assertEqual(["first try: share 0.986, at least 0.99 MISSED", "second try: share 0.998, at least 0.99"],
                         text.splitlines())

    def test_two_misses(self):
        """Fails with both figures."""
        result, n, _ = self.outcome(self.share(0.986), self.share(0.98))
        self.assertEqual((1, 0, 2), (len(result.failures), len(result.errors), n))
        self.assertRegex(result.failures[0][1], "(?s)first try: share 0.986.*second try: share 0.98,")

    def test_other_miss_in_the_second_try(self):
        """Two misses are two misses, whichever figure it was."""
        result, n, _ = self.outcome(self.share(0.9), lambda case: accuracy.at_most(4.3e6, 3.9e6, "residual"))
        self.assertEqual((False, 2), (result.wasSuccessful(), n))

    def test_wrong_count(self):
        """Fails at once."""
        result, n, _ = self.outcome(lambda case: case.assertEqual(3, 4))
        self.assertEqual((1, 1), (len(result.failures), n))

    def test_wrong_count_after_a_miss(self):
        """A miss before it does not hide it, nor does it get a second try; the miss is told, too."""
        def both(case):
            accuracy.at_least(0.9, 0.99, "share")
            case.assertEqual(3, 4)

        result, n, text = self.outcome(both)
        self.assertEqual((1, 1), (len(result.failures), n))
        self.assertIn("3 != 4", result.failures[0][1])
        self.assertIn("share 0.9, at least 0.99 MISSED", text)

    def test_wrong_count_in_a_subtest(self):
        """A subtest that failed is final: no second try beside it, and the miss stands."""
        def both(case):
            with case.subTest(clients=1):
                case.assertEqual(3, 4)
            accuracy.at_least(0.9, 0.99, "share")

        result, n, _ = self.outcome(both)
        self.assertEqual((2, 1), (len(result.failures), n))

    def test_wrong_count_in_the_second_try(self):
        """Fails."""
        result, n, _ = self.outcome(self.share(0.9), lambda case: case.assertEqual(3, 4))
        self.assertEqual((False, 2), (result.wasSuccessful(), n))

    def test_error(self):
        """What is no assertion has no second try either."""
        result, n, _ = self.outcome(lambda case: {}["missing"])
        self.assertEqual((1, 1), (len(result.errors), n))

    def test_skip_after_a_miss(self):
        """A second try that cannot be made, or proves nothing, does not excuse the first."""
        for options in ({}, {"skip_second": True}):
            result, _, _ = self.outcome(self.share(0.9), lambda case: case.skipTest("too much steal"), **options)
            self.assertEqual((1, 0), (len(result.failures), len(result.skipped)))

    def test_subtest_that_misses(self):
        """Within a subtest a figure is kept for the test's end, like any other; a skipped one does no harm."""
        def within(figure):
            def run(case):
                with case.subTest(clients=1):
                    case.skipTest("no such route")
                with case.subTest(clients=4):
                    accuracy.at_least(figure, 0.99, "share")
            return run

        for figures, good, n_tries in (((1.0,), True, 1), ((0.9, 1.0), True, 2), ((0.9, 0.9), False, 2)):
            result, n, _ = self.outcome(*(within(figure) for figure in figures))
            self.assertEqual((good, n_tries), (result.wasSuccessful(), n), figures)

    def test_not_a_number(self):
        """No figure is no hit."""
        result, n, _ = self.outcome(self.share(float("nan")), self.share(float("nan")))
        self.assertEqual((False, 2), (result.wasSuccessful(), n))

    def test_without_twice(self):
        """A bound in a test without @twice is an assertion like others."""
        with self.assertRaises(accuracy.Missed):
            accuracy.at_most(2, 1, "residual")
        accuracy.at_most(1, 1, "residual")


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
