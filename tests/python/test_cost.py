# SPDX-License-Identifier: MIT
"""What following costs, printed: an edge, a request, a look at oneself. The bounds only catch the absurd."""
import asyncio
import contextvars
import os
import statistics
import subprocess
import sys
import textwrap
import time
import unittest

from reqmeter import RequestState, ResourceMonitor, _context, _native
from reqmeter.asgi import RequestMeterMiddleware
from test_middleware import Application, call, http_scope

try:
    import psutil
except ImportError:
    psutil = None

ROUNDS = 9  # of each of two things in turn; their medians are compared
RUNS = 20000


def nothing():
    """The shortest step."""


def ns_each(function, n=RUNS):
    """ns of CPU that a call takes."""
    start = time.thread_time_ns()
    for _ in range(n):
        function()
    return (time.thread_time_ns() - start) / n


def alternate(*measures, n_rounds=ROUNDS):
    """Medians of several measurements made in turn."""
    rounds = [[measure() for measure in measures] for _ in range(n_rounds)]
    return [statistics.median(column) for column in zip(*rounds)]


def loop_step_ns(loop, native):
    """ns of CPU of a coroutine's turn on a loop, in a process of its own, inside a request."""
    code = """
        import asyncio, time, sys
        if sys.argv[1] == "uvloop":
            import uvloop as asyncio_like
        else:
            asyncio_like = asyncio
        from reqmeter import RequestState
        async def main(n=20000):
            with RequestState():
                await asyncio.sleep(0)
                async def turns():
                    for _ in range(n):
                        await asyncio.sleep(0)
                task = asyncio.create_task(turns())
                start = time.thread_time_ns()
                await task
                print((time.thread_time_ns() - start) / n)
        asyncio_like.new_event_loop().run_until_complete(main())
    """
    environment = {**os.environ, "REQMETER_NATIVE": native, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return float(subprocess.check_output([sys.executable, "-c", textwrap.dedent(code), loop], env=environment))


class CostTest(unittest.TestCase):
    """Prints, and fails on the absurd."""

    def test_edge(self):
        context = contextvars.copy_context()
        with RequestState():
            inside = contextvars.copy_context()
        _context.install()

        def plain():
            _native.uninstall()
            try:
                return ns_each(lambda: context.run(nothing))
            finally:
                _native.install(_context.current_request)

        def in_request():
            with RequestState():
                own = contextvars.copy_context()
                return ns_each(lambda: own.run(nothing))

        without, followed, requested = alternate(plain, lambda: ns_each(lambda: inside.run(nothing)), in_request)
        print("Context.run: %.0f ns; +%.1f ns an edge without a request, +%.1f ns inside one (no agent)"
              % (without, (followed - without) / 2, (requested - without) / 2))
        self.assertLess((requested - without) / 2, 1000)

    def test_loop_step(self):
        for loop in ("asyncio", "uvloop"):
            without, followed = alternate(lambda: loop_step_ns(loop, "0"), lambda: loop_step_ns(loop, ""), n_rounds=5)
            print("%s: a step %.0f ns; followed +%.0f ns, two edges" % (loop, without, followed - without))
            self.assertLess(followed - without, 2000)

    def test_request(self):
        def block():
            with RequestState(request_id="0123456789abcdef", method="GET", route="/items/{item_id}"):
                pass

        app = Application()
        followed = RequestMeterMiddleware(app)
        scope = http_scope("/items/7", [("X-Request-ID", "abc"), ("Accept", "*/*"), ("User-Agent", "test")])

        def requests(application):
            async def main():
                start = time.thread_time_ns()
                for _ in range(1000):
                    await call(application, dict(scope))
                return (time.thread_time_ns() - start) / 1000
            return asyncio.run(main())

        blocks, bare, whole = alternate(lambda: ns_each(block, 5000), lambda: requests(app), lambda: requests(followed))
        print("a RequestState block: %.1f us; the middleware +%.1f us a request (bare ASGI application %.1f us)"
              % (blocks / 1000, (whole - bare) / 1000, bare / 1000))
        self.assertLess(whole - bare, 1e6)

    @unittest.skipUnless(psutil, "no psutil")
    def test_look_at_oneself(self):
        own, group = ResourceMonitor(True), ResourceMonitor()
        process = psutil.Process()

        def psutil_way():
            psutil.virtual_memory()
            process.memory_info()
            process.cpu_percent()
            process.cmdline()

        ways = (own.collect_resources_info, group.collect_resources_info, psutil_way)
        ours, all_, theirs = alternate(*(lambda way=way: ns_each(way, 50) for way in ways))
        print("collect_resources_info without an agent: %.0f us this process, %.0f us its cgroup of %d processes; "
              "psutil's way, this process: %.0f us"
              % (ours / 1000, all_ / 1000, len(group.collect_drum_info()), theirs / 1000))
        self.assertLess(ours, 50e6)
