# SPDX-License-Identifier: MIT
"""Which request the running code works for: one context variable, and the thread edges that follow it.

The variable holds a Request, the same object in every task and thread that works for that request, so its end is seen
by all of them. With the extension each step of a task is reported to libreqmeter; without it the variable is all there is.
"""
import contextvars
import os
import sys
import threading

from reqmeter import _threads

_REASON_OFF = "REQMETER_NATIVE=0"
_NONE_HERE = "this Python has none"
native = None  # the extension, or None
native_reason = None  # why there is none
if os.environ.get("REQMETER_NATIVE") == "0":
    native_reason = _REASON_OFF
else:
    try:
        from reqmeter import _native as native
    except ImportError as error:
        native_reason = str(error)


class _PureRequest:
    """The variable's value without the extension: the same attributes, reported to no library."""

    __slots__ = ("state", "ended")
    handle = None

    def __init__(self, state, *_):
        self.state = state
        self.ended = False

    def annotate(self, status=None, route=None):
        """Nobody to tell."""

    def answer(self):
        """Nobody to tell."""

    def end(self):
        """Ends the request: no thread works for it from now on."""
        self.ended = True


def _nothing():
    """No thread edge without the extension."""


Request = native.Request if native else _PureRequest
turn = native.turn if native else _nothing
current_request = contextvars.ContextVar("reqmeter_request", default=None)

_lock = threading.Lock()
_state = {"installed": False}
# Extension modules that enter contexts without Context.run, by the name of the feature. Each is followed once it is
# there; eager tasks came with Python 3.12.
_callers = {"uvloop": "uvloop.loop", "eager_tasks": "_asyncio"}
_reasons = {"context_run": "nothing was measured yet", "uvloop": "uvloop is not in use",
            "eager_tasks": "asyncio is not in use"}
if sys.version_info < (3, 12):
    del _callers["eager_tasks"]
    _reasons["eager_tasks"] = _NONE_HERE


def working_for():
    """The Request that this code works for, or None."""
    request = current_request.get()
    return None if request is None or request.ended else request


def install():
    """Begins to follow tasks and pools; again does nothing but to look for modules that came since."""
    if not _state["installed"]:
        with _lock:
            if not _state["installed"]:
                _follow_context_run()
                _threads.install(working_for, carried)
                _state["installed"] = True
    for module in _callers.values():
        if module in sys.modules:
            _follow_callers()
            break


def _follow_context_run():
    if not native:
        return
    try:
        native.install(current_request)
        _reasons["context_run"] = None
    except (RuntimeError, ImportError) as error:
        _reasons["context_run"] = str(error)


def _follow_callers():
    """Those of _callers that are there, which then need not be looked for again."""
    global _callers
    with _lock:
        found = {name: module for name, module in _callers.items() if module in sys.modules}
        for name, module in found.items():
            _reasons[name] = _follow_calls_of(sys.modules[module])
        _callers = {name: module for name, module in _callers.items() if name not in found}


def _follow_calls_of(module):
    """None, or why not."""
    path = getattr(module, "__file__", None)
    if not native:
        return native_reason
    if not path:
        return "%s is built into the interpreter" % module.__name__
    try:
        native.follow_calls_of(os.path.realpath(path))
        return None
    except (RuntimeError, OSError) as error:
        return str(error)


def carried(request, function, /, *args, **kwargs):
    """Calls function(*args, **kwargs) in this thread as work for the request."""
    token = enter(request)
    try:
        return function(*args, **kwargs)
    finally:
        leave(token)


def enter(request):
    """This code now works for the request; returns the token for leave()."""
    token = current_request.set(request)
    turn()
    return token


def leave(token):
    """Back to what was before enter(). In another context than enter()'s there is nothing to go back to."""
    try:
        current_request.reset(token)
    except (ValueError, RuntimeError):
        pass
    turn()


def features():
    """What is followed, as rows like those of the agent: name, state (on, off, failed), reason."""
    rows = [{"name": "native", "state": "on" if native else "off", "reason": native_reason}]
    for name, reason in _reasons.items():
        reason = reason if native else native_reason
        is_due = _state["installed"] and name not in _callers
        state = "on" if reason is None else "failed" if native and is_due and reason != _NONE_HERE else "off"
        rows.append({"name": name, "state": state, "reason": reason})
    return rows
