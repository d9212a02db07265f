#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the package costs: ns of CPU an edge and a request, medians of ROUNDS and their spread.

    python3 edges.py [ROUNDS]

An edge is where a thread enters or leaves a context; a RequestState block is a request's beginning and end; the
middleware's figure is what it adds to a bare ASGI application that answers two messages.
"""
import asyncio
import contextvars
import statistics
import sys
import time

import reqmeter
from reqmeter import RequestState, _native
from reqmeter._context import current_request
from reqmeter.asgi import RequestMeterMiddleware

RUNS, REQUESTS = 20000, 3000
SCOPE = {"type": "http", "method": "GET", "path": "/items/7", "query_string": b"", "root_path": "",
         "headers": [(b"host", b"127.0.0.1"), (b"user-agent", b"edges"), (b"accept", b"*/*"), (b"x-request-id", b"abc")]}


def nothing():
    """The shortest step."""


def run_ns(context, run=time.thread_time_ns):
    """A step in a context: two edges."""
    enter = context.run
    start = run()
    for _ in range(RUNS):
        enter(nothing)
    return (run() - start) / RUNS


def steps():
    """(without anything, followed outside of a request, from no request into one and back), ns a step."""
    none = contextvars.Context()
    _native.uninstall()
    without = run_ns(none)
    _native.install(current_request)
    outside = run_ns(none)
    with RequestState():
        inside = contextvars.copy_context()
        # The block's own thread works for nobody meanwhile, as a loop's does between steps.
        return without, outside, none.run(run_ns, inside)


def blocks():
    """ns of a RequestState block."""
    start = time.thread_time_ns()
    for _ in range(REQUESTS):
        with RequestState(request_id="0af7651916cd43dd8448eb211c80319c", method="GET", route="/items/{id}"):
            pass
    return (time.thread_time_ns() - start) / REQUESTS


async def application(_, __, send):
    """Answers."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def send_nothing(_):
    """The server."""


async def requests_ns(app):
    """ns of a request through an ASGI application."""
    start = time.thread_time_ns()
    for _ in range(REQUESTS):
        await app(dict(SCOPE), None, send_nothing)
    return (time.thread_time_ns() - start) / REQUESTS


def print_row(name, values):
    """Median and spread."""
    values = sorted(values)
    print("%-44s median %8.1f ns   least %8.1f   9 of 10 below %8.1f"
          % (name, statistics.median(values), values[0], values[len(values) * 9 // 10]), flush=True)


def main():
    """Everything in turn, so that what else the machine does falls on all."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    if not reqmeter.native:
        sys.exit("edges: %s" % reqmeter.features()[0]["reason"])
    with RequestState():
        pass
    followed, rounds = RequestMeterMiddleware(application), []
    for _ in range(n):
        without, outside, into = steps()
        bare, whole = asyncio.run(requests_ns(application)), asyncio.run(requests_ns(followed))
        rounds.append((without, (outside - without) / 2, (into - without) / 2, blocks(), whole - bare))
    names = ("Context.run, not followed", "edge, no request on either side", "edge, into a request or out of it",
             "RequestState block: begin, two edges, end", "middleware, each request")
    for name, values in zip(names, zip(*rounds)):
        print_row(name, values)


if __name__ == "__main__":
    main()
