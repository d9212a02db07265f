# SPDX-License-Identifier: MIT
"""Which request the running code works for: one context variable, and the thread edges that follow it.

The variable holds a Request, the same object in every task and thread that works for that request, so its end is seen
by all of them. With the extension each step of a task tells libreqmeter; without it the variable is all there is.
"""
import contextvars
import os
import sys
import threading

from reqmeter import _threads

_REASON_OFF = "REQMETER_NATIVE=0"
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
    """What stands in the variable when there is no extension: the same attributes, nobody told."""

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
        """From now on nobody works for it."""
        self.ended = True


def _nothing():
    """No thread edge without the extension."""


Request = native.Request if native else _PureRequest
turn = native.turn if native else _nothing
current_request = contextvars.ContextVar("reqmeter_request", default=None)

_lock = threading.Lock()
_state = {"installed": False, "uvloop": False}
_reasons = {"context_run": "nothing was measured yet", "uvloop": "uvloop is not in use"}


def working_for():
    """The Request that this code works for, or None."""
    request = current_request.get()
    return None if request is None or request.ended else request


def install():
    """Begins to follow tasks and pools; again does nothing. uvloop is followed once it is imported."""
    if not _state["installed"]:
        with _lock:
            if not _state["installed"]:
                _follow_context_run()
                _threads.install(working_for, carried)
                _state["installed"] = True
    if not _state["uvloop"] and "uvloop.loop" in sys.modules:
        with _lock:
            if not _state["uvloop"]:
                _follow_uvloop()
                _state["uvloop"] = True


def _follow_context_run():
    if not native:
        return
    try:
        native.install(current_request)
        _reasons["context_run"] = None
    except (RuntimeError, ImportError) as error:
        _reasons["context_run"] = str(error)


def _follow_uvloop():
    if not native:
        return
    try:
        native.follow_calls_of(os.path.realpath(sys.modules["uvloop.loop"].__file__))
        _reasons["uvloop"] = None
    except (RuntimeError, OSError, AttributeError) as error:
        _reasons["uvloop"] = str(error)


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
        state = "on" if reason is None else "failed" if native and _state["installed"] and name != "uvloop" else "off"
        rows.append({"name": name, "state": state, "reason": reason})
    return rows
