# SPDX-License-Identifier: MIT
"""What each request of a server on one event loop costs, by the thread's clock, read on both sides of every edge.

An edge is where the loop enters the context of a callback and where it leaves it, and where the middleware begins a
request and ends it. Of each request: `least`, between the reads inside of its edges, and `most`, between those outside.
asyncio's loop is read just outside of Context.run. uvloop's cannot be: there `most` has what lies between two
callbacks, half of it for each, but no more than what entering and leaving may take.
"""
import asyncio
import time

from reqmeter import _context
from reqmeter.asgi import RequestMeterMiddleware


UVLOOP_EDGE_NS = 10000  # leaving a context and entering one is below that; a longer gap is the loop's own work


class Piece:
    """The part of a callback that is one request's, or nobody's (name None)."""

    __slots__ = ("name", "outside", "inside")

    def __init__(self):
        self.name, self.outside, self.inside = None, 0, 0


LEAST, MOST = {}, {}  # ns by request id
PIECE = Piece()
LAST = [None, 0]  # uvloop: the request of the callback before, and when it ended


def _begin(name, outside, inside):
    PIECE.name, PIECE.outside, PIECE.inside = name, outside, inside


def _end(inside, outside):
    """The piece is over; nobody's follows."""
    name, PIECE.name = PIECE.name, None
    if name is not None:
        LEAST[name] = LEAST.get(name, 0) + inside - PIECE.inside
        MOST[name] = MOST.get(name, 0) + outside - PIECE.outside


def _working_for(find=_context.working_for):
    request = find()
    return request and request.state.request_id


def _inside_of_run(callback, args, outside, now=time.thread_time_ns):
    """A callback in its context; when it ended."""
    inside = now()
    _begin(_working_for(), outside, inside)
    callback(*args)
    return now()


def run_handle(handle, now=time.thread_time_ns):
    """What asyncio's Handle._run does, with the clock beside."""
    outside = now()
    try:
        inside = handle._context.run(_inside_of_run, handle._callback, handle._args, outside)
        _end(inside, now())
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # pylint: disable=broad-exception-caught
        _end(now(), now())
        handle._loop.call_exception_handler({"message": "in a callback", "exception": error, "handle": handle})


def timed(callback, *args, now=time.thread_time_ns):
    """A callback of uvloop, in its context already."""
    start = now()
    name, gap = _working_for(), min(start - LAST[1], UVLOOP_EDGE_NS) // 2
    for one in (LAST[0], name):
        if one is not None:
            MOST[one] = MOST.get(one, 0) + gap
    _begin(name, start, start)
    try:
        return callback(*args)
    finally:
        LAST[:] = PIECE.name, now()
        _end(LAST[1], LAST[1])


def new_loop(kind):
    """A loop of that kind ("asyncio", "uvloop") that is timed."""
    if kind == "asyncio":
        asyncio.Handle._run = run_handle
        return asyncio.SelectorEventLoop()
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


class Measured:
    """RequestMeterMiddleware around an ASGI application, with the clock read before it and after it begins and ends."""

    def __init__(self, app, now=time.thread_time_ns):
        self._app, self._now = app, now
        self._followed = RequestMeterMiddleware(self._inner)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["outside"] = self._now()
        await self._followed(scope, receive, send)
        _end(scope["inside"], self._now())

    async def _inner(self, scope, receive, send):
        _begin(_working_for(), scope["outside"], self._now())
        try:
            await self._app(scope, receive, send)
        finally:
            scope["inside"] = self._now()
