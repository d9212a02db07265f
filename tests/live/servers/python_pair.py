# SPDX-License-Identifier: MIT
"""Two requests that share a thread in turn, without a moment for anybody else. usage: python_pair.py TURNS TURN_US

Prints {"ids": [the two], "thread_ns": the thread's clock over all turns}.
"""
import contextvars
import json
import os
import sys
import time

from reqmeter import RequestState


def burn(ns):
    """Uses the CPU for so long."""
    end = time.thread_time_ns() + ns
    while time.thread_time_ns() < end:
        pass


def main(turns, turn_us):
    """The one runs in a context of its own, the other in the thread's."""
    ids = ["pair-%d-%d" % (os.getpid(), number) for number in range(2)]
    one, other = (RequestState(request_id=name, method="GET") for name in ids)
    with one:
        context = contextvars.copy_context()
        with other:
            start = time.thread_time_ns()
            for _ in range(turns):
                context.run(burn, turn_us * 1000)
                burn(turn_us * 1000)
            total = time.thread_time_ns() - start
    print(json.dumps({"ids": ids, "thread_ns": total}), flush=True)


main(*map(int, sys.argv[1:3]))
