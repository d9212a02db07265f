# SPDX-License-Identifier: MIT
"""ResourceMonitor in front of an agent: answering, silent, refusing, lying."""
import asyncio
import os
import socket
import tempfile
import time
import unittest
from unittest import mock

import fakes

from reqmeter import RequestState, ResourceMonitor, _agent, _clock, _report

BOUND_SECONDS = 0.2  # issue and contract: the application's /stats/ whatever the agent does
TRIES = 4  # of which the quickest counts: the machine may have other things to do


def quickest(function):
    """(least seconds of TRIES calls, the last result)."""
    least = float("inf")
    for _ in range(TRIES):
        start = time.monotonic()
        result = function()
        least = min(least, time.monotonic() - start)
    return least, result


class AnsweringTest(unittest.TestCase):
    """An agent that does what the contract says; a busy machine must not make it too slow."""

    def setUp(self):
        patch = mock.patch.dict(os.environ, REQMETER_TIMEOUT_MS="10000")
        patch.start()
        self.addCleanup(patch.stop)

    def test_sections_are_passed_on(self):
        with fakes.FakeAgent() as agent:
            report = ResourceMonitor(agent=agent.address).collect_stats("192.0.2.7")
            wanted = fakes.report()
            for section in ("mem_info", "drum_info", "time_info", "agent"):
                self.assertEqual(report[section], wanted[section])
            self.assertEqual(report["sources"], dict.fromkeys(("mem_info", "drum_info", "time_info"), "agent"))
            query = agent.queries[-1]
            self.assertEqual((query["scope"], query["client"], query["limit"]), ("self", "192.0.2.7", "0"))
            self.assertEqual(set(query["sections"].split(",")), {"mem_info", "drum_info", "time_info", "agent"})

    def test_times_are_only_asked_for_by_stats(self):
        """Else a program that looks at itself would move on the clock of one that reads /stats/."""
        with fakes.FakeAgent() as agent:
            ResourceMonitor(agent=agent.address).collect_resources_info()
            self.assertNotIn("time_info", agent.queries[-1]["sections"])

    def test_request_row(self):
        with fakes.FakeAgent() as agent, RequestState(request_id="abc/\u00e9&x") as state:
            report = ResourceMonitor(agent=agent.address).collect_resources_info()
            self.assertEqual(report["request"]["id"], state.request_id)
            self.assertEqual(agent.queries[-1]["id"], state.request_id)
        with fakes.FakeAgent() as agent:
            monitor = ResourceMonitor(agent=agent.address)
            self.assertNotIn("request", monitor.collect_resources_info())
            self.assertEqual(monitor.collect_resources_info(RequestState(request_id="given"))["request"]["id"], "given")

    def test_row_is_the_right_one(self):
        def find(handle, *rows):
            requests = {"active": [{"id": "a", "handle": number} for number in rows[:1]],
                        "recent": [{"id": "a", "handle": number} for number in rows[1:]] + [{"id": "b", "handle": 1}]}
            row = _report.find_row({"requests": requests}, "a", handle)
            return row and row["handle"]

        self.assertEqual(find(2, 1, 2, 3), 2)
        self.assertEqual(find(2, 3), 3)
        # Which of them is not known: a retry, or nginx and this program on one machine.
        self.assertIsNone(find(2, 1, 3))
        self.assertIsNone(find(None, 1, 3))
        self.assertIsNone(find(1))

    def test_awaited(self):
        async def main():
            with RequestState(request_id="awaited"):
                return await monitor.acollect_resources_info()

        with fakes.FakeAgent() as agent:
            monitor = ResourceMonitor(agent=agent.address)
            self.assertEqual(asyncio.run(main())["request"]["id"], "awaited")

    def test_only_this_process(self):
        """mem_info is the container's, drum_info this process by the pid that it has here."""
        with fakes.FakeAgent() as agent:
            report = ResourceMonitor(True, agent=agent.address).collect_stats()
            self.assertEqual([row["pid"] for row in report["drum_info"]], [os.getpid()])
            self.assertEqual(report["mem_info"]["container_limit"], fakes.MEM_INFO["container_limit"])
            self.assertEqual(report["mem_info"]["drum_rss"], report["drum_info"][0]["mem"])

    def test_environment(self):
        with fakes.FakeAgent() as agent, mock.patch.dict(os.environ, REQMETER_AGENT=agent.address):
            self.assertEqual(ResourceMonitor().collect_stats()["agent"], {"version": "fake"})

    def test_defaults(self):
        with mock.patch.dict(os.environ):
            del os.environ["REQMETER_AGENT"]
            self.assertEqual(_agent.Agent().addresses, [("unix", "/run/reqmeter/agent.sock"), ("127.0.0.1", 9790)])

    def test_tcp_and_token(self):
        with fakes.FakeAgent(tcp=True) as agent, tempfile.NamedTemporaryFile("w") as token:
            token.write("secret\n")
            token.flush()
            with mock.patch.dict(os.environ, REQMETER_TOKEN_FILE=token.name):
                self.assertEqual(ResourceMonitor(agent=agent.address).collect_stats()["agent"], {"version": "fake"})
            self.assertEqual(agent.tokens, ["Bearer secret"])
            self.assertEqual("http://" + agent.hosts[0], agent.address)

    def test_host_names(self):
        with fakes.FakeAgent(tcp=True) as agent:
            named = agent.address.replace("127.0.0.1", "localhost")
            answers = [ResourceMonitor(agent=named).collect_stats()["agent"] for _ in range(TRIES)]
            self.assertIn({"version": "fake"}, answers)

    def test_second_agent_when_the_first_is_not_there(self):
        with fakes.FakeAgent() as agent:
            monitor = ResourceMonitor(agent=agent.address)
            monitor._agent.addresses.insert(0, ("unix", "/nowhere"))
            self.assertEqual(monitor.collect_stats()["agent"], {"version": "fake"})

    def test_own_clock_stands_where_the_agent_was_read(self):
        clock = _clock.RequestClock()
        clock.in_use = True
        with mock.patch("reqmeter.monitor.clock", clock):
            clock.ended("/", 1.0)
            with fakes.FakeAgent() as agent:
                monitor = ResourceMonitor(agent=agent.address)
                monitor.collect_stats("a")
            clock.ended("/", 2.0)
            report = monitor.collect_stats("a")
        self.assertEqual((report["agent"], report["sources"]["time_info"]), (None, "worker"))
        self.assertEqual(report["time_info"]["all_requests"]["total"], 2.0)


class MisbehavingTest(unittest.TestCase):
    """Every other kind: the report is whole, in time, and says that it comes from here."""

    def check_own(self, report):
        """All sections, from /proc."""
        self.assertEqual(set(report["mem_info"]), set(fakes.MEM_INFO))
        self.assertGreater(report["mem_info"]["total"], 0)
        self.assertIn(os.getpid(), [row["pid"] for row in report["drum_info"]])
        self.assertEqual(set(report["time_info"]), {"run_predictor_total", "all_requests"})
        for times in report["time_info"].values():
            self.assertEqual(set(times), {"min", "max", "avg", "total", "count"})
        self.assertEqual((report["sources"]["mem_info"], report["sources"]["drum_info"]), ("proc", "proc"))

    def test_every_kind(self):
        for kind in fakes.MISBEHAVIOUR:
            with self.subTest(kind=kind), fakes.misbehaving(kind) as address:
                # A new monitor each time: one that has met a silent agent does not wait again.
                seconds, report = quickest(lambda: ResourceMonitor(agent=address).collect_stats("a"))
                self.check_own(report)
                answered = kind in ("empty-report", "all-null", "wrong-types", "wrong-inside", "missing-keys")
                self.assertEqual(report["agent"] is not None, answered)
                self.assertLess(seconds, BOUND_SECONDS)

    def test_nobody_there(self):
        for address in ("unix:/nowhere", "unix:/proc/self/status", "unix:" + "x" * 300, fakes.closed_port(),
                        "http://no-such-host.invalid:9790"):
            with self.subTest(address=address):
                seconds, report = quickest(lambda: ResourceMonitor(agent=address).collect_stats())
                self.check_own(report)
                self.assertIsNone(report["agent"])
                self.assertLess(seconds, BOUND_SECONDS)

    def test_full_backlog(self):
        with tempfile.TemporaryDirectory(prefix="reqmeter-") as directory, socket.socket(socket.AF_UNIX) as listener:
            path = os.path.join(directory, "s")
            listener.bind(path)
            listener.listen(0)
            waiting = []
            try:
                for _ in range(3):
                    waiting.append(socket.socket(socket.AF_UNIX))
                    waiting[-1].setblocking(False)
                    waiting[-1].connect_ex(path)
                seconds, report = quickest(lambda: ResourceMonitor(agent="unix:" + path).collect_stats())
            finally:
                for sock in waiting:
                    sock.close()
            self.check_own(report)
            self.assertLess(seconds, BOUND_SECONDS)

    def test_silent_agent_costs_once(self):
        with fakes.misbehaving("hangs") as address:
            monitor = ResourceMonitor(agent=address)
            monitor.collect_resources_info()
            with mock.patch("reqmeter._agent.fetch", side_effect=AssertionError("asked again")):
                monitor.collect_resources_info()

    def test_silent_agent_is_asked_again_after_the_pause(self):
        with fakes.misbehaving("hangs") as address:
            monitor = ResourceMonitor(agent=address)
            monitor.collect_resources_info()
        monitor._agent._silent_until -= _agent.PAUSE_SECONDS
        with fakes.FakeAgent() as agent, mock.patch.dict(os.environ, REQMETER_TIMEOUT_MS="10000"):
            monitor._agent.addresses = [_agent.parse_address(agent.address)]
            self.assertEqual(monitor.collect_resources_info()["agent"], {"version": "fake"})

    def test_timeout_of_the_environment(self):
        with fakes.misbehaving("hangs") as address, mock.patch.dict(os.environ, REQMETER_TIMEOUT_MS="400"):
            start = time.monotonic()
            ResourceMonitor(agent=address).collect_resources_info()
            self.assertGreaterEqual(time.monotonic() - start, 0.4)
        for text in ("", "x", "-1", "nan", "inf", "0"):
            with mock.patch.dict(os.environ, REQMETER_TIMEOUT_MS=text):
                self.assertEqual(_agent.timeout_seconds(), 0.1, text)

    def test_loop_is_not_blocked(self):
        async def main():
            ticks = 0
            asking = asyncio.create_task(monitor.acollect_stats())
            while not asking.done():
                await asyncio.sleep(0.005)
                ticks += 1
            self.check_own(await asking)
            return ticks

        with fakes.misbehaving("hangs") as address, mock.patch.dict(os.environ, REQMETER_TIMEOUT_MS="500"):
            monitor = ResourceMonitor(agent=address)
            # 100 turns fit; blocked it would be one.
            self.assertGreater(asyncio.run(main()), 10)

    def test_wrong_settings(self):
        for text in ("unix:", "ftp://x", "http://", "127.0.0.1:9790", "http://a/b"):
            with self.assertRaises(ValueError, msg=text):
                ResourceMonitor(agent=text)
            with mock.patch.dict(os.environ, REQMETER_AGENT=text), self.assertLogs("reqmeter"):
                self.check_own(ResourceMonitor().collect_stats())
        with fakes.FakeAgent() as agent:
            for path in ("/nowhere", "/", "/dev/zero"):
                with mock.patch.dict(os.environ, REQMETER_TOKEN_FILE=path):
                    self.check_own(ResourceMonitor(agent=agent.address).collect_stats())
            self.assertEqual(agent.queries, [])

    def test_after_fork(self):
        async def ask():
            return await monitor.acollect_stats("a")

        monitor = ResourceMonitor()
        asyncio.run(ask())
        with monitor._cpu._lock, _clock.clock._lock:
            pid = os.fork()
        if pid == 0:
            try:
                report = asyncio.run(asyncio.wait_for(ask(), 20))
                os._exit(0 if report["pid"] == os.getpid() else 3)
            finally:
                os._exit(4)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
