# SPDX-License-Identifier: MIT
"""Interleaved coroutines, each a request with its own known CPU. usage: python_burn.py LOOP COROUTINES STEPS STEP_US

Prints {"truth": {id: ns}, "unseen": {id: ns}, "thread_ns": …} when it has ended: the thread's clock around each
request's callbacks, between them, and around everything.
"""
import asyncio
import collections
import json
import os
import random
import sys
import time

from reqmeter import RequestState, _context


CLOCKS, UNSEEN = collections.Counter(), collections.Counter()  # ns by request id
LAST = [None, 0]  # the request of the callback before, and when it ended


def timed(callback, *args, now=time.thread_time_ns, working_for=_context.working_for):
    """A callback inside its context, by the thread's clock. One that begins or ends a request is nobody's for certain.

    Between two callbacks lie the end of the one, the loop's own work and the beginning of the other: half for each.
    """
    start = now()
    request = working_for()
    name = request and request.state.request_id
    UNSEEN[LAST[0]] += (start - LAST[1]) // 2
    UNSEEN[name] += (start - LAST[1]) // 2
    try:
        return callback(*args)
    finally:
        LAST[:] = name, now()
        if name and working_for() is request:
            CLOCKS[name] += LAST[1] - start


def timing_loop(kind):
    """A loop that times every callback, of tasks and timers, from inside the context that it runs in."""

    class Loop(kind):
        """See above."""

        def call_soon(self, callback, *args, context=None):
            """Steps of tasks."""
            if callback is not timed:
                args, callback = (callback, *args), timed
            return super().call_soon(callback, *args, context=context)

        def call_later(self, delay, callback, *args, context=None):
            """Timers."""
            return super().call_later(delay, timed, callback, *args, context=context)

    return Loop()


def burn(ns):
    """Uses the CPU for so long."""
    end = time.thread_time_ns() + ns
    while time.thread_time_ns() < end:
        pass


async def steps(n_steps, step_ns, chance):
    """The work of one request."""
    for _ in range(n_steps):
        burn(step_ns)
        await asyncio.sleep(0 if chance.random() < 0.8 else 0.0005)


async def request(number, n_steps, step_ns):
    """One request: its work is a task, so that each of its steps begins and ends inside the request."""
    name, route = "burn-%d-%d" % (os.getpid(), number), "/burn/%d" % (number % 3)
    with RequestState(request_id=name, method="GET", route=route) as state:
        await asyncio.create_task(steps(n_steps, step_ns * (1 + number % 3), random.Random(number)))
        state.annotate(status=200)


async def main(n_coroutines, n_steps, step_us):
    """All of them at once."""
    start = LAST[1] = time.thread_time_ns()
    await asyncio.gather(*(request(number, n_steps, step_us * 1000) for number in range(n_coroutines)))
    thread_ns = time.thread_time_ns() - start
    del UNSEEN[None]
    print(json.dumps({"truth": CLOCKS, "unseen": UNSEEN, "thread_ns": thread_ns}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "uvloop":
        import uvloop
        LOOP = uvloop.Loop
    else:
        LOOP = asyncio.SelectorEventLoop
    timing_loop(LOOP).run_until_complete(main(*map(int, sys.argv[2:5])))
