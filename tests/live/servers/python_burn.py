# SPDX-License-Identifier: MIT
"""Interleaved coroutines, each a request with its own known CPU. usage: python_burn.py LOOP COROUTINES STEPS STEP_US

Prints {"least": {id: ns}, "most": {id: ns}, "stolen": {id: ns}, "thread_ns": …} when it has ended: see python_clocks.py;
thread_ns is the thread's clock around everything.
"""
import asyncio
import json
import os
import random
import sys
import time

import python_clocks
from reqmeter import RequestState


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
    """One request: its work is a task, so that most of its steps begin and end inside of the request."""
    name, route = "burn-%d-%d" % (os.getpid(), number), "/burn/%d" % (number % 3)
    outside = python_clocks.before()
    with RequestState(request_id=name, method="GET", route=route) as state:
        python_clocks.begin(outside)
        await asyncio.create_task(steps(n_steps, step_ns * (1 + number % 3), random.Random(number)))
        state.annotate(status=200)
        last = python_clocks.inside()
    python_clocks.end(last, time.thread_time_ns())


async def main(n_coroutines, n_steps, step_us):
    """All of them at once."""
    python_clocks.follow()
    start = time.thread_time_ns()
    await asyncio.gather(*(request(number, n_steps, step_us * 1000) for number in range(n_coroutines)))
    thread_ns = time.thread_time_ns() - start
    print(json.dumps({**python_clocks.told(), "thread_ns": thread_ns}), flush=True)


if __name__ == "__main__":
    python_clocks.new_loop(sys.argv[1]).run_until_complete(main(*map(int, sys.argv[2:5])))
