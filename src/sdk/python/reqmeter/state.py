# SPDX-License-Identifier: MIT
"""RequestState: the request that a piece of code works for, said by the program itself."""
import dataclasses
import time
from typing import Optional

from reqmeter import _context, _ids


@dataclasses.dataclass(eq=False)
class RequestState:
    """One request, free of any web framework.

    `with RequestState(request_id=…, route=…):` begins it, makes everything in the block work for it (awaits, tasks,
    pools and threads started there, too) and ends it. It can be entered once. Without an agent it costs nearly nothing.

    request_id: made when not given. start_unix_ns: wall clock, nanoseconds. handle: its number towards the agent, None
    before it begins and without the extension. attributes: the program's own, never sent anywhere.
    """

    request_id: Optional[str] = None
    method: Optional[str] = None
    path: Optional[str] = None
    route: Optional[str] = None
    start_unix_ns: int = dataclasses.field(default_factory=time.time_ns)
    handle: Optional[int] = None
    attributes: dict = dataclasses.field(default_factory=dict)

    # Not fields: what only this process and this moment know.
    _request = None
    _token = None
    _trace_id = None  # 32 hexadecimal digits

    def __post_init__(self):
        self.request_id = _ids.new_id() if self.request_id is None else str(self.request_id)

    @classmethod
    def current(cls):
        """The RequestState that the calling code works for; None when there is none or it has ended."""
        request = _context.working_for()
        return request.state if request else None

    def _trace_bytes(self):
        return bytes.fromhex(self._trace_id) if self._trace_id else None

    def __enter__(self):
        if self._request is not None:
            raise RuntimeError("a RequestState is one request and is entered once; use attach() in further threads")
        _context.install()
        self._request = _context.Request(self, self.request_id, self.method, self.route, self._trace_bytes())
        self.handle = self._request.handle
        self._token = _context.enter(self._request)
        return self

    def __exit__(self, *_):
        _context.leave(self._token)
        self._token = None
        self._request.end()

    def annotate(self, status=None, route=None):
        """Says what became known later: the HTTP status, the route's template."""
        if route is not None:
            self.route = route
        if self._request is not None:
            self._request.annotate(status, route)

    def answer(self):
        """Says that the response begins now, which is until when the report's times count. Only the first call counts."""
        if self._request is not None:
            self._request.answer()

    def attach(self):
        """A context manager for code that works for this request and did not inherit it (a queue of one's own)."""
        return _Attachment(self._request)

    def __getstate__(self):
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


class _Attachment:
    """Works for a request that has begun and not ended; else changes nothing."""

    def __init__(self, request):
        self._request = request
        self._token = None

    def __enter__(self):
        if self._request is not None and not self._request.ended:
            self._token = _context.enter(self._request)
        return self

    def __exit__(self, *_):
        if self._token is not None:
            _context.leave(self._token)
            self._token = None
