# SPDX-License-Identifier: MIT
"""Event loops to test on, and looking at which request a thread works for."""
import asyncio

from reqmeter import RequestState, _native

try:
    import uvloop
except ImportError:
    uvloop = None

LOOPS = {"asyncio": asyncio.new_event_loop, **({"uvloop": uvloop.new_event_loop} if uvloop else {})}


def run(factory, coroutine):
    """Runs a coroutine on a loop of its own and returns what it returns."""
    loop = factory()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def works_for(state):
    """Whether this thread works for the state's request (None: for none), by the variable and by libreqmeter."""
    handle = state.handle if state else 0
    return RequestState.current() is state and _native.current() == handle
