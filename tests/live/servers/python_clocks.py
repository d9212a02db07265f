# SPDX-License-Identifier: MIT
"""What each request on one event loop costs, by the thread's clock, read on both sides of every edge.

An edge is where the loop enters the context of a callback and where it leaves it, and where a request begins and ends.
Of each request: `least`, between the reads inside of its edges, and `most`, between those outside. asyncio's loop is read
just outside of Context.run, uvloop's by python_edges.c.

`stolen` is what the machine's host, or an interrupt, took while the request worked: the time of day between the reads
inside, less what the thread ran, less what it waited for a CPU. Whoever measures edges by the time of day, and slices by
the kernel's accounts, has so much too much in that request.
"""
import asyncio
import os
import sys
import time

import python_edges
from reqmeter import RequestState, _context
from reqmeter.asgi import RequestMeterMiddleware

# Below it nobody's row is wrong, and looking costs more.
NOTED_NS = 50000
LEAST, MOST, STOLEN = {}, {}, {}  # ns by request id


def _add(where, name, ns):
    where[name] = where.get(name, 0) + ns


class Piece:
    """The part of a callback that is one request's, or nobody's (name None)."""

    __slots__ = ("name", "outside", "inside", "day")

    def __init__(self):
        self.name, self.outside, self.inside, self.day = None, 0, 0, 0


PIECE = Piece()
HELD = [None, 0]  # the request whose context is being left, and the read before its piece


def working_for(find=_context.working_for):
    """Id of the request that the running code works for, or None."""
    request = find()
    return request and request.state.request_id


def before(now=time.thread_time_ns):
    """The read before an edge, which begin() wants."""
    python_edges.look()
    return now()


def begin(outside, now=time.thread_time_ns, day=time.monotonic_ns):
    """The running request's piece begins."""
    PIECE.name, PIECE.outside = working_for(), outside
    PIECE.inside, PIECE.day = now(), day()


def inside(now=time.thread_time_ns, day=time.monotonic_ns):
    """The last read inside, which end() wants; and what was stolen since begin()."""
    result, gone = now(), day() - PIECE.day
    if PIECE.name is not None and gone - (result - PIECE.inside) > NOTED_NS:
        delay_ns, n_slept = python_edges.waited()
        if not n_slept:
            _add(STOLEN, PIECE.name, max(0, gone - (result - PIECE.inside) - delay_ns))
    return result


def end(last, outside):
    """The piece is over; nobody's follows."""
    name, PIECE.name = PIECE.name, None
    if name is not None:
        _add(LEAST, name, last - PIECE.inside)
        _add(MOST, name, outside - PIECE.outside)


def settle():
    """uvloop: the context of the last callback's request has been left since."""
    if HELD[0] is not None:
        _add(MOST, HELD[0], python_edges.left() - HELD[1])
        HELD[0] = None


def told():
    """All of it, for JSON. Called by the loop's own thread."""
    settle()
    return {"least": LEAST, "most": MOST, "stolen": STOLEN}


# --- asyncio ---

def _inside_of_run(callback, args, outside):
    """A callback in its context; when it ended."""
    begin(outside)
    callback(*args)
    return inside()


def run_handle(handle, now=time.thread_time_ns):
    """What asyncio's Handle._run does, with the clock beside."""
    outside = before()
    try:
        last = handle._context.run(_inside_of_run, handle._callback, handle._args, outside)
        end(last, now())
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # pylint: disable=broad-exception-caught
        end(now(), now())
        handle._loop.call_exception_handler({"message": "in a callback", "exception": error, "handle": handle})


# --- uvloop ---

def timed(callback, *args):
    """A callback of uvloop, in its context already."""
    settle()
    begin(python_edges.entered())
    try:
        return callback(*args)
    finally:
        last = inside()
        HELD[:] = PIECE.name, PIECE.outside
        # Its part of `most` is settled later.
        end(last, PIECE.outside)
        python_edges.leaving()


def _uvloop():
    import uvloop  # pylint: disable=import-outside-toplevel

    class Loop(uvloop.Loop):
        """Times the steps of tasks and timers; what the loop calls by itself is nobody's."""

        def call_soon(self, callback, *args, context=None):
            """Steps of tasks."""
            # A timer's callback comes here with it.
            if callback is not timed:
                args, callback = (callback, *args), timed
            return super().call_soon(callback, *args, context=context)

        def call_later(self, delay, callback, *args, context=None):
            """Timers."""
            return super().call_later(delay, timed, callback, *args, context=context)

    return Loop()


def new_loop(kind):
    """A loop of that kind ("asyncio", "uvloop") that is timed."""
    if kind == "uvloop":
        return _uvloop()
    asyncio.Handle._run = run_handle
    return asyncio.SelectorEventLoop()


def follow():
    """Called in the loop before the first request. uvloop's edges are followed by the package first: it lies inside."""
    with RequestState():
        pass
    if "uvloop.loop" in sys.modules:
        python_edges.follow(os.path.realpath(sys.modules["uvloop.loop"].__file__))


class Measured:
    """RequestMeterMiddleware around an ASGI application, with the clock read before it and after it begins and ends."""

    def __init__(self, app):
        self._app = app
        self._followed = RequestMeterMiddleware(self._inner)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["outside"] = before()
        await self._followed(scope, receive, send)
        end(scope["inside"], time.thread_time_ns())

    async def _inner(self, scope, receive, send):
        begin(scope["outside"])
        try:
            await self._app(scope, receive, send)
        finally:
            scope["inside"] = inside()
