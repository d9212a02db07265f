# SPDX-License-Identifier: MIT
"""The ASGI middleware and stats_app, called as a server would call them."""
import asyncio
import json
import logging
import unittest

from loops import works_for

from reqmeter import RequestState, ResourceMonitor
from reqmeter._clock import clock
from reqmeter.asgi import RequestMeterMiddleware, client_of, stats_app

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def http_scope(path="/", headers=(), **more):
    """A scope as a server makes it."""
    return {"type": "http", "method": "GET", "path": path, "query_string": b"", "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
            "client": ("192.0.2.1", 5), **more}


async def call(app, scope):
    """(status, headers as a list, body) of a request."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(scope, receive, send)
    start = sent[0]
    return start["status"], list(start["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


class Application:
    """An ASGI application that answers with given headers and keeps what it saw."""

    def __init__(self, headers=(), status=200, error=None):
        self.headers, self.status, self.error = list(headers), status, error
        self.states, self.followed = [], []

    async def __call__(self, scope, receive, send):
        state = RequestState.current()
        self.states.append(state)
        await asyncio.sleep(0)
        self.followed.append(works_for(state))
        if self.error:
            raise self.error
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"x"})


def ids_of(headers, name=b"x-request-id"):
    """The values of a header in an answer."""
    return [value.decode() for key, value in headers if key.lower() == name]


class MiddlewareTest(unittest.TestCase):
    """The id taken, made and answered; the request followed."""

    def ask(self, headers=(), application=None, path="/", **options):
        """(answered ids, the state that the application saw)."""
        application = application or Application()
        _, answered, _ = asyncio.run(call(RequestMeterMiddleware(application, **options), http_scope(path, headers)))
        self.assertEqual(application.followed, [True])
        self.assertTrue(works_for(None))
        return ids_of(answered), application.states[0]

    def test_id_is_taken_and_answered(self):
        answered, state = self.ask([("X-Request-ID", "abc")], path="/items/1")
        self.assertEqual(answered, ["abc"])
        self.assertEqual((state.request_id, state.method, state.path), ("abc", "GET", "/items/1"))

    def test_id_is_made(self):
        answered, state = self.ask()
        self.assertEqual(answered, [state.request_id])
        self.assertRegex(state.request_id, "^[0-9a-f]{32}$")

    def test_other_headers(self):
        self.assertEqual(self.ask([("X_Request_ID", "drum")])[0], ["drum"])
        self.assertEqual(self.ask([("traceparent", TRACEPARENT)])[0], [TRACEPARENT[3:35]])
        self.assertEqual(self.ask([("X-Mine", "m"), ("X-Request-ID", "r")], header_name="X-Mine")[0], ["m"])

    def test_id_is_not_doubled(self):
        for name in (b"x-request-id", b"X-Request-Id", b"X_Request_ID"):
            application = Application([(name, b"own")])
            answered, _ = self.ask([("X-Request-ID", "abc")], application)
            self.assertEqual(answered, [] if b"_" in name else ["own"])

    def test_headers_that_can_be_read_once(self):
        async def app(_, __, send):
            await send({"type": "http.response.start", "status": 200, "headers": iter([(b"a", b"b"), (b"c", b"d")])})
            await send({"type": "http.response.body"})

        _, headers, _ = asyncio.run(call(RequestMeterMiddleware(app), http_scope(headers=[("X-Request-ID", "abc")])))
        self.assertEqual(headers, [(b"a", b"b"), (b"c", b"d"), (b"x-request-id", b"abc")])

    def test_messages_of_the_application_stay_as_they_are(self):
        application = Application([(b"a", b"b")])
        for name in ("one", "other"):
            self.assertEqual(self.ask([("X-Request-ID", name)], application)[0], [name])
            application.states.clear()
            application.followed.clear()
        self.assertEqual(application.headers, [(b"a", b"b")])

    def test_two_middlewares_are_one_request(self):
        application = Application()
        answered, state = self.ask([("X-Request-ID", "abc")], application=application)
        self.assertEqual(answered, ["abc"])
        inner = Application()
        app = RequestMeterMiddleware(inner, generator=lambda: "inner")
        app = RequestMeterMiddleware(app, generator=lambda: "outer")
        _, headers, _ = asyncio.run(call(app, http_scope()))
        self.assertEqual(ids_of(headers), ["outer"])
        self.assertEqual(inner.states[0].request_id, "outer")

    def test_response_header(self):
        _, headers, _ = asyncio.run(call(RequestMeterMiddleware(Application(), response_header="X-Other"),
                                         http_scope(headers=[("X-Request-ID", "abc")])))
        self.assertEqual(headers, [(b"x-other", b"abc")])
        self.assertEqual(self.ask(response_header=None)[0], [])

    def test_validator_generator_transformer(self):
        options = {"validator": str.isdigit, "generator": lambda: "made", "transformer": str.upper}
        self.assertEqual(self.ask([("X-Request-ID", "12")], **options)[0], ["12"])
        self.assertEqual(self.ask([("X-Request-ID", "ab")], **options)[0], ["MADE"])

    def test_mistakes_of_the_application_cost_no_request(self):
        def broken(*_):
            raise ValueError("broken")

        logging.disable()
        try:
            for options in ({"validator": broken}, {"transformer": broken}, {"generator": broken},
                            {"generator": lambda: None}, {"generator": lambda: "\r\nSet-Cookie: a"},
                            {"transformer": lambda _: 7}):
                answered, state = self.ask([] if "generator" in options else [("X-Request-ID", "abc")], **options)
                self.assertEqual(answered, [state.request_id])
                self.assertTrue(state.request_id and state.request_id.isprintable())
        finally:
            logging.disable(logging.NOTSET)

    def test_hostile_ids(self):
        for value in ("\x00", "\xff" * 10, "\x7f", " ", ""):
            answered, state = self.ask([("X-Request-ID", value)])
            self.assertRegex(state.request_id, "^[0-9a-f]{32}$")
            self.assertEqual(answered, [state.request_id])
        self.assertEqual(self.ask([("X-Request-ID", "y" * 5000)])[0], ["y" * 128])

    def test_errors_go_on_unchanged(self):
        error = ZeroDivisionError("mine")
        with self.assertRaises(ZeroDivisionError) as caught:
            asyncio.run(call(RequestMeterMiddleware(Application(error=error)), http_scope()))
        self.assertIs(caught.exception, error)
        self.assertTrue(works_for(None))

    def test_other_scopes_pass(self):
        seen = []

        async def app(scope, *_):
            seen.append((scope["type"], RequestState.current()))

        asyncio.run(RequestMeterMiddleware(app)({"type": "lifespan"}, None, None))
        self.assertEqual(seen, [("lifespan", None)])

    def test_websocket_is_followed(self):
        sent, states = [], []

        async def app(_, __, send):
            states.append(RequestState.current())
            await send({"type": "websocket.accept"})
            await asyncio.sleep(0)
            states.append(works_for(states[0]))

        async def send(message):
            sent.append(message)

        scope = {**http_scope("/ws", [("X-Request-ID", "w")]), "type": "websocket"}
        del scope["method"]
        asyncio.run(RequestMeterMiddleware(app)(scope, None, send))
        self.assertTrue(states[1])
        self.assertEqual(ids_of(sent[0]["headers"]), ["w"])

    def test_route(self):
        class Route:
            """As frameworks put it into the scope."""

            path = "/items/{item_id}"

        application = Application()

        async def routed(scope, receive, send):
            scope.update(route=Route(), root_path=scope["root_path"] + "/v1")
            await application(scope, receive, send)

        asyncio.run(call(RequestMeterMiddleware(routed), http_scope("/items/7", root_path="/proxy")))
        self.assertEqual(application.states[0].route, "/v1/items/{item_id}")

    def test_times(self):
        async def slow(scope, receive, send):
            await asyncio.sleep(0.02)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.sleep(0.2)
            await send({"type": "http.response.body", "body": b""})

        clock.since_last_read("test")
        asyncio.run(call(RequestMeterMiddleware(slow), http_scope("/a/predict/")))
        with self.assertRaises(ValueError):
            asyncio.run(call(RequestMeterMiddleware(Application(error=ValueError())), http_scope("/fails")))
        seen = clock.since_last_read("test")
        self.assertEqual((seen["run_predictor_total"]["count"], seen["all_requests"]["count"]), (1, 2))
        # To the start of the response, not to its end: else it would be 0.22 s.
        self.assertGreaterEqual(seen["run_predictor_total"]["total"], 0.02)
        self.assertLess(seen["run_predictor_total"]["total"], 0.2)

    def test_client_gone(self):
        async def waits(*_):
            await asyncio.sleep(60)

        async def main():
            task = asyncio.create_task(call(RequestMeterMiddleware(waits), http_scope()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        clock.since_last_read("test")
        asyncio.run(main())
        self.assertEqual(clock.since_last_read("test")["all_requests"]["count"], 1)
        self.assertTrue(works_for(None))


class StatsAppTest(unittest.TestCase):
    """stats_app by itself and mounted."""

    def setUp(self):
        self.app = stats_app(ResourceMonitor())

    def test_report(self):
        for scope in (http_scope("/stats/"), http_scope("/"), http_scope("/stats/", root_path="/stats"),
                      http_scope("/stats", root_path="/stats"), http_scope("/api/stats/", root_path="/api")):
            status, headers, body = asyncio.run(call(self.app, scope))
            self.assertEqual(status, 200)
            self.assertEqual(dict(headers)[b"content-type"], b"application/json")
            report = json.loads(body)
            self.assertLessEqual({"mem_info", "drum_info", "time_info", "agent"}, set(report))
            self.assertIsNone(report["agent"])

    def test_errors(self):
        status, headers, body = asyncio.run(call(self.app, {**http_scope("/stats/"), "method": "POST"}))
        self.assertEqual((status, dict(headers)[b"allow"]), (405, b"GET, HEAD"))
        self.assertEqual(json.loads(body)["error"]["code"], "method_not_allowed")
        self.assertEqual(asyncio.run(call(self.app, http_scope("/other")))[0], 404)

    def test_lifespan(self):
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        sent = []

        async def receive():
            return next(messages)

        async def send(message):
            sent.append(message["type"])

        asyncio.run(self.app({"type": "lifespan"}, receive, send))
        self.assertEqual(sent, ["lifespan.startup.complete", "lifespan.shutdown.complete"])

    def test_client(self):
        self.assertEqual(client_of(http_scope()), "192.0.2.1")
        self.assertEqual(client_of({**http_scope(), "query_string": b"client=me"}), "me")
        self.assertEqual(client_of({**http_scope(), "client": None}), "local")
        self.assertEqual(client_of({**http_scope(), "query_string": b"client=" + b"%C3%A4" * 100}), "\u00e4" * 32)
