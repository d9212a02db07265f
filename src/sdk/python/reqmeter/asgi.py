# SPDX-License-Identifier: MIT
"""For any ASGI application: a middleware that names each request, and the application's own /stats/."""
import json
import logging
import time
import urllib.parse

from reqmeter import _ids
from reqmeter._clock import clock
from reqmeter.state import RequestState

CLIENT_MAX = 64  # bytes of a client's name, as the agent takes them
_SCOPE_KEY = "reqmeter.request"
_log = logging.getLogger("reqmeter")


class RequestMeterMiddleware:
    """Takes or makes the id of each request, answers it, and says to what is below which request it works for.

    header_name: looked at before the headers that the agent knows (X-Request-ID, X-Correlation-ID, traceparent, …).
    response_header: carries the id in the answer, unless the application has set it; None: not answered.
    generator() makes an id; validator(id) false: the id that came is not taken; transformer(id) gives the one to use.
    Should be the outermost: RequestMeterMiddleware(app). Its times run from here to the start of the response.
    """

    def __init__(self, app, *, header_name="X-Request-ID", response_header="X-Request-ID",
                 generator=_ids.new_id, validator=None, transformer=None):
        self.app = app
        self._finder = _ids.Finder(header_name)
        # ASGI wants names in lower case.
        self._response_header = response_header.lower().encode("latin-1") if response_header else None
        self._generator, self._validator, self._transformer = generator, validator, transformer
        self._makes_clean_ids = generator is _ids.new_id and transformer is None
        clock.in_use = True

    async def __call__(self, scope, receive, send):
        # A second middleware further in finds the request begun.
        if scope["type"] not in ("http", "websocket") or _SCOPE_KEY in scope:
            await self.app(scope, receive, send)
            return
        headers = self._finder.headers(scope.get("headers", ()))
        state = RequestState(self._choose_id(headers), scope.get("method", "GET"), scope["path"])
        if "traceparent" in headers:
            state._trace_id = _ids.parse_traceparent(headers["traceparent"])[0]  # pylint: disable=protected-access
        scope[_SCOPE_KEY] = state
        with state:
            exchange = _Exchange(self, state, scope, send)
            try:
                await self.app(scope, receive, exchange.answer)
            except Exception:
                # Whatever stands outside answers such a request with 500. What was raised goes on unchanged.
                exchange.begin_answer(500)
                raise
            finally:
                if not exchange.answered:
                    exchange.begin_answer(None)

    def _choose_id(self, headers):
        found = self._finder.find(headers)
        try:
            if found is not None and self._validator is not None and not self._validator(found):
                found = None
            found = found if found is not None else self._generator()
            found = self._transformer(found) if self._transformer is not None else found
        except Exception:  # pylint: disable=broad-exception-caught
            # A mistake in there must not cost the request.
            _log.exception("the id of a request could not be chosen")
            found = None
        if self._makes_clean_ids or found is None:
            return found
        return _ids.clean(str(found))

    def add_id(self, headers, request_id):
        """The response's headers, a list, with the id; as they are when the application has set one."""
        name = self._response_header
        if name is None:
            return headers
        for key, _ in headers:
            if len(key) == len(name) and _same_header(key, name):
                return headers
        headers.append((name, request_id.encode("latin-1", "replace")))
        return headers


def _same_header(one, other):
    # DRUM spells it X_Request_ID.
    return one.lower().replace(b"_", b"-") == other.lower().replace(b"_", b"-")


class _Exchange:
    """One request on its way through the application."""

    __slots__ = ("_middleware", "_state", "_scope", "_send", "_mount", "_start_ns", "answered")

    def __init__(self, middleware, state, scope, send):
        self._middleware, self._state, self._scope, self._send = middleware, state, scope, send
        self._mount = scope.get("root_path", "")
        self._start_ns = time.perf_counter_ns()
        self.answered = False

    def answer(self, message):
        """`send` for the application. What the server's returns is returned: a coroutine of our own would cost."""
        kind = message["type"]
        if kind == "http.response.start":
            self.begin_answer(message["status"])
            message = self._with_id(message)
        elif kind == "websocket.accept":
            self.begin_answer(101)
            message = self._with_id(message)
        return self._send(message)

    def _with_id(self, message):
        # They may be any iterable, also one that can be walked through once.
        headers = self._middleware.add_id(list(message.get("headers", ())), self._state.request_id)
        return {**message, "headers": headers}

    def begin_answer(self, status):
        """Once for each request, however it goes: a client that went away counts, too."""
        if self.answered:
            return
        self.answered = True
        if self._scope["type"] == "http":
            clock.ended(self._state.path, (time.perf_counter_ns() - self._start_ns) / 1e9)
        self._state.answer()
        self._state.annotate(status, self._route())

    def _route(self):
        """The route's template as the framework found it, with what it is mounted on; None when it does not say."""
        path = getattr(self._scope.get("route"), "path", None)
        if not isinstance(path, str):
            return None
        return self._scope.get("root_path", "").removeprefix(self._mount) + path


def client_of(scope):
    """Who reads the report: `client=` in the query, else the HTTP peer's address without its port."""
    query = urllib.parse.parse_qs(scope.get("query_string", b"").decode("latin-1"))
    peer = scope.get("client")
    name = query.get("client", [None])[0] or (peer[0] if peer else None) or "local"
    return name.encode("utf-8", "replace")[:CLIENT_MAX].decode("utf-8", "ignore")


def encode_stats(report):
    """The report as the bytes of a JSON document; always valid."""
    return json.dumps(report, allow_nan=False).encode("ascii")


async def _respond(send, status, body, headers=()):
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _respond_error(send, status, code, message, headers=()):
    await _respond(send, status, encode_stats({"error": {"code": code, "message": message}}), headers)


def stats_app(monitor):
    """An ASGI application that answers the monitor's report to GET, to be mounted at /stats (or served alone)."""

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError("stats_app serves HTTP only")
        path = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
        if path not in ("", "stats"):
            await _respond_error(send, 404, "not_found", "there is only /stats/")
        elif scope["method"] not in ("GET", "HEAD"):
            await _respond_error(send, 405, "method_not_allowed", "only GET and HEAD", [(b"allow", b"GET, HEAD")])
        else:
            await _respond(send, 200, encode_stats(await monitor.acollect_stats(client_of(scope))))

    return app


async def _lifespan(receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
