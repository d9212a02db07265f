# SPDX-License-Identifier: MIT
"""The test routes on Python's http.server: a thread or a process per connection.

usage: http_server.py threading|forking [--http 1.1|1.0] [--bind tcp4|tcp6|PATH of a Unix socket]
Prints "ready HOST PORT" or "ready unix PATH" on stdout when it listens; ends on SIGTERM.
"""
import argparse
import ctypes
import http.server
import json
import os
import signal
import socket
import socketserver
import sys
import urllib.parse

import handlers

PR_SET_PDEATHSIG = 1


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection; protocol_version is set by main()."""

    disable_nagle_algorithm = True

    def setup(self):
        """Nagle's algorithm exists on TCP only."""
        self.disable_nagle_algorithm = self.request.family != socket.AF_UNIX
        super().setup()

    def answer(self):
        """Serves one request of any method."""
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        length = int(self.headers.get("Content-Length", 0))
        status, figures = handlers.handle(
            url.path,
            lambda key: int(query.get(key, ["0"])[0]),
            self.headers.get("X-Request-ID", ""),
            lambda: self.rfile.read(length),
        )
        body = json.dumps(figures).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Handler-CPU-Ns", str(figures["cpu_ns"]))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def address_string(self):
        """The peer of a Unix socket has no address."""
        return "unix" if isinstance(self.client_address, (str, bytes)) else super().address_string()

    def log_message(self, *arguments):
        """No log."""


class Forking(socketserver.ForkingMixIn):
    """A child for each connection, which does not outlive its parent."""

    max_children = 256

    def finish_request(self, request, client_address):
        """Runs in the child."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        super().finish_request(request, client_address)


class Threading(socketserver.ThreadingMixIn):
    """A thread for each connection."""

    daemon_threads = True


def server_class(kind, family):
    """The server class for a kind (threading, forking) and an address family."""
    base = socketserver.UnixStreamServer if family == socket.AF_UNIX else socketserver.TCPServer
    mixin = {"threading": Threading, "forking": Forking}[kind]
    members = {"address_family": family, "request_queue_size": 128, "allow_reuse_address": True}
    return type("Server", (mixin, base), members)


def listen_address(bind):
    """(family, address) for the --bind option."""
    if bind == "tcp4":
        return socket.AF_INET, ("127.0.0.1", 0)
    if bind == "tcp6":
        return socket.AF_INET6, ("::1", 0)
    if os.path.exists(bind):
        os.unlink(bind)
    return socket.AF_UNIX, bind


def main():
    """Listens, says so, serves until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("threading", "forking"))
    parser.add_argument("--http", default="1.1", choices=("1.0", "1.1"))
    parser.add_argument("--bind", default="tcp4")
    options = parser.parse_args()
    Handler.protocol_version = "HTTP/" + options.http
    family, address = listen_address(options.bind)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with server_class(options.kind, family)(address, Handler) as server:
        bound = ("unix", options.bind) if family == socket.AF_UNIX else server.server_address[:2]
        print("ready", *bound, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
