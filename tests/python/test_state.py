# SPDX-License-Identifier: MIT
"""RequestState and the following of tasks, pools and threads, on asyncio and uvloop.

works_for() asks libreqmeter itself which request the thread works for, at every step.
"""
import asyncio
import concurrent.futures
import contextvars
import dataclasses
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import unittest
import weakref

import anyio.to_thread
import loops
from loops import works_for

import reqmeter
from reqmeter import RequestState

STEPS = 20
COROUTINES = 100


def run_python(code, **environment):
    """(exit code, output) of a Python of its own with the package on its path."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], text=True, timeout=60, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": path, **environment})
    return done.returncode, done.stdout


class StateTest(unittest.TestCase):
    """The dataclass itself."""

    def test_fields(self):
        names = [field.name for field in dataclasses.fields(RequestState)]
        self.assertEqual(names, ["request_id", "method", "path", "route", "start_unix_ns", "handle", "attributes"])

    def test_extension_is_there(self):
        self.assertTrue(reqmeter.native)

    def test_block(self):
        self.assertTrue(works_for(None))
        with RequestState(request_id="a", method="GET", route="/a") as state:
            self.assertTrue(works_for(state))
            self.assertGreater(state.handle, 0)
            state.annotate(status=200, route="/b")
        self.assertEqual(state.route, "/b")
        self.assertTrue(works_for(None))

    def test_ids_are_made_and_differ(self):
        self.assertNotEqual(RequestState().request_id, RequestState().request_id)

    def test_nested(self):
        with RequestState() as outer:
            with RequestState() as inner:
                self.assertTrue(works_for(inner))
            self.assertTrue(works_for(outer))

    def test_exception_leaves_the_block(self):
        with self.assertRaises(ZeroDivisionError):
            with RequestState():
                1 / 0
        self.assertTrue(works_for(None))

    def test_entered_once(self):
        state = RequestState()
        with state, self.assertRaises(RuntimeError):
            state.__enter__()
        with self.assertRaises(RuntimeError):
            state.__enter__()

    def test_hostile_texts(self):
        for text in ("", "\0", "a\0b", "\ud800", "x" * 100000, "\r\nSet-Cookie: a"):
            with RequestState(text, text, text, text) as state:
                state.annotate(status=10 ** 30, route=text)
                state.annotate(status="no", route=7)
                self.assertTrue(works_for(state))

    def test_copies_do_not_carry_the_request(self):
        with RequestState(attributes={"a": 1}) as state:
            copy = pickle.loads(pickle.dumps(state))
            self.assertEqual(dataclasses.asdict(copy), dataclasses.asdict(state))

    def test_nothing_is_left_behind(self):
        gc.disable()
        try:
            with RequestState() as state:
                pass
            gone = weakref.ref(state)
            del state
            self.assertIsNone(gone())
        finally:
            gc.enable()

    def test_begun_and_forgotten(self):
        handles = set()
        for _ in range(20000):
            state = RequestState()
            state._request = reqmeter._context.Request(state, "x")
            handles.add(state._request.handle)
            del state
            if len(handles) % 1000 == 0:
                gc.collect()
        self.assertNotIn(None, handles)
        self.assertEqual(len(handles), 20000)

    def test_attach(self):
        seen = []

        def other():
            with state.attach():
                seen.append(works_for(state))
            seen.append(works_for(None))

        state = RequestState()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with state:
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                contextvars.Context().run(lambda: pool.submit(other).result())
        self.assertEqual(seen, [False, True, True, True])
        with state.attach():
            self.assertTrue(works_for(None))


class FollowTest(unittest.TestCase):
    """Every kind of step, on both loops."""

    def on_loops(self, coroutine_function):
        """Runs it on each loop as a subtest; afterwards the thread works for nobody."""
        for name, factory in loops.LOOPS.items():
            with self.subTest(loop=name):
                loops.run(factory, coroutine_function())
                self.assertTrue(works_for(None))

    @unittest.skipIf(os.environ.get("REQMETER_TEST_LOOPS") == "asyncio", "uvloop is not wanted")
    def test_both_loops_are_there(self):
        self.assertIn("uvloop", loops.LOOPS)

    def test_interleaved_coroutines(self):
        async def work(wrong):
            with RequestState() as state:
                for step in range(STEPS):
                    wrong.append(not works_for(state))
                    await asyncio.sleep(0 if step % 3 else 0.001)
                wrong.append(not works_for(state))
            wrong.append(not works_for(None))

        async def main():
            wrong = []
            await asyncio.gather(*(work(wrong) for _ in range(COROUTINES)))
            self.assertEqual((len(wrong), sum(wrong)), (COROUTINES * (STEPS + 2), 0))

        self.on_loops(main)

    def test_tasks_callbacks_and_executors(self):
        async def check(state):
            await asyncio.sleep(0)
            return works_for(state)

        async def work():
            loop = asyncio.get_running_loop()
            with RequestState() as state:
                called = loop.create_future()
                loop.call_soon(lambda: called.set_result(works_for(state)))
                later = loop.create_future()
                loop.call_later(0.001, lambda: later.set_result(works_for(state)))
                with concurrent.futures.ThreadPoolExecutor(2) as pool:
                    results = await asyncio.gather(
                        called, later, check(state), asyncio.create_task(check(state)),
                        asyncio.to_thread(works_for, state), anyio.to_thread.run_sync(works_for, state),
                        loop.run_in_executor(None, works_for, state), loop.run_in_executor(pool, works_for, state))
                self.assertEqual(results, [True] * 8)
                self.assertTrue(works_for(state))

        async def main():
            await asyncio.gather(*(work() for _ in range(10)))

        self.on_loops(main)

    def test_pool_threads_belong_to_nobody_between_jobs(self):
        async def main():
            loop = asyncio.get_running_loop()
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                with RequestState() as state:
                    self.assertTrue(await loop.run_in_executor(pool, works_for, state))
                    self.assertTrue(await anyio.to_thread.run_sync(works_for, state))
                    other = contextvars.Context()
                    self.assertTrue(await other.run(loop.run_in_executor, pool, works_for, None))
                self.assertTrue(await loop.run_in_executor(pool, works_for, None))
                self.assertTrue(await anyio.to_thread.run_sync(works_for, None))

        self.on_loops(main)

    def test_threads(self):
        seen = []

        class Worker(threading.Thread):
            """A thread by inheritance."""

            def run(self):
                seen.append(works_for(state))

        with RequestState() as state:
            for thread in (threading.Thread(target=lambda: seen.append(works_for(state))), Worker()):
                thread.start()
                thread.join()
        thread = threading.Thread(target=lambda: seen.append(works_for(None)))
        thread.start()
        thread.join()
        self.assertEqual(seen, [True, True, True])

    def test_errors_in_pools(self):
        async def main():
            with RequestState() as state:
                for run in (asyncio.to_thread, anyio.to_thread.run_sync):
                    with self.assertRaises(ZeroDivisionError):
                        await run(lambda: 1 / 0)
                    self.assertTrue(works_for(state))

        self.on_loops(main)

    def test_cancelled_tasks(self):
        async def work(started, states):
            with RequestState() as state:
                states.append(state)
                started.set()
                try:
                    await asyncio.sleep(60)
                finally:
                    self.assertTrue(works_for(state))
                    await asyncio.sleep(0)
                    self.assertTrue(works_for(state))

        async def main():
            states = []
            for _ in range(10):
                started = asyncio.Event()
                task = asyncio.create_task(work(started, states))
                await started.wait()
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertTrue(works_for(None))
            self.assertTrue(all(state._request.ended for state in states))

        self.on_loops(main)

    @unittest.skipIf(sys.version_info < (3, 12), "eager tasks came with Python 3.12")
    def test_eager_tasks(self):
        """Their first step runs at once inside of the step that makes them, in a context entered by C."""
        async def inner(states):
            with RequestState() as state:
                states.append(state)
                for _ in range(STEPS):
                    await asyncio.sleep(0)
                    self.assertTrue(works_for(state))
            self.assertTrue(works_for(states[0]))

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            with RequestState() as state:
                states = [state]
                tasks = []
                for _ in range(COROUTINES):
                    tasks.append(loop.create_task(inner(states)))
                    self.assertTrue(works_for(state))
                self.assertEqual(len(states), COROUTINES + 1)
                await asyncio.gather(*tasks)
                self.assertTrue(works_for(state))

        loops.run(asyncio.new_event_loop, main())
        self.assertTrue(works_for(None))

    def test_task_that_outlives_its_request(self):
        async def main():
            go, wrong = asyncio.Event(), []

            async def later():
                await go.wait()
                wrong.append(not works_for(None))

            with RequestState():
                task = asyncio.create_task(later())
                await asyncio.sleep(0)
            go.set()
            await task
            self.assertEqual(wrong, [False])

        self.on_loops(main)

    def test_context_that_leaks_to_the_next_request(self):
        async def request():
            with RequestState() as state:
                await asyncio.sleep(0)
                return works_for(state)

        async def main():
            with RequestState():
                leaked = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            # The next request begins in the context of the one before, and so does what reads its head.
            self.assertTrue(leaked.run(works_for, None))
            self.assertTrue(await leaked.run(loop.create_task, request()))

        self.on_loops(main)

    def test_generator_closed_elsewhere(self):
        async def numbers():
            with RequestState():
                yield 1
                yield 2

        async def main():
            generator = numbers()
            await asyncio.create_task(anext_of(generator))
            await asyncio.create_task(generator.aclose())
            self.assertTrue(works_for(None))

        async def anext_of(generator):
            return await generator.__anext__()

        self.on_loops(main)

    def test_run_is_still_run(self):
        context = contextvars.copy_context()
        with RequestState():
            with self.assertRaises(TypeError):
                context.run()
            with self.assertRaises(ZeroDivisionError):
                context.run(lambda: 1 / 0)
            with self.assertRaises(RuntimeError):
                context.run(context.run, int)
            self.assertEqual(context.run(lambda *args, **names: (args, names), 1, 2, a=3), ((1, 2), {"a": 3}))


class ProcessTest(unittest.TestCase):
    """What needs a process of its own."""

    def check(self, code, **environment):
        """Runs code; it has to end with exit code 0."""
        status, output = run_python(code, **environment)
        self.assertEqual(status, 0, output)
        return output

    def test_fork_inside_a_request(self):
        self.check("""
            import os
            from reqmeter import RequestState, _native
            with RequestState() as state:
                pid = os.fork()
                if pid == 0:
                    assert _native.current() == 0
                    with RequestState() as own:
                        assert _native.current() == own.handle
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                assert _native.current() == state.handle
        """)

    def test_without_the_extension(self):
        self.check("""
            import asyncio, reqmeter
            from reqmeter import RequestState
            async def main():
                with RequestState(route="/a") as state:
                    state.annotate(200)
                    assert await asyncio.to_thread(RequestState.current) is state
                    loop = asyncio.get_running_loop()
                    assert await loop.run_in_executor(None, RequestState.current) is state
                assert RequestState.current() is None and state.handle is None
            asyncio.run(main())
            assert reqmeter.native is False
            assert {row["state"] for row in reqmeter.features()} == {"off"}
            assert all(row["reason"] for row in reqmeter.features())
        """, REQMETER_NATIVE="0")

    def test_features(self):
        """What is not there is off, and is followed once it comes."""
        self.check("""
            import os, sys, reqmeter
            from reqmeter import RequestState
            def states():
                return {row["name"]: row["state"] for row in reqmeter.features()}
            assert set(states().values()) == {"on", "off"} and states()["native"] == "on", reqmeter.features()
            with RequestState():
                pass
            assert states() == {"native": "on", "context_run": "on", "uvloop": "off",
                                "eager_tasks": "on" if sys.version_info >= (3, 12) else "off"}, reqmeter.features()
            if os.environ["TEST_UVLOOP"]:
                import uvloop
                with RequestState():
                    pass
                assert states()["uvloop"] == "on", reqmeter.features()
            assert all((row["reason"] is None) == (row["state"] == "on") for row in reqmeter.features())
        """, TEST_UVLOOP="1" if "uvloop" in loops.LOOPS else "")

    def test_another_interpreter_is_refused(self):
        self.check("""
            try:
                import _interpreters as interpreters
            except ImportError:
                import _xxsubinterpreters as interpreters
            import reqmeter, contextvars
            from reqmeter import RequestState, _native
            with RequestState() as state:
                other = interpreters.create()
                failed = interpreters.run_string(other, '''if True:
                    import contextvars, reqmeter
                    assert reqmeter.native is False
                    assert "interpreter" in reqmeter.features()[0]["reason"], reqmeter.features()
                    with reqmeter.RequestState() as state:
                        context = contextvars.copy_context()
                        for _ in range(10):
                            assert context.run(reqmeter.RequestState.current) is state
                    # asyncio itself crashes there in CPython 3.12.1, without this package, too.
                ''')
                assert failed is None, failed
                interpreters.destroy(other)
                assert _native.current() == state.handle
                assert contextvars.copy_context().run(_native.current) == state.handle
        """)

    def test_uninstalled(self):
        self.check("""
            import contextvars
            from reqmeter import RequestState, _native
            empty = contextvars.Context()
            with RequestState() as state:
                assert empty.run(_native.current) == 0
                _native.uninstall()
                assert empty.run(_native.current) == state.handle
        """)

    def test_only_imported_changes_nothing(self):
        self.check("""
            import concurrent.futures, threading
            before = concurrent.futures.ThreadPoolExecutor.submit, threading.Thread.start
            import reqmeter
            assert before == (concurrent.futures.ThreadPoolExecutor.submit, threading.Thread.start)
        """)

    def test_no_web_framework_is_imported(self):
        self.check("""
            import sys, reqmeter, reqmeter.asgi
            assert not {"fastapi", "starlette", "uvicorn", "anyio", "uvloop", "psutil"} & set(sys.modules)
        """)


if __name__ == "__main__":
    unittest.main()
