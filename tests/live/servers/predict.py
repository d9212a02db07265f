#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A model server as a client of DRUM sees it: any path answers 200, /fail answers 500.

usage: predict.py     (prints its port)
Query: us=N sleeps N microseconds, mib=N touches N MiB more and keeps them.
"""
import http.server
import time
import urllib.parse

KEPT = []


class Handler(http.server.BaseHTTPRequestHandler):
    """One answer of two bytes."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        """Does what the query says."""
        url = urllib.parse.urlsplit(self.path)
        query = {key: int(value) for key, value in urllib.parse.parse_qsl(url.query)}
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(query.get("us", 0) / 1e6)
        if mib := query.get("mib", 0):
            KEPT.append(b"x" * (mib << 20))
        self.send_response(500 if url.path.startswith("/fail") else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = answer

    def log_message(self, *_):
        """Says nothing."""


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
