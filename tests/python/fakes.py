# SPDX-License-Identifier: MIT
"""Agents that are none: one that answers as the contract says, and several that misbehave."""
import contextlib
import http.server
import json
import os
import socket
import socketserver
import tempfile
import threading
import time
import urllib.parse

MEM_INFO = {"total": 1000.5, "avail": 500.25, "free": 400.0, "drum_rss": 30.0, "container_limit": 800.0,
            "container_max_used": 300.0, "container_used": 200.0}
TIMES = {"min": 0.5, "max": 1.5, "avg": 1.0, "total": 2.0, "count": 2}


def report(request_id=None, handle=7):
    """A whole answer."""
    row = {"handle": handle, "id": request_id, "cpu_ns": 1234}
    return {"schema_version": 1, "mem_info": dict(MEM_INFO),
            "drum_info": [{"pid": 1, "cmdline": ["app"], "mem": 30.0, "cpu_percent": 12.5}],
            "time_info": {"run_predictor_total": dict(TIMES), "all_requests": dict(TIMES)},
            "requests": {"active": [row] if request_id else [], "recent": []},
            "agent": {"version": "fake"}}


def _response(body, status=b"200 OK"):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def _changed(**sections):
    return _response(json.dumps({**report(), **sections}).encode())


def _drip(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        sock.sendall(b"X-A: b\r\n")
        time.sleep(0.02)


def _flood(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n[")
    while True:
        sock.sendall(b"0," * 50000)


def _hold(sock):
    sock.recv(1)


# What each sends after the request's head, as bytes or as a function of the connection.
MISBEHAVIOUR = {
    "hangs": _hold,
    "drips": _drip,
    "floods": _flood,
    "closes": b"",
    "garbage": bytes(range(256)) * 40,
    "no-http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "refuses": _response(b'{"error":{"code":"forbidden","message":"no"}}', b"403 Forbidden"),
    "broken": _response(b"{}", b"500 Internal Server Error"),
    "not-json": _response(b"<html>"),
    "a-list": _response(b"[]"),
    "nan": _response(b'{"mem_info": {"total": NaN}}'),
    "infinite": _response(b'{"agent": {"x": 1e999}}'),
    "deep": _response(b"[" * 100000),
    "cut-off": _response(b"{" + b" " * 1000)[:-500],
    "too-long": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}",
    "empty-report": _response(b"{}"),
    "all-null": _changed(mem_info=None, drum_info=None, time_info=None, agent=None, requests=None),
    "wrong-types": _changed(mem_info=[], drum_info={}, time_info=7, agent="x", requests=[]),
    "wrong-inside": _changed(mem_info={**MEM_INFO, "total": "much"}, drum_info=[{"pid": 1}, 2],
                             time_info={"all_requests": {}}, requests={"active": 7, "recent": [8]}),
    "missing-keys": _changed(mem_info={"total": 1.0}, drum_info=[{}], time_info={"all_requests": TIMES}),
}

# Those for which the whole timeout is waited, and which are then not asked for a while.
SILENT = {"hangs", "drips", "floods"}


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def _serve(handler, path=None):
    """Serves connections on a Unix socket; yields its address as REQMETER_AGENT has it."""
    with tempfile.TemporaryDirectory(prefix="reqmeter-") as directory:
        path = path or os.path.join(directory, "s")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with _UnixServer(path, handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield "unix:" + path
            finally:
                server.shutdown()
                thread.join()


@contextlib.contextmanager
def misbehaving(kind, path=None):
    """An agent of MISBEHAVIOUR; yields its address. path: of its socket, which is made anew."""

    class Handler(socketserver.BaseRequestHandler):
        """Reads the head, then does it."""

        def handle(self):
            action = MISBEHAVIOUR[kind]
            with contextlib.suppress(OSError):
                self.request.recv(65536)
                if callable(action):
                    action(self.request)
                else:
                    self.request.sendall(action)

    with _serve(Handler, path) as address:
        yield address


class FakeAgent:
    """An agent that answers every question with the same report. queries: what it was asked, newest last."""

    def __init__(self, tcp=False, handle=7):
        self.queries, self.tokens, self.hosts = [], [], []
        self._tcp, self._handle = tcp, handle
        self._stack = contextlib.ExitStack()

    def _handler(self):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One question."""

            def do_GET(self):
                """Answers the report."""
                query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2]))
                fake.queries.append(query)
                fake.tokens.append(self.headers.get("Authorization"))
                fake.hosts.append(self.headers.get("Host"))
                body = json.dumps(report(query.get("id"), fake._handle)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Silent."""

            def address_string(self):
                """There is none on a Unix socket."""
                return ""

        return Handler

    def __enter__(self):
        if not self._tcp:
            self.address = self._stack.enter_context(_serve(self._handler()))
            return self
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self._stack.callback(server.server_close)
        self._stack.callback(thread.join)
        self._stack.callback(server.shutdown)
        self.address = "http://127.0.0.1:%d" % server.server_address[1]
        return self

    def __exit__(self, *_):
        self._stack.close()


def closed_port():
    """http://… of a port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return "http://127.0.0.1:%d" % sock.getsockname()[1]
