# SPDX-License-Identifier: MIT
"""FastAPI applications under uvicorn, with asyncio and uvloop: ids, following, and /stats/ for DRUM's clients."""
import concurrent.futures
import contextlib
import os
import socket
import tempfile
import time
import unittest

import drum
import fakes
import loops
import servers

CLIENTS = 20
REQUESTS = 16  # of each client, on one connection
PATHS = ("/async/3", "/sync/1", "/background", "/cancelled")
STATS_SECONDS = 0.2
# Where the agent is meant to answer, a busy machine must not make it too slow.
PATIENT = {"REQMETER_TIMEOUT_MS": "10000"}


class FollowTest(unittest.TestCase):
    """The application that looks at itself."""

    def ask_many(self, server, number):
        """A client's requests one after another; returns those that were not as they should be, and how many looks."""
        bad, looks = [], 0
        with server.client() as client:
            for request in range(REQUESTS):
                name = "client-%d-%d" % (number, request)
                path = PATHS[request % len(PATHS)]
                status, headers, answer = client.ask(path, headers={"X-Request-ID": name})
                right = (status, headers.get_all("X-Request-ID"), answer["id"], headers["X-Middleware-Right"],
                         answer["wrong"]) == (200, [name], name, "True", 0)
                bad += [] if right else [(path, status, dict(headers), answer)]
                looks += answer["looks"]
        return bad, looks

    @staticmethod
    def background_looks(server, n_wanted):
        """What the background tasks saw; waits until so many have run, 10 s at most."""
        end = time.monotonic() + 10
        with server.client() as client:
            while len(looks := client.ask("/background-looks")[2]) < n_wanted and time.monotonic() < end:
                time.sleep(0.02)
        return looks

    def test_concurrent_clients(self):
        for loop in loops.LOOPS:
            with self.subTest(loop=loop), servers.probe(loop) as server:
                with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
                    results = list(pool.map(lambda number: self.ask_many(server, number), range(CLIENTS)))
                self.assertEqual([bad for bad, _ in results if bad], [])
                self.assertGreater(sum(looks for _, looks in results), CLIENTS * REQUESTS)
                n_background = CLIENTS * REQUESTS // len(PATHS)
                background = self.background_looks(server, n_background)
                self.assertEqual((len(background), all(background)), (n_background, True))

    def test_errors_and_clients_that_go_away(self):
        for loop in loops.LOOPS:
            with self.subTest(loop=loop), servers.probe(loop) as server:
                for number in range(5):
                    with socket.create_connection(("127.0.0.1", server.port)) as sock:
                        sock.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    with server.client() as client:
                        self.assertEqual(client.ask("/fails")[0], 500)
                    with server.client() as client:
                        answer = client.ask("/async/3", headers={"X-Request-ID": "after-%d" % number})[2]
                        self.assertEqual((answer["id"], answer["wrong"]), ("after-%d" % number, 0))

    def test_pipelined_requests(self):
        """Heads that are read while an earlier request of the connection is at work."""
        for loop in loops.LOOPS:
            with self.subTest(loop=loop), servers.probe(loop) as server:
                with socket.create_connection(("127.0.0.1", server.port)) as sock, sock.makefile("rb") as answers:
                    names = ["pipelined-%d" % number for number in range(10)]
                    head = "GET /async/2 HTTP/1.1\r\nHost: a\r\nX-Request-ID: %s\r\n\r\n"
                    sock.sendall("".join(head % name for name in names).encode())
                    for name in names:
                        answer = servers.read_answer(answers)
                        self.assertEqual((answer["id"], answer["wrong"]), (name, 0))

    def test_own_request_row(self):
        with fakes.FakeAgent() as agent:
            for loop in loops.LOOPS:
                with self.subTest(loop=loop), servers.probe(loop, REQMETER_AGENT=agent.address, **PATIENT) as server:
                    with server.client() as client:
                        report = client.ask("/own", headers={"X-Request-ID": "mine"})[2]
                    self.assertEqual(report["request"]["id"], "mine")
                    self.assertEqual(agent.queries[-1]["id"], "mine")


class ExampleTest(unittest.TestCase):
    """The example of the package."""

    def test_endpoints(self):
        for loop in loops.LOOPS:
            with self.subTest(loop=loop), servers.example(loop) as server:
                with server.client() as client:
                    for path in ("/items/7", "/reports/7"):
                        status, headers, answer = client.ask(path, headers={"X-Request-ID": "an-id"})
                        self.assertEqual(status, 200)
                        self.assertEqual((answer["request_id"], headers["X-Request-ID"]), ("an-id", "an-id"))
                    self.assertEqual(len(client.ask("/predict/", "POST", body='{"rows": 3}')[2]["predictions"]), 3)
                    drum.check_report(self, client.ask("/stats/")[2])

    def test_without_the_extension(self):
        with servers.example("asyncio", REQMETER_NATIVE="0") as server, server.client() as client:
            status, headers, answer = client.ask("/items/7", headers={"X-Request-ID": "an-id"})
            self.assertEqual((status, answer["request_id"], headers["X-Request-ID"]), (200, "an-id", "an-id"))
            drum.check_report(self, client.ask("/stats/")[2])


@contextlib.contextmanager
def no_agent():
    """Nobody there."""
    yield "unix:/nowhere"


AGENTS = {"down": no_agent, "refusing": lambda: contextlib.nullcontext(fakes.closed_port()),
          "hung": lambda: fakes.misbehaving("hangs"), "forbidding": lambda: fakes.misbehaving("refuses"),
          "dripping": lambda: fakes.misbehaving("drips"), "garbage": lambda: fakes.misbehaving("garbage")}


class DrumClientTest(unittest.TestCase):
    """DRUM's clients ask the application's own port, without a query."""

    def check_own_report(self, server):
        """Predictions, then reports: the times of this worker, in time, never an error."""
        with server.client() as client:
            self.assertEqual(client.ask("/stats/")[0], 200)
            for _ in range(3):
                self.assertEqual(client.ask("/predict/", "POST")[0], 200)
            seconds, report = [], None
            for number in range(4):
                start = time.monotonic()
                status, _, answer = client.ask("/stats/")
                seconds.append(time.monotonic() - start)
                self.assertEqual(status, 200)
                report = report or answer
            self.assertLess(min(seconds), STATS_SECONDS)
        drum.check_report(self, report)
        self.assertEqual((report["agent"], report["sources"]["time_info"], report["pid"]),
                         (None, "worker", server.process.pid))
        _, total, average = drum.perf_test(report, in_docker=False)
        self.assertGreater(total, report["mem_info"]["drum_rss"])
        self.assertEqual(report["time_info"]["run_predictor_total"]["count"], 3)
        # The three and the report before them.
        self.assertEqual(report["time_info"]["all_requests"]["count"], 4)
        self.assertGreaterEqual(average, 0.02)

    def test_without_a_usable_agent(self):
        for name, agent in AGENTS.items():
            with self.subTest(agent=name), agent() as address:
                with servers.probe("uvloop" if name == "hung" else "asyncio", REQMETER_AGENT=address) as server:
                    self.check_own_report(server)

    def test_every_misbehaviour(self):
        """One application, and one agent after another at the same address: 200, whole and in time, whatever it says."""
        with tempfile.TemporaryDirectory(prefix="reqmeter-") as directory:
            path = os.path.join(directory, "agent")
            with servers.probe("asyncio", REQMETER_AGENT="unix:" + path) as server, server.client() as client:
                for kind in sorted(fakes.MISBEHAVIOUR.keys() - fakes.SILENT):
                    with self.subTest(kind=kind), fakes.misbehaving(kind, path):
                        seconds = []
                        for _ in range(3):
                            start = time.monotonic()
                            status, _, report = client.ask("/stats/")
                            seconds.append(time.monotonic() - start)
                            self.assertEqual(status, 200)
                            drum.check_report(self, report)
                        self.assertLess(min(seconds), STATS_SECONDS)

    def test_first_report_with_a_hung_agent(self):
        """The one that finds out; every try needs an application of its own."""
        seconds = []
        with fakes.misbehaving("hangs") as address:
            for _ in range(3):
                with servers.probe("asyncio", REQMETER_AGENT=address) as server, server.client() as client:
                    client.ask("/sync/1")
                    start = time.monotonic()
                    self.assertEqual(client.ask("/stats/")[0], 200)
                    seconds.append(time.monotonic() - start)
        self.assertGreaterEqual(min(seconds), 0.1)
        self.assertLess(min(seconds), STATS_SECONDS)

    def test_requests_go_on_while_the_agent_hangs(self):
        with fakes.misbehaving("hangs") as address:
            with servers.probe("asyncio", REQMETER_AGENT=address, REQMETER_TIMEOUT_MS="2000") as server:
                with server.client() as slow, server.client() as client:
                    with concurrent.futures.ThreadPoolExecutor(1) as pool:
                        report = pool.submit(slow.ask, "/stats/")
                        answered = 0
                        while not report.done():
                            self.assertEqual(client.ask("/async/1")[2]["wrong"], 0)
                            answered += 1
                        self.assertEqual(report.result()[0], 200)
                # 2 s: hundreds of them. A loop that waits would answer two.
                self.assertGreater(answered, 10)

    def test_with_an_agent(self):
        with fakes.FakeAgent() as agent:
            for loop in loops.LOOPS:
                with self.subTest(loop=loop), servers.probe(loop, REQMETER_AGENT=agent.address, **PATIENT) as server:
                    with server.client() as client:
                        report = client.ask("/stats/")[2]
                    drum.check_report(self, report)
                    self.assertEqual(drum.perf_test(report, in_docker=True), (800.0, 1000.5, 1.0))
                    self.assertEqual(drum.perf_test(report, in_docker=False), (30.0, 1000.5, 1.0))
                    self.assertEqual((agent.queries[-1]["client"], agent.queries[-1]["scope"]), ("127.0.0.1", "self"))

    def test_agent_goes_and_comes(self):
        with contextlib.ExitStack() as stack:
            agent = stack.enter_context(fakes.FakeAgent())
            with servers.probe("asyncio", REQMETER_AGENT=agent.address, **PATIENT) as server, server.client() as client:
                self.assertEqual(client.ask("/stats/")[2]["agent"], {"version": "fake"})
                stack.close()
                self.assertIsNone(client.ask("/stats/")[2]["agent"])

    def test_two_clients_do_not_disturb_each_other(self):
        with servers.probe("asyncio") as server, server.client() as client:
            for name in ("a", "b"):
                client.ask("/stats/?client=" + name)
            client.ask("/predict/", "POST")
            counts = [client.ask("/stats/?client=" + name)[2]["time_info"]["run_predictor_total"]["count"]
                      for name in ("a", "a", "b", "b")]
            self.assertEqual(counts, [1, 0, 1, 0])

    def test_parallel_readers(self):
        """Readers beside requests: every answer is 200, and no request is lost or counted twice."""
        with servers.probe("uvloop") as server:
            def read(name):
                with server.client() as client:
                    return sum(client.ask("/stats/?client=" + name)[2]["time_info"]["run_predictor_total"]["count"]
                               for _ in range(10))

            def predict(_):
                with server.client() as client:
                    return [client.ask("/predict/", "POST")[0] for _ in range(10)]

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                reading = [pool.submit(read, "reader-%d" % number) for number in range(4)]
                for statuses in pool.map(predict, range(4)):
                    self.assertEqual(statuses, [200] * 10)
                counts = [future.result() for future in reading]
            self.assertEqual([count + read("reader-%d" % number) for number, count in enumerate(counts)], [40] * 4)
