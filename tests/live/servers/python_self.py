# SPDX-License-Identifier: MIT
"""Requests that burn CPU and ask at once what they have cost. Prints what each was told, and its thread's clock then.

usage: python_self.py thread|coroutine|endpoint N AT-A-TIME SAME   (SAME: so many in turn share an id)
"""
import asyncio
import json
import os
import random
import sys
import threading
import time

import python_edges
from reqmeter import RequestState, ResourceMonitor

MONITOR = ResourceMonitor()
RESULTS = []
RANDOM = random.Random(7)


def burn(seconds, now=time.thread_time):
    """Uses the CPU for so long, by the thread's own clock."""
    until = now() + seconds
    while now() < until:
        pass


def burn_alone(seconds):
    """The same on the loop's thread; what the machine's host took meanwhile (see python_clocks.py), ns."""
    python_edges.look()
    begun, day = time.thread_time_ns(), time.monotonic_ns()
    burn(seconds)
    gone = time.monotonic_ns() - day - (time.thread_time_ns() - begun)
    delay_ns, n_slept = python_edges.waited()
    return 0 if n_slept else max(0, gone - delay_ns)


def note(state, before_ns, latest_ns, report, stolen_ns=0):
    """What one was told, for JSON. Clocks are of the request's own work: when it asked, and the latest that counts."""
    RESULTS.append({"id": state.request_id, "route": state.route, "before": before_ns, "latest": latest_ns,
                    "stolen": stolen_ns, "start": state.start_unix_ns, "row": report["request"], "agent": report["agent"] is not None,
                    "mem_info": report["mem_info"] is not None, "drum_info": report["drum_info"] is not None})


def work_and_ask(seconds, earlier_ns=0):
    """In a thread; earlier_ns: what the request has used elsewhere. It is looked at between its question and the answer."""
    begun = time.thread_time_ns() - earlier_ns
    burn(seconds)
    before = time.thread_time_ns()
    report = MONITOR.collect_resources_info()
    note(RequestState.current(), before - begun, time.thread_time_ns() - begun, report)


def thread(name, number, seconds):
    """A request of a thread's own."""
    with RequestState(request_id=name, method="GET", path="/self/%d" % number, route="/self/of-%d" % number):
        work_and_ask(seconds)


def threads(jobs, at_a_time):
    """So many at a time."""
    todo, lock = list(jobs), threading.Lock()

    def worker():
        while True:
            with lock:
                if not todo:
                    return
                job = todo.pop()
            thread(*job)

    workers = [threading.Thread(target=worker) for _ in range(at_a_time)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()


class FirstStep:
    """Awaits something; used_ns is what its first step takes of the thread's clock: until it waits, or until it is done."""

    def __init__(self, awaitable):
        self._awaitable, self.used_ns = awaitable, 0

    def __await__(self):
        begun = time.thread_time_ns()
        steps = self._awaitable.__await__()
        try:
            waits_for = next(steps)
        except StopIteration as end:
            self.used_ns = time.thread_time_ns() - begun
            return end.value
        self.used_ns = time.thread_time_ns() - begun
        yield waits_for
        return (yield from steps)


async def coroutine(name, number, seconds, pieces=5):
    """A request in slices, between which others run."""
    used = stolen = 0
    with RequestState(request_id=name, method="GET", path="/self/%d" % number, route="/self/of-%d" % number) as state:
        for _ in range(pieces):
            begun = time.thread_time_ns()
            stolen += burn_alone(seconds / pieces)
            used += time.thread_time_ns() - begun
            await asyncio.sleep(0)
        question = FirstStep(MONITOR.acollect_resources_info())
        report = await question
        note(state, used, used + question.used_ns, report, stolen)


async def coroutines(jobs, at_a_time):
    """So many at a time."""
    jobs = list(jobs)

    async def worker():
        while jobs:
            await coroutine(*jobs.pop())

    await asyncio.gather(*(worker() for _ in range(at_a_time)))


async def call(app, name, number):
    """One request, as a server would hand it to the application."""
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
             "path": "/self/%d" % number, "raw_path": b"", "query_string": b"", "root_path": "", "client": None,
             "server": None, "headers": [(b"x-request-id", name.encode())]}

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_):
        pass

    await app(scope, receive, send)


async def endpoints(jobs, at_a_time):
    """FastAPI's sync endpoints, which run in a pool of threads."""
    import fastapi  # pylint: disable=import-outside-toplevel
    from reqmeter.asgi import RequestMeterMiddleware  # pylint: disable=import-outside-toplevel

    seconds = {number: burnt for _, number, burnt in [*jobs, ("first", len(jobs), 0.01)]}
    app = fastapi.FastAPI()

    class Begun:
        """Notes the loop's clock when a request comes."""

        def __init__(self, app):
            self._inner = app

        async def __call__(self, scope, receive, send):
            scope["begun"] = time.thread_time_ns()
            await self._inner(scope, receive, send)

    app.add_middleware(Begun)
    app.add_middleware(RequestMeterMiddleware)

    async def on_loop(request: fastapi.Request):
        """What the loop has used for it; handing it over to a thread comes on top."""
        return time.thread_time_ns() - request.scope["begun"]

    @app.get("/self/{number}")
    def endpoint(number: int, earlier_ns: int = fastapi.Depends(on_loop)):
        work_and_ask(seconds[number], earlier_ns)

    # The first build the application, and start the pool's threads on the loop's time.
    await asyncio.gather(*(call(app, "first", len(jobs)) for _ in range(at_a_time)))
    RESULTS.clear()
    jobs = list(jobs)

    async def worker():
        while jobs:
            name, number, _ = jobs.pop()
            await call(app, name, number)

    await asyncio.gather(*(worker() for _ in range(at_a_time)))


def main():
    """Runs what the command line says."""
    kind, n, at_a_time, same = sys.argv[1], *map(int, sys.argv[2:])
    jobs = [("self-%d-%d" % (os.getpid(), number // same), number, RANDOM.uniform(0.001, 0.020)) for number in range(n)]
    if kind == "thread":
        threads(jobs, at_a_time)
    else:
        asyncio.run({"coroutine": coroutines, "endpoint": endpoints}[kind](jobs, at_a_time))
    json.dump(RESULTS, sys.stdout)


if __name__ == "__main__":
    main()
